"""Read the waveform back from a clean page: millivolts from pixels, by analysis through synthesis.

The page is known, so it is drawn once more without its traces; what is darker in the picture is the ink of traces,
pixel by pixel (`seen`, the transparency that the traces leave). `ink_runs` says which ink belongs to which trace, and
the middle of each column's ink is a first guess, good for about 15 dB. `waveform_fit` then looks for the samples whose
strokes, drawn by the same rasteriser, give exactly these pixels: anti-aliasing gives the edges of a stroke away to a
hundredth of a pixel, so that more than one sample a column can be told.
"""

from __future__ import annotations

import math

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import raster
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.plan import Plan, plan_page
from ecgscan_lab.render.reading import ink_runs
from ecgscan_lab.render.reading.waveform_fit import WaveformFit, shared_columns
from ecgscan_lab.types import EcgImage

DARKEST = 0.05
"""Where print leaves less than this share of the paper's contrast, a pixel says nothing about the traces."""

TOUCH_PX = 0.5
"""White that rounding may leave between the runs of neighbouring columns of one stroke."""


def read_traces(image: EcgImage) -> dict[str, np.ndarray]:
    """Read every trace of a clean page.

    **Equation**: the samples u of all traces minimise sum over pixels of w (T(u) - T_seen)^2 with T the transparency
    that the rasteriser draws for u and T_seen = <pixel - ink, paper - ink> / |paper - ink|^2; see `waveform_fit`.

    Args:
        image: a page as `draw_page` made it, without degradation. Its pixels and geometry are used (page, windows,
            places of the lettering), never its polylines.

    Returns:
        Trace ("I", ..., "II rhythm") -> float64 `[shown samples]` in millivolts at `image.fs_hz`; NaN where there is no
        ink. Ink that lies beyond the sheet, or behind lettering, is filled in smoothly.

    Raises:
        ArgumentError: the page was degraded, or was not drawn by this package.

    Properties: 25 dB or more on every lead of real 100 Hz recordings at 200 dpi, NaN spans stay NaN, crossing traces
        are told apart. At 500 Hz a pen of 0.3 mm covers six samples and hides part of the noise between them: strong
        muscle or mains noise leaves some leads below 25 dB.

    Example:
        >>> from ecgscan_lab.render.renderer import draw_page
        >>> from ecgscan_lab.types import EcgRecord
        >>> sine = 0.5 * np.sin(np.arange(1000) / 10)
        >>> image = draw_page(EcgRecord("sine", np.tile(sine, (12, 1)).astype(np.float32), 100.0))
        >>> bool(np.abs(read_traces(image)["V1"] - sine[500:750]).max() < 0.002)
        True
    """
    plan = _plan_of(image)
    seen, weight = _observe(image, plan)
    runs = _own_ink(plan, seen, image.page.pitch_mm * plan.px_per_mm)
    fit = WaveformFit(plan, seen, weight, _first_guess(plan, seen, weight, runs), runs)
    fit.run()
    rows = zip(image.windows, plan.segments, fit.y, strict=True)
    return {name: (row[3] - y) / row[6] for name, row, y in rows}


def read_trace(image: EcgImage, lead: str) -> np.ndarray:
    """Read one trace of a clean page: `read_traces(image)[lead]`, for neighbours must be told apart anyway.

    Raises:
        ArgumentError: the page does not show that lead, or was degraded.
    """
    if lead not in image.windows:
        known = ", ".join(image.windows)
        raise ArgumentError(f"the page does not show {lead!r}", field="lead", expected=f"one of {known}")
    return read_traces(image)[lead]


