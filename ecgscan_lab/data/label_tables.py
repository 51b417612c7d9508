"""The labels of a corpus as a CSV that a probe reads: record, split, patient, and one 0/1 column a class."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.store import open_store, table_of
from ecgscan_lab.errors import LabelError
from ecgscan_lab.whole_files import write_whole

Labelled = tuple[str, str, str, tuple[str, ...]]


def write_label_table(source: str, task: str, path: str | PathLike[str], **how: Any) -> tuple[Path, int]:
    """Write which labels of a task each record of a source carries.

    Only tables are read, no signals. A record without any label of the task is left out: a task is judged on those
    that carry one.

    Args:
        source: as for `data.load_cohort`.
        task: one of the source's tasks.
        path: the CSV: columns `record, split, patient_id`, then one column of 0 and 1 a class.
        how: keywords of the corpus's loader, for instance `only_present=True`.

    Returns:
        `path`, and how many records it lists.

    Raises:
        LabelError: the source has no such task.
        ArgumentError: the source is unknown.
        ExportError: the file cannot be written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path, _ = write_label_table("synthetic:40", "superclass", Path(folder) / "labels.csv")
        ...     print(path.read_text().splitlines()[0])
        record,split,patient_id,NORM,MI,STTC,CD,HYP
    """
    tasks, rows = _labelled(source, task, how)
    if task not in tasks:
        raise LabelError(f"no task {task!r}", field="task", expected=f"one of {', '.join(tasks)}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["record", "split", "patient_id", *tasks[task]])
    n = 0
    for record, split, patient, labels in rows:
        flags = [int(name in labels) for name in tasks[task]]
        if any(flags):
            writer.writerow([record, split, patient, *flags])
            n += 1
    return write_whole(path, text.getvalue().encode()), n


def _labelled(
    source: str, task: str, how: Mapping[str, Any]
) -> tuple[Mapping[str, tuple[str, ...]], Iterable[Labelled]]:
    kind, _, rest = source.partition(":")
    if kind == "synthetic":
        cohort = load_cohort(source)
        return cohort.tasks, [
            (r.record_id, r.split or "", r.patient_id or r.record_id, tuple(r.labels.get(task, ())))
            for r in cohort.records
        ]
    if kind == "store":
        store = open_store(rest)
        if task not in store.tasks:
            return store.tasks, []
        classes = store.tasks[task]
        found = [tuple(name for name, flag in zip(classes, row, strict=True) if flag) for row in store.targets(task)]
        return store.tasks, zip(store.record_ids, store.splits, store.patients, found, strict=True)
    table = table_of(source, **how)
    rows, _ = table.checked_rows()
    return table.tasks, [(r.record_id, r.split, r.patient, tuple(r.labels.get(task, ()))) for r in rows]
