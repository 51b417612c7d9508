"""Newton steps of a stretch of one trace towards the picture, compiled as a whole."""

# Kernels are typed by Numba when they are compiled.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
from numba import njit

from ecgscan_lab.render.raster import copy_values
from ecgscan_lab.render.reading.stroke_fit import normal_equations, stroke_edges

DAMPING = 1e-3
"""Added to the diagonal of the normal equations: the least Levenberg-Marquardt damping."""


@njit(cache=True, nogil=True)
def _solve_banded(matrix, right):
    """Solve A x = b in place for a symmetric positive definite A, lower banded `[band + 1, n]` (Cholesky)."""
    band, n = matrix.shape[0] - 1, matrix.shape[1]
    for j in range(n):
        pivot = np.sqrt(max(matrix[0, j], 1e-12))
        matrix[0, j] = pivot
        reach = min(band, n - 1 - j)
        for k in range(1, reach + 1):
            matrix[k, j] /= pivot
        for k in range(1, reach + 1):
            for m in range(k, reach + 1):
                matrix[m - k, j + k] -= matrix[m, j] * matrix[k, j]
    for j in range(n):
        right[j] /= matrix[0, j]
        for k in range(1, min(band, n - 1 - j) + 1):
            right[j + k] -= matrix[k, j] * right[j]
    for j in range(n - 1, -1, -1):
        for k in range(1, min(band, n - 1 - j) + 1):
            right[j] -= matrix[k, j] * right[j + k]
        right[j] /= matrix[0, j]


@njit(cache=True, nogil=True)
def _spread(y):
    """Standard deviation of the differences of neighbours."""
    n = y.shape[0] - 1
    mean = (y[n] - y[0]) / n
    total = 0.0
    for i in range(n):
        total += (y[i + 1] - y[i] - mean) ** 2
    return np.sqrt(total / n)


@njit(cache=True, nogil=True)
def _bend(y, low, high, smooth, matrix, right):
    """Add second differences that touch samples [low, high) to the normal equations; returns their sum of squares."""
    total = 0.0
    for i in range(max(1, low - 1), min(y.shape[0] - 1, high + 1)):
        bend = y[i - 1] - 2.0 * y[i] + y[i + 1]
        if bend == bend:
            total += bend * bend
            for a in range(3):
                p = i - 1 + a - low
                if 0 <= p < high - low:
                    wa = -2.0 if a == 1 else 1.0
                    right[p] -= smooth * wa * bend
                    for b in range(a, 3):
                        if i - 1 + b < high:
                            matrix[b - a, p] += smooth * wa * (-2.0 if b == 1 else 1.0)
    return total


@njit(cache=True, nogil=True)
def newton_step(
    s, y, window, span, place, pen_px, page, runs, band, smooth, weight_of_bend, block, longest, damping, error
):
    """Redraw samples [window) of segment `s`, take their error, then step towards less of it.

    Args:
        s: the segment.
        y: its samples in pixels, NaN where nothing was recorded; changed in place.
        window, span: the samples that may move, and the columns to look at.
        place: x of the first sample, pixels a sample.
        pen_px: width of the pen.
        page: (columns, edges, hangs, mixes, n_sub, seen, weight) of all segments, see `normal_equations`.
        runs: ink of the segment.
        band: bandwidth of the normal equations.
        smooth, weight_of_bend: weight of the second differences in the step, and in the error that is returned.
        block: see `normal_equations`.
        longest: longest step of a sample in pixels; 0 only takes the error.
        damping: added to the diagonal of the normal equations.
        error: receives the squared error of each column of the span.

    Returns:
        Squared error of the samples as they were, with `weight_of_bend` times their bending.
    """
    columns, edges, hangs, mixes, n_sub, seen, weight = page
    low, high = window
    stroke_edges(
        y,
        place[0],
        place[1],
        pen_px,
        n_sub,
        columns[s, 0] * n_sub,
        (span[0] * n_sub, span[1] * n_sub),
        edges[s],
        hangs[s],
        mixes[s],
    )
    matrix, right = np.zeros((band + 1, high - low)), np.zeros(high - low)
    normal_equations(s, span, columns, edges, hangs, mixes, n_sub, seen, weight, runs, block, low, matrix, right, error)
    total = _bend(y, low, high, smooth, matrix, right) * weight_of_bend
    for c in range(span[0], span[1]):
        total += error[c]
    if longest > 0.0:
        for i in range(low, high):
            matrix[0, i - low] = matrix[0, i - low] + damping if y[i] == y[i] else 1.0
        _solve_banded(matrix, right)
        for i in range(low, high):
            y[i] += min(max(right[i - low], -longest), longest)
    return total


