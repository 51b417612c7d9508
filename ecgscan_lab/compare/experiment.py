"""`compare_losses`: several losses from the same starts on the same batches; which differences exceed luck?"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgscan_lab.compare.judge import Cases, Embedded, judge
from ecgscan_lab.compare.log import append_line
from ecgscan_lab.compare.result import Comparison, Run, paired_differences
from ecgscan_lab.compare.rungs import Rung, rung_for
from ecgscan_lab.compare.tables import FrozenTable, frozen_table, task_of, toy_table
from ecgscan_lab.compare.training import NotFiniteError, Trained, train_heads, train_tower
from ecgscan_lab.data import load_cohort
from ecgscan_lab.errors import ArgumentError, EcgScanLabError
from ecgscan_lab.losses.registry import FeatureLoss, as_feature_loss
from ecgscan_lab.losses.trial import draw_features, fields_read
from ecgscan_lab.types import Cohort

LEAST_SEEDS = 3
Loss = str | Callable[..., torch.Tensor]


@dataclass(frozen=True, eq=False)
class _Stage:
    """What all losses of a comparison share, by seed."""

    table: Callable[[int], FrozenTable]
    train: Callable[[FeatureLoss, int], Trained]
    decoder: bool
    data: str
    data_sha256: str


def compare_losses(
    losses: Mapping[str, Loss] | Sequence[str],
    rung: str | Rung = "heads",
    *,
    data: str | Cohort = "synthetic",
    task: str | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    baseline: str | None = None,
    log: Path | str | None = "ecgscan-comparisons.jsonl",
    cache: Path | str | None = None,
    on_run: Callable[[Run], None] | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Comparison:
    """Train each loss from the same starts on the same batches, and report every figure with its paired difference.

    A seed sets first weights and the order of the batches, alike for all losses, so that a difference between two of
    them is taken seed by seed. Its interval counts the luck of the seeds, and of the test patients where these are the
    same for all seeds (`evaluate.paired.seed_interval`): three seeds know little, and the intervals say so. All losses
    share one learning rate, schedule and clipping; a loss that needs others is undersold, so pass a `Rung` of your own
    before you give one up.

    Args:
        losses: name -> function of `types.Features` or a name of `LOSSES`; or just names of `LOSSES`.
        rung: "toy" (points on a sphere, a second), "heads" (projections on frozen features, seconds a loss), "quick" (a
            small image tower, minutes a loss), "full" (for a GPU); or a `Rung`.
        data: "synthetic", "ptbxl:FOLDER", "cohort:FOLDER", or a loaded cohort; "toy" makes its own.
        task: labels that both AUROCs judge by; None takes the cohort's first task.
        seeds: at least three different ones.
        baseline: the loss that others are compared with; None takes the first.
        log: file that every run is appended to as it ends, and the comparison at the end; None keeps no log.
        cache: folder for frozen features; None takes `ECGSCAN_CACHE`, else the user's cache folder.
        on_run: called after each run.
        say: called with a sentence about what takes long.

    Returns:
        One table. A loss that leaves the numbers, or crashes on the way, is listed with the step and does not stop the
        others. An interrupt (Ctrl-C) after the first run ends the comparison with the runs that are in.

    Raises:
        ArgumentError: fewer than two losses or three seeds, an unknown rung, name or baseline, or a loss that cannot be
            computed on this rung's features at all; `field` names the argument.
        EcgScanLabError: the data cannot be loaded or split.
        KeyboardInterrupt: before the first run was in.

    **Properties**: the same call gives the same figures (seconds aside); a loss against itself differs by exactly zero;
    the order of the losses does not change a run.

    Example:
        >>> found = compare_losses(["contrastive", "gram"], "toy", log=None)
        >>> found.baseline, found.complete, "signal_recall_at_10" in found.table()
        ('contrastive', True, True)
    """
    chosen = rung if isinstance(rung, Rung) else rung_for(rung)
    functions = _resolved(losses, baseline)
    asked = checked_seeds(seeds)
    decoder = any("reconstruction_mv" in fields_read(function, 0) for function in functions.values())
    stage = _stage(chosen, data, task, decoder, cache, say)
    _rehearse(functions, chosen, stage)
    names, identity = tuple(functions), uuid.uuid4().hex[:12]
    runs: list[Run] = []
    try:
        for seed in asked:  # seeds outside, so that an interrupt leaves pairs
            for name, function in functions.items():
                run = _one_run(name, function, seed, stage, chosen.n_bootstrap)
                runs.append(run)
                if log is not None:
                    append_line(log, {"kind": "run", "comparison_id": identity, "rung": chosen.name, **run.as_dict()})
                if on_run is not None:
                    on_run(run)
    except KeyboardInterrupt:
        if not runs:
            raise
    comparison = Comparison(
        rung=chosen.name,
        data=stage.data,
        data_sha256=stage.data_sha256,
        losses=names,
        seeds=asked,
        runs=tuple(runs),
        found=paired_differences(runs, names),
        settings=chosen.as_dict(),
    )
    if log is not None:
        append_line(log, {"kind": "comparison", "comparison_id": identity, "comparison": comparison.as_dict()})
    return comparison


def toy_embeddings(loss: Loss, seed: int = 0, rung: Rung | None = None) -> tuple[Embedded, Cases]:
    """Train a loss on the toy world and return all its points in three dimensions, for a picture.

    Args:
        loss: function of `types.Features`, or a name of `LOSSES`.
        seed: of world, start and batches, as in `compare_losses(..., "toy")`.
        rung: None takes `rung_for("toy")`.

    Returns:
        Embeddings and what they belong to; `cases.targets` are the clusters.

    Raises:
        NotFiniteError: the loss left the numbers.

    Example:
        >>> embedded, cases = toy_embeddings("pairwise")
        >>> embedded.image.shape == embedded.signal.shape == (len(cases.split), 3)
        True
    """
    chosen = rung if rung is not None else rung_for("toy")
    table = toy_table(chosen.n_records or 400, seed)
    return train_heads(table, as_feature_loss(loss), chosen, seed).embedded, table.cases


def _one_run(name: str, function: FeatureLoss, seed: int, stage: _Stage, n_bootstrap: int) -> Run:
    """One loss from one seed; what goes wrong with it becomes its status."""
    try:
        trained = stage.train(function, seed)
        judged = judge(trained.embedded, stage.table(seed).cases, n_bootstrap)
    except NotFiniteError as error:
        return Run(name, seed, status=str(error))
    except EcgScanLabError as error:
        return Run(name, seed, status=error.what)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return Run(name, seed, status=f"it raised {type(error).__name__}: {first}"[:200])
    measured = {"gradient_norm": trained.gradient_norm, "seconds_per_step": trained.seconds_per_step}
    return Run(
        name, seed, "ok", {**judged.metrics, **measured}, trained.first_loss, trained.last_loss, draws=judged.draws
    )


def _stage(
    rung: Rung, data: str | Cohort, task: str | None, decoder: bool, cache: Any, say: Callable[[str], None]
) -> _Stage:
    if rung.name == "toy":
        worlds: dict[int, FrozenTable] = {}

        def world(seed: int) -> FrozenTable:
            if seed not in worlds:
                worlds[seed] = toy_table(rung.n_records or 400, seed)
            return worlds[seed]

        return _Stage(world, lambda loss, seed: train_heads(world(seed), loss, rung, seed), False, "toy", "")
    cohort = data if isinstance(data, Cohort) else load_cohort(data, n_records=rung.n_records)
    end_to_end = rung.name in ("quick", "full")
    table = frozen_table(cohort, rung, task_of(cohort, task), with_images=not end_to_end, cache=cache, say=say)
    if end_to_end:

        def train(loss: FeatureLoss, seed: int) -> Trained:
            return train_tower(cohort, table, loss, rung, seed, decoder=decoder)

    else:

        def train(loss: FeatureLoss, seed: int) -> Trained:
            return train_heads(table, loss, rung, seed)

    return _Stage(lambda seed: table, train, decoder and end_to_end, cohort.name, cohort.data_sha256)


def _resolved(losses: Mapping[str, Loss] | Sequence[str], baseline: str | None) -> dict[str, FeatureLoss]:
    """Losses by name as functions of features, the baseline first."""
    given = losses if isinstance(losses, Mapping) else {name: name for name in losses}
    if isinstance(losses, str) or len(given) < 2:
        raise ArgumentError(
            "fewer than two losses", field="losses", expected='{"name": function or name of LOSSES, ...}, at least two'
        )
    functions: dict[str, FeatureLoss] = {}
    for name, loss in given.items():
        try:
            functions[str(name)] = as_feature_loss(loss)
        except ArgumentError as error:
            raise ArgumentError(
                error.what, field=f"losses[{name!r}]", expected=error.expected, fix=error.fix
            ) from error
    first = next(iter(functions)) if baseline is None else baseline
    if first not in functions:
        raise ArgumentError(f"no loss {first!r}", field="baseline", expected=f"one of {', '.join(functions)}")
    return {first: functions[first], **functions}


def checked_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds as whole numbers.

    Raises:
        ArgumentError: fewer than three, one twice, or one that is no whole number of at least 0.
    """
    whole = [isinstance(seed, (int, np.integer)) and not isinstance(seed, bool) and seed >= 0 for seed in seeds]
    if len(set(seeds)) != len(seeds) or len(seeds) < LEAST_SEEDS or not all(whole):
        raise ArgumentError(
            f"seeds {tuple(seeds)}",
            field="seeds",
            expected=f"at least {LEAST_SEEDS} different whole numbers of at least 0",
            fix="one seed cannot tell a better loss from a luckier start",
        )
    return tuple(int(seed) for seed in seeds)


