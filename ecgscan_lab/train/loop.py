"""The training loop: read it in one sitting.

Every step draws its pages, embeds them, asks the objective for a loss, and updates. Now and then the validation loss
is measured, and the weights are kept when it is the best so far. Ctrl-C keeps the latest weights before it goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgscan_lab.batch import FrozenFeatures, ahead, make_batch, step_indices
from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.errors import CheckpointError, SplitError
from ecgscan_lab.losses.objective import objective
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint
from ecgscan_lab.train.precision import autocast, pick_device
from ecgscan_lab.train.recipes import Recipe
from ecgscan_lab.train.schedule import adamw, learning_rate, take_step
from ecgscan_lab.types import Cohort, Features, History, LossOutput, TripleBatch

Row = Mapping[str, float | int | str]
Score = Callable[[Features], LossOutput]


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What a run leaves behind: the best model, its history, and where its weights lie."""

    model: EcgScanModel
    history: History
    checkpoint: Path
    best_step: int
    seconds: float


def build_model(recipe: Recipe, d_text: int, n_samples: int, seed: int) -> EcgScanModel:
    """The model of a recipe with fresh weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.default_generator.manual_seed(seed)
        tower = TinyImageTower(recipe.tower_width, recipe.size)
        decoder = QueryDecoder(
            n_samples, recipe.decoder_dim, recipe.decoder_layers, recipe.decoder_heads, recipe.mask_share
        )
        return EcgScanModel(tower, decoder, d_text=d_text, d_shared=recipe.d_shared)


def pretrain(
    cohort: Cohort,
    frozen: FrozenFeatures,
    recipe: Recipe,
    out: Path | str,
    *,
    seed: int = 0,
    on_step: Callable[[Row], None] | None = None,
    loss: Callable[[Features], torch.Tensor] | None = None,
) -> Pretrained:
    """Train the image tower on (image, signal, report) triples by the whole objective, Eq. 1-9, or by another loss.

    Args:
        cohort: records with a "train" and a "val" split.
        frozen: features of the signal teacher and the text tower.
        recipe: sizes, steps and weights.
        out: folder for `best.safetensors` (lowest validation loss) and `last.safetensors`.
        seed: seed of weights, order, pages and masks.
        on_step: called with every logged row: a progress bar, a live table.
        loss: minimised in place of the objective: any function of `Features` that returns a scalar.

    Returns:
        The model with the best weights loaded, in `eval` mode.

    Raises:
        KeyboardInterrupt: as given, after `last.safetensors` is written.
        SplitError: there is nothing to train on, or nothing to validate on.
        CheckpointError: the validation loss was never finite.
    """
    out, device, started = Path(out), pick_device(), time.perf_counter()
    model = build_model(recipe, frozen.text.shape[1], cohort.signals_mv.shape[-1], seed).to(device)
    optimizer = adamw(model, recipe.lr, recipe.weight_decay)
    train, val = _records_of(cohort, "train"), _records_of(cohort, "val")
    mask_generator = torch.Generator().manual_seed(seed)
    validate_at = {round(recipe.steps * (i + 1) / recipe.validations) - 1 for i in range(recipe.validations)}
    score = _score(recipe, loss)
    rows: list[Row] = []
    best_loss, best_step, step = float("inf"), -1, -1

    def log(row: Row) -> None:
        rows.append(row)
        if on_step is not None:
            on_step(row)

    def draw(step: int) -> TripleBatch:
        indices, epoch = step_indices(train, recipe.batch_size, seed, step)
        return make_batch(cohort, frozen, indices, recipe.size, seed=seed, epoch=epoch, device=device)

    def keep(name: str) -> None:
        facts = {"recipe": recipe.as_dict(), "seed": seed, "step": step, "data_sha256": cohort.data_sha256,
                 "d_text": frozen.text.shape[1], "n_samples": cohort.signals_mv.shape[-1], "fs_hz": cohort.fs_hz,
                 "validation_loss": None if best_step < 0 else best_loss}  # fmt: skip
        save_checkpoint(out / name, model.state_dict(), facts)

    try:
        for step, batch in enumerate(ahead(draw, range(recipe.steps))):
            model.train()
            with autocast(device):
                features = model(batch, mask_generator)
            scored = score(features)
            lr = learning_rate(step, recipe.steps, recipe.lr, recipe.warmup_share)
            norm = take_step(optimizer, scored.total, lr, recipe.clip_norm)
            if step % 10 == 0 or step in validate_at:
                log(_row(step, "train", scored, lr=lr, gradient_norm=norm, seconds=time.perf_counter() - started))
            if step in validate_at:
                parts = validation_loss(model, cohort, frozen, recipe, val, score)
                log({"step": step, "split": "val", **parts})
                if parts["total"] < best_loss:
                    best_loss, best_step = parts["total"], step
                    keep("best.safetensors")
    except KeyboardInterrupt:
        keep("last.safetensors")
        raise
    keep("last.safetensors")
    if best_step < 0:
        raise CheckpointError(
            "the validation loss was never finite, so no weights are worth keeping",
            file=out / "last.safetensors",
            fix="lower the learning rate, or look at the history for the step where the loss left the numbers",
        )
    model.load_state_dict(load_checkpoint(out / "best.safetensors")[0])
    return Pretrained(
        model.eval(), History(tuple(rows)), out / "best.safetensors", best_step, time.perf_counter() - started
    )


def validation_loss(
    model: EcgScanModel,
    cohort: Cohort,
    frozen: FrozenFeatures,
    recipe: Recipe,
    val: np.ndarray,
    score: Score | None = None,
    n_batches: int = 8,
) -> dict[str, float]:
    """Mean of the objective, or of `score`, over the first validation batches: plain pages, nothing masked."""
    score = score if score is not None else _score(recipe, None)
    device = next(model.parameters()).device
    batch_size = min(recipe.batch_size, len(val))
    # One fixed order, so that a batch mixes patients and every validation sees the same batches.
    order = np.random.default_rng(0).permutation(val)
    starts = range(0, len(order) - batch_size + 1, batch_size)[:n_batches]
    model.eval()
    outputs = []
    for start in starts:
        batch = make_batch(cohort, frozen, order[start : start + batch_size], recipe.size, device=device)
        with torch.no_grad(), autocast(device):
            features = model(batch)
        with torch.no_grad():
            outputs.append(_row(0, "val", score(features)))
    names = [name for name in outputs[0] if name not in ("step", "split")]
    return {name: float(np.mean([float(row[name]) for row in outputs])) for name in names}


def load_model(path: Path | str) -> tuple[EcgScanModel, dict[str, Any]]:
    """Rebuild a model from a checkpoint of `pretrain`.

    Returns:
        The model in `eval` mode, and the checkpoint's metadata (recipe, seed, step, data hash).

    Raises:
        CheckpointError: missing, damaged, or not of this model.
    """
    tensors, facts = load_checkpoint(path)
    try:
        choices = dict(facts["recipe"])
        choices.pop("weights")
        choices["size"] = tuple(choices["size"])
        model = build_model(Recipe(**choices), facts["d_text"], facts["n_samples"], seed=0)
        model.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint does not fit the model: {error}",
            file=path,
            expected="a checkpoint written by pretrain() of this version",
        ) from error
    return model.eval(), facts


def _score(recipe: Recipe, loss: Callable[[Features], torch.Tensor] | None) -> Score:
    """The recipe's objective, or another loss as a total without parts."""
    if loss is None:
        return lambda features: objective(features, recipe.weights)
    return lambda features: LossOutput(loss(features), {})


def _row(step: int, split: str, loss: LossOutput, **more: float) -> dict[str, float | int | str]:
    parts = {name: float(part.detach()) for name, part in loss.parts.items()}
    return {"step": step, "split": split, "total": float(loss.total.detach()), **parts, **more}


def _records_of(cohort: Cohort, split: str) -> np.ndarray:
    indices = cohort.indices(split)
    if len(indices) == 0:
        raise SplitError(
            f"the {split} split has no records",
            field="split",
            expected="records to train on and others to validate on",
            fix="use more records, or assign splits by patient",
        )
    return indices
