"""Judge what was learned: linear probe, zero-shot, retrieval, reconstruction, with intervals. AUROC is percent."""

from __future__ import annotations

from ecgscan_lab.evaluate.geometry import alignment, effective_rank, modality_gap, uniformity
from ecgscan_lab.evaluate.intervals import (
    MacroAuroc,
    PairedDifference,
    bootstrap_ci,
    bootstrap_macro_auroc,
    macro_auroc,
    paired_difference_ci,
)
from ecgscan_lab.evaluate.linear_probe import C_GRID, ProbeResult, linear_probe
from ecgscan_lab.evaluate.paired import PairedInterval, bootstrap_average, seed_interval
from ecgscan_lab.evaluate.reconstruction import limb_law_snr, reconstruction_error
from ecgscan_lab.evaluate.zero_shot import RetrievalResult, ZeroShotResult, class_embeddings, retrieval, zero_shot

__all__ = [
    "C_GRID",
    "MacroAuroc",
    "PairedDifference",
    "PairedInterval",
    "ProbeResult",
    "RetrievalResult",
    "ZeroShotResult",
    "alignment",
    "bootstrap_average",
    "bootstrap_ci",
    "bootstrap_macro_auroc",
    "class_embeddings",
    "effective_rank",
    "limb_law_snr",
    "linear_probe",
    "macro_auroc",
    "modality_gap",
    "paired_difference_ci",
    "reconstruction_error",
    "retrieval",
    "seed_interval",
    "uniformity",
    "zero_shot",
]
