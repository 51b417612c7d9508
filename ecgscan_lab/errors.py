"""One family of exceptions: what failed, where, what was expected, and how to put it right."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from os import PathLike


class EcgScanLabError(Exception):
    """Base of every error that ecgscan_lab raises on bad input.

    Args:
        what: what failed, in one sentence.
        file: the file it concerns, if any.
        field: the field, lead, column or argument it concerns, if any.
        expected: what would have been accepted.
        fix: what the reader can do about it.

    The parts stay available as attributes of the same names, so that a report can list them.
    """

    def __init__(
        self,
        what: str,
        *,
        file: str | PathLike[str] | None = None,
        field: str | None = None,
        expected: str | None = None,
        fix: str | None = None,
    ) -> None:
        self.what = what
        self.file = None if file is None else str(file)
        self.field = field
        self.expected = expected
        self.fix = fix
        parts = (("file", self.file), ("field", field), ("expected", expected), ("fix", fix))
        super().__init__("".join([what, *(f"\n  {name}: {text}" for name, text in parts if text is not None)]))


class RecordError(EcgScanLabError):
    """A recording cannot be read as the header says: missing, truncated, damaged, or with absurd numbers."""


class LeadError(EcgScanLabError):
    """A lead is missing, unknown, duplicated, or holds values that no electrode produces."""


class TableError(EcgScanLabError):
    """A table of records lacks a column, repeats a record, or holds a value outside its range."""


class LabelError(EcgScanLabError):
    """A label or task is unknown, or a label set cannot be evaluated."""


class ManifestError(EcgScanLabError):
    """A manifest is unknown, unreadable, or does not follow `data_manifests/schema.json`."""


class LicenceError(EcgScanLabError):
    """The publisher asks for an account, or for an agreement that only the reader can give."""


class FetchError(EcgScanLabError):
    """A download failed: no connection, no such file, a refused redirect, a folder that cannot be written."""


class IntegrityError(FetchError):
    """A file has another size or digest than its publisher lists, or cannot be shown to be whole."""


class DiskFullError(FetchError):
    """The disk has no room for a download or for what an archive holds."""


class ArchiveError(FetchError):
    """An archive is damaged, or holds what no data set needs: links, paths outside the folder, a bomb."""


class SplitError(EcgScanLabError):
    """A split is empty, unknown, or shares a patient with another one."""


class TooManyBadRecordsError(EcgScanLabError):
    """More records were unreadable than the caller allowed."""


class PageError(EcgScanLabError):
    """A page cannot be drawn with these measures, or with this signal."""


class PictureError(EcgScanLabError):
    """A picture file is missing, damaged, too large, or of a kind that is not read."""


class ArgumentError(EcgScanLabError, ValueError):
    """An argument has the wrong shape, dtype, range or name; `field` is the argument."""


class FeedError(EcgScanLabError):
    """Training got no batch: a record could not be read or drawn, or a worker process died or fell silent."""


class TrainingError(EcgScanLabError):
    """A run cannot go on: too many steps were not finite, memory is full, or processes are missing."""


class MemoryFullError(TrainingError):
    """The GPU or the machine has too little memory for the run; `fix` lists what makes it smaller."""


class TrackingError(EcgScanLabError):
    """The log of a run cannot be written, or is damaged."""


class CheckpointError(EcgScanLabError):
    """A checkpoint is missing, damaged, or belongs to another model, recipe or data set."""


class MissingExtraError(EcgScanLabError, ImportError):
    """An optional package is needed; `fix` is the one-line install command."""


class StoreError(EcgScanLabError):
    """A store of prepared recordings is unfinished, damaged, of another version, or cannot be written."""


class NotebookError(EcgScanLabError):
    """A notebook has no `parameters` cell, an unknown parameter was given, or one of its cells failed."""


class ExportError(EcgScanLabError):
    """A page or its ground truth cannot be written, or cannot be read back and remade."""


def nearest_name(name: object, known: Iterable[str]) -> str | None:
    """The `fix` for a name that is nearly a known one; None when it resembles none of them.

    >>> nearest_name("papper", ["tiny", "paper", "paper_plus"])
    "did you mean 'paper'?"
    """
    close = get_close_matches(name.lower(), list(known), n=1) if isinstance(name, str) else []
    return f"did you mean {close[0]!r}?" if close else None


def counted(n: int, noun: str) -> str:
    """A number with its noun, which takes an s unless there is just one.

    >>> counted(1, "shard"), counted(2000, "record")
    ('1 shard', '2,000 records')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
