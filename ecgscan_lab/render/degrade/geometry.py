"""Where the sheet lies in the degraded picture: one homography over the sheet's own shape, exact both ways."""

from __future__ import annotations

import math

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade.params import DegradeParams
from ecgscan_lab.render.degrade.relief import sheet_relief
from ecgscan_lab.types import PageMap

LENS = 2.2
"""Distance of the camera for perspective, in half diagonals of the sheet: a phone held over a page."""

KEPT_INSET = 0.06
"""Rotation and perspective zoom out until the sheet without this share of its width on each side stays in view."""

FINE_PX, MIDDLE_PX = 640, 1280
FINE_FACTOR, MIDDLE_FACTOR = 1.5, 1.25
"""Pictures up to this long are warped from clean pages drawn larger, so that thin lines stay smooth."""


def _about(centre: np.ndarray, inner: np.ndarray) -> np.ndarray:
    there = np.array([[1.0, 0.0, centre[0]], [0.0, 1.0, centre[1]], [0.0, 0.0, 1.0]])
    back = np.array([[1.0, 0.0, -centre[0]], [0.0, 1.0, -centre[1]], [0.0, 0.0, 1.0]])
    return np.asarray(there @ inner @ back)


def project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Send `[n, 2]` points through a homography."""
    moved = points @ homography[:, :2].T + homography[:, 2]
    return np.asarray(moved[:, :2] / moved[:, 2:])


def _pose(params: DegradeParams, unit_px: float) -> np.ndarray:
    """Perspective, then rotation, about the origin; `unit_px` is half the sheet's diagonal."""
    pose = np.eye(3)
    if params.perspective is not None:
        a, b = math.radians(params.perspective.tilt_x_deg), math.radians(params.perspective.tilt_y_deg)
        about_x = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
        about_y = np.array([[math.cos(b), 0, math.sin(b)], [0, 1, 0], [-math.sin(b), 0, math.cos(b)]])
        turned, distance = about_y @ about_x, LENS * unit_px
        pose[:2, :2] = turned[:2, :2]
        pose[2, :2] = turned[2, :2] / distance
    if params.rotation is not None:
        a = math.radians(params.rotation.degrees)
        pose = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]]) @ pose
    return pose


def _rectangle(page_mm: tuple[float, float], inset: float) -> np.ndarray:
    """The sheet's border as 8 points (corners and middles of the sides), `inset` millimetres inside."""
    x, y = np.array([inset, page_mm[0] / 2, page_mm[0] - inset]), np.array([inset, page_mm[1] / 2, page_mm[1] - inset])
    return np.array([(x[i], y[j]) for i in range(3) for j in range(3) if (i, j) != (1, 1)])


def _into_view(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Shrink and shift, no more than needed, until the box around `points` lies in the picture."""
    picture = np.array([width, height], np.float64)
    low, high = points.min(axis=0), points.max(axis=0)
    zoom = min(1.0, float((picture / (high - low)).min()))
    half = zoom * (high - low) / 2
    shift = np.clip((low + high) / 2, half, picture - half) - zoom * (low + high) / 2
    return np.array([[zoom, 0.0, shift[0]], [0.0, zoom, shift[1]], [0.0, 0.0, 1.0]])


def _framing(params: DegradeParams, sheet: np.ndarray, height: int, width: int) -> np.ndarray:
    """Step back and put the sheet somewhere in the room that this gives; then cut the picture."""
    frame = np.eye(3)
    if params.framing is not None:
        zoom, picture = params.framing.zoom, np.array([width, height], np.float64)
        low, high = sheet.min(axis=0), sheet.max(axis=0)
        room = np.maximum((picture - zoom * (high - low)) / 2, 0.0)
        shift = picture / 2 + room * (params.framing.x, params.framing.y) - zoom * (low + high) / 2
        frame = np.array([[zoom, 0.0, shift[0]], [0.0, zoom, shift[1]], [0.0, 0.0, 1.0]])
    if params.crop is not None:
        keep = 1.0 - params.crop.share
        left = params.crop.share * width * (1.0 + params.crop.x) / 2
        top = params.crop.share * height * (1.0 + params.crop.y) / 2
        frame = np.array([[1 / keep, 0.0, -left / keep], [0.0, 1 / keep, -top / keep], [0.0, 0.0, 1.0]]) @ frame
    return frame


def sheet_map(params: DegradeParams, page_mm: tuple[float, float], size: tuple[int, int], flat: PageMap) -> PageMap:
    """The exact map from millimetres on the sheet to pixels of the degraded picture.

    Perspective and rotation act about the sheet's centre; then the picture zooms out until the sheet, less
    `KEPT_INSET` of its width on each side, is in view; framing and crop follow.

    Args:
        params: the degradation; only its geometric effects matter.
        page_mm: (width, height) of the sheet.
        size: (height, width) of the picture.
        flat: the map of the clean page at that size.

    Returns:
        `flat` itself when nothing moves.

    Raises:
        ArgumentError: `flat` is bent already.

    Properties: `to_mm` inverts `to_px` within 1e-3 px; the pixels follow the map; without crop, the sheet less the
    inset is in view.

    Example:
        >>> from ecgscan_lab.render.degrade import effects as fx
        >>> flat = PageMap(np.diag([2.0, 2.0, 1.0]))
        >>> turned = sheet_map(DegradeParams(rotation=fx.Rotation(180.0)), (100.0, 50.0), (100, 200), flat)
        >>> np.round(turned.to_px([[10.0, 10.0]]), 6).tolist()
        [[180.0, 80.0]]
    """
    if not params.moves:
        return flat
    if flat.bend is not None:
        raise ArgumentError("a page cannot be degraded twice", field="flat", expected="the map of a clean page")
    height, width = size
    border = _rectangle(page_mm, 0.0)
    corners = project(flat.homography, border)
    homography = flat.homography
    if params.perspective is not None or params.rotation is not None:
        centre = project(flat.homography, np.array([[page_mm[0] / 2, page_mm[1] / 2]]))[0]
        half_diagonal = float(np.hypot(*np.ptp(corners, axis=0))) / 2
        homography = _about(centre, _pose(params, half_diagonal)) @ homography
        kept = project(homography, _rectangle(page_mm, KEPT_INSET * min(page_mm)))
        homography = _into_view(kept, height, width) @ homography
        corners = project(homography, border)
    homography = _framing(params, corners, height, width) @ homography
    return PageMap(homography / homography[2, 2], sheet_relief(params, page_mm))


def clean_size(params: DegradeParams, size: tuple[int, int]) -> tuple[int, int]:
    """The size at which the clean page is to be drawn before it is warped: larger than `size` for small pictures.

    Args:
        params: the degradation.
        size: (height, width) of the degraded picture.

    Example:
        >>> from ecgscan_lab.render.degrade import effects as fx
        >>> clean_size(DegradeParams(), (448, 448)), clean_size(DegradeParams(curl=fx.Curl(0.02)), (448, 448))
        ((448, 448), (672, 672))
    """
    if not params.moves:
        return size
    longer = max(size)
    factor = FINE_FACTOR if longer <= FINE_PX else MIDDLE_FACTOR if longer <= MIDDLE_PX else 1.0
    return round(size[0] * factor), round(size[1] * factor)
