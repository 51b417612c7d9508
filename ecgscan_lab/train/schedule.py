"""The optimiser and its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from ecgscan_lab.lean_adamw import LeanAdamW


def learning_rate(step: int, steps: int, peak: float, warmup_share: float) -> float:
    """Linear warm-up to `peak`, then a half cosine to zero.

    **Source**: ECG-Scan (2026), arXiv 2604.01526, section 5.2 (cosine with 10 % warm-up).

    Args:
        step: steps taken before, from 0.
        steps: steps in all.
        peak: highest rate.
        warmup_share: share of the steps spent rising.

    Example:
        >>> [round(learning_rate(s, 10, 1.0, 0.2), 2) for s in (0, 1, 2, 6)]
        [0.5, 1.0, 1.0, 0.5]
    """
    warmup = math.ceil(warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def adamw(module: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, but neither biases, norms, temperatures, queries nor positions."""
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (decayed if parameter.ndim >= 2 and name.endswith("weight") else spared).append(parameter)
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return LeanAdamW(groups, lr=lr)


def take_step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, lr: float, clip_norm: float) -> float:
    """One update: gradients of `loss`, clipped to `clip_norm`, at rate `lr`. Returns the norm before clipping."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip_norm)
    optimizer.step()
    return float(norm)
