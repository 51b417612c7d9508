"""What a probe is given: features, labels, splits and patients, checked once for every protocol."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, LabelError, SplitError
from ecgscan_lab.evaluate.intervals import FloatArray, MacroAuroc, macro_auroc
from ecgscan_lab.types import SPLITS


class ProbeInputs(NamedTuple):
    """Features `[record, dim]`, labels `[record, class]`, rows of each split, patients `[record]`, class names."""

    x: NDArray[np.floating]
    y: NDArray[np.bool_]
    rows: dict[str, NDArray[np.intp]]
    patients: NDArray[Any]
    names: tuple[str, ...]


def check_probe_inputs(
    features: ArrayLike,
    labels: ArrayLike,
    split: ArrayLike,
    groups: ArrayLike | None,
    class_names: Sequence[str] | None,
    *,
    dtype: type[np.floating] = np.float64,
) -> ProbeInputs:
    """Arrays that fit together, or an error that names the one that does not.

    Args:
        features, labels, split, groups, class_names: as for `linear_probe`.
        dtype: of the features.

    Raises:
        ArgumentError: shapes differ, features are not finite (the rows are named), or a label is neither 0 nor 1.
        SplitError: a split is empty or unknown, or a patient is in two of them.
    """
    x, y, parts = np.asarray(features, dtype=dtype), np.asarray(labels), np.asarray(split)
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
    names = checked_class_names(class_names, y.shape[1])
    return ProbeInputs(x, y.astype(bool), _rows_of(parts, patients), patients, names)


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


def macro_auroc_of(split: str, targets: NDArray[np.bool_], scores: FloatArray) -> MacroAuroc:
    """`macro_auroc`, whose error also says which split it was.

    Raises:
        LabelError: no label is defined there.
    """
    try:
        return macro_auroc(targets, scores)
    except LabelError as error:
        raise LabelError(
            f"{split} split: {error.what}", field="labels", expected=error.expected, fix=error.fix
        ) from error


def check_some_label_varies(y_train: NDArray[np.bool_]) -> None:
    """Refuse labelled training records from which nothing can be learned.

    Raises:
        LabelError: no label has both values among them.
    """
    if not (y_train.any(axis=0) & ~y_train.all(axis=0)).any():
        raise LabelError(
            "no label has both a positive and a negative training record",
            field="labels",
            expected="at least one label with both values among the labelled training records",
            fix="use a larger label_fraction (probe: --fractions without the smallest), or more records",
        )


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
            fix="assign splits by patient, and give features of records of each",
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
