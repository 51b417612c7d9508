"""What a flat map of embeddings kept: neighbours in the full space and in the plane, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from ecgscan_lab.errors import ArgumentError

METRICS = ("cosine", "euclidean")


def neighbour_indices(rows: ArrayLike, k: int = 10, metric: str = "cosine") -> NDArray[np.int64]:
    """The k nearest other rows of each row, nearest first.

    Args:
        rows: finite `[record, dim]`; with "cosine", none of them zero.
        k: how many, from 1 to one less than there are rows.
        metric: "cosine" for embeddings, "euclidean" for points of a map.

    Returns:
        int64 `[record, k]`; of equally near rows the earlier one comes first.

    Raises:
        ArgumentError: rows or `k` out of range, or another metric.

    **Properties**: no row is its own neighbour; unchanged by a rotation; with "cosine" by the length of rows.

    Example:
        >>> neighbour_indices([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0]], k=1, metric="euclidean")[:, 0].tolist()
        [1, 0, 1]
    """
    distances = _distances(rows, k, metric)
    return np.argsort(distances, axis=1, kind="stable")[:, :k].astype(np.int64)


def same_label_share(
    rows: ArrayLike, labels: Sequence[str] | NDArray[np.str_], k: int = 10, metric: str = "cosine"
) -> float:
    """The share of nearest neighbours that have the row's own label, in percent.

    **Equation**: 100 · mean over i of |{j in N_k(i): y_j = y_i}| / k. Chance is not zero: see `chance_share`.

    Args:
        rows, k, metric: as in `neighbour_indices`.
        labels: one a row `[record]`.

    Raises:
        ArgumentError: as `neighbour_indices`, or labels that do not match.

    Example:
        >>> same_label_share([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]], ["a", "a", "b", "b"], k=1)
        100.0
    """
    nearest, of = neighbour_indices(rows, k, metric), np.asarray(labels)
    if of.shape != (len(nearest),):
        raise ArgumentError(f"labels of shape {of.shape}", field="labels", expected=f"[{len(nearest)}], one a row")
    return float(100.0 * (of[nearest] == of[:, None]).mean())


def chance_share(labels: Sequence[str] | NDArray[np.str_]) -> float:
    """What `same_label_share` gives when neighbours are drawn by lot, in percent.

    **Equation**: 100 · Σ_c n_c (n_c − 1) / (n (n − 1)).

    Raises:
        ArgumentError: fewer than two labels.

    Example:
        >>> round(chance_share(["a", "a", "b", "b"]), 1)
        33.3
    """
    counts = np.unique(np.asarray(labels), return_counts=True)[1].astype(float)
    n = counts.sum()
    if n < 2:
        raise ArgumentError("a single row has no neighbours", field="labels", expected="at least two")
    return float(100.0 * (counts * (counts - 1)).sum() / (n * (n - 1)))


def class_medoids(rows: ArrayLike, labels: Sequence[str] | NDArray[np.str_]) -> dict[str, int]:
    """The row of each class that lies in the midst of it: a real one, where a mean would be nobody.

    **Equation**: argmax over i with y_i = c of sum over j with y_j = c of cos(x_i, x_j).

    Args:
        rows: `[record, dim]`, none of them zero.
        labels: one a row.

    Returns:
        Class -> position, classes in order of their names; of equally central rows the earlier one.

    Raises:
        ArgumentError: a row is zero or not finite, or labels that do not match.

    **Properties**: unchanged by a rotation and by the length of rows; another class's rows do not matter.

    Example:
        >>> class_medoids([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [0.0, 1.0]], ["a", "a", "a", "b"])
        {'a': 1, 'b': 3}
    """
    table, of = np.asarray(rows, dtype=np.float64), np.asarray(labels)
    if table.ndim != 2 or of.shape != (len(table),):
        raise ArgumentError(f"rows {table.shape}, labels {of.shape}", field="labels", expected="one a row")
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    if not (np.isfinite(table).all() and norms.all()):
        raise ArgumentError("a row is zero or not finite", field="rows", expected="rows with a direction")
    unit, found = table / norms, {}
    for name in np.unique(of):
        own = np.flatnonzero(of == name)
        found[str(name)] = int(own[np.argmax((unit[own] @ unit[own].sum(axis=0)).round(12))])
    return found


def neighbour_overlap(rows: ArrayLike, points: ArrayLike, k: int = 10) -> float:
    """The share of neighbours in the full space that are neighbours on the map, too, in percent.

    **Equation**: 100 · mean over i of |N_k(i) ∩ M_k(i)| / k, N by cosine in the full space, M by distance on the map.

    Args:
        rows: embeddings `[record, dim]`.
        points: their places on the map `[record, 2]`.
        k: neighbours.

    Raises:
        ArgumentError: as `neighbour_indices`, or tables of different lengths.

    **Properties**: 100 for a map that keeps every neighbourhood; about 100 k / n for one drawn by lot; unchanged when
    the map is turned, mirrored, moved or scaled.

    Example:
        >>> around = np.array([[np.cos(t), np.sin(t)] for t in (0.0, 0.3, 0.7, 1.2)])
        >>> neighbour_overlap(around, around, k=1)
        100.0
    """
    full, flat = neighbour_indices(rows, k), neighbour_indices(points, k, "euclidean")
    _same_length(full, flat)
    shared = (full[:, :, None] == flat[:, None, :]).any(axis=2)
    return float(100.0 * shared.mean())


def map_trustworthiness(rows: ArrayLike, points: ArrayLike, k: int = 10) -> float:
    r"""How little the map invents: 1 when every neighbour on it is one in the full space.

    **Equation**: T = 1 − 2 / (n k (2n − 3k − 1)) · Σ_i Σ_{j in M_k(i) \ N_k(i)} (r(i, j) − k), r the rank of j among
    the neighbours of i in the full space, by cosine.

    **Source**: Venna and Kaski (2001), *Neighborhood Preservation in Nonlinear Projection Methods*.

    Args:
        rows, points, k: as in `neighbour_overlap`; k below half of the records.

    Returns:
        A number in [0, 1]; a map drawn by lot is near 0.5.

    Raises:
        ArgumentError: as `neighbour_overlap`, or k too large.

    Example:
        >>> around = np.array([[np.cos(t), np.sin(t)] for t in (0.0, 0.3, 0.7, 1.2)])
        >>> map_trustworthiness(around, around, k=1)
        1.0
    """
    distances = _distances(rows, k, "cosine")
    flat = neighbour_indices(points, k, "euclidean")
    _same_length(distances, flat)
    n = len(distances)
    if 2 * k >= n:
        raise ArgumentError(f"{k} neighbours among {n} records", field="k", expected=f"below {n / 2:g}")
    ranks = np.argsort(np.argsort(distances, axis=1, kind="stable"), axis=1, kind="stable") + 1
    beyond = np.maximum(0, np.take_along_axis(ranks, flat, axis=1) - k)
    return float(1.0 - 2.0 * beyond.sum() / (n * k * (2 * n - 3 * k - 1)))


def _distances(rows: ArrayLike, k: int, metric: str) -> NDArray[np.float64]:
    """Distances between rows, infinite from a row to itself."""
    table = np.asarray(rows, dtype=np.float64)
    if metric not in METRICS:
        raise ArgumentError(f"no metric {metric!r}", field="metric", expected=" or ".join(METRICS))
    if table.ndim != 2 or not np.isfinite(table).all():
        raise ArgumentError(f"rows of shape {table.shape}", field="rows", expected="finite [record, dim]")
    if metric == "cosine" and not np.linalg.norm(table, axis=1).all():
        raise ArgumentError("a row is zero and has no direction", field="rows", expected="rows that are not all zero")
    if not 1 <= k < len(table):
        raise ArgumentError(f"{k} neighbours among {len(table)} rows", field="k", expected=f"1 to {len(table) - 1}")
    distances: NDArray[np.float64] = cdist(table, table, metric)
    np.fill_diagonal(distances, np.inf)
    return distances


def _same_length(full: NDArray[np.generic], flat: NDArray[np.generic]) -> None:
    if len(full) != len(flat):
        raise ArgumentError(f"{len(full)} rows and {len(flat)} points", field="points", expected="one point a row")
