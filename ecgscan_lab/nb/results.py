"""`results.json`: what a run found, for people and programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import NotebookError
from ecgscan_lab.whole_files import write_whole


def write_results(path: str | Path, results: Mapping[str, Any]) -> Path:
    """Write a run's results as strict JSON, whole or not at all.

    Arrays and NumPy numbers become plain ones; a number that is not finite becomes null, since JSON has no NaN.

    Returns:
        `path`.
    """
    text = json.dumps(_plain(results), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_whole(path, text.encode(), error=NotebookError)


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
