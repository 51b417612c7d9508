"""AUROC against records, steps, resolution and width: curves, their fit, and what they predict further out.

    python benchmarks/scaling.py FOLDER --plan                 # what would run, and about how long
    python benchmarks/scaling.py FOLDER --out curves.jsonl     # one line a run; a run that is there is not done again
    python benchmarks/scaling.py --fit curves.jsonl            # error = floor + scale * n^-power, with intervals

Every run is `ptbxl_laptop` on clean pages with one thing changed, judged by the linear probe for superclasses with all
labels on fold 9. Pages are small unless resolution is what changes, so that the curves take under an hour on one core;
with a GPU, `--size 192 448 --steps 3000` takes them at full length. The error is 100 - AUROC.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.optimize import least_squares

from ecgscan_lab.evaluate import linear_probe
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.evaluate.judgement import labelled
from ecgscan_lab.replicate.ptbxl import load_split
from ecgscan_lab.train.frozen_features import prepare_frozen
from ecgscan_lab.train.loop import pretrain
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.recipes import ptbxl_laptop
from ecgscan_lab.types import Cohort

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
SMALL = (96, 224)
"""Size of the pages in px, unless size is what changes."""
SIZES = ((64, 144), SMALL, (144, 336), (192, 448))
WIDTHS = (8, 16, 24, 40)
PAGES_A_SECOND = 251
"""Of the paper's recipe on one H200, compiled: `benchmarks/training.py`."""
FURTHER = {
    "records": {"PTB-XL's ten folds": 21_799, "MIMIC-IV-ECG": 789_511},
    "steps": {
        "the long recipe": ptbxl_laptop("long").steps,
        "the paper's 50,000 steps of 80": 50_000 * 80 / 64,
        "a day on one H200": 86_400 * PAGES_A_SECOND / 64,
        "a day on eight": 8 * 86_400 * PAGES_A_SECOND / 64,
    },
    "pixels": {"192 x 448": 192 * 448, "420 x 546": 420 * 546},
    "width": {"ten times the parameters": 1.6e7, "CLIP ViT-L/14": 3.04e8},
}
"""Where each curve is asked to go on to: records, steps of 64 pages, pixels a page, parameters."""


def runs(recipe: Recipe) -> Iterator[tuple[str, float, Recipe, float]]:
    """Axis, value on it, recipe, and share of the training patients."""
    for share in SHARES:
        yield "records", share, recipe, share
        yield "steps", share * recipe.steps, replace(recipe, steps=int(share * recipe.steps)), 1.0
    yield "steps", 2.0 * recipe.steps, replace(recipe, steps=2 * recipe.steps), 1.0
    for size in SIZES:
        yield "pixels", float(size[0] * size[1]), replace(recipe, size=size), 1.0
    for width in WIDTHS:
        yield "width", float(width), replace(recipe, tower_width=width), 1.0


def with_share(cohort: Cohort, share: float, seed: int) -> Cohort:
    """The cohort with a share of its training patients; the others stay."""
    train = cohort.indices("train")
    patients = np.unique(cohort.patients[train])
    kept = set(np.random.default_rng(seed).permutation(patients)[: max(1, round(share * len(patients)))].tolist())
    dropped = {int(i) for i in train if cohort.patients[i] not in kept}
    records = tuple(record for i, record in enumerate(cohort.records) if i not in dropped)
    digest = f"{cohort.data_sha256[:40]}{len(records):024d}"
    return replace(cohort, records=records, data_sha256=digest)


def one_run(cohort: Cohort, recipe: Recipe, seed: int, cache: Path) -> dict[str, float]:
    """Train, embed, probe."""
    started, used = time.perf_counter(), time.process_time()
    frozen = prepare_frozen(cohort, recipe, cache, seed=seed)
    with TemporaryDirectory() as folder:
        model = pretrain(cohort, frozen, recipe, Path(folder), seed=seed).model.cpu()
    features = embed_pages(model.tower, cohort, recipe.size)
    split = np.array([record.split for record in cohort.records])
    kept = labelled(cohort, "superclass")
    found = linear_probe(
        features[kept], cohort.targets("superclass")[kept], split[kept], cohort.patients[kept], n_bootstrap=200
    )
    return {
        "macro_auroc": found.macro_auroc,
        "low": found.ci95[0],
        "high": found.ci95[1],
        "n_train": float(len(cohort.indices("train"))),
        "parameters": float(sum(p.numel() for p in model.tower.parameters())),
        "seconds": time.perf_counter() - started,
        "processor_seconds": time.process_time() - used,
    }


