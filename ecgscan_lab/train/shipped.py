"""Weights that come with the package, so that nobody has to train before looking at what a trained encoder does."""

from __future__ import annotations

from pathlib import Path

from ecgscan_lab.errors import ArgumentError, CheckpointError

NAMES = ("ptbxl_laptop",)


def shipped_checkpoint(name: str = "ptbxl_laptop") -> Path:
    """The checkpoint of that name inside the package, for `load_model`, `embed_images` and `ecgscan-lab embed`.

    `ptbxl_laptop` is what `ecgscan-lab replicate ptbxl` trained on PTB-XL's folds 1-4; its card lies beside it.

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
