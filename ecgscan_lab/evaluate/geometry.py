"""The shape of an embedding space: are partners close, are strangers spread out, and how many directions are used."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import pdist

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.intervals import FloatArray

_ROWS_AT_MOST = 2048  # pairwise distances of more rows say the same and take their square in memory


def alignment(a: ArrayLike, b: ArrayLike) -> float:
    """Mean squared distance between partners on the unit sphere: 0 in one place, 2 unrelated, 4 opposite.

    **Equation**: mean over pairs of ‖a_i − b_i‖² = 2 − 2 cos(a_i, b_i), rows of unit length.

    **Source**: Wang and Isola (2020), arXiv 2005.10242, with exponent 2.

    Args:
        a: embeddings of one modality `[pair, dim]`, any length of row.
        b: their partners in another modality `[pair, dim]`.

    Returns:
        A number in [0, 4].

    Raises:
        ArgumentError: shapes differ, or a row is zero or not finite.

    **Properties**: 0 for equal directions; symmetric; unchanged by a common rotation and by the length of rows.

    Example:
        >>> alignment([[1.0, 0.0]], [[0.0, 5.0]])
        2.0
    """
    a, b = _pairs(a, b)
    return float(np.square(a - b).sum(axis=1).mean())


def uniformity(rows: ArrayLike, t: float = 2.0) -> float:
    """How evenly rows cover the unit sphere: 0 when all lie in one place, lower the more they spread.

    **Equation**: log of the mean over pairs i < j of exp(−t ‖z_i − z_j‖²), rows of unit length.

    **Source**: Wang and Isola (2020), arXiv 2005.10242. *Differences*: of more than 2,048 rows, evenly spaced ones are
    taken.

    Args:
        rows: embeddings `[record, dim]`, at least two, any length of row.
        t: sharpness, above zero.

    Returns:
        A number in [−4 t, 0]; directions drawn evenly in many dimensions give about −2 t.

    Raises:
        ArgumentError: fewer than two rows, a row that is zero or not finite, or `t` that is not positive.

    **Properties**: 0 for collapsed rows; unchanged by a rotation and by the length of rows.

    Example:
        >>> uniformity([[1.0, 0.0], [-1.0, 0.0]])
        -8.0
    """
    z = _unit_rows(rows, "rows")
    if len(z) < 2:
        raise ArgumentError("a single row has no neighbours", field="rows", expected="at least two rows")
    if not 0 < t < np.inf:
        raise ArgumentError(f"t is {t}", field="t", expected="a number above zero")
    z = z[np.unique(np.linspace(0, len(z) - 1, min(len(z), _ROWS_AT_MOST)).astype(int))]
    return float(np.log(np.exp(-t * pdist(z, "sqeuclidean")).mean()))


def modality_gap(a: ArrayLike, b: ArrayLike) -> float:
    """Distance between the centres of two modalities on the unit sphere: 0 when they share a region, at most 2.

    **Equation**: ‖mean_i a_i − mean_i b_i‖, rows of unit length.

    **Source**: Liang et al. (2022), arXiv 2203.02053.

    Args:
        a: embeddings of one modality `[record, dim]`, any length of row.
        b: embeddings of the other, of the same records `[record, dim]`.

    Returns:
        A number in [0, 2].

    Raises:
        ArgumentError: shapes differ, or a row is zero or not finite.

    **Properties**: symmetric; unchanged by the order of the rows of either modality and by a common rotation.

    Example:
        >>> modality_gap([[1.0, 0.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, -1.0]])
        0.0
    """
    a, b = _pairs(a, b)
    return float(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)))


def effective_rank(rows: ArrayLike) -> float:
    """How many directions the embeddings really vary in: 1 for a line, `dim` for an even cloud.

    **Equation**: exp(−Σ_k p_k ln p_k), p_k = σ_k / Σ σ, σ the singular values of the centred unit rows.

    **Source**: Roy and Vetterli (2007); Garrido et al. (2023), arXiv 2210.02885 (RankMe). *Differences*: rows are of
    unit length and centred, since their common direction is what `modality_gap` and `uniformity` tell of.

    Args:
        rows: embeddings `[record, dim]`, any length of row.

    Returns:
        A number in [1, min(record, dim)]; 0 when all rows point the same way.

    Raises:
        ArgumentError: a row is zero or not finite.

    **Properties**: unchanged by a rotation, a shuffle and the length of rows; never above the number of dimensions.

    Example:
        >>> round(effective_rank([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 6)
        2.0
    """
    z = _unit_rows(rows, "rows")
    sigma = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)
    sigma = sigma[sigma > 1e-6]
    if not len(sigma):
        return 0.0
    p = sigma / sigma.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def _pairs(a: ArrayLike, b: ArrayLike) -> tuple[FloatArray, FloatArray]:
    first, second = _unit_rows(a, "a"), _unit_rows(b, "b")
    if first.shape != second.shape:
        raise ArgumentError(f"a is {first.shape} and b is {second.shape}", field="b", expected="one shape [pair, dim]")
    return first, second


def _unit_rows(rows: ArrayLike, name: str) -> NDArray[np.float64]:
    table = np.asarray(rows, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ArgumentError(f"{name} of shape {table.shape}", field=name, expected="[record, dim], neither of them 0")
    length = np.linalg.norm(table, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(length[:, 0]) & (length[:, 0] > 0)))
    if len(bad):
        raise ArgumentError(
            f"{len(bad)} rows are zero or not finite, the first is row {bad[0]}",
            field=name,
            expected="finite rows that are not all zero",
            fix="look for a loss that left the numbers, or an encoder that died",
        )
    return table / length
