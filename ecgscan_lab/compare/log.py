"""A log of comparisons, one JSON object a line: runs as they end, and the comparison they make up."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgscan_lab.compare.result import Comparison
from ecgscan_lab.errors import ArgumentError


def append_line(path: Path | str, entry: Mapping[str, Any]) -> None:
    """Append one object as a line, in one write, so that lines of several processes do not mix.

    A last line that was cut short by a crash is ended first.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(entry, allow_nan=False, ensure_ascii=False) + "\n"
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            line = line if file.read(1) == b"\n" else "\n" + line
        os.write(file.fileno(), line.encode())
        os.fsync(file.fileno())


def read_comparisons(path: Path | str) -> tuple[Comparison, ...]:
    """All comparisons of a log, oldest first; lines that were cut short are passed over.

    Raises:
        ArgumentError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ArgumentError("no such log", file=path, field="path", fix="run compare_losses(..., log=path) first")
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            if entry["kind"] == "comparison":
                found.append(Comparison.from_json(json.dumps(entry["comparison"])))
        except (ArgumentError, ValueError, KeyError, TypeError):
            continue
    return tuple(found)
