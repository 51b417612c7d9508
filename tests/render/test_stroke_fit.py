"""The kernels that read traces back: the same strokes as the rasteriser, and derivatives that are right."""

import numpy as np
import pytest

from ecgscan_lab.render import raster
from ecgscan_lab.render.reading import ink_runs, stroke_fit, window_fit

X_FIRST, BASELINE = 9.13, 30.0


def strokes(y, dx, pen_px):
    """Edges of one stroke as `stroke_fit` and as `raster` find them."""
    n_sub = raster.sub_columns(pen_px)
    m = 60 * n_sub
    edges, hangs, mixes = np.empty((2, m)), np.empty((2, m, 2), np.int64), np.empty((2, m, 3))
    stroke_fit.stroke_edges(y, X_FIRST, dx, pen_px, n_sub, 0, (0, m), edges, hangs, mixes)
    top, bottom, upper, lower = np.empty((4, m), np.float32)
    samples = (BASELINE - y).astype(np.float32)
    raster._sample_trace(samples, X_FIRST, dx, BASELINE, 1.0, 0, n_sub, top, bottom)
    radius = pen_px / 2 * n_sub
    raster._widen(top, -1, radius, n_sub, upper)
    raster._widen(bottom, 1, radius, n_sub, lower)
    return edges, np.stack([upper, lower]).astype(float)


@pytest.mark.parametrize("pen_px", [0.4, 0.9, 1.6, 2.4, 5.0])
@pytest.mark.parametrize("dx", [0.3, 0.9, 2.6])
def test_strokes_are_those_of_the_rasteriser(pen_px, dx, rng):
    y = BASELINE + np.cumsum(rng.normal(0, 2, int(40 / dx)))
    y[7:10] = np.nan
    ours, theirs = strokes(y, dx, pen_px)
    inked = ours[0] < ours[1]
    assert np.array_equal(inked, theirs[0] < theirs[1])
    assert inked.any()
    np.testing.assert_allclose(ours[:, inked], theirs[:, inked], atol=1e-4)


def test_part_of_a_stroke_is_drawn_as_in_the_whole(rng):
    y = BASELINE + np.cumsum(rng.normal(0, 2, 60))
    whole = np.zeros((2, 120)), np.zeros((2, 120, 2), np.int64), np.zeros((2, 120, 3))
    stroke_fit.stroke_edges(y, X_FIRST, 0.7, 2.4, 2, 0, (0, 120), *whole)
    part = tuple(np.zeros_like(a) for a in whole)
    stroke_fit.stroke_edges(y, X_FIRST, 0.7, 2.4, 2, 0, (30, 50), *part)
    for a, b in zip(whole, part, strict=True):
        np.testing.assert_allclose(a[:, 30:50], b[:, 30:50], atol=1e-9)
        assert not b[:, :30].any()


def one_page(y, seen, pen_px=2.4, dx=0.7):
    n_sub, m = 2, 120
    columns = np.array([[0, m]])
    edges, hangs, mixes = np.full((1, 2, m), np.nan), np.full((1, 2, m, 2), -1), np.zeros((1, 2, m, 3))
    page = (columns, edges, hangs, mixes, n_sub, seen, np.ones_like(seen))
    runs = np.full((2, 60), np.nan)
    return (X_FIRST, dx), pen_px, page, runs


def error_of(y, seen):
    place, pen_px, page, runs = one_page(y, seen)
    error = np.zeros(60)
    window = (0, len(y))
    window_fit.newton_step(0, y, window, (0, 60), place, pen_px, page, runs, 20, 0.0, 0.0, 0.0, 0.0, 0.0, error)
    return error.sum()


def test_the_pull_is_minus_half_the_gradient_of_the_error(rng):
    y = BASELINE + np.cumsum(rng.normal(0, 1.5, 60))
    seen = rng.uniform(0, 1, (80, 60)).astype(np.float32)
    place, pen_px, page, runs = one_page(y, seen)
    columns, edges, hangs, mixes, n_sub, _, weight = page
    stroke_fit.stroke_edges(y, *place, pen_px, n_sub, 0, (0, 120), edges[0], hangs[0], mixes[0])
    normal, pull, error = np.zeros((21, 60)), np.zeros(60), np.zeros(60)
    stroke_fit.normal_equations(
        0, (0, 60), columns, edges, hangs, mixes, n_sub, seen, weight, runs, 0.0, 0, normal, pull, error
    )
    assert error.sum() == pytest.approx(error_of(y.copy(), seen))
    step = 1e-4
    checked = 0
    for i in range(60):
        low, high = y.copy(), y.copy()
        low[i] -= step
        high[i] += step
        gradient = (error_of(high, seen) - error_of(low, seen)) / (2 * step)
        # Rows of pixels that the changed stroke newly enters add their whole error: a step, not a slope.
        if abs(gradient) < 50:
            assert pull[i] == pytest.approx(-gradient / 2, rel=0.02, abs=0.05)
            checked += pull[i] != 0
    assert checked > 30
    assert normal[0].min() >= 0


