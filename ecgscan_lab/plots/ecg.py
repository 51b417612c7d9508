"""Recordings as stacked traces, drawn pages as pictures, and reconstructions over what was recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import LEADS, LIMB_LEADS
from ecgscan_lab.plots.figure import BLUE, INK, MUTED, SKY, VERMILLION, describe, style
from ecgscan_lab.types import EcgImage, EcgRecord

_GAP_MV = 0.35  # between the lowest point of one trace and the highest of the next
_LEAST_HEIGHT_MV = 0.6  # so that a flat lead still has a row of its own


def plot_record(record: EcgRecord, title: str | None = None) -> Figure:
    """Draw the twelve leads of a record, one above the other, over time.

    Rows are spaced by what each lead needs, so that no trace crosses another; the bar at the right is 1 mV.

    Args:
        record: the record; samples that are NaN are left blank.
        title: figure title; None names the record, its length and its rate.

    Returns:
        The figure, with alt text.

    >>> record = EcgRecord("demo", np.zeros((12, 100), dtype=np.float32), 100.0)
    >>> plot_record(record).axes[0].get_xlabel()
    'Time (s)'
    """
    signal = np.asarray(record.signal_mv, dtype=np.float64)
    seconds = np.arange(signal.shape[1]) / record.fs_hz
    offsets, height = _row_offsets(signal)
    with style():
        figure = Figure(figsize=(10.0, 7.6), layout="constrained")
        axes = figure.add_subplot()
        for lead, trace, offset in zip(LEADS, signal, offsets, strict=True):
            axes.plot(seconds, trace + offset, color=INK if lead in LIMB_LEADS else BLUE, linewidth=0.9)
        axes.set_yticks(offsets, LEADS)
        axes.tick_params(axis="y", length=0)
        for tick, lead in zip(axes.get_yticklabels(), LEADS, strict=True):
            tick.set(fontweight="bold", color=INK if lead in LIMB_LEADS else BLUE)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        end = record.duration_s
        axes.set(xlim=(0.0, end * 1.045), ylim=(-height, 0.2), xlabel="Time (s)", ylabel="Lead")
        axes.set_xticks(np.arange(0.0, end + 1e-9, _tick_step(end)))
        axes.spines["bottom"].set_bounds(0.0, end)
        bar = offsets[-1]
        axes.plot([end * 1.018] * 2, [bar, bar + 1.0], color=MUTED, linewidth=2.5, solid_capstyle="butt")
        axes.text(end * 1.025, bar + 0.5, "1 mV", rotation=90, va="center", ha="left", color=MUTED, fontsize=9)
        axes.set_title(title or f"{record.record_id}: {end:.3g} s at {record.fs_hz:g} Hz")
    largest = np.nanmax(np.abs(signal), initial=0.0, where=np.isfinite(signal))
    return describe(
        figure,
        f"Recording {record.record_id}: leads {', '.join(LEADS)} from top to bottom over {end:.3g} seconds, "
        f"in millivolts, limb leads black and chest leads blue; the largest deflection is {largest:.1f} mV.",
    )


def plot_page(image: EcgImage, highlight: str | Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Show a drawn ECG page, with the traces of chosen leads picked out by their ground truth.

    Args:
        image: the page.
        highlight: a lead, or several, to draw over in colour and frame, or None. A rhythm strip is called as in
            `image.polylines`, for instance "II rhythm".
        title: figure title; None gives paper speed and gain.

    Returns:
        The figure, with alt text.

    Raises:
        LeadError: a highlighted lead is not on the page.
    """
    leads = (highlight,) if isinstance(highlight, str) else tuple(highlight or ())
    for lead in leads:
        if lead not in image.polylines:
            raise LeadError(
                f"lead {lead!r} is not on the page", field="highlight", expected=f"one of {', '.join(image.polylines)}"
            )
    height, width = image.pixels.shape[:2]
    gain = " and ".join(f"{g:g}" for g in sorted({abs(g) for g in image.gains_mm_per_mv.values()}))
    with style():
        figure = Figure(figsize=(10.0, 10.0 * height / width + 0.4), layout="constrained")
        axes = figure.add_subplot()
        _picture(axes, image.pixels)
        for lead in leads:
            xy = image.polylines[lead]
            axes.plot(xy[:, 0], xy[:, 1], color=BLUE, linewidth=1.6, label=lead)
            (x0, y0), (x1, y1) = np.nanmin(xy, axis=0), np.nanmax(xy, axis=0)
            pad_x, pad_y = 0.003 * width, 0.015 * width
            corner, size = (x0 - pad_x, y0 - pad_y), (x1 - x0 + 2 * pad_x, y1 - y0 + 2 * pad_y)
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=BLUE, linewidth=1.2))
            # Below the frame: above it, the page prints the lead's name.
            place = (corner[0], corner[1] + size[1])
            axes.annotate(
                lead, place, xytext=(3.5, -3.5), textcoords="offset points", va="top", color="white", size=9, bbox=_TAG
            )
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_title(title or f"{image.paper_speed_mm_per_s:g} mm/s, {gain} mm/mV")
    shown = ", ".join(lead for lead in image.polylines)
    marked = f" The traces of {', '.join(leads)} are framed and drawn over in blue." if leads else ""
    return describe(
        figure,
        f"ECG page of {width} by {height} pixels at {image.paper_speed_mm_per_s:g} mm/s and "
        f"{gain} mm/mV, showing {shown}.{marked}",
    )


