"""Fit the page model to a photograph: where each millimetre of the page lies on the picture, and what is printed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ecgscan_lab.errors import PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.framing import MM_PER_INCH
from ecgscan_lab.render.layouts import LAYOUTS
from ecgscan_lab.render.machines import MACHINES
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.photograph.bend import fit_bend
from ecgscan_lab.render.photograph.grid import Grid, find_grid
from ecgscan_lab.render.photograph.placement import (
    Pulses,
    complete_rows,
    find_pulses,
    find_rows,
    layouts_for,
    name_scores,
    page_from_rows,
    read_strips,
    trace_span,
)
from ecgscan_lab.render.photograph.rectify import GRID_MM, PX_PER_MM, FlatPage, lay_flat
from ecgscan_lab.render.photograph.template import best_shift, template_score
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.types import EcgRecord, PageMap

SNAP_MM = 0.7
READABLE = 0.42
LEAST_PULSES = 1.1
"""Contrast of a column of pulses, summed over its rows, below which it may be chance."""


@dataclass(frozen=True, eq=False)
class PageFit:
    """A page model laid over a picture.

    Attributes:
        page: what is printed, in millimetres; the given one, or one fitted to the picture.
        page_map: millimetres of the page to pixels of the picture, with the bend of the sheet.
        flat_map: the same without the bend, the best homography alone.
        residual_px, residual_mm: root mean square distance of the grid's crossings from where `page_map` puts them.
        flat_residual_px, flat_residual_mm: the same for `flat_map`.
        confidence: 0 to 1: how well print and page model agree; below about 0.3 the rows may be the wrong ones.
        flags: what was assumed or is doubtful, in plain words.
        grid: the crossings.
        crossings_mm: float64 `[n, 2]`, where on the page the model has them.
    """

    page: PageSpec
    page_map: PageMap = field(repr=False)
    flat_map: PageMap = field(repr=False)
    residual_px: float
    residual_mm: float
    flat_residual_px: float
    flat_residual_mm: float
    confidence: float
    flags: tuple[str, ...]
    grid: Grid = field(repr=False, kw_only=True)
    crossings_mm: np.ndarray = field(repr=False, kw_only=True)


def fit_page(pixels: np.ndarray, page: PageSpec | None = None, *, record: EcgRecord | None = None) -> PageFit:
    """Find an ECG page in a photograph or scan, and fit the page model to it.

    The grid gives the map from millimetres to pixels, up to whole cells and quarter turns; calibration pulses, rows,
    lead names and the other print settle the rest.

    Args:
        pixels: uint8 `[height, width, 3]`, RGB (OpenCV reads BGR: turn it with `[..., ::-1]`).
        page: what is printed, when known; None finds layout, rows, gain and lead names.
        record: the recording on the page, when known: its traces then help to place a given page.

    Returns:
        The fit: its `page`, and its `page_map` from millimetres on that page to pixels (`to_px`, `to_mm`).

    Raises:
        PageError: the picture is too small, too large, or shows no grid or no traces.

    Properties: known pages are found within a millimetre, turned by any angle; deterministic.
    """
    grid = find_grid(pixels)
    lattice_mm = grid.index * grid.spacing_mm
    flat = lay_flat(pixels, lattice_mm, _fit_map(lattice_mm, grid)[0])
    if page is None:
        page, turn, shift, confidence, flags = _find_page(flat)
    else:
        page, turn, shift, confidence, flags = _place_page(flat, page, record)
    page, shift = _snap(page, shift)
    # lattice -> upright lattice -> page
    points_mm = _turned(lattice_mm, turn) - shift
    page_map, flat_map = _fit_map(points_mm, grid)
    bent, plain = (_residuals(which, points_mm, grid) for which in (page_map, flat_map))
    if plain[1] > 1.0:
        flags = (*flags, f"the sheet is not flat: crossings lie {plain[1]:.1f} mm from a homography")
    return PageFit(page, page_map, flat_map, *bent, *plain, confidence, flags, grid=grid, crossings_mm=points_mm)


def _fit_map(points_mm: np.ndarray, grid: Grid) -> tuple[PageMap, PageMap]:
    """(with bend, without) least squares over the crossings; the worst are left out of the homography."""
    keep = np.ones(len(points_mm), bool)
    for _ in range(2):
        homography = cv2.findHomography(points_mm[keep], grid.points_px[keep], 0)[0]
        if homography is None:
            raise PageError("the grid's crossings do not lie on a plane", field="pixels", expected="a page with a grid")
        found_mm = PageMap(homography).to_mm(grid.points_px)
        distance = np.hypot(*(found_mm - points_mm).T)
        keep = distance <= max(0.3, 4.0 * float(np.median(distance)))
    bend = fit_bend(points_mm, found_mm, weight=grid.quality)
    return PageMap(homography, bend), PageMap(homography)


def _residuals(page_map: PageMap, points_mm: np.ndarray, grid: Grid) -> tuple[float, float]:
    """Root mean square distance of crossings from the model, in pixels and in millimetres."""
    px = np.hypot(*(page_map.to_px(points_mm) - grid.points_px).T)
    mm = np.hypot(*(page_map.to_mm(grid.points_px) - points_mm).T)
    return float(np.sqrt((px**2).mean())), float(np.sqrt((mm**2).mean()))


def _turned(points_mm: np.ndarray, turn: int) -> np.ndarray:
    """Lattice millimetres after `turn` quarter turns counterclockwise, as `np.rot90` turns the raster."""
    x, y = points_mm.T
    return np.column_stack([(x, y), (y, -x), (-x, -y), (-y, x)][turn])


def _turned_flat(flat: FlatPage, turn: int) -> FlatPage:
    height, width = np.array(flat.ink.shape) / PX_PER_MM
    x, y = flat.origin_mm
    corners = _turned(np.array([(x, y), (x + width, y + height)]), turn)
    ink, known = (np.ascontiguousarray(np.rot90(image, turn)) for image in (flat.ink, flat.known))
    return FlatPage(ink, known, (float(corners[:, 0].min()), float(corners[:, 1].min())))


def _snap(page: PageSpec, shift: np.ndarray) -> tuple[PageSpec, np.ndarray]:
    """Let the page's grid lines fall on the picture's where they nearly do; else move the page's grid."""
    phase = np.array(page.grid_phase_mm or (page.left_mm, page.baselines_mm[0]))
    off = (phase + shift + GRID_MM / 2) % GRID_MM - GRID_MM / 2
    if np.abs(off).max() <= SNAP_MM:
        return page, shift - off
    x_mm, y_mm = (-shift) % GRID_MM
    return replace(page, grid_phase_mm=(float(x_mm), float(y_mm))), shift


