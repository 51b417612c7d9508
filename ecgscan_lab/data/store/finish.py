"""The last step of a build: what only all shards together can tell, and the manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from ecgscan_lab.data.reading import SHARED_PATIENTS
from ecgscan_lab.data.splits import check_assignment, find_leaking_copies
from ecgscan_lab.data.store.manifest import MANIFEST, ShardNote, StorePlan
from ecgscan_lab.data.store.shards import map_shard
from ecgscan_lab.data.store.sources import StoreSource
from ecgscan_lab.errors import StoreError
from ecgscan_lab.whole_files import write_whole


def write_manifest(folder: Path, source: StoreSource, plan: StorePlan, notes: Sequence[ShardNote]) -> None:
    """Look for copies across all shards, check the splits, and finish the store.

    Args:
        folder: holds the shards.
        source: what was read.
        plan: of the store.
        notes: of all shards, in order.

    Raises:
        SplitError: a split is empty, or a patient is in two.
        StoreError: a shard cannot be mapped, or the manifest cannot be written.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("record_id", "patient_id", "split")}
    first_of: dict[bytes, int] = {}
    pairs: list[tuple[int, int]] = []
    contents: list[bytes] = []
    for note in notes:
        shard = map_shard(folder / note.file, plan.n_samples).table
        for name, values in columns.items():
            values += shard.column(name).to_pylist()
        for i, key in enumerate(shard.column("signal_key").to_pylist(), start=len(contents)):
            first = i if key is None else first_of.setdefault(key, i)
            pairs += [(first, i)] if first != i else []
        contents += shard.column("content_sha256").to_pylist()
    leaking = find_leaking_copies(pairs, columns["split"])
    left_out = set(leaking)
    repairs: Counter[str] = Counter(source.notes)
    repairs["left out: the same signal is in another split"] = len(leaking)
    repairs["the same signal as an earlier record of its split; kept"] = sum(
        columns["split"][a] == columns["split"][b] for a, b in pairs
    )
    for note in notes:
        repairs.update(note.repairs)
    kept = [i for i in range(len(contents)) if i not in left_out]
    ids, splits = ([columns[name][i] for i in kept] for name in ("record_id", "split"))
    patients = [columns["patient_id"][i] or f"record {columns['record_id'][i]}" for i in kept]
    check_assignment(ids, ids if source.split_by_record else patients, splits, source.required_splits)
    if source.split_by_record:
        by_patient = Counter(patient for patient, _ in set(zip(patients, splits, strict=True)))
        repairs[SHARED_PATIENTS] = sum(n > 1 for n in by_patient.values())
    fields = {
        **asdict(plan),
        "records": len(kept),
        "patients": len(set(patients)),
        "splits": dict(sorted(Counter(splits).items())),
        "tasks": {task: list(names) for task, names in source.tasks.items()},
        "descriptions": dict(source.descriptions),
        "left_out": leaking,
        "skipped": [list(entry) for note in notes for entry in note.skipped],
        "repairs": {sentence: count for sentence, count in repairs.items() if count},
        "data_sha256": sha256(b"".join(contents[i] for i in kept)).hexdigest(),
        "shards": [
            {"file": note.file, "records": note.records, "n_bytes": note.n_bytes, "sha256": note.sha256}
            for note in notes
        ],
    }
    write_whole(folder / MANIFEST, json.dumps(fields, indent=1).encode(), error=StoreError)
