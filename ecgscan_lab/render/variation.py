"""Clean pages that differ a little, as printers and paper do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecgscan_lab.render import page as geometry
from ecgscan_lab.render.page import PageSpec

GRID_ODDS = (*("pink",) * 7, *("brown",) * 3, *("blue",) * 2, *("green",) * 2, *("grey",) * 3, *("none",) * 3)


def sample_page(rng: np.random.Generator, base: PageSpec | None = None) -> PageSpec:
    """Vary a clean page a little, as printers and paper do: colours, pen, margins, lettering; never speed or gain.

    Args:
        rng: source of the choices.
        base: the page to vary, `PageSpec.compact()` when None.

    Returns:
        A page of the same size, scale and layout, on which the traces still fit.

    Properties: same generator state, same page; paper speed and gain are kept.

    Example:
        >>> sample_page(np.random.default_rng(0)) == sample_page(np.random.default_rng(0))
        True
    """
    base = PageSpec.compact() if base is None else base
    slack_mm = base.width_mm - base.left_mm - geometry.STRIP_S * base.paper_speed_mm_per_s
    rows = len(geometry.ROWS)
    pitch_mm = base.row_pitch_mm * rng.uniform(0.96, 1.02)
    first_mm = base.first_baseline_mm + rng.uniform(-0.06, 0.06) * base.row_pitch_mm
    grey = int(rng.integers(0, 70))
    return replace(
        base,
        left_mm=base.left_mm + rng.uniform(-min(3.0, base.left_mm), min(3.0, slack_mm)),
        first_baseline_mm=first_mm,
        row_pitch_mm=min(pitch_mm, (base.height_mm - first_mm) / rows),
        trace_width_mm=rng.uniform(0.25, 0.5),
        ink=(grey, grey, grey + int(rng.integers(0, 12))),
        grid=GRID_ODDS[int(rng.integers(len(GRID_ODDS)))],
        grid_strength=rng.uniform(0.5, 1.5),
        text_mm=base.text_mm * rng.uniform(0.9, 1.15),
        show_lead_names=bool(rng.random() < 0.9),
        show_pulses=bool(rng.random() < 0.85),
    )
