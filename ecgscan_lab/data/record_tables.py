"""A corpus before its signals are read: rows, tasks and options, from which a cohort or a store is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from ecgscan_lab.data.reading import ReadingOptions, RecordRow, assemble_cohort, choose_rows, file_of, read_all
from ecgscan_lab.data.splits import check_assignment
from ecgscan_lab.types import SPLITS, Cohort

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True)
class RecordTable:
    """What a loader knows before it reads a signal.

    Attributes:
        name: name of the cohort.
        folder: the folder that every file must lie in.
        rows: what to read, each with its split.
        tasks: task name -> class names.
        options: rate, length, and what to do with imperfect records.
        n_records: read about this many, drawn by `choose_rows`; None reads all.
        seed: seed of that draw.
        descriptions: class name -> plain words.
        notes: sentences about the table for `repairs`, each with its count; those of count 0 are dropped.
        required_splits: splits that must not be empty.
        split_by_record: let patients sit in several splits, and count them in `repairs`; only to repeat published work.
    """

    name: str
    folder: Path
    rows: Sequence[RecordRow] = field(repr=False)
    tasks: Mapping[str, tuple[str, ...]]
    options: ReadingOptions
    n_records: int | None = None
    seed: int = 0
    descriptions: Mapping[str, str] = field(default_factory=dict, repr=False)
    notes: Mapping[str, int] = field(default_factory=dict, repr=False)
    required_splits: Iterable[str] = SPLITS
    split_by_record: bool = False

    def checked_rows(self) -> tuple[list[RecordRow], dict[str, int]]:
        """The rows that will be read, in order, and the notes with what was left out.

        Raises:
            SplitError: a split is empty, or a patient is in two.
            ArgumentError: `n_records` is no number of at least 3.
        """
        rows = list(self.rows)
        if self.options.only_present:
            rows = [row for row in rows if file_of(row).exists()]
        patients = [row.record_id if self.split_by_record else row.patient for row in rows]
        check_assignment([row.record_id for row in rows], patients, [row.split for row in rows], self.required_splits)
        notes = {**self.notes, "listed without files; left out by only_present": len(self.rows) - len(rows)}
        if self.n_records is not None:
            rows = choose_rows(rows, self.n_records, self.seed)
        return rows, notes


def load_table(table: RecordTable, *, part_copies: bool = True) -> Cohort:
    """Read the records of a table into a cohort.

    Args:
        table: what to read.
        part_copies: leave out the copy in the lower split of a signal that is in two, as `assemble_cohort` says.

    Returns:
        The cohort, whose `signals_mv` and records share one array.

    Raises:
        TooManyBadRecordsError: more than `max_bad_share` of the records are unreadable.
        SplitError: a split is empty, or a patient is in two.
    """
    rows, notes = table.checked_rows()
    records, signals_mv, skipped = read_all(table.folder, rows, table.options)
    return assemble_cohort(
        table.name,
        records,
        signals_mv,
        table.tasks,
        skipped=skipped,
        notes=notes,
        descriptions=table.descriptions,
        required_splits=table.required_splits,
        split_by_record=table.split_by_record,
        part_copies=part_copies,
    )


def cohort_loader(tabulate: Callable[Arguments, RecordTable]) -> Callable[Arguments, Cohort]:
    """Make a loader of a function that reads a corpus's tables: the same arguments, and the signals read as well.

    The function itself stays at `__wrapped__`, so that a store can be built row by row (`record_tables.table_of`).
    """

    @wraps(tabulate)
    def load(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Cohort:
        return load_table(tabulate(*args, **kwargs))

    load.__annotations__ = {**tabulate.__annotations__, "return": "Cohort"}
    return load
