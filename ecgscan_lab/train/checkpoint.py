"""Checkpoints: one safetensors file that carries its own recipe and hash, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ecgscan_lab.encoders.tensor_files import is_intact, is_ours, read_tensors, write_tensors
from ecgscan_lab.errors import CheckpointError

_METADATA = "ecgscan_lab"
_EXPECTED, _FIX = "a safetensors file of ecgscan_lab", "copy it again, or train again"


def save_checkpoint(path: Path | str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, Any]) -> Path:
    """Write tensors and JSON metadata as one file: beside its place, flushed to disk, then renamed.

    Args:
        path: the file to write; its folder is made when it is missing.
        tensors: name -> tensor.
        metadata: what JSON can hold, for instance the recipe, the step and the data hash.

    Returns:
        `path`. A reader sees the old file or the new one, never a half.

    Raises:
        CheckpointError: the disk is full or the folder refuses; the file before it is untouched.
    """
    return write_tensors(path, tensors, metadata, _METADATA)


def load_checkpoint(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Returns:
        Tensors on the CPU, and the metadata.

    Raises:
        CheckpointError: missing, damaged, not written by this package, or holding values that are not finite.

    Properties: the tensors and metadata that were saved, bit for bit; one flipped bit anywhere is an error.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such checkpoint", file=path, fix="check the path, or train one first")
    tensors, facts = read_tensors(path, "checkpoint", expected=_EXPECTED, fix=_FIX)
    if not is_ours(facts, _METADATA):
        raise CheckpointError("another program wrote this file", file=path, expected=_EXPECTED)
    if not is_intact(tensors, facts, _METADATA):
        raise CheckpointError("the checkpoint is damaged: its hash differs", file=path, expected=_EXPECTED, fix=_FIX)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError("weights are not finite", file=path, field=name, fix="train again at a lower rate")
    return tensors, json.loads(facts[_METADATA])
