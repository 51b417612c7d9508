"""How a sheet departs from a plane: displacements on a lattice, fitted to where its grid lines were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spsolve

from ecgscan_lab.errors import ArgumentError

STIFFNESS = 0.15
"""Weight of the sheet's curvature against the measured crossings, which are good to about 0.05 mm."""

_EPS_MM, _ROUNDS = 1e-6, 60


@dataclass(frozen=True, eq=False)
class LatticeBend:
    """A displacement of the sheet in millimetres, given at the nodes of a square lattice, linear between them.

    **Equation**: displace(p) = p + s(p), with s interpolated from `shift_mm`; beyond the lattice its edge continues.
    `restore` solves p + s(p) = q by iterating p <- q - s(p), which converges where neighbouring nodes do not cross.

    Attributes:
        origin_mm: (x, y) of node [0, 0].
        step_mm: distance between nodes.
        shift_mm: float64 `[rows, columns, 2]`, what is added to (x, y).

    Example:
        >>> bend = LatticeBend((0.0, 0.0), 10.0, np.ones((2, 2, 2)))
        >>> bend.restore(bend.displace(np.array([[3.0, 4.0]]))).tolist()
        [[3.0, 4.0]]
    """

    origin_mm: tuple[float, float]
    step_mm: float
    shift_mm: np.ndarray

    def __post_init__(self) -> None:
        shift = np.asarray(self.shift_mm, np.float64)
        if shift.ndim != 3 or shift.shape[2] != 2 or min(shift.shape[:2]) < 2 or not np.isfinite(shift).all():
            raise ArgumentError(
                f"shift_mm of shape {shift.shape}",
                field="shift_mm",
                expected="finite [rows, columns, 2], at least 2 x 2 nodes",
            )
        object.__setattr__(self, "shift_mm", shift)

    def _shift(self, points_mm: np.ndarray) -> np.ndarray:
        rows, columns = self.shift_mm.shape[:2]
        place = (points_mm - self.origin_mm) / self.step_mm
        x, y = np.clip(place[:, 0], 0, columns - 1), np.clip(place[:, 1], 0, rows - 1)
        i, j = np.minimum(x.astype(int), columns - 2), np.minimum(y.astype(int), rows - 2)
        fx, fy = (x - i)[:, None], (y - j)[:, None]
        s = self.shift_mm
        return (s[j, i] * (1 - fx) + s[j, i + 1] * fx) * (1 - fy) + (s[j + 1, i] * (1 - fx) + s[j + 1, i + 1] * fx) * fy

    def displace(self, points_mm: np.ndarray) -> np.ndarray:
        """Where points of the flat page lie on the bent one, `[n, 2]` in millimetres."""
        points_mm = np.asarray(points_mm, np.float64).reshape(-1, 2)
        return points_mm + self._shift(points_mm)

    def restore(self, points_mm: np.ndarray) -> np.ndarray:
        """The points of the flat page that `displace` takes to these, `[n, 2]` in millimetres."""
        target = np.asarray(points_mm, np.float64).reshape(-1, 2)
        points = target - self._shift(target)
        for _ in range(_ROUNDS):
            change = target - points - self._shift(points)
            points = points + change
            if not np.abs(change).max(initial=0.0) > _EPS_MM:
                break
        return points

    def as_dict(self) -> dict[str, Any]:
        """Numbers and lists only, for JSON; `from_dict` reads it back."""
        return {
            "kind": "lattice",
            "origin_mm": list(self.origin_mm),
            "step_mm": self.step_mm,
            "shift_mm": self.shift_mm.tolist(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LatticeBend:
        """Rebuild what `as_dict` gave."""
        x_mm, y_mm = values["origin_mm"]
        return cls((float(x_mm), float(y_mm)), float(values["step_mm"]), np.array(values["shift_mm"], np.float64))


def fit_bend(
    points_mm: np.ndarray,
    found_mm: np.ndarray,
    step_mm: float = 5.0,
    margin_mm: float = 20.0,
    weight: np.ndarray | None = None,
) -> LatticeBend:
    """Fit a bend that takes `points_mm` to `found_mm`, smooth where nothing was measured, blind to outliers.

    **Equation**: minimise sum w |s(p) - (q - p)|^2 + `STIFFNESS` sum |second differences of s|^2 over the nodes, with
    weights w lowered, three times over, where the residual is large (Cauchy).

    Args:
        points_mm: `[n, 2]` on the flat page.
        found_mm: `[n, 2]` where they were found.
        step_mm: distance between nodes.
        margin_mm: how far the lattice reaches beyond the points.
        weight: `[n]`, how far each point is trusted, 1 when None.

    Returns:
        The bend.
    """
    low = np.floor((points_mm.min(axis=0) - margin_mm) / step_mm) * step_mm
    columns, rows = (np.ceil((points_mm.max(axis=0) + margin_mm - low) / step_mm).astype(int) + 1).tolist()
    place = (points_mm - low) / step_mm
    i, j = np.minimum(place.astype(int), (columns - 2, rows - 2)).T
    fx, fy = place[:, 0] - i, place[:, 1] - j
    corners = np.stack([j * columns + i, j * columns + i + 1, (j + 1) * columns + i, (j + 1) * columns + i + 1])
    share = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    n = len(points_mm)
    where = np.tile(np.arange(n), 4)
    design = sparse.csr_matrix((share.ravel(), (where, corners.ravel())), shape=(n, rows * columns))
    bending = _second_differences(rows, columns)
    curvature = STIFFNESS * (bending.T @ bending)
    target = found_mm - points_mm
    trust = np.ones(n) if weight is None else np.asarray(weight, np.float64)
    robust = trust
    for _ in range(3):
        normal = (design.T @ sparse.diags(robust) @ design + curvature).tocsc()
        solved = spsolve(normal, design.T @ (robust[:, None] * target))
        rest = np.hypot(*(design @ solved - target).T)
        scale = max(0.03, 2.5 * float(np.median(rest)))
        robust = trust / (1 + (rest / scale) ** 2)
    return LatticeBend((float(low[0]), float(low[1])), step_mm, np.asarray(solved).reshape(rows, columns, 2))


def _second_differences(rows: int, columns: int) -> sparse.csr_matrix:
    """Second differences along and across, and twist, of values on a lattice; all zero for a plane."""

    def line(n: int) -> sparse.csr_matrix:
        return sparse.diags([1.0, -2.0, 1.0], [0, 1, 2], shape=(max(0, n - 2), n), format="csr")

    def slope(n: int) -> sparse.csr_matrix:
        return sparse.diags([-1.0, 1.0], [0, 1], shape=(n - 1, n), format="csr")

    along = sparse.kron(sparse.eye(rows), line(columns))
    across = sparse.kron(line(rows), sparse.eye(columns))
    twist = np.sqrt(2.0) * sparse.kron(slope(rows), slope(columns))
    return sparse.vstack([along, across, twist]).tocsr()
