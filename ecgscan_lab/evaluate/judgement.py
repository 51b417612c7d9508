"""Judge several encoders on the same records, tasks and resamples, so that their numbers can stand side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecgscan_lab.data.reports import class_prompts
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.errors import LabelError
from ecgscan_lab.evaluate.linear_probe import ProbeResult, linear_probe
from ecgscan_lab.evaluate.zero_shot import ZeroShotResult, class_embeddings, zero_shot
from ecgscan_lab.types import Cohort, TextTower, TrainingData


def labelled(cohort: TrainingData, task: str) -> np.ndarray:
    """Positions of the records that carry at least one label of a task `[n]`: a task is judged on those only."""
    return np.flatnonzero(cohort.targets(task).any(axis=1))


def probe_encoders(
    features: Mapping[str, np.ndarray], cohort: Cohort, *, n_bootstrap: int = 1000, seed: int = 0
) -> dict[str, dict[str, ProbeResult]]:
    """Linear probe of every encoder on every task of a cohort.

    Args:
        features: encoder -> float `[record, dim]` over the whole cohort.
        cohort: the records with their tasks and splits.
        n_bootstrap: patient resamples behind every interval.
        seed: seed of the resamples.

    Returns:
        task -> encoder -> result. A task that cannot be judged is left out: no class has both values where it counts,
        a split has no labelled record, or the labelled test records are those of one patient.

    Raises:
        SplitError: a patient is in two splits, or a record in none.
    """
    split = np.array([record.split for record in cohort.records])
    table: dict[str, dict[str, ProbeResult]] = {}
    for task, classes in cohort.tasks.items():
        rows = labelled(cohort, task)
        if not all(_n_patients(cohort, rows, name) >= least for name, least in (("train", 1), ("val", 1), ("test", 2))):
            continue
        targets = cohort.targets(task)[rows]
        try:
            table[task] = {
                name: linear_probe(
                    x[rows], targets, split[rows], cohort.patients[rows],
                    class_names=classes, n_bootstrap=n_bootstrap, seed=seed,
                )
                for name, x in features.items()
            }  # fmt: skip
        except LabelError:
            continue
    return table


def zero_shot_tasks(
    model: EcgScanModel,
    image_embeddings: np.ndarray,
    text_tower: TextTower,
    cohort: Cohort,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, ZeroShotResult]:
    """Zero-shot on the test split of every task: each class is a handful of prompts, no label is fitted.

    Args:
        model: its text projection takes prompts into the shared space.
        image_embeddings: `[record, d_shared]` over the whole cohort, from `model.image_embeddings`.
        text_tower: the tower the model was trained with.
        cohort: the records with their tasks and splits.
        n_bootstrap: patient resamples behind every interval.
        seed: seed of the resamples.

    Returns:
        task -> result; a task without a class that has both values in the test split, or with one patient there, is
        left out.

    Raises:
        LabelError: a class has no description to write prompts from.
    """
    table: dict[str, ZeroShotResult] = {}
    for task, classes in cohort.tasks.items():
        rows = np.intersect1d(labelled(cohort, task), cohort.indices("test"))
        if _n_patients(cohort, rows, "test") < 2:
            continue
        prompts = class_prompts(classes, cohort.descriptions)
        embedded = class_embeddings(prompts, lambda texts: model.project_texts(text_tower.encode_text(texts)))
        try:
            table[task] = zero_shot(
                image_embeddings[rows], embedded, cohort.targets(task)[rows], cohort.patients[rows], classes,
                n_bootstrap=n_bootstrap, seed=seed,
            )  # fmt: skip
        except LabelError:
            continue
    return table


def side_by_side(
    results: Mapping[str, Mapping[str, ProbeResult | ZeroShotResult]], main: str
) -> dict[str, dict[str, Any]]:
    """Figures of the main encoder by task, every other encoder's under its name within: the shape of `results.json`."""
    return {
        task: {**by_encoder[main].as_dict(), **{n: r.as_dict() for n, r in by_encoder.items() if n != main}}
        for task, by_encoder in results.items()
    }


def _n_patients(cohort: Cohort, rows: np.ndarray, split: str) -> int:
    return len(np.unique(cohort.patients[np.intersect1d(rows, cohort.indices(split))]))
