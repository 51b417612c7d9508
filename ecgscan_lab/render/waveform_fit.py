"""Waveforms behind the ink of a page: all traces fitted to the picture together, by Gauss-Newton through the pen.

The samples y (in pixels) of every trace minimise

    sum over pixels of  w (T(y) - T_seen)^2  +  smooth * sum over samples of (y[i-1] - 2 y[i] + y[i+1])^2

with T the transparency that the rasteriser would draw. The second term decides only what the pen hides, for an edge is
known to a hundredth of a pixel. It starts large and shrinks, which leads past most wrong solutions; what is still wrong
then is tried again from other starts, window by window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.linalg import solveh_banded

from ecgscan_lab.render.plan import Plan
from ecgscan_lab.render.stroke_fit import normal_equations, stroke_edges

SMOOTH = 1e-4
FIRST_SMOOTH, SHRINK = 1.0, 0.6
ROUNDS = 26
DAMPING = 1e-3
LONGEST_STEP_PX = 20.0
BLOCK = 0.1
WRONG = 0.03
"""Squared error of a column above which its ink is not explained."""

LONGEST_WINDOW, LOCAL_ROUNDS, CLIMBS = 60, 12, 4


def _bending(y: np.ndarray, band: int) -> np.ndarray:
    """D'D of second differences between recorded samples, lower banded `[band + 1, sample]`."""
    n = len(y)
    matrix = np.zeros((max(band, 2) + 1, n))
    if n > 2:
        known = np.isfinite(y)
        w = (known[:-2] & known[1:-1] & known[2:]).astype(np.float64)
        matrix[0, :-2] += w
        matrix[0, 1:-1] += 4 * w
        matrix[0, 2:] += w
        matrix[1, :-2] -= 2 * w
        matrix[1, 1:-1] -= 2 * w
        matrix[2, :-2] += w
    return matrix


