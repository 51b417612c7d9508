"""Learn from ECG images: render pages, align image, signal and report, probe what was learned."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "EcgScanLabError": "ecgscan_lab.errors",
    "EcgRecord": "ecgscan_lab.types",
    "EcgImage": "ecgscan_lab.types",
    "Cohort": "ecgscan_lab.types",
    "LEADS": "ecgscan_lab.leads",
    "diagnose_leads": "ecgscan_lab.leads",
    "repair_leads": "ecgscan_lab.leads",
    "read_record": "ecgscan_lab.data.wfdb_records",
    "standardize": "ecgscan_lab.data.wfdb_records",
    "synthetic_records": "ecgscan_lab.data.synthetic",
    "load_cohort": "ecgscan_lab.data",
    "PageSpec": "ecgscan_lab.render.page",
    "draw_page": "ecgscan_lab.render.renderer",
    "draw_pages": "ecgscan_lab.render.renderer",
    "draw_batch": "ecgscan_lab.render.tensors",
    "render_dataset": "ecgscan_lab.render.export",
    "fit_page": "ecgscan_lab.render.photograph",
    "read_paper_ecg": "ecgscan_lab.evaluate.findings",
    "check_loss": "ecgscan_lab.losses.checks",
    "compare_losses": "ecgscan_lab.compare",
    "evaluate_encoders": "ecgscan_lab.evaluate.full_evaluation",
    "ablate_objective": "ecgscan_lab.compare.ablations",
    "ablate_towers": "ecgscan_lab.compare.ablations",
    "embed_images": "ecgscan_lab.evaluate.embedding",
    "build_store": "ecgscan_lab.data.store",
    "open_store": "ecgscan_lab.data.store",
    "leakage_gate": "ecgscan_lab.data.leakage",
    "image_tower": "ecgscan_lab.encoders.towers",
    "signal_teacher": "ecgscan_lab.encoders.teachers",
    "add_lora": "ecgscan_lab.encoders.lora",
    "load_model": "ecgscan_lab.train.loop",
    "paper": "ecgscan_lab.train.recipes",
    "paper_plus": "ecgscan_lab.train.recipes",
    "ptbxl_laptop": "ecgscan_lab.train.recipes",
    "pretrain": "ecgscan_lab.train.loop",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ecgscan_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
