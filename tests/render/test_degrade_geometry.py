"""Where things lie on a degraded page: the map is exact both ways, and the pixels follow it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade import GEOMETRIC, DegradeParams, apply_params, clean_size, sample_effect, sample_params
from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.geometry import KEPT_INSET, sheet_map
from ecgscan_lab.render.degrade.relief import MAX_PULL, Relief, sheet_relief
from ecgscan_lab.render.degrade.warp import make_lattice, warp_coverage
from ecgscan_lab.types import PageMap

PAGE_MM = (279.4, 215.9)
SIZES = [(448, 448), (850, 1100), (1700, 2200)]


def flat_map(size, page_mm=PAGE_MM):
    scale = min(size[0] / page_mm[1], size[1] / page_mm[0])
    left, top = (size[1] - page_mm[0] * scale) / 2, (size[0] - page_mm[1] * scale) / 2
    return PageMap(np.array([[scale, 0.0, left], [0.0, scale, top], [0.0, 0.0, 1.0]]))


def all_at_once(seed, strength=0.8):
    rng = np.random.default_rng(seed)
    return DegradeParams(**{name: getattr(sample_effect(rng, name, strength), name) for name in GEOMETRIC})


def degrade(params, size, clean=None, page_mm=PAGE_MM):
    shape = clean_size(params, size)
    clean = np.full((*shape, 3), 255, np.uint8) if clean is None else clean
    page_map = sheet_map(params, page_mm, size, flat_map(size, page_mm))
    return apply_params(clean, params, flat_map(shape, page_mm), page_map, page_mm, size), page_map


def dotted(size, points_mm, radius_px):
    """White, with an anti-aliased black disc at each point."""
    picture, centres = np.full((*size, 3), 255, np.uint8), flat_map(size).to_px(points_mm)
    for x, y in centres:
        i, j, r = int(y), int(x), int(radius_px) + 3
        rows, columns = np.arange(i - r, i + r + 1), np.arange(j - r, j + r + 1)
        distance = np.hypot(rows[:, None] + 0.5 - y, columns + 0.5 - x)
        picture[i - r : i + r + 1, j - r : j + r + 1] = (
            255 * (1 - np.clip(radius_px + 0.5 - distance, 0, 1))[..., None] + 0.5
        ).astype(np.uint8)
    return picture


def lattice_mm(columns=9, rows=7):
    x, y = np.meshgrid(np.linspace(22, 258, columns), np.linspace(20, 196, rows))
    return np.column_stack([x.ravel(), y.ravel()])


def centroid_offsets(ink, expected, reach=7):
    """From each expected place to the centroid of the ink around it `[n, 2]`, for those well inside the picture."""
    offsets = []
    for x, y in expected:
        i, j = int(y), int(x)
        if reach <= i < ink.shape[0] - reach and reach <= j < ink.shape[1] - reach:
            patch = ink[i - reach : i + reach + 1, j - reach : j + reach + 1]
            assert patch.sum() > 100, "the dot is not where the map says"
            rows, columns = np.mgrid[i - reach : i + reach + 1, j - reach : j + reach + 1] + 0.5
            offsets.append(((patch * columns).sum() / patch.sum() - x, (patch * rows).sum() / patch.sum() - y))
    return np.array(offsets)


def check_follows(ink, expected, worst_px, reach=7):
    """Every dot lies where the map says, and together they lie neither left, right, above nor below of it."""
    offsets = centroid_offsets(ink, expected, reach)
    assert len(offsets) > 35
    assert np.hypot(*offsets.T).max() < worst_px
    assert np.abs(offsets.mean(axis=0)).max() < 0.06


def ink_of(params, size, points_mm):
    """Darkness of dots after degradation, less what shading does to an empty page."""
    dots = dotted(clean_size(params, size), points_mm, 3.0)
    pixels, page_map = degrade(params, size, dots)
    blank, _ = degrade(params, size)
    share = 1.0 - pixels[..., 0] / np.maximum(blank[..., 0], 1.0)
    return np.where(share > 0.05, share, 0.0) * 255, page_map


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", GEOMETRIC)
def test_pixels_follow_the_map_under_each_effect(name, size):
    ink, page_map = ink_of(sample_effect(np.random.default_rng(3), name), size, lattice_mm())
    check_follows(ink, page_map.to_px(lattice_mm()), worst_px=0.3)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_follow_the_map_under_all_effects_together(size):
    for seed in range(2 if size[0] > 1000 else 6):
        ink, page_map = ink_of(all_at_once(seed), size, lattice_mm())
        check_follows(ink, page_map.to_px(lattice_mm()), worst_px=0.5)


@pytest.mark.parametrize("preset", ["scan", "photo", "paper"])
def test_the_map_and_its_inverse_agree(preset):
    rng, size = np.random.default_rng(5), (900, 1200)
    for _ in range(8):
        page_map = sheet_map(sample_params(rng, preset), PAGE_MM, size, flat_map(size))
        points = rng.uniform(0, 1, (400, 2)) * PAGE_MM
        pixels = page_map.to_px(points)
        assert np.abs(page_map.to_mm(pixels) - points).max() < 1e-4
        assert np.abs(page_map.to_px(page_map.to_mm(pixels)) - pixels).max() < 1e-3


def test_heights_are_held_so_that_no_paper_hides_behind_paper(rng):
    steep = DegradeParams(
        curl=fx.Curl(0.15, 30.0, 0.6), folds=fx.Folds(3, 3, 0.05, 1), wrinkles=fx.Wrinkles(60, 0.02, 2)
    )
    relief = sheet_relief(steep, PAGE_MM)
    assert relief.pull <= 1.05 * MAX_PULL
    points = rng.uniform(0, 1, (2000, 2)) * PAGE_MM
    assert np.abs(relief.restore(relief.displace(points)) - points).max() < 1e-4
    # One of a steep sheet's neighbours never overtakes another: the picture of a line keeps its order.
    line = relief.displace(np.column_stack([np.linspace(0, PAGE_MM[0], 3000), np.full(3000, 60.0)]))
    assert (np.diff(line[:, 0]) > 0).all()


def test_the_lattice_sees_the_same_surface_as_single_points():
    params, size = all_at_once(4), (300, 400)
    page_map = sheet_map(params, PAGE_MM, size, flat_map(size))
    lattice = make_lattice(page_map, size)
    x, y = lattice.plane_mm.reshape(2, -1)
    for on_lattice, alone in zip(lattice.surface, page_map.bend.surface(x, y), strict=True):
        np.testing.assert_allclose(on_lattice.ravel(), alone, atol=2e-3)


def test_slopes_are_those_of_the_height():
    relief = sheet_relief(all_at_once(1), PAGE_MM)
    x, y = np.random.default_rng(0).uniform(10, 200, (2, 500))
    _, slope_x, slope_y, _ = relief.surface(x, y)
    step = 1e-5
    by_x = (relief.surface(x + step, y)[0] - relief.surface(x - step, y)[0]) / (2 * step)
    by_y = (relief.surface(x, y + step)[0] - relief.surface(x, y - step)[0]) / (2 * step)
    np.testing.assert_allclose(slope_x, by_x, atol=1e-5)
    np.testing.assert_allclose(slope_y, by_y, atol=1e-5)


def test_a_relief_survives_json():
    relief = sheet_relief(all_at_once(2), PAGE_MM)
    again = Relief.from_dict(json.loads(json.dumps(relief.as_dict())))
    points = lattice_mm()
    np.testing.assert_array_equal(again.displace(points), relief.displace(points))


def test_unknown_samples_stay_unknown():
    relief = sheet_relief(all_at_once(2), PAGE_MM)
    moved = relief.displace(np.array([[50.0, 60.0], [70.0, np.nan], [100.0, 80.0]]))
    assert np.isnan(moved).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("size", [(448, 448), (300, 900), (900, 300)], ids=str)
@pytest.mark.parametrize("preset", ["photo", "paper", "scan"])
def test_without_crop_the_sheet_less_a_small_inset_stays_in_view(preset, size):
    inset = KEPT_INSET * min(PAGE_MM)
    corners = np.array([(inset, inset), (PAGE_MM[0] - inset, inset), (inset, PAGE_MM[1] - inset)])
    corners = np.concatenate([corners, [np.subtract(PAGE_MM, inset)]])
    for seed in range(20):
        drawn = sample_params(np.random.default_rng(seed), preset)
        kept = {name: getattr(drawn, name) for name in ("rotation", "perspective", "framing")}
        pixels = sheet_map(DegradeParams(**kept), PAGE_MM, size, flat_map(size)).to_px(corners)
        assert (pixels > -1e-6).all()
        assert (pixels < np.array(size[::-1]) + 1e-6).all()


def test_crop_loses_the_share_it_says():
    size, params = (600, 800), DegradeParams(crop=fx.Crop(0.25, 1.0, -1.0))
    page_map = sheet_map(params, PAGE_MM, size, flat_map(size))
    (left, top), (right, bottom) = flat_map(size).to_px(page_map.to_mm([[0.0, 0.0], [800.0, 600.0]]))
    np.testing.assert_allclose([left, right, top, bottom], [200, 800, 0, 450], atol=1e-6)


def test_rotation_is_clockwise_and_by_its_degrees():
    page_map = sheet_map(DegradeParams(rotation=fx.Rotation(10.0)), PAGE_MM, (600, 800), flat_map((600, 800)))
    start, stop = page_map.to_px([[100.0, 100.0], [150.0, 100.0]])
    assert np.degrees(np.arctan2(*(stop - start)[::-1])) == pytest.approx(10.0)


def test_coverage_is_sampled_as_the_pixels_are():
    params, size = all_at_once(3), (448, 448)
    shape = clean_size(params, size)
    dots = dotted(shape, lattice_mm(), 3.0)
    page_map = sheet_map(params, PAGE_MM, size, flat_map(size))
    coverage = warp_coverage(255 - dots[..., 0], flat_map(shape), page_map, size)
    ink, _ = ink_of(params, size, lattice_mm())
    assert coverage.shape == size
    assert coverage.dtype == np.uint8
    difference = np.abs(ink.astype(float) - coverage)
    assert difference.max() <= 32  # faint rims of dots that lie half beyond what light makes of the paper
    assert np.quantile(difference, 0.9999) <= 20


def test_a_flat_page_keeps_its_map_and_size():
    params, flat = DegradeParams(noise=fx.Noise(5.0)), flat_map((448, 448))
    assert sheet_map(params, PAGE_MM, (448, 448), flat) is flat
    assert clean_size(params, (448, 448)) == (448, 448)


def test_clean_pages_are_drawn_about_as_large_as_they_will_appear():
    whole = clean_size(DegradeParams(rotation=fx.Rotation(1.0)), (448, 448))[0]
    far = clean_size(DegradeParams(rotation=fx.Rotation(1.0), framing=fx.Framing(0.5)), (448, 448))[0]
    near = clean_size(DegradeParams(rotation=fx.Rotation(1.0), crop=fx.Crop(0.2)), (448, 448))[0]
    assert far == pytest.approx(whole / 2, abs=1)
    assert near == pytest.approx(whole / 0.8, abs=1)
    assert clean_size(DegradeParams(framing=fx.Framing(0.2)), (16, 16)) == (16, 16)


def test_a_page_is_degraded_once():
    bent = sheet_map(all_at_once(0), PAGE_MM, (448, 448), flat_map((448, 448)))
    with pytest.raises(ArgumentError, match="twice"):
        sheet_map(all_at_once(0), PAGE_MM, (448, 448), bent)


def test_other_bends_than_our_own_are_followed_too():
    class Stretch:
        def displace(self, points_mm):
            return points_mm * (1.02, 0.97)

        def restore(self, points_mm):
            return points_mm / (1.02, 0.97)

    size = (600, 800)
    dots = 255 - dotted(size, lattice_mm(), 3.0)[..., 0]
    page_map = PageMap(flat_map(size).homography, Stretch())
    ink = warp_coverage(dots, flat_map(size), page_map, size)
    check_follows(ink.astype(float), page_map.to_px(lattice_mm()), worst_px=0.3)
