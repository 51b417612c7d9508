"""The figures of a replication: `replicate.json`, and a report that sets them beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ecgscan_lab import __version__
from ecgscan_lab.data.manifest import paper_results
from ecgscan_lab.evaluate.full_evaluation import ENCODER, RANDOM
from ecgscan_lab.evaluate.rivals import PIXELS
from ecgscan_lab.replicate.stages import Stages

SHORT = {"superclass": "super", "subclass": "sub", "form": "form", "rhythm": "rhythm"}
"""What the tasks are called in `replicate.json`."""

BASELINES = {
    "random": "the encoder's own tower with random weights, frozen",
    "pixels": "raw pixels: the ink in each cell of the page",
    "digitised": "test pages digitised, then the signal teacher",
    "teacher": "the signal teacher on the recorded signals, which it was trained beside: an upper bound",
}

_PAPER = {
    "super": "PTBXL-Super",
    "sub": "PTBXL-Sub",
    "form": "PTBXL-Form",
    "rhythm": "PTBXL-Rhythm",
}
_PAPER_METHODS = ("ECG-Scan", "CLIP", "DIP + D-BETA", "Open-Digitizer + D-BETA", "D-BETA")
_COUNTED = ("n_defined", "n_classes", "n_train", "n_draws", "spread", "covers")


def replicate_values(
    found: Mapping[str, Mapping[str, Any]],
    identity: Mapping[str, Any],
    stages: Stages,
    *,
    recipe_changes: Sequence[str],
    n_of: Mapping[str, int],
    checkpoint: str,
    checkpoint_sha256: str,
) -> dict[str, Any]:
    """What `replicate.json` holds, in plain values; AUROC is percent.

    Args:
        found: stage -> result.
        identity: data, folds, seed, profile and recipe.
        stages: what everything cost.
        recipe_changes: where the recipe differs from the profile's, as `recipe_differences` says it.
        n_of: split -> records.
        checkpoint, checkpoint_sha256: the encoder's file, relative to the folder, and its hash.
    """
    evaluated, pretrained = found["evaluate"], found["pretrain"]
    tables = {task: table["rows"] for task, table in evaluated["probes"].items()}
    signal = {name: found[name]["rows"] for name in ("digitised", "teacher")}
    baselines: dict[str, dict[str, Any]] = {
        "random": {"linear_probe": _by_fraction(tables, RANDOM)},
        "pixels": {"linear_probe": _by_fraction(tables, PIXELS)},
        **{name: {"linear_probe": _by_fraction(rows, name)} for name, rows in signal.items()},
    }
    for name, values in baselines.items():
        values["what"] = BASELINES[name]
    baselines["digitised"]["n_test_digitised"] = found["digitised"]["n_test_digitised"]
    baselines["digitised"]["encoder_minus_digitised"] = {
        SHORT.get(task, task): dict(by_fraction)
        for task, by_fraction in found["digitised"]["encoder_minus_digitised"].items()
    }
    notes = [*evaluated["notes"], *found["digitised"]["notes"], *found["teacher"]["notes"]]
    return {
        "ecgscan_lab": __version__,
        "linear_probe": _by_fraction(tables, ENCODER),
        "zero_shot": {SHORT.get(task, task): dict(values) for task, values in evaluated["zero_shot"].items()},
        "baselines": baselines,
        "retrieval": dict(found["retrieval"]),
        "reconstruction": dict(found["reconstruction"]),
        "photo": dict(found["photo"]),
        "training": {name: pretrained[name] for name in ("steps", "best_step", "validation")},
        "seconds": _with_total(stages.seconds),
        "processor_seconds": _with_total(stages.processor_seconds),
        "peak_memory_mb": stages.peak_memory_mb,
        "seed": identity["seed"],
        "profile": identity["profile"],
        "data_sha256": identity["data_sha256"],
        "n_records": dict(n_of),
        "folds": dict(identity["folds"]),
        "recipe": dict(identity["recipe"]),
        "recipe_changes": list(recipe_changes),
        "checkpoint": checkpoint,
        "checkpoint_sha256": checkpoint_sha256,
        "notes": notes,
    }


def markdown(values: Mapping[str, Any]) -> str:
    """The report: every figure of the run, the paper's line under it, and what the two do not share."""
    folds, n_of = values["folds"], values["n_records"]
    lines = [
        "# PTB-XL: this run beside the paper",
        "",
        f"Recipe `{values['recipe']['name']}`{', changed' if values['recipe_changes'] else ''} "
        f"(profile {values['profile']}), seed {values['seed']}. "
        + " ".join(f"{what}: {n_of[name]:,} records of {_folds(folds[name])}." for name, what in _SPLITS.items()),
        "Macro AUROC in percent with its 95 % interval (patients resampled; below 100 % also the draw of labels).",
        "",
        *_recipe_changes(values),
        *_probe_tables(values),
        *_against_digitising(values["baselines"]["digitised"]),
        *_other_tables(values),
        "## What may be compared",
        "",
        (
            "- The paper pretrains on MIMIC-IV-ECG and probes with 100 epochs of AdamW on folds 1-8; here a logistic "
            "regression is chosen on validation."
        ),
        "- The paper judges on fold 10." + ("" if folds["test"] == [10] else " This run does not: other patients."),
        (
            f"- Digitising: {values['baselines']['digitised']['n_test_digitised']:,} test pages were read back "
            "from their pixels by this package's own reader, which knows the page; the probe was fitted on what such "
            "pages show of the recorded training signals, as read without error."
        ),
        *(f"- {note}" for note in values["notes"]),
        "",
        "## Cost",
        "",
        "| stage | seconds | processor seconds |",
        "|---|---:|---:|",
        *(f"| {name} | {s:.0f} | {values['processor_seconds'][name]:.0f} |" for name, s in values["seconds"].items()),
        "",
    ]
    if values["peak_memory_mb"] is not None:
        lines += [f"Peak memory: {values['peak_memory_mb']:,.0f} MB.", ""]
    return "\n".join(lines)


