"""Find the printed grid in a picture of an ECG page: its line crossings, numbered, on flat, tilted or bent paper."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from ecgscan_lab.errors import PageError
from ecgscan_lab.render.photograph.darkness import line_darkness, shrink

SEARCH_SIDE = 1600
"""Longest side of the picture in which the grid is looked for; finer detail is used once its spacing is known."""

CELL_PX = 24.0
"""Spacing of the lines, in pixels, to which the picture is brought before crossings are measured."""

WINDOW = 256
LEAST_PIXELS, MOST_PIXELS = 160, 120_000_000
LEAST_CROSSINGS, MOST_CROSSINGS = 60, 40_000
MOST_SEEDS = 24
THICK_MM = 5.0

SOFTEN_PX = (1.3, 2.5)
"""Blurs to try where the thin lines are as strong as the thick ones."""

LEAST_SEED, LEAST_QUALITY = 0.3, 0.2
"""Regularity of the lines, 0 to 1, that is asked of the first crossing and of every other."""

_ANGLES = np.deg2rad(np.arange(0.0, 180.0, 1.0))
_PERIODS = np.geomspace(5.5, 80.0, 136)
_HARMONICS = np.arange(1, 7)
_REACH, _STEPS = 1.5, 12
"""Half width of the patch around a crossing, in cells, and samples a cell."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Crossings of the printed lines.

    Attributes:
        index: integer `[n, 2]`, (column, row) of each crossing; consecutive lines differ by one, from anywhere.
        points_px: float64 `[n, 2]`, (x, y) in the picture; the centre of the top left pixel is (0.5, 0.5).
        quality: float64 `[n]`, 0 to 1, how regular the lines are around the crossing.
        spacing_mm: 5.0 when the lines are the thick ones, 1.0 when only thin ones were found.
    """

    index: np.ndarray
    points_px: np.ndarray
    quality: np.ndarray
    spacing_mm: float


def find_grid(pixels: np.ndarray) -> Grid:
    """Find the grid of an ECG page, however it is turned, tilted, folded or lit.

    The spacing and the two directions come from the spectrum of small windows; from the best window the crossings are
    followed line by line: each is predicted from its neighbours and moved to where the phase of the lines around it
    says. Paper that curls or has creases is followed too; nothing is assumed about the sheet but its grid.

    Args:
        pixels: uint8 `[height, width, 3]`.

    Returns:
        The crossings of the 5 mm lines (of the 1 mm lines where the page has no others).

    Raises:
        PageError: the picture is too small, too large, or shows no grid.

    Properties: the same picture gives the same grid; a turned picture gives the turned grid.
    """
    shape = np.shape(pixels)
    if np.asarray(pixels).dtype != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise PageError(f"a picture of shape {shape}", field="pixels", expected="uint8 [height, width, 3]")
    if min(shape[:2]) < LEAST_PIXELS or shape[0] * shape[1] > MOST_PIXELS:
        fault = "small" if min(shape[:2]) < LEAST_PIXELS else "large"
        raise PageError(
            f"a picture of {shape[1]} x {shape[0]} pixels is too {fault}",
            field="pixels",
            expected=f"sides of at least {LEAST_PIXELS} pixels, at most {MOST_PIXELS // 10**6} megapixels",
        )
    best = _follow(pixels, 0.0)
    for soften_px in SOFTEN_PX:
        if len(best[0]) >= LEAST_CROSSINGS and _spacing_mm(best[0]) == THICK_MM:
            break
        other = _follow(pixels, soften_px)
        thick = _spacing_mm(other[0]) == THICK_MM
        if len(other[0]) >= LEAST_CROSSINGS and (thick or len(best[0]) < LEAST_CROSSINGS):
            best = other
    index, points, quality = best
    if len(index) < LEAST_CROSSINGS:
        raise PageError(
            f"no grid was found in the picture ({len(index)} crossings of lines)",
            field="pixels",
            expected="a page with a visible ECG grid",
            fix="photograph the page from closer and in even light, or crop the picture to the page",
        )
    return Grid(index, points, quality, _spacing_mm(index))


def _spacing_mm(index: np.ndarray) -> float:
    """No sheet has more than a hundred thick lines: where there are more, they are the thin ones."""
    return 1.0 if len(index) and np.ptp(index, axis=0).max() > 110 else THICK_MM


def _follow(pixels: np.ndarray, soften_px: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(line numbers, points in the picture, quality) of the crossings found after softening away thin lines."""
    search, scale = shrink(pixels, min(1.0, SEARCH_SIDE / max(pixels.shape[:2])))
    darkness = line_darkness(search, 40, soften_px)
    seeds = _window_lattices(darkness)
    index, points, quality = np.zeros((0, 2), int), np.zeros((0, 2)), np.zeros(0)
    if not seeds:
        return index, points, quality
    period = float(np.median([np.sqrt(abs(np.linalg.det(seed[1]))) for seed in seeds]))
    finer = min(1.0, scale * CELL_PX / period)
    if finer != scale:
        search, new_scale = shrink(pixels, finer)
        ratio = new_scale / scale
        seeds = [((c + 0.5) * ratio - 0.5, cell * ratio, score) for c, cell, score in seeds]
        darkness, scale = line_darkness(search, 1.6 * period * ratio, soften_px * ratio), new_scale
    for centre, cell, _ in seeds[:8]:
        found = _grow(darkness, centre, cell)
        if len(found[0]) > len(index):
            index, points, quality = found
        if len(index) > 500:
            break
    return index, (points + 0.5) / scale, quality


