"""How well the page model fits real photographs, and what still tells our drawn photographs from real ones.

    python benchmarks/photographs.py FOLDER [--signals FOLDER] [--renders 3] [--out overlays/] [--json result.json]

FOLDER holds JPEG or PNG photographs of ECG pages. With `--signals`, WFDB records named like the pictures (up to the
first "-") are drawn over them and the distance from the ink is measured, and a real-or-rendered classifier is trained.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import wfdb

from ecgscan_lab.errors import EcgScanLabError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots.figure import to_png
from ecgscan_lab.plots.photographs import plot_overlay
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.photograph import PageFit, fit_page, ink_distance_mm
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.types import EcgRecord

CROP, CROPS = 256, 24


def read_picture(path: Path) -> np.ndarray:
    """RGB pixels of a picture file, turned as its EXIF tag says."""
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise SystemExit(f"{path} is not a picture that can be read")
    return np.ascontiguousarray(pixels[..., ::-1])


def read_signal(folder: Path | None, path: Path) -> EcgRecord | None:
    """The WFDB record that was printed, or None. Samples that were not printed are NaN."""
    if folder is None or not (folder / f"{path.stem.split('-')[0]}.hea").is_file():
        return None
    record = wfdb.rdrecord(str(folder / path.stem.split("-")[0]))
    rows = {name.upper(): k for k, name in enumerate(record.sig_name)}
    signal_mv = np.stack([record.p_signal[:, rows[lead.upper()]] for lead in LEADS]).astype(np.float32)
    return EcgRecord(path.stem, signal_mv, fs_hz=float(record.fs))


def fit_row(path: Path, record: EcgRecord | None, out: Path | None) -> tuple[dict[str, Any], PageFit | None]:
    """Fit one picture: its line of the table, and the fit."""
    pixels = read_picture(path)
    start = time.process_time()
    try:
        fit = fit_page(pixels)
    except EcgScanLabError as error:
        return {"picture": path.name, "error": error.what}, None
    row: dict[str, Any] = {
        "picture": path.name,
        "seconds": time.process_time() - start,
        "layout": fit.page.layout,
        "rhythm": list(fit.page.rhythm),
        "crossings": len(fit.crossings_mm),
        "residual_mm": fit.residual_mm,
        "flat_residual_mm": fit.flat_residual_mm,
        "residual_px": fit.residual_px,
        "confidence": fit.confidence,
        "flags": list(fit.flags),
    }
    if record is not None:
        distance = np.concatenate(list(ink_distance_mm(pixels, fit, record).values()))
        flat = np.concatenate(list(ink_distance_mm(pixels, fit, record, flat=True).values()))
        row |= {
            "trace_to_ink_median_mm": float(np.median(distance)),
            "trace_to_ink_p95_mm": float(np.percentile(distance, 95)),
            "beyond_1_mm": float((distance > 1.0).mean()),
            "flat_trace_to_ink_median_mm": float(np.median(flat)),
        }
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / f"{path.stem}.png").write_bytes(to_png(plot_overlay(pixels, fit, record), 150))
    return row, fit


FEATURES = {
    "colour": 12,
    "lightness": 7,
    "sharpness": 6,
    "spectrum": 8,
    "noise": 7,
}
"""Groups of features of a crop and how many each holds, in order."""


def crop_features(crop: np.ndarray) -> np.ndarray:
    """Simple statistics of one crop, in the order of `FEATURES`."""
    picture = crop.astype(np.float32)
    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    mean, spread = picture.mean(axis=(0, 1)), picture.std(axis=(0, 1))
    bright = np.percentile(picture.reshape(-1, 3), 80, axis=0)
    chroma = picture.max(axis=-1) - picture.min(axis=-1)
    colour = [*mean, *(bright / bright.mean()), *spread, *np.percentile(chroma, (50, 90, 99))]
    lightness = np.percentile(grey, (0.5, 2, 10, 50, 90, 98, 99.5))
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    laplace = cv2.Laplacian(grey, cv2.CV_32F)
    sharpness = [
        *np.log1p(np.percentile(slope, (50, 90, 99, 99.9))),
        np.log1p(laplace.var()),
        np.log1p(abs(laplace).max()),
    ]
    taper = np.hanning(len(grey))
    power = np.abs(np.fft.rfft2((grey - grey.mean()) * taper[:, None] * taper)) ** 2
    fy, fx = np.fft.fftfreq(len(grey))[:, None], np.fft.rfftfreq(len(grey))
    ring = np.digitize(np.hypot(fx, fy), (0.01, 0.03, 0.06, 0.1, 0.16, 0.24, 0.33, 0.45)) - 1
    spectrum = [float(np.log(power[ring == k].mean() + 1.0)) for k in range(8)]
    fine = picture - cv2.GaussianBlur(picture, (0, 0), 1.5)
    plain = slope < np.percentile(slope, 50)
    level = [float(1.48 * np.median(np.abs(fine[..., c][plain]))) for c in range(3)]
    both = np.corrcoef(fine[plain].T + 1e-3 * np.arange(3)[:, None])
    neighbour = [float(np.mean(fine[:, :-d, 1] * fine[:, d:, 1]) / (np.mean(fine[..., 1] ** 2) + 1e-6)) for d in (1, 2)]
    noise = [*level, float(np.nan_to_num(both[0, 1])), float(np.nan_to_num(both[1, 2])), *neighbour]
    return np.nan_to_num(np.array([*colour, *lightness, *sharpness, *spectrum, *noise], np.float64))


def sheet_crops(pixels: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Crops whose centres lie on the printed part of the sheet: `where` are pixels known to be on it."""
    height, width = pixels.shape[:2]
    half = CROP // 2
    inside = (where > half).all(axis=1) & (where[:, 0] < width - half) & (where[:, 1] < height - half)
    chosen = rng.choice(np.flatnonzero(inside), size=CROPS, replace=False)
    return [pixels[y - half : y + half, x - half : x + half] for x, y in where[chosen].astype(int)]


