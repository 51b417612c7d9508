"""Published corpora: where their files lie, and what their tables say.

PTB-XL: P. Wagner et al. (2020), "PTB-XL, a large publicly available electrocardiography dataset", Sci. Data 7:154.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.reading import ReadingOptions, RecordRow
from ecgscan_lab.data.record_tables import RecordTable, cohort_loader
from ecgscan_lab.data.reports import DESCRIPTIONS
from ecgscan_lab.data.tables import Row, read_table, relative_record_path, split_labels
from ecgscan_lab.errors import ArgumentError, TableError

PTBXL_SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
PTBXL_FOLDS = range(1, 11)
_MAX_CODES_TEXT = 4000
_TRUE = ("1", "1.0")

# Plain words for the classes that are no statement of their own, so that every class has a prompt.
_GROUP_WORDS = {
    "MI": "myocardial infarction",
    "STTC": "ST-T change",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
    "AVB": "AV block",
    "ISCA": "ischemia in anterior leads",
    "ISCI": "ischemia in inferior leads",
    "LAFB/LPFB": "left anterior or left posterior fascicular block",
}

# Task -> columns of scp_statements.csv: the flag that a statement belongs to the task, and the name of its class (the
# code itself when empty).
_PTBXL_TASKS = {
    "superclass": ("diagnostic", "diagnostic_class"),
    "subclass": ("diagnostic", "diagnostic_subclass"),
    "form": ("form", ""),
    "rhythm": ("rhythm", ""),
}


@cohort_loader
def load_ptbxl(
    folder: str | PathLike[str],
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    test_fold: int | None = None,
    val_fold: int | None = None,
    max_bad_share: float = 0.05,
    only_present: bool = False,
    allow_flat: bool = True,
    progress: bool = False,
) -> RecordTable:
    """Load PTB-XL from its official folder: signals, reports, folds, and the four label sets of its benchmark.

    Labels: a statement of `scp_codes` counts whatever its likelihood, 0 included, and is named as in MERL's split
    files, without the underscores at either end of a code ("NST_" is "NST", "_AVB" is "AVB"). superclass and subclass
    go through `scp_statements.csv`; form and rhythm are the codes themselves.

    Source: Wagner et al. (2020); N. Strodthoff et al. (2021), IEEE JBHI 25(5), for the tasks; C. Liu et al., MERL
    (2024), arXiv 2403.06659, for the class names. *Differences*: a recording that is stored twice and would sit in two
    splits is left out of the lower one (`reading.assemble_cohort`).

    Args:
        folder: holds `ptbxl_database.csv`, `scp_statements.csv` and `records100/` or `records500/`. A `cohort.csv`
            beside them (`record, ecg_id, patient_id, strat_fold` and a column for each task, `;` between labels) adds
            records that the database table lacks: labels without reports.
        fs_hz, duration_s: rate in hertz and length in seconds of every record. Up to 100 Hz the 100 Hz files are read,
            above it the 500 Hz files; neither is a plain resampling of the other.
        n_records: read about this many, whole patients and the splits' proportions kept; None reads all.
        seed: seed of that draw.
        test_fold: fold of the test split; None takes 10, or 9 where the folder has no fold 10.
        val_fold: fold of the val split, never trained on; None takes the one before the test fold.
        max_bad_share: the share of unreadable records, absent ones included, at which loading stops.
        only_present: leave out records whose files are absent, for a folder that holds only part of the corpus.
        allow_flat: keep records with flat leads, as the benchmark does; False skips them.
        progress: show a progress bar.

    Returns:
        The cohort "ptbxl" with tasks superclass (5 classes), subclass (23), form (19) and rhythm (12). A record
        without a label of a task is a row of zeros there. Age, sex, dates and names are not taken over.

    Raises:
        TableError: a table or column is missing, or a value is outside its range.
        SplitError: a fold is empty, or a patient is in two splits.
        TooManyBadRecordsError: more than `max_bad_share` of the records are absent or unreadable.

    Properties: the same cohort, down to `data_sha256`, for the same folder and seed; no patient, and no signal, in two
    splits.
    """
    options = ReadingOptions(
        fs_hz=fs_hz,
        duration_s=duration_s,
        max_bad_share=max_bad_share,
        only_present=only_present,
        allow_flat=allow_flat,
        progress=progress,
    )
    root = existing_folder(folder)
    rows, tasks, words = read_ptbxl_tables(root, high_rate=fs_hz > 100.0)
    placed = _place_folds(rows, test_fold, val_fold)
    return RecordTable("ptbxl", root, placed, tasks, options, n_records=n_records, seed=seed, descriptions=words)


def read_ptbxl_tables(
    folder: str | PathLike[str], *, high_rate: bool = False
) -> tuple[list[RecordRow], dict[str, tuple[str, ...]], dict[str, str]]:
    """Read PTB-XL's tables without its signals.

    Args:
        folder: as for `load_ptbxl`.
        high_rate: point at the 500 Hz files instead of the 100 Hz ones.

    Returns:
        Rows by ascending ECG identifier, with folds but without splits; task -> classes; class -> plain words.

    Raises:
        TableError: a table or column is missing, or a value is outside its range.
    """
    root = existing_folder(folder)
    class_of, tasks, plain_words = _read_statements(root / "scp_statements.csv")
    rows = _read_database(root / "ptbxl_database.csv", class_of, tasks, high_rate)
    if (root / "cohort.csv").exists():
        rows = _read_labels(root / "cohort.csv", tasks, high_rate) | rows
    words = {name: plain_words[name] for names in tasks.values() for name in names if name in plain_words}
    return [rows[ecg_id] for ecg_id in sorted(rows)], tasks, words


def _read_statements(
    path: Path,
) -> tuple[dict[str, dict[str, str]], dict[str, tuple[str, ...]], dict[str, str]]:
    """Task -> {statement code -> class}, task -> classes, class -> plain words."""
    flags = {flag for flag, _ in _PTBXL_TASKS.values()}
    names = {name for _, name in _PTBXL_TASKS.values() if name}
    lines = read_table(path, ["", "description", *sorted(flags | names)])
    class_of: dict[str, dict[str, str]] = {
        task: {line[""]: (line[name] if name else line[""]).strip("_") for line in lines if line[flag].strip() in _TRUE}
        for task, (flag, name) in _PTBXL_TASKS.items()
    }
    found = set(class_of["superclass"].values())
    if not found or not found <= set(PTBXL_SUPERCLASSES):
        raise TableError(
            f"superclasses {', '.join(sorted(found)) or 'are absent'}",
            file=path,
            field="diagnostic_class",
            expected=", ".join(PTBXL_SUPERCLASSES),
            fix="use the scp_statements.csv of the PTB-XL release",
        )
    tasks = {task: tuple(sorted(set(classes.values()))) for task, classes in class_of.items()}
    tasks["superclass"] = PTBXL_SUPERCLASSES
    catalogue = {line[""].strip("_"): line["description"] for line in lines if line["description"]}
    return class_of, tasks, catalogue | _GROUP_WORDS | dict(DESCRIPTIONS)


def _read_database(
    path: Path, class_of: Mapping[str, Mapping[str, str]], tasks: Mapping[str, tuple[str, ...]], high_rate: bool
) -> dict[int, RecordRow]:
    """Rows of the release's own table, by ECG identifier."""
    column = "filename_hr" if high_rate else "filename_lr"
    rows: dict[int, RecordRow] = {}
    for line in read_table(path, ["ecg_id", "patient_id", "strat_fold", "report", "scp_codes", column]):
        codes = _parse_codes(path, line)
        labels = {
            task: _in_class_order({class_of[task][code] for code in codes if code in class_of[task]}, tasks[task])
            for task in tasks
        }
        _add_row(rows, path, line, line[column], labels, line["report"])
    return rows