def _place_page(
    flat: FlatPage, page: PageSpec, record: EcgRecord | None
) -> tuple[PageSpec, int, np.ndarray, float, tuple[str, ...]]:
    """Try a known page in four directions."""
    tries = [(*best_shift(_turned_flat(flat, turn), page, record), turn) for turn in range(4)]
    score, shift, turn = max(tries, key=lambda entry: entry[0])
    flags = () if score > 0.25 else ("the print agrees poorly with the given page",)
    return page, turn, shift, _confidence(score), flags


def _confidence(score: float) -> float:
    return float(np.clip(score / 0.6, 0.0, 1.0))


def _find_page(flat: FlatPage) -> tuple[PageSpec, int, np.ndarray, float, tuple[str, ...]]:
    """Find what is printed: pulses or rows first, then the layout whose lead names are there, then the rest."""
    turned = [_turned_flat(flat, turn) for turn in range(4)]
    rows = [find_rows(each) for each in turned]
    # rows of traces tell upright from sideways, pulses or names which way is up
    turns: tuple[int, ...] = (0, 2) if rows[0].score + rows[2].score >= rows[1].score + rows[3].score else (1, 3)
    found = [find_pulses(each) for each in turned]
    if any(map(_clear, found)):
        turns = tuple(turn for turn in range(4) if _clear(found[turn]))
    pulses = {turn: _beside_rows(found[turn], rows[turn]) for turn in turns}
    turn = max(turns, key=lambda k: pulses[k].score)
    if pulses[turn].score >= LEAST_PULSES:
        return _settle(turned[turn], turn, pulses[turn], (), True)
    if not any(rows[turn].baselines_mm for turn in turns):
        raise PageError(
            "a grid was found, but no rows of traces",
            field="pixels",
            expected="an ECG page with traces",
            fix="give the page that is printed as `page`",
        )
    flags = ("no calibration pulses: 25 mm/s and 10 mm/mV are assumed",)
    tries = [_settle(turned[turn], turn, rows[turn], flags, False) for turn in turns if rows[turn].baselines_mm]
    return max(tries, key=lambda entry: entry[3])


