"""`results.json`: what a run found, for people and programs."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import NotebookError


def write_results(path: str | Path, results: Mapping[str, Any]) -> Path:
    """Write a run's results as strict JSON, whole or not at all.

    Arrays and NumPy numbers become plain ones; a number that is not finite becomes null, since JSON has no NaN.

    Returns:
        `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(_plain(results), file, indent=2, ensure_ascii=False, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return unfinished.replace(path)


def read_results(path: str | Path) -> dict[str, Any]:
    """Read a run's results.

    Raises:
        NotebookError: the file is missing, or is no JSON object.
    """
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotebookError(f"the notebook left no readable results: {error}", file=path) from error
    if not isinstance(results, dict):
        raise NotebookError("the results are no JSON object", file=path, expected='{"data": ..., ...}')
    return results


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
