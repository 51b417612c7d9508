"""Where the rows of a run go: JSON lines, CSV, TensorBoard, Trackio; and how they are read back.

A tracker is any callable that takes a row, with `close()` if it has something to close. One that finds an older log
drops the rows from its own first row's step on, because a resumed run logs them again; a run that starts anew therefore
replaces the log.
"""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import MissingExtraError, TrackingError
from ecgscan_lab.types import History
from ecgscan_lab.whole_files import write_whole

Row = Mapping[str, float | int | str]
Value = float | int | str | None


class LogFile:
    """A log with a row a line, appended to at once; `jsonl_tracker` and `csv_tracker` make one.

    Args:
        path: the file; its folder is made when it is missing.
        columns: whether rows are cells under a header (CSV) rather than JSON objects.
    """

    def __init__(self, path: str | PathLike[str], *, columns: bool) -> None:
        self.path = Path(path)
        self._columns: list[str] | None = [] if columns else None
        self._file: io.FileIO | None = None

    def __call__(self, row: Row) -> None:
        """Write a row.

        Raises:
            TrackingError: the disk is full or the folder refuses, or the older log is damaged.
        """
        plain = {str(key): _plain(value) for key, value in row.items()}
        if self._file is None:
            self._go_on(plain.get("step"))
        if self._columns is not None and (new := [name for name in plain if name not in self._columns]):
            self._rewrite([*_read_rows(self.path), plain], [*self._columns, *new])
        else:
            self._append(_text([plain], self._columns))

    def close(self) -> None:
        """Close the file; another row opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _go_on(self, step: Value) -> None:
        """Open the file, without the rows of an older log from this step on."""
        rows = _read_rows(self.path) if self.path.exists() else []
        first = float(step) if isinstance(step, (int, float)) else math.inf
        kept = [row for row in rows if not isinstance(at := row.get("step"), (int, float)) or at < first]
        self._rewrite(kept, list(dict.fromkeys(name for row in kept for name in row)))

    def _rewrite(self, rows: Sequence[Mapping[str, Value]], columns: list[str]) -> None:
        self.close()
        if self._columns is not None:
            self._columns = columns
        text = _text(rows, self._columns, header=True)
        write_whole(self.path, text.encode("utf-8"), error=TrackingError, field="path")
        try:
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise _refused(self.path, error) from error

    def _append(self, text: str) -> None:
        """One write a line, so that a kill leaves it whole or absent; a full disk leaves no half."""
        if self._file is None:
            raise TrackingError("the log is closed", file=self.path)
        data, before = text.encode("utf-8"), os.fstat(self._file.fileno()).st_size
        try:
            done = 0
            while done < len(data):
                done += self._file.write(data[done:]) or 0
        except OSError as error:
            self._file.truncate(before)
            raise _refused(self.path, error) from error


def jsonl_tracker(path: str | PathLike[str]) -> LogFile:
    """Rows as JSON objects, one a line; numbers that are not finite are written as null.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     track = jsonl_tracker(Path(folder) / "log.jsonl")
        ...     track({"step": 0, "split": "train", "total": 1.5})
        ...     track.close()
        ...     read_history(track.path).rows
        ({'step': 0, 'split': 'train', 'total': 1.5},)
    """
    return LogFile(path, columns=False)


def csv_tracker(path: str | PathLike[str]) -> LogFile:
    """Rows under a header, for spreadsheets; a quantity that comes up later adds a column."""
    return LogFile(path, columns=True)


def read_history(path: str | PathLike[str]) -> History:
    """Read back what `jsonl_tracker` or `csv_tracker` wrote; a last line that a kill tore off is dropped.

    Args:
        path: the log; one whose name ends in ".csv" is read as CSV.

    Returns:
        The rows. What was not finite is NaN; what a row of a CSV lacks is left out.

    Raises:
        TrackingError: there is no such file, or another line than the last is damaged.
    """
    rows = _read_rows(Path(path))
    return History(tuple({name: math.nan if v is None else v for name, v in row.items()} for row in rows))


def _read_rows(path: Path) -> list[dict[str, Value]]:
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise TrackingError(
            f"cannot read the log ({error.strerror or type(error).__name__})", file=path, fix="check the path"
        ) from error
    lines = text.split("\n")
    lines.pop()  # what follows the last line break is empty, or torn
    if path.suffix.lower() == ".csv":
        return _csv_rows(path, lines)
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError
        except (ValueError, TypeError) as error:
            raise _damaged(path, number) from error
        rows.append(row)
    return rows


def _csv_rows(path: Path, lines: list[str]) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = []
    header: list[str] = []
    for number, cells in enumerate(csv.reader(lines), start=1):
        if number == 1:
            header = cells
        elif len(cells) != len(header):
            raise _damaged(path, number)
        else:
            rows.append({name: _number(cell) for name, cell in zip(header, cells, strict=True) if cell != ""})
    return rows


def _text(rows: Sequence[Mapping[str, Value]], columns: list[str] | None, *, header: bool = False) -> str:
    if columns is None:
        return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    if header and columns:
        writer.writerow(columns)
    for row in rows:
        cells = [row.get(name, "") for name in columns]
        writer.writerow(["nan" if cell is None else cell for cell in cells])
    return out.getvalue()


def _plain(value: Any) -> Value:
    """A value as JSON knows it; numbers of NumPy and torch become Python's, line breaks spaces."""
    if not isinstance(value, (bool, int, float, str)) and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) else " ".join(str(value).split())


