"""How well real recordings obey the limb-lead laws, and what the lead doctor finds when they are tampered with.

    python benchmarks/lead_laws.py --data FOLDER [--ptbxl FOLDER]      # about ten minutes; --quick for one

FOLDER holds the public recordings (default: `ECGSCAN_DATA`, else ../shared/data); --ptbxl an unpacked PTB-XL (default:
`ECGSCAN_PTBXL`). Four tables: the limb-law SNR of each corpus (the paper's Table 1), what the doctor says about
recordings as they are, how many artificial faults it finds, names rightly and repairs, and how many under noise. The
last line is JSON.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ecgscan_lab.data.wfdb_records import read_record
from ecgscan_lab.errors import EcgScanLabError
from ecgscan_lab.evaluate import limb_law_snr
from ecgscan_lab.leads import LEADS, LIMB_LEADS, LeadDiagnosis, diagnose_leads, repair_leads

Recording = tuple[np.ndarray, float]
Fault = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, tuple[str, ...]]]

EXACT_DB = 100.0  # beyond what 16-bit samples can tell from an exact law
WFDB_FOLDERS = {
    "CSN": "other/cinc2021/csn",
    "CPSC2018": "other/cinc2021/cpsc2018",
    "CPSC-Extra": "other/cinc2021/cpsc_extra",
    "Georgia": "other/cinc2021/georgia",
    "LUDB": "other/ludb/data",
}


def wfdb_recordings(folder: Path, limit: int | None = None) -> Iterator[Recording]:
    for header in sorted(folder.rglob("*.hea"))[:limit]:
        try:
            record = read_record(header, allow_flat=True)
        except EcgScanLabError as error:
            print(f"  left out {header.name}: {error.what}")
            continue
        yield record.signal_mv, record.fs_hz


def matlab_recordings(folder: Path) -> Iterator[Recording]:
    """CPSC2018 as published, and CODE-15%: twelve rows, whatever their unit."""
    from scipy.io import loadmat

    for path in sorted(folder.glob("*.mat")):
        content = loadmat(path)
        if "ECG" in content:
            yield np.asarray(content["ECG"][0, 0]["data"], dtype=np.float64), 500.0
        else:
            yield np.asarray(content["feats"], dtype=np.float64), float(content["curr_sample_rate"][0, 0])


def hdf5_recordings(folder: Path) -> Iterator[Recording]:
    try:
        import h5py
    except ImportError:
        print("  SPH left out: h5py is not installed")
        return
    for path in sorted(folder.glob("*.h5")):
        with h5py.File(path) as content:
            yield np.asarray(content["ecg"], dtype=np.float64), 500.0


def corpora(data: Path, ptbxl: Path | None, quick: bool) -> dict[str, list[Recording]]:
    found: dict[str, list[Recording]] = {}
    if ptbxl is not None:
        found["PTB-XL 100 Hz"] = list(wfdb_recordings(ptbxl / "records100", 600 if quick else None))
        found["PTB-XL 500 Hz"] = list(wfdb_recordings(ptbxl / "records500", 60 if quick else None))
    found |= {name: list(wfdb_recordings(data / folder)) for name, folder in WFDB_FOLDERS.items()}
    found["CPSC2018, as published"] = list(matlab_recordings(data / "other/cpsc2018_original"))
    found["CODE-15%"] = list(matlab_recordings(data / "other/code15"))
    found["SPH"] = list(hdf5_recordings(data / "other/sph"))
    return {name: recordings for name, recordings in found.items() if recordings}


def law_table(found: dict[str, list[Recording]]) -> pd.DataFrame:
    """Limb-law SNR of each corpus in dB: the median by law, and over all laws the quartiles and the share below 40.

    A lead that was computed from the others, not measured, obeys its law exactly; it counts as `EXACT_DB`.
    """
    rows = {}
    for name, recordings in found.items():
        # One record at a time: lengths differ.
        snr = pd.DataFrame([limb_law_snr(signal)["median_db"] for signal, _ in recordings]).clip(upper=EXACT_DB)
        values = snr.to_numpy()[np.isfinite(snr.to_numpy())]
        low, high = np.quantile(values, (0.25, 0.75))
        rows[name] = {
            "records": len(recordings),
            **snr.median().round(1).to_dict(),
            "all: quartiles": f"{low:.1f} to {high:.1f}",
            "below 40 dB, %": round(100 * float((values < 40).mean()), 1),
            "exact, %": round(100 * float((values >= EXACT_DB).mean()), 1),
        }
    return pd.DataFrame(rows).T


# faults ---------------------------------------------------------------------------------------------------------------


def swap_avl_avf(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    return x[[0, 1, 2, 3, 5, 4, *range(6, 12)]], ("aVL", "aVF")


def any_order(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    """Any two of the limb leads exchanged, except where exchanged electrodes would look the same."""
    i, j = sorted(rng.choice(6, size=2, replace=False))
    rows = np.arange(12)
    rows[[i, j]] = rows[[j, i]]
    return x[rows], (LIMB_LEADS[i], LIMB_LEADS[j])


def flip(k: int) -> Fault:
    def fault(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
        return x * np.where(np.arange(12) == k, -1.0, 1.0)[:, None], (LEADS[k],)

    return fault


def lead_gain(factor: float) -> Fault:
    def fault(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
        k = int(rng.integers(6))
        return x * np.where(np.arange(12) == k, factor, 1.0)[:, None], (LEADS[k],)

    return fault


def chest_gain(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    k = int(rng.integers(6, 12))
    return x * np.where(np.arange(12) == k, 1000.0, 1.0)[:, None], (LEADS[k],)


def whole_unit(factor: float) -> Fault:
    return lambda x, rng: (x * factor, LEADS)


def min_max(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    return (x - x.min()) / np.ptp(x), LEADS


def z_score(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True), LEADS


def offset(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    k = int(rng.integers(6))
    return x + np.where(np.arange(12) == k, 0.2, 0.0)[:, None], (LEADS[k],)


def copied(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    y = x.copy()
    k, j = rng.choice(6, size=2, replace=False)
    y[k] = x[j]
    return y, (LEADS[k], LEADS[j])


def flat(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    y = x.copy()
    k = int(rng.integers(6))
    y[k] = 0.0
    return y, (LEADS[k],)


def limb_for_chest(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    i, j = int(rng.integers(6)), int(rng.integers(6, 12))
    rows = np.arange(12)
    rows[[i, j]] = rows[[j, i]]
    return x[rows], (LEADS[i], LEADS[j])


def arms(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    return np.concatenate([[-x[0]], x[[2, 1, 4, 3, 5]], x[6:]]), ("I", "II", "III", "aVR", "aVL")


def right_leg(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    """RA on the right leg: lead II is next to nothing, I becomes -III."""
    ii = 0.02 * x[1]
    iii = x[2]
    i = ii - iii
    return np.concatenate([[i, ii, iii, -(i + ii) / 2, i - ii / 2, ii - i / 2], x[6:]]), ("II",)


def upside_down(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    return -x, LEADS


def chest_flip(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, tuple[str, ...]]:
    k = int(rng.integers(7, 12))
    return x * np.where(np.arange(12) == k, -1.0, 1.0)[:, None], (LEADS[k],)


# name -> (fault, the kind it should be called, whether the laws or the amplitudes prove it)
FAULTS: dict[str, tuple[Fault, str, bool]] = {
    "aVL and aVF exchanged": (swap_avl_avf, "order", True),
    "two limb leads exchanged": (any_order, "order", True),
    **{f"{lead} upside down": (flip(k), "sign", True) for k, lead in enumerate(LIMB_LEADS)},
    "record in uV": (whole_unit(1e3), "unit", True),
    "record in V": (whole_unit(1e-3), "unit", True),
    "one limb lead in uV": (lead_gain(1e3), "gain", True),
    "one limb lead in V": (lead_gain(1e-3), "gain", True),
    "one chest lead in uV": (chest_gain, "gain", True),
    "one limb lead doubled": (lead_gain(2.0), "gain", True),
    "one limb lead 10 % small": (lead_gain(0.9), "gain", True),
    "one limb lead 0.2 mV up": (offset, "offset", True),
    "record scaled to [0, 1]": (min_max, "scaling", True),
    "each lead standardised": (z_score, "scaling", True),
    "a limb lead copied from another": (copied, "duplicate", True),
    "a limb lead flat": (flat, "flat", True),
    "a limb and a chest lead exchanged": (limb_for_chest, "order", True),
    "record in 1e-4 V": (whole_unit(10.0), "unit", False),
    "record in counts at 200/mV": (whole_unit(200.0), "unit", False),
    "arm electrodes exchanged": (arms, "electrodes", False),
    "right arm and right leg exchanged": (right_leg, "electrodes", False),
    "all leads upside down": (upside_down, "sign", False),
    "one of V2 to V6 upside down": (chest_flip, "sign", False),
}


def named(diagnosis: LeadDiagnosis, kind: str, leads: tuple[str, ...]) -> bool:
    return any(f.kind == kind and set(f.leads) == set(leads) for f in diagnosis.findings)


def fault_table(recordings: list[Recording], seed: int) -> pd.DataFrame:
    """Of each fault: how many were noticed at all, called by the right name and leads, and repaired unasked."""
    rows = {}
    for name, (fault, kind, _) in FAULTS.items():
        rng = np.random.default_rng(seed)
        noticed = right = repaired = 0
        missed: Counter[str] = Counter()
        for signal, fs_hz in recordings:
            broken, leads = fault(signal.astype(np.float64), rng)
            diagnosis = diagnose_leads(broken, fs_hz=fs_hz)
            noticed += bool(diagnosis.findings)
            right += named(diagnosis, kind, leads)
            if not named(diagnosis, kind, leads):
                missed[", ".join(f"{f.kind} of {' '.join(f.leads)}" for f in diagnosis.findings) or "nothing"] += 1
            again = repair_leads(broken, diagnosis)
            repaired += bool(np.abs(again - signal).max() <= 0.02 * np.abs(signal).max())
        n = len(recordings) / 100
        rows[name] = {"noticed %": noticed / n, "named %": right / n, "repaired %": repaired / n}
        rows[name]["instead"] = "; ".join(f"{count} {what}" for what, count in missed.most_common(3))[:90]
    return pd.DataFrame(rows).T


def noise_table(recordings: list[Recording], seed: int) -> pd.DataFrame:
    """How often faults are named, and sound leads called faulty, when every lead gets noise of its own."""
    faults = ("aVL and aVF exchanged", "I upside down", "one limb lead doubled")
    rows = {}
    for noise_db in (30, 25, 20, 15, 12):
        rng = np.random.default_rng(seed)
        counts = dict.fromkeys((*faults, "nothing done, but called faulty"), 0)
        for signal, fs_hz in recordings:
            x = signal.astype(np.float64)
            x = x + 10 ** (-noise_db / 20) * x[:6].std() * rng.normal(size=x.shape)
            for name in faults:
                fault, kind, _ = FAULTS[name]
                broken, leads = fault(x, rng)
                counts[name] += named(diagnose_leads(broken, fs_hz=fs_hz), kind, leads)
            kinds = {f.kind for f in diagnose_leads(x, fs_hz=fs_hz).findings if f.severity == "error"}
            counts["nothing done, but called faulty"] += bool(kinds - {"misfit"})
        rows[f"noise at {noise_db} dB"] = {name: 100 * count / len(recordings) for name, count in counts.items()}
    return pd.DataFrame(rows).T


def alarm_table(found: dict[str, list[Recording]]) -> tuple[pd.DataFrame, float]:
    """What the doctor says about recordings as they are, by corpus, and the milliseconds it takes."""
    rows, seconds, n = {}, 0.0, 0
    for name, recordings in found.items():
        kinds: Counter[str] = Counter()
        not_ok = 0
        for signal, fs_hz in recordings:
            start = time.perf_counter()
            diagnosis = diagnose_leads(signal, fs_hz=fs_hz)
            seconds, n = seconds + time.perf_counter() - start, n + 1
            kinds.update({f"{finding.kind} ({finding.severity})" for finding in diagnosis.findings})
            not_ok += not diagnosis.ok
        rows[name] = {"records": len(recordings), "not ok": not_ok, **kinds}
    return pd.DataFrame(rows).T.fillna(0).astype(int), 1000 * seconds / max(n, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ECGSCAN_DATA", beside)))
    parser.add_argument("--ptbxl", type=Path, default=os.environ.get("ECGSCAN_PTBXL"))
    parser.add_argument("--tampered", type=int, default=500, help="recordings that are tampered with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="few recordings")
    arguments = parser.parse_args()
    ptbxl = Path(arguments.ptbxl) if arguments.ptbxl else None
    found = corpora(arguments.data, ptbxl, arguments.quick)
    if not found:
        parser.error("no recordings found: name their folder with --data or --ptbxl")

    laws = law_table(found)
    print("\nLimb-law SNR in dB: median over records by law\n", laws.to_string())
    alarms, milliseconds = alarm_table(found)
    print(f"\nAs they are ({milliseconds:.1f} ms a record)\n", alarms.to_string())

    sound = [(x, fs) for recordings in found.values() for x, fs in recordings if diagnose_leads(x, fs_hz=fs).ok]
    chosen = np.random.default_rng(arguments.seed).permutation(len(sound))[
        : 60 if arguments.quick else arguments.tampered
    ]
    faults = fault_table([sound[k] for k in chosen], arguments.seed)
    print(f"\nTampered with: {len(chosen)} recordings\n", faults.round(1).to_string())

    noisy = noise_table([sound[k] for k in chosen[:200]], arguments.seed)
    print(f"\nWith noise of its own in each lead: {min(len(chosen), 200)} recordings, %\n", noisy.round(1).to_string())

    provable = [name for name, (_, _, proved) in FAULTS.items() if proved]
    print(
        json.dumps(
            {
                "records": int(alarms["records"].sum()),
                "not_ok_share": float(alarms["not ok"].sum() / alarms["records"].sum()),
                "not_ok": {name: int(count) for name, count in alarms["not ok"].items()},
                "snr_db": laws.to_dict("index"),
                "tampered": len(chosen),
                "named_percent": {name: float(value) for name, value in faults["named %"].items()},
                "named_percent_under_noise": noisy.to_dict("index"),
                "named_percent_least_of_provable": float(faults.loc[provable, "named %"].min()),
                "ms_per_record": round(milliseconds, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
