"""Macro AUROC over the labels where it is defined, with intervals that resample patients. All figures are percent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, LabelError, SplitError

FloatArray = NDArray[np.float64]

_RESAMPLES_AT_ONCE = 250  # keeps [record, resample] blocks within the processor's cache


@dataclass(frozen=True, eq=False)
class MacroAuroc:
    """Area under the ROC curve, averaged over the labels where it is defined, in percent.

    Attributes:
        macro: mean of the defined entries of `per_class`, 0 to 100.
        per_class: float `[class]`, 0 to 100, NaN where undefined.
        n_defined: number of labels that `macro` averages over.
    """

    macro: float
    per_class: FloatArray = field(repr=False)
    n_defined: int


class PairedDifference(NamedTuple):
    """Macro AUROC of A minus that of B on the same records, in percentage points, with its interval."""

    difference: float
    low: float
    high: float


def macro_auroc(targets: ArrayLike, scores: ArrayLike) -> MacroAuroc:
    """Mean over labels of the chance that a positive record outscores a negative one, in percent.

    **Equation.** `AUROC_c = 100 * [P(s+ > s-) + P(s+ = s-) / 2]`, macro = mean over the labels c that have both a
    positive and a negative record.

    **Source.** Rank form of the area under the curve (Hanley and McNeil, 1982). *Differences*: some libraries give a
    label without positives 0 (which drags the mean down), others make the whole mean NaN; here it is left out, and
    `n_defined` says how many labels remain. A column of scores that is NaN throughout means that there was no model for
    that label, and is left out likewise.

    Args:
        targets: 0 or 1, `[record, class]`.
        scores: real numbers of any scale, `[record, class]`; larger means more likely.

    Returns:
        The macro mean, every label's own AUROC, and the number of labels that are defined.

    Raises:
        ArgumentError: shapes differ, a target is neither 0 nor 1, or some scores of a label are NaN.
        LabelError: no label is defined; use more records or commoner labels.

    Properties: unchanged by a strictly increasing transform of a score column; 50 for constant scores; flipping the
    sign of the scores gives 100 minus the AUROC.

    >>> result = macro_auroc([[1, 0], [0, 0], [1, 0]], [[0.9, 0.1], [0.2, 0.3], [0.8, 0.2]])
    >>> result.macro, result.n_defined, [float(a) for a in result.per_class]
    (100.0, 1, [100.0, nan])
    """
    truth, values = _checked(targets, scores)
    per_class = np.array([_weighted_auroc(truth[:, c], values[:, c])[0] for c in range(truth.shape[1])])
    n_defined = int(np.isfinite(per_class).sum())
    if n_defined == 0:
        raise LabelError(
            "no label has both a positive and a negative record, so AUROC is undefined",
            field="targets",
            expected="at least one label with both values among the records",
            fix="evaluate on more records, or on labels that occur there",
        )
    return MacroAuroc(float(np.nanmean(per_class)), per_class, n_defined)


def bootstrap_macro_auroc(
    targets: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None, *, n_bootstrap: int = 1000, seed: int = 0
) -> FloatArray:
    """Macro AUROC of `n_bootstrap` resamples of the patients, in percent `[n_bootstrap]`.

    Patients are drawn with replacement, and all records of a drawn patient come along: records of one person are alike,
    and resampling them one by one would give intervals that are too narrow. A label that has lost its last positive in
    a resample is left out of that resample's mean; a resample without any defined label is NaN. The same `seed` and
    `groups` draw the same patients whatever the scores, so that two models can be compared draw by draw.

    Args:
        targets: 0 or 1, `[record, class]`.
        scores: `[record, class]`.
        groups: patient of each record `[record]`; None makes every record a patient of its own.
        n_bootstrap: number of resamples.
        seed: seed of the draws.

    Raises:
        ArgumentError: shapes differ, values are invalid, or `n_bootstrap` is below 1.
        SplitError: there is only one patient, so nothing can be resampled.

    >>> draws = bootstrap_macro_auroc([[1], [0], [1], [0]], [[3.0], [1.0], [2.0], [2.5]], n_bootstrap=5, seed=1)
    >>> draws.shape
    (5,)
    """
    truth, values = _checked(targets, scores)
    if n_bootstrap < 1:
        raise ArgumentError("no resamples", field="n_bootstrap", expected="an integer of at least 1")
    patient = _patient_codes(groups, len(truth))
    rng = np.random.default_rng(seed)
    defined = [c for c in range(truth.shape[1]) if not np.isnan(values[:, c]).any()]
    blocks = []
    for first in range(0, n_bootstrap, _RESAMPLES_AT_ONCE):
        weights = _patient_weights(patient, min(_RESAMPLES_AT_ONCE, n_bootstrap - first), rng)
        aurocs = np.array([_weighted_auroc(truth[:, c], values[:, c], weights) for c in defined])
        blocks.append(_mean_of_defined(aurocs.reshape(len(defined), weights.shape[1])))
    return np.concatenate(blocks)


def bootstrap_ci(
    targets: ArrayLike,
    scores: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the macro AUROC over resampled patients, in percent: `(low, high)`.

    Args:
        targets: 0 or 1, `[record, class]`.
        scores: `[record, class]`.
        groups: patient of each record `[record]`; None makes every record a patient of its own.
        n_bootstrap: number of resamples.
        level: share of the resamples inside the interval, between 0 and 1.
        seed: seed of the draws.

    Raises:
        ArgumentError: shapes differ, values are invalid, or `level` is not between 0 and 1.
        SplitError: there is only one patient.
        LabelError: no label is defined in any resample.

    >>> low, high = bootstrap_ci([[1], [0]] * 20, [[1.0], [0.0]] * 20)
    >>> low, high
    (100.0, 100.0)
    """
    draws = bootstrap_macro_auroc(targets, scores, groups, n_bootstrap=n_bootstrap, seed=seed)
    return percentile_interval(draws, level)