def _times(matrix: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Product of a symmetric matrix of bandwidth 2, lower banded, with a vector."""
    out = matrix[0] * y
    for k in (1, 2):
        out[:-k] += matrix[k, :-k] * y[k:]
        out[k:] += matrix[k, :-k] * y[:-k]
    return out


class WaveformFit:
    """Traces of one page on their way to the picture.

    Args:
        plan: the page in pixels.
        seen: float32 `[height, width]`, observed transparency of the traces.
        weight: float32 `[height, width]`, how much each pixel tells.
        first: first guess of each segment's samples in pixels (y down); NaN where nothing was recorded.
        runs: `[2, column]` for each segment on columns `columns`, the ink that belongs to it.
    """

    def __init__(self, plan: Plan, seen: np.ndarray, weight: np.ndarray, first: list[np.ndarray]) -> None:
        self.plan, self.seen, self.weight = plan, seen, weight
        self.y = [np.array(y, np.float64) for y in first]
        self.known = [np.isfinite(y) for y in self.y]
        pen_px, self.n_sub = plan.pen
        reach = int(pen_px / 2 * self.n_sub)
        self.band = max(2, math.ceil((self.n_sub + 2 * reach + 4) / (self.n_sub * plan.dx)) + 2)
        self.columns = segment_columns(plan)
        widest = int(self.columns[:, 1].max())
        shape = (len(self.y), 2, widest)
        self.edges = np.full(shape, np.nan)
        self.hangs = np.full((*shape, 2), -1, np.int64)
        self.mixes = np.zeros((*shape, 3))
        self.runs = np.full((len(self.y), 2, widest // self.n_sub), np.nan)
        self.bending = [_bending(y, self.band) for y in self.y]
        self.error = [np.zeros(n // self.n_sub) for n in self.columns[:, 1]]
        for s in range(len(self.y)):
            self.redraw(s)

    def redraw(self, s: int, span: tuple[int, int] | None = None) -> None:
        """Draw columns [span) of segment `s` anew, or all of it."""
        low, high = span or (0, len(self.error[s]))
        stroke_edges(
            self.y[s],
            self.plan.segments[s, 2],
            self.plan.dx,
            self.plan.pen[0],
            self.n_sub,
            self.columns[s, 0] * self.n_sub,
            (low * self.n_sub, high * self.n_sub),
            self.edges[s],
            self.hangs[s],
            self.mixes[s],
        )

    def _equations(
        self, s: int, span: tuple[int, int], part: tuple[int, int], block: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations of samples [part) of segment `s` from its columns [span)."""
        normal, pull = np.zeros((self.band + 1, part[1] - part[0])), np.zeros(part[1] - part[0])
        normal_equations(
            s,
            span,
            self.columns,
            self.edges,
            self.hangs,
            self.mixes,
            self.n_sub,
            self.seen,
            self.weight,
            self.runs[s],
            block,
            part[0],
            normal,
            pull,
            self.error[s],
        )
        return normal, pull

    def _step(self, s: int, part: tuple[int, int], normal: np.ndarray, pull: np.ndarray, smooth: float) -> np.ndarray:
        """Newton step of the samples [part) of segment `s`."""
        low, high = max(0, part[0] - 2), min(len(self.y[s]), part[1] + 2)
        y = np.where(self.known[s][low:high], self.y[s][low:high], 0.0)
        bent = _times(self.bending[s][:, low:high], y)[part[0] - low : part[1] - low]
        known = self.known[s][part[0] : part[1]]
        normal += smooth * self.bending[s][:, part[0] : part[1]]
        normal[0] += DAMPING
        normal[0, ~known] = 1.0
        step = solveh_banded(normal, pull - smooth * bent, lower=True, overwrite_ab=True, check_finite=False)
        return np.where(known, step, 0.0)

    def run(self) -> None:
        """Fit all segments, one after the other and round by round, then try again what is still wrong."""
        best = [(np.inf, y) for y in self.y]
        for k in range(ROUNDS):
            smooth = max(SMOOTH, FIRST_SMOOTH * SHRINK**k)
            longest = max(2.0, LONGEST_STEP_PX * 0.8**k)
            for s, y in enumerate(self.y):
                if not self.known[s].any():
                    continue
                normal, pull = self._equations(s, (0, len(self.error[s])), (0, len(y)), BLOCK)
                error = float(self.error[s].sum())
                if smooth == SMOOTH and error < best[s][0]:
                    best[s] = (error, y)
                step = self._step(s, (0, len(y)), normal, pull, smooth)
                self.y[s] = y + np.clip(step, -longest, longest)
                self.redraw(s)
        for s, (error, y) in enumerate(best):
            if error < np.inf:
                self.y[s] = y
                self.redraw(s)
        for _ in range(2):
            for s in range(len(self.y)):
                for window in list(self._wrong(s)):
                    self._retry(s, *window)

    def _wrong(self, s: int) -> Iterator[tuple[int, int]]:
        """Stretches of samples whose ink is not explained."""
        if not self.known[s].any():
            return
        self._equations(s, (0, len(self.error[s])), (0, 1), 0.0)
        bad = np.flatnonzero(self.error[s] > WRONG)
        if not len(bad):
            return
        for group in np.split(bad, np.flatnonzero(np.diff(bad) > 3) + 1):
            x = self.columns[s, 0] + np.array([group[0] - 1, group[-1] + 2])
            low, high = np.rint((x - self.plan.segments[s, 2]) / self.plan.dx).astype(int) + (-2, 3)
            low, high = max(low, 0), min(high, len(self.y[s]))
            if 3 <= high - low <= LONGEST_WINDOW:
                yield low, high

    def _starts(self, s: int, low: int, high: int) -> Iterator[np.ndarray]:
        """Other first guesses for a window: itself, moved in time, smoothed, bridged, one spike."""
        y = self.y[s]
        n = len(y)
        index = np.arange(low, high)
        for shift in (0, -1, 1):
            yield y[np.clip(index + shift, 0, n - 1)]
        yield (y[np.clip(index - 1, 0, n - 1)] + y[index] + y[np.clip(index + 1, 0, n - 1)]) / 3
        tops, bottoms = self._ink_at(s, index)
        if low == 0:
            bridge = y[high - 1] + (y[min(high, n - 1)] - y[high - 1]) * (index - high + 1)
        elif high == n:
            bridge = y[low] + (y[low] - y[low - 1]) * (index - low)
        else:
            bridge = np.interp(index, [low - 1, high], [y[low - 1], y[high]])
        yield bridge
        if low == 0 or high == n:
            for outer in (tops, bottoms, (tops + bottoms) / 2):
                for k in (1, 2, 4):
                    fan = y[low:high].copy()
                    if k < len(fan) and low == 0 and np.isfinite(outer[0]):
                        fan[:k] = np.linspace(outer[0], fan[k], k, endpoint=False)
                        yield fan
                    elif k < len(fan) and np.isfinite(outer[-1]):
                        fan[-k:] = np.linspace(outer[-1], fan[-k - 1], k, endpoint=False)[::-1]
                        yield fan
        elif np.isfinite(tops).any():
            tip = np.nanmin(tops)
            if abs(tip - bridge.mean()) < abs(np.nanmax(bottoms) - bridge.mean()):
                tip = np.nanmax(bottoms)
            centre = int(np.argmax(np.nan_to_num(bottoms - tops)))
            for k in range(max(0, centre - 3), min(len(index), centre + 6)):
                spike = bridge.copy()
                spike[k] = tip
                yield spike

    def _retry(self, s: int, low: int, high: int) -> None:
        """Fit one window again from other starts and keep the best."""
        x = self.plan.segments[s, 2] + self.plan.dx * np.array([low - 1, high]) - self.columns[s, 0]
        margin = self.plan.pen[0] / 2 + 1
        span = (max(0, int(x[0] - margin)), min(len(self.error[s]), math.ceil(x[1] + margin)))
        if not self.known[s][max(0, low - 1) : high + 1].all():
            return
        best = self._descend(s, low, high, span, self.y[s])
        for start in list(self._starts(s, low, high)):
            if best[0] < WRONG:
                break
            y = self.y[s].copy()
            y[low:high] = start
            best = min(best, self._descend(s, low, high, span, y), key=lambda found: found[0])
        for _ in range(CLIMBS):
            if best[0] < WRONG:
                break
            moved = self._move_samples(s, low, high, span, best[1])
            found = self._descend(s, low, high, span, moved)
            if found[0] > 0.9 * best[0]:
                best = min(best, found, key=lambda found: found[0])
                break
            best = found
        self.y[s] = best[1]
        self.redraw(s, span)

    def _total(self, s: int, low: int, high: int, span: tuple[int, int]) -> float:
        bend = np.diff(self.y[s][max(0, low - 2) : high + 2], 2)
        return float(self.error[s][span[0] : span[1]].sum()) + SMOOTH * float(bend @ bend)

    def _descend(
        self, s: int, low: int, high: int, span: tuple[int, int], start: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """A few Newton steps of one window: the least error on the way, and its samples."""
        least, best = np.inf, start
        self.y[s], kept = start, self.y[s]
        for k in range(LOCAL_ROUNDS):
            self.redraw(s, span)
            normal, pull = self._equations(s, span, (low, high), 0.0 if k > LOCAL_ROUNDS // 2 else BLOCK)
            y, total = self.y[s], self._total(s, low, high, span)
            if total < least:
                best, least = y, total
            step = self._step(s, (low, high), normal, pull, max(SMOOTH, 1e-2 * 0.4**k))
            self.y[s] = y.copy()
            self.y[s][low:high] += np.clip(step, -10.0, 10.0)
        self.y[s] = kept
        return least, best

    def _move_samples(self, s: int, low: int, high: int, span: tuple[int, int], start: np.ndarray) -> np.ndarray:
        """Move single samples to a neighbour's height, or to the upper or lower end of the ink, while that helps."""
        y, kept = start.copy(), self.y[s]
        self.y[s] = y
        index = np.arange(low, high)
        tops, bottoms = self._ink_at(s, index)
        self.redraw(s, span)
        self._equations(s, span, (low, low), 0.0)
        least = self._total(s, low, high, span)
        for i in index:
            here = y[i]
            for value in (y[max(i - 1, 0)], y[min(i + 1, len(y) - 1)], tops[i - low], bottoms[i - low]):
                if np.isfinite(value):
                    y[i] = value
                    self.redraw(s, span)
                    self._equations(s, span, (low, low), 0.0)
                    total = self._total(s, low, high, span)
                    if total < least:
                        least, here = total, value
            y[i] = here
        self.y[s] = kept
        return y

    def _ink_at(self, s: int, index: np.ndarray) -> np.ndarray:
        """Highest and lowest place of the pen's centre in the ink at some samples `[2, sample]`."""
        c = (self.plan.segments[s, 2] + index * self.plan.dx).astype(int) - self.columns[s, 0]
        runs = self.runs[s][:, np.clip(c, 0, self.runs.shape[2] - 1)]
        return runs + np.array([[0.5], [-0.5]]) * self.plan.pen[0]


def segment_columns(plan: Plan) -> np.ndarray:
    """First pixel column of each segment's stroke, with room to spare, and its number of sub-columns, `[segment, 2]`."""
    pen_px, n_sub = plan.pen
    margin = int(pen_px / 2 * n_sub) + 2
    columns = np.zeros((len(plan.segments), 2), np.int64)
    for s, (_, _, x_first, _, first, stop, _) in enumerate(plan.segments):
        column = math.floor(x_first - 2 * margin / n_sub)
        width = math.ceil((stop - first) * plan.dx + 4 * margin / n_sub) + 2
        columns[s] = column, width * n_sub
    return columns
