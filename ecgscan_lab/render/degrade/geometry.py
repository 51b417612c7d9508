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

DRAWN_LARGER_PX, LARGER = 1280, 1.25
"""Pictures up to this long are warped from clean pages drawn larger, so that thin lines stay smooth."""


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


def _corners(homography: np.ndarray, page_mm: tuple[float, float], inset: float = 0.0) -> np.ndarray:
    """The sheet's corners in the picture `[4, 2]`, or points `inset` millimetres inside them."""
    left, right, top, bottom = inset, page_mm[0] - inset, inset, page_mm[1] - inset
    return project(homography, np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))


def _scaled(zoom: float, shift: np.ndarray) -> np.ndarray:
    return np.array([[zoom, 0.0, shift[0]], [0.0, zoom, shift[1]], [0.0, 0.0, 1.0]])


def _into_view(points: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Shrink and shift, no more than needed, until the box around `points` lies in the picture (width, height)."""
    low, high = points.min(axis=0), points.max(axis=0)
    zoom = min(1.0, float((picture / (high - low)).min()))
    half = zoom * (high - low) / 2
    shift = np.minimum(np.maximum((low + high) / 2, half), picture - half) - zoom * (low + high) / 2
    return _scaled(zoom, shift)


def _framing(params: DegradeParams, sheet: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Step back and put the sheet somewhere in the room that this gives; then cut the picture (width, height)."""
    frame = np.eye(3)
    if params.framing is not None:
        zoom, low, high = params.framing.zoom, sheet.min(axis=0), sheet.max(axis=0)
        room = np.maximum((picture - zoom * (high - low)) / 2, 0.0)
        frame = _scaled(zoom, picture / 2 + room * (params.framing.x, params.framing.y) - zoom * (low + high) / 2)
    if params.crop is not None:
        share, keep = params.crop.share, 1.0 - params.crop.share
        corner = share / 2 * picture * (1.0 + params.crop.x, 1.0 + params.crop.y)
        frame = _scaled(1 / keep, -corner / keep) @ frame
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
    picture, homography = np.array([size[1], size[0]], np.float64), flat.homography
    if params.perspective is not None or params.rotation is not None:
        corners = _corners(homography, page_mm)
        centre, half_diagonal = (corners[0] + corners[2]) / 2, math.dist(corners[0], corners[2]) / 2
        homography = _scaled(1.0, centre) @ _pose(params, half_diagonal) @ _scaled(1.0, -centre) @ homography
        kept = _corners(homography, page_mm, KEPT_INSET * min(page_mm))
        homography = _into_view(kept, picture) @ homography
    if params.framing is not None or params.crop is not None:
        homography = _framing(params, _corners(homography, page_mm), picture) @ homography
    return PageMap(homography / homography[2, 2], sheet_relief(params, page_mm))


def clean_size(params: DegradeParams, size: tuple[int, int]) -> tuple[int, int]:
    """The size at which the clean page is to be drawn before it is warped: larger than `size` for small pictures.

    Args:
        params: the degradation.
        size: (height, width) of the degraded picture.

    Example:
        >>> from ecgscan_lab.render.degrade import effects as fx
        >>> clean_size(DegradeParams(), (448, 448)), clean_size(DegradeParams(curl=fx.Curl(0.02)), (448, 448))
        ((448, 448), (560, 560))
    """
    if not params.moves:
        return size
    longer = max(size)
    factor = LARGER if longer <= DRAWN_LARGER_PX else 1.0
    if params.framing is not None:  # what will be small need not be drawn large, and would alias if it were
        factor *= params.framing.zoom
    if params.crop is not None:
        factor = min(2.0, factor / (1.0 - params.crop.share))
    return max(16, round(size[0] * factor)), max(16, round(size[1] * factor))
