"""Clean pixels to their place in the degraded picture: one look-up a pixel, by homography or by map."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade.geometry import project
from ecgscan_lab.render.degrade.relief import Relief
from ecgscan_lab.types import PageMap

MARGIN = 1
"""Cells of the lattice beyond the picture on each side, so that enlarging it never extrapolates."""


@dataclass(frozen=True, eq=False)
class Lattice:
    """Coarse points over the picture, one in the middle of each square of `step` pixels, and the sheet under them.

    Attributes:
        step: pixels from one point to the next.
        size: (height, width) of the picture.
        plane_mm: float32 `[2, rows, columns]`, the point of the plane that each lattice point looks at; None on a flat
            sheet, where nobody asks.
        surface: height, slope to the right, slope downwards and wear there, if the sheet is a `Relief`.
    """

    step: int
    size: tuple[int, int]
    plane_mm: np.ndarray | None = None
    surface: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixel coordinates of the lattice, float32: x `[columns]` and y `[rows]`."""
        x, y = (
            (np.arange(-MARGIN, -(-n // self.step) + MARGIN, dtype=np.float32) + np.float32(0.5)) * self.step
            for n in self.size[::-1]
        )
        return x, y

    def enlarge(self, field: np.ndarray) -> np.ndarray:
        """A field on the lattice, linearly interpolated at the centre of every pixel of the picture."""
        height, width = self.size
        rows, columns = field.shape[:2]
        large = cv2.resize(field, (columns * self.step, rows * self.step), interpolation=cv2.INTER_LINEAR)
        edge = MARGIN * self.step
        return large[edge : edge + height, edge : edge + width]


def lattice_step(size: tuple[int, int]) -> int:
    """Pixels between lattice points: fine enough for creases, coarse enough to cost little."""
    return max(1, min(6, max(size) // 200))


def make_lattice(page_map: PageMap, size: tuple[int, int], step: int | None = None) -> Lattice:
    """Look from every lattice point at the plane and, when the sheet is bent, at its shape."""
    lattice = Lattice(lattice_step(size) if step is None else step, size)
    bend = page_map.bend
    if bend is None:
        return lattice
    x, y = lattice.axes()
    y = y[:, None]
    m = np.linalg.inv(page_map.homography)
    m = (m / m[2, 2]).astype(np.float32)
    plane = np.empty((2, y.size, x.size), np.float32)
    depth = (m[2, 0] * x + np.float32(1.0)) + m[2, 1] * y
    np.divide((m[0, 0] * x + m[0, 2]) + m[0, 1] * y, depth, out=plane[0])
    np.divide((m[1, 0] * x + m[1, 2]) + m[1, 1] * y, depth, out=plane[1])
    return replace(lattice, plane_mm=plane, surface=bend.surface(*plane) if isinstance(bend, Relief) else None)


def _sources(clean_map: PageMap, page_map: PageMap, lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """For every pixel of the picture, the (column, row) of the clean page, counted from the first pixel's centre."""
    bend = page_map.bend
    if bend is None or lattice.plane_mm is None:
        raise ArgumentError("the lattice is not that of the page map", field="lattice", expected="from make_lattice")
    x, y = lattice.plane_mm
    if isinstance(bend, Relief) and lattice.surface is not None:
        keep = 1.0 - lattice.surface[0] * np.float32(1.0 / bend.distance_mm)
        centre_x, centre_y = (np.float32(v) for v in bend.centre_mm)
        x, y = centre_x + (x - centre_x) * keep, centre_y + (y - centre_y) * keep
    else:
        points = bend.restore(np.column_stack([x.ravel(), y.ravel()]))
        x, y = (points[:, k].reshape(x.shape).astype(np.float32) for k in range(2))
    m = clean_map.homography
    column = lattice.enlarge(np.float32(m[0, 0]) * x + np.float32(m[0, 1]) * y + np.float32(m[0, 2] - 0.5))
    row = lattice.enlarge(np.float32(m[1, 0]) * x + np.float32(m[1, 1]) * y + np.float32(m[1, 2] - 0.5))
    return column, row


def _warp_flat(picture: np.ndarray, back: np.ndarray, size: tuple[int, int], beyond: tuple[int, ...]) -> np.ndarray:
    """Look up only the rows that `picture` reaches; `back` takes pixels of the result to pixels of the picture."""
    (height, width), (rows, columns) = size, picture.shape[:2]
    corners = np.array([(-1.0, -1.0), (columns, -1.0), (columns, rows), (-1.0, rows)])
    reach = project(np.linalg.inv(back), corners)[:, 1]
    first, stop = max(0, math.floor(reach.min())), min(height, math.ceil(reach.max()) + 1)
    out = np.empty((*size, *picture.shape[2:]), np.uint8)
    if first > 0 or stop < height:
        out[:first], out[max(first, stop) :] = beyond, beyond
    if first < stop:
        down = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, first], [0.0, 0.0, 1.0]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpPerspective(picture, back @ down, (width, stop - first), out[first:stop], flags, borderValue=beyond)
    return out


def warp(
    picture: np.ndarray,
    clean_map: PageMap,
    page_map: PageMap,
    size: tuple[int, int],
    lattice: Lattice | None = None,
    *,
    beyond: tuple[int, ...],
) -> np.ndarray:
    """Carry a clean picture, of one channel or three, to its place in the degraded one.

    Args:
        picture: uint8 `[h2, w2]` or `[h2, w2, 3]`.
        clean_map: sheet to pixels of `picture`; affine.
        page_map: sheet to pixels of the result.
        size: (height, width) of the result.
        lattice: that of `page_map`, if it is at hand.
        beyond: colour outside `picture`, one level a channel.
    """
    if page_map.bend is None:
        half = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
        back = np.linalg.inv(half) @ clean_map.homography @ np.linalg.inv(page_map.homography) @ half
        back /= back[2, 2]
        if np.allclose(back, np.eye(3), rtol=0.0, atol=1e-9) and picture.shape[:2] == size:
            return picture.copy()
        return _warp_flat(picture, back, size, beyond)
    lattice = make_lattice(page_map, size) if lattice is None else lattice
    column, row = _sources(clean_map, page_map, lattice)
    return cv2.remap(picture, column, row, cv2.INTER_LINEAR, borderValue=beyond)


def warp_coverage(coverage: np.ndarray, clean_map: PageMap, page_map: PageMap, size: tuple[int, int]) -> np.ndarray:
    """Carry an ink coverage `[h2, w2]` to its place in the degraded picture, sampled exactly as the pixels are.

    Args:
        coverage: uint8 `[h2, w2]`, 0 paper to 255 ink, on the clean page.
        clean_map: sheet to clean pixels.
        page_map: sheet to degraded pixels, from `sheet_map`.
        size: (height, width) of the degraded picture.

    Returns:
        uint8 `[height, width]`, 0 outside the sheet.
    """
    return warp(coverage, clean_map, page_map, size, beyond=(0,))


def cut_to_sheet(picture: np.ndarray, clean_map: PageMap, page_mm: tuple[float, float]) -> tuple[np.ndarray, PageMap]:
    """The part of a clean picture that shows the sheet, and its map: the rest is plain paper, not worth moving."""
    rows, columns = picture.shape[:2]
    ends = clean_map.to_px(np.array([(0.0, 0.0), page_mm]))
    (x0, y0), (x1, y1) = np.floor(ends[0]) - 1, np.ceil(ends[1]) + 1
    x0, y0, x1, y1 = max(0, int(x0)), max(0, int(y0)), min(columns, int(x1)), min(rows, int(y1))
    shift = np.array([[1.0, 0.0, -x0], [0.0, 1.0, -y0], [0.0, 0.0, 1.0]])
    return picture[y0:y1, x0:x1], PageMap(shift @ clean_map.homography)


def sheet_border(page_map: PageMap, page_mm: tuple[float, float]) -> np.ndarray:
    """The outline of the sheet in the picture, `[n, 2]` pixels."""
    n = 2 if page_map.bend is None else 48
    t = np.arange(n) / n
    zero, one = np.zeros(n), np.ones(n)
    unit = np.concatenate([[t, zero], [one, t], [1 - t, one], [zero, 1 - t]], axis=1).T
    if page_map.bend is None:
        return project(page_map.homography, unit * page_mm)
    return np.asarray(page_map.to_px(unit * page_mm))


def sheet_mask(page_map: PageMap, page_mm: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """Which part of each pixel the sheet covers: uint8 `[height, width]`, 0 to 255."""
    mask = np.zeros(size, np.uint8)
    outline = np.rint((sheet_border(page_map, page_mm) - 0.5) * 16).clip(-(2**27), 2**27).astype(np.int32)
    return np.asarray(cv2.fillPoly(mask, [outline], 255, cv2.LINE_AA, 4))
