"""Read the waveform back from a clean page."""

from __future__ import annotations

import math

import numpy as np

from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import ink_runs, raster
from ecgscan_lab.render.plan import Plan, plan_page
from ecgscan_lab.render.waveform_fit import WaveformFit
from ecgscan_lab.types import EcgImage


def read_traces(image: EcgImage) -> dict[str, np.ndarray]:
    plan = _plan_of(image)
    seen, weight = _observe(image, plan)
    first, runs = _first_guess(plan, seen, image.page.pitch_mm * plan.px_per_mm)
    fit = WaveformFit(plan, seen, weight, first)
    for s, (column, run) in enumerate(runs):
        c = column - int(fit.columns[s, 0])
        fit.runs[s, :, c : c + run.shape[1]] = run
    fit.run()
    return {name: (row[3] - y) / row[6] for name, row, y in zip(image.windows, plan.segments, fit.y, strict=True)}


def _plan_of(image: EcgImage) -> Plan:
    n_samples = max((stop for _, stop in image.windows.values()), default=1)
    return plan_page(image.page, image.pixels.shape[:2], image.fs_hz, max(1, n_samples))


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


def _first_guess(
    plan: Plan, seen: np.ndarray, pitch_px: float
) -> tuple[list[np.ndarray], list[tuple[int, np.ndarray]]]:
    y0, y1, x0, x1 = plan.bounds
    pen_px, dx = plan.pen[0], plan.dx
    segments = plan.segments
    starts, ends = segments[:, 2] - pen_px / 2, segments[:, 2] + dx * (segments[:, 5] - segments[:, 4] - 1) + pen_px / 2
    runs: list[tuple[int, np.ndarray]] = []
    for s, (_, row, _, baseline, *_) in enumerate(segments):
        left, right = max(math.floor(starts[s]), x0), min(math.ceil(ends[s]), x1)
        right = max(left, right)
        tops, bottoms, count = ink_runs.find_runs(seen, left, right, y0, y1)
        centre = np.arange(left, right) + 0.5
        own = np.ones(len(centre), np.bool_)
        for k in np.flatnonzero(segments[:, 1] == row):
            if k != s:
                own &= (centre < starts[k] - 1) | (centre > ends[k] + 1)
        path = ink_runs.follow(tops, bottoms, count, baseline, pitch_px, pen_px, own)
        taken = np.arange(len(path)), np.maximum(path, 0)
        run = np.where(path >= 0, np.stack([tops[taken], bottoms[taken]]), np.nan)
        runs.append((left, run))
    first = []
    for s, (_, _, x_first, _, start, stop, _) in enumerate(segments):
        left, run = runs[s]
        clear = np.isfinite(run[0]) & ~_shared(s, runs, segments[:, 1])
        x = x_first + dx * np.arange(int(stop - start))
        y = np.full(len(x), np.nan)
        inked = np.isfinite(run[0])
        if inked.any():
            clear = clear if clear.any() else inked
            centre = np.arange(left, left + run.shape[1]) + 0.5
            y = np.interp(x, centre[clear], run.mean(axis=0)[clear])
            y[~inked[np.clip(x.astype(int) - left, 0, len(inked) - 1)]] = np.nan
        first.append(y)
    return first, runs


def _shared(s: int, runs: list[tuple[int, np.ndarray]], rows: np.ndarray) -> np.ndarray:
    """Columns whose run another trace takes as well, and reaches into more steeply."""
    left, run = runs[s]
    shared = np.zeros(run.shape[1], np.bool_)
    for k, (other_left, other) in enumerate(runs):
        low = max(left, other_left)
        high = min(left + run.shape[1], other_left + other.shape[1])
        if k == s or low >= high:
            continue
        same = run[0, low - left : high - left] == other[0, low - other_left : high - other_left]
        for start, stop in np.flatnonzero(np.diff(np.r_[0, same.astype(np.int8), 0])).reshape(-1, 2) + low:
            if rows[k] == rows[s] or _height(run, start - left, stop - left) <= _height(
                other, start - other_left, stop - other_left
            ):
                shared[start - left : stop - left] = True
    return shared


def _height(run: np.ndarray, start: int, stop: int) -> float:
    """Tallest run within two columns beside [start, stop)."""
    beside = [c for c in (start - 2, start - 1, stop, stop + 1) if 0 <= c < run.shape[1]]
    heights = run[1, beside] - run[0, beside]
    return float(np.nanmax(heights)) if np.isfinite(heights).any() else 0.0
