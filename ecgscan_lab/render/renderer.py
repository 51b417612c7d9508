"""Recordings in, ECG pages out: one page with its full ground truth, or many at once for training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import page as geometry
from ecgscan_lab.render import paper, raster
from ecgscan_lab.render.page import PageSpec, Segment
from ecgscan_lab.types import EcgImage, EcgRecord

Box = tuple[float, float, float, float]

MARGIN_MM = 8.0
TEXT_CLEARANCE_MM = 0.6
NAME_PLACES_MM = np.array(
    [
        (0.0, 0.0),
        (0.0, -3.5),
        (0.0, 14.0),
        (6.0, 0.0),
        (6.0, 14.0),
        (12.0, 0.0),
        (12.0, 14.0),
        (18.0, 0.0),
        (18.0, 14.0),
    ]
)
"""Shifts (right, down) of a lead name from its usual place; the first one that meets no trace is taken."""


@dataclass(frozen=True, eq=False)
class _Texts:
    """All lettering of a page: masks one after another, their (offset, height, width), and where each may stand."""

    atlas: np.ndarray
    masks: np.ndarray
    places: np.ndarray
    clearance: int
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Plan:
    """A page settled in pixels for one picture size, rate and length: kernel and ground truth both read it."""

    size: tuple[int, int]
    px_per_mm: float
    bounds: tuple[int, int, int, int]
    colours: np.ndarray
    grid: tuple[float, ...]
    segments: np.ndarray
    dx: float
    px_per_mv: float
    pen: tuple[float, int]
    bars: np.ndarray
    texts: _Texts


def _colours(page: PageSpec) -> np.ndarray:
    palette = paper.PALETTES[page.grid]
    colours = np.array((palette.paper, palette.minor, palette.major, page.ink), np.float32)
    colours[1:3] = np.clip(colours[0] + (colours[1:3] - colours[0]) * page.grid_strength, 0, 255)
    return colours


def _pulse_bars(page: PageSpec, to_px: tuple[float, float, float]) -> np.ndarray:
    """Each calibration pulse as five rectangles that touch but never overlap: foot, rise, top, fall, foot."""
    scale, left, top = to_px
    half, foot = page.trace_width_mm / 2, geometry.PULSE_FOOT_MM
    bars = []
    for rise, high, fall, base in geometry.pulse_boxes_mm(page):
        bars += [
            (rise - foot, base - half, rise - half, base + half),
            (rise - half, high - half, rise + half, base + half),
            (rise + half, high - half, fall - half, high + half),
            (fall - half, high - half, fall + half, base + half),
            (fall + half, base - half, fall + foot, base + half),
        ]
    return np.array(bars, np.float64).reshape(-1, 4) * scale + (left, top, left, top)


@lru_cache(maxsize=256)
def _atlas(texts: tuple[str, ...], height_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Masks of several texts as one flat array, and the (offset, height, width) of each."""
    masks = [paper.text_mask(text, height_px) for text in texts]
    sizes = np.array([mask.shape for mask in masks], np.int64).reshape(-1, 2)
    ends = np.cumsum(sizes.prod(axis=1))
    flat = np.concatenate([np.zeros(0, np.uint8), *(mask.ravel() for mask in masks)])
    return flat, np.column_stack([np.concatenate([[0], ends[:-1]])[: len(masks)], sizes])


def _place_texts(page: PageSpec, segments: Sequence[Segment], to_px: tuple[float, float, float]) -> _Texts:
    scale, left, top = to_px
    entries: list[tuple[str, str, float, float]] = []  # name of its box, text, usual place (x_mm, y_mm)
    if page.show_lead_names:
        rise = geometry.NAME_RISE_MM + 0.73 * page.text_mm
        for segment in segments:
            x, y = segment.x0_mm + geometry.NAME_INDENT_MM, segment.baseline_mm - rise
            entries.append((f"text {segment.name}", segment.lead, x, y))
    movable = len(entries)
    if page.show_scale:
        text = f"{page.paper_speed_mm_per_s:g} mm/s    {page.gain_mm_per_mv:g} mm/mV"
        entries.append(("text scale", text, page.left_mm, page.height_mm - MARGIN_MM - page.text_mm))
    if page.header is not None:
        for line, text in enumerate(f"SYNTHETIC PAGE   {page.header}".split("\n")):
            entries.append((f"text header {line + 1}", text, page.left_mm, MARGIN_MM + 1.5 * line * page.text_mm))
    atlas, masks = _atlas(tuple(text for _, text, _, _ in entries), round(page.text_mm * scale * 4) / 4)
    places = np.array([entry[2:] for entry in entries]).reshape(-1, 1, 2).repeat(len(NAME_PLACES_MM), axis=1)
    places[:movable] += NAME_PLACES_MM
    places = np.rint(places * scale + (left, top)).astype(np.int64)
    return _Texts(atlas, masks, places, max(1, round(TEXT_CLEARANCE_MM * scale)), tuple(name for name, *_ in entries))