def _window_lattices(darkness: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """(centre, cell, score) of the regular windows, best first; a cell's columns step from line to line."""
    size = min(WINDOW, *darkness.shape)
    taper = np.hanning(size + 2)[1:-1]
    taper = (taper[:, None] * taper).astype(np.float32)
    found = []
    for top in _starts(darkness.shape[0], size):
        for left in _starts(darkness.shape[1], size):
            patch = darkness[top : top + size, left : left + size]
            spectrum = np.abs(np.fft.rfft2((patch - patch.mean()) * taper, (WINDOW, WINDOW)))
            pair = _window_lattice(spectrum)
            if pair is not None:
                frequencies, score = pair
                found.append((np.array([left, top]) + (size - 1) / 2, np.linalg.inv(frequencies), score))
    found = [_settle_cell(darkness, *entry) for entry in sorted(found, key=lambda entry: -entry[2])[:MOST_SEEDS]]
    if not found:
        return []
    good = [entry for entry in found if entry[2] > 0.4 * found[0][2]]
    periods = np.log([np.sqrt(abs(np.linalg.det(entry[1]))) for entry in good])
    centre = np.median(periods)
    return [entry for entry, period in zip(good, periods, strict=True) if abs(period - centre) < 0.25]


def _settle_cell(
    darkness: np.ndarray, centre: np.ndarray, cell: np.ndarray, score: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Undo a cell that spans several lines: keep the largest that has lines at its edges and nowhere else."""
    quality = {part: _settled(darkness, centre, cell / part)[2] for part in (1, 2, 3)}
    part = next(part for part in quality if quality[part] >= 0.6 * max(quality.values()))
    return centre, cell / part, score


def _settled(darkness: np.ndarray, centre: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Move a place to the crossing beside it: (where that is, strength of its lines, their regularity)."""
    point, cells = centre[None], cell[None]
    for _ in range(3):
        offset, strength, quality = _measure(darkness, point, cells)
        point = point + np.einsum("nij,nj->ni", cells, offset)
    return point[0], strength[0], float(quality[0])


def _starts(length: int, size: int) -> np.ndarray:
    return np.unique(
        np.linspace(0, length - size, max(1, int(np.ceil((length - size) / (0.8 * size))) + 1)).astype(int)
    )


def _window_lattice(spectrum: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The two line families of one window as frequency vectors, rows of `[2, 2]`, in cycles a pixel."""
    white = _whiten(spectrum)
    direction = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
    comb = np.zeros((len(_PERIODS), len(_ANGLES)), np.float32)
    count = np.zeros((len(_PERIODS), 1), np.float32)
    for k in _HARMONICS:
        on, off = k / _PERIODS[:, None], (k - 0.5) / _PERIODS[:, None]
        usable = (on < 0.36).astype(np.float32)
        comb += usable * (
            _look(white, on * direction[0], on * direction[1]) - _look(white, off * direction[0], off * direction[1])
        )
        count += usable
    comb /= np.maximum(count, 2.0)
    rho, theta = np.unravel_index(int(comb.argmax()), comb.shape)
    first = comb[rho, theta]
    turn = np.abs((np.rad2deg(_ANGLES) - np.rad2deg(_ANGLES[theta]) + 90) % 180 - 90)
    allowed = (turn > 62)[None, :] & (np.abs(np.log(_PERIODS / _PERIODS[rho])) < 0.45)[:, None]
    second_map = np.where(allowed, comb, -1.0)
    rho2, theta2 = np.unravel_index(int(second_map.argmax()), comb.shape)
    second = second_map[rho2, theta2]
    if min(first, second) < 0.8:
        return None
    vectors = np.stack([direction[:, theta] / _PERIODS[rho], direction[:, theta2] / _PERIODS[rho2]])
    vectors = np.stack([_lower(white, v) for v in vectors])
    periods = 1 / np.hypot(*vectors.T)
    if abs(np.log(periods[0] / periods[1])) > 0.5:  # only one family went down: take both along
        longest = periods.max()
        vectors = np.stack([v / max(1, round(longest / p)) for v, p in zip(vectors, periods, strict=True)])
    vectors = np.stack([_sharpen(white, v) for v in vectors])
    return _orient(vectors), float(np.sqrt(first * second))


def _whiten(spectrum: np.ndarray) -> np.ndarray:
    """Amplitude relative to the typical one at the same distance from zero frequency, at most 8, slightly blurred."""
    fy, fx = np.fft.fftfreq(WINDOW)[:, None], np.fft.rfftfreq(WINDOW)
    ring = np.minimum((np.hypot(fx, fy) * WINDOW).astype(int), WINDOW // 2)
    mean = np.bincount(ring.ravel(), spectrum.ravel()) / np.maximum(np.bincount(ring.ravel()), 1)
    mean = ndimage.gaussian_filter1d(mean, 3.0)
    white = np.minimum(spectrum / (mean[ring] + 1e-6 + 0.02 * mean.max()), 8.0)
    return white.astype(np.float32)


def _look(white: np.ndarray, fx: np.ndarray, fy: np.ndarray) -> np.ndarray:
    """Spectrum at frequencies in cycles a pixel, the larger of the nearest bins; negative fx are folded."""
    fx, fy = np.where(fx < 0, -fx, fx), np.where(fx < 0, -fy, fy)
    columns = np.minimum(np.rint(fx * WINDOW).astype(int), WINDOW // 2)
    rows = np.rint(fy * WINDOW).astype(int) % WINDOW
    return white[rows, columns]


def _lower(white: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Go down to the fundamental: a comb may have locked on a multiple of it, or on the thin lines (a fifth)."""
    for divisor in (2, 3, 5, 2):
        if np.hypot(*vector) / divisor < 0.98 / _PERIODS[-1]:
            continue
        between = np.array([k for k in range(1, 2 * divisor) if k % divisor]) / divisor
        on = np.mean([_near(white, vector * k) for k in between])
        off = np.mean([_near(white, vector * (k + 0.5 / divisor)) for k in between])
        if on > 1.35 * off + 0.25:
            vector = vector / divisor
    return vector


def _near(white: np.ndarray, vector: np.ndarray) -> float:
    reach = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)]) / WINDOW
    around = vector + reach
    return float(_look(white, around[:, 0], around[:, 1]).max())


