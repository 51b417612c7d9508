"""Prepare a store, kill it, go on, and read it at random: time, size, and what 789,511 recordings would take.

    python benchmarks/store.py SOURCE [--records 20000] [--fine 2000] [--workers 2] [--out FOLDER]

SOURCE is an address as for `load_cohort` ("ptbxl:FOLDER", "synthetic"). A corpus with fewer recordings is listed again
under other names until there are enough. The first build is killed with SIGKILL once two fifths of its shards are
written. `--fine` recordings are built at 500 Hz too. Reading is measured in batches of 80 drawn at random, with the
files in the page cache (their size is printed: larger than the memory, the disk sets the pace). Last line: JSON.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import signal
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from ecgscan_lab.data.record_tables import RecordTable
from ecgscan_lab.data.store import RecordStore, build_store, open_store, table_of, verify_store

PAPER_RECORDS = 789_511
BATCH = 80


def tiled(source: str, n: int, fs_hz: float) -> str | RecordTable:
    """The source with as many rows as asked for."""
    if source == "synthetic":
        return source
    table = table_of(source, fs_hz=fs_hz, only_present=True)
    rows = table.checked_rows()[0]
    again = [
        replace(rows[i % len(rows)], record_id=f"{rows[i % len(rows)].record_id}-{i // len(rows)}") for i in range(n)
    ]
    splits = tuple({row.split: None for row in again})
    options = replace(table.options, only_present=False)
    return replace(table, rows=again, options=options, notes={}, required_splits=splits)


def build(source: str, out: Path, n: int, fs_hz: float, workers: int) -> None:
    build_store(tiled(source, n, fs_hz), out, n_records=n, fs_hz=fs_hz, workers=workers)


def kill_half_way(source: str, out: Path, n: int, fs_hz: float, workers: int) -> int:
    """Begin a build in a process, kill it, and say how many shards it left."""
    process = multiprocessing.get_context("spawn").Process(target=build, args=(source, out, n, fs_hz, workers))
    process.start()
    wanted = max(1, 2 * -(-n // 1024) // 5)
    while len(list(out.glob("*.json"))) < wanted + 1 and process.is_alive():
        time.sleep(0.05)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    return len(list(out.glob("shard-*.json")))


def read_rate(store: RecordStore, seconds: float = 2.0, passes: int = 5) -> float:
    """Recordings a second in batches drawn at random, median of passes."""
    rng, rates = np.random.default_rng(0), []
    for _ in range(passes):
        n, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            store.read_signals_mv(rng.integers(0, len(store), BATCH))
            n += BATCH
        rates.append(n / (time.perf_counter() - started))
    return statistics.median(rates)


def measure(source: str, out: Path, n: int, fs_hz: float, workers: int) -> dict[str, float]:
    left = kill_half_way(source, out, n, fs_hz, workers)
    started = time.perf_counter()
    build(source, out, n, fs_hz, workers)
    resumed_s = time.perf_counter() - started
    whole = out.with_name(f"{out.name}-whole")
    started = time.perf_counter()
    build(source, whole, n, fs_hz, workers)
    build_s = time.perf_counter() - started
    same = all((out / p.name).read_bytes() == p.read_bytes() for p in whole.glob("shard-*.arrow"))
    started = time.perf_counter()
    check = verify_store(out)
    verify_s = time.perf_counter() - started
    started = time.perf_counter()
    store = open_store(out)
    len(store.indices("train")), store.patients
    open_s = time.perf_counter() - started
    n_bytes = sum(note.n_bytes for note in store.shards) / len(store)
    row = {
        "records": len(store),
        "fs_hz": fs_hz,
        "build_s": build_s,
        "records_per_s": len(store) / build_s,
        "shards_kept_after_kill": left,
        "shards": len(store.shards),
        "resumed_s": resumed_s,
        "same_bytes": float(same and check.sound),
        "verify_s": verify_s,
        "open_s": open_s,
        "bytes_per_record": n_bytes,
        "random_records_per_s": read_rate(store),
        "projected_gb": n_bytes * PAPER_RECORDS / 1e9,
        "projected_hours": build_s / len(store) * PAPER_RECORDS / 3600,
    }
    for name, value in row.items():
        print(f"  {name:<24}{value:,.2f}")
    shutil.rmtree(out)
    shutil.rmtree(whole)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", default="synthetic")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--fine", type=int, default=2_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", help="folder for the stores, removed afterwards (default: a temporary one)")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=args.out) as folder:
        for n, fs_hz in ((args.records, 100.0), (args.fine, 500.0)):
            if n:
                print(f"{n:,} recordings of {args.source} at {fs_hz:g} Hz, {args.workers} workers")
                rows.append(measure(args.source, Path(folder) / f"{fs_hz:g}", n, fs_hz, args.workers))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
