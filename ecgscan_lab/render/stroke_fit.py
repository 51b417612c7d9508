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
def _polyline(y, x_first, dx, first_column, n_sub, edge, index, mix, sign):
    """Outermost height of the polyline in each sub-column (least for sign -1), and the sample(s) it hangs on."""
    n = y.shape[0]
    scale, offset = 1.0 / (n_sub * dx), ((first_column + 0.5) / n_sub - x_first) / dx
    for j in range(edge.shape[0]):
        u = offset + j * scale
        i = math.floor(u)
        edge[j], index[j], mix[j] = np.nan, -1, 0.0
        if i >= 0 and i + 1 < n:
            value = y[i] + (u - i) * (y[i + 1] - y[i])
            if value == value:
                edge[j], index[j], mix[j] = value, i, u - i
    for i in range(n):
        here = y[i]
        rise, fall = here - y[max(i - 1, 0)], y[min(i + 1, n - 1)] - here
        j = int((x_first + i * dx) * n_sub) - first_column
        if here == here and not rise * fall > 0.0 and not sign * edge[j] >= sign * here:
            edge[j], index[j], mix[j] = here, i, 0.0


@njit(cache=True, nogil=True)
def _widen(edge, sign, radius_sub, n_sub, out, source, outer, beyond):
    """Edge of the stroke of a round pen, and the one or two sub-columns that it touches (`beyond`: share of `outer`)."""
    n, reach = edge.shape[0], int(radius_sub)
    rim = radius_sub - reach
    out[:], source[:], outer[:], beyond[:] = np.nan, -1, -1, 0.0
    for j in range(reach + 1, n - reach - 1):
        best = -1e30
        for k in range(-reach, reach + 1):
            value = sign * edge[j + k] + math.sqrt(max(radius_sub * radius_sub - k * k, 0.0)) / n_sub
            if value > best:
                best, source[j], outer[j], beyond[j] = value, j + k, -1, 0.0
        for side in (-1, 1):
            a, b = j + side * reach, j + side * (reach + 1)
            value = sign * (edge[a] + rim * (edge[b] - edge[a]))
            if value > best:
                best, source[j], outer[j], beyond[j] = value, a, b, rim
        out[j] = sign * best


@njit(cache=True, nogil=True)
def stroke_edges(y, x_first, dx, pen_px, n_sub, first_column, edges, hangs, mixes):
    """Both edges of one stroke in every sub-column: `edges` `[2, j]`, upper then lower.

    `hangs` int64 `[2, j, 2]` and `mixes` float64 `[2, j, 3]` say what each edge hangs on: samples i and i + 1 at the
    touching abscissa and, on the pen's rim, at the next one; with their weights.
    """
    m = edges.shape[1]
    heights, index, mix = np.empty(m), np.empty(m, np.int64), np.empty(m)
    source, outer, beyond = np.empty(m, np.int64), np.empty(m, np.int64), np.empty(m)
    for side in range(2):
        sign = 2.0 * side - 1.0
        _polyline(y, x_first, dx, first_column, n_sub, heights, index, mix, sign)
        _widen(heights, sign, pen_px / 2 * n_sub, n_sub, edges[side], source, outer, beyond)
        for j in range(m):
            a, b = source[j], outer[j]
            hangs[side, j, 0] = index[a] if a >= 0 else -1
            hangs[side, j, 1] = index[b] if b >= 0 else -1
            mixes[side, j, 0] = mix[a] if a >= 0 else 0.0
            mixes[side, j, 1] = mix[b] if b >= 0 else 0.0
            mixes[side, j, 2] = beyond[j]


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
    for a in range(min(row.shape[0], pull.shape[0] - base)):
        if row[a] != 0.0:
            pull[base + a] += weight * row[a] * residual
            for b in range(a, min(row.shape[0], pull.shape[0] - base)):
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
def normal_equations(s, columns, edges, hangs, mixes, n_sub, seen, weight, runs, block, normal, pull):
    """Normal equations of segment `s`, given the strokes of all segments; returns the weighted squared error.

    Args:
        s: the segment.
        columns: int64 `[segment, 2]`, first pixel column of its sub-columns and their number.
        edges, hangs, mixes: what `stroke_edges` made of each segment, `[segment, ...]`.
        n_sub: sub-columns in a pixel.
        seen: float32 `[height, width]`, observed transparency of the traces.
        weight: float32 `[height, width]`, how much a pixel tells; 0 under lettering.
        runs: float64 `[2, column]`, top and bottom of the ink that belongs to the segment, NaN where there is none.
        block: weight of the two sums of ink above and below the middle of a column. They pull from any distance, the
            pixels themselves only within one.
        normal, pull: filled, `[band + 1, sample]` and `[sample]`.
    """
    height, width = seen.shape
    row, error, near = np.zeros(4 * normal.shape[0]), 0.0, np.empty(columns.shape[0], np.int64)
    for c in range(columns[s, 1] // n_sub):
        x, first = columns[s, 0] + c, c * n_sub
        top, bottom = _extent(edges[s], first, n_sub)
        low, high = min(top, runs[0, c]) if runs[0, c] == runs[0, c] else top, max(bottom, runs[1, c]) if runs[1, c] == runs[1, c] else bottom
        if x < 0 or x >= width or low > high:
            continue
        start, stop = max(0, math.floor(low)), min(height, math.ceil(high))
        others = 0
        for k in range(columns.shape[0]):
            inside = columns[k, 0] <= x < columns[k, 0] + columns[k, 1] // n_sub
            if k != s and inside:
                a, b = _extent(edges[k], (x - columns[k, 0]) * n_sub, n_sub)
                if a < stop and b > start:
                    near[others] = k
                    others += 1
        base = pull.shape[0]
        for j in range(first, first + n_sub):
            for side in range(2):
                for part in range(2):
                    if edges[s, 0, j] < edges[s, 1, j] and hangs[s, side, j, part] >= 0:
                        base = min(base, hangs[s, side, j, part])
        middle = (runs[0, c] + runs[1, c]) / 2 if runs[0, c] == runs[0, c] else (top + bottom) / 2
        above, below = 0.0, 0.0
        for y in range(start, stop):
            open_ = 1.0
            for k in range(others):
                open_ *= 1.0 - _cover(edges[near[k]], (x - columns[near[k], 0]) * n_sub, n_sub, y)
            w = weight[y, x]
            residual = open_ * (1.0 - _cover(edges[s], first, n_sub, y)) - seen[y, x]
            error += w * residual * residual
            share = min(max(middle - y, 0.0), 1.0)
            above += w * residual * share
            below += w * residual * (1.0 - share)
            touched = False
            row[:] = 0.0
            for j in range(first, first + n_sub):
                for side in range(2):
                    if edges[s, 0, j] < edges[s, 1, j] and y <= edges[s, side, j] < y + 1:
                        _hang(row, base, (2.0 * side - 1.0) / n_sub, hangs[s, side, j], mixes[s, side, j])
                        touched = True
            if touched:
                for a in range(row.shape[0]):
                    row[a] *= open_
                _push(normal, pull, row, base, residual, w)
        if block > 0.0 and others == 0 and top < bottom:
            for side in range(2):
                row[:] = 0.0
                for j in range(first, first + n_sub):
                    if edges[s, 0, j] < edges[s, 1, j]:
                        _hang(row, base, (2.0 * side - 1.0) / n_sub, hangs[s, side, j], mixes[s, side, j])
                _push(normal, pull, row, base, below if side else above, block)
    return error
