"""Weights that come with the package, so that nobody has to train before looking at what a trained encoder does."""

from __future__ import annotations

from pathlib import Path

import torch

from ecgscan_lab.errors import ArgumentError, CheckpointError
from ecgscan_lab.train.building import RUN_STATE
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint

NAMES = ("ptbxl_laptop",)


def shipped_checkpoint(name: str = "ptbxl_laptop") -> Path:
    """The checkpoint of that name inside the package, for `load_model`, `embed_images` and `ecgscan-lab embed`.

    `ptbxl_laptop` is what `ecgscan-lab replicate ptbxl` trained on records of PTB-XL's folds 1-7; the card is beside.

    Raises:
        ArgumentError: no such name.
        CheckpointError: the installation lacks the file.

    Example:
        >>> shipped_checkpoint().name
        'ptbxl_laptop.safetensors'
    """
    if name not in NAMES:
        raise ArgumentError(f"no weights {name!r} come with the package", field="name", expected=", ".join(NAMES))
    path = Path(__file__).resolve().parents[1] / "weights" / f"{name}.safetensors"
    if not path.is_file():
        raise CheckpointError("this installation lacks the weights", file=path, fix="install the package again")
    return path


def shrink_checkpoint(source: Path | str, target: Path | str) -> Path:
    """A checkpoint as small as it can be loaded from: weights in float16, without what only training needs.

    `load_model` reads it like any other. Rounding moves a cosine by about 1e-3.

    Args:
        source: `best.safetensors` of a run.
        target: the file to write.

    Raises:
        CheckpointError: `source` is no whole checkpoint, or a weight does not fit into float16.
    """
    tensors, facts = load_checkpoint(source)
    kept = {
        name: tensor.half() if tensor.dtype == torch.float32 else tensor
        for name, tensor in tensors.items()
        if not name.startswith((RUN_STATE, "predict_summary."))
    }
    for name, tensor in kept.items():
        if not bool(torch.isfinite(tensor).all()):
            raise CheckpointError("a weight is too large for float16", file=source, field=name)
    facts = {name: value for name, value in facts.items() if name != "run"} | {"d_summary": None}
    return save_checkpoint(target, kept, facts)
