"""MIMIC-IV-ECG: 800,035 recordings of 10 s with the machine's report in eighteen columns.

B. Gow et al. (2023), "MIMIC-IV-ECG: Diagnostic Electrocardiogram Matched Subset", PhysioNet, version 1.0. Its headers
list aVF before aVL; leads are found by name, so that nothing here depends on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.paths import inside
from ecgscan_lab.data.published_splits import reading_options
from ecgscan_lab.data.reading import Gaps, RecordRow
from ecgscan_lab.data.record_tables import RecordTable, cohort_loader
from ecgscan_lab.data.reports import clean_report
from ecgscan_lab.data.splits import split_by_patient
from ecgscan_lab.data.tables import Row, iterate_table, relative_record_path
from ecgscan_lab.data.wfdb_records import read_record
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, LeadError, RecordError, TableError

MimicSplit = Literal["patients", "records"]

REPORT_COLUMNS = tuple(f"report_{k}" for k in range(18))
TRAIN_SHARE = 0.9
_NO_LINE = "left out: no line in machine_measurements.csv"
_NO_REPORT = "left out: all eighteen report columns are empty"
_SHORT_REPORT = "left out: the report has too few words"


@dataclass(frozen=True)
class MimicSurvey:
    """What would be kept of MIMIC-IV-ECG, and why the rest would not.

    Attributes:
        n_listed: records in record_list.csv.
        kept: study identifiers of the kept records, in the table's order.
        drops: reason -> number of records; with `kept` they add up to `n_listed`.
    """

    n_listed: int
    kept: tuple[str, ...]
    drops: Mapping[str, int]


@cohort_loader
def load_mimic(
    folder: str | PathLike[str],
    *,
    split: MimicSplit = "patients",
    gaps: Gaps = "skip",
    min_words: int = 1,
    only: Collection[str] | None = None,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **reading: Any,
) -> RecordTable:
    """Load MIMIC-IV-ECG, or as much of it as fits: signals, cleaned machine reports, and a 9:1 split.

    A record takes 48 kB at 100 Hz and 240 kB at 500 Hz, so all of them take 38 or 190 GB: use `n_records`.

    Source: the paper (arXiv 2604.01526) for the 9:1 split, C. Liu et al., MERL (2024), arXiv 2403.06659, for joining
    the reports. *Differences*: patients are kept together unless `split="records"`; nothing is dropped for a short
    report unless `min_words` says so (MERL: 4).

    Args:
        folder: holds `record_list.csv`, `machine_measurements.csv` and `files/`.
        split: "patients" draws whole patients, "records" the paper's draw: records, whoever they belong to. Two thirds
            of the patients have several recordings, so nearly every record of "val" then has a patient in "train".
        gaps: "skip" records with samples that were not recorded (NaN), "keep" the NaN, or "fill" them by lines.
        min_words: words a report must have.
        only: read these study identifiers only, for instance `survey_mimic(folder).kept`.
        fs_hz, duration_s: rate in hertz and length in seconds of every record.
        n_records: read about this many, whole patients and the splits' proportions kept; None reads all.
        seed: seed of the split and of that draw.
        reading: `max_bad_share`, `only_present`, `allow_flat` (default False), `progress`: see `ReadingOptions`.

    Returns:
        The cohort "mimic" with splits train and val, reports and no tasks. `repairs` counts what the tables dropped,
        by reason; `skipped` lists what could not be read.

    Raises:
        TableError: a table or column is missing, or a study is listed twice.
        ArgumentError: an argument is outside its range.
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
    """
    options = reading_options(fs_hz, duration_s, {**reading, "gaps": gaps})
    root = existing_folder(folder)
    rows, drops = read_mimic_tables(root, min_words=min_words)
    if only is not None:
        wanted = set(only)
        n_read = len(rows)
        rows = [row for row in rows if row.record_id in wanted]
        drops = {**drops, "left out: not among the wanted studies": n_read - len(rows)}
    return RecordTable(
        "mimic",
        root,
        place_mimic(rows, split, seed),
        {},
        options,
        n_records=n_records,
        seed=seed,
        notes=drops,
        required_splits=("train", "val"),
        split_by_record=split == "records",
    )


def read_mimic_tables(folder: str | PathLike[str], *, min_words: int = 1) -> tuple[list[RecordRow], dict[str, int]]:
    """Read the two tables without any signal.

    Args:
        folder: as for `load_mimic`.
        min_words: words a report must have, at least 1.

    Returns:
        Rows with report and patient but without splits, in the order of record_list.csv; reason -> number dropped.

    Raises:
        TableError: a table or column is missing, or a study is listed twice.
    """
    if isinstance(min_words, bool) or not isinstance(min_words, int) or min_words < 1:
        raise ArgumentError(f"min_words is {min_words!r}", field="min_words", expected="a whole number of at least 1")
    root = existing_folder(folder)
    reports = _read_reports(root / "machine_measurements.csv")
    path = root / "record_list.csv"
    drops = dict.fromkeys((_NO_LINE, _NO_REPORT, _SHORT_REPORT), 0)
    rows: list[RecordRow] = []
    seen: set[str] = set()
    for line in iterate_table(path, ["subject_id", "study_id", "path"]):
        study = _identifier(path, line, "study_id")
        if study in seen:
            raise TableError(f"study {study} is listed twice", file=path, field="study_id", expected="one line a study")
        seen.add(study)
        report = reports.get(study)
        reason = _why_dropped(report, min_words)
        if reason is not None:
            drops[reason] += 1
            continue
        relative = relative_record_path(path, line["path"])
        patient = _identifier(path, line, "subject_id")
        rows.append(RecordRow(study, root / relative, "", patient_id=patient, report=report or ""))
    return rows, drops


def join_reports(lines: Sequence[str]) -> str:
    """One cleaned text of a machine's report lines.

    Args:
        lines: up to eighteen texts, empty where the machine said nothing.

    Returns:
        The texts with ". " between them, as `clean_report` leaves them and with a full stop at the end; "" if all are
        empty.

    Example:
        >>> join_reports(["Sinus rhythm", "", "--- Possible LVH ---", "Abnormal EKG."])
        'sinus rhythm. possible lvh. abnormal ecg.'
    """
    text = ". ".join(part for line in lines if (part := _clean_line(line)))
    return f"{text}." if text else ""


@lru_cache(maxsize=1 << 16)  # the machine has a few thousand sentences; cleaning one takes longer than all the rest
def _clean_line(line: str) -> str:
    return "" if line.strip().lower() == "nan" else clean_report(line).strip(" .;,-")


def place_mimic(rows: Sequence[RecordRow], split: MimicSplit, seed: int) -> list[RecordRow]:
    """Rows with their splits: nine tenths train, one tenth val.

    Args:
        rows: rows without splits.
        split: "patients" or "records", as for `load_mimic`.
        seed: seed of the order.

    Returns:
        The rows in their given order.

    Raises:
        ArgumentError: the split is unknown.
        SplitError: there are fewer than two patients.

    Properties: "patients" comes within one patient's records of the shares, and no patient is in both splits.
    """
    if split not in get_args(MimicSplit):
        raise ArgumentError(f"split is {split!r}", field="split", expected="'patients' or 'records'")
    if split == "patients":
        names = split_by_patient([row.patient for row in rows], (TRAIN_SHARE, 1.0 - TRAIN_SHARE, 0.0), seed).tolist()
    else:
        names = split_by_record(len(rows), seed).tolist()
    return [replace(row, split=name) for row, name in zip(rows, names, strict=True)]


def split_by_record(n_records: int, seed: int) -> np.ndarray:
    """The paper's draw: "train" for nine tenths of the records, "val" for the rest, `[record]`.

    Properties: round(0.9 n) training records, 710,560 of the paper's 789,511; the same for the same seed.

    Example:
        >>> np.unique(split_by_record(20, seed=0), return_counts=True)[1].tolist()
        [18, 2]
    """
    order = np.random.default_rng(seed).permutation(n_records)
    names = np.full(n_records, "val", dtype="<U5")
    names[order[: round(TRAIN_SHARE * n_records)]] = "train"
    return names


def survey_mimic(
    folder: str | PathLike[str],
    *,
    gaps: Gaps = "skip",
    allow_flat: bool = False,
    min_words: int = 1,
    progress: bool = False,
) -> MimicSurvey:
    """Read every signal once, keep none, and say what would be dropped and why.

    Args:
        folder: as for `load_mimic`.
        gaps: "skip" drops records with samples that were not recorded; "keep" and "fill" keep them.
        allow_flat: keep records with flat leads.
        min_words: words a report must have.
        progress: show a progress bar.

    Returns:
        The kept studies and the number dropped by reason.

    Raises:
        TableError: as `read_mimic_tables`.

    Properties: memory does not grow with the signals; `len(kept)` and the drops add up to the listed records.
    """
    root = existing_folder(folder)
    rows, drops = read_mimic_tables(root, min_words=min_words)
    n_listed = len(rows) + sum(drops.values())
    counted: Counter[str] = Counter(drops)
    kept: list[str] = []
    for row in _with_progress(rows) if progress else rows:
        reason = _why_unreadable(root, row, gaps, allow_flat)
        if reason is None:
            kept.append(row.record_id)
        else:
            counted[reason] += 1
    return MimicSurvey(n_listed, tuple(kept), {reason: n for reason, n in counted.items() if n})


def _read_reports(path: Path) -> dict[str, str]:
    """Study -> cleaned report; equal texts are one object, since 800,000 reports hold some 180,000 texts."""
    cleaned: dict[tuple[str, ...], str] = {}
    reports: dict[str, str] = {}
    for line in iterate_table(path, ["study_id", *REPORT_COLUMNS]):
        texts = tuple(line[column] for column in REPORT_COLUMNS if line[column])
        text = cleaned.get(texts)
        if text is None:
            text = cleaned[texts] = join_reports(texts)
        study = _identifier(path, line, "study_id")
        if study in reports:
            raise TableError(f"study {study} is listed twice", file=path, field="study_id", expected="one line a study")
        reports[study] = text
    return reports


def _why_dropped(report: str | None, min_words: int) -> str | None:
    if report is None:
        return _NO_LINE
    if not report:
        return _NO_REPORT
    return _SHORT_REPORT if len(report.split()) < min_words else None


def _why_unreadable(root: Path, row: RecordRow, gaps: Gaps, allow_flat: bool) -> str | None:
    """The reason to leave a record out, or None."""
    header = row.path.parent / f"{row.path.name}.hea"
    if not header.exists():
        return "left out: the header is not in the folder"
    if not inside(root, header):
        return "left out: the record is a link out of its folder"
    try:
        record = read_record(header, allow_flat=True)
        if gaps == "skip" and np.isnan(record.signal_mv).any():
            return "left out: samples were not recorded (NaN)"
        flat = any(sentence.startswith("flat leads kept") for sentence in record.provenance["repairs"])
        return "left out: a lead is flat" if flat and not allow_flat else None
    except LeadError as error:
        flat_or_empty = error.what.startswith("flat leads") or "not recorded" in error.what
        return "left out: a lead is flat" if flat_or_empty else "left out: a lead is missing or named twice"
    except RecordError as error:
        absent = "no such file" in error.what
        return "left out: a file is not in the folder" if absent else "left out: a file is damaged"
    except EcgScanLabError as error:
        return f"left out: {type(error).__name__}"


def _identifier(path: Path, line: Row, column: str) -> str:
    """An identifier of digits, without the ".0" that a table editor may have added."""
    text = line[column].strip().removesuffix(".0")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise TableError(f"{column} is {line[column][:40]!r}", file=path, field=column, expected="a whole number")
    return text


def _with_progress(rows: Sequence[RecordRow]) -> Any:
    from tqdm import tqdm

    return tqdm(rows, desc="reading records", unit="record")
