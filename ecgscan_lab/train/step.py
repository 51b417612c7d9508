"""One step of training: features, loss, gradient, update; or nothing, when the numbers are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from ecgscan_lab.batch import Fed, FrozenFeatures
from ecgscan_lab.encoders.decoder import query_mask
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train.accumulate import Score, backward, seeded
from ecgscan_lab.train.building import base_sha256, build_model
from ecgscan_lab.train.compiled import compile_blocks
from ecgscan_lab.train.phases import reading_at
from ecgscan_lab.train.precision import autocast, loss_scaler, pick_precision
from ecgscan_lab.train.processes import Processes
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.schedule import adamw, learning_rate
from ecgscan_lab.train.scoring import (
    FeaturesLoss,
    NotFiniteFeaturesError,
    StatementTensors,
    as_row,
    make_score,
    put_statements,
    statement_tensors,
)
from ecgscan_lab.train.state import Average, features_sha256, start_average, update_average
from ecgscan_lab.train.stopwatch import Stopwatch
from ecgscan_lab.types import Features, LossOutput, TrainingData, TripleBatch

_NORMS = (nn.modules.batchnorm._BatchNorm,)


@dataclass(eq=False)
class Learner:
    """What learns: the model with its optimiser, and how a batch is judged.

    Attributes:
        recipe, seed: of the run.
        processes: this process among those of the run.
        model: what is trained; its layers may be compiled.
        optimizer, scaler, average: AdamW, loss scaling of float16 or None, averaged weights or None.
        precision: "bf16", "fp16" or "fp32".
        score: features -> loss in training; `judge_score`: in validation, where one process is alone.
        facts: what a checkpoint says about the run.
        statements: labels as texts, or None.
    """

    recipe: Recipe
    seed: int
    processes: Processes
    model: EcgScanModel
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None
    average: Average | None
    precision: str
    score: Score
    judge_score: Score
    facts: Mapping[str, Any]
    statements: StatementTensors | None = None


@dataclass(frozen=True)
class Taken:
    """What a step did: loss and parts, gradient norm before clipping, rate, laps, and why it was skipped, if so."""

    parts: dict[str, float]
    norm: float
    lr: float
    laps: dict[str, float]
    skipped: str | None = None
    counts: bool = True


def make_learner(
    data: TrainingData,
    frozen: FrozenFeatures,
    recipe: Recipe,
    seed: int,
    processes: Processes,
    loss: FeaturesLoss | None = None,
) -> Learner:
    """Model, optimiser and score of a recipe, with first weights from `seed`, the same in all processes."""
    precision = pick_precision(processes.device, recipe.precision)
    d_summary = None if loss is not None else _summary_size(recipe, frozen)
    model = build_model(recipe, frozen.text.shape[1], data.n_samples, seed, d_summary).to(processes.device)
    model.to(memory_format=torch.channels_last)  # convolutions: an eighth faster on a CPU
    processes.share_first(model.state_dict().values())
    if recipe.compile_model:
        compile_blocks(model)
    facts = {
        "recipe": recipe.as_dict(),
        "seed": seed,
        "data_sha256": data.data_sha256,
        "features_sha256": features_sha256(frozen),
        "base_sha256": base_sha256(model) if recipe.save == "trainable" else None,
        "precision": precision,
        "world_size": processes.world_size,
        "batch_norms": any(isinstance(module, _NORMS) for module in model.modules()),
        "loss": None if loss is None else getattr(loss, "__qualname__", type(loss).__qualname__),
        "d_text": frozen.text.shape[1],
        "d_summary": d_summary,
        "n_samples": data.n_samples,
        "fs_hz": data.fs_hz,
    }
    return Learner(
        recipe,
        seed,
        processes,
        model,
        adamw(model, recipe.lr, recipe.weight_decay),
        loss_scaler(precision),
        start_average(model) if recipe.weight_average else None,
        precision,
        make_score(recipe, loss, gather=processes.world_size > 1, agree=processes.largest),
        make_score(recipe, loss),
        facts,
        statement_tensors(frozen.statements, processes.device),
    )


def _summary_size(recipe: Recipe, frozen: FrozenFeatures) -> int | None:
    """Numbers of the teacher's summary that the model has to predict; None where it predicts none.

    Raises:
        ArgumentError: the recipe distils, and the features hold no summary.
    """
    if recipe.weights.w_distillation == 0:
        return None
    if frozen.signal_summary is None:
        raise ArgumentError(
            "the distillation loss has a weight, but the features hold no summary of the signal",
            field="signal_summary",
            expected="FrozenFeatures(signal_summary=...), as train.frozen_features.prepare_frozen gives",
            fix="prepare them with this recipe, or train with w_distillation=0",
        )
    return int(frozen.signal_summary.shape[1])


def take_training_step(learner: Learner, fed: Fed, *, exact_times: bool = False) -> Taken:
    """Update the model by one batch.

    A loss or gradient that is not finite changes nothing but the counts; all processes agree on it. With loss scaling
    the first steps overflow by design, which lowers the scale and is not counted.
    """
    recipe, model, processes = learner.recipe, learner.model, learner.processes
    watch = Stopwatch(processes.device, exact_times)
    lr = learning_rate(fed.step, recipe.steps, recipe.lr, recipe.warmup_share)
    model.train()
    learner.optimizer.zero_grad(set_to_none=True)
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    masked = None
    if model.decoder is not None and recipe.mask_share > 0:
        masked = query_mask(model.decoder, fed.batch.index, seed=learner.seed, epoch=fed.epoch)

    def forward(part: TripleBatch, mask: torch.Tensor | None, k: int) -> Features:
        draws = seeded(processes.device, learner.seed, fed.step, processes.rank, k)
        with draws, autocast(processes.device, learner.precision):
            return put_statements(model, model(part, masked=mask), learner.statements)

    scale = 1.0 if learner.scaler is None else learner.scaler.scale(torch.ones((), device=processes.device))
    size = len(fed.batch)
    n_parts = min(size, math.ceil(size / (recipe.micro_batch or size)))
    try:
        with reading_at(model.tower, fed.batch, recipe):
            scored = backward(
                forward, fed.batch, masked, learner.score, model=model, parts=n_parts, scale=scale, watch=watch
            )
    except NotFiniteFeaturesError:
        scored = LossOutput(torch.tensor(math.nan), {})
    trained = [p for p in model.parameters() if p.grad is not None]
    processes.average([p.grad for p in trained])  # type: ignore[misc]
    processes.average([b for b in model.buffers() if b.is_floating_point()])
    if learner.scaler is not None:
        learner.scaler.unscale_(learner.optimizer)
    norm = float(nn.utils.clip_grad_norm_(trained, recipe.clip_norm))
    total = float(scored.total)
    lost, bad = processes.largest(float(not math.isfinite(total)), float(not math.isfinite(norm)))
    skipped = "the loss is not finite" if lost else "a gradient is not finite" if bad else None
    counts = skipped is not None and (bool(lost) or learner.scaler is None or learner.scaler.get_scale() < 1)
    if skipped is not None:  # running means must not remember it either
        for buffer, value in buffers:
            buffer.copy_(value)
    _update(learner, lr, fed.step, skipped, lost=bool(lost))
    watch.lap("optimizer")
    parts = {}
    if exact_times or skipped:  # reading numbers from a GPU waits for it
        parts = processes.average_parts(as_row(scored))
    return Taken(parts, norm, lr, watch.seconds, skipped, counts)


def _update(learner: Learner, lr: float, step: int, skipped: str | None, *, lost: bool) -> None:
    for group in learner.optimizer.param_groups:
        group["lr"] = lr
    if learner.scaler is not None:
        if not lost:
            learner.scaler.step(learner.optimizer)  # which skips overflowing gradients by itself
        learner.scaler.update()
    elif skipped is None:
        learner.optimizer.step()
    if skipped is None:
        learner.model.limit_logit_scales()
        if learner.average is not None:
            update_average(learner.average, learner.model, learner.recipe.weight_average, step)


def describe_bad(fed: Fed, taken: Taken, positions: np.ndarray) -> dict[str, Any]:
    """One line for `bad_batches.jsonl`: numbers that are not finite as words, since JSON has none."""
    parts = {name: value if math.isfinite(value) else str(value) for name, value in taken.parts.items()}
    return {
        "step": fed.step,
        "epoch": fed.epoch,
        "reason": taken.skipped,
        "positions": [int(i) for i in positions],
        "parts": parts,
    }