def read_page(image: EcgImage) -> np.ndarray:
    """Read a clean page back as a recording.

    Args:
        image: see `read_traces`.

    Returns:
        float64 `[12, time]` in millivolts at `image.fs_hz`, rows in the order of `LEADS`, up to the last sample that is
        shown; NaN where the page shows nothing. Where a lead is shown twice, the mean of both.

    Raises:
        ArgumentError: as `read_traces`.

    Example:
        >>> from ecgscan_lab.render.renderer import draw_page
        >>> from ecgscan_lab.types import EcgRecord
        >>> image = draw_page(EcgRecord("flat", np.full((12, 1000), 0.25, np.float32), 100.0), dpi=100)
        >>> read = read_page(image)
        >>> read.shape, np.isfinite(read).sum(axis=1)[:3].tolist(), float(np.nanmean(read).round(3))
        ((12, 1000), [250, 1000, 250], 0.25)
    """
    traces = read_traces(image)
    total = np.zeros((len(LEADS), max((stop for _, stop in image.windows.values()), default=0)))
    count = np.zeros(total.shape, np.int64)
    for name, mv in traces.items():
        lead = LEADS.index(name.removesuffix(" rhythm"))
        window = slice(*image.windows[name])
        total[lead, window] += np.nan_to_num(mv)
        count[lead, window] += np.isfinite(mv)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _plan_of(image: EcgImage) -> Plan:
    drawn = isinstance(image, EcgImage) and isinstance(image.page, PageSpec)
    if not drawn or image.degradation is not None:
        raise ArgumentError(
            "only clean pages can be read back",
            field="image",
            expected="a page drawn by draw_page without degradation",
            fix="draw it again with degrade=None, or digitise it",
        )
    n_samples = max((stop for _, stop in image.windows.values()), default=1)
    return plan_page(image.page, image.pixels.shape[:2], float(image.fs_hz), max(1, n_samples))


