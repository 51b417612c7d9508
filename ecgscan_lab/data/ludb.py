"""LUDB: 200 recordings of 10 s, one a subject, with cardiologists' diagnoses in the header comments.

A. Kalyakulina et al. (2020), "LUDB: A New Open-Access Validation Tool for Electrocardiogram Delineation Algorithms",
IEEE Access 8. Its headers give each lead a gain of its own, so that every lead spans 1; `read_record` sees that the
limb-lead laws hold for the digital values and takes them, 1000 steps a millivolt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.paths import inside, read_bounded
from ecgscan_lab.data.published_splits import draw_splits, find_files, reading_options
from ecgscan_lab.data.reading import RecordRow
from ecgscan_lab.data.record_tables import RecordTable, cohort_loader
from ecgscan_lab.data.wfdb_header import MAX_HEADER_BYTES
from ecgscan_lab.errors import RecordError, TableError

_RHYTHM = "rhythm:"
_AXIS = "electric axis of the heart:"
_SPACE = re.compile(r"\s+")


@cohort_loader
def load_ludb(
    folder: str | PathLike[str],
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **reading: Any,
) -> RecordTable:
    """Load LUDB from its published folder: signals, diagnoses as report, and three label sets.

    Args:
        folder: holds `data/1.hea`, ..., or the records themselves.
        fs_hz, duration_s: rate in hertz and length in seconds of every record.
        n_records: read about this many; None reads all.
        seed: seed of the splits, drawn by record since each is a subject of its own, and of that draw.
        reading: `max_bad_share`, `allow_flat` (default True), `gaps`, `progress`: see `ReadingOptions`.

    Returns:
        The cohort "ludb" with the tasks rhythm, axis and findings; their classes are the words that occur, a finding
        without its place ("ischemia: septal" counts as "ischemia"). Age and sex are not taken over.

    Raises:
        TableError: no recordings are there.
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
    """
    options = reading_options(fs_hz, duration_s, reading, allow_flat=True)
    root = existing_folder(folder)
    rows = []
    for name, path in find_files(root, ".hea").items():
        statements = _read_statements(root, path.parent / f"{name}.hea")
        report = " ".join(f"{text[:1].upper()}{text[1:]}." for text in statements)
        rows.append(RecordRow(name, path, "", patient_id=name, labels=ludb_labels(statements), report=report))
    if not rows:
        raise TableError("no recordings in the folder", file=root, expected="data/1.hea, data/2.hea, ...")
    tasks = {
        task: tuple(sorted({label for row in rows for label in row.labels.get(task, ())}))
        for task in ("rhythm", "axis", "findings")
    }
    words = {label: label for labels in tasks.values() for label in labels}
    placed = draw_splits(rows, seed)
    return RecordTable("ludb", root, placed, tasks, options, n_records=n_records, seed=seed, descriptions=words)


def ludb_labels(statements: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Labels of one record's statements.

    Args:
        statements: lower case, without full stops.

    Returns:
        "rhythm", "axis" and "findings" -> labels.

    Example:
        >>> ludb_labels(["rhythm: sinus rhythm", "ischemia: septal", "ischemia: apical"])
        {'rhythm': ('sinus rhythm',), 'axis': (), 'findings': ('ischemia',)}
    """
    rhythm = [text.removeprefix(_RHYTHM).strip() for text in statements if text.startswith(_RHYTHM)]
    axis = [f"{text.removeprefix(_AXIS).strip()} axis" for text in statements if text.startswith(_AXIS)]
    axis = [label.removesuffix(" axis") if "axis " in label else label for label in axis]
    rest = [text.partition(":")[0].strip() for text in statements if not text.startswith((_RHYTHM, _AXIS))]
    # dict.fromkeys drops repeats and keeps the order; "" is a comment without words.
    return {
        task: tuple(dict.fromkeys(label for label in labels if label))
        for task, labels in (("rhythm", rhythm), ("axis", axis), ("findings", rest))
    }


def _read_statements(root: Path, header: Path) -> list[str]:
    """The comments after "<diagnoses>:", lower case; none where the header cannot be read, which reading will say."""
    try:
        if not inside(root, header):
            return []
        text = read_bounded(header, MAX_HEADER_BYTES).decode("utf-8", errors="replace")
    except RecordError:
        return []
    comments = [line.strip().lstrip("#").strip().lower() for line in text.splitlines() if line.strip().startswith("#")]
    start = next((k + 1 for k, line in enumerate(comments) if line.startswith("<diagnoses>")), len(comments))
    return [text for line in comments[start:] if (text := _SPACE.sub(" ", line).strip(" ."))]
