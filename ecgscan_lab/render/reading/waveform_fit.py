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
from itertools import combinations, product

import numpy as np

from ecgscan_lab.render.plan import Plan
from ecgscan_lab.render.reading.window_fit import DAMPING, descend, hop, move_samples, newton_step, shift_parts

SMOOTH = 3e-5
FIRST_SMOOTH, SHRINK = 1.0, 0.5
ROUNDS = 20
LONGEST_STEP_PX = 20.0
BLOCK = 0.1
WRONG = 0.03
"""Squared error of a column above which its ink is not explained."""
HOPS, HOP_ROUNDS = 40, 8
MOST_RETRIES = 60
PAIR_ROUNDS, PAIR_TURNS = 16, 3
FAINT = 0.004
"""Squared error of a column above which a few more steps may help."""

LONGEST_WINDOW, LONGEST_SHIFT, LOCAL_ROUNDS, CLIMBS = 60, 16, 12, 4


class WaveformFit:
    """Traces of one page on their way to the picture.

    Args:
        plan: the page in pixels.
        seen: float32 `[height, width]`, observed transparency of the traces.
        weight: float32 `[height, width]`, how much each pixel tells.
        first: first guess of each segment's samples in pixels (y down); NaN where nothing was recorded.
        runs: for each segment its first column and `[2, column]`, top and bottom of the ink that belongs to it.
    """

    def __init__(
        self,
        plan: Plan,
        seen: np.ndarray,
        weight: np.ndarray,
        first: list[np.ndarray],
        runs: list[tuple[int, np.ndarray]],
    ) -> None:
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
        for s, (column, run) in enumerate(runs):
            c = column - int(self.columns[s, 0])
            self.runs[s, :, c : c + run.shape[1]] = run
        self.tangles = find_tangles(runs, plan.segments[:, 1])
        self.error = [np.zeros(n // self.n_sub) for n in self.columns[:, 1]]
        for s in range(len(self.y)):
            self._step(s, 0.0, 0.0)

    def _page(self) -> tuple[object, ...]:
        return self.columns, self.edges, self.hangs, self.mixes, self.n_sub, self.seen, self.weight

    def _segment(self, s: int) -> tuple[object, ...]:
        """What the kernels know of segment `s`: place of its samples, pen, page, ink, bandwidth."""
        place = (self.plan.segments[s, 2], self.plan.dx)
        return place, self.plan.pen[0], self._page(), self.runs[s], self.band

    def _step(self, s: int, smooth: float, longest: float) -> float:
        """Redraw segment `s`, take its error, and step."""
        window, span = (0, len(self.y[s])), (0, len(self.error[s]))
        return newton_step(
            s, self.y[s], window, span, *self._segment(s), smooth, 0.0, BLOCK, longest, DAMPING, self.error[s]
        )

    def run(self) -> None:
        """Fit all segments, one after the other and round by round, then try again what is still wrong."""
        drawn = [s for s in range(len(self.y)) if self.known[s].any()]
        best = {s: (np.inf, self.y[s]) for s in drawn}
        for k in range(ROUNDS):
            smooth = max(SMOOTH, FIRST_SMOOTH * SHRINK**k)
            for s in drawn:
                before = self.y[s].copy()
                error = self._step(s, smooth, max(2.0, LONGEST_STEP_PX * 0.8**k))
                if smooth == SMOOTH and error < best[s][0]:
                    best[s] = (error, before)
        for s in drawn:
            self.y[s] = best[s][1]
            self._step(s, 0.0, 0.0)
        for limit in (FAINT, WRONG, FAINT, WRONG, FAINT):
            for s in drawn:
                self._step(s, 0.0, 0.0)
            if limit == WRONG:
                self._untangle()
            windows = [(s, *window) for s in drawn for window in self._wrong(s, limit)]
            windows.sort(key=lambda window: -self._error(*window))
            for window in windows[:MOST_RETRIES] if limit == WRONG else windows:
                self._retry(*window, thorough=limit == WRONG)

    def _wrong(self, s: int, limit: float) -> Iterator[tuple[int, int]]:
        """Stretches of samples whose ink is not explained."""
        bad = np.flatnonzero(self.error[s] > limit)
        if not len(bad):
            return
        for group in np.split(bad, np.flatnonzero(np.diff(bad) > 3) + 1):
            x = self.columns[s, 0] + np.array([group[0] - 1, group[-1] + 2])
            low, high = np.rint((x - self.plan.segments[s, 2]) / self.plan.dx).astype(int) + np.array([-2, 3])
            low, high = max(low, 0), min(high, len(self.y[s]))
            if high - low >= 3:
                parts = math.ceil((high - low) / LONGEST_WINDOW)
                cuts = np.linspace(low, high, parts + 1).astype(int)
                yield from zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)

    def _starts(self, s: int, low: int, high: int) -> Iterator[np.ndarray]:
        """Other first guesses for a window: itself, moved in time, smoothed, bridged, one spike."""
        y = self.y[s]
        n = len(y)
        index = np.arange(low, high)
        for shift in (0, -1, 1):
            yield y[np.clip(index + shift, 0, n - 1)]
        yield (y[np.clip(index - 1, 0, n - 1)] + y[index] + y[np.clip(index + 1, 0, n - 1)]) / 3
        tops, bottoms = self._ink_at(s, index)
        bridge = self._bridge(s, low, high)
        yield bridge
        if low == 0 or high == n:
            for outer in (tops, bottoms, (tops + bottoms) / 2):
                for k in (1, 2, 4, 6, 9):
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

    def _bridge(self, s: int, low: int, high: int) -> np.ndarray:
        """A straight line through a window: between its neighbours, or on from the two on the one side there is."""
        y, n = self.y[s], len(self.y[s])
        around = [low - 1, high] if low > 0 and high < n else [high, high + 1] if low == 0 else [low - 2, low - 1]
        if around[0] < 0 or around[1] >= n:
            return y[low:high].copy()
        slope = (y[around[1]] - y[around[0]]) / (around[1] - around[0])
        return y[around[0]] + slope * (np.arange(low, high) - around[0])

    def _retry(self, s: int, low: int, high: int, thorough: bool) -> None:
        """Fit one window again, from other starts too if `thorough`, and keep the best."""
        span = self._span(s, low, high)
        if not self.known[s][max(0, low - 1) : high + 1].all():
            return
        window, known, y = (low, high), self._segment(s), self.y[s]
        best, least = np.empty(high - low), np.inf

        def descend_from(start: np.ndarray) -> tuple[float, np.ndarray]:
            y[low:high] = start
            found = np.empty(high - low)
            error = descend(s, y, window, span, *known, SMOOTH, BLOCK, LOCAL_ROUNDS, enough, self.error[s], found)
            return error, found

        enough = WRONG if thorough else FAINT
        for start in list(self._starts(s, low, high)) if thorough else [y[low:high].copy()]:
            error, found = descend_from(start)
            if error < least:
                least, best = error, found
            if least < enough:
                break
        for _ in range(CLIMBS if thorough else 0):
            if least < enough:
                break
            y[low:high] = best
            move_samples(s, y, window, span, *known, SMOOTH, self._ink_at(s, np.arange(low, high)), self.error[s])
            if high - low <= LONGEST_SHIFT:
                shift_parts(s, y, window, span, *known, SMOOTH, self.error[s])
            error, found = descend_from(y[low:high].copy())
            gain = least - error
            if gain > 0:
                least, best = error, found
            if gain < 0.1 * least:
                break
        y[low:high] = best
        if thorough and least > enough and HOPS:
            hop(s, y, window, span, *known, SMOOTH, 0.0, HOP_ROUNDS, enough, self.error[s], HOPS, best)
        newton_step(s, y, window, span, *known, 0.0, 0.0, 0.0, 0.0, 0.0, self.error[s])

    def _untangle(self) -> None:
        """Fit two traces at once where they share ink and are wrong: they cross, or one begins as the other ends."""
        for s, k, start, stop in self.tangles:
            windows = []
            for t in (s, k):
                if not self.known[t].any():
                    break
                columns = np.array([start, stop]) - self.columns[t, 0]
                if self.error[t][max(0, columns[0]) : columns[1]].max(initial=0.0) > WRONG:
                    x = np.array([start - 1, stop + 1]) - self.plan.segments[t, 2]
                    low, high = np.rint(x / self.plan.dx).astype(int).tolist()
                    low, high = max(0, low), min(high, len(self.y[t]))
                    if 2 <= high - low <= LONGEST_WINDOW:
                        windows.append((t, low, high))
            if len(windows) == 2:
                self._retry_pair(*windows)

    def _retry_pair(self, *windows: tuple[int, int, int]) -> None:
        """Fit a window of each of two traces, from all pairs of coarse starts, and keep the best pair."""
        if not all(self.known[s][max(0, low - 1) : high + 1].all() for s, low, high in windows):
            return
        best, least = None, np.inf
        for pair in list(product(*(self._coarse_starts(*window) for window in windows))):
            found = [start.copy() for start in pair]
            for (s, low, high), start in zip(windows, pair, strict=True):
                self.y[s][low:high] = start
                self._take(s, low, high)
            for _ in range(PAIR_TURNS):
                for (s, low, high), samples in zip(windows, found, strict=True):
                    span = self._span(s, low, high)
                    known = self._segment(s)
                    descend(
                        s,
                        self.y[s],
                        (low, high),
                        span,
                        *known,
                        SMOOTH,
                        BLOCK,
                        PAIR_ROUNDS,
                        FAINT,
                        self.error[s],
                        samples,
                    )
                    self.y[s][low:high] = samples
                    self._take(s, low, high)
            total = sum(self._take(s, low, high) for s, low, high in windows)
            if total < least:
                best, least = found, total
            if least < WRONG:
                break
        for (s, low, high), samples in zip(windows, best or [], strict=True):
            self.y[s][low:high] = samples
            self._take(s, low, high)

    def _error(self, s: int, low: int, high: int) -> float:
        first, stop = self._span(s, low, high)
        return float(self.error[s][first:stop].sum())

    def _take(self, s: int, low: int, high: int) -> float:
        """Redraw a window; its error."""
        span = self._span(s, low, high)
        return newton_step(
            s, self.y[s], (low, high), span, *self._segment(s), 0.0, SMOOTH, 0.0, 0.0, 0.0, self.error[s]
        )

    def _coarse_starts(self, s: int, low: int, high: int) -> list[np.ndarray]:
        """Itself, straight on, on with its slopes, an arch (at a trace's end: a slope) to either side of the ink."""
        y, n = self.y[s], len(self.y[s])
        bridge = self._bridge(s, low, high)
        starts = [y[low:high].copy(), bridge]
        t = (np.arange(low, high) - low + 1.0) / (high - low + 1)
        inside = low >= 2 and high + 2 <= n
        if inside:
            into, out = y[low - 1] - y[low - 2], y[high + 1] - y[high]
            chord = y[high] - y[low - 1]
            for strength in (1.0, 2.0):
                a, b = strength * into * (high - low + 1) - chord, strength * out * (high - low + 1) - chord
                starts.append(bridge + a * t * (1 - t) ** 2 - b * t**2 * (1 - t))
        for ends, extreme in zip(self._ink_at(s, np.arange(low, high)), (np.nanmin, np.nanmax), strict=True):
            if not np.isfinite(ends).any():
                continue
            for height in (float(extreme(ends)), float(np.nanmedian(ends))):
                if inside:
                    starts.append(bridge + (height - bridge[len(t) // 2]) * np.sin(np.pi * t) ** 1.5)
                else:
                    inner = bridge[-1] if low == 0 else bridge[0]
                    starts.append(inner + (height - inner) * (1 - t if low == 0 else t))
        return starts

    def _span(self, s: int, low: int, high: int) -> tuple[int, int]:
        """Columns that samples [low, high) may ink."""
        x = self.plan.segments[s, 2] + self.plan.dx * np.array([low - 1, high]) - self.columns[s, 0]
        margin = self.plan.pen[0] / 2 + 1
        return max(0, int(x[0] - margin)), min(len(self.error[s]), math.ceil(x[1] + margin))

    def _ink_at(self, s: int, index: np.ndarray) -> np.ndarray:
        """Highest and lowest place of the pen's centre in the ink at some samples `[2, sample]`."""
        c = (self.plan.segments[s, 2] + index * self.plan.dx).astype(int) - self.columns[s, 0]
        runs = self.runs[s][:, np.clip(c, 0, self.runs.shape[2] - 1)]
        return runs + np.array([[0.5], [-0.5]]) * self.plan.pen[0]


def shared_columns(a: tuple[int, np.ndarray], b: tuple[int, np.ndarray]) -> list[tuple[int, int]]:
    """Stretches of picture columns [start, stop) in which two traces take the same run of ink.

    Args:
        a, b: the first column of a trace and its runs `[2, column]`.
    """
    low = max(a[0], b[0])
    high = min(a[0] + a[1].shape[1], b[0] + b[1].shape[1])
    if low >= high:
        return []
    same = a[1][0, low - a[0] : high - a[0]] == b[1][0, low - b[0] : high - b[0]]
    edges = np.flatnonzero(np.diff(np.r_[0, same.astype(np.int8), 0])) + low
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def find_tangles(runs: list[tuple[int, np.ndarray]], rows: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Where two traces share ink, or meet in a row: (segment, segment, first column, last + 1)."""
    tangles = []
    for s, k in combinations(range(len(runs)), 2):
        (a, first), (b, second) = runs[s], runs[k]
        low, high = max(a, b), min(a + first.shape[1], b + second.shape[1])
        if rows[s] == rows[k]:
            tangles += [(s, k, low, high)] if low < high else []
            continue
        for start, stop in shared_columns(runs[s], runs[k]):
            if tangles and tangles[-1][:2] == (s, k) and start - tangles[-1][3] <= 3:
                start = tangles.pop()[2]
            tangles.append((s, k, start, stop))
    return tangles


def segment_columns(plan: Plan) -> np.ndarray:
    """First pixel column of each segment's stroke, with room to spare, and how many sub-columns, `[segment, 2]`."""
    pen_px, n_sub = plan.pen
    margin = int(pen_px / 2 * n_sub) + 2
    columns = np.zeros((len(plan.segments), 2), np.int64)
    for s, (_, _, x_first, _, first, stop, _) in enumerate(plan.segments):
        column = math.floor(x_first - 2 * margin / n_sub)
        width = math.ceil((stop - first) * plan.dx + 4 * margin / n_sub) + 2
        columns[s] = column, width * n_sub
    return columns
