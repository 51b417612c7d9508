"""Folders that sentence-transformers wrote: which encoder, which pooling, which layer on top."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ecgscan_lab.encoders.text.transformer import TransformerTextTower
from ecgscan_lab.errors import CheckpointError

_POOLINGS = ("cls", "mean", "max", "mean_sqrt_len_tokens")
_ACTIVATIONS: dict[str, type[nn.Module]] = {"Tanh": nn.Tanh, "Identity": nn.Identity, "ReLU": nn.ReLU, "GELU": nn.GELU}
_EXPECTED = "a folder saved by sentence-transformers: a Transformer, its Pooling, then Dense or Normalize"


def sentence_tower(
    folder: str | PathLike[str],
    *,
    name: str = "sentence",
    max_tokens: int | None = None,
    device: torch.device | str = "cpu",
) -> TransformerTextTower:
    """The tower of a sentence encoder's folder; sentence-transformers itself is not needed.

    Args:
        folder: holds `modules.json`, and the parts that it lists.
        name: of the tower.
        max_tokens: longer texts are cut; the folder's own `max_seq_length` when None.
        device: where it computes.

    Raises:
        CheckpointError: a part is missing, damaged, or of a kind not known here.
    """
    folder = Path(folder)
    modules = _read_json(folder / "modules.json")
    try:
        parts = [(str(module["type"]).rsplit(".", 1)[-1], folder / _inside(module["path"])) for module in modules]
    except (TypeError, KeyError) as error:
        raise CheckpointError("the list of parts is not one", file=folder / "modules.json", expected=_EXPECTED) from (
            error
        )
    kinds = [kind for kind, _ in parts]
    if kinds[:2] != ["Transformer", "Pooling"] or not set(kinds[2:]) <= {"Dense", "Normalize"}:
        raise CheckpointError(f"the parts are {', '.join(kinds)}", file=folder / "modules.json", expected=_EXPECTED)
    if max_tokens is None and (parts[0][1] / "sentence_bert_config.json").is_file():
        max_tokens = _read_json(parts[0][1] / "sentence_bert_config.json").get("max_seq_length")
    dense = [_dense(place) for kind, place in parts if kind == "Dense"]
    return TransformerTextTower(
        parts[0][1],
        name=name,
        pooling=_poolings(parts[1][1] / "config.json"),
        max_tokens=max_tokens,
        after=nn.Sequential(*dense) if dense else None,
        device=device,
    )


def _poolings(file: Path) -> tuple[str, ...]:
    """The ways of pooling, by name as newer releases write them or by one switch each as older ones did."""
    config = _read_json(file)
    named = config.get("pooling_mode")
    if named is None:
        switches = {
            "pooling_mode_cls_token": "cls",
            "pooling_mode_max_tokens": "max",
            "pooling_mode_mean_tokens": "mean",
            "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        }
        on = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
        # Joined in the order of the switches above, which is the order of the library.
        ways = [*(way for key, way in switches.items() if key in on), *(key for key in on if key not in switches)]
    else:
        ways = [named] if isinstance(named, str) else list(named)
    unknown = [way for way in ways if way not in _POOLINGS]
    if unknown or not ways:
        raise CheckpointError(
            f"pooling {unknown[0]!r} is not known here" if unknown else "no pooling is switched on",
            file=file,
            field="pooling_mode",
            expected=" or ".join(_POOLINGS),
        )
    return tuple(ways)


def _dense(place: Path) -> nn.Sequential:
    config = _read_json(place / "config.json")
    try:
        linear = nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
        activation = _ACTIVATIONS[str(config["activation_function"]).rsplit(".", 1)[-1]]()
        tensors = load_file(place / "model.safetensors")
        linear.load_state_dict({name.removeprefix("linear."): tensor.float() for name, tensor in tensors.items()})
    except (OSError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot load the dense layer: {error}", file=place, expected="config.json and model.safetensors"
        ) from error
    return nn.Sequential(linear, activation)


def _inside(path: Any) -> str:
    """A path that does not leave the folder."""
    if not isinstance(path, str) or Path(path).is_absolute() or ".." in Path(path).parts:
        raise KeyError(path)
    return path


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {file.name}: {error}", file=file, expected=_EXPECTED) from error