def _read_labels(path: Path, tasks: Mapping[str, tuple[str, ...]], high_rate: bool) -> dict[int, RecordRow]:
    """Rows of a table of labels without reports, by ECG identifier."""
    rows: dict[int, RecordRow] = {}
    for line in read_table(path, ["record", "ecg_id", "patient_id", "strat_fold", *tasks]):
        labels = {}
        for task, classes in tasks.items():
            given = split_labels(line[task])
            unknown = [label for label in given if label not in classes]
            if unknown:
                raise TableError(
                    f"record {line['record'][:80]} has the unknown label {', '.join(unknown)[:80]}",
                    file=path,
                    field=task,
                    expected=f"among {', '.join(classes)}",
                    fix="name classes as in scp_statements.csv, without underscores at either end",
                )
            labels[task] = _in_class_order(set(given), classes)
        name = line["record"]
        if high_rate:
            name = name.replace("records100/", "records500/").removesuffix("_lr") + "_hr"
        _add_row(rows, path, line, name, labels, "")
    return rows


def _add_row(
    rows: dict[int, RecordRow], path: Path, line: Row, name: str, labels: Mapping[str, tuple[str, ...]], report: str
) -> None:
    """Check one line's identifiers and add it; an identifier may occur once only."""
    ecg_id = _whole_number(path, line, "ecg_id")
    fold = _whole_number(path, line, "strat_fold")
    if ecg_id in rows:
        raise TableError(f"ecg_id {ecg_id} is listed twice", file=path, field="ecg_id", expected="one line a record")
    if fold not in PTBXL_FOLDS:
        raise TableError(f"record {ecg_id} is in fold {fold}", file=path, field="strat_fold", expected="1 to 10")
    relative = relative_record_path(path, name)
    rows[ecg_id] = RecordRow(
        record_id=relative.name,
        path=path.parent / relative,
        split="",
        patient_id=str(_whole_number(path, line, "patient_id")),
        fold=fold,
        labels=labels,
        report=report,
    )


