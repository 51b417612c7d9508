"""How fast the leakage gate is, what it finds of planted copies, and what it flags that is none.

    python benchmarks/leakage.py [--ptbxl FOLDER] [--records 21799] [--planted 300] [--quick]

Real recordings of PTB-XL (default: `ECGSCAN_PTBXL`), then synthetic ones up to `--records`; of them `--planted` of each
kind are changed copies of real ones. Reading the files is timed apart. Prints the share found of each kind, the pairs
flagged among real recordings that are no exact copies, time, and peak memory. Last line: JSON.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.signal import butter, resample_poly, sosfiltfilt

from ecgscan_lab.data.leakage import leakage_gate
from ecgscan_lab.data.record_tables import load_table
from ecgscan_lab.data.store import table_of
from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.types import Cohort, EcgRecord

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def noisy(signal_mv: np.ndarray, rng: np.random.Generator, snr_db: float) -> np.ndarray:
    return signal_mv + signal_mv.std(axis=1, keepdims=True) * 10 ** (-snr_db / 20) * rng.standard_normal(
        signal_mv.shape
    )


def shifted(signal_mv: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([signal_mv[:, n:], np.repeat(signal_mv[:, -1:], n, axis=1)], axis=1)


def filtered(signal_mv: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    return sosfiltfilt(butter(2, [low_hz, high_hz], "band", fs=100.0, output="sos"), signal_mv, axis=1)


CHANGES: dict[str, Change] = {
    "rescaled": lambda x, rng: 1.37 * x,
    "each lead rescaled": lambda x, rng: x * rng.uniform(0.5, 2.0, (12, 1)),
    "shifted by 3 samples": lambda x, rng: shifted(x, 3),
    "shifted by 20 samples": lambda x, rng: shifted(x, 20),
    "noise at 20 dB": lambda x, rng: noisy(x, rng, 20),
    "noise at 10 dB": lambda x, rng: noisy(x, rng, 10),
    "rounded to 50 uV": lambda x, rng: np.round(x / 0.05) * 0.05,
    "filtered 0.5 to 40 Hz": lambda x, rng: filtered(x, 0.5, 40.0),
    "filtered 1 to 25 Hz": lambda x, rng: filtered(x, 1.0, 25.0),
    "filtered 0.67 to 15 Hz": lambda x, rng: filtered(x, 0.67, 15.0),
    "through 250 Hz": lambda x, rng: resample_poly(resample_poly(x, 5, 2, axis=1), 2, 5, axis=1),
    "all of it": lambda x, rng: noisy(shifted(filtered(1.5 * x, 0.5, 40.0), 5), rng, 20),
}


def plant(real: Cohort, n_each: int) -> tuple[list[EcgRecord], dict[tuple[str, str], str]]:
    """Changed copies of real recordings, and which is of which kind."""
    rng = np.random.default_rng(0)
    chosen = rng.choice(len(real), n_each * len(CHANGES), replace=False)
    copies, kinds = [], {}
    for k, i in enumerate(chosen.tolist()):
        kind, record = list(CHANGES)[k % len(CHANGES)], real.records[i]
        signal_mv = CHANGES[kind](np.nan_to_num(record.signal_mv.astype(np.float64)), rng).astype(np.float32)
        copies.append(replace(record, record_id=f"copy-{record.record_id}", signal_mv=signal_mv))
        kinds[record.record_id, f"copy-{record.record_id}"] = kind
    return copies, kinds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ptbxl", default=os.environ.get("ECGSCAN_PTBXL"))
    parser.add_argument("--records", type=int, default=21_799)
    parser.add_argument("--planted", type=int, default=300, help="of each kind")
    parser.add_argument("--quick", action="store_true", help="2,000 real and 20 planted of each kind")
    args = parser.parse_args()
    started = time.perf_counter()
    how = {"only_present": True, "n_records": 2000 if args.quick else None}
    real = load_table(replace(table_of(f"ptbxl:{args.ptbxl}", **how), split_by_record=True), part_copies=False)
    read_s = time.perf_counter() - started
    alone = leakage_gate(real)
    print(alone)
    copies, kinds = plant(real, 20 if args.quick else args.planted)
    n_synthetic = max(0, (2500 if args.quick else args.records) - len(real) - len(copies))
    made = synthetic_records(n_synthetic, seed=1, fs_hz=100.0)
    both = Cohort("ptbxl", (*real.records, *copies, *made), {})
    signals_mv = both.signals_mv
    print(f"{len(real):,} real, {len(copies):,} planted, {len(made):,} synthetic: {signals_mv.nbytes / 1e6:,.0f} MB")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    report = leakage_gate(both)
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    extra_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    found = {(pair.first.record_id, pair.second.record_id) for pair in report.pairs}
    hits = Counter(kind for pair, kind in kinds.items() if pair in found)
    total = Counter(kinds.values())
    for kind in CHANGES:
        print(f"  {kind:<26}{100 * hits[kind] / total[kind]:6.1f} % of {total[kind]}")
    wrong = [pair for pair in report.pairs if pair.kind == "near" and not _is_planted(pair.second.record_id)]
    n_pairs = len(real) * (len(real) - 1) // 2
    result = {
        "records": len(both),
        "read_s": read_s,
        "gate_s": seconds,
        "gate_cpu_s": cpu_s,
        "extra_memory_mb": extra_mb,
        "n_compared": report.n_compared,
        "n_verified": report.n_verified,
        "exact_pairs_real": sum(pair.kind == "exact" for pair in alone.pairs),
        "near_pairs_real": sum(pair.kind == "near" for pair in alone.pairs),
        "pairs_real": n_pairs,
        "false_pairs": len(wrong),
        "recall": {kind: hits[kind] / total[kind] for kind in CHANGES},
    }
    print(f"  {seconds:.1f} s ({cpu_s:.1f} s of processor), {extra_mb:.0f} MB beyond the signals")
    print(json.dumps(result))


def _is_planted(record_id: str) -> bool:
    return record_id.startswith("copy-")


if __name__ == "__main__":
    main()
