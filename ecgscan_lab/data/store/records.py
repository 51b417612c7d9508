"""A finished store, opened: recordings on disk that training reads as if they were in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ecgscan_lab.data.reading import RecordRow, choose_rows, hash_records
from ecgscan_lab.data.resampling import check_rate_and_length, standardize
from ecgscan_lab.data.store.manifest import ShardNote, is_sound, read_manifest
from ecgscan_lab.data.store.shards import Shard, map_shard, restore
from ecgscan_lab.errors import LabelError, StoreError
from ecgscan_lab.types import Cohort, EcgRecord, SkippedRecord


@dataclass(frozen=True, eq=False)
class RecordStore:
    """Recordings of a finished store; what `types.TrainingData` asks for, without holding signals in memory.

    A copy that travels to a worker process is its path: the shards are mapped again there.

    Attributes:
        path: folder of the store.
        name: name of the corpus.
        fs_hz: sampling rate shared by all recordings.
        n_samples: samples a lead.
        tasks: task name -> class names.
        data_sha256: hash of identifiers, splits, labels, reports and signals, in order; not of the shards' size.
        repairs: sentence of a documented repair -> number of recordings.
        skipped: recordings that could not be read.
        descriptions: class name -> plain words.
    """

    path: Path
    name: str
    fs_hz: float
    n_samples: int
    tasks: Mapping[str, tuple[str, ...]]
    data_sha256: str
    repairs: Mapping[str, int] = field(repr=False)
    skipped: tuple[SkippedRecord, ...] = field(repr=False)
    descriptions: Mapping[str, str] = field(repr=False)
    shards: tuple[ShardNote, ...] = field(repr=False)
    left_out: tuple[int, ...] = field(repr=False)
    _mapped: dict[int, Shard] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return sum(note.records for note in self.shards) - len(self.left_out)

    def __repr__(self) -> str:
        return f"RecordStore({self.name!r}, {len(self)} records, {self.n_samples} samples at {self.fs_hz:g} Hz)"

    def __reduce__(self) -> Any:
        return _reopen, (str(self.path), self.data_sha256)

    @cached_property
    def record_ids(self) -> np.ndarray:
        """Name of each recording `[record]`."""
        return np.asarray(self._column("record_id").to_pylist(), dtype=np.str_)

    @cached_property
    def patients(self) -> np.ndarray:
        """Patient of each recording `[record]`; one without counts as a patient of its own."""
        alone = pc.binary_join_element_wise("record ", self._column("record_id"), "")
        return np.asarray(pc.coalesce(self._column("patient_id"), alone).to_pylist(), dtype=np.str_)

    @cached_property
    def splits(self) -> np.ndarray:
        """Split of each recording `[record]`."""
        return np.asarray(self._column("split").to_pylist(), dtype="<U5")

    @cached_property
    def folds(self) -> np.ndarray:
        """Fold of each recording, int64 `[record]`; -1 where it has none."""
        folds: np.ndarray = pc.fill_null(self._column("fold"), -1).to_numpy().astype(np.int64)
        return folds

    def indices(self, split: str) -> np.ndarray:
        """Positions of the recordings of one split, ascending `[n]`."""
        return np.flatnonzero(self.splits == split)

    def targets(self, task: str) -> np.ndarray:
        """Multi-hot labels, int8 `[record, class]`; a recording without this task's labels is a row of zeros.

        Raises:
            LabelError: the store has no such task.
        """
        if task not in self.tasks:
            raise LabelError(f"no task {task!r}", field="task", expected=f"one of {', '.join(self.tasks)}")
        texts, of_record = self._labels
        distinct = np.zeros((len(texts), len(self.tasks[task])), dtype=np.int8)
        column = {name: j for j, name in enumerate(self.tasks[task])}
        for i, labels in enumerate(texts):
            for label in labels.get(task, ()):
                if label in column:
                    distinct[i, column[label]] = 1
        return distinct[of_record]

    def reports(self, indices: np.ndarray | None = None) -> list[str]:
        """Report texts of some recordings, or of all; "" for one without."""
        texts, of_record = self._reports
        return [texts[i] for i in (of_record if indices is None else of_record[indices]).tolist()]

    def read_signals_mv(self, indices: np.ndarray | Sequence[int]) -> np.ndarray:
        """Read some recordings from the disk, in any order.

        Args:
            indices: positions `[n]`.

        Returns:
            float32 `[n, 12, time]` in mV, canonical lead order; NaN marks what was not recorded.
        """
        raw = self._kept[np.asarray(indices, dtype=np.int64)]
        signals_mv = np.empty((len(raw), 12, self.n_samples), dtype=np.float32)
        shard_of = np.searchsorted(self._starts, raw, side="right") - 1
        for number in np.unique(shard_of).tolist():
            wanted = np.flatnonzero(shard_of == number)
            shard, rows = self._shard(number), raw[wanted] - self._starts[number]
            signals_mv[wanted] = restore(shard.steps[rows], shard.steps_per_mv[rows], shard.has_gaps[rows])
        return signals_mv

    def to_cohort(self, indices: np.ndarray | Sequence[int] | None = None) -> Cohort:
        """Some recordings, or all, as a cohort in memory: signals, labels, reports, splits.

        Args:
            indices: positions `[n]`; None takes all.

        Properties: `data_sha256` is that of the cohort the store was built from, where its samples are whole
        microvolts.
        """
        chosen = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        signals_mv = self.read_signals_mv(chosen)
        label_texts, label_of = self._labels
        patient_ids = self._column("patient_id")
        records = tuple(
            EcgRecord(
                record_id=str(self.record_ids[i]),
                signal_mv=signal_mv,
                fs_hz=self.fs_hz,
                patient_id=patient_ids[i].as_py(),
                labels=label_texts[label_of[i]],
                report=report,
                split=str(self.splits[i]),
                fold=None if self.folds[i] < 0 else int(self.folds[i]),
                provenance={"source": self.name, "repairs": []},
            )
            for i, signal_mv, report in zip(chosen.tolist(), signals_mv, self.reports(chosen), strict=True)
        )
        cohort = Cohort(
            name=self.name,
            records=records,
            tasks=self.tasks,
            skipped=self.skipped,
            repairs=self.repairs,
            data_sha256=hash_records(records),
            descriptions=self.descriptions,
        )
        cohort.__dict__["signals_mv"] = signals_mv  # fills the cached property: no second copy of the signals
        return cohort

    @cached_property
    def _starts(self) -> np.ndarray:
        """First raw row of each shard."""
        return np.cumsum([0, *(note.records for note in self.shards)])[:-1]

    @cached_property
    def _kept(self) -> np.ndarray:
        """Raw rows of the recordings, without what was left out."""
        return np.setdiff1d(np.arange(len(self) + len(self.left_out)), self.left_out)

    @cached_property
    def _labels(self) -> tuple[list[dict[str, tuple[str, ...]]], np.ndarray]:
        """Distinct label sets, and which of them each recording has."""
        texts, of_record = _distinct(self._column("labels"))
        return [{task: tuple(names) for task, names in json.loads(text).items()} for text in texts], of_record

    @cached_property
    def _reports(self) -> tuple[list[str], np.ndarray]:
        """Distinct reports, and which of them each recording has."""
        return _distinct(self._column("report"))

    def _shard(self, number: int) -> Shard:
        if number not in self._mapped:
            self._mapped[number] = map_shard(self.path / self.shards[number].file, self.n_samples)
        return self._mapped[number]

    def _column(self, name: str) -> pa.ChunkedArray:
        whole = pa.chunked_array([self._shard(number).table.column(name) for number in range(len(self.shards))])
        return whole if not self.left_out else whole.take(pa.array(self._kept))


def open_store(path: str | PathLike[str]) -> RecordStore:
    """Open a finished store without reading its signals.

    Args:
        path: the folder that `build_store` was given.

    Raises:
        StoreError: no finished store is there, it is of another version, or a shard is missing or has another size.
    """
    folder = Path(path)
    fields = read_manifest(folder)
    try:
        shards = tuple(ShardNote(**entry) for entry in fields["shards"])
        store = RecordStore(
            path=folder,
            name=str(fields["name"]),
            fs_hz=float(fields["fs_hz"]),
            n_samples=int(fields["n_samples"]),
            tasks={task: tuple(names) for task, names in fields["tasks"].items()},
            data_sha256=str(fields["data_sha256"]),
            repairs=fields["repairs"],
            skipped=tuple(SkippedRecord(*entry) for entry in fields["skipped"]),
            descriptions=fields["descriptions"],
            shards=shards,
            left_out=tuple(fields["left_out"]),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise StoreError("the manifest is damaged", file=folder, field="store.json", fix="prepare it again") from error
    for note in shards:
        shard = folder / note.file
        n_bytes = shard.stat().st_size if shard.is_file() else None
        if Path(note.file).name != note.file or n_bytes != note.n_bytes:
            raise StoreError(
                "a shard is missing" if n_bytes is None else f"a shard has {n_bytes} bytes",
                file=shard,
                field="shards",
                expected=f"{note.n_bytes} bytes",
                fix="run `ecgscan-lab data prepare` again: damaged shards are written anew",
            )
    return store


@dataclass(frozen=True)
class StoreCheck:
    """What `verify_store` found: shards compared, and those that are not as they were written."""

    checked: int
    damaged: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether every shard is as it was written."""
        return not self.damaged


