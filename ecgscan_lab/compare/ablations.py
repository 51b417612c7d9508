"""What each part is worth: the objective taken apart, and the towers exchanged, each as one call with one table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgscan_lab.compare.experiment import checked_seeds
from ecgscan_lab.compare.judge import judge
from ecgscan_lab.compare.result import Comparison, Run, paired_differences
from ecgscan_lab.compare.rungs import Rung, rung_for
from ecgscan_lab.compare.tables import frozen_table, task_of
from ecgscan_lab.compare.training import NotFiniteError, train_tower
from ecgscan_lab.data import load_cohort
from ecgscan_lab.errors import ArgumentError, EcgScanLabError
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.losses.registry import FeatureLoss, as_feature_loss
from ecgscan_lab.types import Cohort


@dataclass(frozen=True)
class Variant:
    """One row of an ablation: what is minimised, and what of the recipe is changed.

    Attributes:
        weights: of the objective; None where `loss` is given.
        loss: another loss of `Features` in place of the objective.
        changes: fields of the recipe and their values, for instance `{"tower_width": 32}`.
    """

    weights: Weights | None = field(default_factory=Weights.paper)
    loss: FeatureLoss | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.weights is None) == (self.loss is None):
            raise ArgumentError("weights and loss", field="weights", expected="one of the two, the other None")

    @property
    def decoder(self) -> bool:
        """Whether it needs the reconstruction."""
        return self.weights is not None and self.weights.beta > 0

    def function(self) -> FeatureLoss:
        """What is minimised, as a function of features."""
        return self.loss if self.loss is not None else as_feature_loss("objective", weights=self.weights)


def objective_variants() -> dict[str, Variant]:
    """The paper's objective built up part by part, taken down to the reconstruction, and with this package's cures.

    "+ signal" adds the signal as a third partner of the contrast, pair by pair, as the paper's "contrastive only over
    three modalities" reads; "+ Gram" replaces that by the volume. The cures are the signed plane distance in place of
    the volume, and a violation loss beside the rule loss.

    Example:
        >>> list(objective_variants())[:3]
        ['contrastive, page and report', '+ signal, pair by pair', '+ Gram']
    """
    nothing = Weights(theta=0.0, beta=0.0, w_rule=0.0)
    return {
        "contrastive, page and report": Variant(nothing),
        "+ signal, pair by pair": Variant(None, as_feature_loss("pairwise")),
        "+ Gram": Variant(dataclasses.replace(nothing, theta=0.05)),
        "+ reconstruction": Variant(dataclasses.replace(Weights.paper(), w_rule=0.0)),
        "+ rule: the paper's": Variant(Weights.paper()),
        "reconstruction only": Variant(dataclasses.replace(Weights.paper(), alpha=0.0, theta=0.0)),
        "the paper's, cured": Variant(
            dataclasses.replace(Weights.paper(), gram_kind="signed_plane_distance", w_violation=0.1)
        ),
    }


def tower_variants(rung: Rung) -> dict[str, Variant]:
    """The paper's objective with other towers: the recipe as it is, then one change each.

    The text tower reads words by hashing or by a small language model (MiniLM), the teacher is trained or left as its
    weights were drawn, and the image tower is half or twice as wide.
    """
    width = rung.recipe.tower_width
    return {
        "as the recipe says": Variant(),
        "texts by hashed words": Variant(changes={"text_tower": "hashed"}),
        "texts by MiniLM": Variant(changes={"text_tower": "minilm"}),
        "untrained teacher": Variant(changes={"teacher_steps": 0}),
        "image tower half as wide": Variant(changes={"tower_width": max(2, width // 2)}),
        "image tower twice as wide": Variant(changes={"tower_width": 2 * width}),
    }


def ablate_objective(data: str | Cohort = "synthetic", rung: str | Rung = "quick", **options: Any) -> Comparison:
    """Which part of the objective earns what: a probe with 1 % of the labels, and zero-shot.

    **Source**: ECG-Scan (arXiv 2604.01526), Table 6. *Differences*: a small tower on your data, several seeds, and
    paired intervals; the paper prints means over data sets.

    Args:
        data: source of `data.load_cohort`, or a loaded cohort.
        rung: "quick" or "full", or a `Rung`.
        **options: of `ablate`.

    Returns:
        One row for each of `objective_variants`, differences from the first.
    """
    return ablate(objective_variants(), data, rung, **options)


def ablate_towers(data: str | Cohort = "synthetic", rung: str | Rung = "quick", **options: Any) -> Comparison:
    """What another text tower, teacher or width changes: a probe with 1 % of the labels, and zero-shot.

    **Source**: ECG-Scan (arXiv 2604.01526), Table 7. *Differences*: as in `ablate_objective`; the towers are those that
    run anywhere. Pass `ablate` variants of your own for published ones. A row whose tower is not installed is listed as
    failed, and the others go on.

    Args:
        data: source of `data.load_cohort`, or a loaded cohort.
        rung: "quick" or "full", or a `Rung`.
        **options: of `ablate`.

    Returns:
        One row for each of `tower_variants`, differences from the first.
    """
    chosen = rung if isinstance(rung, Rung) else rung_for(rung)
    return ablate(tower_variants(chosen), data, chosen, **options)


def ablate(
    variants: Mapping[str, Variant],
    data: str | Cohort = "synthetic",
    rung: str | Rung = "quick",
    *,
    task: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    few_labels: float = 1.0,
    label_draws: int = 5,
    cache: Path | str | None = None,
    on_run: Callable[[Run], None] | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Comparison:
    """Train every variant by the same recipe from the same seeds, end to end, and compare it with the first.

    A seed sets first weights and the order of the batches. The probe with few labels sees the same labelled records in
    every run, and all figures the same resampled patients, so that differences are paired.

    Args:
        variants: name -> what is minimised and changed; the first is the baseline.
        data: source of `data.load_cohort`, or a loaded cohort.
        rung: "quick" or "full", or a `Rung` with a recipe.
        task: labels to judge by; None takes the cohort's first task.
        seeds: at least three different ones.
        few_labels: percent of the training labels behind "few_label_auroc".
        label_draws: draws of them.
        cache: folder for frozen features; None takes `ECGSCAN_CACHE`, else the user's cache folder.
        on_run: called after each run.
        say: called with a sentence about what takes long.

    Returns:
        One table, see `Comparison`; "few_label_auroc" and "zero_shot_auroc" are its columns of interest. A variant that
        fails is listed with its reason. An interrupt (Ctrl-C) after the first run ends it with the runs that are in.

    Raises:
        ArgumentError: fewer than two variants or three seeds, a rung that trains no tower, or a field that the recipe
            does not have.
        EcgScanLabError: the data cannot be loaded or split.
    """
    chosen = rung if isinstance(rung, Rung) else rung_for(rung)
    rungs = _checked(variants, chosen)
    asked = checked_seeds(seeds)
    cohort = data if isinstance(data, Cohort) else load_cohort(data, n_records=chosen.n_records)
    wanted = task_of(cohort, task)
    runs: list[Run] = []

    def run_one(name: str, seed: int) -> Run:
        variant = variants[name]
        try:
            table = frozen_table(cohort, rungs[name], wanted, with_images=False, cache=cache, say=say)
            trained = train_tower(cohort, table, variant.function(), rungs[name], seed, decoder=variant.decoder)
            cases = dataclasses.replace(table.cases, few_labels=few_labels, label_draws=label_draws)
            judged = judge(trained.embedded, cases, chosen.n_bootstrap)
        except NotFiniteError as error:
            return Run(name, seed, status=str(error))
        except EcgScanLabError as error:
            return Run(name, seed, status=error.what)
        more = {"gradient_norm": trained.gradient_norm, "seconds_per_step": trained.seconds_per_step}
        return Run(
            name, seed, "ok", {**judged.metrics, **more}, trained.first_loss, trained.last_loss, draws=judged.draws
        )

    try:
        for seed in asked:  # seeds outside, so that an interrupt leaves pairs
            for name in variants:
                runs.append(run_one(name, seed))
                if on_run is not None:
                    on_run(runs[-1])
    except KeyboardInterrupt:
        if not runs:
            raise
    names = tuple(variants)
    settings = {**chosen.as_dict(), "few_labels": few_labels, "label_draws": label_draws}
    return Comparison(
        chosen.name, cohort.name, cohort.data_sha256, names, asked, tuple(runs), paired_differences(runs, names),
        settings, what="variants",
    )  # fmt: skip


def _checked(variants: Mapping[str, Variant], rung: Rung) -> dict[str, Rung]:
    """The rung of every variant, its recipe changed as the variant says."""
    if len(variants) < 2:
        raise ArgumentError("fewer than two variants", field="variants", expected="a baseline and at least one other")
    if rung.name in ("toy", "heads"):
        raise ArgumentError(f"rung {rung.name!r} trains no tower", field="rung", expected="quick or full")
    known = {item.name for item in dataclasses.fields(rung.recipe)}
    rungs = {}
    for name, variant in variants.items():
        unknown = sorted(set(variant.changes) - known)
        if unknown:
            raise ArgumentError(
                f"the recipe has no {unknown[0]!r}", field=f"variants[{name!r}]", expected=", ".join(sorted(known))
            )
        rungs[name] = dataclasses.replace(rung, recipe=dataclasses.replace(rung.recipe, **variant.changes))
    return rungs
