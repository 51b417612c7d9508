"""Checkpoints: one safetensors file that carries its own recipe and hash, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ecgscan_lab.errors import CheckpointError
from ecgscan_lab.whole_files import write_whole

_METADATA, _SHA256 = "ecgscan_lab", "ecgscan_lab_sha256"
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
    path = Path(path)
    # A copy of its own for each tensor, because the format refuses tensors that share memory.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(metadata)
    payload = save(copies, {_METADATA: text, _SHA256: _sha256(copies, text)})
    return write_whole(path, payload, error=CheckpointError)


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
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot read the checkpoint: {error}", file=path, expected=_EXPECTED, fix=_FIX
        ) from error
    if not {_METADATA, _SHA256} <= facts.keys():
        raise CheckpointError("another program wrote this file", file=path, expected=_EXPECTED)
    if _sha256(tensors, facts[_METADATA]) != facts[_SHA256]:
        raise CheckpointError("the checkpoint is damaged: its hash differs", file=path, expected=_EXPECTED, fix=_FIX)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError("weights are not finite", file=path, field=name, fix="train again at a lower rate")
    return tensors, json.loads(facts[_METADATA])


def _sha256(tensors: Mapping[str, torch.Tensor], text: str) -> str:
    """Hash of the metadata's text and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
