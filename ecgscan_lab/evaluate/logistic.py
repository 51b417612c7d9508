"""L2-regularised logistic regression for many labels at once: the solver behind the linear probe.

Features of a trained encoder are strongly correlated, and a general solver then needs hundreds of passes a label.
All labels share one design matrix, so its eigenvectors are found once, every label is scaled by its own curvature in
that basis, and L-BFGS needs a few dozen passes for all of them together. The optimum is scikit-learn's. Passes read
the features in float32, which halves their time and moves no score by more than the tolerance; sums stay in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

FloatArray = NDArray[np.float64]

ONE_THREAD_VALUES = 10_000_000
"""Up to this many values of features one BLAS thread fits in half the time of two (9,745 x 960: an eighth less)."""


def blas_threads(limit: int | None) -> AbstractContextManager[object]:
    """Let BLAS use so many threads for a while, in the whole process; None changes nothing.

    Example:
        >>> with blas_threads(1):
        ...     float(np.ones(2) @ np.ones(2))
        2.0
    """
    return _loaded_libraries().limit(limits=limit, user_api="blas")


@cache
def _loaded_libraries() -> ThreadpoolController:
    """Looked for once: NumPy's and SciPy's are loaded with this module, and the search takes as long as a small fit."""
    return ThreadpoolController()


class LogisticFit(NamedTuple):
    """Weights `[dim, label]` and biases `[label]` at one C, NaN where the training labels are all alike."""

    c: float
    weights: FloatArray
    bias: FloatArray
    converged: bool


def fit_logistic_path(x: FloatArray, y: NDArray[np.bool_], c_grid: Sequence[float]) -> list[LogisticFit]:
    """Fit one binary logistic regression a label, at every C.

    **Equation.** For each label, `min_w,b  C sum_i log(1 + exp(-y_i (w x_i + b))) + |w|^2 / 2` with y = +-1; the bias
    is not penalised.

    **Source.** The objective of scikit-learn's `LogisticRegression`. *Difference*: solved for all labels jointly by
    L-BFGS in the coordinates v = (q S + 1/C)^(1/2) U'w, where X'X = U S U' and q = p (1 - p) for the share p of
    positives, which makes the Hessian close to the identity.

    Args:
        x: `[record, dim]`, columns with mean near zero.
        y: `[record, label]`.
        c_grid: inverse regularisation strengths; each fit starts from the one before.

    Returns:
        One fit a C, in the order of `c_grid`.

    Properties: the optimum is that of scikit-learn; labels do not influence each other's optimum.
    """
    varied = y.any(axis=0) & ~y.all(axis=0)
    sign = np.where(y[:, varied], np.float32(1), np.float32(-1))
    share = y[:, varied].mean(axis=0)
    curvature = share * (1.0 - share)
    spectrum, basis = _eigenvectors(x)
    rotated = (x @ basis).astype(np.float32)
    rotated_weights, bias = np.zeros((len(spectrum), sign.shape[1])), np.log(share / (1.0 - share))
    tolerance = 1e-2 * min(1.0, len(x) / 1000)  # the loss is a sum over records
    fits = []
    for c in c_grid:
        scale = 1.0 / np.sqrt(spectrum[:, None] * curvature + 1.0 / c)
        bias_scale = 1.0 / np.sqrt(len(x) * curvature)

        def loss(flat: FloatArray, scale: FloatArray = scale, bias_scale: FloatArray = bias_scale, c: float = c):  # type: ignore[no-untyped-def]
            v = flat.reshape(len(scale) + 1, -1)
            w, b = scale * v[:-1], bias_scale * v[-1]
            margin = sign * (rotated @ w.astype(np.float32) + b.astype(np.float32))
            small = np.exp(-np.abs(margin))  # both log(1 + exp(-margin)) and its slope come from this one
            value = (np.log1p(small) - np.minimum(margin, 0)).sum(dtype=np.float64) + (w**2).sum() / (2 * c)
            slope = -sign * np.where(margin > 0, small, np.float32(1)) / (1 + small)
            pull = rotated.T @ slope
            gradient = np.vstack([scale * (pull + w / c), bias_scale * slope.sum(axis=0, dtype=np.float64)])
            return value, gradient.ravel()

        start = np.vstack([rotated_weights / scale, bias / bias_scale])
        with blas_threads(1 if rotated.size <= ONE_THREAD_VALUES else None):
            found = minimize(
                loss, start.ravel(), jac=True, method="L-BFGS-B",
                options={"maxiter": 500, "maxcor": 20, "gtol": tolerance, "ftol": 1e-8},
            )  # fmt: skip
        v = found.x.reshape(start.shape)
        rotated_weights, bias = scale * v[:-1], bias_scale * v[-1]
        weights, biases = np.full((x.shape[1], y.shape[1]), np.nan), np.full(y.shape[1], np.nan)
        weights[:, varied], biases[varied] = basis @ rotated_weights, bias
        fits.append(LogisticFit(float(c), weights, biases, bool(found.success)))
    return fits


def _eigenvectors(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues, none negative, and eigenvectors `[dim, k]` of X'X.

    With fewer records than features only those that the records span: every optimum lies there.
    """
    n, dim = x.shape
    if n >= dim:
        spectrum, basis = np.linalg.eigh(x.T @ x)
        return np.maximum(spectrum, 0.0), basis
    spectrum, left = np.linalg.eigh(x @ x.T)
    kept = spectrum > 1e-10 * max(spectrum[-1], np.finfo(float).tiny)
    if not kept.any():  # constant features
        return np.zeros(1), np.eye(dim, 1)
    return spectrum[kept], x.T @ (left[:, kept] / np.sqrt(spectrum[kept]))
