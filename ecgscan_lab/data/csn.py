"""Chapman-Shaoxing-Ningbo (CSN): 45,152 recordings of 10 s, and two readings of its labels.

J. Zheng et al. (2022), "A large scale 12-lead electrocardiogram database for arrhythmia study", PhysioNet. The MERL
benchmark keeps the 23,026 recordings whose every code is in the publisher's list, and makes 38 classes of them. Its
published columns were filled by substring match: a record counts for AF wherever the text holds "AF", AFIB included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from ecgscan_lab.data.snomed import csn_statements
from ecgscan_lab.data.tables import split_labels
from ecgscan_lab.data.wfdb_header import read_header
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, TableError

CsnLabels = Literal["exact", "merl"]

# The 38 columns of MERL's files, in their order.
CSN_CLASSES = tuple(
    "AQW UW SR WPW 2AVB AT VB ARS STTC SA STE VPB TWO STTU ALS APB 2AVB1 PRIE CCR CR AF AVB QTIE LBBB VEB SVT RBBB 1AVB"
    " STDD MI AFIB TWC PWC ERV RVH LVH ST JEB".split()
)


@cohort_loader
def load_csn(
    folder: str | PathLike[str],
    *,
    labels: CsnLabels = "exact",
    merl_splits: str | PathLike[str] | None = None,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **reading: Any,
) -> RecordTable:
    """Load CSN from its published folder, with exact labels or with the benchmark's.

    Source: Zheng et al. (2022); C. Liu et al., MERL (2024), arXiv 2403.06659, for the classes and splits.
    *Differences*: with `labels="exact"` a class counts where its acronym is listed, and nowhere else.

    Args:
        folder: holds `WFDBRecords/`, or the records in any sub-folders.
        labels: "exact", or "merl" for comparison with published numbers: 38 columns by substring match. In MERL's test
            file AF then has 987 positives instead of 690, and VB 169 instead of none.
        merl_splits: folder of `chapman_train.csv`, `chapman_val.csv` and `chapman_test.csv`; None looks for them in
            `folder` and, where there are none, draws 70 % train, 10 % val, 20 % test by record (there are no
            patients), of the records whose every code is in the publisher's list.
        fs_hz, duration_s: rate in hertz and length in seconds of every record.
        n_records: read about this many; None reads all.
        seed: seed of a drawn split and of that draw.
        reading: `max_bad_share`, `allow_flat` (default True: six records have flat leads), `gaps`, `progress`: see
            `ReadingOptions`.

    Returns:
        The cohort "csn" with the tasks csn (the 38 classes) and csn_all (every acronym that occurs, always exact;
        sinus bradycardia, SB, is only there).

    Raises:
        TableError: no recordings are there, or the split files lack a column.
        SplitError: a split is empty.
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
    """
    if labels not in get_args(CsnLabels):
        raise ArgumentError(f"labels is {labels!r}", field="labels", expected="'exact' or 'merl'")
    options = reading_options(fs_hz, duration_s, reading, allow_flat=True)
    root = existing_folder(folder)
    files = find_files(root, ".hea")
    if not files:
        raise TableError("no recordings in the folder", file=root, expected="WFDBRecords/, with files ending in .hea")
    splits = merl_splits_of(root, merl_splits, "chapman", ["ecg_path", "diagnose"])
    notes: dict[str, int] = {}
    if splits is None:
        texts = _read_acronyms(files, notes)
        rows = draw_splits([_row(files[name], "", text, labels) for name, text in texts.items()], seed)
    else:
        notes[NOT_IN_FOLDER] = len(splits.keys() - files.keys())
        notes[NOT_IN_SPLITS] = len(files.keys() - splits.keys())
        listed = [(path, *splits[name]) for name, path in files.items() if name in splits]
        rows = [_row(path, split, line["diagnose"], labels) for path, split, line in listed]
    everything = sorted({acronym for row in rows for acronym in row.labels["csn_all"]})
    tasks = {"csn": CSN_CLASSES, "csn_all": tuple(everything)}
    words = {acronym: name for acronym, name, _ in csn_statements()}
    return RecordTable(
        "csn", root, rows, tasks, options, n_records=n_records, seed=seed, descriptions=words, notes=notes
    )


def csn_labels(diagnoses: str, labels: CsnLabels = "exact") -> tuple[str, ...]:
    """The classes of one record, in class order.

    Args:
        diagnoses: acronyms with commas between them, as MERL's column `diagnose`.
        labels: "exact", or "merl" for its substring match.

    Returns:
        Classes of `CSN_CLASSES`.

    Example:
        >>> csn_labels("AFIB,2AVB"), csn_labels("AFIB,2AVB", "merl")
        (('2AVB', 'AFIB'), ('2AVB', 'VB', 'AF', 'AVB', 'AFIB'))
    """
    listed = split_labels(diagnoses, ",")
    return tuple(name for name in CSN_CLASSES if (name in listed if labels == "exact" else name in diagnoses))


def csn_acronyms(codes: Sequence[str]) -> str | None:
    """Acronyms of a header's codes with commas between them, or None where the publisher's list lacks a code.

    Example:
        >>> csn_acronyms(["164889003", "59118001"]), csn_acronyms(["55827005"])
        ('AFIB,RBBB', None)
    """
    first = {code: acronym for acronym, _, code in reversed(csn_statements())}
    return ",".join(first[code] for code in codes) if codes and all(code in first for code in codes) else None


def _row(path: Path, split: str, diagnoses: str, labels: CsnLabels) -> RecordRow:
    named = {"csn": csn_labels(diagnoses, labels), "csn_all": split_labels(diagnoses, ",")}
    return RecordRow(path.name, path, split, labels=named)


def _read_acronyms(files: Mapping[str, Path], notes: dict[str, int]) -> dict[str, str]:
    """Record -> acronyms with commas, for the records that the benchmark would keep; drops are counted."""
    texts: dict[str, str] = {}
    unknown, unreadable = "left out: a code is not in the publisher's list", "left out: the header cannot be read"
    notes |= {unknown: 0, unreadable: 0}
    for name, path in files.items():
        try:
            text = csn_acronyms(read_header(path.parent / f"{path.name}.hea").snomed)
        except EcgScanLabError:
            notes[unreadable] += 1
            continue
        if text is None:
            notes[unknown] += 1
        else:
            texts[name] = text
    return texts
