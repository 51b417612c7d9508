"""How many parameters a model has, which of them train, and how that compares with the paper's sizes."""

from __future__ import annotations

from typing import Any

import pandas as pd
from torch import nn

from ecgscan_lab.encoders.lora import FUSED, has_adapters, lora_report

# Weights and biases by hand, from the sizes that the paper states; CLIP ViT-L/14 at 336 px is 1,024 wide, 24 deep.
_WIDTH, _DEPTH, _MLP, _RANK, _SHARED = 1024, 24, 4096, 16, 768
PAPER: dict[str, int] = {
    "image tower": _DEPTH * (4 * (_WIDTH**2 + _WIDTH) + 2 * _WIDTH * _MLP + _MLP + _WIDTH + 4 * _WIDTH)
    + 4 * _WIDTH
    + (577 + 1 + 3 * 14 * 14) * _WIDTH,
    "LoRA on q, k, v, o": _DEPTH * 4 * _RANK * 2 * _WIDTH,
    "LoRA on q, k, v, o, fc1, fc2": _DEPTH * _RANK * (4 * 2 * _WIDTH + 2 * (_WIDTH + _MLP)),
    "LoRA on fused attention": _DEPTH * _RANK * (_WIDTH + 3 * _WIDTH + 2 * _WIDTH),
    "Proj_ctr": (_WIDTH + 1) * _SHARED,
    "Proj_rec": (_WIDTH + 1) * _SHARED,
    "Proj_txt": (_SHARED + 1) * _SHARED,
    # Attention, feed-forward of 4 x width and two norms a layer; 625 queries and positions, the mask, the head.
    "decoder": 12 * (4 * (_SHARED**2 + _SHARED) + 8 * _SHARED**2 + 5 * _SHARED + 4 * _SHARED)
    + 2 * 625 * _SHARED
    + _SHARED
    + (_SHARED + 1) * 96,
}
_OF_MODEL = {
    "Proj_ctr": "project_contrastive",
    "Proj_rec": "project_reconstruction",
    "Proj_txt": "project_text",
    "decoder": "decoder",
}


def count_parameters(module: nn.Module) -> pd.DataFrame:
    """Parameters of each part of a module: those in all, and those that train.

    Returns:
        A row for every direct part that has parameters, one for those held by the module itself, one for adapters (a
        part of the rows above), and a last one for the whole; columns `part`, `total`, `trainable`. What two parts
        share is counted once, where it comes first.

    Example:
        >>> count_parameters(nn.Sequential(nn.Linear(2, 3), nn.ReLU())).total.tolist()
        [9, 9]
    """
    sums: dict[str, list[int]] = {}
    adapters, seen = [0, 0], set[int]()
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            continue
        seen.add(id(parameter))
        part = name.partition(".")[0] if "." in name else "(itself)"
        counts = parameter.numel(), parameter.numel() if parameter.requires_grad else 0
        for row in (sums.setdefault(part, [0, 0]), *([adapters] if ".lora_" in name else [])):
            row[0] += counts[0]
            row[1] += counts[1]
    rows: list[tuple[str, int, int]] = [(part, total, trainable) for part, (total, trainable) in sums.items()]
    whole = ("whole", sum(row[1] for row in rows), sum(row[2] for row in rows))
    if adapters[0]:
        rows.append(("of which adapters", adapters[0], adapters[1]))
    return pd.DataFrame([*rows, whole], columns=["part", "total", "trainable"])


def compare_with_paper(model: Any) -> pd.DataFrame:
    """The model's parameters beside those that follow from the sizes the paper states.

    Source: ECG-Scan (2026), arXiv 2604.01526, section 4 and appendix A.1. The paper names neither its LoRA targets nor
    the decoder's feed-forward; three choices of targets are listed, and a feed-forward of 4 x the width is assumed.

    Args:
        model: an `EcgScanModel`, with or without adapters; or an image tower alone.

    Returns:
        Columns `part`, `paper`, `ours` and `difference`; empty where the model has no such part.
    """
    tower = getattr(model, "tower", model)
    ours: dict[str, int] = {}
    adapted = 0
    if has_adapters(tower):
        report = lora_report(tower)
        adapted = report.n_parameters
        kinds = {kind for kind, _, _ in report.by_kind}
        fused = FUSED in kinds
        mlp = bool(kinds & {"fc1", "fc2", "c_fc", "c_proj"})
        if fused and not mlp:
            ours["LoRA on fused attention"] = adapted
        elif not fused:
            ours["LoRA on q, k, v, o, fc1, fc2" if mlp else "LoRA on q, k, v, o"] = adapted
    ours["image tower"] = sum(parameter.numel() for parameter in tower.parameters()) - adapted
    for part, attribute in _OF_MODEL.items():
        inner = getattr(model, attribute, None)
        if isinstance(inner, nn.Module):
            ours[part] = sum(parameter.numel() for parameter in inner.parameters())
    table = pd.DataFrame({"part": list(PAPER), "paper": list(PAPER.values())})
    table["ours"] = pd.array([ours.get(part) for part in PAPER], dtype="Int64")
    table["difference"] = table["ours"] - table["paper"]
    return table
