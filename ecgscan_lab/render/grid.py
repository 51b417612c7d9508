"""Find the printed grid in a picture of an ECG page: its line crossings, numbered, on flat, tilted or bent paper."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ecgscan_lab.errors import PageError

SEARCH_SIDE = 1600
"""Longest side of the picture in which the grid is looked for; finer detail is used once its spacing is known."""

CELL_PX = 24.0
"""Spacing of the lines, in pixels, to which the picture is brought before crossings are measured."""

WINDOW = 256
LEAST_PIXELS, MOST_PIXELS = 160, 120_000_000
LEAST_CROSSINGS = 60

_ANGLES = np.deg2rad(np.arange(0.0, 180.0, 1.0))
_PERIODS = np.geomspace(5.5, 80.0, 136)
_HARMONICS = np.arange(1, 7)
_REACH, _STEPS = 1.6, 16
"""Half width of the patch around a crossing, in cells, and samples a cell."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Crossings of the printed lines.

    Attributes:
        index: integer `[n, 2]`, (column, row) of each crossing; consecutive lines differ by one. The origin is arbitrary.
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
        raise PageError(
            f"a picture of {shape[1]} x {shape[0]} pixels is too {'small' if min(shape[:2]) < LEAST_PIXELS else 'large'}",
            field="pixels",
            expected=f"sides of at least {LEAST_PIXELS} pixels, at most {MOST_PIXELS // 10**6} megapixels",
        )
    search, scale = shrink(pixels, min(1.0, SEARCH_SIDE / max(shape[:2])))
    darkness = line_darkness(search, 40)
    seeds = _window_lattices(darkness)
    period = float(np.median([np.sqrt(abs(np.linalg.det(seed[1]))) for seed in seeds])) if seeds else 0.0
    if seeds and period > 0:
        finer = min(1.0, scale * CELL_PX / period)
        if finer != scale:
            search, new_scale = shrink(pixels, finer)
            ratio = new_scale / scale
            seeds = [((c + 0.5) * ratio - 0.5, cell * ratio, score) for c, cell, score in seeds]
            darkness, scale = line_darkness(search, 1.6 * period * ratio), new_scale
    best: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, float]] = {}
    for centre, cell, _ in seeds[:8]:
        found = _grow(darkness, centre, cell)
        if len(found) > len(best):
            best = found
        if len(best) > 500:
            break
    if len(best) < LEAST_CROSSINGS:
        raise PageError(
            f"no grid was found in the picture ({len(best)} crossings of lines)",
            field="pixels",
            expected="a page with a visible ECG grid",
            fix="photograph the page from closer and in even light, or crop the picture to the page",
        )
    index = np.array(list(best), np.int64)
    points = (np.array([entry[0] for entry in best.values()]) + 0.5) / scale
    quality = np.array([entry[2] for entry in best.values()])
    extent = np.ptp(index, axis=0).max()
    return Grid(index, points, quality, 1.0 if extent > 110 else 5.0)


def shrink(pixels: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """Average a uint8 picture down: (float32 picture, the scale it really has)."""
    if scale >= 0.999:
        return pixels.astype(np.float32), 1.0
    from PIL import Image

    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.HAMMING)
    return np.asarray(small).astype(np.float32), size[0] / pixels.shape[1]


def paper_light(picture: np.ndarray, reach_px: float) -> np.ndarray:
    """The paper's own colour at each pixel: a closing over lines, strokes and letters, then smoothed."""
    step = max(1, int(reach_px / 8))
    small = np.stack([_block_max(picture[..., c], step) for c in range(3)], axis=-1)
    size = max(3, int(round(reach_px / step)) | 1)
    out = np.empty_like(picture)
    for c in range(3):
        closed = ndimage.minimum_filter(ndimage.maximum_filter(small[..., c], size), size)
        smooth = ndimage.gaussian_filter(closed, size / 2)
        out[..., c] = _stretch(smooth, picture.shape[:2], step)
    return np.maximum(out, 1.0)


