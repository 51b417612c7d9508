"""CODE: the annotated test set of 827 recordings, and CODE-15%, the open part of the training set.

A. H. Ribeiro et al. (2020), "Automatic diagnosis of the 12-lead ECG using a deep neural network", Nat. Commun. 11:1760;
the files are Zenodo 3625006 (test) and 4916206 (15 %). Both are 400 Hz, 4096 samples with zeros at both ends. Their
documents give the unit as 1e-4 V and also ask to multiply volts by 1000; read as 0.1 mV a unit, QRS complexes come out
small, read as 1 mV large. `unit_mv` overrules the documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.other_formats import CODE_UNIT_MV, count_tracings, read_exam_ids
from ecgscan_lab.data.published_splits import draw_splits, find_files, reading_options
from ecgscan_lab.data.reading import RecordRow
from ecgscan_lab.data.record_tables import RecordTable, cohort_loader
from ecgscan_lab.data.tables import Row, iterate_table, read_table
from ecgscan_lab.errors import TableError

CODE_CLASSES = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
GOLD = "gold_standard"
# Files of the folder `annotations`, and who they speak for.
READERS = {
    "cardiologist1": "first cardiologist",
    "cardiologist2": "second cardiologist",
    "cardiology_residents": "cardiology residents",
    "emergency_residents": "emergency residents",
    "medical_students": "medical students",
    "dnn": "the network of Ribeiro et al.",
}
_WORDS = {
    "1dAVb": "first degree AV block",
    "RBBB": "right bundle branch block",
    "LBBB": "left bundle branch block",
    "SB": "sinus bradycardia",
    "AF": "atrial fibrillation",
    "ST": "sinus tachycardia",
}
_TRUE, _FALSE = ("1", "1.0", "true"), ("0", "0.0", "false")


@cohort_loader
def load_code_test(
    folder: str | PathLike[str],
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **reading: Any,
) -> RecordTable:
    """Load CODE-test: 827 recordings of as many patients, six diagnoses, all of them in the split "test".

    Args:
        folder: holds `ecg_tracings.hdf5` and `annotations/`, or a folder `data` that does.
        fs_hz, duration_s: rate in hertz and length in seconds; recordings of 7 s are padded with NaN.
        n_records: read about this many; None reads all.
        seed: seed of that draw.
        reading: `unit_mv` (default 0.1), `max_bad_share`, `allow_flat` (default True), `gaps`, `progress`: see
            `ReadingOptions`.

    Returns:
        The cohort "code_test" with the task code (6 classes).

    Raises:
        TableError: the gold standard is missing, holds anything but 0 and 1, or is not as long as the tracings.
        RecordError: the tracings are missing or damaged.
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
        MissingExtraError: HDF5 needs h5py.
    """
    options = reading_options(fs_hz, duration_s, reading, allow_flat=True, unit_mv=CODE_UNIT_MV)
    root = _code_test_root(folder)
    gold = read_code_annotations(root)[GOLD]
    n_tracings = count_tracings(root / "ecg_tracings.hdf5")
    if n_tracings != len(gold):
        raise TableError(
            f"{len(gold)} lines for {n_tracings} recordings",
            file=root / "annotations" / f"{GOLD}.csv",
            expected="a line for each row of ecg_tracings.hdf5",
            fix="fetch both again",
        )
    rows = [
        RecordRow(
            f"code-test-{i:03d}", root / "ecg_tracings", "test", labels=_code_labels(line), suffix=".hdf5", member=i
        )
        for i, line in enumerate(gold.tolist())
    ]
    tasks = {"code": CODE_CLASSES}
    return RecordTable(
        "code_test",
        root,
        rows,
        tasks,
        options,
        n_records=n_records,
        seed=seed,
        descriptions=_WORDS,
        required_splits=("test",),
    )


def read_code_annotations(folder: str | PathLike[str]) -> dict[str, np.ndarray]:
    """What the gold standard and every reader said about CODE-test.

    Args:
        folder: as for `load_code_test`; the tracings need not be there.

    Returns:
        "gold_standard" and those of `READERS` that are there -> int8 `[record, 6]`, columns as `CODE_CLASSES`.

    Raises:
        TableError: the gold standard is missing, or a table holds anything but 0 and 1 or differs in length.
    """
    annotations = _code_test_root(folder) / "annotations"
    given: dict[str, np.ndarray] = {}
    for name in (GOLD, *READERS):
        path = annotations / f"{name}.csv"
        if name == GOLD or path.exists():
            given[name] = np.array([_flags(path, line) for line in read_table(path, CODE_CLASSES)], dtype=np.int8)
            if len(given[name]) != len(given[GOLD]):
                raise TableError(
                    f"{len(given[name])} lines", file=path, expected=f"{len(given[GOLD])}, as the gold standard has"
                )
    return given


def code_reader_aurocs(folder: str | PathLike[str]) -> dict[str, dict[str, float]]:
    """How well each reader of CODE-test does, on the scale on which models are judged.

    **Equation**: a reader who says yes or no has one point on the ROC curve, and the area under the two straight lines
    through it is (sensitivity + specificity) / 2. "macro" is the plain mean over the six classes.

    Source: Ribeiro et al. (2020) for the annotations. *Differences*: the paper reports precision, recall and F1.

    Args:
        folder: as for `load_code_test`; the tracings need not be there.

    Returns:
        Reader -> class, and "macro" -> area, 0 to 1.

    Raises:
        TableError: as `read_code_annotations`, or a class has no positive.
    """
    given = read_code_annotations(folder)
    truth = given.pop(GOLD) == 1
    n_positive = truth.sum(axis=0)
    if not ((n_positive > 0) & (n_positive < len(truth))).all():
        raise TableError("a class is never, or always, positive", field=GOLD, expected="both in every class")
    areas: dict[str, dict[str, float]] = {}
    for reader, said in given.items():
        sensitivity = ((said == 1) & truth).sum(axis=0) / n_positive
        specificity = ((said == 0) & ~truth).sum(axis=0) / (len(truth) - n_positive)
        area = (sensitivity + specificity) / 2
        areas[reader] = {**dict(zip(CODE_CLASSES, area.tolist(), strict=True)), "macro": float(area.mean())}
    return areas


@cohort_loader
def load_code15(
    folder: str | PathLike[str],
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **reading: Any,
) -> RecordTable:
    """Load CODE-15%: up to 345,779 recordings of 233,770 patients, six diagnoses, splits drawn by patient.

    Args:
        folder: holds `exams.csv` and the parts `exams_part0.hdf5`, ... that are to be read, in sub-folders or not; or
            recordings prepared as MATLAB files `<name>_<exam_id>.mat`, with or without `exams.csv`.
        fs_hz, duration_s: rate in hertz and length in seconds; recordings of 7 s are padded with NaN.
        n_records: read about this many, whole patients and the splits' proportions kept; None reads all.
        seed: seed of the splits and of that draw.
        reading: `unit_mv` (default 0.1), `max_bad_share`, `allow_flat` (default True), `gaps`, `progress`: see
            `ReadingOptions`.

    Returns:
        The cohort "code15" with the task code (6 classes); without `exams.csv` records have no labels and no patients.
        `repairs` counts the exams whose part is not there.

    Raises:
        TableError: a table, a part or a column is missing, or an exam is listed twice.
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
        MissingExtraError: HDF5 needs h5py.
    """
    options = reading_options(fs_hz, duration_s, reading, allow_flat=True, unit_mv=CODE_UNIT_MV)
    root = existing_folder(folder)
    table = root / "exams.csv"
    parts, singles = find_files(root, ".hdf5"), find_files(root, ".mat")
    if not parts and not singles:
        raise TableError("no recordings in the folder", file=root, expected="exams_part0.hdf5, ..., or .mat files")
    exams = _read_exams(table) if parts or table.exists() else None
    rows = []
    for name, path in parts.items():
        for member, exam_id in enumerate(read_exam_ids(path.parent / f"{name}.hdf5").tolist()):
            if exams is not None and str(exam_id) in exams:  # each part ends with a row of zeros under the identifier 0
                rows.append(_exam_row(str(exam_id), path, ".hdf5", exams, member))
    for name, path in singles.items():
        exam = name.rpartition("_")[2]
        if exams is None or exam in exams:
            rows.append(_exam_row(exam, path, ".mat", exams, None))
    ids = [row.record_id for row in rows]
    if len(set(ids)) < len(ids):
        raise TableError("an exam is in two files", file=root, field="exam_id", expected="one recording an exam")
    notes = {"listed in exams.csv but in none of the parts": len(exams or ()) - len(rows) if exams else 0}
    tasks = {} if exams is None else {"code": CODE_CLASSES}
    placed = draw_splits(rows, seed)
    return RecordTable(
        "code15", root, placed, tasks, options, n_records=n_records, seed=seed, descriptions=_WORDS, notes=notes
    )


def _code_test_root(folder: str | PathLike[str]) -> Path:
    """The folder that holds `annotations`: the one given, or its sub-folder `data`."""
    root = existing_folder(folder)
    return root / "data" if not (root / "annotations").is_dir() and (root / "data").is_dir() else root


def _flags(path: Path, line: Row) -> list[int]:
    """Zeros and ones of the six columns."""
    texts = [line[name].strip().lower() for name in CODE_CLASSES]
    for name, text in zip(CODE_CLASSES, texts, strict=True):
        if text not in _TRUE + _FALSE:
            raise TableError(f"{name} is {text[:20]!r}", file=path, field=name, expected="0 or 1")
    return [int(text in _TRUE) for text in texts]


def _code_labels(flags: list[int]) -> Mapping[str, tuple[str, ...]]:
    return {"code": tuple(name for name, flag in zip(CODE_CLASSES, flags, strict=True) if flag)}


def _read_exams(path: Path) -> dict[str, tuple[str, Mapping[str, tuple[str, ...]]]]:
    """Exam -> (patient, labels)."""
    exams: dict[str, tuple[str, Mapping[str, tuple[str, ...]]]] = {}
    for line in iterate_table(path, ["exam_id", "patient_id", *CODE_CLASSES]):
        exam = line["exam_id"].strip()
        if exam in exams:
            raise TableError(
                f"exam {exam[:20]} is listed twice", file=path, field="exam_id", expected="one line an exam"
            )
        exams[exam] = (line["patient_id"].strip(), _code_labels(_flags(path, line)))
    return exams


def _exam_row(
    exam: str,
    path: Path,
    suffix: str,
    exams: Mapping[str, tuple[str, Mapping[str, tuple[str, ...]]]] | None,
    member: int | None,
) -> RecordRow:
    patient, labels = (None, {}) if exams is None else exams[exam]
    return RecordRow(exam, path, "", patient_id=patient or None, labels=labels, suffix=suffix, member=member)
