"""The rasteriser against brute force: strokes, grid lines and boxes cover the area that geometry says."""

import numpy as np
import pytest

from ecgscan_lab.render import raster

HEIGHT, WIDTH = 60, 50
BLACK_ON_WHITE = np.array([[255] * 3, [255] * 3, [255] * 3, [0] * 3], np.float32)


def white():
    frame = (HEIGHT, WIDTH, 3 * WIDTH, 3, 1, 0, HEIGHT, 0, WIDTH)
    return np.full((HEIGHT, WIDTH, 3), 255, np.uint8), frame


def stroke(samples, pen_px, dx, x_first=5.13, baseline=30.2):
    picture, frame = white()
    row_top = np.full(WIDTH, np.float32(np.inf))
    place, pen = (x_first, dx, baseline, 1.0), (pen_px, raster.sub_columns(pen_px))
    cover = np.empty(HEIGHT + 1, np.float32)
    samples = np.asarray(samples, np.float32)
    raster._draw_trace(picture.reshape(-1), frame, BLACK_ON_WHITE, samples, place, pen, cover, row_top, -row_top)
    return 1 - picture[..., 0] / 255.0


def brute_force_stroke(samples, pen_px, dx, x_first=5.13, baseline=30.2, fine=10):
    """A round pen along the polyline, on a grid `fine` times finer than the pixels."""
    x, y = x_first + dx * np.arange(len(samples)), baseline - np.asarray(samples, float)
    grid_y, grid_x = np.meshgrid(
        (np.arange(HEIGHT * fine) + 0.5) / fine, (np.arange(WIDTH * fine) + 0.5) / fine, indexing="ij"
    )
    inked = np.zeros(grid_x.shape, bool)
    for i in range(len(x) - 1):
        step_x, step_y = x[i + 1] - x[i], y[i + 1] - y[i]
        along = ((grid_x - x[i]) * step_x + (grid_y - y[i]) * step_y) / (step_x**2 + step_y**2)
        along = np.clip(along, 0, 1)
        inked |= (grid_x - x[i] - along * step_x) ** 2 + (grid_y - y[i] - along * step_y) ** 2 <= pen_px**2 / 4
    return inked.reshape(HEIGHT, fine, WIDTH, fine).mean(axis=(1, 3))


SHAPES = {
    "flat": lambda t: 0 * t + 0.3,
    "diagonal": lambda t: t - 20,
    "steep": lambda t: 3 * (t - 20),
    "sine": lambda t: 15 * np.sin(t),
    "beats": lambda t: 18 * np.exp(-(((t % 10 - 5) / 0.8) ** 2)) - 6,
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pen_px", [0.6, 1.2, 2.4])
def test_a_stroke_has_the_ink_and_the_place_of_a_round_pen(shape, pen_px):
    dx = 2.4
    samples = SHAPES[shape](np.arange(0, 40, dx))
    drawn, expected = stroke(samples, pen_px, dx), brute_force_stroke(samples, pen_px, dx)
    assert drawn.sum() == pytest.approx(expected.sum(), rel=0.08)
    touched = (drawn > 0) | (expected > 0)
    assert np.sqrt(np.mean((drawn - expected)[touched] ** 2)) < 0.1


def test_steep_strokes_keep_their_width_at_any_phase():
    widths = [
        stroke(np.r_[np.full(40, -20.0), np.full(40, 20.0)], 0.8, 0.25, x_first=5 + phase)[20:40].sum(axis=1).mean()
        for phase in np.linspace(0, 1, 13)
    ]
    assert np.ptp(widths) < 0.3
    assert np.mean(widths) == pytest.approx(0.8, abs=0.2)


def test_peaks_between_columns_are_kept():
    samples = np.zeros(400)
    samples[200] = 20.0  # one sample in twenty of a pixel
    assert stroke(samples, 1.0, 0.05)[12:].any(axis=1).argmax() == 0
    assert stroke(samples, 1.0, 0.05)[:9].sum() == 0


@pytest.mark.parametrize("first_nan", [0, 60, 110])
def test_gaps_leave_no_ink(first_nan):
    samples = np.zeros(161)
    samples[first_nan : first_nan + 50] = np.nan
    ink = stroke(samples, 1.0, 0.25).sum(axis=0)
    gap = np.arange(WIDTH) + 0.5
    inside = (gap > 5.13 + first_nan * 0.25 + 1.5) & (gap < 5.13 + (first_nan + 50) * 0.25 - 1.5)
    assert (ink[inside] == 0).all()
    assert ink.sum() == pytest.approx(111 * 0.25, rel=0.1)


@pytest.mark.parametrize("wild", [np.inf, -np.inf, 1e30, -3e38, np.nan])
def test_wild_samples_neither_crash_nor_leave_the_picture(wild):
    samples = np.zeros(100)
    samples[50] = wild
    ink = stroke(samples, 1.0, 0.25)
    assert np.isfinite(ink).all()
    assert ink[:, 20:].sum() > 5  # the trace goes on behind


@pytest.mark.parametrize(("step", "line"), [(2.5, 0.3), (7.87, 0.79), (39.37, 1.57), (3.0, 2.0), (50.0, 7.7)])
def test_grid_lines_cover_their_exact_area(step, line):
    start, stop, origin = 10, 1010, 333.3
    cover = 1 - raster._line_transparency(start, stop, origin, step, line)
    centres = origin + step * np.arange(-1000, 1000)
    low, high = np.maximum(centres - line / 2, start), np.minimum(centres + line / 2, stop)
    assert cover.sum() == pytest.approx(np.maximum(high - low, 0).sum(), rel=1e-4)
    assert cover.min() >= -1e-5
    assert cover.max() <= 1 + 1e-5
    whole = (centres > start + line) & (centres < stop - line)
    for centre in centres[whole][:20]:
        pixels = np.arange(int(centre - line / 2) - 1, int(centre + line / 2) + 2) - start
        if step > 2 * line + 4:
            weights = cover[pixels]
            assert (weights * (pixels + start + 0.5)).sum() / weights.sum() == pytest.approx(centre, abs=0.5)


def test_too_fine_a_grid_becomes_an_even_tint():
    cover = 1 - raster._line_transparency(0, 100, 3.3, 1.64, 0.164)
    assert cover == pytest.approx(np.full(100, 0.1), abs=1e-6)


def test_boxes_cover_their_exact_area():
    picture, frame = white()
    raster._fill_box(picture.reshape(-1), frame, BLACK_ON_WHITE, 10.25, 20.5, 13.75, 22.0)
    ink = 1 - picture[..., 0] / 255.0
    assert ink.sum() == pytest.approx(3.5 * 1.5, abs=0.03)
    assert ink[21, 10:14] == pytest.approx([0.75, 1, 1, 0.75], abs=0.01)
    assert ink[20, 11] == pytest.approx(0.5, abs=0.01)


def test_text_takes_the_first_place_without_ink():
    row_top, row_bottom = np.full((1, 100), np.float32(np.inf)), np.full((1, 100), np.float32(-np.inf))
    row_top[0, 10:30], row_bottom[0, 10:30] = 0, 40
    places = np.array([[10, 10], [10, 60], [50, 10]])
    assert raster._free_place(row_top, row_bottom, places, 8, 15, 1) == 1
    row_bottom[0, 10:30] = 100
    assert raster._free_place(row_top, row_bottom, places, 8, 15, 1) == 2
    row_top[0], row_bottom[0] = 0, 100
    row_top[0, 10:20] = 65
    assert raster._free_place(row_top, row_bottom, places, 8, 10, 0) == 0
