"""Drawn pages: a picture, the map from millimetres to its pixels, and the ground truth of every trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ecgscan_lab.errors import ArgumentError


class Bend(Protocol):
    """How a sheet departs from a plane: where each of its points appears on the flat plane, in millimetres."""

    def displace(self, points_mm: np.ndarray) -> np.ndarray:
        """`[n, 2]` on the sheet -> `[n, 2]` on the plane."""

    def restore(self, points_mm: np.ndarray) -> np.ndarray:
        """`[n, 2]` on the plane -> `[n, 2]` on the sheet: the inverse of `displace`."""


@dataclass(frozen=True, eq=False)
class PageMap:
    """Millimetres on the sheet to pixels of the picture and back: the sheet's bend, then a homography.

    Attributes:
        homography: float64 `[3, 3]`, (x_mm, y_mm, 1) -> pixels, where the centre of the top left pixel is (0.5, 0.5).
        bend: page curl, folds and creases that move ink; None for a flat sheet.

    Example:
        >>> page_map = PageMap(np.diag([2.0, 2.0, 1.0]))
        >>> page_map.to_px([[10.0, 5.0]]).tolist(), page_map.to_mm([[20.0, 10.0]]).tolist()
        ([[20.0, 10.0]], [[10.0, 5.0]])
    """

    homography: np.ndarray
    bend: Bend | None = None

    def to_px(self, points_mm: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """`[n, 2]` millimetres -> `[n, 2]` pixels."""
        points = np.asarray(points_mm, np.float64).reshape(-1, 2)
        return _project(self.homography, points if self.bend is None else _where_finite(self.bend.displace, points))

    def to_mm(self, points_px: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """`[n, 2]` pixels -> `[n, 2]` millimetres."""
        points = _project(np.linalg.inv(self.homography), np.asarray(points_px, np.float64).reshape(-1, 2))
        return points if self.bend is None else _where_finite(self.bend.restore, points)


def _where_finite(move: Callable[[np.ndarray], np.ndarray], points: np.ndarray) -> np.ndarray:
    """Move the points that are finite; a gap in a trace stays a gap."""
    finite = np.isfinite(points).all(axis=1, keepdims=True)
    return np.where(finite, move(np.where(finite, points, 0.0)), np.nan)


def _project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = points @ homography[:, :2].T + homography[:, 2]
    return moved[:, :2] / moved[:, 2:]


@dataclass(frozen=True, eq=False)
class EcgImage:
    """A drawn ECG page with its ground truth, which follows the page through every geometric degradation.

    Traces are named by their lead ("I", "V4"), rhythm strips "II rhythm".

    Attributes:
        pixels: uint8 `[height, width, 3]`, RGB.
        page_map: millimetres on the sheet to pixels, and back.
        polylines: trace -> float `[n, 2]`, (x, y) of each shown sample in pixels.
        boxes: trace, "text ...", "pulse ..." -> (x0, y0, x1, y1) in pixels, cut at the picture's edge.
        windows: trace -> (first, last + 1) sample of the record that is shown.
        origins_mm: trace -> (x_mm, y_mm, t_s): where on the page 0 mV at time t_s of the record lies.
        gains_mm_per_mv: trace -> paper gain; negative where the lead is drawn upside down (Cabrera's -aVR).
        paper_speed_mm_per_s: paper speed.
        fs_hz: rate of the drawn signal.
        seed: seed of every random choice of the page.
        page: the `render.PageSpec` that made it.
        degradation: the `render.degrade.DegradeParams` that were applied, None for a clean page.
        clipped: trace -> number of recorded samples whose place lies beyond the sheet or outside the picture.
        painter: makes the ink coverage of one trace; `coverage` and `mask` call it.
    """

    pixels: np.ndarray = field(repr=False)
    page_map: PageMap = field(repr=False)
    polylines: Mapping[str, np.ndarray] = field(repr=False)
    boxes: Mapping[str, tuple[float, float, float, float]] = field(repr=False)
    windows: Mapping[str, tuple[int, int]] = field(repr=False)
    origins_mm: Mapping[str, tuple[float, float, float]] = field(repr=False)
    gains_mm_per_mv: Mapping[str, float] = field(repr=False)
    paper_speed_mm_per_s: float
    fs_hz: float
    seed: int
    page: Any = field(default=None, repr=False)
    degradation: Any = field(default=None, repr=False)
    clipped: Mapping[str, int] = field(default_factory=dict)
    painter: Callable[[str], np.ndarray] | None = field(default=None, repr=False)

    @property
    def mm_to_px(self) -> np.ndarray:
        """The homography `[3, 3]` of `page_map`: the whole map where the sheet is flat."""
        return self.page_map.homography

    @property
    def grid_spacing_px(self) -> tuple[float, float]:
        """Pixels per millimetre along the paper's time axis and its voltage axis, amid the traces."""
        middle = np.mean([origin[:2] for origin in self.origins_mm.values()] or [(0.0, 0.0)], axis=0)
        here, right, down = self.page_map.to_px(middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        return float(np.linalg.norm(right - here)), float(np.linalg.norm(down - here))

    def to_mv(self, lead: str, points_px: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """Read pixels of one trace as time and voltage, the inverse of `polylines`.

        **Equation**: t = t0 + (x_mm - x0) / v and u = (y0 - y_mm) / g, with (x_mm, y_mm) the point sent back through
        `page_map`, v the paper speed and g the gain.

        Args:
            lead: a key of `polylines`.
            points_px: `[n, 2]` pixel coordinates (x, y), the centre of the top left pixel being (0.5, 0.5).

        Returns:
            float64 `[n, 2]`: seconds from the start of the recording, millivolts.

        Raises:
            ArgumentError: the page does not show that lead.
        """
        x0_mm, y0_mm, t0_s = self._known(self.origins_mm, lead)
        points = np.asarray(points_px, np.float64)
        if points.shape[-1:] != (2,) and points.size:
            raise ArgumentError(
                f"points of shape {points.shape}", field="points_px", expected="[n, 2], (x, y) in pixels"
            )
        x_mm, y_mm = self.page_map.to_mm(points).T
        seconds = t0_s + (x_mm - x0_mm) / self.paper_speed_mm_per_s
        return np.column_stack([seconds, (y0_mm - y_mm) / self.gains_mm_per_mv[lead]])

    def to_px(self, lead: str, seconds_mv: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """Where on the picture a lead would put (seconds, millivolts) `[n, 2]`: pixels `[n, 2]`, inverse of `to_mv`."""
        x0_mm, y0_mm, t0_s = self._known(self.origins_mm, lead)
        seconds, mv = np.asarray(seconds_mv, np.float64).reshape(-1, 2).T
        x_mm = x0_mm + (seconds - t0_s) * self.paper_speed_mm_per_s
        return self.page_map.to_px(np.column_stack([x_mm, y0_mm - mv * self.gains_mm_per_mv[lead]]))

    def coverage(self, lead: str) -> np.ndarray:
        """Share of each pixel that one trace's ink covers, uint8 `[height, width]`: 0 none, 255 all.

        It is drawn by the same kernel and bent by the same map as the picture, so it follows the ink exactly.

        Raises:
            ArgumentError: the page does not show that lead, or the picture was not drawn by this package.
        """
        self._known(self.origins_mm, lead)
        if self.painter is None:
            raise ArgumentError("this picture has no masks", field="lead", expected="a page drawn by draw_page")
        return self.painter(lead)

    def mask(self, lead: str, threshold: float = 0.25) -> np.ndarray:
        """Pixels that one trace inks by at least `threshold` of their area, bool `[height, width]`; see `coverage`."""
        return self.coverage(lead) >= max(1, round(255 * threshold))

    def _known(self, table: Mapping[str, Any], lead: str) -> Any:
        if lead not in table:
            known = ", ".join(table)
            raise ArgumentError(f"the page does not show {lead!r}", field="lead", expected=f"one of {known}")
        return table[lead]
