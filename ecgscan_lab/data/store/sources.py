"""What a store is built of: an ordered list of things to read, and what is known before any is read."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

from ecgscan_lab.data import FOLDER_KINDS, known_sources, synthetic_count
from ecgscan_lab.data.reading import RecordRow, read_row
from ecgscan_lab.data.record_tables import RecordTable
from ecgscan_lab.data.store.shards import labels_text
from ecgscan_lab.data.synthetic import TASKS, draw_visit, synthetic_visits
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import SPLITS, Cohort, EcgRecord


@dataclass(frozen=True, eq=False)
class StoreSource:
    """Recordings to store.

    Attributes:
        name: name of the store.
        items: what `read` turns into one recording each.
        read: a picklable function, called in whichever process.
        fs_hz, duration_s: rate and length of every recording read.
        tasks: task name -> class names.
        items_sha256: digest of the list, so that a resumed build knows its own.
        descriptions: class name -> plain words.
        notes: sentences about what was left out before reading, each with its count.
        required_splits: splits that must not be empty.
        split_by_record: patients may sit in several splits.
        max_bad_share: the share of unreadable recordings at which building stops.
    """

    name: str
    items: Sequence[Any] = field(repr=False)
    read: Callable[[Any], EcgRecord] = field(repr=False)
    fs_hz: float
    duration_s: float
    tasks: Mapping[str, tuple[str, ...]]
    items_sha256: str
    descriptions: Mapping[str, str] = field(default_factory=dict, repr=False)
    notes: Mapping[str, int] = field(default_factory=dict, repr=False)
    required_splits: tuple[str, ...] = SPLITS
    split_by_record: bool = False
    max_bad_share: float = 0.05

    @property
    def n_samples(self) -> int:
        """Samples a lead of every recording."""
        return max(1, round(self.fs_hz * self.duration_s))


def table_of(source: str, **how: Any) -> RecordTable:
    """The table of a corpus, read without its signals.

    Args:
        source: "ptbxl:FOLDER", "mimic:FOLDER", ..., as for `data.load_cohort`.
        how: keywords of that corpus's loader.

    Raises:
        ArgumentError: the source is unknown, or has no table.
        EcgScanLabError: as the loader does for its tables.
    """
    kind, _, folder = source.partition(":") if isinstance(source, str) else ("", "", "")
    if kind not in FOLDER_KINDS or kind == "store" or not folder:
        raise ArgumentError(
            f"cannot list the recordings of {source!r}",
            field="source",
            expected=known_sources(),
            fix="write the folder after a colon, for instance mimic:data/mimic-iv-ecg",
        )
    module, name = FOLDER_KINDS[kind]
    table: RecordTable = inspect.unwrap(getattr(importlib.import_module(module), name))(folder, **how)
    return table


def find_source(
    source: str | Cohort | RecordTable,
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    **how: Any,
) -> StoreSource:
    """List what a source holds, without reading a signal.

    Args:
        source: an address as for `data.load_cohort`, a table, or a cohort in memory.
        fs_hz, duration_s: rate in hertz and length in seconds; a table and a cohort bring their own.
        n_records: about this many; None takes 2000 synthetic ones, or all of a folder.
        seed: seed of synthetic recordings, of drawn splits and of that draw.
        how: further keywords of the corpus's loader, for instance `split="records"` for MIMIC-IV-ECG.

    Raises:
        ArgumentError: the source or a keyword is unknown.
        EcgScanLabError: as the loader does for its tables.
    """
    if isinstance(source, Cohort):
        return _of_cohort(source)
    if isinstance(source, RecordTable):
        return _of_table(source)
    n = synthetic_count(source, n_records)
    if n is not None:
        if how:
            raise ArgumentError(f"synthetic recordings know no {next(iter(how))}", field=next(iter(how)))
        visits = synthetic_visits(n, seed, fs_hz=fs_hz, duration_s=duration_s)
        return StoreSource(
            name="synthetic",
            items=visits,
            read=draw_visit,
            fs_hz=fs_hz,
            duration_s=duration_s,
            tasks=TASKS,
            items_sha256=_digest(visit.record_id for visit in visits),
            descriptions=_synthetic_words(),
        )
    return _of_table(
        table_of(source, fs_hz=fs_hz, duration_s=duration_s, n_records=n_records, seed=seed, **how),
    )


def _of_table(table: RecordTable) -> StoreSource:
    rows, notes = table.checked_rows()
    return StoreSource(
        name=table.name,
        items=rows,
        read=partial(_read_table_row, folder=table.folder, options=table.options),
        fs_hz=table.options.fs_hz,
        duration_s=table.options.duration_s,
        tasks=table.tasks,
        items_sha256=_digest(_row_text(row, table) for row in rows),
        descriptions=table.descriptions,
        notes=notes,
        required_splits=tuple(table.required_splits),
        split_by_record=table.split_by_record,
        max_bad_share=table.options.max_bad_share,
    )


def _of_cohort(cohort: Cohort) -> StoreSource:
    return StoreSource(
        name=cohort.name,
        items=cohort.records,
        read=_as_it_is,
        fs_hz=cohort.fs_hz,
        duration_s=cohort.n_samples / cohort.fs_hz,
        tasks=cohort.tasks,
        items_sha256=_digest([cohort.data_sha256, *(record.record_id for record in cohort.records)]),
        descriptions=cohort.descriptions,
        notes={},
        required_splits=tuple({record.split: None for record in cohort.records if record.split}),
        split_by_record=True,  # whoever made the cohort has checked it, or meant it so
    )


def _row_text(row: RecordRow, table: RecordTable) -> str:
    path = row.path.relative_to(table.folder) if row.path.is_relative_to(table.folder) else row.path
    where = f"{path.as_posix()}{row.suffix}:{row.member}"
    return "\0".join((row.record_id, where, row.split, row.patient, str(row.fold), labels_text(row.labels), row.report))


def _digest(texts: Iterable[str]) -> str:
    digest = sha256()
    for text in texts:
        digest.update(text.encode("utf-8", errors="surrogatepass") + b"\n")
    return digest.hexdigest()


def _read_table_row(row: RecordRow, folder: Any, options: Any) -> EcgRecord:
    return read_row(folder, row, options)


def _as_it_is(record: EcgRecord) -> EcgRecord:
    return record


def _synthetic_words() -> dict[str, str]:
    from ecgscan_lab.data.reports import DESCRIPTIONS

    return {code: DESCRIPTIONS[code] for classes in TASKS.values() for code in classes}
