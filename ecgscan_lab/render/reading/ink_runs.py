"""Which ink of a picture belongs to which trace: vertical runs of ink in every column, and the smoothest way through.

A trace leaves one run of ink in every pixel column, and the runs of neighbouring columns touch, because the pen never
left the paper. The run of each column is chosen so that

    sum over columns of  min(d_x / pitch, 1) + STEP * gap_x / pen

is smallest, with d_x the distance of the run from the trace's own baseline and gap_x the white between it and the run
before (dynamic programming, exact). Where a trace has a gap but others have ink, it may be `ABSENT` from a column.
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

ABSENT, SWITCH = 0.8, 8.0
"""Cost of a column in which none of the ink is the trace's, and of going into or out of such columns."""


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
def _cheapest(k, x, before, tops, bottoms, count, cost, pen):
    """Least cost of coming to run `k` of column `x` (`MOST_RUNS`: absent) from column `before`, and from which run."""
    absent = MOST_RUNS
    best, source = cost[before, absent] + (0.0 if k == absent else SWITCH), absent
    for m in range(count[before]):
        if k == absent:
            total = cost[before, m] + SWITCH
        else:
            gap = max(0.0, tops[x, k] - bottoms[before, m], tops[before, m] - bottoms[x, k])
            total = cost[before, m] + STEP * gap / pen / (x - before)
        if total < best:
            best, source = total, m
    return best, source


@njit(cache=True, nogil=True)
def follow(tops, bottoms, count, baseline, pitch, pen, own):
    """The run that a trace takes in each column, -1 where it has no ink.

    Args:
        tops, bottoms, count: from `find_runs`.
        baseline, pitch, pen: zero millivolt, distance of rows, width of the pen, in pixels.
        own: bool `[column]`, False where a neighbour in the same row has ink too: there only touching counts.
    """
    n, absent = count.shape[0], MOST_RUNS
    cost = np.full((n, MOST_RUNS + 1), np.inf)
    came = np.full((n, MOST_RUNS + 1), -1, np.int64)
    before = -1
    for x in range(n):
        if count[x] == 0:
            continue
        for k in range(count[x]):
            away = max(0.0, tops[x, k] - baseline, baseline - bottoms[x, k]) / pitch
            cost[x, k] = min(away, 1.0) if own[x] else 0.0
        cost[x, absent] = ABSENT
        if before >= 0:
            for k in range(MOST_RUNS + 1):
                if k < count[x] or k == absent:
                    best, came[x, k] = _cheapest(k, x, before, tops, bottoms, count, cost, pen)
                    cost[x, k] += best
        before = x
    path = np.full(n, -1, np.int64)
    if before < 0:
        return path
    k = int(np.argmin(cost[before]))
    for x in range(before, -1, -1):
        if count[x] > 0:
            path[x] = k if k != absent else -1
            k = came[x, k]
    return path
