"""The signal teacher's own view of a recording as a direct target of the page."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import check_features


def distillation_loss(predicted: torch.Tensor, summary: torch.Tensor) -> torch.Tensor:
    """Average the squared error of what is predicted from the page of the teacher's summary of the signal.

    **Equation**, with ŝ a linear reading of the page's feature and s the summary, each entry in units of its spread
    over the training records:

        L_distil = (1 / B·D) Σᵢ Σ_d (ŝ_id − s_id)²

    **Source**: feature distillation as in FitNets (Romero et al., ICLR 2015, arXiv 1412.6550). *Differences*: the
    teacher sees the signal and the student its page; what is learnt is how the teacher's tokens are distributed over
    the recording (`TinySignalTower.summarise`), not where. Not part of ECG-Scan, in which page and signal meet in the
    Gram loss alone.

    Args:
        predicted: `[batch, dim]`, finite.
        summary: `[batch, dim]`, finite.

    Returns:
        Scalar >= 0, float32 (float64 for float64 features). 1 is what predicting the mean gives.

    Raises:
        ArgumentError: shapes or dtypes are off.

    **Properties**: equals a naive loop; zero where the two are equal; of a batch it is the mean of its halves.

    Example:
        >>> float(distillation_loss(torch.zeros(2, 3), torch.ones(2, 3)))
        1.0
    """
    check_features(predicted=predicted)
    check_features(summary=summary)
    if predicted.shape != summary.shape:
        raise ArgumentError(
            f"predicted is {tuple(predicted.shape)}, the summary {tuple(summary.shape)}",
            field="predicted",
            expected="[batch, dim] of both, of one size",
        )
    with torch.autocast(device_type=predicted.device.type, enabled=False):
        wide = torch.promote_types(predicted.dtype, torch.float32)
        return F.mse_loss(predicted.to(wide), summary.to(wide))
