"""CPSC2018: nine diagnoses, 6,877 recordings of 6 to 60 s.

F. Liu et al. (2018), "An open access database for evaluating the algorithms of electrocardiogram rhythm and morphology
abnormality detection", J. Med. Imaging Health Inform. 8(7); re-issued as WFDB files in PhysioNet/CinC 2020 and 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.published_splits import (
    NOT_IN_FOLDER,
    NOT_IN_SPLITS,
    draw_splits,
    find_files,
    merl_splits_of,
    reading_options,
)
from ecgscan_lab.data.reading import RecordRow
from ecgscan_lab.data.record_tables import RecordTable, cohort_loader
from ecgscan_lab.data.tables import read_table
from ecgscan_lab.data.wfdb_header import read_header
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, TableError

CpscLabels = Literal["exact", "merl"]

CPSC_CLASSES = ("AFIB", "VPC", "NORM", "1AVB", "CRBBB", "STE", "PAC", "CLBBB", "STD")
_WORDS = {
    "AFIB": "atrial fibrillation",
    "VPC": "premature ventricular contraction",
    "NORM": "normal sinus rhythm",
    "1AVB": "first degree AV block",
    "CRBBB": "right bundle branch block",
    "STE": "ST-segment elevation",
    "PAC": "premature atrial contraction",
    "CLBBB": "left bundle branch block",
    "STD": "ST-segment depression",
}
# The nine codes of REFERENCE.csv, 1 to 9, and the SNOMED CT codes of the re-issue.
_BY_NUMBER = ("NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "VPC", "STD", "STE")
_BY_SNOMED = {
    "164889003": "AFIB",
    "164884008": "VPC",
    "426783006": "NORM",
    "270492004": "1AVB",
    "59118001": "CRBBB",
    "164931005": "STE",
    "284470004": "PAC",
    "164909002": "CLBBB",
    "429622005": "STD",
}


@cohort_loader
def load_cpsc(
    folder: str | PathLike[str],
    *,
    labels: CpscLabels = "exact",
    merl_splits: str | PathLike[str] | None = None,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **reading: Any,
) -> RecordTable:
    """Load CPSC2018 as first published (MATLAB structs, REFERENCE.csv) or as re-issued (WFDB, SNOMED CT codes).

    The signal that MERL sees is shorter: the first 5 s, then zeros; `zero_after_s=5` repeats that.

    Source: C. Liu et al., MERL (2024), arXiv 2403.06659, for class names and splits.

    Args:
        folder: holds the recordings, in sub-folders or not, and REFERENCE.csv unless they are WFDB files.
        labels: "exact" takes the publisher's labels, "merl" those of MERL's split files. They agree, but MERL's need
            no REFERENCE.csv.
        merl_splits: folder of `icbeb_train.csv`, `icbeb_val.csv` and `icbeb_test.csv`; None looks for them in `folder`
            and, where there are none, draws 70 % train, 10 % val, 20 % test by record (the corpus has no patients).
        fs_hz, duration_s: rate in hertz and length in seconds of every record; a shorter one is padded with NaN.
        n_records: read about this many; None reads all.
        seed: seed of a drawn split and of that draw.
        reading: `max_bad_share`, `allow_flat` (default True), `gaps`, `zero_after_s`, `progress`: see `ReadingOptions`.

    Returns:
        The cohort "cpsc2018" with the task cpsc2018 (9 classes).

    Raises:
        TableError: no recordings or labels are there, or a label is unknown.
        SplitError: a split is empty.
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
    """
    if labels not in get_args(CpscLabels):
        raise ArgumentError(f"labels is {labels!r}", field="labels", expected="'exact' or 'merl'")
    options = reading_options(fs_hz, duration_s, reading, allow_flat=True)
    root = existing_folder(folder)
    splits = merl_splits_of(root, merl_splits, "icbeb", ["filename", *CPSC_CLASSES])
    if labels == "merl" and splits is None:
        raise TableError("no split files to take MERL's labels from", file=root, field="merl_splits", fix="name them")
    files, suffix = _find_recordings(root)
    given = {} if labels == "merl" else _read_labels(root, files, suffix)
    rows, notes = [], {"left out: no label is known": 0}
    for name, path in files.items():
        if splits is not None and name not in splits:
            continue
        if splits is not None and labels == "merl":
            line = splits[name][1]
            given[name] = tuple(label for label in CPSC_CLASSES if line[label].strip() == "1")
        if name not in given:
            notes["left out: no label is known"] += 1
            continue
        split = "" if splits is None else splits[name][0]
        rows.append(RecordRow(name, path, split, labels={"cpsc2018": given[name]}, suffix=suffix))
    if splits is None:
        rows = draw_splits(rows, seed)
    else:
        notes[NOT_IN_FOLDER] = len(splits.keys() - files.keys())
        notes[NOT_IN_SPLITS] = len(files.keys() - splits.keys())
    tasks = {"cpsc2018": CPSC_CLASSES}
    return RecordTable(
        "cpsc2018", root, rows, tasks, options, n_records=n_records, seed=seed, descriptions=_WORDS, notes=notes
    )


def cpsc_labels_of_codes(codes: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """CPSC2018 classes of a header's SNOMED CT codes, in class order.

    Example:
        >>> cpsc_labels_of_codes(["284470004", "59118001"])
        ('CRBBB', 'PAC')
    """
    found = {_BY_SNOMED[code] for code in codes if code in _BY_SNOMED}
    return tuple(label for label in CPSC_CLASSES if label in found)


def _find_recordings(root: Path) -> tuple[dict[str, Path], str]:
    """Recordings by name, and the suffix of their files: headers where there are any, else MATLAB structs."""
    for suffix in (".hea", ".mat"):
        files = find_files(root, suffix)
        if files:
            return files, suffix
    raise TableError("no recordings in the folder", file=root, expected="files that end in .hea or .mat")


def _read_labels(root: Path, files: Mapping[str, Path], suffix: str) -> dict[str, tuple[str, ...]]:
    """Record -> labels, from REFERENCE.csv or from the headers; a header that cannot be read has none."""
    table = next((root / name for name in ("REFERENCE.csv", "reference.csv") if (root / name).exists()), None)
    if table is not None:
        return _read_reference(table)
    if suffix == ".mat":
        raise TableError(
            "no REFERENCE.csv beside the MATLAB files",
            file=root,
            field="labels",
            expected="the publisher's table of labels",
            fix='fetch it, or pass merl_splits=FOLDER and labels="merl"',
        )
    labels = {}
    for name, path in files.items():
        try:
            codes = read_header(path.parent / f"{path.name}.hea").snomed
        except EcgScanLabError:
            codes = ()  # reading the record will say what is wrong with it
        labels[name] = cpsc_labels_of_codes(codes)
    return labels


def _read_reference(path: Path) -> dict[str, tuple[str, ...]]:
    columns = ["Recording", "First_label", "Second_label", "Third_label"]
    labels: dict[str, tuple[str, ...]] = {}
    for line in read_table(path, columns):
        numbers = [line[column].strip() for column in columns[1:] if line[column].strip()]
        wrong = [number for number in numbers if number.removesuffix(".0") not in map(str, range(1, 10))]
        if wrong or line["Recording"] in labels:
            raise TableError(
                f"label {wrong[0][:20]!r}" if wrong else f"recording {line['Recording'][:20]} is listed twice",
                file=path,
                field="First_label" if wrong else "Recording",
                expected="1 to 9" if wrong else "one line a recording",
            )
        found = {_BY_NUMBER[int(number.removesuffix(".0")) - 1] for number in numbers}
        labels[line["Recording"]] = tuple(label for label in CPSC_CLASSES if label in found)
    return labels
