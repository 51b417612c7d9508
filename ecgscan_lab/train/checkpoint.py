"""Checkpoints: one safetensors file that carries its own recipe, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ecgscan_lab.errors import CheckpointError

_KEY = "ecgscan_lab"


def save_checkpoint(path: Path | str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> Path:
    """Write tensors and JSON metadata as one file: into a temporary file, flushed to disk, then renamed.

    Args:
        path: the file to write; its folder is made when it is missing.
        tensors: name -> tensor.
        metadata: what JSON can hold, for instance the recipe, the step and the data hash.

    Returns:
        `path`. A reader sees the old file or the new one, never a half.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A copy of its own for each tensor, because the format refuses tensors that share memory.
    payload = save({k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}, {_KEY: json.dumps(metadata)})
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def load_checkpoint(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Returns:
        Tensors on the CPU, and the metadata.

    Raises:
        CheckpointError: missing, damaged, not written by this package, or holding values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such checkpoint", file=path, fix="check the path, or train one first")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"cannot read the checkpoint: {error}", file=path, expected="a safetensors file of ecgscan_lab",
            fix="copy it again, or train again",
        ) from error  # fmt: skip
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError("weights are not finite", file=path, field=name, fix="train again at a lower rate")
    return tensors, metadata
