"""The first stage: train a small signal teacher, then freeze it, as the published teacher is frozen in the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import nn

from ecgscan_lab.batch import ahead, step_indices
from ecgscan_lab.encoders.model import projection
from ecgscan_lab.encoders.signal import TinySignalTower
from ecgscan_lab.encoders.signal_features import encode_signals
from ecgscan_lab.losses.contrastive import contrastive_loss
from ecgscan_lab.losses.reconstruction import mse_loss
from ecgscan_lab.train.precision import autocast, pick_device
from ecgscan_lab.train.recipes import Recipe
from ecgscan_lab.train.schedule import adamw, learning_rate, take_step
from ecgscan_lab.types import History, TrainingData

__all__ = ["encode_signals", "fit_teacher"]

MASK_SHARE = 0.3


class _TeacherHeads(nn.Module):
    """What is thrown away after the first stage: a linear decoder of masked tokens and the text projection."""

    def __init__(self, tower: TinySignalTower, d_text: int) -> None:
        super().__init__()
        self.tower = tower
        self.decode = nn.Linear(tower.width, 12 * tower.patch)
        self.project_text = projection(d_text, tower.embed_dim)
        self.log_logit_scale = nn.Parameter(torch.tensor(2.66))


def fit_teacher(
    cohort: TrainingData,
    text_features: np.ndarray,
    recipe: Recipe,
    seed: int,
    on_step: Callable[[Mapping[str, float | int | str]], None] | None = None,
) -> tuple[TinySignalTower, History]:
    """Train a signal tower by masked signal modelling and signal-text contrast on the training split.

    L = L_masked + 0.1 L_ctr: the mean squared error over masked 80 ms patches (a random 30 % of them, in all leads at
    once), and the contrastive loss between pooled signal and projected text.

    **Source**: after D-BETA (Pham et al., 2025), which masks ECG and text; *differences*: no masked text and no
    matching, a CNN in place of a Transformer, minutes in place of days.

    Args:
        cohort: records; only the training split is used.
        text_features: float32 `[record, d_txt]`.
        recipe: sizes and steps.
        seed: seed of weights, order and masks.
        on_step: called with one row a logged step.

    Returns:
        The tower in `eval` mode with no gradients, and its history.
    """
    device = pick_device()
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.default_generator.manual_seed(seed)
        tower = TinySignalTower(embed_dim=recipe.d_shared, fs_hz=cohort.fs_hz)
        heads = _TeacherHeads(tower, text_features.shape[1])
    heads.to(device).train()
    optimizer = adamw(heads, recipe.teacher_lr, recipe.weight_decay)
    train = cohort.indices("train")
    generator = torch.Generator().manual_seed(seed)
    rows: list[dict[str, float | int | str]] = []

    def make(step: int) -> tuple[int, torch.Tensor, torch.Tensor]:
        indices, _ = step_indices(train, recipe.teacher_batch, seed, step)
        return step, torch.from_numpy(cohort.read_signals_mv(indices)), torch.from_numpy(text_features[indices])

    for step, signals_mv, texts in ahead(make, range(recipe.teacher_steps)):
        masked = torch.rand(signals_mv.shape[0], signals_mv.shape[2] // tower.patch, generator=generator) < MASK_SHARE
        masked_loss, contrast = _losses(heads, signals_mv.to(device), texts.to(device), masked.to(device))
        lr = learning_rate(step, recipe.teacher_steps, recipe.teacher_lr, recipe.warmup_share)
        take_step(optimizer, masked_loss + 0.1 * contrast, lr, recipe.clip_norm)
        if step % 20 == 0 or step == recipe.teacher_steps - 1:
            losses = {"masked_mse": float(masked_loss.detach()), "contrastive": float(contrast.detach())}
            rows.append({"step": step, "split": "train", **losses})
            if on_step is not None:
                on_step(rows[-1])
    tower.eval().requires_grad_(False)
    return tower.cpu(), History(tuple(rows))


def _losses(
    heads: _TeacherHeads, signals_mv: torch.Tensor, texts: torch.Tensor, masked: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Masked signal modelling, and signal-text contrast on the same masked signals, in one pass of the tower."""
    tower = heads.tower
    n_samples = masked.shape[1] * tower.patch
    samples = masked.repeat_interleave(tower.patch, dim=1).unsqueeze(1)
    target = signals_mv[..., :n_samples]
    with autocast(signals_mv.device):
        tokens = tower.tokens(torch.nan_to_num(target).masked_fill(samples, 0.0))
        decoded = heads.decode(tokens).float()
        pooled = tower.pool(tokens)
        text = heads.project_text(texts).float()
    decoded = decoded.view(len(decoded), -1, 12, tower.patch).transpose(1, 2).reshape(target.shape)
    weights = samples.expand_as(target).to(decoded.dtype)
    scale = heads.log_logit_scale.exp().clamp(1.0, 100.0)
    return mse_loss(decoded, target, weights=weights), contrastive_loss(pooled, text, scale)
