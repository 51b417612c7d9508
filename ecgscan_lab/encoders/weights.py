"""Published weights on disk: safetensors only, read in part, and loaded strictly or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ecgscan_lab.errors import CheckpointError

_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
_CONVERT = (
    "a pickle can run code when it is opened. Where the publisher offers no safetensors file, convert once, in a "
    'session of its own: python -c "import torch; from safetensors.torch import save_file; '
    "w = torch.load('pytorch_model.bin', map_location='cpu', weights_only=True); "
    "save_file({k: v.clone().contiguous() for k, v in w.items()}, 'model.safetensors')\""
)
_FIX = "download it again from its publisher, or name another tower"


class StoredTensors:
    """Names and shapes of the tensors in one safetensors file, or in the shards of one folder; values on demand.

    Args:
        path: a `.safetensors` file, or a folder that holds `model.safetensors`, `open_clip_model.safetensors`, shards
            with their index, or exactly one safetensors file.

    Raises:
        CheckpointError: nothing there, a pickle, or damaged.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._file_of: dict[str, Path] = {}
        for file in _weight_files(self.path):
            with _opened(file) as tensors:
                self._file_of.update(dict.fromkeys(tensors.keys(), file))

    @property
    def names(self) -> list[str]:
        """Every tensor's name, in order."""
        return sorted(self._file_of)

    def read(self, wanted: Callable[[str], bool]) -> dict[str, torch.Tensor]:
        """The tensors whose names are wanted, on the CPU."""
        tensors: dict[str, torch.Tensor] = {}
        for file in sorted(set(self._file_of.values())):
            names = [name for name, at in self._file_of.items() if at == file and wanted(name)]
            if names:
                with _opened(file) as opened:
                    tensors.update((name, opened.get_tensor(name)) for name in names)
        return tensors


def read_config(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """`config.json` in the folder, or beside the file; None where there is none.

    Raises:
        CheckpointError: it is not a JSON object.
    """
    path = Path(path)
    file = (path if path.is_dir() else path.parent) / "config.json"
    if not file.is_file():
        return None
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read the configuration: {error}", file=file, fix=_FIX) from error
    if not isinstance(config, dict):
        raise CheckpointError("the configuration is not a JSON object", file=file, fix=_FIX)
    return config


def load_strictly(module: nn.Module, tensors: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Copy tensors into a module, every one of them and no other; the module is untouched when something is off.

    Raises:
        CheckpointError: names that are missing or unexpected, shapes that differ, values that are not finite.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in tensors]
    unexpected = [name for name in tensors if name not in own]
    shapes = [
        f"{name}: {list(tensor.shape)} for {list(own[name].shape)}"
        for name, tensor in tensors.items()
        if name in own and tensor.shape != own[name].shape
    ]
    wrong = (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
    found = [f"{len(names)} {what} ({_some(names)})" for what, names in wrong if names]
    if found:
        raise CheckpointError(
            f"the weights do not belong to this tower: {'; '.join(found)}",
            file=path,
            field=(missing or unexpected or shapes)[0].split(":")[0],
            expected=f"the {len(own)} tensors of the tower, no more and no less",
            fix="check that the file and the tower's name belong together",
        )
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError("weights are not finite", file=path, field=name, fix=_FIX)
    module.load_state_dict(dict(tensors), strict=True)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _weight_files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix in _PICKLES:
            raise CheckpointError("the weights are a pickle", file=path, expected="a .safetensors file", fix=_CONVERT)
        return [path]
    if not path.is_dir():
        raise CheckpointError("no such weights", file=path, fix="check the path of the file or folder")
    index = path / "model.safetensors.index.json"
    if index.is_file():
        return _shards(index)
    for name in ("model.safetensors", "open_clip_model.safetensors"):
        if (path / name).is_file():
            return [path / name]
    files = sorted(path.glob("*.safetensors"))
    if len(files) == 1:
        return files
    pickles = sorted(file.name for file in path.iterdir() if file.suffix in _PICKLES)
    if pickles and not files:
        what = f"the folder holds its weights as a pickle only ({_some(pickles)})"
        raise CheckpointError(what, file=path, expected="model.safetensors", fix=_CONVERT)
    raise CheckpointError(
        f"the folder holds {len(files)} safetensors files and none is called model.safetensors",
        file=path,
        expected="model.safetensors, or shards with model.safetensors.index.json",
        fix="name the file itself",
    )


def _shards(index: Path) -> list[Path]:
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"cannot read the list of shards: {error}", file=index, fix=_FIX) from error
    if any(Path(str(name)).name != name for name in names):
        raise CheckpointError("a shard lies outside the folder", file=index, fix=_FIX)
    files = [index.parent / name for name in sorted(names)]
    for file in files:
        if not file.is_file():
            raise CheckpointError("a shard is missing", file=file, fix=_FIX)
    return files


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"cannot read the weights: {error}", file=file, expected="a safetensors file", fix=_FIX
        ) from error