def _number(cell: str) -> Value:
    if cell == "nan":
        return None
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return {"True": True, "False": False}.get(cell, cell)


def _damaged(path: Path, number: int) -> TrackingError:
    return TrackingError(
        f"line {number} of the log is damaged",
        file=path,
        expected="a row a line, as a tracker writes them",
        fix="move the file away: a resumed run starts a new log",
    )


def _refused(path: Path, error: OSError) -> TrackingError:
    return TrackingError(
        f"cannot write the log ({error.strerror or type(error).__name__})",
        file=path,
        field="path",
        fix="make room on the disk, or check the folder and its permissions",
    )


def _quantities(row: Row) -> dict[str, float]:
    """The numbers of a row by tag, split first: "train/total"; steps and words are none."""
    split = str(row.get("split", "train"))
    plain = {name: _plain(value) for name, value in row.items() if name not in ("step", "split")}
    return {
        f"{split}/{name}": math.nan if value is None else float(value)
        for name, value in plain.items()
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
    }


class TensorBoardTracker:
    """Writes rows for TensorBoard; `tensorboard_tracker` makes one."""

    def __init__(self, folder: str | PathLike[str], writer: Callable[..., Any]) -> None:
        self._folder, self._open, self._writer = str(folder), writer, None

    def __call__(self, row: Row) -> None:
        """Write the numbers of a row under tags such as "train/total"."""
        step = int(row.get("step", 0))
        writer: Any = self._writer
        if writer is None:
            writer = self._writer = self._open(self._folder, purge_step=step)
        for tag, value in _quantities(row).items():
            writer.add_scalar(tag, value, step)
        writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def tensorboard_tracker(folder: str | PathLike[str]) -> TensorBoardTracker:
    """Rows for TensorBoard: look at them with `tensorboard --logdir FOLDER`.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """
    try:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            "this tracker needs TensorBoard", field="tensorboard", fix='pip install "ecgscan-lab[tracking]"'
        ) from error
    return TensorBoardTracker(folder, writer)


class TrackioTracker:
    """Writes rows for Trackio; `trackio_tracker` makes one."""

    def __init__(self, trackio: Any, project: str, name: str, config: Mapping[str, Any] | None) -> None:
        self._trackio, self._project, self._name, self._config = trackio, project, name, config
        self._run: Any = None

    def __call__(self, row: Row) -> None:
        """Write the numbers of a row under names such as "train/total"."""
        if self._run is None:
            config = None if self._config is None else dict(self._config)
            self._run = self._trackio.init(
                project=self._project, name=self._name, config=config, resume="allow", embed=False, auto_log_gpu=False
            )
        finite = {tag: value for tag, value in _quantities(row).items() if math.isfinite(value)}
        self._run.log(finite, step=int(row.get("step", 0)))

    def close(self) -> None:
        """Finish the run."""
        if self._run is not None:
            self._run.finish()
            self._run = None


def trackio_tracker(project: str, name: str, config: Mapping[str, Any] | None = None) -> TrackioTracker:
    """Rows for Trackio, which keeps them in a database on this machine: look at them with `trackio show`.

    No account and no server; the database lies where the environment variable TRACKIO_DIR says. A run of the same name
    is gone on with, and rows that a resumed run logs again are there twice.

    Args:
        project: what runs are compared within.
        name: of the run.
        config: plain values to keep beside it, usually `recipe.as_dict()`.

    Raises:
        MissingExtraError: Trackio is not installed.
    """
    try:
        trackio = importlib.import_module("trackio")
    except ImportError as error:
        raise MissingExtraError("this tracker needs Trackio", field="trackio", fix="pip install trackio") from error
    return TrackioTracker(trackio, project, name, config)
