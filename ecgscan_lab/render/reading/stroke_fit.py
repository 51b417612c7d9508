"""Gauss-Newton through the rasteriser: how every pixel of a stroke depends on the samples of its trace.

The coverage of a pixel is c_i = mean over sub-columns j of |[upper_j, lower_j] n [i, i + 1]|, so that

    d c_i / d lower_j = 1 / S  if lower_j lies in pixel i,      d c_i / d upper_j = -1 / S  if upper_j does,

and every edge is linear in at most four samples of the polyline (two neighbours of the abscissa that the pen's rim
touches, at one or two abscissae). Several traces multiply their transparencies. The kernels give the normal equations
of all pixels as a banded matrix; nothing is approximated but the choice of the touching sample, which is remade at
every step.
"""

# Kernels are typed by Numba when they are compiled.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def _polyline(y, x_first, dx, first_column, n_sub, sign, edge, index, mix):
    """Outermost height of the polyline in each sub-column (least for sign -1), and the sample(s) it hangs on."""
    n, m = y.shape[0], edge.shape[0]
    scale, offset = 1.0 / (n_sub * dx), ((first_column + 0.5) / n_sub - x_first) / dx
    for j in range(m):
        u = offset + j * scale
        i = math.floor(u)
        edge[j], index[j], mix[j] = np.nan, -1, 0.0
        if i >= 0 and i + 1 < n:
            value = y[i] + (u - i) * (y[i + 1] - y[i])
            if value == value:
                edge[j], index[j], mix[j] = value, i, u - i
    for i in range(max(0, math.floor(offset - scale)), min(n, math.ceil(offset + (m + 1) * scale) + 1)):
        here = y[i]
        rise, fall = here - y[max(i - 1, 0)], y[min(i + 1, n - 1)] - here
        j = int((x_first + i * dx) * n_sub) - first_column
        if 0 <= j < m and here == here and not rise * fall > 0.0 and not sign * edge[j] >= sign * here:
            edge[j], index[j], mix[j] = here, i, 0.0


@njit(cache=True, nogil=True)
def stroke_edges(y, x_first, dx, pen_px, n_sub, first_column, span, edges, hangs, mixes):
    """Both edges of one stroke in the sub-columns [span), which are counted from `first_column`.

    Args:
        y: heights of the samples in pixels, NaN where nothing was recorded.
        x_first, dx: place of the first sample, pixels a sample.
        pen_px, n_sub: width of the pen, sub-columns in a pixel.
        first_column: the sub-column that is number 0.
        span: (first, last + 1) sub-column to draw.
        edges: filled, `[2, j]`, upper then lower; NaN where there is no ink.
        hangs, mixes: filled, int64 `[2, j, 2]` and float64 `[2, j, 3]`: what each edge hangs on, samples i and i + 1 at
            the abscissa that the pen touches and, where it is the pen's rim, at the next one; with their weights.
    """
    radius = pen_px / 2 * n_sub
    reach = int(radius)
    rim, pad = radius - reach, reach + 1
    m = span[1] - span[0] + 2 * pad
    heights, index, mix = np.empty(m), np.empty(m, np.int64), np.empty(m)
    for side in range(2):
        sign = 2.0 * side - 1.0
        _polyline(y, x_first, dx, first_column + span[0] - pad, n_sub, sign, heights, index, mix)
        for j in range(span[0], span[1]):
            here = j - span[0] + pad
            best, touched, beyond, share = -1e30, -1, -1, 0.0
            for k in range(-reach, reach + 1):
                value = sign * heights[here + k] + math.sqrt(max(radius * radius - k * k, 0.0)) / n_sub
                if value > best:
                    best, touched = value, here + k
            for way in (-1, 1):
                a, b = here + way * reach, here + way * pad
                value = sign * (heights[a] + rim * (heights[b] - heights[a]))
                if value > best:
                    best, touched, beyond, share = value, a, b, rim
            edges[side, j] = sign * best if touched >= 0 else np.nan
            hangs[side, j, 0] = index[touched] if touched >= 0 else -1
            hangs[side, j, 1] = index[beyond] if beyond >= 0 else -1
            mixes[side, j, 0] = mix[touched] if touched >= 0 else 0.0
            mixes[side, j, 1] = mix[beyond] if beyond >= 0 else 0.0
            mixes[side, j, 2] = share


@njit(cache=True, nogil=True)
def _hang(row, base, weight, hang, mix):
    """Add `weight` times the derivative of one edge to a row of the Jacobian that starts at sample `base`."""
    for part in range(2):
        i = hang[part]
        if i >= 0:
            share = weight * (mix[2] if part else 1.0 - mix[2])
            row[i - base] += share * (1.0 - mix[part])
            if mix[part] > 0.0:
                row[i + 1 - base] += share * mix[part]


@njit(cache=True, nogil=True)
def _push(normal, pull, row, base, residual, weight):
    """One residual into the normal equations: lower banded `normal` `[band + 1, sample]`, and `pull`."""
    low, high = max(0, -base), min(row.shape[0], pull.shape[0] - base)
    for a in range(low, high):
        if row[a] != 0.0:
            pull[base + a] += weight * row[a] * residual
            for b in range(a, high):
                if row[b] != 0.0:
                    normal[b - a, base + a] += weight * row[a] * row[b]


