"""From millivolts to pixels: a page at any setting, ink among its pixels, degradations with their ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.figure import BLUE, GREEN, INK, PURPLE, VERMILLION, describe, style
from ecgscan_lab.render import PageSpec, draw_page
from ecgscan_lab.render.degrade import EFFECTS, PRESETS, sample_effect
from ecgscan_lab.render.degrade.effects import Framing
from ecgscan_lab.types import EcgImage, EcgRecord

WIDEST_MM = 250.0
"""Paper that a letter sheet gives to a row of traces."""


def view_page(
    record: EcgRecord,
    layout: str = "3x4",
    paper_speed_mm_per_s: float = 25.0,
    gain_mm_per_mv: float = 10.0,
    cabrera: bool = False,
    grid: str = "pink",
) -> Figure:
    """A clean page at one setting of the printer; at high speed it shows fewer seconds, as machines do.

    Args:
        record: what is printed.
        layout: a name in `render.LAYOUTS`.
        paper_speed_mm_per_s: paper speed.
        gain_mm_per_mv: paper gain.
        cabrera: limb leads in Cabrera's order.
        grid: a name in `render.PALETTES`.

    Returns:
        The figure, with alt text.
    """
    strip_s = min(10.0, WIDEST_MM / paper_speed_mm_per_s)
    page = PageSpec(
        layout=layout,
        paper_speed_mm_per_s=paper_speed_mm_per_s,
        gain_mm_per_mv=gain_mm_per_mv,
        strip_s=strip_s,
        cabrera=cabrera,
        grid=grid,
    )
    image = draw_page(record, page, dpi=100)
    cut = sum(image.clipped.values())
    title = f"{layout}, {paper_speed_mm_per_s:g} mm/s, {gain_mm_per_mv:g} mm/mV: {strip_s:g} s"
    note = f"{cut} samples lie beyond the sheet" if cut else "every sample lies on the sheet"
    figure = _picture(image.pixels, f"{title}; {note}")
    return describe(
        figure,
        f"ECG page in the {layout} layout{' in Cabrera order' if cabrera else ''} on {grid} grid, "
        f"{paper_speed_mm_per_s:g} millimetres a second and {gain_mm_per_mv:g} millimetres a millivolt; it shows "
        f"{strip_s:g} seconds, and {note}.",
    )


def plot_ink(record: EcgRecord, lead: str = "V2", dpi: float = 60.0, width_px: int = 44) -> Figure:
    """Look closely at the pixels around a lead's tallest point: grey levels, and the polyline that made them.

    Args:
        record: what is drawn.
        lead: a lead of the 3 x 4 page.
        dpi: resolution; pixels are squares in the figure, so low values show most.
        width_px: width of the detail in pixels.

    Returns:
        The figure, with alt text.
    """
    page = PageSpec(grid="none", show_lead_names=False, pulses="none", show_scale=False)
    image = draw_page(record, page, dpi=dpi)
    line = image.polylines[lead]
    peak = line[np.nanargmax(np.abs(line[:, 1] - np.nanmedian(line[:, 1])))]
    height, width = image.pixels.shape[:2]
    left = int(np.clip(peak[0] - width_px / 2, 0, width - width_px))
    middle = (peak[1] + np.nanmedian(line[:, 1])) / 2
    top = int(np.clip(middle - width_px / 3, 0, height - 2 * width_px // 3))
    right, bottom = left + width_px, top + 2 * width_px // 3
    with style():
        figure = Figure(figsize=(8.0, 5.6), layout="constrained")
        axes = figure.add_subplot()
        extent = (left, right, bottom, top)
        axes.imshow(image.pixels[top:bottom, left:right], extent=extent, interpolation="nearest", aspect="equal")
        axes.set_xticks(np.arange(left, right + 1), minor=True)
        axes.set_yticks(np.arange(top, bottom + 1), minor=True)
        axes.grid(which="minor", color="#DDDDDD", linewidth=0.4)
        axes.plot(line[:, 0], line[:, 1], ".-", color=VERMILLION, markersize=5, linewidth=1.0, label="samples")
        axes.set(xlim=(left, right), ylim=(bottom, top), xlabel="x (pixels)", ylabel="y, downwards (pixels)")
        axes.set_title(f"{lead} at {dpi:g} dpi: a pixel is as dark as the share of it that ink covers")
        axes.legend(loc="upper right")
    return describe(
        figure,
        f"Detail of {width_px} by {2 * width_px // 3} pixels around the tallest point of {lead}, drawn at {dpi:g} dots "
        "an inch: grey pixels of an anti-aliased stroke, and through their middle the polyline of the samples.",
    )


def view_effect(
    record: EcgRecord, effect: str = "curl", strength: float = 0.6, seed: int = 0, lead: str = "V2", truth: bool = True
) -> Figure:
    """One effect alone at one strength, with the ground truth of a lead drawn over the degraded page.

    Args:
        record: what is printed.
        effect: a name in `render.degrade.EFFECTS`.
        strength: 0 leaves the page as it is, 1 is the most.
        seed: everything random about the effect.
        lead: the trace to mark.
        truth: draw its polyline and box.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: no such effect.
    """
    if effect not in EFFECTS:
        raise ArgumentError(f"no effect {effect!r}", field="effect", expected=f"one of {', '.join(EFFECTS)}")
    params = sample_effect(np.random.default_rng(seed), effect, strength)
    image = draw_page(record, PageSpec(), params, size=(560, 724), seed=seed)
    name = effect.replace("_", " ")
    figure = _picture(image.pixels, f"{name}, strength {strength:g}", image if truth else None, lead)
    told = f", with the polyline and the box of {lead} following the page" if truth else ""
    return describe(figure, f"An ECG page under {name} at strength {strength:g} of 1{told}.")


def plot_presets(
    record: EcgRecord, presets: Sequence[str] = ("scan", "photo", "fax", "paper"), seed: int = 0
) -> Figure:
    """Three pages of each preset, a row a preset.

    Args:
        record: what is printed.
        presets: names in `render.degrade.PRESETS`.
        seed: of the first column; the others count on.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: no such preset.
    """
    unknown = [preset for preset in presets if preset not in PRESETS]
    if unknown or not presets:
        raise ArgumentError(f"no preset {unknown}", field="presets", expected=f"some of {', '.join(PRESETS)}")
    with style():
        figure = Figure(figsize=(11.0, 2.9 * len(presets)), layout="constrained")
        for row, axes_row in enumerate(figure.subplots(len(presets), 3, squeeze=False)):
            for column, axes in enumerate(axes_row):
                image = draw_page(record, PageSpec(), presets[row], size=(480, 620), seed=seed + column)
                axes.imshow(image.pixels, interpolation="antialiased")
                axes.set(xticks=[], yticks=[])
                if column == 0:
                    axes.set_ylabel(presets[row], fontsize=12, color=INK)
    return describe(
        figure,
        f"Pages of one record, three seeds for each of the presets {', '.join(presets)}: office scans with marks, "
        "photographs of creased sheets on tables, and so on.",
    )


def plot_fit_to_page(
    target: np.ndarray, drawn: np.ndarray, steps: Sequence[int], snr_db: Sequence[float], seen: Sequence[np.ndarray]
) -> Figure:
    """A flat line on its way to a drawn trace by gradient descent through the renderer.

    Args:
        target: the trace that was drawn `[time]`, in mV.
        drawn: the picture it was drawn into, grey or RGB.
        steps: step numbers.
        snr_db: signal-to-noise ratio at each of them.
        seen: estimates `[time]` in mV at each of them.

    Returns:
        The figure, with alt text.
    """
    with style():
        figure = Figure(figsize=(10.0, 4.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(2, 1))
        left.plot(target, color=INK, linewidth=3.0, alpha=0.6, label="drawn")
        chosen = sorted({0, len(seen) // 4, len(seen) // 2, len(seen) - 1})
        for colour, line, k in zip((PURPLE, VERMILLION, GREEN, BLUE), ("--", "-.", ":", "-"), chosen, strict=False):
            left.plot(seen[k], line, color=colour, linewidth=1.4, label=f"step {steps[k]}")
        left.set(xlabel="sample", ylabel="voltage (mV)", title="From a flat line to the trace")
        left.legend()
        right.plot(steps, snr_db, "o-", color=BLUE)
        right.axhline(0, color=INK, linewidth=0.8)
        right.set(xlabel="step", ylabel="SNR (dB)", title="0 dB is the flat line")
    shape = " by ".join(map(str, np.asarray(drawn).shape[-2:]))
    return describe(
        figure,
        f"Left: estimates of a trace after some steps of gradient descent on a picture of {shape} pixels, closing in "
        f"on the trace that was drawn. Right: the ratio climbs from {snr_db[0]:.1f} to {snr_db[-1]:.1f} decibels.",
    )


def _picture(pixels: np.ndarray, title: str, image: EcgImage | None = None, lead: str = "V2") -> Figure:
    """A page filling a figure, with one trace marked where `image` is given."""
    height, width = pixels.shape[:2]
    with style():
        figure = Figure(figsize=(10.0, 10.0 * height / width + 0.4), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(pixels, extent=(0, width, height, 0), interpolation="antialiased")
        axes.set(xticks=[], yticks=[], title=title)
        if image is not None and lead in image.polylines:
            axes.plot(*image.polylines[lead].T, color=BLUE, linewidth=1.3)
            if lead in image.boxes:
                x0, y0, x1, y1 = image.boxes[lead]
                axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=VERMILLION, linewidth=1.4))
            axes.set(xlim=(0, width), ylim=(height, 0))
    return figure


def plot_page_kinds(record: EcgRecord, pages: dict[str, PageSpec], size: tuple[int, int] = (480, 620)) -> Figure:
    """One record on several kinds of page, three a row.

    Args:
        record: what is printed.
        pages: title -> page.
        size: (height, width) of each picture in pixels.

    Returns:
        The figure, with alt text.
    """
    rows = -(-len(pages) // 3)
    with style():
        figure = Figure(figsize=(11.0, 3.0 * rows), layout="constrained")
        panels = figure.subplots(rows, 3, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for axes, (title, page) in zip(panels, pages.items(), strict=False):
            axes.imshow(draw_page(record, page, size=size).pixels, interpolation="antialiased")
            axes.set_title(title)
    return describe(figure, f"One record printed on {len(pages)} kinds of ECG page: {', '.join(pages)}.")


def plot_effects(
    record: EcgRecord, effects: Sequence[str], strength: float = 0.8, seed: int = 0, columns: int = 5
) -> Figure:
    """Many effects, each alone on its own page.

    Args:
        record: what is printed.
        effects: names in `render.degrade.EFFECTS`.
        strength: 0 to 1.
        seed: everything random about them.
        columns: pages in a row.

    Returns:
        The figure, with alt text.
    """
    rows = -(-len(effects) // columns)
    with style():
        figure = Figure(figsize=(13.0, 2.25 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in panels:
            axes.set_axis_off()
        for axes, effect in zip(panels, effects, strict=False):
            params = sample_effect(np.random.default_rng(seed), effect, strength)
            if effect in ("background", "edge_shadow"):  # what lies around the sheet is seen from farther away
                params = replace(params, framing=Framing(0.75, 0.0, 0.0))
            image = draw_page(record, PageSpec(), params, size=(400, 518), seed=seed)
            axes.imshow(image.pixels, interpolation="antialiased")
            axes.set_title(effect.replace("_", " "), fontsize=9, loc="center", fontweight="normal")
    return describe(
        figure, f"{len(effects)} pages of one record, each under one effect alone at strength {strength:g}: "
        f"{', '.join(effects)}."
    )  # fmt: skip
