"""Adapters alone in a file: a few megabytes beside a tower of a gigabyte, with what they belong to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ecgscan_lab.encoders.lora.adapters import LoraReport, add_lora, has_adapters, lora_report
from ecgscan_lab.encoders.tensor_files import is_intact, is_ours, read_tensors, tensors_sha256, write_tensors
from ecgscan_lab.errors import CheckpointError

_METADATA = "ecgscan_lab_lora"
_FIX = "copy it again, or train again"


def adapter_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """The adapters' weights by name, detached; nothing of the tower.

    Raises:
        ArgumentError: no adapters.
    """
    lora_report(module)
    return {name: p.detach() for name, p in module.named_parameters() if ".lora_" in name}


def save_adapters(module: nn.Module, path: str | os.PathLike[str]) -> Path:
    """Write the adapters as one safetensors file that says their rank, scale, targets and base tower.

    Returns:
        `path`. A reader sees the old file or the new one, never a half.

    Raises:
        ArgumentError: no adapters. CheckpointError: the disk is full or the folder refuses.
    """
    return write_tensors(path, adapter_state(module), _facts(module, lora_report(module)), _METADATA)


def load_adapters(module: nn.Module, path: str | os.PathLike[str], *, any_base: bool = False) -> LoraReport:
    """Put saved adapters on a tower: added as the file says where it has none, else the tower's own are overwritten.

    Args:
        module: the tower that they were trained on.
        path: what `save_adapters` wrote.
        any_base: accept another base tower of the same shapes (its name, size and weights are then not compared).

    Raises:
        CheckpointError: missing, damaged, or of another rank, scale, targets or base, naming the difference; the module
            is untouched then.

    Properties: features equal those of the module that was saved.
    """
    tensors, facts = _read(Path(path))
    present = has_adapters(module)
    if present:
        own = _facts(module, lora_report(module))
    else:
        own = {**_base_facts(module, facts["targets"]), **{key: facts[key] for key in _ADAPTER_FACTS}}
    for key in ("base", "size", *_ADAPTER_FACTS, "base_sha256"):
        if own[key] != facts[key] and not (any_base and key in ("base", "size", "base_sha256")):
            raise CheckpointError(
                f"the adapters belong to another tower: their {_WORDS.get(key, key)} differ from the module's",
                file=path,
                field=key,
                expected=_short(own[key]),
                fix=f"the file says {_short(facts[key])}: build that tower and these adapters, or name another file",
            )
    if not present:
        known = {name for name, _ in module.named_modules()}
        lost = [name for name in facts["targets"] if name not in known]
        if lost:
            raise CheckpointError(
                f"the module has no {lost[0]}, which the adapters adapt",
                file=path,
                field="targets",
                fix="build their tower",
            )
        add_lora(module, rank=facts["rank"], alpha=facts["alpha"], targets=facts["targets"], dropout=facts["dropout"])
    into = dict(module.named_parameters())
    for name, tensor in tensors.items():
        if name not in into or into[name].shape != tensor.shape:
            raise CheckpointError("an adapter has no place in the module", file=path, field=name, fix=_FIX)
    missing = adapter_state(module).keys() - tensors.keys()
    if missing:
        raise CheckpointError(f"{len(missing)} adapters are missing", file=path, field=min(missing), fix=_FIX)
    with torch.no_grad():
        for name, tensor in tensors.items():
            into[name].copy_(tensor)
    return lora_report(module)


_ADAPTER_FACTS = ("rank", "alpha", "targets", "dropout")
_WORDS = {"base_sha256": "base weights (embeddings and norms)", "base": "names", "size": "sizes", "rank": "ranks"}


def _facts(module: nn.Module, report: LoraReport) -> dict[str, Any]:
    adapters = {key: getattr(report, key) for key in _ADAPTER_FACTS}
    return {**_base_facts(module, report.targets), **adapters, "targets": list(report.targets)}


def _base_facts(module: nn.Module, targets: Iterable[str]) -> dict[str, Any]:
    size = getattr(module, "size", None)
    return {
        "base": getattr(module, "name", type(module).__name__),
        "size": None if size is None else list(size),
        "base_sha256": _base_sha256(module, targets),
    }


def _base_sha256(module: nn.Module, targets: Iterable[str]) -> str:
    """Of the embeddings, norms and other small weights that no adapter touches, at bf16 so that a cast tower agrees."""
    adapted = tuple(f"{target}." for target in targets)
    small = (
        (name, parameter.detach().to(torch.bfloat16).cpu())
        for name, parameter in module.named_parameters()
        if parameter.numel() < 2**20 and not name.startswith(adapted)
    )
    return tensors_sha256(small)


def _read(path: Path) -> tuple[dict[str, torch.Tensor], Mapping[str, Any]]:
    if not path.is_file():
        raise CheckpointError("no such adapters", file=path, fix="check the path, or train some first")
    tensors, metadata = read_tensors(path, "adapters", expected=None, fix=_FIX)
    if not is_ours(metadata, _METADATA):
        raise CheckpointError("these are no adapters of ecgscan_lab", file=path, expected="a file of save_adapters")
    if not is_intact(tensors, metadata, _METADATA):
        raise CheckpointError("the adapters are damaged: their hash differs", file=path, fix=_FIX)
    return tensors, json.loads(metadata[_METADATA])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
