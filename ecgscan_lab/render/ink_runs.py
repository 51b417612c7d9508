"""Which ink of a picture belongs to which trace: vertical runs of ink in every column, and the smoothest way through.

A trace leaves one run of ink in every pixel column, and the runs of neighbouring columns touch, because the pen never
left the paper. The run of each column is chosen so that

    sum over columns of  d_x / pitch + STEP * gap_x / pen

is smallest, with d_x the distance of the run from the trace's own baseline and gap_x the white between it and the run
before (dynamic programming, exact).
"""

# Kernels are typed by Numba when they are compiled.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np
from numba import njit

FAINTEST = 0.06
"""Coverage below this is rounding, not ink."""

MOST_RUNS = 24
"""Runs of ink that are told apart in one column."""

STEP = 0.5
"""Cost of a white gap of one pen width between neighbouring columns, in row pitches of distance from the baseline."""


@njit(cache=True, nogil=True)
def find_runs(clear, x0, x1, y0, y1):
    """Runs of ink in columns [x0, x1), rows [y0, y1): tops and bottoms `[column, run]` to a fraction of a pixel."""
    tops = np.full((x1 - x0, MOST_RUNS), np.nan)
    bottoms = np.full((x1 - x0, MOST_RUNS), np.nan)
    count = np.zeros(x1 - x0, np.int64)
    inside = np.zeros(x1 - x0, np.bool_)
    for y in range(y0, y1 + 1):
        for x in range(x1 - x0):
            ink = 1.0 - clear[y, x0 + x] if y < y1 else 0.0
            k = count[x]
            if ink > FAINTEST:
                if not inside[x] and k < MOST_RUNS:
                    tops[x, k] = y + 1.0 - min(ink, 1.0)
                    inside[x] = True
                bottoms[x, k - (k == MOST_RUNS)] = y + min(ink, 1.0)
            elif inside[x]:
                inside[x] = False
                count[x] += 1
    return tops, bottoms, count


@njit(cache=True, nogil=True)
def follow(tops, bottoms, count, baseline, pitch, pen, own):
    """The run that a trace takes in each column, -1 where there is no ink at all; `own`: its baseline counts there."""
    n = count.shape[0]
    cost = np.full((n, MOST_RUNS), np.inf)
    came = np.full((n, MOST_RUNS), -1, np.int64)
    before, last = -1, -1
    for x in range(n):
        if count[x] == 0:
            continue
        for k in range(count[x]):
            away = max(0.0, tops[x, k] - baseline, baseline - bottoms[x, k]) / pitch if own[x] else 0.0
            best, source = 0.0, -1
            if before >= 0:
                best = np.inf
                for m in range(count[before]):
                    gap = max(0.0, tops[x, k] - bottoms[before, m], tops[before, m] - bottoms[x, k])
                    total = cost[before, m] + STEP * gap / pen / (x - before)
                    if total < best:
                        best, source = total, m
            cost[x, k] = best + away
            came[x, k] = source
        before = last = x
    path = np.full(n, -1, np.int64)
    if last < 0:
        return path
    k = int(np.argmin(cost[last, : count[last]]))
    for x in range(last, -1, -1):
        if count[x] > 0:
            path[x] = k
            k = came[x, k]
    return path
