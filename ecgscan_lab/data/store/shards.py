"""One shard: some hundreds of recordings as whole numbers in an Arrow file that is mapped into memory, not read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ecgscan_lab.data.reading import hash_records
from ecgscan_lab.data.splits import signal_key
from ecgscan_lab.errors import RecordError, StoreError
from ecgscan_lab.types import EcgRecord
from ecgscan_lab.whole_files import unfinished_file

STORE_VERSION = 1
STEPS_PER_MV = 1000.0  # microvolts
NOT_RECORDED = -32768  # as WFDB format 16 has it
_LARGEST = 32767.0
_N_LEADS = 12
_VERSION_KEY = b"ecgscan_lab.store"


def quantise(signal_mv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn millivolts into whole numbers, a microvolt a step.

    A lead beyond 32.767 mV gets longer steps, just so that it fits.

    Args:
        signal_mv: `[12, time]` in mV; NaN marks what was not recorded.

    Returns:
        int16 `[12, time]`, NaN as -32768, and float32 `[12]`, steps a millivolt of each lead.

    Raises:
        RecordError: a sample is infinite, or beyond 10 kV.

    Properties: whole microvolts within 32.767 mV come back bit for bit as float32; any other sample within half a step;
    NaN stays NaN and nothing else becomes NaN.

    Example:
        >>> steps, steps_per_mv = quantise(np.full((12, 2), 0.123, np.float32))
        >>> int(steps[0, 0]), float(steps_per_mv[0])
        (123, 1000.0)
    """
    largest_mv = np.nanmax(np.abs(signal_mv), axis=1, initial=0.0, where=~np.isnan(signal_mv))
    if not (largest_mv < 1e7).all():
        raise RecordError("a sample is infinite or beyond 10 kV", field="signal_mv", expected="millivolts")
    steps_per_mv = np.full(len(signal_mv), STEPS_PER_MV, dtype=np.float32)
    too_large = largest_mv > _LARGEST / STEPS_PER_MV
    # nextafter: float32 rounding up would carry the largest sample past int16.
    steps_per_mv[too_large] = np.nextafter(
        np.float32(_LARGEST) / largest_mv[too_large].astype(np.float32), np.float32(0)
    )
    steps = np.rint(signal_mv * steps_per_mv.astype(np.float64)[:, None])
    return np.where(np.isnan(steps), NOT_RECORDED, steps).astype(np.int16), steps_per_mv


def restore(steps: np.ndarray, steps_per_mv: np.ndarray, has_gaps: np.ndarray) -> np.ndarray:
    """Turn whole numbers back into millivolts.

    Args:
        steps: int16 `[n, 12, time]`.
        steps_per_mv: float32 `[n, 12]`.
        has_gaps: bool `[n]`, whether a recording has NaN at all.

    Returns:
        float32 `[n, 12, time]` in mV.
    """
    signals_mv = steps.astype(np.float32)
    # A division, not a product with the step: k / 1000 is then the float32 nearest to k microvolts.
    signals_mv /= steps_per_mv[:, :, None]
    for i in np.flatnonzero(has_gaps):
        signals_mv[i][steps[i] == NOT_RECORDED] = np.nan
    return signals_mv


def shard_schema(n_samples: int) -> pa.Schema:
    """Columns of a shard; the version is in its metadata."""
    return pa.schema(
        [
            pa.field("record_id", pa.string(), nullable=False),
            pa.field("patient_id", pa.string()),
            pa.field("split", pa.string(), nullable=False),
            pa.field("fold", pa.int16()),
            pa.field("labels", pa.string(), nullable=False),  # JSON: task -> labels
            pa.field("report", pa.string(), nullable=False),
            pa.field("n_gaps", pa.int32(), nullable=False),
            pa.field("signal_key", pa.binary(32)),
            pa.field("content_sha256", pa.binary(32), nullable=False),
            pa.field("steps_per_mv", pa.list_(pa.field("lead", pa.float32(), nullable=False), _N_LEADS)),
            pa.field("signal", pa.list_(pa.field("step", pa.int16(), nullable=False), _N_LEADS * n_samples)),
        ],
        metadata={_VERSION_KEY: str(STORE_VERSION).encode()},
    )


