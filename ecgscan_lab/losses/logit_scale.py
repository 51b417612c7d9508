"""The learnable temperature: an exponential that stays in bounds and can always come back."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ecgscan_lab.errors import ArgumentError


class LogitScale(nn.Module):
    """A learnable logit scale τ = exp(s), kept within bounds.

    **Equation**: τ = exp(min(max(s, ln low), ln high)); ∂τ/∂s = τ, except that outside the bounds a gradient that would
    lead further out is dropped.

    **Source**: the learnable τ of ECG-Scan, arXiv 2604.01526, Eq. 1 and 4, whose start and limits the paper leaves
    open; CLIP (Radford et al., 2021) starts at 1/0.07 = 14.3 and clips at 100. *Differences*: a plain clamp has no
    gradient outside its bounds, so a scale that once stepped over would stay there. Learn one for cosines and another
    for volumes: their ranges differ.

    Args:
        start: τ at the beginning.
        low, high: bounds of τ, 0 < low < high.

    Raises:
        ArgumentError: the bounds are not in order, or `start` is outside them.

    **Properties**: within [low, high] whatever s is; a gradient leads back from outside; the same as exp(s) inside.

    Example:
        >>> scale = LogitScale()
        >>> round(float(scale().detach()), 2)
        14.29
    """

    def __init__(self, start: float = 1 / 0.07, *, low: float = 1.0, high: float = 100.0) -> None:
        super().__init__()
        if not 0 < low < high < math.inf:
            raise ArgumentError(f"bounds {low} and {high}", field="low", expected="0 < low < high")
        if not low <= start <= high:
            raise ArgumentError(f"a start of {start}", field="start", expected=f"{low} to {high}")
        self.low, self.high = low, high
        self.log_scale = nn.Parameter(torch.tensor(math.log(start)))

    def forward(self) -> torch.Tensor:
        """τ, a scalar tensor."""
        return _InBounds.apply(self.log_scale, math.log(self.low), math.log(self.high)).exp()


class _InBounds(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, low: float, high: float) -> torch.Tensor:
        ctx.save_for_backward(value)
        ctx.bounds = low, high
        return value.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (value,), (low, high) = ctx.saved_tensors, ctx.bounds
        outward = ((value > high) & (grad < 0)) | ((value < low) & (grad > 0))  # descent moves against the gradient
        return torch.where(outward, 0, grad), None, None