def _clear(pulses: Pulses | None) -> bool:
    """Pulses that cannot be chance: at least three, each with most of its ink."""
    return pulses is not None and len(pulses.baselines_mm) >= 3 and pulses.score > 0.6 * len(pulses.baselines_mm)


def _beside_rows(pulses: Pulses | None, rows: Pulses) -> Pulses:
    """Pulses that stand beside rows; score zero when most rows have none."""
    if pulses is None:
        return Pulses(0.0, (), 5.0, 10.0, 0.0)
    if len(rows.baselines_mm) < 3 or _clear(pulses):
        return pulses
    at = np.array(pulses.baselines_mm)
    near = [y for y in at if np.abs(np.array(rows.baselines_mm) - y).min() < 4.0]
    score = pulses.score if len(near) > 0.6 * max(len(rows.baselines_mm), len(at)) else 0.0
    return replace(pulses, score=score)


def _settle(
    flat: FlatPage, turn: int, found: Pulses, flags: tuple[str, ...], printed: bool
) -> tuple[PageSpec, int, np.ndarray, float, tuple[str, ...]]:
    rows = complete_rows(found.baselines_mm)
    span = trace_span(flat, rows)
    tries: list[tuple[float, PageSpec, np.ndarray]] = []
    for layout, strips in layouts_for(len(rows)):
        for cabrera in (False, True):
            page = page_from_rows(found, rows, span, layout, strips, cabrera=cabrera, pulses=printed)
            if page is None:
                continue
            shift = _shift_of(page, found, rows)
            score, place = name_scores(flat, page, shift)
            tries.append((score - 0.05 * cabrera, _with_names(page, place), shift))
    if not tries:
        raise PageError(
            f"{len(rows)} rows of traces fit no layout", field="pixels", expected="a page in a layout of `LAYOUTS`"
        )
    score, page, shift = max(tries, key=lambda entry: entry[0])
    if score < READABLE:
        usual = "12x1" if len(rows) >= 12 else "6x2" if len(rows) >= 6 else "3x4"
        score, page, shift = next((entry for entry in tries if entry[1].layout == usual), (score, page, shift))
    if score < READABLE:
        flags = (*flags, "the lead names could not be read: the usual order is assumed")
    elif page.rhythm:
        page = replace(page, rhythm=read_strips(flat, page, shift))
    page, shift, agreement = _like_a_machine(flat, page, shift, rows, found)
    return page, turn, shift, _confidence(max(agreement, 0.0)) * min(1.0, max(score, 0.0) / READABLE), flags


def _with_names(page: PageSpec, place: dict[str, float]) -> PageSpec:
    return replace(
        page,
        name_indent_mm=place.get("name_indent_mm", page.name_indent_mm),
        name_rise_mm=place.get("name_rise_mm", page.name_rise_mm),
        text_mm=place.get("text_mm", page.text_mm),
    )


def _shift_of(page: PageSpec, found: Pulses, rows: list[float]) -> np.ndarray:
    """From millimetres of the page to millimetres of the flattened raster."""
    own = LAYOUTS[page.layout][0]
    x_mm = (
        page.left_mm - page.pulse_gap_mm - found.width_mm
        if page.pulses != "right"
        else page.right_mm + page.pulse_gap_mm
    )
    down = np.mean(np.array(rows[:own]) - np.array(page.baselines_mm[:own]))
    return np.array([found.x_mm - x_mm, down])