def write_shard(path: Path, records: Sequence[EcgRecord], steps: np.ndarray, steps_per_mv: np.ndarray) -> None:
    """Write recordings whole or not at all.

    Args:
        path: the shard.
        records: recordings; their signals are not looked at but in `steps`.
        steps: int16 `[n, 12, time]`.
        steps_per_mv: float32 `[n, 12]`.

    Raises:
        StoreError: the disk is full or the folder refuses.

    Properties: the same recordings give the same bytes.
    """
    n_gaps = (steps == NOT_RECORDED).sum(axis=(1, 2)).astype(np.int32)
    keys, contents = [], []
    for i, record in enumerate(records):
        signal_mv = restore(steps[i : i + 1], steps_per_mv[i : i + 1], n_gaps[i : i + 1] > 0)[0]
        keys.append(signal_key(signal_mv))
        contents.append(bytes.fromhex(hash_records([_with_signal(record, signal_mv)])))
    schema = shard_schema(steps.shape[2])
    columns = [
        pa.array([record.record_id for record in records], pa.string()),
        pa.array([record.patient_id for record in records], pa.string()),
        pa.array([record.split for record in records], pa.string()),
        pa.array([record.fold for record in records], pa.int16()),
        pa.array([labels_text(record.labels) for record in records], pa.string()),
        pa.array([record.report for record in records], pa.string()),
        pa.array(n_gaps, pa.int32()),
        pa.array(keys, pa.binary(32)),
        pa.array(contents, pa.binary(32)),
        _fixed(steps_per_mv, schema.field("steps_per_mv").type),
        _fixed(steps, schema.field("signal").type),
    ]
    with (
        unfinished_file(path, error=StoreError) as unfinished,
        unfinished.open("wb") as file,
        pa.ipc.new_file(file, schema) as writer,
    ):
        writer.write_batch(pa.record_batch(columns, schema=schema))


def labels_text(labels: Mapping[str, tuple[str, ...]]) -> str:
    """Labels as one line of JSON, tasks in the order of their names."""
    return json.dumps({task: list(names) for task, names in sorted(labels.items())}, ensure_ascii=True)


@dataclass(frozen=True, eq=False)
class Shard:
    """A mapped shard: `table` holds the columns; the arrays are views of the file.

    Attributes:
        table: all columns.
        steps: int16 `[n, 12, time]`.
        steps_per_mv: float32 `[n, 12]`.
        has_gaps: bool `[n]`.
    """

    table: pa.RecordBatch
    steps: np.ndarray
    steps_per_mv: np.ndarray
    has_gaps: np.ndarray


def map_shard(path: Path, n_samples: int) -> Shard:
    """Map a shard into memory.

    Raises:
        StoreError: it is no shard, or one of another version or length.
    """
    fix = "run `data prepare` again: damaged shards are written anew"
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        schema: pa.Schema = reader.schema
        table = reader.get_batch(0)
    except (pa.ArrowException, OSError, IndexError) as error:
        raise StoreError(f"not a readable shard ({type(error).__name__})", file=path, field="shard", fix=fix) from error
    version = (schema.metadata or {}).get(_VERSION_KEY, b"none")
    if version != str(STORE_VERSION).encode():
        raise StoreError(
            f"the shard has version {version[:20].decode(errors='replace')!r}",
            file=path,
            field="version",
            expected=f"{STORE_VERSION}",
            fix="prepare the store again with this version of ecgscan_lab",
        )
    if not schema.equals(shard_schema(n_samples)) or reader.num_record_batches != 1:
        raise StoreError("the shard has other columns", file=path, field="schema", expected="as written", fix=fix)
    return Shard(
        table=table,
        steps=_values(table, "signal").reshape(table.num_rows, _N_LEADS, n_samples),
        steps_per_mv=_values(table, "steps_per_mv").reshape(table.num_rows, _N_LEADS),
        has_gaps=table.column("n_gaps").to_numpy() > 0,
    )


def _values(table: pa.RecordBatch, name: str) -> np.ndarray:
    values: np.ndarray = table.column(name).flatten().to_numpy(zero_copy_only=True)
    return values


def _fixed(values: np.ndarray, kind: pa.DataType) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).reshape(-1)), type=kind)


def _with_signal(record: EcgRecord, signal_mv: np.ndarray) -> EcgRecord:
    return EcgRecord(
        record_id=record.record_id,
        signal_mv=signal_mv,
        fs_hz=record.fs_hz,
        patient_id=record.patient_id,
        labels=record.labels,
        report=record.report,
        split=record.split,
    )
