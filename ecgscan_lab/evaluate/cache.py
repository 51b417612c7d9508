"""Features computed once and kept by what they were computed from: weights, inputs, page plan, and this code."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ecgscan_lab
from ecgscan_lab.encoders.tensor_files import tensors_sha256
from ecgscan_lab.errors import ArgumentError, ExportError
from ecgscan_lab.whole_files import write_whole

Kept = tuple[np.ndarray, Any]

_CODE = (
    "render",
    "batch",
    "encoders",
    "evaluate/embedding.py",
    "evaluate/flattening.py",
    "evaluate/picture_files.py",
    "evaluate/rivals.py",
)


def cached(
    parts: Mapping[str, Any],
    folder: str | PathLike[str] | None,
    compute: Callable[[], Kept],
    *,
    counts: Counter[str] | None = None,
) -> Kept:
    """What `compute` gives, read from `folder` when the same parts were computed before.

    A file is named after the hash of all parts, carries a hash of its own content, and appears whole or not at all. One
    that is damaged, or of other parts, is computed again and replaced. A folder that cannot be written is an error:
    silently computing everything again is not what was asked for.

    Args:
        parts: everything that the result depends on, as JSON; `code_sha256()` and the versions of PyTorch are added.
        folder: where results are kept; None keeps none.
        compute: called without arguments, gives a float32 array and notes in JSON.
        counts: "hit", "miss" or "damaged" is counted here.

    Returns:
        The array and the notes.

    Raises:
        ArgumentError: the parts are not JSON.
        ExportError: the disk is full or the folder refuses.

    Properties: equal parts give equal results; any change of a part computes anew; safe with several writers.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> counts = Counter()
        >>> with TemporaryDirectory() as folder:
        ...     for _ in range(2):
        ...         kept = cached({"input": "a"}, folder, lambda: (np.ones(2, np.float32), None), counts=counts)
        >>> dict(counts)
        {'miss': 1, 'hit': 1}
    """
    if folder is None:
        return compute()
    counts = Counter() if counts is None else counts
    everything = {**parts, "code": code_sha256(), "torch": torch.__version__}
    try:
        text = json.dumps(everything, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"not JSON ({error})", field="parts", expected="plain values") from error
    key = hashlib.sha256(text.encode()).hexdigest()
    path = Path(folder) / key[:2] / f"{key}.features"
    if path.is_file():
        found = _read(path, key)
        if found is not None:
            counts["hit"] += 1
            return found
        counts["damaged"] += 1
    counts["miss"] += 1
    array, notes = compute()
    array = np.ascontiguousarray(array, dtype=np.float32)
    header = json.dumps({"key": key, "shape": array.shape, "notes": notes}).encode()
    body = header + b"\n" + array.tobytes()
    write_whole(path, [hashlib.sha256(body).hexdigest().encode(), b"\n", body], error=ExportError, field="cache")
    return array, notes


def _read(path: Path, key: str) -> Kept | None:
    """What a file keeps, or None when it is not exactly what was written under this key."""
    try:
        digest, _, body = path.read_bytes().partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            return None
        header, _, raw = body.partition(b"\n")
        facts = json.loads(header)
        if facts["key"] != key:
            return None
        return np.frombuffer(raw, np.float32).reshape(facts["shape"]).copy(), facts["notes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


@cache
def code_sha256() -> str:
    """Hash of the code between an input and its features, so that a change to it computes everything again."""
    root = Path(ecgscan_lab.__file__).parent
    digest = hashlib.sha256(ecgscan_lab.__version__.encode())
    for name in _CODE:
        for path in sorted((root / name).rglob("*.py")) if (root / name).is_dir() else [root / name]:
            digest.update(f"\n{path.relative_to(root).as_posix()}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def weights_sha256(module: torch.nn.Module) -> str:
    """Hash of every weight and buffer of a module: name, type, shape, bytes; and of whether it is training.

    Properties: the same before and after a round trip through a checkpoint, and on every device.
    """
    tensors = ((name, tensor) for name, tensor in module.state_dict().items() if isinstance(tensor, torch.Tensor))
    return tensors_sha256(tensors, f"{type(module).__qualname__} {module.training}")


def arrays_sha256(arrays: Iterable[np.ndarray]) -> str:
    """Hash of some arrays: type, shape, bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"\n{array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
