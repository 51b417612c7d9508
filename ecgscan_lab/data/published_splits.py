"""Which split a published record is in: the split files of the MERL benchmark, or whole patients drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.reading import ReadingOptions, RecordRow
from ecgscan_lab.data.splits import split_by_patient
from ecgscan_lab.data.tables import Row, read_table
from ecgscan_lab.errors import ArgumentError, TableError
from ecgscan_lab.types import SPLITS

NOT_IN_FOLDER = "in the split files but not in the folder"
NOT_IN_SPLITS = "left out: in no split file"


def reading_options(fs_hz: float, duration_s: float, reading: Mapping[str, Any], **defaults: Any) -> ReadingOptions:
    """The options of a loader: what the caller said, else the corpus's own default, else the general one.

    Raises:
        ArgumentError: a keyword is unknown or its value makes no sense.
    """
    unknown = sorted(set(reading) - set(ReadingOptions.__dataclass_fields__))
    if unknown:
        raise ArgumentError(
            f"unknown keyword {', '.join(unknown)}",
            field=unknown[0],
            expected=f"among {', '.join(ReadingOptions.__dataclass_fields__)}",
        )
    return ReadingOptions(fs_hz=fs_hz, duration_s=duration_s, **{**defaults, **reading})


def find_files(root: Path, suffix: str) -> dict[str, Path]:
    """All files with a suffix below a folder: name without suffix -> path without suffix, in the order of names.

    Raises:
        TableError: two files have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(root.rglob(f"*{suffix}"), key=lambda path: (path.stem, path)):
        if path.stem in found:
            raise TableError(
                f"{path.stem} lies in two folders",
                file=root,
                field="record",
                expected="one file a record",
                fix="name the folder of one copy of the corpus",
            )
        found[path.stem] = path.with_suffix("")
    return found


def draw_splits(rows: Sequence[RecordRow], seed: int) -> list[RecordRow]:
    """Rows with splits drawn by patient: 70 % train, 10 % val, 20 % test.

    Raises:
        SplitError: there are fewer than three patients.
    """
    drawn = split_by_patient([row.patient for row in rows], seed=seed).tolist()
    return [replace(row, split=split) for row, split in zip(rows, drawn, strict=True)]


def read_merl_splits(
    folder: str | PathLike[str], corpus: str, required: Sequence[str]
) -> dict[str, tuple[str, Row]] | None:
    """MERL's split files of one corpus: record -> (split, line), or None where the folder has none of them.

    Args:
        folder: holds `<corpus>_train.csv`, `<corpus>_val.csv` and `<corpus>_test.csv`.
        corpus: "icbeb" (CPSC2018) or "chapman" (CSN).
        required: columns; the first is the record, whose folders and suffix are dropped.

    Raises:
        TableError: a file or column is missing, or a record is in two splits.
    """
    root = existing_folder(folder)
    paths = {split: root / f"{corpus}_{split}.csv" for split in SPLITS}
    if not any(path.exists() for path in paths.values()):
        return None
    lines: dict[str, tuple[str, Row]] = {}
    for split, path in paths.items():
        for line in read_table(path, required):
            name = Path(line[required[0]].strip()).name.removesuffix(".mat").removesuffix(".hea")
            if name in lines:
                raise TableError(f"record {name[:80]} is listed twice", file=path, field=required[0])
            lines[name] = (split, line)
    return lines


def merl_splits_of(
    root: Path, merl_splits: str | PathLike[str] | None, corpus: str, required: Sequence[str]
) -> dict[str, tuple[str, Row]] | None:
    """The split files that the caller named, else those that lie beside the records, else None.

    Raises:
        TableError: the caller named a folder without them.
    """
    found = read_merl_splits(root if merl_splits is None else merl_splits, corpus, required)
    if found is None and merl_splits is not None:
        raise TableError(
            "no split files",
            file=str(merl_splits),
            field="merl_splits",
            expected=f"{corpus}_train.csv, {corpus}_val.csv and {corpus}_test.csv",
        )
    return found