def line_darkness(picture: np.ndarray, reach_px: float) -> np.ndarray:
    """How much darker than its paper each pixel is in its darkest channel, 0 to 1; heavy ink counts no more than a line."""
    ratio = (picture / paper_light(picture, reach_px)).min(axis=-1)
    darkness = np.clip(1.0 - ratio, 0.0, 1.0).astype(np.float32)
    step = 16
    height, width = darkness.shape
    padded = np.pad(darkness, ((0, -height % step), (0, -width % step)), mode="reflect")
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).swapaxes(1, 2)
    floor = np.percentile(blocks.reshape(*blocks.shape[:2], -1), 45, axis=-1).astype(np.float32)
    darkness -= _stretch(ndimage.gaussian_filter(floor, 1.0), darkness.shape, step)
    darkness = np.maximum(darkness, 0.0)
    strong = np.percentile(blocks.reshape(*blocks.shape[:2], -1), 95, axis=-1) - floor
    strong = strong[strong > 0.03]
    if strong.size:
        darkness = np.minimum(darkness, 1.5 * np.float32(np.percentile(strong, 35)))
    level = ndimage.uniform_filter(darkness, 65)
    return np.minimum(darkness, 6.0 * level + 0.01)


def _block_max(channel: np.ndarray, step: int) -> np.ndarray:
    """Brightest of each block, after a light blur so that single noisy pixels do not count."""
    channel = ndimage.uniform_filter(channel, 3)
    if step == 1:
        return channel
    height, width = channel.shape
    padded = np.pad(channel, ((0, -height % step), (0, -width % step)), mode="edge")
    return padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).max(axis=(1, 3))


def _stretch(small: np.ndarray, shape: tuple[int, int], step: int) -> np.ndarray:
    """Enlarge block values to pixels, linearly."""
    if step == 1:
        return small
    rows = np.clip((np.arange(shape[0]) + 0.5) / step - 0.5, 0, small.shape[0] - 1)
    columns = np.clip((np.arange(shape[1]) + 0.5) / step - 0.5, 0, small.shape[1] - 1)
    r0, c0 = np.minimum(rows.astype(int), max(0, small.shape[0] - 2)), np.minimum(columns.astype(int), max(0, small.shape[1] - 2))
    r1, c1 = np.minimum(r0 + 1, small.shape[0] - 1), np.minimum(c0 + 1, small.shape[1] - 1)
    fr, fc = (rows - r0).astype(np.float32), (columns - c0).astype(np.float32)
    tall = small[r0] * (1 - fr)[:, None] + small[r1] * fr[:, None]
    return tall[:, c0] * (1 - fc) + tall[:, c1] * fc


def _window_lattices(darkness: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """(centre, cell `[2, 2]` whose columns step to the next line of each family, score) of the regular windows, best first."""
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
    found.sort(key=lambda entry: -entry[2])
    if not found:
        return []
    good = [entry for entry in found if entry[2] > 0.4 * found[0][2]]
    periods = np.log([np.sqrt(abs(np.linalg.det(entry[1]))) for entry in good])
    centre = np.median(periods)
    return [entry for entry, period in zip(good, periods, strict=True) if abs(period - centre) < 0.25]


def _starts(length: int, size: int) -> np.ndarray:
    return np.unique(np.linspace(0, length - size, max(1, int(np.ceil((length - size) / (size / 2))) + 1)).astype(int))


def _window_lattice(spectrum: np.ndarray) -> tuple[np.ndarray, float] | None:
    """The two line families of one window as frequency vectors, rows of `[2, 2]`, in cycles a pixel."""
    white = _whiten(spectrum)
    direction = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)])
    comb = np.zeros((len(_PERIODS), len(_ANGLES)), np.float32)
    count = np.zeros((len(_PERIODS), 1), np.float32)
    for k in _HARMONICS:
        on, off = k / _PERIODS[:, None], (k - 0.5) / _PERIODS[:, None]
        usable = (on < 0.36).astype(np.float32)
        comb += usable * (_look(white, on * direction[0], on * direction[1]) - _look(white, off * direction[0], off * direction[1]))
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
                trial = vector + (dx, dy)
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
    where = points[:, None, :] + np.einsum("nij,mj->nmi", cells, _PLACES)
    height, width = darkness.shape
    inside = (where[..., 0] >= 0) & (where[..., 0] <= width - 1) & (where[..., 1] >= 0) & (where[..., 1] <= height - 1)
    values = ndimage.map_coordinates(darkness, (where[..., 1].ravel(), where[..., 0].ravel()), order=1, mode="nearest")
    values = values.reshape(inside.shape)
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


_NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1))
_AROUND = tuple((i, j) for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0))


def _grow(darkness: np.ndarray, centre: np.ndarray, cell: np.ndarray) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray, float]]:
    """Follow the lines outwards from one window: index -> (point, cell, quality)."""
    found: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, float]] = {}
    point, cells = centre[None, :], cell[None]
    for _ in range(3):
        offset, strength, quality = _measure(darkness, point, cells)
        point = point + np.einsum("nij,nj->ni", cells, offset)
    if quality[0] < 0.3:
        return {}
    found[0, 0] = (point[0], cell, float(quality[0]))
    level = strength[0]
    refused: dict[tuple[int, int], int] = {}
    frontier = [(0, 0)]
    while frontier:
        wanted = sorted(
            {
                (i + di, j + dj)
                for i, j in frontier
                for di, dj in _NEIGHBOURS
                if (i + di, j + dj) not in found and refused.get((i + di, j + dj), 0) < 3
            }
        )
        if not wanted or len(found) > 40_000:
            break
        guesses = [_predict(found, index) for index in wanted]
        start = np.array([guess[0] for guess in guesses])
        cells = np.array([guess[1] for guess in guesses])
        point, moved = start, np.zeros_like(start)
        for _ in range(2):
            offset, strength, quality = _measure(darkness, point, cells)
            point = point + np.einsum("nij,nj->ni", cells, offset)
            moved = moved + offset
        fine = (
            (np.abs(moved).max(axis=1) < 0.28)
            & (np.abs(offset).max(axis=1) < 0.08)
            & (quality > 0.2)
            & (strength > 0.3 * level).all(axis=1)
            & (point > 0).all(axis=1)
            & (point < np.array(darkness.shape[::-1]) - 1).all(axis=1)
        )
        frontier = []
        for index, place, shape, score, ok in zip(wanted, point, cells, quality, fine, strict=True):
            if ok:
                found[index] = (place, shape, float(score))
                frontier.append(index)
            else:
                refused[index] = refused.get(index, 0) + 1
        if fine.any():
            level = 0.9 * level + 0.1 * np.median(strength[fine], axis=0)
    return found


def _predict(found: dict[tuple[int, int], tuple[np.ndarray, np.ndarray, float]], index: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where a crossing should lie, and the cell there, from the ones already found around it."""
    near = [(d, found[index[0] + d[0], index[1] + d[1]]) for d in _AROUND if (index[0] + d[0], index[1] + d[1]) in found]
    steps = np.array([d for d, _ in near], np.float64)
    points = np.array([entry[0] for _, entry in near])
    weight = np.exp(-(steps**2).sum(axis=1) / 3.0)
    cell = np.average([entry[1] for _, entry in near], axis=0, weights=weight)
    if len(near) >= 5 and np.linalg.matrix_rank(steps - steps.mean(axis=0), tol=0.5) == 2:
        design = np.column_stack([np.ones(len(steps)), steps]) * np.sqrt(weight)[:, None]
        # the neighbours' own cells hold back a fit to few, almost collinear points
        hold = 0.5 * np.array([[0, 1.0, 0], [0, 0, 1.0]])
        target = np.vstack([points * np.sqrt(weight)[:, None], 0.5 * cell.T])
        solved = np.linalg.lstsq(np.vstack([design, hold]), target, rcond=None)[0]
        return solved[0], 0.5 * cell + 0.5 * solved[1:].T
    nearest = int(weight.argmax())
    return np.average(points - steps @ cell.T, axis=0, weights=weight**2) if len(near) > 1 else points[nearest] - steps[nearest] @ cell.T, cell