def real_or_rendered(items: list[tuple[Path, EcgRecord, PageFit]], renders: int) -> dict[str, Any]:
    """Accuracy of a logistic regression that tells crops of real photographs from crops of ours, one sheet left out.

    Ours show the same recordings on the page model's page at the size of the photograph, with the `photo` degradation.
    """
    features, labels, groups = [], [], []
    for number, (path, record, fit) in enumerate(items):
        rng = np.random.default_rng(number)
        real = read_picture(path)
        for crop in sheet_crops(real, fit.grid.points_px, rng):
            features.append(crop_features(crop))
            labels.append(1)
            groups.append(number)
        for k in range(renders):
            page = PageSpec.machine("image_kit")
            drawn = draw_page(record, page, "photo", size=real.shape[:2], seed=1000 * number + k)
            x, y = np.meshgrid(np.arange(5.0, page.width_mm, 5.0), np.arange(5.0, page.height_mm, 5.0))
            where = drawn.page_map.to_px(np.column_stack([x.ravel(), y.ravel()]))
            for crop in sheet_crops(drawn.pixels, where, rng):
                features.append(crop_features(crop))
                labels.append(0)
                groups.append(number)
    x, y, group = np.array(features), np.array(labels), np.array(groups)
    result = {"all features": _left_out(x, y, group)}
    start = 0
    for name, count in FEATURES.items():
        result[name] = _left_out(x[:, start : start + count], y, group)
        start += count
    return {"crops": len(y), "share_real": float(y.mean()), "balanced_accuracy": result} | _strongest(x, y)


def _left_out(x: np.ndarray, y: np.ndarray, group: np.ndarray) -> float:
    """Balanced accuracy over crops of the sheet that was left out, 0.5 is chance."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=3000, class_weight="balanced"))
    guess = cross_val_predict(model, x, y, groups=group, cv=LeaveOneGroupOut())
    return float(balanced_accuracy_score(y, guess))


def _strongest(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """The single features whose distributions lie furthest apart, with the medians of both kinds."""
    names = [f"{name} {k}" for name, count in FEATURES.items() for k in range(count)]
    real, ours = x[y == 1], x[y == 0]
    gap = (real.mean(axis=0) - ours.mean(axis=0)) / np.sqrt((real.var(axis=0) + ours.var(axis=0)) / 2 + 1e-9)
    order = np.argsort(-np.abs(gap))[:12]
    return {
        "furthest_apart": [
            {
                "feature": names[k],
                "d": float(gap[k]),
                "real": float(np.median(real[:, k])),
                "ours": float(np.median(ours[:, k])),
            }
            for k in order
        ]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--signals", type=Path)
    parser.add_argument("--renders", type=int, default=3, help="rendered pages for each photograph")
    parser.add_argument("--out", type=Path, help="write overlay figures here")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    paths = sorted(path for path in options.folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    rows, items = [], []
    for path in paths:
        record = read_signal(options.signals, path)
        row, fit = fit_row(path, record, options.out)
        rows.append(row)
        print("  ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items() if k != "flags"))
        if record is not None and fit is not None:
            items.append((path, record, fit))
    result: dict[str, Any] = {"fits": rows}
    if len(items) >= 3 and options.renders > 0:
        result["real_or_rendered"] = real_or_rendered(items, options.renders)
    print(json.dumps(result, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
