"""The shape of a sheet that does not lie flat, as a sum of ridges, rolls and waves in closed form.

**Equation**: a camera at height D above the point c sees a piece of paper at height z over the plane not at its own
place p but at q, where p = c + (q - c) (1 - z(q) / D). Heights are functions of the place q where they are seen, so
that sending a pixel back to the sheet takes one evaluation; sending ink to the picture iterates
q <- c + (p - c) / (1 - z(q) / D), which contracts because slopes are held below `MAX_PULL`. That the paper's own
length follows its slope (1 part in 50 at a slope of 0.2) is left out.
"""

# Kernels are typed by Numba when they are compiled.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit

from ecgscan_lab.render.degrade.params import DegradeParams

RIDGE, ROLL, WAVE = 0.0, 1.0, 2.0
"""Kinds of a row (kind, x, y, cos, sin, height, width, length, rounding): see `_add`."""

CAMERA_DISTANCE = 1.3
"""Height of the camera over the sheet, in diagonals of the sheet."""

SHARP, SOFT = 0.002, 0.02
"""Ridges are rounded over such shares of the diagonal: a pressed fold, and a soft crumple."""

MAX_PULL = 0.6
"""Largest |q - c| |grad z| / D: the contraction factor of the iteration."""

ENDLESS = 1e6

Row = tuple[float, ...]

MAX_ITERATIONS, TOLERANCE_MM = 60, 1e-6


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add(row, start, stop, x, y, z, slope_x, slope_y, wear):
    """Add one feature's height, slopes and wear of its ridge line at the points [start, stop).

    With u across and v along a feature: a ridge is h (1 - |u| / w)^2 (1 - (v / l)^2)^2 where both brackets are
    positive, with |u| rounded; a roll is h (u / w)^2 for u > 0; a wave is a sine of period w made of parabolas.
    """
    zero, one = x.dtype.type(0), x.dtype.type(1)
    kind, x0, y0, c, s, h, w, length, edge = row
    per_w, per_l, per_line = one / w, one / length, one / (2 * edge)
    if kind == RIDGE:
        for i in range(start, stop):
            dx, dy = x[i] - x0, y[i] - y0
            u, v = dx * c + dy * s, (dy * c - dx * s) * per_l
            root = math.sqrt(u * u + edge * edge)
            a, b = max(zero, one - (root - edge) * per_w), max(zero, one - v * v)
            bb = h * b * b
            z[i] += a * a * bb
            across = -2 * a * bb * per_w * u / root
            along = -4 * h * a * a * b * v * per_l
            slope_x[i] += across * c - along * s
            slope_y[i] += across * s + along * c
            wear[i] += max(zero, one - abs(u) * per_line) * bb * per_w
    elif kind == ROLL:
        for i in range(start, stop):
            t = max(zero, ((x[i] - x0) * c + (y[i] - y0) * s) * per_w)
            z[i] += h * t * t
            across = 2 * h * t * per_w
            slope_x[i] += across * c
            slope_y[i] += across * s
    else:
        for i in range(start, stop):
            t = ((x[i] - x0) * c + (y[i] - y0) * s) * per_w
            t -= math.floor(t + x.dtype.type(0.5))
            z[i] += h * (8 * t - 16 * t * abs(t))
            across = h * (8 - 32 * abs(t)) * per_w
            slope_x[i] += across * c
            slope_y[i] += across * s


@njit(cache=True, nogil=True, error_model="numpy")
def _add_all(rows, x, y, z, slope_x, slope_y, wear):
    """Every feature at every point of `[n]`."""
    for k in range(rows.shape[0]):
        _add(rows[k], 0, x.shape[0], x, y, z, slope_x, slope_y, wear)


