"""How well the waveform comes back from a clean page: SNR of every lead of real recordings, drawn and read at 200 dpi.

    ECGSCAN_PTBXL=FOLDER python benchmarks/readback.py            # 200 records each at 100 and at 500 Hz
    ECGSCAN_PTBXL=FOLDER python benchmarks/readback.py --records 20

Records are spread evenly over the folder. SNR is 10 log10(mean(ref^2) / mean((ref - read)^2)) over the shown samples of
a lead, rhythm strips included. Prints a table and, as its last line, one JSON object.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from ecgscan_lab import draw_page, read_record
from ecgscan_lab.errors import EcgScanLabError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.reading import read_traces


def snr_by_lead(path: Path, dpi: float) -> dict[str, float]:
    """Trace -> SNR in dB of one record; flat leads are left out."""
    record = read_record(path.with_suffix(""))
    image = draw_page(record, dpi=dpi)
    found = {}
    for name, read_mv in read_traces(image).items():
        drawn_mv = record.signal_mv[LEADS.index(name.split()[0]), slice(*image.windows[name])].astype(np.float64)
        if np.ptp(drawn_mv) > 0:
            error = np.where(np.isnan(read_mv), drawn_mv, read_mv - drawn_mv)
            found[name] = float(10 * np.log10(np.mean(drawn_mv**2) / max(np.mean(error**2), 1e-12)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200, help="records at each rate (default: 200)")
    parser.add_argument("--dpi", type=float, default=200.0)
    args = parser.parse_args()
    folder = os.environ.get("ECGSCAN_PTBXL")
    if not folder:
        raise SystemExit("set ECGSCAN_PTBXL to a PTB-XL folder with records100/ and records500/")
    results = {}
    print(f"{'rate':>8}{'records':>9}{'leads':>7}{'least':>8}{'1 %':>8}{'median':>8}{'>= 25 dB':>10}{'s a page':>10}")
    for rate in (100, 500):
        paths = sorted(Path(folder, f"records{rate}").glob("*/*.hea"))
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, min(args.records, len(paths))).astype(int)]
        values, worst, used, seconds = [], [], 0, []
        for path in paths:
            start = time.perf_counter()
            try:
                found = snr_by_lead(path, args.dpi)
            except EcgScanLabError as error:
                print(f"left out {path.stem}: {error.what}")
                continue
            seconds.append(time.perf_counter() - start)
            used += 1
            values += found.values()
            worst += [(snr, path.stem, name) for name, snr in found.items() if snr < 25]
        low, one, median = np.quantile(values, [0.0, 0.01, 0.5])
        share = float(np.mean(np.array(values) >= 25))
        print(f"{rate:5d} Hz{used:9d}{len(values):7d}{low:8.1f}{one:8.1f}{median:8.1f}{100 * share:9.2f}%"
              f"{np.median(seconds):10.2f}")  # fmt: skip
        for snr, stem, name in sorted(worst)[:12]:
            print(f"         {snr:5.1f} dB  {stem}  {name}")
        results[f"{rate}_hz"] = {"records": used, "leads": len(values), "min_db": round(float(low), 2),
                                 "p01_db": round(float(one), 2), "median_db": round(float(median), 2),
                                 "share_of_leads_at_least_25_db": round(share, 5), "below_25_db": len(worst),
                                 "median_seconds": round(float(np.median(seconds)), 3)}  # fmt: skip
    print(json.dumps({"benchmark": "readback", "dpi": args.dpi, **results}))


if __name__ == "__main__":
    main()
