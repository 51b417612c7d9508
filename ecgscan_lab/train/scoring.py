"""What a run minimises: the recipe's objective, or another loss of the features; and how it fares on validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from ecgscan_lab.batch import FrozenFeatures, PagePlan, Statements, make_batch
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.losses.gather import gather_features
from ecgscan_lab.losses.objective import objective
from ecgscan_lab.train.accumulate import Score
from ecgscan_lab.train.phases import reading_at
from ecgscan_lab.train.precision import autocast
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.types import Features, LossOutput, TrainingData, TripleBatch

FeaturesLoss = Callable[[Features], torch.Tensor]
Piece = TypeVar("Piece", Features, TripleBatch)


class NotFiniteFeaturesError(ArithmeticError):
    """Features of a batch are not finite, in this process or in another."""


def make_score(
    recipe: Recipe,
    loss: FeaturesLoss | None = None,
    *,
    gather: bool = False,
    agree: Callable[[float], Sequence[float]] | None = None,
) -> Score:
    """The recipe's objective, or another loss as a total without parts.

    Args:
        recipe: weights and options of the objective.
        loss: takes its place when given.
        gather: let every process see the negatives of all.
        agree: the largest of a number over all processes. When given, features that are not finite raise in all of them
            at once, before one waits for another's (on the CPU; a GPU would have to be waited for, and there the loss
            itself tells).
    """

    def score(features: Features, batch: TripleBatch) -> LossOutput:
        if agree is not None and features.image.device.type == "cpu" and agree(float(not _all_finite(features)))[0]:
            raise NotFiniteFeaturesError
        if loss is not None:
            return LossOutput(loss(gather_features(features) if gather else features), {})
        if recipe.signal_unit == "record_sd":
            features = over_own_sd(features)
        text_ids = batch.text_ids if recipe.multi_positive else None
        return objective(
            features, recipe.weights, text_ids=text_ids, visible=batch.visible, told=batch.told, gather=gather
        )

    return score


StatementTensors = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Features of the texts, log odds and weights of the statements, on the device."""


def statement_tensors(statements: Statements | None, device: torch.device) -> StatementTensors | None:
    """Statements as the model takes them, moved once for many batches."""
    if statements is None:
        return None
    text, log_odds, weight = (
        torch.from_numpy(np.asarray(rows, dtype=np.float32)).to(device)
        for rows in (statements.text, statements.log_odds, statements.weight)
    )
    return text, log_odds, weight


def put_statements(model: EcgScanModel, features: Features, statements: StatementTensors | None) -> Features:
    """Features with the projected statements beside them, where there are any."""
    if statements is None:
        return features
    text, log_odds, weight = statements
    return replace(
        features,
        statements=model.project_text(text).float(),
        statement_log_odds=log_odds,
        statement_weight=weight,
        statement_logit_scale=model.statement_logit_scale(),
    )


def _all_finite(features: Features) -> bool:
    seen = (
        features.image, features.text, features.signal, features.reconstruction_mv, features.signal_summary,
        features.predicted_summary,
    )  # fmt: skip
    return all(bool(torch.isfinite(rows).all()) for rows in seen if rows is not None)


def over_own_sd(features: Features) -> Features:
    """Reconstruction and recorded signal in units of each record's own standard deviation.

    One gain for all leads and no offset, so that the lead laws hold as before; a record counts the same whether its
    waves are high or low. What was not recorded (NaN) does not count.
    """
    recorded, decoded = features.signal_mv, features.reconstruction_mv
    if recorded is None or decoded is None:
        return features
    known = ~recorded.isnan()
    values, n = torch.nan_to_num(recorded), known.sum((1, 2), keepdim=True).clamp(min=1)
    mean = values.sum((1, 2), keepdim=True) / n
    spread = (((values - mean) * known).square().sum((1, 2), keepdim=True) / n).sqrt().clamp(min=1e-2)
    return replace(features, signal_mv=recorded / spread, reconstruction_mv=decoded / spread)


def validation_loss(
    model: EcgScanModel,
    data: TrainingData,
    frozen: FrozenFeatures,
    recipe: Recipe,
    val: np.ndarray,
    score: Score | None = None,
    *,
    precision: str | None = None,
    plan: PagePlan | None = None,
) -> dict[str, float]:
    """Mean of the objective, or of `score`, over the first validation batches: plain pages, nothing masked.

    `plan` is that of the phase that training is in (`Recipe.phases`); without one, the recipe's own.
    """
    score = score if score is not None else make_score(recipe)
    device = next(model.parameters()).device
    batch_size = min(recipe.batch_size, len(val))
    # One fixed order, so that a batch mixes patients and every validation sees the same batches.
    order = np.random.default_rng(0).permutation(val)
    starts = range(0, len(order) - batch_size + 1, batch_size)[: recipe.validation_batches]
    model.eval()
    statements = statement_tensors(frozen.statements, device)
    plan, outputs = (plan or recipe.plan()).plain(), []
    # In parts as in training, since the memory is the same; the loss still sees the whole batch.
    share = min(batch_size, recipe.micro_batch or batch_size)
    for start in starts:
        rows = order[start : start + batch_size]
        pieces = [rows[i : i + share] for i in range(0, batch_size, share)]
        batches = [make_batch(data, frozen, piece, plan, device=device) for piece in pieces]
        with torch.no_grad():
            seen = []
            for piece in batches:
                with autocast(device, precision), reading_at(model.tower, piece, recipe):
                    seen.append(put_statements(model, model(piece), statements))
            outputs.append(as_row(score(_joined(seen), _joined(batches))))
    return {name: float(np.mean([row[name] for row in outputs])) for name in outputs[0]}


def as_row(scored: LossOutput) -> dict[str, float]:
    """The total and every part, as numbers."""
    return {"total": float(scored.total.detach()), **{name: float(p.detach()) for name, p in scored.parts.items()}}


def _joined(pieces: list[Piece]) -> Piece:
    """Rows of all pieces; scalars and None from the first."""
    first = pieces[0]
    if len(pieces) == 1:
        return first
    joined = {
        name: torch.cat([getattr(piece, name) for piece in pieces])
        for name, value in vars(first).items()
        if isinstance(value, torch.Tensor) and value.ndim and not name.startswith("statement")
    }
    return replace(first, **joined)