def _sharpen(white: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Refine a frequency by the harmonics that it should have, which sit at multiples of it."""
    for harmonics in (2, 4):
        best, score = vector, -1.0
        ks = np.arange(1, harmonics + 1)
        for dx in np.linspace(-0.6, 0.6, 7) / WINDOW / max(1, harmonics / 2):
            for dy in np.linspace(-0.6, 0.6, 7) / WINDOW / max(1, harmonics / 2):
                trial = vector + np.array([dx, dy])
                value = float(_look(white, ks * trial[0], ks * trial[1]).sum())
                if value > score + 1e-6:
                    best, score = trial, value
        vector = best
    return vector


def _orient(vectors: np.ndarray) -> np.ndarray:
    """Order and sign the families: the first steps right, the second down, as far as the tilt allows."""
    if abs(vectors[0, 0]) / np.hypot(*vectors[0]) < abs(vectors[1, 0]) / np.hypot(*vectors[1]):
        vectors = vectors[::-1]
    return vectors * np.array([[1.0 if vectors[0, 0] > 0 else -1.0], [1.0 if vectors[1, 1] > 0 else -1.0]])


def _patch_kernel() -> tuple[np.ndarray, np.ndarray]:
    """Sample places of a patch in cells `[m, 2]`, and complex weights `[m, family and harmonic]`."""
    axis = np.arange(-_REACH * _STEPS, _REACH * _STEPS + 1) / _STEPS
    u, v = (grid.ravel() for grid in np.meshgrid(axis, axis))
    weight = np.exp(-(u**2 + v**2) / (2 * 0.55**2))
    columns = [weight * np.exp(-2j * np.pi * k * w) for w in (u, v) for k in (1, 2, 3)]
    return np.column_stack([u, v]), np.column_stack([weight, *columns]) / weight.sum()


_PLACES, _WEIGHTS = _patch_kernel()


def _measure(darkness: np.ndarray, points: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance of each point from its crossing in cells `[n, 2]`, strength of the lines there, and their regularity."""
    where = (points[:, :, None] + cells @ _PLACES.T).astype(np.float32)
    x, y = np.ascontiguousarray(where[:, 0]), np.ascontiguousarray(where[:, 1])
    values = cv2.remap(darkness, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    height, width = darkness.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    mean = (values @ _WEIGHTS[:, 0].real)[:, None]
    centred = np.where(inside, values - mean, 0.0)
    wave = centred @ _WEIGHTS[:, 1:]
    offset = np.empty((len(points), 2))
    for family in (0, 1):
        first, second, third = (wave[:, 3 * family + k] for k in range(3))
        shift = -np.angle(first) / (2 * np.pi)
        for k, higher in ((2, second), (3, third)):
            step = np.angle(higher * np.exp(2j * np.pi * k * shift)) / (2 * np.pi * k)
            shift = shift - step * np.minimum(1.0, np.abs(higher) / (np.abs(first) + 1e-9))
        offset[:, family] = shift
    strength = np.abs(wave[:, [0, 3]])
    return offset, strength, (2 * strength / (mean + 1e-4)).min(axis=1)


_NEIGHBOURS = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])
_AROUND = np.array([(i, j) for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0)])
_NEARNESS = np.exp(-(_AROUND**2).sum(axis=1) / 3.0)
_SPAN = 400
"""Lines are followed at most this far from the first crossing."""