@lru_cache(maxsize=64)
def _plan(page: PageSpec, size: tuple[int, int], fs_hz: float, n_samples: int) -> _Plan:
    to_px = scale, left, top = geometry.page_frame(page, size)
    px_per_s = page.paper_speed_mm_per_s * scale
    segments, rows = geometry.page_segments(page), []
    for segment in segments:
        first, stop = geometry.shown_samples(segment, fs_hz, n_samples)
        x_first = left + segment.x0_mm * scale + (first / fs_hz - segment.t0_s) * px_per_s
        baseline = top + segment.baseline_mm * scale
        rows.append((geometry.LEAD_ROW[segment.lead], segment.row, x_first, baseline, first, stop))
    pen_px = page.trace_width_mm * scale
    lines = (paper.MINOR_MM, paper.MINOR_LINE_MM, paper.MAJOR_MM, paper.MAJOR_LINE_MM)
    crossing = (left + page.left_mm * scale, top + page.first_baseline_mm * scale)
    return _Plan(
        size=size,
        px_per_mm=scale,
        bounds=(round(top), round(size[0] - top), round(left), round(size[1] - left)),
        colours=_colours(page),
        grid=(*crossing, *(v * scale for v in lines)),
        segments=np.array(rows, np.float64),
        dx=px_per_s / fs_hz,
        px_per_mv=page.gain_mm_per_mv * scale,
        pen=(pen_px, raster.sub_columns(pen_px)),
        bars=_pulse_bars(page, to_px),
        texts=_place_texts(page, segments, to_px),
    )


def _draw(plan: _Plan, signal_mv: np.ndarray, picture: np.ndarray, channels_first: bool) -> np.ndarray:
    """Fill one C-contiguous picture; return the (x, y) that each text was given."""
    height, width = plan.size
    strides = (width, 1, height * width) if channels_first else (3 * width, 3, 1)
    texts = plan.texts
    chosen = np.empty((len(texts.names), 2), np.int64)
    raster.draw(
        picture.reshape(-1),
        (height, width, *strides, *plan.bounds),
        plan.colours,
        plan.grid,
        signal_mv,
        plan.segments,
        plan.dx,
        plan.px_per_mv,
        plan.pen,
        plan.bars,
        texts.atlas,
        texts.masks,
        texts.places,
        texts.clearance,
        chosen,
    )
    return chosen


def _check_signal(signal_mv: np.ndarray, fs_hz: float, ndim: int) -> np.ndarray:
    signal_mv = np.ascontiguousarray(signal_mv, dtype=np.float32)
    if signal_mv.ndim != ndim or signal_mv.shape[-2] != len(LEADS) or signal_mv.shape[-1] < 1:
        raise PageError(
            f"cannot draw a signal of shape {signal_mv.shape}",
            field="signal_mv",
            expected=f"{'[batch, ' if ndim == 3 else '['}12, time] in millivolts with at least one sample",
        )
    if not (np.isfinite(fs_hz) and 1.0 <= fs_hz <= 1e5):
        raise PageError(f"cannot draw a signal sampled at {fs_hz} Hz", field="fs_hz", expected="from 1 to 100000 Hz")
    return signal_mv