@njit(cache=True, nogil=True)
def descend(s, y, window, span, place, pen_px, page, runs, band, weight_of_bend, block, rounds, enough, error, best):
    """Newton steps of one window with a fading bend: the least error on the way, whose samples `best` receives."""
    low, high = window
    least, smooth, damping = np.inf, 1e-2, DAMPING
    for k in range(rounds):
        before = y[low:high].copy()
        pull = block if k <= rounds // 2 else 0.0
        total = newton_step(
            s, y, window, span, place, pen_px, page, runs, band, smooth, weight_of_bend, pull, 10.0, damping, error
        )
        if total < least:
            least, damping = total, max(DAMPING, damping / 4)
            copy_values(best, before)
            if least < enough:
                break
        elif k > rounds // 2:
            copy_values(y[low:high], best)
            damping *= 8
        smooth = max(weight_of_bend, 0.4 * smooth)
    return least


@njit(cache=True, nogil=True)
def move_samples(s, y, window, span, place, pen_px, page, runs, band, weight_of_bend, ends, error):
    """Move single samples to a neighbour's height or to an end of the ink, `ends` `[2, sample]`, while that helps."""
    n = y.shape[0]
    least = newton_step(s, y, window, span, place, pen_px, page, runs, band, 0.0, weight_of_bend, 0.0, 0.0, 0.0, error)
    for i in range(window[0], window[1]):
        here = y[i]
        options = (y[max(i - 1, 0)], y[min(i + 1, n - 1)], ends[0, i - window[0]], ends[1, i - window[0]])
        for value in options:
            if value == value:
                y[i] = value
                total = newton_step(
                    s, y, window, span, place, pen_px, page, runs, band, 0.0, weight_of_bend, 0.0, 0.0, 0.0, error
                )
                if total < least:
                    least, here = total, value
        y[i] = here
    return least


@njit(cache=True, nogil=True)
def shift_parts(s, y, window, span, place, pen_px, page, runs, band, weight_of_bend, error):
    """Move the stretch of samples that gains most by one sample in time, over and over, while that helps."""
    low, high = window
    least = newton_step(s, y, window, span, place, pen_px, page, runs, band, 0.0, weight_of_bend, 0.0, 0.0, 0.0, error)
    for _ in range(high - low):
        kept = y[low:high].copy()
        best, improved = kept, False
        for i in range(high - low - 1):
            for j in range(i + 2, high - low + 1):
                for way in (-1, 1):
                    for k in range(i, j):
                        y[low + k] = kept[min(max(k - way, i), j - 1)]
                    total = newton_step(
                        s, y, window, span, place, pen_px, page, runs, band, 0.0, weight_of_bend, 0.0, 0.0, 0.0, error
                    )
                    if total < least:
                        least, best, improved = total, y[low:high].copy(), True
                    copy_values(y[low + i : low + j], kept[i:j])
        copy_values(y[low:high], best)
        if not improved:
            break


@njit(cache=True, nogil=True)
def hop(s, y, window, span, place, pen_px, page, runs, band, weight_of_bend, block, rounds, enough, error, hops, best):
    """Disturb the best samples of one window at random and descend again, `hops` times; the least error found.

    A stretch of samples is moved by one in time, or all are shaken. The random numbers are the same in every call.
    """
    np.random.seed(0)
    low, high = window
    n = high - low
    copy_values(best, y[low:high])
    found = np.empty(n)
    least = newton_step(s, y, window, span, place, pen_px, page, runs, band, 0.0, weight_of_bend, 0.0, 0.0, 0.0, error)
    for _ in range(hops):
        spread = 0.6 * _spread(best) + 0.2
        i = np.random.randint(0, n - 1)
        j = min(n, i + np.random.randint(2, 8))
        way = 2 * np.random.randint(0, 2) - 1
        shaken = np.random.rand() < 0.5
        for k in range(n):
            moved = i <= k < j
            if shaken:
                y[low + k] = best[k] + (np.random.normal() * spread if moved else 0.0)
            else:
                y[low + k] = best[min(max(k - way, i), j - 1)] if moved else best[k]
        total = descend(
            s, y, window, span, place, pen_px, page, runs, band, weight_of_bend, block, rounds, enough, error, found
        )
        if total < least:
            least = total
            copy_values(best, found)
            if least < enough:
                break
    copy_values(y[low:high], best)
    return least