def plot_pages(
    pages: Sequence[EcgImage | ArrayLike], titles: Sequence[str] | None = None, columns: int | None = None
) -> Figure:
    """Show several pages side by side, for instance one record under several degradations.

    Args:
        pages: pages, or uint8 arrays `[height, width, 3]`, `[3, height, width]` or `[height, width]`.
        titles: a title for each, or None.
        columns: pages in a row; None picks two for up to four pages, else three.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: no pages, an array that is no picture, or another number of titles than of pages.

    >>> len(plot_pages([np.full((20, 30, 3), 255, np.uint8)] * 3, ["clean", "creased", "photographed"]).axes)
    3
    """
    pictures = [_pixels(page) for page in pages]
    if not pictures or (titles is not None and len(titles) != len(pictures)):
        raise ArgumentError(
            f"{len(pictures)} pages and {0 if titles is None else len(titles)} titles",
            field="titles",
            expected="at least one page, and one title a page",
        )
    columns = columns or min(len(pictures), 2 if len(pictures) <= 4 else 3)
    rows = math.ceil(len(pictures) / columns)
    aspect = max(picture.shape[0] / picture.shape[1] for picture in pictures)
    width = 11.0 / columns
    with style():
        figure = Figure(figsize=(11.0, rows * (width * aspect + 0.35)), layout="constrained")
        for k, picture in enumerate(pictures):
            axes = figure.add_subplot(rows, columns, k + 1)
            _picture(axes, picture)
            if titles is not None:
                axes.set_title(titles[k], fontsize=10)
    named = f": {'; '.join(titles)}" if titles is not None else ""
    return describe(figure, f"{len(pictures)} ECG pages in {rows} rows and {columns} columns{named}.")