def _like_a_machine(
    flat: FlatPage, page: PageSpec, shift: np.ndarray, rows: list[float], found: Pulses
) -> tuple[PageSpec, np.ndarray, float]:
    """Take over a known printer's page where it explains the print better than the bare one."""
    best = (page, shift, template_score(flat, page, shift))
    for name in MACHINES:
        other = PageSpec.machine(name)
        same = (
            other.layout == page.layout
            and len(other.rhythm) == len(page.rhythm)
            and other.cabrera == page.cabrera
            and abs(other.pitch_mm - page.pitch_mm) < 0.5
            and abs(other.strip_shift_mm - page.strip_shift_mm) < 1.0
            and other.gain_mm_per_mv == page.gain_mm_per_mv
            and other.paper_speed_mm_per_s == page.paper_speed_mm_per_s
            and other.pulses == page.pulses
        )
        if same:
            moved = _shift_of(other, found, rows)
            score = template_score(flat, other, moved)
            if score > best[2]:
                best = (other, moved, score)
    return best


def ink_distance_mm(pixels: np.ndarray, fit: PageFit, record: EcgRecord, flat: bool = False) -> dict[str, np.ndarray]:
    """How far each sample of a known recording, drawn by the fitted model, lies from the picture's ink.

    Args:
        pixels: the picture that was fitted.
        fit: its fit.
        record: the recording on the page.
        flat: place the samples by the homography alone.

    Returns:
        Trace -> float `[n]`, millimetres from each shown sample to the nearest ink; samples that were not recorded or
        lie where no grid was found are left out.
    """
    laid = lay_flat(pixels, fit.crossings_mm, fit.page_map)
    far = cv2.distanceTransform((laid.ink < 0.4).astype(np.uint8), cv2.DIST_L2, 5) / PX_PER_MM
    drawn = draw_page(record, fit.page, dpi=MM_PER_INCH)
    distances = {}
    for name, line_px in drawn.polylines.items():
        line_mm = drawn.page_map.to_mm(line_px[np.isfinite(line_px).all(axis=1)])
        if flat:
            line_mm = fit.page_map.to_mm(fit.flat_map.to_px(line_mm))
        x, y = np.rint((line_mm - laid.origin_mm) * PX_PER_MM - 0.5).astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < far.shape[1]) & (y < far.shape[0])
        inside[inside] = laid.known[y[inside], x[inside]]
        distances[name] = far[y[inside], x[inside]].astype(np.float64)
    return distances


def page_over_picture(
    pixels: np.ndarray, fit: PageFit, record: EcgRecord | None = None, flat: bool = False
) -> np.ndarray:
    """How much of each pixel the fitted page's print would cover: the page drawn, then bent and projected.

    Args:
        pixels: the picture that was fitted; only its size counts.
        fit: its fit.
        record: the recording on the page; without it only pulses, names and other print are drawn.
        flat: project by the homography alone.

    Returns:
        float32 `[height, width]`, 0 to 1.
    """
    page_map = fit.flat_map if flat else fit.page_map
    blank = EcgRecord("blank", np.full((len(LEADS), 10), np.nan, np.float32), fs_hz=1.0)
    px_per_mm = 8.0
    page = replace(fit.page, grid="none", ink=(0, 0, 0))
    drawn = draw_page(blank if record is None else record, page, dpi=px_per_mm * MM_PER_INCH)
    ink = 255 - drawn.pixels[..., 0]
    height, width = pixels.shape[:2]
    step = 8
    x, y = np.meshgrid(
        (np.arange(-1, width // step + 2) + 0.5) * step, (np.arange(-1, height // step + 2) + 0.5) * step
    )
    nodes = drawn.page_map.to_px(page_map.to_mm(np.column_stack([x.ravel(), y.ravel()]))) - 0.5
    lattice = nodes.reshape(*x.shape, 2).astype(np.float32)
    places = cv2.resize(lattice, (x.shape[1] * step, x.shape[0] * step), interpolation=cv2.INTER_LINEAR)
    places = np.ascontiguousarray(places[step : step + height, step : step + width])
    cover = cv2.remap(ink, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return cover.astype(np.float32) / 255.0