def _recipe_changes(values: Mapping[str, Any]) -> list[str]:
    """What is not as in the profile's own recipe; nothing where all is."""
    if not values["recipe_changes"]:
        return []
    return [
        f'Changed from `ptbxl_laptop("{values["profile"]}")`, whose values are those "there":',
        "",
        *("- `{}`:{}".format(*line.split(":", 1)) for line in values["recipe_changes"]),
        "",
    ]


_SPLITS = {"train": "Trained on", "val": "Chosen on", "test": "Judged on"}


def _probe_tables(values: Mapping[str, Any]) -> list[str]:
    lines = []
    for percent in ("100", "10", "1"):
        lines += [f"## Linear probe, {percent} % of labels", "", "| | " + " | ".join(_PAPER) + " |"]
        lines += ["|---|" + "---:|" * len(_PAPER)]
        rows = {"**this encoder**": values["linear_probe"]}
        rows |= {what: values["baselines"][name]["linear_probe"] for name, what in BASELINES.items()}
        for what, by_task in rows.items():
            lines.append(_row(what, [by_task.get(task, {}).get(percent) for task in _PAPER]))
        for method in _PAPER_METHODS:
            printed = [_printed(method, "linear_probe", task, int(percent)) for task in _PAPER]
            if any(figure is not None for figure in printed):
                shown = " | ".join("-" if figure is None else f"{figure:.2f}" for figure in printed)
                lines.append(f"| paper, Table 2: {method} | {shown} |")
        lines.append("")
    return lines


def _against_digitising(digitised: Mapping[str, Any]) -> list[str]:
    """What the two intervals of the tables above cannot tell: their difference on the same pages."""
    lead, n_test = digitised["encoder_minus_digitised"], digitised["n_test_digitised"]
    told = f"Points of AUROC on the {n_test:,} test pages that were digitised, the encoder's minus that of digitising."
    lines = ["## The encoder against digitising", "", told, ""]
    lines += ["| labels | " + " | ".join(_PAPER) + " |", "|---|" + "---:|" * len(_PAPER)]
    for percent in ("100", "10", "1"):
        found = [lead.get(task, {}).get(percent) for task in _PAPER]
        lines.append(f"| {percent} % | " + " | ".join("-" if row is None else _points(row) for row in found) + " |")
    return [*lines, ""]