@njit(cache=True, nogil=True)
def _cover(edges, first, n_sub, y):
    """Coverage of pixel row `y` by the stroke whose sub-columns start at `first`."""
    ink = 0.0
    for j in range(first, first + n_sub):
        if edges[0, j] < edges[1, j]:
            ink += max(0.0, min(edges[1, j], y + 1.0) - max(edges[0, j], float(y)))
    return ink / n_sub


@njit(cache=True, nogil=True)
def _extent(edges, first, n_sub):
    top, bottom = np.inf, -np.inf
    for j in range(first, first + n_sub):
        if edges[0, j] < edges[1, j]:
            top, bottom = min(top, edges[0, j]), max(bottom, edges[1, j])
    return top, bottom


@njit(cache=True, nogil=True)
def _neighbours(s, x, columns, edges, n_sub, start, stop, near):
    """Segments other than `s` that have ink in rows [start, stop) of column `x`: their number; listed in `near`."""
    found = 0
    for k in range(columns.shape[0]):
        if k != s and columns[k, 0] <= x < columns[k, 0] + columns[k, 1] // n_sub:
            top, bottom = _extent(edges[k], (x - columns[k, 0]) * n_sub, n_sub)
            if top < stop and bottom > start:
                near[found] = k
                found += 1
    return found


@njit(cache=True, nogil=True)
def normal_equations(
    s, span, columns, edges, hangs, mixes, n_sub, seen, weight, runs, block, origin, normal, pull, error
):
    """Normal equations of segment `s`, given the strokes of all segments.

    Args:
        s: the segment.
        span: (first, last + 1) of its columns to look at.
        columns: int64 `[segment, 2]`, first pixel column of its sub-columns and their number.
        edges, hangs, mixes: what `stroke_edges` made of each segment, `[segment, ...]`.
        n_sub: sub-columns in a pixel.
        seen: float32 `[height, width]`, observed transparency of the traces.
        weight: float32 `[height, width]`, how much a pixel tells; 0 under lettering.
        runs: float64 `[2, column]`, top and bottom of the ink that belongs to the segment, NaN where there is none.
        block: weight of the two sums of ink above and below the middle of a column. They pull from any distance, the
            pixels themselves only within one.
        origin: the sample that is number 0 in `normal` and `pull`.
        normal, pull: added to, `[band + 1, sample]` (lower banded) and `[sample]`; others stay as they are.
        error: set to the weighted squared error of each column of the span, `[column]`.
    """
    height, width = seen.shape
    long_row, near = np.zeros(4 * normal.shape[0]), np.empty(columns.shape[0], np.int64)
    signs = (-1.0 / n_sub, 1.0 / n_sub)
    for c in range(span[0], span[1]):
        x, first = columns[s, 0] + c, c * n_sub
        error[c] = 0.0
        top, bottom = _extent(edges[s], first, n_sub)
        known = runs[0, c] == runs[0, c]
        low, high = (min(top, runs[0, c]), max(bottom, runs[1, c])) if known else (top, bottom)
        if x < 0 or x >= width or low > high:
            continue
        start, stop = max(0, math.floor(low)), min(height, math.ceil(high))
        others = _neighbours(s, x, columns, edges, n_sub, start, stop, near)
        base, last = np.int64(1 << 40), 0
        for j in range(first, first + n_sub):
            if edges[s, 0, j] < edges[s, 1, j]:
                for side in range(2):
                    for part in range(2):
                        if hangs[s, side, j, part] >= 0:
                            base = min(base, hangs[s, side, j, part])
                            last = max(last, hangs[s, side, j, part] + 2)
        row = long_row[: max(0, last - base)]
        middle = (runs[0, c] + runs[1, c]) / 2 if known else (top + bottom) / 2
        above, below = 0.0, 0.0
        for y in range(start, stop):
            through = 1.0
            for k in range(others):
                through *= 1.0 - _cover(edges[near[k]], (x - columns[near[k], 0]) * n_sub, n_sub, y)
            w = float(weight[y, x])
            residual = through * (1.0 - _cover(edges[s], first, n_sub, y)) - seen[y, x]
            error[c] += w * residual * residual
            share = min(max(middle - y, 0.0), 1.0)
            above += w * residual * share * through
            below += w * residual * (1.0 - share) * through
            touched = False
            row[:] = 0.0
            for j in range(first, first + n_sub):
                for side in range(2):
                    if edges[s, 0, j] < edges[s, 1, j] and y <= edges[s, side, j] < y + 1:
                        _hang(row, base, through * signs[side], hangs[s, side, j], mixes[s, side, j])
                        touched = True
            if touched:
                _push(normal, pull, row, base - origin, residual, w)
        if block > 0.0 and top < bottom:
            for side in range(2):
                row[:] = 0.0
                for j in range(first, first + n_sub):
                    if edges[s, 0, j] < edges[s, 1, j]:
                        _hang(row, base, signs[side], hangs[s, side, j], mixes[s, side, j])
                _push(normal, pull, row, base - origin, below if side else above, block)