def fit(points: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """floor, scale and power of error = floor + scale * n^-power, by least squares, all at least zero."""
    norm = points.max()

    def residual(p: np.ndarray) -> np.ndarray:
        return p[0] + p[1] * (points / norm) ** -p[2] - errors

    start = np.array([0.7 * errors.min(), 0.3 * errors.min(), 0.5])
    found = least_squares(residual, start, bounds=([0, 0, 0.05], [errors.min(), np.inf, 2.0])).x
    return np.array([found[0], found[1] * norm ** found[2], found[2]])


def say(line: object) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Plan, run or fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="PTB-XL as published")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--fit", type=Path)
    parser.add_argument("--out", type=Path, default=Path("scaling.jsonl"))
    parser.add_argument("--steps", type=int, default=600, help="of every run but those that change it")
    parser.add_argument("--size", type=int, nargs=2, default=SMALL, help="height and width in px")
    parser.add_argument("--axes", nargs="+", default=["records", "steps", "pixels", "width"])
    parser.add_argument("--seconds-per-step", type=float, default=0.5, help="on this machine, for --plan")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    if chosen.fit:
        tell_fit(chosen.fit)
        return
    recipe = replace(
        ptbxl_laptop(), size=tuple(chosen.size), first_size=None, first_share=0.0, steps=chosen.steps,
        teacher_steps=300, validations=2, validation_batches=2, degrade="clean", layout_share=0.0,
    )  # fmt: skip
    wanted = [run for run in runs(recipe) if run[0] in chosen.axes]
    if chosen.plan:
        for axis, value, one, share in wanted:
            say(f"{axis:>8} {value:>10g}: {one.steps} steps, {share:.0%} of the training patients")
        total = sum(one.steps for _, _, one, _ in wanted) * chosen.seconds_per_step
        say(f"about {total / 60:.0f} minutes, teachers and judging not counted")
        return
    if chosen.folder is None:
        parser.error("name PTB-XL's folder")
    lines = chosen.out.read_text().splitlines() if chosen.out.exists() else []
    done = {(row["axis"], row["value"], row["seed"], row.get("recipe")) for row in map(json.loads, lines)}
    whole = load_split(chosen.folder, 9)[0]
    for axis, value, one, share in wanted:
        digest = hashlib.sha256(json.dumps(one.as_dict(), sort_keys=True).encode()).hexdigest()[:12]
        if (axis, value, chosen.seed, digest) in done:
            continue
        cohort = whole if share == 1 else with_share(whole, share, chosen.seed)
        found = one_run(cohort, one, chosen.seed, chosen.out.with_suffix(".cache"))
        row = {"axis": axis, "value": value, "seed": chosen.seed, "steps": one.steps, "share": share, **found}
        row |= {"data_sha256": cohort.data_sha256, "recipe": digest}
        with chosen.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        say(json.dumps(row))


def tell_fit(path: Path) -> None:
    """Print each axis, its fit where there are runs enough, and what that says of the places in `FURTHER`."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    keys = {"records": "n_train", "steps": "value", "pixels": "value", "width": "parameters"}
    for axis, key in keys.items():
        chosen = sorted((row for row in rows if row["axis"] == axis), key=lambda row: row[key])
        if not chosen:
            continue
        found = ", ".join(f"{row[key]:,.0f}: {row['macro_auroc']:.1f}" for row in chosen)
        say(f"{axis if axis != 'width' else 'parameters'}: {found}")
        if len(chosen) < 4:
            say(f"  {len(chosen)} runs; a curve of three numbers needs four")
            continue
        n = np.array([row[key] for row in chosen])
        errors = 100 - np.array([row["macro_auroc"] for row in chosen])
        best, many = fit(n, errors), refits(n, errors)
        say(f"  error = {best[0]:.2f} + {best[1]:.3g} n^-{best[2]:.2f}")
        for what, far in FURTHER[axis].items():
            there = 100 - (many[:, 0] + many[:, 1] * far ** -many[:, 2])
            low, high = np.percentile(there, [2.5, 97.5])
            say(f"  {what} ({far:,.0f}): {low:.1f} to {high:.1f}")


def refits(n: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """The fit of 200 curves that might as well have been measured: floor, scale and power, `[200, 3]`."""
    best, rng = fit(n, errors), np.random.default_rng(0)
    spread = np.std(errors - (best[0] + best[1] * n ** -best[2])) + 0.3  # a run's own luck, at least
    return np.array([fit(n, errors + rng.normal(0, spread, len(n))) for _ in range(200)])


if __name__ == "__main__":
    main()
