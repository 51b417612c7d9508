"""Judge frozen features: one regularised logistic regression a label, chosen on validation, scored on test."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, LabelError, SplitError
from ecgscan_lab.evaluate.intervals import FloatArray, MacroAuroc, bootstrap_ci, macro_auroc
from ecgscan_lab.evaluate.logistic import LogisticFit, fit_logistic_path
from ecgscan_lab.types import SPLITS

C_GRID = (0.0003, 0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class ProbeResult:
    """What a linear probe found on the test split. Every AUROC is percent.

    Attributes:
        macro_auroc: mean AUROC of the defined labels, 0 to 100.
        ci95: patient-level 95 % bootstrap interval of `macro_auroc`.
        n_defined: labels that were averaged: both values occur among the labelled training records and in test.
        n_classes: labels asked for.
        per_class: label -> AUROC, or None where undefined.
        c: inverse regularisation strength with the best validation macro AUROC.
        n_train: training records whose labels were used (see `label_fraction`).
        n_val: validation records.
        n_test: test records.
        label_fraction: share of the training records whose labels were used.
        converged: whether every fit at the chosen `c` reached its tolerance.
        train_s: seconds spent on fitting; not part of equality.
        targets: 0 or 1, `[test record, class]`; not part of equality.
        scores: log-odds `[test record, class]`, NaN columns where no model could be fitted; not part of equality.
        test_index: positions of the test records in the input; not part of equality.
    """

    macro_auroc: float
    ci95: tuple[float, float]
    n_defined: int
    n_classes: int
    per_class: Mapping[str, float | None]
    c: float
    n_train: int
    n_val: int
    n_test: int
    label_fraction: float = 1.0
    converged: bool = True
    train_s: float = field(default=0.0, compare=False)
    targets: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), bool), compare=False, repr=False)
    scores: FloatArray = field(default_factory=lambda: np.empty((0, 0)), compare=False, repr=False)
    test_index: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp), compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain JSON values, AUROC in percent."""
        return {
            "macro_auroc": self.macro_auroc,
            "ci95": list(self.ci95),
            "n_defined": self.n_defined,
            "n_classes": self.n_classes,
            "per_class": dict(self.per_class),
            "c": self.c,
            "n_train": self.n_train,
            "n_val": self.n_val,
            "n_test": self.n_test,
            "label_fraction": self.label_fraction,
            "converged": self.converged,
        }