def paired_difference_ci(
    targets: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """Macro AUROC of A minus B on the same records, with a patient-level interval, in percentage points.

    Both models are judged on the same resampled patients, so that what makes a resample easy for both cancels: the
    interval is usually far narrower than the two separate ones suggest. An interval that excludes 0 is evidence of a
    difference on *this* test set with *these* weights; it says nothing about another training seed.

    Args:
        targets: 0 or 1, `[record, class]`.
        scores_a: scores of model A, `[record, class]`.
        scores_b: scores of model B for the same records, `[record, class]`. A label that is NaN throughout in either
            is left out of both.
        groups: patient of each record `[record]`; None makes every record a patient of its own.
        n_bootstrap: number of resamples.
        level: share of the resamples inside the interval.
        seed: seed of the draws.

    Raises:
        ArgumentError: shapes differ or values are invalid.
        SplitError: there is only one patient.
        LabelError: no label is defined for both.

    Properties: swapping A and B flips the sign; a model against itself gives exactly 0.

    >>> truth, scores = [[1], [0]] * 20, [[1.0], [0.0]] * 20
    >>> tuple(paired_difference_ci(truth, scores, scores))
    (0.0, 0.0, 0.0)
    """
    difference, resampled = paired_resamples(targets, scores_a, scores_b, groups, n_bootstrap=n_bootstrap, seed=seed)
    return PairedDifference(difference, *percentile_interval(resampled, level))


def paired_resamples(
    targets: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[float, FloatArray]:
    """The difference of `paired_difference_ci`, and the same for every resample of the patients `[n_bootstrap]`.

    Args, raises: as there.
    """
    truth, a = _checked(targets, scores_a)
    _, b = _checked(targets, scores_b)
    missing = np.isnan(a).any(axis=0) | np.isnan(b).any(axis=0)
    a, b = np.where(missing, np.nan, a), np.where(missing, np.nan, b)
    difference = macro_auroc(truth, a).macro - macro_auroc(truth, b).macro
    draws_a = bootstrap_macro_auroc(truth, a, groups, n_bootstrap=n_bootstrap, seed=seed)
    draws_b = bootstrap_macro_auroc(truth, b, groups, n_bootstrap=n_bootstrap, seed=seed)
    return difference, draws_a - draws_b


def _weighted_auroc(
    truth: NDArray[np.bool_], score: FloatArray, weights: NDArray[np.int32] | None = None
) -> FloatArray:
    """AUROC in percent for each column of record weights `[record, resample]`; NaN where undefined.

    Sort once, then `U = sum over tied runs of P_run * (N_up_to_run - N_run / 2)`, with P and N the positive and
    negative weight; AUROC = U / (P * N). Integer sums are exact, so the order of the records does not matter.
    """
    n_resamples = 1 if weights is None else weights.shape[1]
    if not truth.any() or truth.all() or np.isnan(score).any():
        return np.full(n_resamples, np.nan)
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    runs = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    by_rank = np.ones((len(score), 1), dtype=np.int32) if weights is None else weights[order]
    is_positive = truth[order][:, None]
    positive = by_rank * is_positive
    negative = by_rank - positive
    if len(runs) < len(score):
        positive, negative = np.add.reduceat(positive, runs, axis=0), np.add.reduceat(negative, runs, axis=0)
    up_to = np.cumsum(negative, axis=0)
    n_positive, n_negative = positive.sum(axis=0), up_to[-1].astype(np.float64)
    doubled_u = np.einsum("ij,ij->j", positive, 2 * up_to - negative, dtype=np.int64)
    pairs = n_positive * n_negative
    with np.errstate(invalid="ignore"):
        return 100.0 * doubled_u / np.where(pairs > 0, 2.0 * pairs, np.nan)


def resampled_weights(groups: ArrayLike | None, n: int, n_bootstrap: int, seed: int) -> NDArray[np.int32]:
    """How often each of n records occurs in each resample of the patients `[record, n_bootstrap]`.

    The draws are those of `bootstrap_macro_auroc` with the same `seed` and `groups`.

    Raises:
        ArgumentError: `groups` does not fit, or `n_bootstrap` is below 1.
        SplitError: there is only one patient.
    """
    if n_bootstrap < 1:
        raise ArgumentError("no resamples", field="n_bootstrap", expected="an integer of at least 1")
    return _patient_weights(_patient_codes(groups, n), n_bootstrap, np.random.default_rng(seed))


def _patient_weights(patient: NDArray[np.intp], n_resamples: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """How often each record occurs in each resample of the patients, `[record, resample]`."""
    n_patients = int(patient.max()) + 1
    drawn = rng.integers(n_patients, size=(n_resamples, n_patients))
    flat = drawn + n_patients * np.arange(n_resamples)[:, None]
    counts = np.bincount(flat.ravel(), minlength=n_resamples * n_patients).reshape(n_resamples, n_patients)
    return np.ascontiguousarray(counts.T.astype(np.int32))[patient]


def _patient_codes(groups: ArrayLike | None, n: int) -> NDArray[np.intp]:
    if groups is None:
        codes = np.arange(n)
    else:
        names = np.asarray(groups)
        if names.shape != (n,):
            raise ArgumentError(
                f"groups of shape {names.shape}", field="groups", expected=f"one patient a record, ({n},)"
            )
        codes = np.unique(names, return_inverse=True)[1]
    if n == 0 or codes.max() == 0:
        raise SplitError(
            "a single patient cannot be resampled",
            field="groups",
            expected="at least two patients among the evaluated records",
            fix="evaluate on more patients, or pass groups=None if the records are independent",
        )
    return codes


def _mean_of_defined(aurocs: FloatArray) -> FloatArray:
    """Column means over the finite entries; NaN where there is none."""
    count = np.isfinite(aurocs).sum(axis=0)
    return np.nansum(aurocs, axis=0) / np.where(count > 0, count, np.nan)


def percentile_interval(draws: FloatArray, level: float = 0.95) -> tuple[float, float]:
    """Limits between which that share of the defined resamples lies.

    Raises:
        ArgumentError: `level` is not between 0 and 1.
        LabelError: no resample is defined.
    """
    if not 0.0 < level < 1.0:
        raise ArgumentError(f"level {level}", field="level", expected="a share between 0 and 1, such as 0.95")
    defined = draws[np.isfinite(draws)]
    if not len(defined):
        raise LabelError("no label is defined in any resample", field="targets", fix="evaluate on more records")
    low, high = np.quantile(defined, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def _checked(targets: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], FloatArray]:
    truth, values = np.asarray(targets), np.asarray(scores, dtype=np.float64)
    if truth.ndim != 2 or truth.shape != values.shape or 0 in truth.shape:
        raise ArgumentError(
            f"targets of shape {truth.shape} and scores of shape {values.shape}",
            field="scores",
            expected="both [record, class], with at least one of each",
        )
    if not np.isin(truth, (0, 1)).all():
        raise ArgumentError("a target is neither 0 nor 1", field="targets", expected="multi-hot labels, 0 or 1")
    missing = np.isnan(values)
    partly = missing.any(axis=0) & ~missing.all(axis=0)
    if partly.any():
        rows = np.flatnonzero(missing[:, partly].any(axis=1))
        raise ArgumentError(
            f"scores are NaN in {len(rows)} rows, the first of them {rows[:5].tolist()}",
            field="scores",
            expected="finite scores, or a column that is NaN throughout where a label has no model",
            fix="find the records whose features are not finite, and leave them out of every model compared",
        )
    return truth.astype(bool), values