def plot_reconstruction(
    signal_mv: ArrayLike,
    reconstruction_mv: ArrayLike,
    fs_hz: float,
    visible: ArrayLike | None = None,
    leads: Sequence[str] = ("I", "II", "V1", "V5"),
    title: str | None = None,
) -> Figure:
    """Draw reconstructed leads over the recorded ones, and shade what the page showed.

    Args:
        signal_mv: recorded signal in mV `[12, time]`.
        reconstruction_mv: reconstructed signal in mV `[12, time]`.
        fs_hz: sampling rate in hertz.
        visible: bool `[12, time]`, which samples the page shows, or None.
        leads: the leads to draw, one row each.
        title: figure title, or None.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: a shape is wrong.
        LeadError: an unknown lead, or none.
    """
    x, y = np.asarray(signal_mv, dtype=np.float64), np.asarray(reconstruction_mv, dtype=np.float64)
    shown = np.zeros(x.shape, dtype=bool) if visible is None else np.asarray(visible, dtype=bool)
    for name, array in (("signal_mv", x), ("reconstruction_mv", y), ("visible", shown)):
        if array.ndim != 2 or array.shape[0] != len(LEADS) or array.shape != x.shape:
            raise ArgumentError(f"{name} of shape {array.shape}", field=name, expected="[12, time], all of one shape")
    unknown = [lead for lead in leads if lead not in LEADS]
    if unknown or not leads:
        raise LeadError(f"unknown leads {unknown}", field="leads", expected=f"at least one of {', '.join(LEADS)}")
    seconds = np.arange(x.shape[1]) / fs_hz
    with style():
        figure = Figure(figsize=(10.0, 1.45 * len(leads) + 1.1), layout="constrained")
        rows = figure.subplots(len(leads), 1, sharex=True, squeeze=False)[:, 0]
        for axes, lead in zip(rows, leads, strict=True):
            k = LEADS.index(lead)
            for first, last in _runs(shown[k]):
                axes.axvspan(first / fs_hz, last / fs_hz, color=SKY, alpha=0.22, linewidth=0, label="on the page")
            axes.plot(seconds, x[k], color=INK, linewidth=1.1, label="recorded")
            axes.plot(seconds, y[k], color=VERMILLION, linewidth=1.2, linestyle=(0, (4, 1.2)), label="reconstructed")
            axes.set_ylabel(f"{lead} (mV)")
            axes.grid(axis="y")
            axes.set_xlim(0.0, x.shape[1] / fs_hz)
            axes.margins(y=0.12)
        rows[-1].set_xlabel("Time (s)")
        figure.align_ylabels(rows)
        entries = {
            label: handle for axes in rows for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(entries.values(), entries.keys(), loc="outside upper right", ncols=len(entries))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    rmse = [float(np.sqrt(np.nanmean((x[LEADS.index(lead)] - y[LEADS.index(lead)]) ** 2))) for lead in leads]
    each = ", ".join(f"{lead} {value:.2f}" for lead, value in zip(leads, rmse, strict=True))
    shading = " Shaded spans were on the page." if shown.any() else ""
    return describe(
        figure,
        f"Recorded (black) and reconstructed (dashed vermillion) leads over {x.shape[1] / fs_hz:.3g} s. Root mean "
        f"square difference in mV: {each}.{shading}",
    )


_TAG = {"boxstyle": "square,pad=0.25", "facecolor": BLUE, "edgecolor": "none"}


def _row_offsets(signal_mv: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Baseline of each row, downwards from 0, and the height of all rows together, in mV."""
    finite = np.where(np.isfinite(signal_mv), signal_mv, 0.0)
    above = np.maximum(finite.max(axis=1), _LEAST_HEIGHT_MV / 2)
    below = np.maximum(-finite.min(axis=1), _LEAST_HEIGHT_MV / 2)
    offsets, y = [], 0.0
    for up, down in zip(above, below, strict=True):
        offsets.append(y - up)
        y -= up + down + _GAP_MV
    return np.array(offsets), -y


def _tick_step(duration_s: float) -> float:
    return next((step for step in (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0) if duration_s / step <= 12), duration_s / 10.0)


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, last + 1) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def _picture(axes: Axes, pixels: NDArray[np.uint8]) -> None:
    height, width = pixels.shape[:2]
    # EcgImage counts pixels from the corner, so that the centre of the first one is (0.5, 0.5).
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0), interpolation="antialiased")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=True, color=MUTED, linewidth=0.6)


def _pixels(page: EcgImage | ArrayLike) -> NDArray[np.uint8]:
    pixels = page.pixels if isinstance(page, EcgImage) else np.asarray(page)
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] != 3:
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ArgumentError(
            f"page of shape {pixels.shape} and type {pixels.dtype}",
            field="pages",
            expected="EcgImage, or uint8 [height, width, 3], [3, height, width] or [height, width]",
        )
    return pixels