def _other_tables(values: Mapping[str, Any]) -> list[str]:
    lines = ["## Zero-shot", "", "| | " + " | ".join(_PAPER) + " |", "|---|" + "---:|" * len(_PAPER)]
    lines += [_row("**this encoder**", [values["zero_shot"].get(task) for task in _PAPER]), ""]
    photo = values["photo"]
    if photo:
        lost = f"{photo['lost']:.2f} [{photo['lost_ci95'][0]:.2f}, {photo['lost_ci95'][1]:.2f}]"
        lines += [
            "## Photographed pages", "",
            (f"Super, probe fitted on clean pages: {_shown(photo['clean'])} on clean test pages, {_shown(photo)} on "
            f"photographed ones: {lost} points lost on the same patients."), "",
        ]  # fmt: skip
    if values["retrieval"]:
        lines += ["## Retrieval", "", "| | recall@1 | recall@5 | recall@10 | median rank | among |"]
        lines += ["|---|---:|---:|---:|---:|---:|"]
        for name, found in values["retrieval"].items():
            recall = found["recall_image_to_other"]
            lines.append(
                f"| page to {name.removeprefix('image_')} | "
                + " | ".join(f"{recall[k]:.1f} %" for k in ("1", "5", "10"))
                + f" | {found['median_rank_image_to_other']:g} | {found['n']:,} |"
            )
        lines.append("")
    if values["reconstruction"]:
        lines += ["## Reconstruction of test recordings, medians", "", "| samples | RMSE (mV) | r | SNR (dB) |"]
        lines += ["|---|---:|---:|---:|"]
        for span, found in values["reconstruction"].items():
            cells = [found[name] for name in ("rmse_mv", "pearson_r", "snr_db")]
            lines.append(f"| {span} | " + " | ".join("-" if c is None else f"{c:.3f}" for c in cells) + " |")
        lines.append("")
    return lines


def _by_fraction(tables: Mapping[str, Sequence[Mapping[str, Any]]], encoder: str) -> dict[str, dict[str, Any]]:
    """By task and percent: the figures of one encoder."""
    found: dict[str, dict[str, Any]] = {}
    for task, rows in tables.items():
        for row in rows:
            if row["encoder"] == encoder:
                figures = {name: row[name] for name in ("macro_auroc", "ci95", *_COUNTED)}
                found.setdefault(SHORT.get(task, task), {})[f"{row['percent']:g}"] = figures
    return found


def _with_total(by_stage: Mapping[str, float]) -> dict[str, float]:
    return {**by_stage, "total": round(math.fsum(by_stage.values()), 2)}


def _printed(method: str, task: str, name: str, fraction: int | None) -> float | None:
    for row in paper_results():
        if (row["method"], row["task"], row["dataset"], row["fraction"]) == (method, task, _PAPER[name], fraction):
            return float(row["auc"])
    return None


def _row(what: str, cells: Sequence[Mapping[str, Any] | None]) -> str:
    return f"| {what} | " + " | ".join("-" if cell is None else _shown(cell) for cell in cells) + " |"


def _shown(figure: Mapping[str, Any]) -> str:
    return f"{figure['macro_auroc']:.2f} [{figure['ci95'][0]:.1f}, {figure['ci95'][1]:.1f}]"


def _points(row: Mapping[str, Any]) -> str:
    return f"{row['points']:+.2f} [{row['ci95'][0]:+.1f}, {row['ci95'][1]:+.1f}]"


def _folds(folds: Sequence[int]) -> str:
    if not folds:
        return "no fold"
    return ("fold " if len(folds) == 1 else "folds ") + ", ".join(map(str, folds))
