"""Pictures of fitted photographs: our page laid over theirs."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecgscan_lab.plots.figure import BLUE, VERMILLION, describe, style
from ecgscan_lab.render.photograph.fit import PageFit, page_over_picture
from ecgscan_lab.render.segments import page_segments
from ecgscan_lab.types import EcgRecord


def plot_overlay(
    pixels: NDArray[np.uint8],
    fit: PageFit,
    record: EcgRecord | None = None,
    title: str | None = None,
    lead: str = "V1",
) -> Figure:
    """Draw the fitted page in blue over a paled photograph: the whole sheet, and one lead close up.

    Args:
        pixels: the photograph, uint8 `[height, width, 3]`.
        fit: its fit.
        record: the recording on the page; without it pulses, names and separators are drawn.
        title: figure title, or None.
        lead: the trace of the close-up; where the page has no such trace, its first one.

    Returns:
        The figure, with alt text.
    """
    segments = {segment.name: segment for segment in page_segments(fit.page)}
    shown = segments[lead] if lead in segments else next(iter(segments.values()))
    cover = 0.75 * page_over_picture(pixels, fit, record)[..., None]
    pale = 255.0 - 0.55 * (255.0 - pixels.astype(np.float32))
    blended = (pale * (1 - cover) + 255.0 * np.array(to_rgb(BLUE)) * cover).astype(np.uint8)
    corners = np.array([(-10.0, -14.0), (30.0, -14.0), (30.0, 11.0), (-10.0, 11.0)])
    centre_mm = np.array([shown.x0_mm, shown.baseline_mm])
    box = fit.page_map.to_px(corners + centre_mm)
    height, width = pixels.shape[:2]
    with style():
        figure = Figure(figsize=(11.0, 11.0 * 0.62 * height / width + 0.5), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.62, 1.0))
        for axes in (left, right):
            axes.imshow(blended, extent=(0, width, height, 0), interpolation="antialiased")
            axes.set_xticks([])
            axes.set_yticks([])
        left.plot(*np.vstack([box, box[:1]]).T, color=VERMILLION, linewidth=1.2)
        right.set_xlim(box[:, 0].min(), box[:, 0].max())
        right.set_ylim(box[:, 1].max(), box[:, 1].min())
        left.set_title("Fitted page in blue over the photograph")
        right.set_title(f"Close-up of {shown.name}")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return describe(
        figure,
        f"A photograph of an ECG page with the fitted {fit.page.layout} page drawn over it in blue, whole and close "
        f"up at {shown.name}. Grid crossings lie {fit.residual_mm:.2f} mm (root mean square) from the bent page model "
        f"and {fit.flat_residual_mm:.2f} mm from a flat one.",
    )
