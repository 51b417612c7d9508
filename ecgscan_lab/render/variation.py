"""Pages that differ as printers, paper and habits do: a little (`sample_page`) or in everything (`sample_layout`)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.lettering import with_lettering
from ecgscan_lab.render.machines import MACHINES
from ecgscan_lab.render.page import PageSpec

GRID_ODDS = (*("pink",) * 7, *("brown",) * 3, *("blue",) * 2, *("green",) * 2, *("grey",) * 3, *("none",) * 3)


def sample_page(rng: np.random.Generator, base: PageSpec | None = None) -> PageSpec:
    """Vary a page a little, as printers and paper do: colours, pen, margins, lettering; never speed, gain or layout.

    Args:
        rng: source of the choices.
        base: the page to vary, `PageSpec.compact()` when None.

    Returns:
        A page of the same size, scale and layout, on which the traces still fit.

    Properties: same generator state, same page; paper speed, gain and layout are kept.

    Example:
        >>> sample_page(np.random.default_rng(0)) == sample_page(np.random.default_rng(0))
        True
    """
    base = PageSpec.compact() if base is None else base
    slack_mm = base.width_mm - base.right_mm
    if base.pulses == "right":
        slack_mm = 0.0  # the pulses stand where the slack was
    rows = len(base.baselines_mm)
    pitch_mm = base.pitch_mm * rng.uniform(0.96, 1.02)
    first_mm = base.baselines_mm[0] + rng.uniform(-0.06, 0.06) * base.pitch_mm
    lowest_mm = base.height_mm - max(0.0, base.strip_shift_mm)
    grey = int(rng.integers(0, 70))
    return replace(
        base,
        left_mm=base.left_mm + rng.uniform(-min(3.0, base.left_mm), min(3.0, slack_mm)),
        first_baseline_mm=first_mm,
        row_pitch_mm=min(pitch_mm, (lowest_mm - first_mm) / max(rows - 1, 1)),
        trace_width_mm=rng.uniform(0.25, 0.5),
        ink=(grey, grey, grey + int(rng.integers(0, 12))),
        grid=GRID_ODDS[int(rng.integers(len(GRID_ODDS)))],
        grid_strength=rng.uniform(0.5, 1.5),
        text_mm=base.text_mm * rng.uniform(0.9, 1.15),
        show_lead_names=bool(rng.random() < 0.9),
        pulses=base.pulses if rng.random() < 0.85 else "none",
    )


def sample_layout(rng: np.random.Generator) -> PageSpec:
    """Draw a page of any kind: a printer family, then its rhythm strips, gain, speed, lettering and looks.

    Args:
        rng: source of the choices.

    Returns:
        A page that fits its sheet; every tenth leaves out a few leads.

    Properties: same generator state, same page; every layout comes up.

    Example:
        >>> len({sample_layout(np.random.default_rng(i)).layout for i in range(40)})
        4
    """
    names = list(MACHINES)
    page = PageSpec.machine(names[int(rng.integers(len(names)))])
    changes: dict[str, object] = {}
    if rng.random() < 0.3:
        changes["layout"] = ("3x4", "6x2", "12x1", "4x3")[int(rng.integers(4))]
    if changes.get("layout", page.layout) in ("12x1", "6x2"):
        changes |= {"rhythm": page.rhythm[:1], "text_mm": min(page.text_mm, 3.6)}
    elif rng.random() < 0.5:
        strips = rng.choice(LEADS, size=int(rng.integers(0, 4)), replace=False)
        changes["rhythm"] = ("II",) if rng.random() < 0.4 else tuple(str(lead) for lead in strips)
    if changes:
        changes |= {"first_baseline_mm": None, "row_pitch_mm": None, "strip_shift_mm": 0.0}
    if rng.random() < 0.25:
        changes["gain_mm_per_mv"] = float(rng.choice([5.0, 10.0, 20.0]))
    if rng.random() < 0.1:
        changes["chest_gain_mm_per_mv"] = 5.0
    if rng.random() < 0.15:
        changes["cabrera"] = True
    if rng.random() < 0.2:
        changes["columns"] = "simultaneous"
    if rng.random() < 0.1:
        changes["hidden"] = tuple(str(lead) for lead in rng.choice(LEADS, size=int(rng.integers(1, 4)), replace=False))
    changes["separators"] = ("none", "tick", "line")[int(rng.integers(3))]
    page = sample_page(rng, replace(page, **changes))  # type: ignore[arg-type]
    return with_lettering(page, rng) if rng.random() < 0.6 else page
