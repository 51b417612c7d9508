"""Is one recipe better than another, or luckier: paired differences over seeds, and over the patients judged on."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.intervals import (
    FloatArray,
    paired_resamples,
    percentile_interval,
    resampled_weights,
)

_Average = Literal["mean", "median"]


class PairedInterval(NamedTuple):
    """Mean difference with its interval, NaN limits where there is nothing to estimate them from."""

    difference: float
    low: float
    high: float

    @property
    def covers_zero(self) -> bool:
        """Whether no difference at all is compatible with what was seen; unknown limits count as compatible."""
        return not (self.low > 0 or self.high < 0)


def seed_interval(differences: ArrayLike, draws: ArrayLike | None = None, *, level: float = 0.95) -> PairedInterval:
    """Interval of a mean paired difference that counts both sources of luck: training seeds and test patients.

    **Equation**: d̄ ± t_ν s, s² = s²_seed / n + s²_patient. s²_seed is the variance of the n per-seed differences,
    s²_patient that of the mean difference over resamples of the test patients, and ν the Welch-Satterthwaite degrees of
    freedom, s⁴ / ((s²_seed / n)² / (n − 1) + (s²_patient)² / (R − 1)).

    **Source**: Student's paired t; Satterthwaite (1946). *Differences*: one of the two variances comes from resampling.
    With three seeds and no patients ν is 2 and the interval is wide (t = 4.3): three seeds do not know much, and saying
    so is the point.

    Args:
        differences: A minus B, one number a seed `[seed]`, at least one; both trained from the same start on the same
            batches, so that what a seed does to both cancels.
        draws: the same difference for resamples of the test patients, averaged over seeds `[resample]`; None where the
            test set is drawn anew with each seed, or where the quantity is no property of patients.
        level: share of such intervals that hold the true difference, between 0 and 1.

    Returns:
        Mean and limits. One seed alone has no spread: without `draws` its limits are NaN.

    Raises:
        ArgumentError: no differences, or `level` is not between 0 and 1.

    **Properties**: swapping A and B flips the sign; wider with `draws` than without, at equal degrees of freedom; equal
    differences and no draws give a point.

    Example:
        >>> interval = seed_interval([1.0, 2.0, 3.0])
        >>> [round(number, 2) for number in interval], interval.covers_zero
        ([2.0, -0.48, 4.48], True)
    """
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or not len(d):
        raise ArgumentError(f"differences of shape {d.shape}", field="differences", expected="one number a seed")
    if not 0.0 < level < 1.0:
        raise ArgumentError(f"level {level}", field="level", expected="a share between 0 and 1, such as 0.95")
    mean = float(d.mean())
    resampled = np.asarray([] if draws is None else draws, dtype=np.float64)
    resampled = resampled[np.isfinite(resampled)]
    terms = []  # (variance of the mean, degrees of freedom)
    if len(d) > 1:
        terms.append((float(d.var(ddof=1)) / len(d), len(d) - 1))
    if len(resampled) > 1:
        terms.append((float(resampled.var(ddof=1)), len(resampled) - 1))
    if not terms or not math.isfinite(mean):
        return PairedInterval(mean, math.nan, math.nan)
    variance = sum(term for term, _ in terms)
    if variance == 0.0:
        return PairedInterval(mean, mean, mean)
    freedom = variance**2 / sum(term**2 / nu for term, nu in terms)
    reach = float(stdtrit(freedom, 0.5 + level / 2)) * math.sqrt(variance)
    return PairedInterval(mean, mean - reach, mean + reach)


def probe_difference(
    targets: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> PairedInterval:
    """Macro AUROC of encoder A minus B, both probed on the same draws of labels and judged on the same records.

    Two intervals that overlap do not say that two encoders are equally good: what makes a patient hard for one mostly
    makes it hard for the other. Here that cancels.

    Args:
        targets: 0 or 1, `[record, class]`.
        scores_a: scores of A's probes `[draw, record, class]`, of one probe `[record, class]`; a label that is NaN
            throughout is left out of both.
        scores_b: of B's, draw for draw from the same labelled records.
        groups: patient of each record `[record]`; None makes every record a patient of its own.
        n_bootstrap: resamples of the patients, the same for A and B.
        seed: of the resamples.

    Returns:
        Mean over draws in percentage points, with its 95 % interval: `seed_interval` over draws and patients, for one
        draw the percentiles of its resamples.

    Raises:
        ArgumentError: shapes differ or values are invalid.
        SplitError: there is only one patient.
        LabelError: no label is defined for both.

    Properties: swapping A and B flips the sign; an encoder against itself gives exactly 0.

    Example:
        >>> from ecgscan_lab.evaluate import linear_probe
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(2, size=(400, 1))
        >>> patients, split = np.arange(400), np.repeat(["train", "val", "test"], [200, 100, 100])
        >>> noise = rng.normal(size=(400, 1))
        >>> a, b = (linear_probe(labels + s * noise, labels, split, patients, n_bootstrap=9) for s in (0.3, 2.0))
        >>> lead = probe_difference(a.targets, a.scores, b.scores, patients[a.test_index], n_bootstrap=99)
        >>> lead.difference > 10, lead.covers_zero
        (True, False)
    """
    a, b = (np.asarray(scores, dtype=np.float64) for scores in (scores_a, scores_b))
    a, b = (scores[None] if scores.ndim == 2 else scores for scores in (a, b))
    if a.ndim != 3 or a.shape != b.shape or not len(a):
        raise ArgumentError(
            f"scores of shapes {np.shape(scores_a)} and {np.shape(scores_b)}", field="scores_b",
            expected="[draw, record, class], both, or [record, class], both",
        )  # fmt: skip
    pairs = [
        paired_resamples(targets, *scores, groups, n_bootstrap=n_bootstrap, seed=seed)
        for scores in zip(a, b, strict=True)
    ]
    differences, resampled = zip(*pairs, strict=True)
    if len(pairs) == 1:
        return PairedInterval(differences[0], *percentile_interval(resampled[0]))
    return seed_interval(differences, np.mean(resampled, axis=0))


def bootstrap_average(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    kind: _Average = "mean",
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> FloatArray:
    """Mean or median of a figure known for each record, for `n_bootstrap` resamples of the patients `[n_bootstrap]`.

    The same `seed` and `groups` draw the patients that `intervals.bootstrap_macro_auroc` draws.

    Args:
        values: one finite number a record `[record]`, for instance 100 for a hit and 0 for a miss.
        groups: patient of each record `[record]`; None makes every record a patient of its own.
        kind: which average; the median is the lower one of two.
        n_bootstrap: number of resamples.
        seed: seed of the draws.

    Raises:
        ArgumentError: shapes differ, a value is not finite, `kind` is unknown, or `n_bootstrap` is below 1.
        SplitError: there is only one patient.

    Example:
        >>> bootstrap_average([5.0, 5.0, 5.0], n_bootstrap=2)
        array([5., 5.])
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ArgumentError(f"values of shape {x.shape}", field="values", expected="one finite number a record")
    if kind not in get_args(_Average):
        raise ArgumentError(f"unknown kind {kind!r}", field="kind", expected="mean or median")
    weights = resampled_weights(groups, len(x), n_bootstrap, seed)
    if kind == "mean":
        return (x @ weights) / weights.sum(axis=0)
    order = np.argsort(x, kind="stable")
    up_to = np.cumsum(weights[order], axis=0)
    middle: FloatArray = x[order][(2 * up_to >= up_to[-1]).argmax(axis=0)]
    return middle
