"""Ground truth against the ink of degraded pages: what a lead adds to a picture lies on its polyline, nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render import LAYOUTS, MACHINES, PageSpec, draw_page, draw_pages
from ecgscan_lab.render.degrade import GEOMETRIC, PRESETS, DegradeParams, sample_effect, sample_params
from ecgscan_lab.types import EcgRecord

PAGES = {
    **{layout: PageSpec(layout=layout, rhythm=("II",), text_mm=3.4) for layout in LAYOUTS},
    **{name: PageSpec.machine(name) for name in MACHINES},
}
SIZES = [(300, 400), (448, 448), (600, 800), (900, 1200), (1300, 1700)]


def beats(fs_hz: float = 250.0) -> EcgRecord:
    t = np.arange(int(10 * fs_hz)) / fs_hz
    phase = (t - 0.4) % 0.8
    wave = np.exp(-(((phase - 0.3) / 0.015) ** 2)) + 0.25 * np.exp(-(((phase - 0.55) / 0.05) ** 2))
    heights = np.where(np.arange(12) % 4 == 3, -0.7, 0.9)[:, None]
    return EcgRecord("r", (heights * wave).astype(np.float32), fs_hz)


def along(line: np.ndarray, step_px: float = 0.25) -> np.ndarray:
    """Points every `step_px` along a polyline."""
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.arange(0.0, length[-1], step_px)
    return np.column_stack([np.interp(at, length, line[:, k]) for k in (0, 1)])


def geometric(name: str, seed: int) -> DegradeParams:
    """One geometric effect alone, near its full strength; "all" has every one of them, gently."""
    rng = np.random.default_rng(seed)
    names = GEOMETRIC if name == "all" else (name,)
    strength = 0.5 if name == "all" else 0.9
    return DegradeParams(**{one: getattr(sample_effect(rng, one, strength), one) for one in names})


def misplaced(page: PageSpec, params: DegradeParams | None, size: tuple[int, int], lead: str) -> tuple[float, float]:
    """Farthest ink from the polyline, beyond the pen's own radius, and farthest polyline point from ink, in pixels."""
    bare = {"show_lead_names": False, "pulses": "none", "separators": "none", "grid": "none", "frame": False}
    page = replace(page, ink=(0, 0, 0), notes=(), **bare)
    record = beats()
    image = draw_page(record, page, params, size=size)
    without = draw_page(record, replace(page, hidden=(lead,)), params, size=size)
    change = np.abs(image.pixels.astype(int) - without.pixels).max(axis=2)
    ink, faint = (np.argwhere(change > level)[:, ::-1] + 0.5 for level in (60, 4))
    line = along(image.polylines[lead])
    inside = ((line > 2) & (line < np.array(size[::-1]) - 2)).all(axis=1)
    assert inside.any()
    radius = page.trace_width_mm / 2 * max(image.grid_spacing_px)
    outward = cKDTree(line).query(ink)[0].max() - radius
    inward = cKDTree(faint).query(line[inside])[0].max()
    return float(outward), float(inward)


@pytest.mark.parametrize("effect", [None, *GEOMETRIC, "all"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_ink_and_polyline_agree_within_a_pixel_at_every_resolution(effect, size):
    params = None if effect is None else geometric(effect, seed=len(effect))
    for lead in ("I", "V3"):
        outward, inward = misplaced(PageSpec(), params, size, lead)
        assert outward <= 1.0
        assert inward <= 1.0


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("seed", [1, 2])
def test_ink_and_polyline_agree_within_a_pixel_in_every_layout(name, seed):
    outward, inward = misplaced(PAGES[name], geometric("all", seed), (700, 900), "aVF")
    assert outward <= 1.0
    assert inward <= 1.0


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", range(3))
def test_boxes_hold_the_masks_and_the_masks_hold_the_traces(preset, seed):
    image = draw_page(beats(), PageSpec(), preset, size=(600, 800), seed=seed)
    for trace, line in image.polylines.items():
        points = along(line)
        visible = points[((points > 1) & (points < np.array([799, 599]))).all(axis=1)]
        mask = image.mask(trace, threshold=0.1)
        if len(visible) < 20:
            continue
        rows, columns = np.nonzero(mask)
        x0, y0, x1, y1 = image.boxes[trace]
        assert columns.min() + 0.5 >= x0 - 1.5
        assert columns.max() + 0.5 <= x1 + 1.5
        assert rows.min() + 0.5 >= y0 - 1.5
        assert rows.max() + 0.5 <= y1 + 1.5
        distance = cKDTree(np.column_stack([columns, rows]) + 0.5).query(visible)[0]
        assert distance.max() < 1.5


@pytest.mark.parametrize("preset", PRESETS)
def test_points_of_a_degraded_page_are_read_back(preset):
    record = beats()
    image = draw_page(record, PageSpec(), preset, size=(448, 448), seed=5)
    for trace, (first, stop) in image.windows.items():
        expected = np.column_stack([np.arange(first, stop) / 250.0, record.signal_mv[LEAD[trace], first:stop]])
        np.testing.assert_allclose(image.to_mv(trace, image.polylines[trace]), expected, atol=2e-3)


LEAD = {name: i for i, name in enumerate(EcgRecord("", np.zeros((12, 1)), 1.0).leads)} | {"II rhythm": 1}


@pytest.mark.parametrize("preset", ["paper", "photo", "mixture"])
def test_a_seed_makes_one_page_whatever_the_batch(preset):
    record = beats()
    params = [sample_params(np.random.default_rng(seed), preset) for seed in range(5)]
    single = np.stack([draw_page(record, None, p, size=(200, 260)).pixels for p in params])
    batch = draw_pages(np.repeat(record.signal_mv[None], 5, 0), 250.0, PageSpec(), (200, 260), degrade=params)
    assert (batch == single).all()
    again = draw_page(record, None, preset, size=(200, 260), seed=3)
    assert (again.pixels == single[3]).all()
    assert again.degradation == params[3]
    remade = draw_page(record, again.page, DegradeParams.from_dict(again.degradation.as_dict()), size=(200, 260))
    assert (remade.pixels == again.pixels).all()


def test_what_cannot_degrade_a_page_is_refused():
    for degrade in ("crumpled", 3, (448, 448)):
        with pytest.raises(ArgumentError):
            draw_page(beats(), None, degrade)
    with pytest.raises(ArgumentError, match="degradations"):
        draw_pages(beats().signal_mv[None], 250.0, PageSpec(), (200, 260), degrade=[None, None])