def verify_store(path: str | PathLike[str]) -> StoreCheck:
    """Hold every shard to the digest in the manifest.

    Args:
        path: folder of the store.

    Returns:
        The names of damaged or missing shards.

    Raises:
        StoreError: no finished store of this version is there.
    """
    folder = Path(path)
    notes = [ShardNote(**entry) for entry in read_manifest(folder)["shards"]]
    damaged = tuple(note.file for note in notes if not is_sound(folder / note.file, note))
    return StoreCheck(len(notes), damaged)


def load_store(
    folder: str | PathLike[str],
    *,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    n_records: int | None = None,
    seed: int = 0,
    max_bad_share: float = 0.05,
    progress: bool = False,
) -> Cohort:
    """Load a store, or a part of it, into memory, for what asks for a cohort.

    Args:
        folder: folder of the store.
        fs_hz, duration_s: rate in hertz and length in seconds; the store's own take nothing, others are resampled,
            cut, or padded with NaN by `resampling.standardize`.
        n_records: about this many, whole patients and the splits' proportions kept; None takes all.
        seed: seed of that draw.
        max_bad_share, progress: as other loaders have them; a store holds no unreadable recordings.

    Returns:
        The cohort, under the name of the stored corpus.

    Raises:
        StoreError: as `open_store`.
    """
    check_rate_and_length(fs_hz, duration_s)
    store = open_store(folder)
    chosen = None
    if n_records is not None:
        split_of, patients = store.splits.tolist(), store.patients.tolist()
        rows = [RecordRow(str(i), store.path, split_of[i], patients[i]) for i in range(len(store))]
        chosen = np.array([int(row.record_id) for row in choose_rows(rows, n_records, seed)])
    cohort = store.to_cohort(chosen)
    if fs_hz == store.fs_hz and round(fs_hz * duration_s) == store.n_samples:
        return cohort
    records = tuple(standardize(record, fs_hz, duration_s) for record in cohort.records)
    return replace(cohort, records=records, data_sha256=hash_records(records))


def _distinct(column: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    encoded = pc.dictionary_encode(column).combine_chunks()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def _reopen(path: str, data_sha256: str) -> RecordStore:
    store = open_store(path)
    if store.data_sha256 != data_sha256:
        raise StoreError(
            "the store has changed since it was opened", file=path, field="data_sha256", expected=data_sha256
        )
    return store