def test_a_stroke_is_found_again_from_a_flat_line():
    t = np.arange(60)
    y = BASELINE + 3 * np.sin(t / 6)
    seen = np.ones((80, 60), np.float32)
    place, pen_px, page, runs = one_page(y, seen)
    _columns, edges, hangs, mixes, n_sub, _, _ = page
    stroke_fit.stroke_edges(y, *place, pen_px, n_sub, 0, (0, 120), edges[0], hangs[0], mixes[0])
    for x in range(60):
        for row in range(80):
            seen[row, x] = 1 - stroke_fit._cover(edges[0], 2 * x, 2, row)
        ink = np.flatnonzero(seen[:, x] < 1)
        if len(ink):
            runs[:, x] = ink[0], ink[-1] + 1
    found = np.full(60, BASELINE)
    error, best = np.zeros(60), np.empty(60)
    least = window_fit.descend(
        0, found, (0, 60), (0, 60), place, pen_px, page, runs, 20, 1e-6, 0.1, 40, 1e-4, error, best
    )
    assert least < 0.01
    assert np.sqrt(np.mean((best - y) ** 2)) < 0.1


def test_banded_systems_are_solved(rng):
    from scipy.linalg import solveh_banded

    matrix, right = rng.normal(0, 0.1, (5, 30)), rng.normal(0, 1, 30)
    matrix[0] = 2.0
    expected = solveh_banded(matrix, right, lower=True)
    window_fit._solve_banded(matrix.copy(), found := right.copy())
    np.testing.assert_allclose(found, expected)


def runs_of(*layers, width=40, height=100):
    """Transparency of horizontal strips given as (columns, top, bottom)."""
    clear = np.ones((height, width), np.float32)
    for columns, top, bottom in layers:
        clear[top:bottom, columns] = 0
    return ink_runs.find_runs(clear, 0, width, 0, height)


def test_runs_end_at_a_fraction_of_a_pixel():
    clear = np.ones((10, 1), np.float32)
    clear[3:6, 0] = 0.75, 0, 0.5
    tops, bottoms, count = ink_runs.find_runs(clear, 0, 1, 0, 10)
    assert (count[0], tops[0, 0], bottoms[0, 0]) == (1, 3.75, 5.5)


def test_a_path_stays_with_its_trace_and_leaves_gaps_empty():
    ours, other = (slice(0, 40), 20, 23), (slice(0, 40), 60, 63)
    own = np.ones(40, np.bool_)
    assert (ink_runs.follow(*runs_of(ours, other), 22.0, 40.0, 2.0, own) == 0).all()
    assert (ink_runs.follow(*runs_of(ours, other), 61.0, 40.0, 2.0, own) == 1).all()
    with_gap = runs_of((slice(0, 15), 20, 23), (slice(25, 40), 20, 23), other)
    path = ink_runs.follow(*with_gap, 22.0, 40.0, 2.0, own)
    assert (path[:15] == 0).all()
    assert (path[25:] == 0).all()
    assert (path[15:25] == -1).all()
    assert (ink_runs.follow(*runs_of(), 22.0, 40.0, 2.0, own) == -1).all()


def test_a_tall_excursion_into_the_next_row_is_followed():
    tall = [(slice(10 + k, 11 + k), 20 + 8 * k, 30 + 8 * k) for k in range(8)]
    back = [(slice(18 + k, 19 + k), 76 - 8 * k, 86 - 8 * k) for k in range(8)]
    flat = [(slice(0, 10), 20, 23), (slice(26, 40), 20, 23)]
    tops, bottoms, count = runs_of(*flat, *tall, *back, (slice(0, 14), 60, 63), (slice(22, 40), 60, 63))
    path = ink_runs.follow(tops, bottoms, count, 21.0, 40.0, 2.0, np.ones(40, np.bool_))
    assert bottoms[17, path[17]] > 80
    assert (path[:10] == 0).all()
    assert (path[30:] == 0).all()
