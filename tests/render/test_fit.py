"""The page model fitted to pictures: warped pages whose truth is known, bent sheets, hopeless pictures, photographs."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots.figure import alt_text
from ecgscan_lab.plots.photographs import plot_overlay
from ecgscan_lab.render import PageSpec, draw_page, page_segments
from ecgscan_lab.render.photograph.bend import LatticeBend, fit_bend
from ecgscan_lab.render.photograph.fit import fit_page, ink_distance_mm, page_over_picture
from ecgscan_lab.render.photograph.grid import find_grid
from ecgscan_lab.types import EcgRecord, PageMap


def beats(seed=0, fs_hz=250.0):
    """Ten seconds of P, QRS and T at 72 bpm, another height in every lead."""
    t = np.arange(round(10 * fs_hz)) / fs_hz
    phase = (t - 0.4) % (60 / 72)
    waves = ((0.12, 0.1, 0.02), (1.0, 0.26, 0.011), (0.3, 0.5, 0.05))
    wave = sum(a * np.exp(-(((phase - m) / s) ** 2)) for a, m, s in waves)
    heights = np.random.default_rng(seed).uniform(0.4, 1.2, (12, 1))
    return EcgRecord("beats", (heights * wave).astype(np.float32), fs_hz=fs_hz)


def photograph(page, turn_deg=0.0, tilt=0.0, bend=None, px_per_mm=4.5, seed=0):
    """A page drawn by us, bent, turned and tilted over a dark table: (pixels, the map that was used)."""
    clean = draw_page(beats(seed), page, dpi=7.0 * 25.4)
    corners = np.array([(0.0, 0.0), (page.width_mm, 0.0), (page.width_mm, page.height_mm), (0.0, page.height_mm)])
    angle = np.deg2rad(turn_deg)
    turned = (corners - corners.mean(axis=0)) @ np.array(
        [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    )
    turned *= px_per_mm * (1.0 + tilt * turned[:, 1:] / 200.0)
    turned += 40.0 - turned.min(axis=0)
    width, height = np.ceil(turned.max(axis=0) + 40.0).astype(int)
    homography = cv2.getPerspectiveTransform(corners.astype(np.float32), turned.astype(np.float32)).astype(np.float64)
    truth = PageMap(homography, bend)
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    where = clean.page_map.to_px(truth.to_mm(np.column_stack([x.ravel(), y.ravel()]))) - 0.5
    maps = where.reshape(height, width, 2).astype(np.float32)
    pixels = cv2.remap(clean.pixels, maps[..., 0], maps[..., 1], cv2.INTER_AREA, borderValue=(70, 60, 50))
    noise = np.random.default_rng(seed).normal(0, 2.0, pixels.shape)
    return np.clip(pixels * 0.85 + noise, 0, 255).astype(np.uint8), truth


def lead_errors_mm(fit, truth, page):
    """How far the start of each trace lies from where it is, in millimetres of the true page."""
    mine = {segment.name: segment for segment in page_segments(fit.page)}
    errors = []
    for segment in page_segments(page):
        found = mine[segment.name]
        at = truth.to_mm(fit.page_map.to_px([(found.x0_mm, found.baseline_mm)]))[0]
        errors.append(np.hypot(at[0] - segment.x0_mm, at[1] - segment.baseline_mm))
    return np.array(errors)


PAGES = {
    "kit": PageSpec.machine("image_kit"),
    "pink 3x4": PageSpec(separators="tick"),
    "green 6x2": PageSpec.machine("cardiofax", show_scale=False),
    "grey 12x1": PageSpec.machine("viewer"),
}


@pytest.mark.parametrize("name", PAGES)
def test_leads_of_a_tilted_page_are_found_from_the_picture_alone(name):
    page = PAGES[name]
    pixels, truth = photograph(page, turn_deg=7.0, tilt=0.12)
    fit = fit_page(pixels)
    assert fit.page.layout == page.layout
    assert len(fit.page.rhythm) == len(page.rhythm)
    assert np.median(lead_errors_mm(fit, truth, page)) < 1.0
    assert fit.residual_mm < 0.5
    assert fit.confidence > 0.3


@pytest.mark.parametrize("turn_deg", [90.0, 180.0, 262.0])
def test_a_known_page_is_found_whichever_way_it_is_turned(turn_deg):
    page = PAGES["pink 3x4"]
    pixels, truth = photograph(page, turn_deg=turn_deg)
    fit = fit_page(pixels, page)
    corners = np.array([(0.0, 0.0), (page.width_mm, 0.0), (page.width_mm, page.height_mm), (0.0, page.height_mm)])
    assert np.median(np.hypot(*(truth.to_mm(fit.page_map.to_px(corners)) - corners).T)) < 1.0
    assert fit.page == page


def test_a_page_upside_down_is_read_upright_without_being_told():
    page = PAGES["kit"]
    pixels, truth = photograph(page, turn_deg=184.0)
    assert np.median(lead_errors_mm(fit_page(pixels), truth, page)) < 1.0


def wave_bend():
    """Three millimetres of smooth buckling."""
    x, y = np.meshgrid(np.arange(-40.0, 330.0, 10.0), np.arange(-40.0, 270.0, 10.0))
    return LatticeBend((-40.0, -40.0), 10.0, np.stack([2 * np.sin(y / 45.0), 3 * np.sin(x / 60.0 + y / 90.0)], axis=-1))


def test_a_bent_sheet_is_followed_and_a_homography_alone_is_not_enough():
    page = PAGES["kit"]
    pixels, truth = photograph(page, turn_deg=3.0, bend=wave_bend())
    fit = fit_page(pixels)
    assert fit.flat_residual_mm > 5 * fit.residual_mm
    assert fit.residual_mm < 0.3
    assert any("not flat" in flag for flag in fit.flags)
    assert lead_errors_mm(fit, truth, page).max() < 0.5
    bent = np.concatenate(list(ink_distance_mm(pixels, fit, beats()).values()))
    flat = np.concatenate(list(ink_distance_mm(pixels, fit, beats(), flat=True).values()))
    assert np.percentile(bent, 95) < 0.5 < np.percentile(flat, 95)


@pytest.mark.slow
def test_gain_and_speed_come_from_the_pulses():
    page = PageSpec(gain_mm_per_mv=20.0, row_pitch_mm=42.0)
    pixels, _ = photograph(page, turn_deg=-4.0)
    assert fit_page(pixels).page.gain_mm_per_mv == 20.0
    page = PageSpec.machine("megacart", cabrera=False)
    pixels, _ = photograph(page)
    assert fit_page(pixels).page.paper_speed_mm_per_s == 50.0


def test_what_was_assumed_is_said():
    page = PageSpec(pulses="none")
    pixels, truth = photograph(page, turn_deg=2.0)
    fit = fit_page(pixels)
    assert any("pulses" in flag for flag in fit.flags)
    assert np.median(lead_errors_mm(fit, truth, page)) < 1.5


def test_the_same_picture_gives_the_same_fit():
    pixels, _ = photograph(PAGES["kit"], turn_deg=5.0)
    one, two = fit_page(pixels), fit_page(pixels.copy())
    assert one.page == two.page
    assert np.array_equal(one.page_map.homography, two.page_map.homography)
    assert np.array_equal(one.crossings_mm, two.crossings_mm)


def test_crossings_lie_on_lines_to_a_fraction_of_a_pixel():
    page = replace(PAGES["pink 3x4"], grid_phase_mm=(2.0, 3.0))
    pixels, truth = photograph(page, turn_deg=11.0, tilt=0.1)
    grid = find_grid(pixels)
    mm = truth.to_mm(grid.points_px)
    off = (mm - (2.0, 3.0) + 2.5) % 5.0 - 2.5
    assert grid.spacing_mm == 5.0
    assert np.median(np.abs(off)) < 0.08
    assert len(mm) > 0.85 * (page.width_mm // 5) * (page.height_mm // 5)


NOTHING = {
    "white": np.full((600, 800, 3), 255, np.uint8),
    "black": np.zeros((600, 800, 3), np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (600, 800, 3)).astype(np.uint8),
    "stripes": np.tile((np.arange(800) % 20 < 3)[None, :, None] * np.uint8(255), (600, 1, 3)),
    "gradient": np.tile(np.linspace(0, 255, 800).astype(np.uint8)[None, :, None], (600, 1, 3)),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_picture_without_a_grid_is_refused(name):
    with pytest.raises(PageError) as caught:
        fit_page(NOTHING[name])
    assert caught.value.field == "pixels"


def test_grid_paper_without_traces_is_refused():
    page = PageSpec(pulses="none", show_lead_names=False, show_scale=False)
    blank = EcgRecord("blank", np.full((12, 1000), np.nan, np.float32), fs_hz=100.0)
    with pytest.raises(PageError):
        fit_page(draw_page(blank, page, dpi=150).pixels)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((100, 400, 3), np.uint8),
        np.zeros((400, 400), np.uint8),
        np.zeros((400, 400, 3), np.float32),
        np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)),
    ],
    ids=["small", "grey", "float", "huge"],
)
def test_pictures_of_the_wrong_kind_are_refused(pixels):
    with pytest.raises(PageError) as caught:
        fit_page(pixels)
    assert caught.value.field == "pixels"


def test_a_bend_and_its_inverse_cancel_and_survive_json(rng):
    bend = wave_bend()
    points = rng.uniform((-60.0, -60.0), (350.0, 290.0), (500, 2))
    assert np.allclose(bend.restore(bend.displace(points)), points, atol=1e-5)
    again = LatticeBend.from_dict(bend.as_dict())
    assert np.array_equal(again.displace(points), bend.displace(points))
    with pytest.raises(ArgumentError):
        LatticeBend((0.0, 0.0), 5.0, np.full((3, 3, 2), np.nan))


def test_a_fitted_bend_ignores_outliers_and_bridges_holes(rng):
    bend = wave_bend()
    x, y = np.meshgrid(np.arange(0.0, 280.0, 5.0), np.arange(0.0, 215.0, 5.0))
    points = np.column_stack([x.ravel(), y.ravel()])
    hole = (np.abs(points - (140.0, 100.0)) < 15.0).all(axis=1)
    found = bend.displace(points) + rng.normal(0, 0.05, points.shape)
    found[rng.choice(len(points), 60, replace=False)] += 2.5
    fitted = fit_bend(points[~hole], found[~hole])
    error = np.hypot(*(fitted.displace(points) - bend.displace(points)).T)
    assert np.percentile(error, 95) < 0.25
    assert error[hole].max() < 0.5


def test_the_overlay_covers_the_ink_and_is_described():
    page = PAGES["kit"]
    pixels, _ = photograph(page, turn_deg=6.0)
    fit = fit_page(pixels)
    cover = page_over_picture(pixels, fit, beats())
    dark = pixels.max(axis=-1) < 110
    inside = cover > 0.6
    assert (inside & dark).sum() > 0.8 * inside.sum()
    figure = plot_overlay(pixels, fit, beats())
    assert "3x4" in alt_text(figure)


@pytest.fixture(scope="module")
def photographs(real_data):
    folder = real_data / "other" / "real_images" / "ecg_paper_1k"
    paths = sorted((folder / "images").glob("*.jpg"))
    if not paths:
        pytest.skip(f"no photographs in {folder}")
    return folder, paths


@pytest.mark.real
@pytest.mark.slow
def test_the_page_model_lies_over_real_photographs(photographs):
    wfdb = pytest.importorskip("wfdb")
    folder, paths = photographs
    for path in paths:
        pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)[..., ::-1]
        pixels = cv2.resize(pixels, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
        fit = fit_page(pixels)
        assert (fit.page.layout, fit.page.rhythm) == ("3x4", ("II",)), path.name
        assert fit.residual_mm < 0.5, path.name
        printed = wfdb.rdrecord(str(folder / "signals" / path.stem.split("-")[0]))
        rows = {name.upper(): k for k, name in enumerate(printed.sig_name)}
        signal_mv = np.stack([printed.p_signal[:, rows[lead.upper()]] for lead in LEADS]).astype(np.float32)
        record = EcgRecord("printed", signal_mv, fs_hz=float(printed.fs))
        distance = np.concatenate(list(ink_distance_mm(pixels, fit, record).values()))
        assert np.median(distance) < 0.3, path.name
        assert np.percentile(distance, 95) < 1.0, path.name
