"""Lay a photographed page flat, and tell its ink from its grid."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ecgscan_lab.render.photograph.darkness import paper_light
from ecgscan_lab.types import PageMap

PX_PER_MM = 4
"""Resolution of the flattened page."""

MARGIN_MM = 15.0
GRID_MM = 5.0


@dataclass(frozen=True, eq=False)
class FlatPage:
    """A page laid flat: its ink, and where it is.

    Attributes:
        ink: float32 `[height, width]`, 0 paper or grid to 1 ink, at `PX_PER_MM`; 0 beyond the grid.
        known: bool `[height, width]`, where the grid was found.
        origin_mm: (x, y) of the top left corner of the raster.
    """

    ink: np.ndarray
    known: np.ndarray
    origin_mm: tuple[float, float]


def lay_flat(pixels: np.ndarray, crossings_mm: np.ndarray, page_map: PageMap) -> FlatPage:
    """Sample a picture on a flat raster and keep the ink.

    Ink is what is dark in every channel, darker than the grid at that place of its 5 mm period; the grid's own
    darkness is the typical one over all periods, so that a trace that follows a line survives.

    Args:
        pixels: uint8 `[height, width, 3]`.
        crossings_mm: `[n, 2]` where the crossings of the grid's lines that were found lie on the page.
        page_map: millimetres of the page to pixels of the picture.

    Returns:
        The flat page.
    """
    low = crossings_mm.min(axis=0) - MARGIN_MM
    size_mm = np.ceil((crossings_mm.max(axis=0) + MARGIN_MM - low) / GRID_MM) * GRID_MM
    width, height = (size_mm * PX_PER_MM).astype(int).tolist()
    places = _pixel_places(page_map, low, (height, width))
    picture, scale = _sampled_from(pixels, page_map, crossings_mm)
    places = places * np.float32(scale) - np.float32(0.5)
    flat = cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    known = _known(crossings_mm, low, (height, width))
    ratio = flat.astype(np.float32) / paper_light(flat.astype(np.float32), 7.0 * PX_PER_MM)
    drop = np.clip(1.0 - ratio.max(axis=-1), 0.0, 1.0)
    drop[~known] = 0.0
    colour = np.clip(ratio.max(axis=-1) - ratio.min(axis=-1), 0.0, 1.0)
    drop -= _colour_share(drop, colour, known) * colour
    drop = np.clip(drop, 0.0, 1.0)
    level = 1.15 * _grid_level(drop, known) + 0.04
    full = max(float(np.percentile(drop[known], 99.5)), float(level.max()) + 0.08, 0.2)
    ink = np.clip((drop - level) / (0.8 * full - np.minimum(level, 0.7 * full)), 0.0, 1.0).astype(np.float32)
    ink[~known] = 0.0
    return FlatPage(ink, known, (float(low[0]), float(low[1])))


def _grid_level(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Typical value at each place of the grid's 5 mm period, over all periods."""
    period = int(GRID_MM * PX_PER_MM)
    down, across = _periodic(_share(values, known, 1), period), _periodic(_share(values, known, 0), period)
    return np.maximum(down[:, None], across[None, :])


def _colour_share(drop: np.ndarray, colour: np.ndarray, known: np.ndarray) -> float:
    """How dark the grid is in all channels, for its colour: what to take off where there is as much colour.

    Zero for a grey grid.
    """
    lines = _grid_level(colour, known)
    on_line = known & (lines > 0.7 * lines.max()) & (colour > 0.5 * lines) & (colour > 0.04)
    if on_line.sum() < 0.02 * known.sum():
        return 0.0
    return float(np.clip(np.percentile(drop[on_line] / colour[on_line], 60), 0.0, 2.5))


def _pixel_places(page_map: PageMap, low: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixel of the picture for each raster pixel: exact on a 1 mm lattice, linear between."""
    rows, columns = size[0] // PX_PER_MM + 2, size[1] // PX_PER_MM + 2
    x, y = np.meshgrid(np.arange(columns) - 0.5, np.arange(rows) - 0.5)
    nodes = page_map.to_px(np.column_stack([x.ravel(), y.ravel()]) + low).reshape(rows, columns, 2).astype(np.float32)
    # node (i, j) is the centre of a block of PX_PER_MM pixels: enlarge, then cut half a block from each side
    large = cv2.resize(nodes, (columns * PX_PER_MM, rows * PX_PER_MM), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(large[PX_PER_MM : PX_PER_MM + size[0], PX_PER_MM : PX_PER_MM + size[1]])


def _sampled_from(pixels: np.ndarray, page_map: PageMap, crossings_mm: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture, averaged down where it is much finer than the raster."""
    middle = np.median(crossings_mm, axis=0)
    here, right, down = page_map.to_px(middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    px_per_mm = float(np.sqrt(abs(np.linalg.det(np.stack([right - here, down - here])))))
    if px_per_mm < 1.3 * PX_PER_MM:
        return pixels, 1.0
    scale = 1.2 * PX_PER_MM / px_per_mm
    small = cv2.resize(pixels, (0, 0), fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return small, small.shape[1] / pixels.shape[1]


def _known(crossings_mm: np.ndarray, low: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where crossings were found, holes closed, half a cell beyond them."""
    cells: np.ndarray = np.zeros((size[0] // PX_PER_MM, size[1] // PX_PER_MM), np.uint8)
    x, y = np.rint(crossings_mm - low).astype(int).T
    cells[y, x] = 1
    reach = 2 * int(np.ceil(1.6 * GRID_MM)) + 1
    cells = np.pad(cells, 2 * reach)  # a closing counts what lies beyond the raster as found
    cells = cv2.morphologyEx(cells, cv2.MORPH_CLOSE, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    cells = np.ascontiguousarray(cells[2 * reach : -2 * reach, 2 * reach : -2 * reach])
    cells = cv2.dilate(cells, np.ones((int(GRID_MM),) * 2, np.uint8))
    return cv2.resize(cells, size[::-1], interpolation=cv2.INTER_NEAREST) > 0


def _share(drop: np.ndarray, known: np.ndarray, axis: int) -> np.ndarray:
    """70th percentile of the darkness of each row or column, over what is known of it."""
    ordered = np.sort(np.where(known, drop, 2.0), axis=axis)
    count = known.sum(axis=axis)
    at = np.minimum((0.7 * count).astype(int), np.maximum(count - 1, 0))
    values = np.take_along_axis(ordered, np.expand_dims(at, axis), axis).squeeze(axis)
    return np.where(count > 0.2 * count.max(), values, np.nan)


def _periodic(profile: np.ndarray, period: int) -> np.ndarray:
    """The typical profile over one period of the grid, a pixel wider, repeated."""
    padded = np.concatenate([profile, np.full(-len(profile) % period, np.nan)]).reshape(-1, period)
    ordered = np.sort(padded, axis=0)  # NaN last
    count = np.isfinite(padded).sum(axis=0)
    middle = ordered[np.maximum(count - 1, 0) // 2, np.arange(period)]
    typical = np.where(count > 0, middle, 0.0)
    wider = np.maximum(typical, np.maximum(np.roll(typical, 1), np.roll(typical, -1)))
    return np.resize(wider, len(profile))