def draw_page(
    record: EcgRecord,
    page: PageSpec | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    dpi: float | None = None,
) -> EcgImage:
    """Draw one recording as a clean page, with the place of every sample, lead and letter.

    Each column shows its own 2.5 s of the recording and the strip below shows the first 10 s of lead II; a shorter
    recording leaves the rest empty, samples that are not finite leave gaps, and ink beyond the sheet is cut off.
    A lead name sits above the start of its trace, or where it meets least ink.

    Args:
        record: the recording, in millivolts. Nothing of its identity, labels or report is drawn.
        page: the page, `PageSpec()` when None.
        size: (height, width) in pixels; the page is centred and keeps its shape, the rest is plain paper.
        seed: kept with the picture; a clean page has no random choice in it.
        dpi: pixels an inch, instead of `size`; 200 when neither is given.

    Returns:
        The picture. `polylines` holds (x, y) for every shown sample, also where it lies beyond the sheet (NaN stays
        NaN). `boxes` holds the ink of each trace ("I", ..., "II rhythm"), of each name ("text I"), of the pulses
        ("pulse 1", top row first), and of "text scale" and "text header 1".

    Raises:
        PageError: the signal is empty or misshapen, or the picture would be absurdly small or large.

    Properties: geometry holds within a pixel at any size, deterministic, same pixels as `draw_pages`.

    Example:
        >>> record = EcgRecord("flat", np.zeros((12, 1000), np.float32), fs_hz=100.0)
        >>> image = draw_page(record, dpi=100)
        >>> image.pixels.shape, image.windows["V1"]
        ((850, 1100, 3), (500, 750))
        >>> np.round(np.diff(image.polylines["V1"][[0, 100], 0]), 2)  # 1 s is 25 mm
        array([98.43])
    """
    page = PageSpec() if page is None else page
    signal_mv = _check_signal(record.signal_mv, record.fs_hz, ndim=2)
    size = geometry.page_size_px(page, size, dpi)
    plan = _plan(page, size, float(record.fs_hz), signal_mv.shape[1])
    pixels = np.empty((*size, 3), np.uint8)
    text_px = _draw(plan, signal_mv, pixels, channels_first=False)

    polylines, windows, origins = {}, {}, {}
    for segment, (lead, _, x_first, baseline, first, stop) in zip(
        geometry.page_segments(page), plan.segments, strict=True
    ):
        window = windows[segment.name] = (int(first), int(stop))
        y = baseline - plan.px_per_mv * signal_mv[int(lead), slice(*window)].astype(np.float64)
        polylines[segment.name] = np.column_stack([x_first + plan.dx * np.arange(len(y)), y])
        origins[segment.name] = (segment.x0_mm, segment.baseline_mm, segment.t0_s)
    return EcgImage(
        pixels=pixels,
        mm_to_px=geometry.page_homography(page, size),
        polylines=polylines,
        boxes=_boxes(plan, polylines, text_px),
        windows=windows,
        gain_mm_per_mv=page.gain_mm_per_mv,
        paper_speed_mm_per_s=page.paper_speed_mm_per_s,
        fs_hz=record.fs_hz,
        seed=seed,
        origins_mm=origins,
    )


def _boxes(plan: _Plan, polylines: Mapping[str, np.ndarray], text_px: np.ndarray) -> dict[str, Box]:
    """Ink boxes of traces, pulses and texts, cut at the page; what left no ink has no box."""
    y0, y1, x0, x1 = plan.bounds
    boxes: dict[str, Box] = {}

    def add(name: str, low_x: float, low_y: float, high_x: float, high_y: float) -> None:
        box = (max(low_x, x0), max(low_y, y0), min(high_x, x1), min(high_y, y1))
        if box[0] < box[2] and box[1] < box[3]:
            boxes[name] = (float(box[0]), float(box[1]), float(box[2]), float(box[3]))

    half = plan.pen[0] / 2
    for name, line in polylines.items():
        drawn = line[np.isfinite(line[:, 1])]
        if len(drawn):
            add(name, *(drawn.min(axis=0) - half), *(drawn.max(axis=0) + half))
    for k, bars in enumerate(plan.bars.reshape(-1, 5, 4)):
        add(f"pulse {k + 1}", *bars[:, :2].min(axis=0), *bars[:, 2:].max(axis=0))
    for name, (_, height, width), (x, y) in zip(plan.texts.names, plan.texts.masks, text_px, strict=True):
        add(name, x, y, x + width, y + height)
    return boxes