def _observe(image: EcgImage, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """Transparency of the traces alone, and the weight of each pixel: the page is drawn without traces and compared."""
    height, width = plan.size
    texts = plan.texts
    places = texts.places.copy()
    for k, line in enumerate(texts.prints):
        if line.name in image.boxes:
            places[k] = np.rint(image.boxes[line.name][:2]).astype(np.int64)
    empty = np.empty((height, width, 3), np.uint8)
    frame = (height, width, 3 * width, 3, 1, *plan.bounds)
    segments = plan.segments.copy()
    segments[:, 4:6] = 0
    raster.draw(
        empty.reshape(-1),
        frame,
        plan.colours,
        plan.grid,
        np.full((len(LEADS), 1), np.nan, np.float32),
        segments,
        plan.dx,
        plan.pen,
        plan.bars,
        texts.atlas,
        texts.masks,
        places,
        texts.clearance,
        np.empty((len(texts.prints), 2), np.int64),
    )
    ink = plan.colours[3]
    contrast = empty - ink
    power = np.einsum("ijk,ijk->ij", contrast, contrast)
    seen = np.einsum("ijk,ijk->ij", image.pixels - ink, contrast) / np.maximum(power, 1.0)
    weight = power / max(float(power.max()), 1.0)
    dark = weight < 0.05
    seen[dark], weight[dark] = 1.0, 0.0
    return np.clip(seen, 0.0, 1.0), weight


def _own_ink(plan: Plan, seen: np.ndarray, pitch_px: float) -> list[tuple[int, np.ndarray]]:
    """For each segment, its first column and the ink that it takes in each column, `[2, column]` (top, bottom)."""
    y0, y1, x0, x1 = plan.bounds
    pen_px, segments = plan.pen[0], plan.segments
    starts = segments[:, 2] - pen_px / 2
    ends = segments[:, 2] + plan.dx * (segments[:, 5] - segments[:, 4] - 1) + pen_px / 2
    runs = []
    for s, (_, row, _, baseline, *_) in enumerate(segments):
        left = max(math.floor(starts[s]), x0)
        right = max(left, min(math.ceil(ends[s]), x1))
        tops, bottoms, count = ink_runs.find_runs(seen, left, right, y0, y1)
        centre = np.arange(left, right) + 0.5
        own = np.ones(len(centre), np.bool_)
        for k in np.flatnonzero(segments[:, 1] == row):
            if k != s:
                own &= (centre < starts[k] - 1) | (centre > ends[k] + 1)
        path = ink_runs.follow(tops, bottoms, count, baseline, pitch_px, pen_px, own)
        taken = np.arange(len(path)), np.maximum(path, 0)
        runs.append((left, np.where(path >= 0, np.stack([tops[taken], bottoms[taken]]), np.nan)))
    _give_back(runs, segments[:, 1], segments[:, 3])
    return runs


def _give_back(runs: list[tuple[int, np.ndarray]], rows: np.ndarray, baselines: np.ndarray) -> None:
    """Where a trace has a gap its path leads through foreign ink: that is what no run beside it touches."""

    def joined(s: int, start: int, stop: int) -> bool:
        left, run = runs[s]
        for inner, outer in ((start - left, start - left - 1), (stop - 1 - left, stop - left)):
            if 0 <= outer < run.shape[1] and (
                max(run[0, inner], run[0, outer]) <= min(run[1, inner], run[1, outer]) + TOUCH_PX
            ):
                return True
        return False

    def away(s: int, start: int, stop: int) -> float:
        left, run = runs[s]
        top, bottom = run[:, start - left : stop - left]
        return float(np.maximum(0.0, np.maximum(top - baselines[s], baselines[s] - bottom)).mean())

    for s in range(len(runs)):
        for k in range(s):
            for start, stop in shared_columns(runs[s], runs[k]) if rows[k] != rows[s] else []:
                mine, theirs = joined(s, start, stop), joined(k, start, stop)
                if mine and theirs:
                    continue
                if mine == theirs:
                    mine = away(s, start, stop) < away(k, start, stop)
                left, run = runs[k] if mine else runs[s]
                run[:, start - left : stop - left] = np.nan


def _first_guess(
    plan: Plan, seen: np.ndarray, weight: np.ndarray, runs: list[tuple[int, np.ndarray]]
) -> list[np.ndarray]:
    """The middle of each column's ink at the place of each sample, in pixels; NaN where paper shows none."""
    first = []
    for s, (_, _, x_first, _, start, stop, _) in enumerate(plan.segments):
        left, run = runs[s]
        x = x_first + plan.dx * np.arange(int(stop - start))
        inked = np.isfinite(run[0])
        if not inked.any():
            first.append(np.full(len(x), np.nan))
            continue
        clear = inked & ~_shared(s, runs, plan.segments[:, 1])
        clear = clear if clear.any() else inked
        centre = np.arange(left, left + run.shape[1]) + 0.5
        y = np.interp(x, centre[clear], run.mean(axis=0)[clear])
        rows = np.clip(y.astype(int), 0, weight.shape[0] - 1)
        hidden = weight[rows, np.clip(x.astype(int), 0, weight.shape[1] - 1)] == 0  # behind a mark: it may be there
        y[~(_recorded(x, left, run, seen, plan.pen[0], plan.dx) | hidden)] = np.nan
        first.append(y)
    return first


def _recorded(x: np.ndarray, left: int, run: np.ndarray, seen: np.ndarray, pen_px: float, dx: float) -> np.ndarray:
    """Which samples lie on a stroke: its ink goes on for half a pen's width beyond its first and last sample.

    Part of a column is inked at the end of a stroke, as much of it as the darkest of its pixels says.
    """
    inked = np.isfinite(run[0])
    recorded = np.zeros(len(x), np.bool_)
    darkest = np.zeros(len(inked))
    for c in np.flatnonzero(inked):
        rows = slice(int(run[0, c]), math.ceil(run[1, c]))
        darkest[c] = min(1.0, float((1.0 - seen[rows, left + c]).max(initial=0.0)))
    edges = np.flatnonzero(np.diff(np.r_[0, inked.astype(np.int8), 0])).reshape(-1, 2)
    for start, stop in edges:
        inner = darkest[start:stop].max()
        low = left + start + 1 - darkest[start] / inner
        high = left + stop - 1 + darkest[stop - 1] / inner
        half = min(pen_px / 2, (high - low) / 2)
        recorded |= (x >= low + half - 0.75 * dx - 0.1) & (x <= high - half + 0.75 * dx + 0.1)
    return recorded


def _shared(s: int, runs: list[tuple[int, np.ndarray]], rows: np.ndarray) -> np.ndarray:
    """Columns whose run another trace takes as well, and reaches into more steeply."""
    left, run = runs[s]
    shared = np.zeros(run.shape[1], np.bool_)
    for k, (other_left, other) in enumerate(runs):
        for start, stop in shared_columns(runs[s], runs[k]) if k != s else []:
            mine = _height(run, start - left, stop - left)
            if rows[k] == rows[s] or mine <= _height(other, start - other_left, stop - other_left):
                shared[start - left : stop - left] = True
    return shared


def _height(run: np.ndarray, start: int, stop: int) -> float:
    """Tallest run within two columns beside [start, stop)."""
    beside = [c for c in (start - 2, start - 1, stop, stop + 1) if 0 <= c < run.shape[1]]
    heights = run[1, beside] - run[0, beside]
    return float(np.nanmax(heights)) if np.isfinite(heights).any() else 0.0