def _place_folds(rows: Sequence[RecordRow], test_fold: int | None, val_fold: int | None) -> list[RecordRow]:
    """Turn folds into splits: test, val, and every other fold for training."""
    if test_fold is None:
        test_fold = 10 if any(row.fold == 10 for row in rows) else 9
    for name, fold in (("test_fold", test_fold), ("val_fold", val_fold)):
        if fold is not None and (isinstance(fold, bool) or fold not in PTBXL_FOLDS):
            raise ArgumentError(f"{name} is {fold!r}", field=name, expected="a fold, 1 to 10")
    if val_fold is None:
        val_fold = test_fold - 1 if test_fold > 1 else 10
    if val_fold == test_fold:
        raise ArgumentError(f"fold {val_fold} cannot be both val and test", field="val_fold", expected="two folds")
    split_of = {test_fold: "test", val_fold: "val"}
    return [replace(row, split=split_of.get(row.fold or 0, "train")) for row in rows]


def _parse_codes(path: Path, line: Row) -> list[str]:
    """Statement codes of one record; the column holds a Python literal, read without evaluating anything."""
    text = line["scp_codes"]
    try:
        codes = ast.literal_eval(text) if len(text) <= _MAX_CODES_TEXT else None
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        codes = None
    if not isinstance(codes, dict) or not all(isinstance(code, str) for code in codes):
        raise TableError(
            f"cannot read the statements of record {line['ecg_id'][:20]}: {text[:60]!r}",
            file=path,
            field="scp_codes",
            expected="{'NORM': 100.0, ...}",
            fix="restore the table from the PTB-XL release",
        )
    return list(codes)


def _in_class_order(labels: set[str], classes: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in classes if name in labels)


def _whole_number(path: Path, line: Row, column: str) -> int:
    """A whole number that the table may write as 15709.0."""
    try:
        value = float(line[column])
    except ValueError:
        value = math.nan
    if not (0 <= value < 1e12 and value == int(value)):
        raise TableError(
            f"{column} is {line[column][:40]!r}",
            file=path,
            field=column,
            expected="a whole number",
            fix="restore the table from the PTB-XL release",
        )
    return int(value)