def draw_pages(
    signals_mv: np.ndarray,
    fs_hz: float,
    pages: PageSpec | Sequence[PageSpec],
    size: tuple[int, int],
    *,
    out: np.ndarray | None = None,
    n_threads: int | None = None,
    channels_first: bool = False,
) -> np.ndarray:
    """Draw a batch of clean pages without ground truth: the fast path of training.

    Both memory orders cost the same; ask for the one that comes next (`channels_first=True` for torch).

    Args:
        signals_mv: `[batch, 12, time]` in millivolts.
        fs_hz: sampling rate in hertz.
        pages: one page for all, or one a recording.
        size: (height, width) in pixels.
        out: a C-contiguous uint8 array of the result's shape to draw into.
        n_threads: threads; None takes as many as the process may use. The kernels release the GIL.
        channels_first: return `[batch, 3, height, width]` instead of `[batch, height, width, 3]`.

    Returns:
        uint8 `[batch, height, width, 3]`, or `[batch, 3, height, width]`.

    Raises:
        PageError: as `draw_page`.
        ArgumentError: `pages` or `out` does not fit the batch.

    Properties: same pixels as `draw_page`, whatever the batch, its order, or the number of threads.

    Example:
        >>> draw_pages(np.zeros((2, 12, 1000), np.float32), 100.0, PageSpec.compact(), (192, 448)).shape
        (2, 192, 448, 3)
    """
    signals_mv = _check_signal(signals_mv, fs_hz, ndim=3)
    batch, n_samples = len(signals_mv), signals_mv.shape[2]
    pages = [pages] * batch if isinstance(pages, PageSpec) else list(pages)
    if len(pages) != batch:
        raise ArgumentError(f"{len(pages)} pages for {batch} recordings", field="pages", expected="one a recording")
    if not pages:
        raise PageError("there is no recording to draw", field="signals_mv", expected="at least one")
    size = geometry.page_size_px(pages[0], size)
    shape = (batch, 3, *size) if channels_first else (batch, *size, 3)
    if out is None:
        out = np.empty(shape, np.uint8)
    elif out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ArgumentError(
            f"cannot draw into {out.dtype} {out.shape}", field="out", expected=f"C-contiguous uint8 {shape}"
        )

    def draw_span(span: range) -> None:
        for i in span:
            _draw(_plan(pages[i], size, float(fs_hz), n_samples), signals_mv[i], out[i], channels_first)

    n_threads = min(batch, _usable_cores() if n_threads is None else max(1, n_threads))
    if n_threads == 1:
        draw_span(range(batch))
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(draw_span, [range(k, batch, n_threads) for k in range(n_threads)]))
    return out


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def px_to_mv(image: EcgImage, lead: str, points: np.ndarray) -> np.ndarray:
    """Read pixels of one lead as time and voltage, the inverse of `EcgImage.polylines`.

    **Equation**: t = t0 + (x_mm - x0) / v and u = (y0 - y_mm) / g, with (x_mm, y_mm) the point sent back through
    `mm_to_px`, v the paper speed and g the gain.

    Args:
        image: the page; its `mm_to_px` may be any homography, so that photographs work too.
        lead: a key of `image.polylines`.
        points: `[n, 2]` pixel coordinates (x, y), the centre of the top left pixel being (0.5, 0.5).

    Returns:
        float64 `[n, 2]`: seconds from the start of the recording, millivolts.

    Raises:
        ArgumentError: the page does not show that lead.

    Properties: inverse of the polylines.

    Example:
        >>> record = EcgRecord("ramp", np.full((12, 1000), 0.5, np.float32), fs_hz=100.0)
        >>> image = draw_page(record, dpi=100)
        >>> np.round(px_to_mv(image, "aVR", image.polylines["aVR"][:2]), 6).tolist()
        [[2.5, 0.5], [2.51, 0.5]]
    """
    if lead not in image.origins_mm:
        known = ", ".join(image.origins_mm)
        raise ArgumentError(f"the page does not show {lead!r}", field="lead", expected=f"one of {known}")
    x0_mm, y0_mm, t0_s = image.origins_mm[lead]
    points = np.asarray(points, np.float64).reshape(-1, 2)
    mm = np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(image.mm_to_px).T
    x_mm, y_mm = mm[:, 0] / mm[:, 2], mm[:, 1] / mm[:, 2]
    return np.column_stack([t0_s + (x_mm - x0_mm) / image.paper_speed_mm_per_s, (y0_mm - y_mm) / image.gain_mm_per_mv])
