"""Training losses as pure functions, one idea a file; `LOSSES` finds them by name.

    contrastive        Eq. 1    image against report
    gram               Eq. 2-4  image against (report, signal)
    pairwise                    the paper's ablation of it: three contrastive losses
    triangle, symile, pmrl      other ways to score three modalities at once
    siglip                      image against report, pair by pair
    redundancy                  VICReg and Barlow Twins, without negatives
    reconstruction     Eq. 5    decoded leads against recorded ones, `mse_loss`
    waveform                    the same by shape and by spectrum
    lead_consistency   Eq. 6-7  the limb-lead laws, `rule_loss`; and a true penalty on breaking them, `violation_loss`
    statements                  yes-or-no questions to the page: labels as texts
    distillation                the page tells what the signal teacher saw
    objective          Eq. 8-9  the weighted sum
    gather                      negatives from all processes
    logit_scale                 a learnable temperature within bounds
    registry                    `LOSSES` by name, and `as_feature_loss`: any of them, or yours, as `Features -> scalar`
    checks                      `check_loss`: does a loss behave as training needs, and what can it see

Equation numbers are those of ECG-Scan (2026), arXiv 2604.01526.
"""

from __future__ import annotations

from ecgscan_lab.losses.checks import LossReport, check_loss
from ecgscan_lab.losses.contrastive import contrastive_loss, report_targets, smoothed_floor
from ecgscan_lab.losses.distillation import distillation_loss
from ecgscan_lab.losses.gather import gather_features
from ecgscan_lab.losses.gram import gram_loss, gram_volume
from ecgscan_lab.losses.lead_consistency import rule_loss, violation_loss
from ecgscan_lab.losses.logit_scale import LogitScale
from ecgscan_lab.losses.objective import Weights, objective
from ecgscan_lab.losses.pairwise import pairwise_loss
from ecgscan_lab.losses.pmrl import pmrl_loss
from ecgscan_lab.losses.reconstruction import mse_loss, visibility_weights
from ecgscan_lab.losses.redundancy import barlow_twins_loss, vicreg_loss
from ecgscan_lab.losses.registry import LOSSES, FeatureLoss, as_feature_loss
from ecgscan_lab.losses.siglip import siglip_loss
from ecgscan_lab.losses.statements import statement_loss
from ecgscan_lab.losses.symile import symile_loss
from ecgscan_lab.losses.triangle import triangle_area, triangle_loss
from ecgscan_lab.losses.waveform import correlation_loss, spectral_loss

__all__ = [
    "LOSSES",
    "FeatureLoss",
    "LogitScale",
    "LossReport",
    "Weights",
    "as_feature_loss",
    "barlow_twins_loss",
    "check_loss",
    "contrastive_loss",
    "correlation_loss",
    "distillation_loss",
    "gather_features",
    "gram_loss",
    "gram_volume",
    "mse_loss",
    "objective",
    "pairwise_loss",
    "pmrl_loss",
    "report_targets",
    "rule_loss",
    "siglip_loss",
    "smoothed_floor",
    "spectral_loss",
    "statement_loss",
    "symile_loss",
    "triangle_area",
    "triangle_loss",
    "vicreg_loss",
    "violation_loss",
    "visibility_weights",
]
