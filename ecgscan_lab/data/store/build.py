"""Build a store: read in parallel, write shard by shard, go on where a killed run stopped, and end with a manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.data.disk import file_digests
from ecgscan_lab.data.reading import too_many_bad
from ecgscan_lab.data.record_tables import RecordTable
from ecgscan_lab.data.store.finish import write_manifest
from ecgscan_lab.data.store.manifest import (
    MANIFEST,
    ShardNote,
    StorePlan,
    note_of,
    shard_file,
    write_note,
    write_plan,
)
from ecgscan_lab.data.store.records import RecordStore, open_store
from ecgscan_lab.data.store.shards import quantise, write_shard
from ecgscan_lab.data.store.sources import StoreSource, find_source
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, StoreError
from ecgscan_lab.process_pool import in_processes
from ecgscan_lab.types import Cohort, EcgRecord, SkippedRecord

SHARD_SIZE = 1024


def build_store(
    source: str | Cohort | RecordTable,
    out: str | PathLike[str],
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    workers: int = 1,
    shard_size: int = SHARD_SIZE,
    n_records: int | None = None,
    seed: int = 0,
    progress: bool = False,
    **how: Any,
) -> RecordStore:
    """Prepare recordings for training: whole numbers in Arrow shards, checked, that map into memory.

    Recordings are read from the source's row table a shard at a time, so that memory does not grow with their number.
    Each shard is written whole and noted with its SHA-256; a run that was killed goes on after those, and a finished
    store is held to its digests. A signal that sits in two splits is left out of the lower one, as
    `reading.assemble_cohort` does.

    Args:
        source: an address as for `data.load_cohort` ("mimic:FOLDER", "ptbxl:FOLDER", ..., "synthetic"), or a
            `RecordTable` or cohort.
        out: folder of the store; made when it is missing.
        fs_hz, duration_s: rate in hertz and length in seconds of every recording.
        workers: processes that read.
        shard_size: recordings a shard.
        n_records: about this many, whole patients and the splits' proportions kept; None takes all.
        seed: seed of synthetic recordings, drawn splits and that draw.
        progress: show a progress bar.
        how: further keywords of the corpus's loader.

    Returns:
        The store, opened.

    Raises:
        StoreError: the folder holds another store, the disk is full, the folder refuses, or a worker died.
        TooManyBadRecordsError: more than `max_bad_share` of the recordings are unreadable.
        SplitError: a split is empty, or a patient is in two.

    Properties: the same bytes for any number of workers, and whether or not a run was killed; nothing half-written
    under a final name.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     store = build_store("synthetic", folder, n_records=60)
        ...     len(store), store.read_signals_mv(store.indices("train")[:2]).shape
        (60, (2, 12, 1000))
    """
    for name, value in (("workers", workers), ("shard_size", shard_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ArgumentError(f"{name} is {value!r}", field=name, expected="a whole number of at least 1")
    found = find_source(source, fs_hz=fs_hz, duration_s=duration_s, n_records=n_records, seed=seed, **how)
    folder = Path(out)
    plan = StorePlan(found.name, found.fs_hz, found.n_samples, len(found.items), shard_size, found.items_sha256)
    write_plan(folder, plan)
    _clear_unfinished(folder)
    notes: dict[int, ShardNote] = {}
    with closing(_bar(plan.n_listed) if progress else _NoBar()) as bar:
        for number in range(plan.n_shards):
            note = note_of(folder / shard_file(number))
            if note is not None:
                notes[number] = note
                bar.update(_listed(plan, number))
        missing = [number for number in range(plan.n_shards) if number not in notes]
        if not missing and (folder / MANIFEST).is_file():
            return open_store(folder)
        (folder / MANIFEST).unlink(missing_ok=True)
        n_bad = sum(len(note.skipped) for note in notes.values())
        for number, note in _run(found, folder, shard_size, missing, workers):
            notes[number] = note
            n_bad += len(note.skipped)
            bar.update(_listed(plan, number))
            if n_bad > found.max_bad_share * len(found.items):
                raise _too_many(folder, found, notes)
    write_manifest(folder, found, plan, [notes[number] for number in range(plan.n_shards)])
    return open_store(folder)


@dataclass(frozen=True)
class _Work:
    """What a worker needs to know once."""

    read: Any
    folder: Path
    n_samples: int


def _write_one(work: _Work, number: int, items: Sequence[Any]) -> tuple[int, ShardNote]:
    """Read the recordings of a shard, write it, and note it down."""
    path = work.folder / shard_file(number)
    steps = np.empty((len(items), 12, work.n_samples), dtype=np.int16)
    steps_per_mv = np.empty((len(items), 12), dtype=np.float32)
    records: list[EcgRecord] = []
    skipped: list[SkippedRecord] = []
    repairs: Counter[str] = Counter()
    for item in items:
        try:
            record = work.read(item)
            steps[len(records)], steps_per_mv[len(records)] = quantise(record.signal_mv)
        except ArgumentError:
            raise
        except EcgScanLabError as error:
            skipped.append(SkippedRecord(item.record_id, type(error).__name__, str(error)))
            continue
        repairs.update({sentence.partition(": ")[0] for sentence in record.provenance.get("repairs", ())})
        records.append(replace(record, signal_mv=record.signal_mv[:, :0], truth=None))
    write_shard(path, records, steps[: len(records)], steps_per_mv[: len(records)])
    note = ShardNote(
        file=path.name,
        records=len(records),
        n_bytes=path.stat().st_size,
        sha256=file_digests(path)["sha256"],
        skipped=tuple((bad.record_id, bad.error, bad.message) for bad in skipped),
        repairs=dict(sorted(repairs.items())),
    )
    write_note(path, note)
    return number, note


def _run(
    source: StoreSource, folder: Path, shard_size: int, numbers: Sequence[int], workers: int
) -> Iterator[tuple[int, ShardNote]]:
    """Write the wanted shards here or in processes, in whatever order they are finished."""
    work = _Work(source.read, folder, source.n_samples)
    tasks = ((number, source.items[number * shard_size : (number + 1) * shard_size]) for number in numbers)
    if workers == 1 or len(numbers) < 2:
        for number, items in tasks:
            yield _write_one(work, number, items)
        return
    yield from in_processes(
        _write_in_worker,
        tasks,
        min(workers, len(numbers)),
        ahead=2 * workers,
        start=_start_worker,
        given=(work,),
        error=StoreError,
        kept="finished shards are kept; ",
    )


_work: _Work | None = None


def _start_worker(work: _Work) -> None:
    """Run once in each process."""
    global _work
    _work = work


def _write_in_worker(number: int, items: Sequence[Any]) -> tuple[int, ShardNote]:
    assert _work is not None
    return _write_one(_work, number, items)


def _too_many(folder: Path, source: StoreSource, notes: dict[int, ShardNote]) -> EcgScanLabError:
    skipped = [SkippedRecord(*entry) for number in sorted(notes) for entry in notes[number].skipped]
    n_read = sum(note.records for note in notes.values())
    return too_many_bad(folder, skipped, n_read, len(source.items), source.max_bad_share)


def _clear_unfinished(folder: Path) -> None:
    """Remove what a killed run was writing; such names start with a dot."""
    try:
        for path in folder.glob(".shard-*.*"):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot clear the folder ({error.strerror})", file=folder, field="out") from error


def _listed(plan: StorePlan, number: int) -> int:
    return min(plan.shard_size, plan.n_listed - number * plan.shard_size)


class _NoBar:
    """A progress bar that shows nothing."""

    def update(self, n: int) -> None: ...

    def close(self) -> None: ...


def _bar(total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc="preparing records", unit="record")
