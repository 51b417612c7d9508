"""Training losses as pure functions, one idea a file; `LOSSES` finds them by name.

    contrastive        Eq. 1    image against report
    gram               Eq. 2-4  image against (report, signal)
    reconstruction     Eq. 5    decoded leads against recorded ones, `mse_loss`
    lead_consistency   Eq. 6-7  the limb-lead laws, `rule_loss`; and a true penalty on breaking them, `violation_loss`
    objective          Eq. 8-9  the weighted sum

Equation numbers are those of ECG-Scan (2026), arXiv 2604.01526.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from ecgscan_lab.losses.contrastive import contrastive_loss, report_targets, smoothed_floor
from ecgscan_lab.losses.gram import gram_loss, gram_volume
from ecgscan_lab.losses.lead_consistency import rule_loss, violation_loss
from ecgscan_lab.losses.objective import Weights, objective
from ecgscan_lab.losses.reconstruction import mse_loss

LOSSES: Mapping[str, Callable[..., torch.Tensor]] = {
    "contrastive": contrastive_loss,
    "gram": gram_loss,
    "mse": mse_loss,
    "rule": rule_loss,
    "violation": violation_loss,
}

__all__ = [
    "LOSSES",
    "Weights",
    "contrastive_loss",
    "gram_loss",
    "gram_volume",
    "mse_loss",
    "objective",
    "report_targets",
    "rule_loss",
    "smoothed_floor",
    "violation_loss",
]
