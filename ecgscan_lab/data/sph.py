"""SPH: 25,770 recordings of 10 to 60 s from Shandong, with AHA statements.

H. Liu et al. (2022), "A large-scale multi-label 12-lead electrocardiogram database with standardized diagnostic
statements", Sci. Data 9:272. Signals are HDF5, millivolts in half precision (steps of about 1 uV to 2 uV).
"""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.published_splits import draw_splits, find_files, reading_options
from ecgscan_lab.data.reading import RecordRow
from ecgscan_lab.data.record_tables import RecordTable, cohort_loader
from ecgscan_lab.data.tables import read_table
from ecgscan_lab.errors import TableError

_CODE = re.compile(r"[0-9]{1,3}(?:\+[0-9]{1,3})*")
_ECG_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")
# Words of the statements that other corpora have too; `code.csv` of the release names all.
_WORDS = {
    "1": "normal ECG",
    "22": "sinus bradycardia",
    "21": "sinus tachycardia",
    "23": "sinus arrhythmia",
    "30": "premature atrial contraction",
    "50": "atrial fibrillation",
    "51": "atrial flutter",
    "82": "first degree AV block",
    "101": "left anterior fascicular block",
    "104": "left bundle branch block",
    "105": "incomplete right bundle branch block",
    "106": "right bundle branch block",
    "120": "right axis deviation",
    "121": "left axis deviation",
    "125": "low QRS voltages",
    "147": "abnormal T wave",
}


@cohort_loader
def load_sph(
    folder: str | PathLike[str],
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **reading: Any,
) -> RecordTable:
    """Load SPH from its published folder.

    Args:
        folder: holds `metadata.csv` (ECG_ID, AHA_Code, Patient_ID), `records/A00001.h5`, ... and, for the words of the
            statements, `code.csv` (Code, Description). Without `metadata.csv` the records have no labels and no
            patients.
        fs_hz, duration_s: rate in hertz and length in seconds of every record.
        n_records: read about this many, whole patients and the splits' proportions kept; None reads all.
        seed: seed of the splits, drawn by patient, and of that draw.
        reading: `max_bad_share`, `allow_flat` (default True), `gaps`, `progress`: see `ReadingOptions`.

    Returns:
        The cohort "sph" with the task aha: primary statements, without their modifiers ("60+310" counts as "60").

    Raises:
        TableError: a table or column is missing, or a code is unreadable.
        TooManyBadRecordsError: more than `max_bad_share` of the records are absent or unreadable.
        MissingExtraError: HDF5 needs h5py.
    """
    options = reading_options(fs_hz, duration_s, reading, allow_flat=True)
    root = existing_folder(folder)
    files = find_files(root, ".h5")
    table = root / "metadata.csv"
    if table.exists():
        rows = _read_metadata(root, table, files)
    else:
        rows = [RecordRow(name, path, "", suffix=".h5") for name, path in files.items()]
    if not rows:
        raise TableError("no recordings in the folder", file=root, expected="metadata.csv and records/A00001.h5, ...")
    classes = sorted({label for row in rows for label in row.labels.get("aha", ())}, key=int)
    tasks = {"aha": tuple(classes)} if table.exists() else {}
    words = {name: text for name, text in (_WORDS | _read_words(root / "code.csv")).items() if name in classes}
    placed = draw_splits(rows, seed)
    return RecordTable("sph", root, placed, tasks, options, n_records=n_records, seed=seed, descriptions=words)


def aha_statements(text: str) -> tuple[str, ...]:
    """Primary statements of a cell of AHA codes, by number.

    Raises:
        ValueError: the cell holds anything but codes.

    Example:
        >>> aha_statements("147; 60+310;60+308")
        ('60', '147')
    """
    codes = [part.strip() for part in text.split(";") if part.strip()]
    wrong = [code for code in codes if not _CODE.fullmatch(code)]
    if wrong:
        raise ValueError(f"no AHA code: {wrong[0][:20]!r}")
    return tuple(sorted({code.partition("+")[0] for code in codes}, key=int))


def _read_metadata(root: Path, table: Path, files: dict[str, Path]) -> list[RecordRow]:
    rows: dict[str, RecordRow] = {}
    for line in read_table(table, ["ECG_ID", "AHA_Code", "Patient_ID"]):
        name = line["ECG_ID"].strip()
        if name in rows or not _ECG_ID.fullmatch(name):
            raise TableError(f"the record {name[:40]!r}", file=table, field="ECG_ID", expected="a name, once only")
        try:
            labels = aha_statements(line["AHA_Code"])
        except ValueError as error:
            raise TableError(
                f"record {name}: {error}", file=table, field="AHA_Code", expected="codes such as 22;147+367"
            ) from error
        path = files.get(name, root / "records" / name)
        patient = line["Patient_ID"].strip() or None
        rows[name] = RecordRow(name, path, "", patient_id=patient, labels={"aha": labels}, suffix=".h5")
    return list(rows.values())


def _read_words(path: Path) -> dict[str, str]:
    """Code -> words of the release's list, or nothing where it is not there."""
    if not path.exists():
        return {}
    lines = read_table(path, ["Code", "Description"])
    return {line["Code"].strip(): line["Description"].strip() for line in lines}
