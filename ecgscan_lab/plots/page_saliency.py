"""What moved a decision, on the page itself: each stretch of ink in the colour of what it spoke for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots.figure import describe, style
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.render.segments import page_segments
from ecgscan_lab.types import EcgRecord

_DPI = 110.0
_STRONGEST = 0.6  # opacity of the loudest stretch: the ink beneath must stay readable


def plot_page_saliency(
    drops: ArrayLike,
    record: EcgRecord,
    spans_s: Sequence[tuple[float, float]] | None = None,
    title: str = "",
    *,
    page: PageSpec | None = None,
) -> Figure:
    """A page whose stretches are coloured by what they did for a score: blue spoke for it, red against.

    Args:
        drops: `[12, span]` of `evaluate.saliency.occlusion`.
        record: the recording that it was asked about.
        spans_s: the spans that were left out, as there; None: whole leads.
        title: of the figure.
        page: the page, as there; None is the plain compact one.

    Returns:
        The figure. A rhythm strip has the colour of its lead, since leaving out a lead takes both away.

    Raises:
        ArgumentError: the table has not twelve rows, or not a column a span.

    Example:
        >>> record = EcgRecord("demo", np.zeros((12, 1000), np.float32), 100.0)
        >>> len(plot_page_saliency(np.eye(12)[:, :1], record, title="Lead I alone").axes)
        2
    """
    spans = [(0.0, record.duration_s)] if spans_s is None else list(spans_s)
    table = np.asarray(drops, dtype=np.float64)
    if table.shape != (len(LEADS), len(spans)):
        raise ArgumentError(
            f"drops of shape {table.shape} for {len(spans)} spans", field="drops", expected=f"[12, {len(spans)}]"
        )
    spec = PageSpec.compact() if page is None else page
    pixels = draw_page(record, spec, dpi=_DPI).pixels
    most = float(np.abs(table).max()) or 1.0
    scale = ScalarMappable(Normalize(-most, most), "RdBu")
    px_per_mm = _DPI / 25.4
    with style():
        figure = Figure(figsize=(11.0, 11.0 * 0.9 * pixels.shape[0] / pixels.shape[1] + 0.4), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(pixels, interpolation="antialiased")
        for segment in page_segments(spec):
            for value, (a, b) in zip(table[LEADS.index(segment.lead)], spans, strict=True):
                start, end = max(a, segment.t0_s), min(b, segment.t1_s)
                if end <= start or value == 0:
                    continue
                corner = (
                    (segment.x0_mm + (start - segment.t0_s) * spec.paper_speed_mm_per_s) * px_per_mm,
                    (segment.baseline_mm - spec.pitch_mm / 2) * px_per_mm,
                )
                width = (end - start) * spec.paper_speed_mm_per_s * px_per_mm
                strength = _STRONGEST * abs(value) / most
                patch = Rectangle(
                    corner, width, spec.pitch_mm * px_per_mm, color=scale.to_rgba(np.sign(value) * most * 0.8)[:3],
                    alpha=strength, linewidth=0,
                )  # fmt: skip
                axes.add_patch(patch)
        axes.set(xticks=[], yticks=[])
        axes.set_title(title)
        figure.colorbar(scale, ax=axes, label="Fall of the score (cosine)", fraction=0.03, pad=0.01)
    lead, span = np.unravel_index(int(np.abs(table).argmax()), table.shape)
    a, b = spans[int(span)]
    said = f"{LEADS[int(lead)]} from {a:.1f} to {b:.1f} s, {table[lead, span]:+.3g}"
    return describe(figure, f"The page of one record, its stretches coloured by the fall of the score: most at {said}.")
