"""Judge what was learned: linear probe, zero-shot, retrieval, reconstruction, with intervals. AUROC is percent."""

from __future__ import annotations

from ecgscan_lab.evaluate.epoch_probe import EpochProbeResult, EpochSettings, epoch_probe
from ecgscan_lab.evaluate.feature_table import FeatureTable, read_features, write_features
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
from ecgscan_lab.evaluate.paired import PairedInterval, bootstrap_average, probe_difference, seed_interval
from ecgscan_lab.evaluate.probe_table import FractionRow, ProbeTable, probe_fractions
from ecgscan_lab.evaluate.readers import reader_table
from ecgscan_lab.evaluate.reconstruction import limb_law_snr, reconstruction_error
from ecgscan_lab.evaluate.report import Measured, Report, report
from ecgscan_lab.evaluate.shift import class_map, probe_shift, zero_shot_shift
from ecgscan_lab.evaluate.zero_shot import RetrievalResult, ZeroShotResult, class_embeddings, retrieval, zero_shot

__all__ = [
    "C_GRID",
    "EpochProbeResult",
    "EpochSettings",
    "FeatureTable",
    "FractionRow",
    "MacroAuroc",
    "Measured",
    "PairedDifference",
    "PairedInterval",
    "ProbeResult",
    "ProbeTable",
    "Report",
    "RetrievalResult",
    "ZeroShotResult",
    "alignment",
    "bootstrap_average",
    "bootstrap_ci",
    "bootstrap_macro_auroc",
    "class_embeddings",
    "class_map",
    "effective_rank",
    "epoch_probe",
    "limb_law_snr",
    "linear_probe",
    "macro_auroc",
    "modality_gap",
    "paired_difference_ci",
    "probe_difference",
    "probe_fractions",
    "probe_shift",
    "read_features",
    "reader_table",
    "reconstruction_error",
    "report",
    "retrieval",
    "seed_interval",
    "uniformity",
    "write_features",
    "zero_shot",
    "zero_shot_shift",
]
