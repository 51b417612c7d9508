"""Tensors on disk: one safetensors file with JSON facts and a hash of both, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ecgscan_lab.errors import CheckpointError
from ecgscan_lab.whole_files import write_whole

_SHA256 = "ecgscan_lab_sha256"


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any], key: str
) -> Path:
    """Write tensors and facts as one file.

    Args:
        path: the file; its folder is made when it is missing.
        tensors: name -> tensor.
        facts: what JSON can hold.
        key: under which the facts stand: what kind of file this is.

    Returns:
        `path`. A reader sees the old file or the new one, never a half.

    Raises:
        CheckpointError: the disk is full or the folder refuses; the file before it is untouched.
    """
    # A copy of its own for each tensor, because the format refuses tensors that share memory.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts)
    payload = save(copies, {key: text, _SHA256: tensors_sha256(copies.items(), text)})
    return write_whole(path, payload, error=CheckpointError)


def read_tensors(
    path: Path, what: str = "weights", *, expected: str | None = "a safetensors file", fix: str = "copy it again"
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors, on the CPU, and metadata of any safetensors file.

    Args:
        path: the file.
        what: what an error calls its content.
        expected, fix: of that error.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"cannot read the {what}: {error}", file=path, expected=expected, fix=fix) from error


def is_ours(metadata: Mapping[str, str], key: str) -> bool:
    """Whether `write_tensors` wrote a file of this kind."""
    return {key, _SHA256} <= metadata.keys()


def is_intact(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str], key: str) -> bool:
    """Whether tensors and facts are those that were written, bit for bit."""
    return tensors_sha256(tensors.items(), metadata[key]) == metadata[_SHA256]


def tensors_sha256(tensors: Iterable[tuple[str, torch.Tensor]], text: str = "") -> str:
    """Hash of a text and of every tensor's name, type, shape and bytes, in the order of the names."""
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
