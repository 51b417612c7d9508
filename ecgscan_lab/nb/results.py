"""What a run found, for people and programs: `results.json`, and scalars recorded inside a notebook."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.whole_files import write_whole

RECORDED = "application/vnd.ecgscan-lab.results+json"
"""MIME type of the output that holds recorded scalars; front ends that do not know it show its plain text."""


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


def record_result(**scalars: Any) -> None:
    """Record scalars as results of a notebook: they stand in the cell's output, and runs and sweeps collect them.

    A reader sees six significant digits; what is collected has all of them.

    Args:
        scalars: name -> number, text, yes or no, or None; NumPy scalars too. A number that is not finite becomes None.

    Raises:
        ArgumentError: a value is no scalar, or nothing is given; names the result.

    Example:
        >>> record_result(macro_auroc=91.25000001, text_tower="hashed")
        macro_auroc = 91.25
        text_tower = hashed
    """
    if not scalars:
        raise ArgumentError("nothing to record", field="scalars", expected="record_result(name=value)")
    # A zero-dimensional array or tensor means its one value.
    plain = {
        name: _plain(value.item() if getattr(value, "shape", None) == () else value) for name, value in scalars.items()
    }
    for name, value in plain.items():
        if not isinstance(value, (bool, int, float, str, type(None))):
            raise ArgumentError(
                f"result {name!r} is a {type(scalars[name]).__name__}",
                field=name,
                expected="a number, text, a bool or None",
            )
    text = "\n".join(
        f"{name} = {value:.6g}" if type(value) is float else f"{name} = {value}" for name, value in plain.items()
    )
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        sys.stdout.write(text + "\n")
        return
    from IPython.display import display

    display({RECORDED: plain, "text/plain": text}, raw=True)


def recorded_results(notebook: Any) -> dict[str, Any]:
    """The scalars that an executed notebook (nbformat 4 node) recorded, in order; of one name the last counts."""
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            recorded = output.get("data", {}).get(RECORDED)
            if isinstance(recorded, Mapping):  # an executed copy may come from anywhere
                found |= {
                    str(name): value
                    for name, value in recorded.items()
                    if isinstance(value, (bool, int, float, str, type(None)))
                }
    return found


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