def linear_probe(
    features: ArrayLike,
    labels: ArrayLike,
    split: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    class_names: Sequence[str] | None = None,
    c_grid: Sequence[float] = C_GRID,
    label_fraction: float = 1.0,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> ProbeResult:
    """Fit a linear classifier on frozen features and report its macro AUROC on the test split, in percent.

    **Equation.** For each label, `min_w |w|^2 / 2 + C * sum_i log(1 + exp(-y_i (w x_i + b)))` with y = +-1 and x
    standardised by the mean and standard deviation of the labelled training records; the sum runs over those records.
    One C for all labels: that with the best macro AUROC on validation, the smallest such C if several tie.

    **Source.** Linear probing as in ECG-Scan (arXiv 2604.01526, section 5) and MERL (arXiv 2403.06659). *Differences*:
    the paper trains a linear layer with AdamW for 100 epochs, and MERL's code reports the largest *test* AUC over
    epochs, which is biased upwards. Here the convex problem is solved to its optimum, and only validation chooses.

    Args:
        features: frozen features, finite, any scale, `[record, dim]`.
        labels: 0 or 1, `[record, class]`.
        split: "train", "val" or "test" for each record.
        groups: patient of each record, for the leak check and the intervals; None makes every record its own patient.
        class_names: names of the label columns; None names them "class 0", "class 1", ...
        c_grid: inverse regularisation strengths to choose from.
        label_fraction: share of the training records whose labels are used, above 0 and at most 1. They are the first
            of one permutation drawn from `seed`, unstratified, so that the 1 % set lies within the 10 % set.
        n_bootstrap: patient resamples of the test split for `ci95`.
        seed: seed of the label subset and of the resamples.

    Returns:
        Macro AUROC with its interval, every label's AUROC, the chosen C, and the test scores behind them.

    Raises:
        ArgumentError: shapes differ, features are not finite (the rows are named), or a setting is out of range.
        SplitError: a split is empty or unknown, or a patient is in two of them.
        LabelError: no label has both values in the labelled training records and in validation or test.

    Properties: test records influence neither the scaling, nor the fit, nor C; the scores of a record do not depend on
    the other test records; scaling or shifting a feature changes nothing; the same input gives the same result.

    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(2, size=(90, 1))
    >>> features = labels + rng.normal(scale=0.1, size=(90, 3))
    >>> result = linear_probe(features, labels, ["train"] * 50 + ["val"] * 20 + ["test"] * 20)
    >>> result.macro_auroc, result.ci95, result.n_test
    (100.0, (100.0, 100.0), 20)
    """
    x, y, rows, patients, names = _checked(features, labels, split, groups, class_names)
    if not 0.0 < label_fraction <= 1.0:
        raise ArgumentError(f"label_fraction {label_fraction}", field="label_fraction", expected="above 0, at most 1")
    if not len(c_grid) or not all(math.isfinite(c) and c > 0 for c in c_grid):
        raise ArgumentError(f"c_grid {tuple(c_grid)}", field="c_grid", expected="positive finite numbers, at least one")
    train = _labelled_subset(rows["train"], label_fraction, seed)
    started = time.perf_counter()
    mean, scale = x[train].mean(axis=0), x[train].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    standardised = {name: (x[index] - mean) / scale for name, index in {**rows, "train": train}.items()}
    best = _choose_c(standardised, y[train], y[rows["val"]], sorted(float(c) for c in c_grid))
    train_s = time.perf_counter() - started

    targets, scores = y[rows["test"]], _scores(best, standardised["test"])
    test = _macro_auroc_of("test", targets, scores)
    return ProbeResult(
        macro_auroc=test.macro,
        ci95=bootstrap_ci(targets, scores, patients[rows["test"]], n_bootstrap=n_bootstrap, seed=seed),
        n_defined=test.n_defined,
        n_classes=y.shape[1],
        per_class=named_aurocs(names, test.per_class),
        c=best.c,
        n_train=len(train),
        n_val=len(rows["val"]),
        n_test=len(rows["test"]),
        label_fraction=float(label_fraction),
        converged=best.converged,
        train_s=train_s,
        targets=targets,
        scores=scores,
        test_index=rows["test"],
    )


def named_aurocs(names: Sequence[str], per_class: FloatArray) -> dict[str, float | None]:
    """Label -> AUROC in percent, None in place of NaN (JSON has no NaN).

    >>> named_aurocs(("MI", "HYP"), np.array([90.0, np.nan]))
    {'MI': 90.0, 'HYP': None}
    """
    return {name: None if math.isnan(value) else float(value) for name, value in zip(names, per_class, strict=True)}


def checked_class_names(class_names: Sequence[str] | None, n_classes: int) -> tuple[str, ...]:
    """The given names, or "class 0", "class 1", ... for None.

    Raises:
        ArgumentError: their number differs from `n_classes`, or one occurs twice.

    >>> checked_class_names(None, 2)
    ('class 0', 'class 1')
    """
    names = tuple(f"class {k}" for k in range(n_classes)) if class_names is None else tuple(class_names)
    if len(names) != n_classes or len(set(names)) != n_classes:
        raise ArgumentError(
            f"{len(names)} class names, {len(set(names))} of them different",
            field="class_names",
            expected=f"{n_classes} different names, one a label column",
        )
    return names


def _scores(fit: LogisticFit, x: FloatArray) -> FloatArray:
    # Row by row: a matrix product may round differently with the number of rows, and a record's score would then
    # depend, in its last digits, on its neighbours.
    return np.einsum("nd,dc->nc", x, fit.weights) + fit.bias


def _choose_c(
    x: Mapping[str, FloatArray], y_train: NDArray[np.bool_], y_val: NDArray[np.bool_], grid: list[float]
) -> LogisticFit:
    """The fit with the best validation macro AUROC; the grid ascends and the first of equals wins: the smallest C."""
    if not (y_train.any(axis=0) & ~y_train.all(axis=0)).any():
        raise LabelError(
            "no label has both a positive and a negative training record",
            field="labels",
            expected="at least one label with both values among the labelled training records",
            fix="use a larger label_fraction, or more records",
        )
    fits = fit_logistic_path(x["train"], y_train, grid)
    aurocs = [_macro_auroc_of("validation", y_val, _scores(fit, x["val"])).macro for fit in fits]
    return fits[int(np.argmax(aurocs))]


def _macro_auroc_of(split: str, targets: NDArray[np.bool_], scores: FloatArray) -> MacroAuroc:
    try:
        return macro_auroc(targets, scores)
    except LabelError as error:
        raise LabelError(
            f"{split} split: {error.what}", field="labels", expected=error.expected, fix=error.fix
        ) from error


def _labelled_subset(train: NDArray[np.intp], fraction: float, seed: int) -> NDArray[np.intp]:
    order = np.random.default_rng(seed).permutation(train)
    return np.sort(order[: max(1, math.ceil(fraction * len(train) - 1e-9))])


def _checked(
    features: ArrayLike,
    labels: ArrayLike,
    split: ArrayLike,
    groups: ArrayLike | None,
    class_names: Sequence[str] | None,
) -> tuple[FloatArray, NDArray[np.bool_], dict[str, NDArray[np.intp]], NDArray[Any], tuple[str, ...]]:
    x, y, parts = np.asarray(features, dtype=np.float64), np.asarray(labels), np.asarray(split)
    n = len(x) if x.ndim else 0
    patients = np.arange(n) if groups is None else np.asarray(groups)
    for name, array, ndim in (("features", x, 2), ("labels", y, 2), ("split", parts, 1), ("groups", patients, 1)):
        if array.ndim != ndim or len(array) != n or 0 in array.shape:
            raise ArgumentError(
                f"{name} of shape {array.shape} for {n} records",
                field=name,
                expected="features [record, dim], labels [record, class], split and groups [record]",
            )
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        shown = ", ".join(map(str, bad[:8])) + (", ..." if len(bad) > 8 else "")
        raise ArgumentError(
            f"features are not finite in {len(bad)} of {n} rows: {shown}",
            field="features",
            expected="finite numbers",
            fix="find out which records these are; drop them from features, labels, split and groups alike",
        )
    if not np.isin(y, (0, 1)).all():
        raise ArgumentError("a label is neither 0 nor 1", field="labels", expected="multi-hot labels, 0 or 1")
    return x, y.astype(bool), _rows_of(parts, patients), patients, checked_class_names(class_names, y.shape[1])


def _rows_of(parts: NDArray[Any], patients: NDArray[Any]) -> dict[str, NDArray[np.intp]]:
    """Rows of each split, after checking that none is empty, unknown, or shares a patient with another."""
    unknown = sorted({str(name) for name in parts} - set(SPLITS))
    if unknown:
        raise SplitError(f"unknown split {unknown[0]!r}", field="split", expected=f"one of {', '.join(SPLITS)}")
    rows = {name: np.flatnonzero(parts == name) for name in SPLITS}
    empty = [name for name in SPLITS if not len(rows[name])]
    if empty:
        raise SplitError(
            f"the {' and '.join(empty)} split has no records",
            field="split",
            expected="records in each of train, val and test",
            fix="assign splits by patient before probing",
        )
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = np.intersect1d(patients[rows[a]], patients[rows[b]])
        if len(shared):
            raise SplitError(
                f"{len(shared)} patients are in both {a} and {b}, the first of them {shared[0]}",
                field="groups",
                expected="every patient in one split only",
                fix="split by patient, not by record",
            )
    return rows
