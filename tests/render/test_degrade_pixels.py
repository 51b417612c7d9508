"""What degradation does to pixels: nothing when told so, always the same, and what each effect's name says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render import PageSpec, draw_page
from ecgscan_lab.render.degrade import (
    EFFECTS,
    GEOMETRIC,
    PRESETS,
    DegradeParams,
    apply_params,
    clean_size,
    sample_effect,
    sample_params,
    sheet_map,
)
from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.capture import add_noise, jpeg, motion_blur
from ecgscan_lab.render.degrade.handwriting import LETTERS, REMARKS
from ecgscan_lab.types import PageMap

SIZE = (420, 560)
PAGE = PageSpec()
PAGE_MM = (PAGE.width_mm, PAGE.height_mm)


def flat_map(size, page_mm=PAGE_MM):
    scale = min(size[0] / page_mm[1], size[1] / page_mm[0])
    left, top = (size[1] - page_mm[0] * scale) / 2, (size[0] - page_mm[1] * scale) / 2
    return PageMap(np.array([[scale, 0.0, left], [0.0, scale, top], [0.0, 0.0, 1.0]]))


def degrade(clean, params, size, page_mm=PAGE_MM):
    clean_map = flat_map(clean.shape[:2], page_mm)
    return apply_params(clean, params, clean_map, sheet_map(params, page_mm, size, flat_map(size)), page_mm, size)


@pytest.fixture(scope="module")
def record():
    return synthetic_records(1, seed=3)[0]


class CleanPages(dict):
    """Size -> the clean page, drawn when first asked for: effects start from pages of different sizes."""

    def __init__(self, record):
        super().__init__()
        self.record = record

    def __missing__(self, size):
        self[size] = draw_page(self.record, PAGE, size=size).pixels
        return self[size]


@pytest.fixture(scope="module")
def pages(record):
    return CleanPages(record)


def degraded(pages, params):
    return degrade(pages[clean_size(params, SIZE)], params, SIZE)


def test_the_identity_changes_no_pixel_and_returns_a_copy(pages):
    clean = pages[SIZE]
    out = degraded(pages, DegradeParams())
    np.testing.assert_array_equal(out, clean)
    assert not np.shares_memory(out, clean)


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_each_effect_changes_pixels_reproducibly_and_spares_the_clean_page(pages, name):
    params = sample_effect(np.random.default_rng(8), name)
    if name == "edge_shadow":  # needs something to fall on
        params = replace(params, background=fx.Background(1.0, "desk"), framing=fx.Framing(0.7))
    clean = pages[clean_size(params, SIZE)]
    before = clean.copy()
    first, again = degraded(pages, params), degraded(pages, params)
    np.testing.assert_array_equal(clean, before)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (*SIZE, 3)
    assert first.dtype == np.uint8
    reference = degraded(pages, replace(params, **{name: None}))
    assert (first != reference).any()


@pytest.mark.parametrize("name", sorted(set(EFFECTS) - set(GEOMETRIC)))
def test_a_trace_of_an_effect_leaves_nearly_the_same_page(pages, name):
    out = degraded(pages, sample_effect(np.random.default_rng(8), name, 0.01))
    assert np.abs(out.astype(int) - pages[SIZE]).mean() < 3.0


def test_threads_do_not_matter(pages):
    drawn = [sample_params(np.random.default_rng(seed), "mixture") for seed in range(12)]
    alone = [degraded(pages, params) for params in drawn]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda params: degraded(pages, params), drawn))
    for first, second in zip(alone, together, strict=True):
        np.testing.assert_array_equal(first, second)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    preset=st.sampled_from(sorted(PRESETS)),
    size=st.tuples(st.integers(16, 240), st.integers(16, 240)),
    page_mm=st.tuples(st.floats(10.0, 2000.0), st.floats(10.0, 2000.0)),
)
def test_every_preset_works_at_every_size_and_on_every_sheet(seed, preset, size, page_mm):
    params = sample_params(np.random.default_rng(seed), preset)
    shape = clean_size(params, size)
    clean = np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
    page_map = sheet_map(params, page_mm, size, flat_map(size, page_mm))
    out = apply_params(clean, params, flat_map(shape, page_mm), page_map, page_mm, size)
    assert out.shape == (*size, 3)
    assert out.dtype == np.uint8
    points = np.random.default_rng(seed).uniform(0, 1, (50, 2)) * page_mm
    assert np.abs(page_map.to_px(page_map.to_mm(page_map.to_px(points))) - page_map.to_px(points)).max() < 1e-3


@pytest.mark.parametrize("name", sorted(EFFECTS))
@pytest.mark.parametrize("size", [(16, 16), (16, 900), (900, 16)], ids=str)
def test_each_effect_works_on_tiny_and_narrow_pictures(name, size):
    for seed in range(3):
        params = sample_effect(np.random.default_rng(seed), name)
        clean = np.full((*clean_size(params, size), 3), 240, np.uint8)
        assert degrade(clean, params, size).shape == (*size, 3)


@pytest.mark.slow
def test_large_pictures_work(record):
    clean = draw_page(record, PAGE, size=(1700, 2200)).pixels
    for seed, preset in enumerate(("scan", "photo", "fax", "paper")):
        params = sample_params(np.random.default_rng(seed), preset)
        assert degrade(clean, params, (1700, 2200)).shape == (1700, 2200, 3)


@pytest.mark.parametrize(
    ("clean", "field"),
    [
        (np.zeros((420, 560, 3), np.float32), "clean"),
        (np.zeros((420, 560), np.uint8), "clean"),
        (np.zeros((420, 560, 4), np.uint8), "clean"),
        (np.zeros((410, 560, 3), np.uint8), "clean"),
        ([[0]], "clean"),
    ],
)
def test_a_wrong_clean_page_is_named(clean, field):
    with pytest.raises(ArgumentError) as caught:
        apply_params(clean, DegradeParams(), flat_map(SIZE), flat_map(SIZE), PAGE_MM, SIZE)
    assert caught.value.field == field


def test_parameters_of_another_kind_are_named(pages):
    with pytest.raises(ArgumentError) as caught:
        apply_params(pages[SIZE], {"noise": 3}, flat_map(SIZE), flat_map(SIZE), PAGE_MM, SIZE)
    assert caught.value.field == "params"


# --- each effect does what its name says -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ink_bleed", "stains", "handwriting", "stamp", "moire", "shadow", "uneven_light"])
def test_some_effects_only_darken(pages, name):
    out = degraded(pages, sample_effect(np.random.default_rng(8), name))
    assert (out.astype(int) - pages[SIZE]).max() <= 1
    assert out.mean() < pages[SIZE].mean()


@pytest.mark.parametrize("name", ["fading", "dot_matrix", "glare"])
def test_some_effects_only_pale(pages, name):
    out = degraded(pages, sample_effect(np.random.default_rng(8), name))
    assert (out.astype(int) - pages[SIZE]).min() >= -1
    assert out.mean() > pages[SIZE].mean()


def test_grey_and_binarised_scans_are_what_they_say(pages):
    grey = degraded(pages, DegradeParams(grey=fx.Grey(1.0)))
    assert (grey == grey[..., :1]).all()
    hard = degraded(pages, DegradeParams(binarised=fx.Binarised(1.0)))
    assert set(np.unique(hard)) == {0, 255}
    ink = pages[SIZE].max(axis=2) < 60
    assert (hard[ink] == 0).mean() > 0.99
    assert set(np.unique(degraded(pages, DegradeParams(fax=fx.Fax(1.0, 15.4))))) <= {0, 255}


def test_a_fax_loses_rows_but_keeps_most_ink(pages):
    out = degraded(pages, DegradeParams(fax=fx.Fax(1.0, 7.7, 0.75, faults=2, seed=5)))
    ink = pages[SIZE].max(axis=2) < 60
    assert (out[ink].min(axis=1) < 128).mean() > 0.9


@pytest.mark.parametrize("grain", ["fine", "coarse"])
@pytest.mark.parametrize("sigma", [2.0, 10.0, 25.0])
def test_noise_has_the_standard_deviation_asked_for(sigma, grain):
    flat = np.full((400, 500, 3), 128, np.uint8)
    out = add_noise(flat, fx.Noise(sigma, 0.4, grain, 3)).astype(float) - 128
    assert out.std() == pytest.approx(sigma, rel=0.05)
    assert abs(out.mean()) < 0.3
    other = add_noise(flat, fx.Noise(sigma, 0.4, grain, 4)).astype(float) - 128
    assert abs(np.corrcoef(out.ravel(), other.ravel())[0, 1]) < 0.02


def test_noise_without_colour_is_grey():
    out = add_noise(np.full((50, 50, 3), 128, np.uint8), fx.Noise(10.0, 0.0))
    assert (out == out[..., :1]).all()


def test_jpeg_keeps_colours_in_their_places():
    bars = np.repeat(np.array([[[200, 40, 40], [40, 160, 60], [50, 60, 190]]], np.uint8), 32, axis=1).repeat(32, axis=0)
    assert np.abs(jpeg(bars, fx.Jpeg(95)).astype(int) - bars)[:, 8:-8].mean() < 6


def test_motion_blur_spreads_along_its_direction_and_keeps_light():
    dot = np.zeros((201, 201, 3), np.uint8)
    dot[96:105, 96:105] = 200
    out = motion_blur(dot, fx.MotionBlur(100.0 * 0.2, 0.0)).astype(float)[..., 0]
    rows, columns = np.mgrid[:201, :201]
    weight = out / out.sum()
    assert out.sum() == pytest.approx(dot[..., 0].sum(), rel=0.02)
    assert (weight * columns).sum() == pytest.approx(100.0, abs=0.05)
    assert (weight * rows).sum() == pytest.approx(100.0, abs=0.05)
    assert (weight * (columns - 100) ** 2).sum() > (weight * (rows - 100) ** 2).sum() * 1.1


def test_warmth_and_exposure_turn_the_right_way(pages):
    warm, cool = (degraded(pages, DegradeParams(colour_cast=fx.ColourCast(w))).mean(axis=(0, 1)) for w in (0.8, -0.8))
    assert warm[0] - warm[2] > cool[0] - cool[2] + 20
    light, dark = (degraded(pages, DegradeParams(exposure=fx.Exposure(b))).mean() for b in (0.1, -0.3))
    assert light > dark + 30


def test_a_table_leaves_the_inside_of_the_sheet_alone(pages):
    framing = DegradeParams(framing=fx.Framing(0.7))
    bare = degraded(pages, framing)
    page_map = sheet_map(framing, PAGE_MM, SIZE, flat_map(SIZE))
    (left, top), (right, bottom) = np.rint(page_map.to_px([(0.0, 0.0), PAGE_MM])).astype(int)
    for kind in ("wood", "cloth", "desk", "dark", "lid"):
        out = degraded(pages, replace(framing, background=fx.Background(1.0, kind, 0.8, 4)))
        np.testing.assert_array_equal(
            out[top + 2 : bottom - 2, left + 2 : right - 2], bare[top + 2 : bottom - 2, left + 2 : right - 2]
        )
        assert np.abs(out[: top - 2].astype(int) - bare[: top - 2]).mean() > 4


def test_the_shadow_of_the_sheet_falls_beside_it(pages):
    params = DegradeParams(framing=fx.Framing(0.7), background=fx.Background(1.0, "desk", 1.0, 4), light_deg=180.0)
    out = degraded(pages, params).astype(int) - degraded(pages, replace(params, edge_shadow=fx.EdgeShadow(0.8, 0.03)))
    page_map = sheet_map(params, PAGE_MM, SIZE, flat_map(SIZE))
    left, right = (int(page_map.to_px([[x, 108.0]])[0, 0]) for x in (0.0, PAGE_MM[0]))
    row = out[SIZE[0] // 2].mean(axis=1)
    assert abs(row[left + 5 : right - 5]).max() == 0
    assert row[right + 3 : right + 8].mean() > row[left - 8 : left - 3].mean() + 5


def test_a_fold_is_bright_on_one_side_and_dark_on_the_other():
    blank = np.full((*clean_size(DegradeParams(folds=fx.Folds(1, 0, 0.02)), SIZE), 3), 230, np.uint8)
    sides = []
    for light_deg in (0.0, 180.0):
        params = DegradeParams(folds=fx.Folds(1, 0, 0.02, 1), light_deg=light_deg)
        row = degrade(blank, params, SIZE)[SIZE[0] // 2, :, 0].astype(int)
        sides.append(row[: SIZE[1] // 2 - 20].mean() - row[SIZE[1] // 2 + 20 :].mean())
    assert abs(sides[0]) > 5
    assert sides[0] * sides[1] < 0


def test_marks_stay_where_they_were_put(pages):
    for name, effect in (
        ("stamp", fx.Stamp(0.9, 0.5, 0.5, seed=2)),
        ("sticker", fx.Sticker(1.0, 0.5, 0.5, seed=2)),
        ("barcode", fx.Barcode(1.0, 0.5, 0.5, seed=2)),
    ):
        changed = np.argwhere((degraded(pages, DegradeParams(**{name: effect})) != pages[SIZE]).any(axis=2))
        assert np.abs(changed.mean(axis=0) - np.array(SIZE) / 2).max() < 12
        assert np.ptp(changed, axis=0).max() < 0.35 * SIZE[1]


def test_dead_elements_of_a_thermal_head_leave_lines(pages):
    whole, gapped = (
        degraded(pages, DegradeParams(thermal=fx.Thermal(0.5, dead, 0.0, 1))).astype(int) for dead in (0, 6)
    )
    rows = (whole != gapped).any(axis=(1, 2))
    assert 0 < rows.sum() <= 6
    assert (gapped >= whole).all()


def test_streaks_run_from_top_to_bottom():
    flat = np.full((*SIZE, 3), 220, np.uint8)
    columns = (degrade(flat, DegradeParams(streaks=fx.Streaks(4, 0.9, 1)), SIZE) != 220).any(axis=2)
    assert (columns == columns[:1]).all()
    assert 0 < columns[0].sum() < 20


def test_every_remark_can_be_written():
    assert {letter for text in REMARKS for letter in text} - set(LETTERS) <= {" "}


def test_ground_truth_of_a_photograph_lies_on_its_ink(record):
    image = draw_page(record, PageSpec(grid="none"), degrade="photo", size=(900, 1200), seed=11)
    mask = image.mask("II rhythm")
    line = image.polylines["II rhythm"]
    inside = line[((line > 2) & (line < (1198, 898))).all(axis=1)]
    assert mask[inside[:, 1].astype(int), inside[:, 0].astype(int)].mean() > 0.9
