"""Stages of a long command: each one's result in a file of its own, taken again only when nothing behind it changed."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecgscan_lab import __version__
from ecgscan_lab.evaluate.full_evaluation import peak_memory_mb
from ecgscan_lab.whole_files import write_json

Say = Callable[[str], object]
Made = tuple[Mapping[str, Any], Iterable[Path]]


@dataclass(eq=False)
class Stages:
    """The stages of one folder.

    A stage's file holds its result, what it cost, and hashes: of all it was made from, of the files it left beside it,
    and of itself. A file that is damaged, or that was made from something else, counts for nothing.

    Attributes:
        folder: where everything lies; stages in `stages/`.
        facts: what all stages depend on, as JSON.
        say: told which stage runs and which is there.
        seconds, processor_seconds: stage -> what it cost, interrupted attempts included.
        peak_memory_mb: highest of all stages, None where the system does not tell.
    """

    folder: Path
    facts: Mapping[str, Any]
    say: Say = lambda line: None
    seconds: dict[str, float] = field(default_factory=dict)
    processor_seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float | None = None

    def run(self, name: str, make: Callable[[], Made], *, made_from: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The stage's result: read if it is there and whole, else made and written.

        Args:
            name: of the stage, and of its file.
            make: gives the result, in JSON, and the files that belong to it.
            made_from: what it depends on besides `facts`, in JSON.

        Returns:
            The result, as JSON gives it back.
        """
        key = json_sha256({"version": __version__, "facts": self.facts, "made_from": made_from or {}})
        kept = self._kept(name, key)
        if kept is None:
            self.say(f"{name} ...")
            kept = self._make(name, key, make)
            self.say(f"{name}: {kept['seconds']:.0f} s, {kept['processor_seconds']:.0f} s of processor time")
        else:
            self.say(f"{name}: there, and whole")
        self._count(name, kept)
        result: dict[str, Any] = kept["result"]
        return result

    def files(self, name: str) -> dict[str, str]:
        """File of a finished stage -> its hash."""
        read = _read(self._path(name))
        return {} if read is None else dict(read["files"])

    def was_done(self, name: str) -> bool:
        """Whether the stage once ended here, whatever became of its files since."""
        return _read(self._path(name)) is not None

    def _kept(self, name: str, key: str) -> dict[str, Any] | None:
        read = _read(self._path(name))
        if read is None or read["key"] != key:
            return None
        for relative, sha256 in read["files"].items():
            path = self.folder / relative
            if not path.is_file() or file_sha256(path) != sha256:
                self.say(f"{name}: {relative} is not what it was; this stage runs again")
                return None
        return read

    def _make(self, name: str, key: str, make: Callable[[], Made]) -> dict[str, Any]:
        spent_file = self._path(name).with_suffix(".spent")
        before = _spent(spent_file, key)
        clock = Clock()
        try:
            result, files = make()
        except BaseException:
            write_json(spent_file, {"key": key, **_sum(before, clock.read())})
            raise
        kept = {
            "key": key,
            "result": result,
            "files": {path.relative_to(self.folder).as_posix(): file_sha256(path) for path in files},
            **_sum(before, clock.read()),
            "peak_memory_mb": peak_memory_mb(),
        }
        kept = json.loads(json.dumps(kept, allow_nan=False))
        write_json(self._path(name), {**kept, "sha256": json_sha256(kept)})
        spent_file.unlink(missing_ok=True)
        return kept

    def _count(self, name: str, kept: Mapping[str, Any]) -> None:
        self.seconds[name] = round(kept["seconds"], 2)
        self.processor_seconds[name] = round(kept["processor_seconds"], 2)
        peaks = [peak for peak in (self.peak_memory_mb, kept["peak_memory_mb"]) if peak is not None]
        self.peak_memory_mb = max(peaks) if peaks else None

    def _path(self, name: str) -> Path:
        return self.folder / "stages" / f"{name}.json"


class Clock:
    """Seconds and processor seconds since it was made, those of child processes that ended included."""

    def __init__(self) -> None:
        self.started = (time.perf_counter(), _processor_s())

    def read(self) -> dict[str, float]:
        return {
            "seconds": time.perf_counter() - self.started[0],
            "processor_seconds": _processor_s() - self.started[1],
        }


@contextmanager
def timed(seconds: dict[str, float], processor_seconds: dict[str, float], name: str) -> Iterator[None]:
    """Count a block as a stage that leaves no file."""
    clock = Clock()
    yield
    cost = clock.read()
    seconds[name], processor_seconds[name] = round(cost["seconds"], 2), round(cost["processor_seconds"], 2)


def file_sha256(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def json_sha256(values: Any) -> str:
    """Hash of plain values, whatever the order of their names."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """What a stage's file holds, without its own hash; None where it is missing or damaged."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        sha256 = values.pop("sha256")
        return values if json_sha256(values) == sha256 else None
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None


def _spent(path: Path, key: str) -> dict[str, float]:
    """What attempts at the same stage have cost that were interrupted."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["key"] == key:
            return {name: float(values[name]) for name in ("seconds", "processor_seconds")}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {"seconds": 0.0, "processor_seconds": 0.0}


def _sum(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    return {name: before[name] + now[name] for name in now}


def _processor_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