class _Net:
    """Crossings found so far, on a square array of line numbers."""

    def __init__(self) -> None:
        side = 2 * _SPAN + 1
        self.have = np.zeros((side, side), bool)
        self.point = np.zeros((side, side, 2))
        self.cell = np.zeros((side, side, 2, 2))
        self.quality = np.zeros((side, side))
        self.refused = np.zeros((side, side), np.uint8)

    def put(self, index: np.ndarray, point: np.ndarray, cell: np.ndarray, quality: np.ndarray) -> None:
        at = tuple((index + _SPAN).T)
        self.have[at], self.point[at], self.cell[at], self.quality[at] = True, point, cell, quality

    def refuse(self, index: np.ndarray) -> None:
        self.refused[tuple((index + _SPAN).T)] += 1

    def wanted(self, index: np.ndarray) -> np.ndarray:
        """Neighbours of these crossings that are neither found nor refused three times."""
        near = (index[:, None] + _NEIGHBOURS).reshape(-1, 2)
        near = np.unique(near[(np.abs(near) < _SPAN - 3).all(axis=1)], axis=0)
        at = tuple((near + _SPAN).T)
        return near[~self.have[at] & (self.refused[at] < 3)]

    def predict(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where crossings should lie, and their cells: a plane through the ones around, held by those ones' cells."""
        around = tuple((index[:, None] + _AROUND + _SPAN).transpose(2, 0, 1))
        weight = np.where(self.have[around], _NEARNESS, 0.0)
        weight /= weight.sum(axis=1, keepdims=True)
        cell = np.einsum("nk,nkij->nij", weight, self.cell[around])
        design = np.column_stack([np.ones(len(_AROUND)), _AROUND])
        hold = 0.1 * np.diag([0.0, 1.0, 1.0])
        normal = np.einsum("nk,ki,kj->nij", weight, design, design) + hold
        target = np.einsum("nk,ki,nkj->nij", weight, design, self.point[around])
        target[:, 1:] += 0.1 * cell.transpose(0, 2, 1)
        solved = np.linalg.solve(normal, target)
        return solved[:, 0], 0.5 * cell + 0.5 * solved[:, 1:].transpose(0, 2, 1)


def _grow(darkness: np.ndarray, centre: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow the lines outwards from one window: (line numbers, points, quality) of the crossings."""
    net = _Net()
    start, level, regularity = _settled(darkness, centre, cell)
    frontier = np.zeros((1, 2), int)
    if regularity >= LEAST_SEED:
        net.put(frontier, start[None], cell[None], np.array([regularity]))
    border = np.array(darkness.shape[::-1]) - 1
    while net.have.any() and len(wanted := net.wanted(frontier)) and net.have.sum() < MOST_CROSSINGS:
        point, cells = net.predict(wanted)
        moved = np.zeros_like(point)
        for _ in range(2):
            offset, strength, quality = _measure(darkness, point, cells)
            point = point + np.einsum("nij,nj->ni", cells, offset)
            moved += offset
        fine = (np.abs(moved).max(axis=1) < 0.28) & (np.abs(offset).max(axis=1) < 0.08) & (quality > LEAST_QUALITY)
        fine &= (strength > 0.3 * level).all(axis=1) & (point > 0).all(axis=1) & (point < border).all(axis=1)
        frontier = wanted[fine]
        net.put(frontier, point[fine], cells[fine], quality[fine])
        net.refuse(wanted[~fine])
        if fine.any():
            level = 0.9 * level + 0.1 * np.median(strength[fine], axis=0)
    at = np.nonzero(net.have)
    return np.column_stack(at) - _SPAN, net.point[at], net.quality[at]