@njit(cache=True, nogil=True, error_model="numpy")
def _add_rows(rows, x, y, z, slope_x, slope_y, wear):
    """Every feature on a lattice `[row, column]` whose rows are straight lines, passing over points out of reach."""
    n = x.shape[1]
    for k in range(rows.shape[0]):
        kind, x0, y0, w, length, edge = rows[k, 0], rows[k, 1], rows[k, 2], rows[k, 6], rows[k, 7], rows[k, 8]
        reach = (w + edge) * (w + edge) + length * length
        for j in range(x.shape[0]):
            start, stop = 0, n
            along_x, along_y = x[j, n - 1] - x[j, 0], y[j, n - 1] - y[j, 0]
            size = math.sqrt(along_x * along_x + along_y * along_y)
            if kind == RIDGE and size > 0:
                along_x, along_y = along_x / size, along_y / size
                dx, dy = x0 - x[j, 0], y0 - y[j, 0]
                middle, off = dx * along_x + dy * along_y, dy * along_x - dx * along_y
                half = reach - off * off
                if half <= 0:
                    continue
                half = math.sqrt(half)
                start = _first(x[j], y[j], along_x, along_y, middle - half)
                stop = _first(x[j], y[j], along_x, along_y, middle + half)
            if start < stop:
                _add(rows[k], start, stop, x[j], y[j], z[j], slope_x[j], slope_y[j], wear[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _first(x, y, along_x, along_y, limit):
    """First point of a straight row that lies at least `limit` along it."""
    low, high = 0, x.shape[0]
    while low < high:
        middle = (low + high) // 2
        if (x[middle] - x[0]) * along_x + (y[middle] - y[0]) * along_y < limit:
            low = middle + 1
        else:
            high = middle
    return low


@dataclass(frozen=True, eq=False)
class Relief:
    """A bent sheet; satisfies `types.Bend`.

    Attributes:
        rows: float64 `[feature, 9]` in millimetres.
        centre_mm: the point under the camera.
        distance_mm: height of the camera.
        diagonal_mm: of the sheet.

    Properties: `restore` inverts `displace`; the ground truth follows the pixels.
    """

    rows: np.ndarray
    centre_mm: tuple[float, float]
    distance_mm: float
    diagonal_mm: float

    def surface(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Height in millimetres, slope to the right, slope downwards, and wear of the ridge lines, at points seen.

        Points are `[n]`, or a lattice `[row, column]` each of whose rows runs along a straight line.
        """
        z, slope_x, slope_y, wear = np.zeros((4, *x.shape), x.dtype)
        (_add_all if x.ndim == 1 else _add_rows)(self.rows.astype(x.dtype), x, y, z, slope_x, slope_y, wear)
        return z, slope_x, slope_y, wear

    def restore(self, points_mm: np.ndarray) -> np.ndarray:
        """Where on the sheet the ink lies that is seen at these points of the plane, `[n, 2]`."""
        return self._where_finite(points_mm, self._restore)

    def displace(self, points_mm: np.ndarray) -> np.ndarray:
        """Where on the plane these points of the sheet are seen, `[n, 2]`."""
        return self._where_finite(points_mm, self._displace)

    def _where_finite(self, points_mm: np.ndarray, move: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Move the points that have both coordinates; the others have no place."""
        points = np.asarray(points_mm, np.float64).reshape(-1, 2)
        known = np.isfinite(points).all(axis=1)
        if known.all():
            return move(points)
        moved = np.full_like(points, np.nan)
        moved[known] = move(points[known])
        return moved

    def _shrink(self, points: np.ndarray) -> np.ndarray:
        """1 - z / D at points seen, `[n, 1]`."""
        z = self.surface(np.ascontiguousarray(points[:, 0]), np.ascontiguousarray(points[:, 1]))[0]
        return (1.0 - z / self.distance_mm)[:, None]

    def _restore(self, points: np.ndarray) -> np.ndarray:
        return np.asarray(self.centre_mm + (points - self.centre_mm) * self._shrink(points))

    def _displace(self, points: np.ndarray) -> np.ndarray:
        arms, seen = points - self.centre_mm, points
        for _ in range(MAX_ITERATIONS):
            moved = np.asarray(self.centre_mm + arms / self._shrink(seen))
            step = np.abs(moved - seen).max(initial=0.0)
            seen = moved
            if step < TOLERANCE_MM:
                break
        return seen

    @cached_property
    def pull(self) -> float:
        """Largest |q - c| |grad z| / D, over a lattice that reaches a little beyond the sheet."""
        reach = 0.55 * self.diagonal_mm
        line = np.linspace(-reach, reach, 48, dtype=np.float32)
        x, y = (np.ascontiguousarray(v) for v in np.meshgrid(line + self.centre_mm[0], line + self.centre_mm[1]))
        z, slope_x, slope_y, _ = self.surface(x, y)
        arm = np.hypot(x - self.centre_mm[0], y - self.centre_mm[1])
        return float(max((arm * np.hypot(slope_x, slope_y)).max() / self.distance_mm, 2 * z.max() / self.distance_mm))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "rows": self.rows.tolist(),
            "centre_mm": list(self.centre_mm),
            "distance_mm": self.distance_mm,
            "diagonal_mm": self.diagonal_mm,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Relief:
        """The inverse of `as_dict`."""
        rows = np.array(values["rows"], np.float64).reshape(-1, 9)
        x, y = values["centre_mm"]
        return cls(rows, (float(x), float(y)), float(values["distance_mm"]), float(values["diagonal_mm"]))


def _folds(params: DegradeParams, aspect: tuple[float, float]) -> list[Row]:
    folds = params.folds
    if folds is None:
        return []
    rng = np.random.default_rng(folds.seed)
    rows: list[Row] = []
    for count, upright in ((folds.across, True), (folds.down, False)):
        for k in range(count):
            at = ((k + 1) / (count + 1) + rng.normal(0.0, 0.01)) * aspect[0 if upright else 1]
            turn = rng.normal(0.0, 0.012) + (0.0 if upright else math.pi / 2)
            height = folds.height * rng.uniform(0.6, 1.0) * (1 if (k + upright) % 2 else -1)
            x, y = (at, aspect[1] / 2) if upright else (aspect[0] / 2, at)
            rows.append((RIDGE, x, y, math.cos(turn), math.sin(turn), height, rng.uniform(0.2, 0.45), ENDLESS, SHARP))
    return rows


def _creases(params: DegradeParams, aspect: tuple[float, float]) -> list[Row]:
    creases = params.creases
    if creases is None:
        return []
    rng = np.random.default_rng(creases.seed)
    rows: list[Row] = []
    for _ in range(creases.count):
        x, y = rng.uniform(0.1, 0.9, 2) * aspect
        turn = rng.uniform(0.0, math.pi)
        length = rng.uniform(0.3, 0.9) if rng.random() < 0.6 else ENDLESS
        height = creases.height * rng.choice((-1.0, 1.0)) * rng.uniform(0.4, 1.0)
        rows.append((RIDGE, x, y, math.cos(turn), math.sin(turn), height, rng.uniform(0.06, 0.3), length, SHARP))
    return rows


def _wrinkles(params: DegradeParams, aspect: tuple[float, float]) -> list[Row]:
    wrinkles = params.wrinkles
    if wrinkles is None:
        return []
    rng = np.random.default_rng(wrinkles.seed)
    rows: list[Row] = []
    for _ in range(wrinkles.count):
        x, y = rng.uniform(-0.05, 1.05, 2) * aspect
        turn, width = rng.uniform(0.0, math.pi), rng.uniform(0.02, 0.1)
        height = wrinkles.height * rng.choice((-1.0, 1.0)) * rng.uniform(0.3, 1.0) * width / 0.1
        length, edge = rng.uniform(1.5, 4.5) * width, SHARP * (SOFT / SHARP) ** rng.random()
        rows.append((RIDGE, x, y, math.cos(turn), math.sin(turn), height, width, length, min(edge, width / 3)))
    for _ in range(3):
        turn, width = rng.uniform(0.0, 2 * math.pi), rng.uniform(0.3, 0.8)
        x, y = rng.uniform(0.0, 1.0, 2) * aspect
        height = wrinkles.height * rng.uniform(0.1, 0.4)
        rows.append((WAVE, x, y, math.cos(turn), math.sin(turn), height, width, 1.0, 1.0))
    return rows


def _curl(params: DegradeParams, aspect: tuple[float, float]) -> list[Row]:
    curl = params.curl
    if curl is None:
        return []
    turn = math.radians(curl.angle_deg)
    c, s = math.cos(turn), math.sin(turn)
    reach = abs(c) * aspect[0] / 2 + abs(s) * aspect[1] / 2
    x, y = aspect[0] / 2 + c * curl.start * reach, aspect[1] / 2 + s * curl.start * reach
    return [(ROLL, x, y, c, s, curl.height, reach * (1.0 - curl.start), 1.0, 1.0)]


def sheet_relief(params: DegradeParams, page_mm: tuple[float, float]) -> Relief | None:
    """The shape of a sheet under the given folds, creases, wrinkles and curl.

    Args:
        params: the degradation.
        page_mm: (width, height) of the sheet.

    Returns:
        None for a flat sheet. Heights that would let the sheet hide a part of itself are all lowered alike.

    Example:
        >>> from ecgscan_lab.render.degrade import effects as fx
        >>> relief = sheet_relief(DegradeParams(curl=fx.Curl(0.05)), (280.0, 216.0))
        >>> np.round(relief.restore(relief.displace([[250.0, 30.0]])), 4).tolist()
        [[250.0, 30.0]]
    """
    if not params.bends:
        return None
    diagonal = math.hypot(*page_mm)
    aspect = (page_mm[0] / diagonal, page_mm[1] / diagonal)
    parts = (*_curl(params, aspect), *_folds(params, aspect), *_creases(params, aspect), *_wrinkles(params, aspect))
    rows = np.array(parts, np.float64).reshape(-1, 9)
    rows[:, [1, 2, 5, 6, 7, 8]] *= diagonal
    relief = Relief(rows, (page_mm[0] / 2, page_mm[1] / 2), CAMERA_DISTANCE * diagonal, diagonal)
    if relief.pull > MAX_PULL:
        rows = rows.copy()
        rows[:, 5] *= MAX_PULL / relief.pull
        relief = Relief(rows, relief.centre_mm, relief.distance_mm, diagonal)
    return relief
