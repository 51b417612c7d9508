"""The labels that a probe is given: a CSV of record, split, patient and classes, joined to features by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ecgscan_lab.data.tables import Row, read_table, split_labels
from ecgscan_lab.errors import LabelError, TableError, counted
from ecgscan_lab.evaluate.feature_table import first_repeated
from ecgscan_lab.types import SPLITS

_FIXED = ("record", "split", "patient_id", "labels")
_VALUES = {"0": False, "1": True, "0.0": False, "1.0": True}
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class LabelTable:
    """Labels of records, in the order of the file.

    Attributes:
        records: one name a row, all different.
        split: "train", "val" or "test" for each.
        patients: patient of each record; the record itself where the table has no patients.
        has_patients: whether the table named them.
        class_names: the classes.
        labels: bool `[record, class]`.
    """

    records: tuple[str, ...] = field(repr=False)
    split: NDArray[np.str_] = field(repr=False)
    patients: NDArray[np.str_] = field(repr=False)
    has_patients: bool
    class_names: tuple[str, ...]
    labels: NDArray[np.bool_] = field(repr=False)

    def at(self, rows: NDArray[np.intp]) -> LabelTable:
        """The same table with these rows only, in this order."""
        records = tuple(self.records[row] for row in rows)
        return replace(
            self, records=records, split=self.split[rows], patients=self.patients[rows], labels=self.labels[rows]
        )


def read_label_table(path: str | PathLike[str], classes: Sequence[str] | None = None) -> LabelTable:
    r"""Read a CSV with columns `record`, `split`, perhaps `patient_id`, and the labels in one of two forms.

    Either one column a class that holds 0 or 1, or one column `labels` with class names between semicolons.

    Args:
        path: the file.
        classes: which classes, in this order; None takes every column that is not named above, or, in the second form,
            every label that occurs, sorted.

    Returns:
        The labels. Nothing is guessed: what does not fit is an error.

    Raises:
        TableError: a column is missing, a record occurs twice, a split is unknown, or a label is neither 0 nor 1.
        LabelError: a class is unknown, or there is none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels.csv"
    ...     _ = path.write_text("record,split,labels\na,train,MI;HYP\nb,val,\nc,test,MI\n")
    ...     table = read_label_table(path)
    >>> table.class_names, table.labels.astype(int).tolist()
    (('HYP', 'MI'), [[1, 1], [0, 0], [0, 1]])
    """
    path = Path(path)
    rows = read_table(path, ["record", "split"])
    records = tuple(row["record"].strip() for row in rows)
    if "" in records:
        raise TableError(f"row {records.index('') + 2} names no record", file=path, field="record")
    twice = first_repeated(records)
    if twice is not None:
        raise TableError(f"record {twice[:80]} is listed twice", file=path, field="record", expected="one line each")
    split = np.array([row["split"].strip() for row in rows])
    wrong = np.flatnonzero(~np.isin(split, SPLITS))
    if len(wrong):
        raise TableError(
            f"record {records[wrong[0]][:80]} is in split {str(split[wrong[0]])[:40]!r}",
            file=path,
            field="split",
            expected=f"one of {', '.join(SPLITS)}",
        )
    has_patients = "patient_id" in rows[0]
    patients = [row["patient_id"].strip() for row in rows] if has_patients else list(records)
    if "" in patients:
        raise TableError(
            f"record {records[patients.index('')][:80]} has no patient",
            file=path,
            field="patient_id",
            expected="a patient for every record, or no such column",
        )
    names, labels = _listed(path, rows, classes) if "labels" in rows[0] else _by_column(path, rows, classes)
    return LabelTable(records, split, np.array(patients), has_patients, names, labels)


def match_records(ids: Sequence[str], records: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of the records that have both features and labels, in the order of the labels.

    Args:
        ids: names in the feature table.
        records: names in the labels.

    Returns:
        Their rows in the feature table, and their rows in the labels.

    Raises:
        TableError: no record has both; the first names of the labels are listed.

    >>> [rows.tolist() for rows in match_records(("a", "b"), ("x", "b"))]
    [[1], [1]]
    """
    place = {name: row for row, name in enumerate(ids)}
    kept = np.array([row for row, name in enumerate(records) if name in place], dtype=np.intp)
    if not len(kept):
        raise TableError(
            f"none of {counted(len(records), 'labelled record')} has features: {first_names(records)}",
            field="record",
            expected=f"names as in the feature table, such as {ids[0][:60]!r}" if len(ids) else "features",
            fix="embed those records, or name them in the labels as in the feature table",
        )
    return np.array([place[records[row]] for row in kept], dtype=np.intp), kept


def first_names(names: Sequence[str]) -> str:
    """The first names of a list, in words.

    >>> first_names([f"r{i}" for i in range(9)])
    'r0, r1, r2, r3, r4, r5, r6, r7, ...'
    """
    return ", ".join(name[:60] for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _listed(
    path: Path, rows: Sequence[Row], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    others = sorted(set(rows[0]) - set(_FIXED))
    if others and classes is None:
        raise TableError(
            f"a column of labels, and also {', '.join(others)[:200]}",
            file=path,
            field="labels",
            expected="class names in one column, or one column a class",
            fix="remove one of them, or name the classes that you want",
        )
    given = [split_labels(row["labels"]) for row in rows]
    known = sorted({name for names in given for name in names})
    chosen = _checked_classes(path, known, classes)
    column = {name: k for k, name in enumerate(chosen)}
    labels = np.zeros((len(rows), len(chosen)), dtype=bool)
    for i, names in enumerate(given):
        labels[i, [column[name] for name in names if name in column]] = True
    return chosen, labels


def _by_column(
    path: Path, rows: Sequence[Row], classes: Sequence[str] | None
) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    chosen = _checked_classes(path, [name for name in rows[0] if name not in _FIXED], classes)
    labels = np.zeros((len(rows), len(chosen)), dtype=bool)
    for i, row in enumerate(rows):
        for k, name in enumerate(chosen):
            value = _VALUES.get(row[name].strip())
            if value is None:
                raise TableError(
                    f"record {row['record'][:80]} has {row[name][:40]!r}",
                    file=path,
                    field=name,
                    expected="0 or 1",
                    fix="name the columns that are classes, where others are none",
                )
            labels[i, k] = value
    return chosen, labels


def _checked_classes(path: Path, known: Sequence[str], classes: Sequence[str] | None) -> tuple[str, ...]:
    chosen = tuple(known) if classes is None else tuple(classes)
    unknown = [name for name in chosen if name not in known]
    if not chosen or unknown or "" in chosen or len(set(chosen)) < len(chosen):
        what = f"unknown class {unknown[0][:60]!r}" if unknown else "no class, one without a name, or one named twice"
        raise LabelError(
            what,
            file=path,
            field="classes",
            expected=f"among {', '.join(known)[:300]}" if known else "columns of 0 and 1, or a column labels",
        )
    return chosen
