"""A folder of one's own: WFDB records and a CSV table that says who, which split, what report, which labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from ecgscan_lab.data.paths import local_path
from ecgscan_lab.data.reading import ReadingOptions, RecordRow
from ecgscan_lab.data.record_tables import RecordTable, cohort_loader
from ecgscan_lab.data.splits import split_by_patient
from ecgscan_lab.data.tables import Row, check_columns, read_table, relative_record_path, split_labels
from ecgscan_lab.data.wfdb_records import OnMissing
from ecgscan_lab.errors import RecordError, SplitError, TableError
from ecgscan_lab.types import SPLITS

_TASK_PREFIX = "labels:"


@cohort_loader
def load_folder(
    folder: str | PathLike[str],
    *,
    table: str | None = None,
    label_columns: Mapping[str, str] | Sequence[str] | None = None,
    delimiter: str = ",",
    label_delimiter: str = ";",
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    max_bad_share: float = 0.05,
    only_present: bool = False,
    on_missing: OnMissing = "error",
    allow_flat: bool = False,
    progress: bool = False,
) -> RecordTable:
    """Load WFDB records that a CSV table lists.

    The table has one line a record and these columns: `record` (path relative to the table), and, each optional,
    `patient_id`, `split` ("train", "val", "test"), `report`, and `labels` with `;` between labels. Several tasks go
    into columns `labels:<task>`. Without a `split` column whole patients are drawn: 70 % train, 10 % val, 20 % test.

    Args:
        folder: the folder that holds the table and the records.
        table: name of the table; None takes `cohort.csv`, else the folder's only CSV file.
        label_columns: task -> column, or columns that name their tasks; None takes `labels` and every `labels:<task>`.
            An empty sequence loads records without labels.
        delimiter: the character between columns.
        label_delimiter: the character between labels of one record.
        fs_hz, duration_s: rate in hertz and length in seconds that every record is brought to.
        n_records: read about this many, whole patients and the splits' proportions kept; None reads all.
        seed: seed of the split and of that draw.
        max_bad_share: the share of unreadable records at which loading stops.
        only_present: leave out records whose files are absent instead of counting them as bad.
        on_missing: "derive" computes missing limb leads from leads I and II.
        allow_flat: keep records with flat leads.
        progress: show a progress bar.

    Returns:
        The cohort, named after the folder. `skipped` lists the bad records, `repairs` counts what was put right.

    Raises:
        TableError: the table or a column is missing, a record is listed twice, or a path leads out of the folder.
        SplitError: a split is unknown or empty, or a patient is in two splits.
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.

    Properties: the same cohort, down to `data_sha256`, for the same folder and seed.
    """
    options = ReadingOptions(
        fs_hz=fs_hz,
        duration_s=duration_s,
        max_bad_share=max_bad_share,
        only_present=only_present,
        on_missing=on_missing,
        allow_flat=allow_flat,
        progress=progress,
    )
    root = existing_folder(folder)
    path = _find_table(root, table)
    lines = read_table(path, ["record"], delimiter=delimiter)
    columns = _task_columns(path, list(lines[0]), label_columns)
    rows = _parse_rows(path, lines, columns, label_delimiter)
    rows = _with_splits(path, lines, rows, seed)
    tasks = {task: tuple(sorted({label for row in rows for label in row.labels.get(task, ())})) for task in columns}
    return RecordTable(root.resolve().name, root, rows, tasks, options, n_records=n_records, seed=seed)


def existing_folder(folder: str | PathLike[str]) -> Path:
    """The folder as a path.

    Raises:
        TableError: there is no such folder.
    """
    try:
        root = local_path(folder)
        found = root.is_dir()
    except (RecordError, OSError) as error:
        raise TableError("not a folder on this machine", file=str(folder)[:200], expected="a folder") from error
    if not found:
        raise TableError("no such folder", file=root, expected="a folder", fix="check the path")
    return root


def _find_table(root: Path, table: str | None) -> Path:
    """The table asked for, else `cohort.csv`, else the only CSV file."""
    if table is not None:
        return root / relative_record_path(root, table)
    if (root / "cohort.csv").exists():
        return root / "cohort.csv"
    found = sorted(root.glob("*.csv"))
    if len(found) != 1:
        raise TableError(
            f"{len(found)} CSV files and no cohort.csv",
            file=root,
            expected="cohort.csv",
            fix="name the table: load_folder(..., table=...)",
        )
    return found[0]


def _task_columns(
    path: Path, columns: Sequence[str], label_columns: Mapping[str, str] | Sequence[str] | None
) -> dict[str, str]:
    """Task -> column that holds its labels."""
    if label_columns is None:
        chosen = {column.removeprefix(_TASK_PREFIX): column for column in columns if column.startswith(_TASK_PREFIX)}
        if "labels" in columns or not chosen:
            chosen = {"labels": "labels", **chosen}
    elif isinstance(label_columns, Mapping):
        chosen = dict(label_columns)
    else:
        chosen = {column: column for column in ([label_columns] if isinstance(label_columns, str) else label_columns)}
    check_columns(path, columns, chosen.values())
    return chosen


def _parse_rows(path: Path, lines: Sequence[Row], columns: Mapping[str, str], label_delimiter: str) -> list[RecordRow]:
    """Rows without their splits; a record may be listed once only."""
    rows: dict[str, RecordRow] = {}
    for line in lines:
        relative = relative_record_path(path, line["record"])
        record_id = str(relative)
        if record_id in rows:
            raise TableError(
                f"record {record_id} is listed twice",
                file=path,
                field="record",
                expected="one line a record",
                fix="remove one of the lines",
            )
        rows[record_id] = RecordRow(
            record_id=record_id,
            path=path.parent / relative,
            split=line.get("split", "").strip(),
            patient_id=line.get("patient_id", "").strip() or None,
            labels={task: split_labels(line[column], label_delimiter) for task, column in columns.items()},
            report=line.get("report", ""),
        )
    return list(rows.values())


def _with_splits(path: Path, lines: Sequence[Row], rows: Sequence[RecordRow], seed: int) -> list[RecordRow]:
    """The table's splits, checked, or splits drawn by patient."""
    if "split" not in lines[0]:
        drawn = split_by_patient([row.patient for row in rows], seed=seed).tolist()
        return [replace(row, split=split) for row, split in zip(rows, drawn, strict=True)]
    unknown = next((row for row in rows if row.split not in SPLITS), None)
    if unknown is not None:
        raise SplitError(
            f"record {unknown.record_id} is in split {unknown.split!r}",
            file=path,
            field="split",
            expected=f"one of {', '.join(SPLITS)}",
            fix="correct the value, or drop the `split` column to have patients drawn into splits",
        )
    return list(rows)
