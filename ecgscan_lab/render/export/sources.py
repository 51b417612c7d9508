"""Where recordings to draw come from: a folder, PTB-XL, a cohort of one's own, or the synthetic data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.corpora import read_ptbxl_tables
from ecgscan_lab.data.paths import inside
from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.data.tables import read_table, relative_record_path
from ecgscan_lab.data.wfdb_records import read_record
from ecgscan_lab.errors import ArgumentError, RecordError, TableError
from ecgscan_lab.types import EcgRecord

DEFAULT_SYNTHETIC = 24
MAX_SYNTHETIC = 100_000


@dataclass(frozen=True)
class RecordSource:
    """An ordered list of recordings, each read when it is asked for.

    Attributes:
        kind: "folder", "ptbxl", "cohort" or "synthetic".
        names: one name a recording, all different: its path below `folder` without an ending. A page's seed is drawn
            from it.
        folder: what the names are relative to; None for synthetic recordings.
        fs_hz: rate that recordings are brought to, None for their own.
        seed: seed of synthetic recordings.
    """

    kind: str
    names: tuple[str, ...] = field(repr=False)
    folder: Path | None = None
    fs_hz: float | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def sha256(self) -> str:
        """Hash of the kind and the names, in order."""
        return hashlib.sha256(json.dumps([self.kind, self.seed, *self.names]).encode()).hexdigest()

    def read(self, i: int) -> EcgRecord:
        """Read recording i from its file.

        Raises:
            RecordError, LeadError: it cannot be read, or is a link out of its folder.
        """
        if self.folder is None:
            raise ArgumentError("synthetic recordings have no files", field="source", expected="a folder")
        header = self.folder / f"{self.names[i]}.hea"
        if not inside(self.folder, header):
            raise RecordError("the record is a link out of its folder", file=header, fix="copy the file there")
        return read_record(header, fs_hz=self.fs_hz, allow_flat=True)

    def made(self) -> list[EcgRecord]:
        """All synthetic recordings at once; none for the other kinds."""
        if self.folder is not None:
            return []
        return synthetic_records(len(self), self.seed, fs_hz=500.0 if self.fs_hz is None else self.fs_hz)


def find_records(source: str | PathLike[str], *, fs_hz: float | None = None, seed: int = 0) -> RecordSource:
    """List the recordings of a source without reading them.

    Args:
        source: a folder of WFDB records (sub-folders too), "ptbxl:FOLDER" (the official layout; above 100 Hz its
            500 Hz files), "cohort:FOLDER" (with a `cohort.csv`), or "synthetic", "synthetic:N" for N recordings.
        fs_hz: rate to bring recordings to; None keeps their own (PTB-XL: the 100 Hz files; synthetic: 500 Hz).
        seed: seed of synthetic recordings.

    Returns:
        The list, in the order of the table, or of the names.

    Raises:
        ArgumentError: the source is none of these.
        TableError: the folder or a table is missing, or lists nothing.

    Example:
        >>> find_records("synthetic:3").names
        ('synthetic-0-000000', 'synthetic-0-000001', 'synthetic-0-000002')
    """
    text = str(source)
    kind, colon, rest = text.partition(":")
    if kind == "synthetic":
        count = rest if colon else str(DEFAULT_SYNTHETIC)
        if not count.isascii() or not count.isdigit() or not 0 < int(count) <= MAX_SYNTHETIC:
            raise ArgumentError(
                f"cannot make {count!r} recordings",
                field="source",
                expected=f"synthetic:N, N from 1 to {MAX_SYNTHETIC}",
            )
        names = tuple(f"synthetic-{seed}-{i:06d}" for i in range(int(count)))
        return RecordSource("synthetic", names, fs_hz=fs_hz, seed=seed)
    if colon and kind in ("ptbxl", "cohort"):
        root = existing_folder(rest)
        if kind == "ptbxl":
            rows = read_ptbxl_tables(root, high_rate=fs_hz is not None and fs_hz > 100.0)[0]
            return _source(kind, root, [r.path.relative_to(root).as_posix() for r in rows], fs_hz)
        table = root / "cohort.csv"
        lines = read_table(table, ["record"])
        return _source(kind, root, [relative_record_path(table, line["record"]).as_posix() for line in lines], fs_hz)
    root = existing_folder(source)
    found = sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.hea"))
    if not found:
        raise TableError(
            "no WFDB record in the folder",
            file=root,
            field="source",
            expected="files that end in .hea",
            fix="name the folder that holds the records, or write ptbxl:FOLDER or cohort:FOLDER",
        )
    return _source("folder", root, found, fs_hz)


def _source(kind: str, root: Path, paths: Sequence[str], fs_hz: float | None) -> RecordSource:
    if len(set(paths)) < len(paths):
        raise TableError("a record is listed twice", file=root, field="record", expected="one line a record")
    return RecordSource(kind, tuple(paths), root, fs_hz)