def _rehearse(functions: Mapping[str, FeatureLoss], rung: Rung, stage: _Stage) -> None:
    """Compute each loss once on features of the right shape, so that a broken one is refused before anything trains."""
    if stage.decoder:
        features = draw_features(0, 4, rung.recipe.d_shared)
    else:
        width = rung.d_shared if rung.name in ("toy", "heads") else rung.recipe.d_shared
        drawn = draw_features(0, 4, width)
        features = type(drawn)(drawn.image.requires_grad_(), drawn.text.requires_grad_(), drawn.signal)
    for name, function in functions.items():
        try:
            value = function(features)
        except Exception as error:
            what = error.what if isinstance(error, EcgScanLabError) else f"it raised {type(error).__name__}: {error}"
            rungs = "quick or full" if rung.name in ("toy", "heads") else ""
            raise ArgumentError(
                f"the loss cannot be computed on rung {rung.name!r}: {what}",
                field=f"losses[{name!r}]",
                expected="a function of Features that returns a scalar tensor",
                fix=f"check_loss tells more; losses on the reconstruction need rung {rungs}"
                if rungs
                else "check_loss tells more",
            ) from error
        if not stage.decoder and not value.requires_grad:
            raise ArgumentError(
                "the loss sends no gradient to image or text",
                field=f"losses[{name!r}]",
                expected="a loss that the trainable projections can lower",
                fix="run check_loss on it",
            )
