"""The log of a run: written at once, whole after a kill, gone on with after a resume, read back as it was."""

from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ecgscan_lab.errors import MissingExtraError, TrackingError
from ecgscan_lab.train.tracking import (
    csv_tracker,
    jsonl_tracker,
    read_history,
    tensorboard_tracker,
    trackio_tracker,
)

ROWS = [
    {"step": 0, "split": "train", "total": 1.5, "lr": 1e-05},
    {"step": 5, "split": "train", "total": 1.25, "lr": 0.0005, "wait_s": 0.25},
    {"step": 5, "split": "val", "total": 1.4, "name": 'æ, "quoted"'},
    {"step": 10, "split": "train", "total": 1.0, "lr": 0.001},
]
MAKERS = [(jsonl_tracker, "log.jsonl"), (csv_tracker, "log.csv")]
both = pytest.mark.parametrize(("make", "name"), MAKERS, ids=["jsonl", "csv"])


def write(make, path, rows):
    track = make(path)
    for row in rows:
        track(row)
    track.close()


@both
def test_rows_come_back_as_they_were(make, name, tmp_path):
    path = tmp_path / "new folder" / name
    write(make, path, ROWS)
    assert list(read_history(path)) == ROWS
    assert [p.name for p in path.parent.iterdir()] == [name]


@both
def test_numbers_of_numpy_and_torch_become_plain_and_what_is_not_finite_is_nan(make, name, tmp_path):
    import torch

    path = tmp_path / name
    write(make, path, [{"step": np.int64(3), "total": torch.tensor(0.5), "odd": math.inf, "bad": np.float32("nan")}])
    (row,) = read_history(path)
    assert (row["step"], row["total"]) == (3, 0.5)
    assert math.isnan(row["odd"])
    assert math.isnan(row["bad"])
    assert "Infinity" not in path.read_text()


@both
def test_each_row_is_on_the_disk_before_the_next(make, name, tmp_path):
    track = make(tmp_path / name)
    for n, row in enumerate(ROWS, start=1):
        track(row)
        assert list(read_history(track.path)) == ROWS[:n]
    track.close()


@both
def test_a_resumed_run_replaces_the_rows_it_logs_again(make, name, tmp_path):
    path = tmp_path / name
    write(make, path, ROWS)
    again = [{"step": 5, "split": "train", "total": 7.0}, {"step": 5, "split": "val", "total": 8.0}]
    write(make, path, again)
    assert list(read_history(path)) == [ROWS[0], *again]
    write(make, path, [{"step": 0, "split": "train", "total": 9.0}])
    assert [row["total"] for row in read_history(path)] == [9.0], "a run that starts anew replaces the log"


@both
@pytest.mark.parametrize("cut", [1, 7])
def test_a_torn_last_line_is_dropped_and_written_over(make, name, tmp_path, cut):
    path = tmp_path / name
    write(make, path, ROWS)
    path.write_bytes(path.read_bytes()[:-cut])
    assert list(read_history(path)) == ROWS[:3]
    write(make, path, ROWS[3:])
    assert list(read_history(path)) == ROWS


@both
def test_a_damaged_line_within_is_an_error_that_names_it(make, name, tmp_path):
    path = tmp_path / name
    write(make, path, ROWS)
    lines = path.read_text().split("\n")
    lines[2] = "\x00,1" if name.endswith("csv") else '{"step": 5'
    path.write_text("\n".join(lines))
    for act in (lambda: read_history(path), lambda: make(path)(ROWS[0])):
        with pytest.raises(TrackingError, match="line 3") as caught:
            act()
        assert caught.value.file == str(path)


def test_a_log_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(TrackingError):
        read_history(tmp_path / "none.jsonl")


def test_a_json_log_is_json_lines(tmp_path):
    write(jsonl_tracker, tmp_path / "log.jsonl", ROWS)
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()] == ROWS


def test_a_quantity_that_comes_up_later_adds_a_column(tmp_path):
    write(csv_tracker, tmp_path / "log.csv", ROWS)
    header, *lines = (tmp_path / "log.csv").read_text("utf-8").splitlines()
    assert header == "step,split,total,lr,wait_s,name"
    assert lines[0] == "0,train,1.5,1e-05,,"
    assert len(lines) == len(ROWS)


@both
def test_a_full_disk_is_an_error_and_leaves_whole_lines(make, name, tmp_path):
    path = tmp_path / name
    track = make(path)
    track(ROWS[0])

    class Full:
        def __init__(self, file):
            self.file, self.left = file, 5

        def write(self, data):
            if not self.left:
                raise OSError(errno.ENOSPC, "No space left on device")
            done, self.left = self.file.write(data[: self.left]), 0
            return done

        def __getattr__(self, name):
            return getattr(self.file, name)

    track._file = Full(track._file)
    with pytest.raises(TrackingError, match="No space") as caught:
        track({**ROWS[0], "step": 1})
    assert "make room" in caught.value.fix
    assert list(read_history(path)) == ROWS[:1]
    track.close()


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a signal")
@both
def test_a_kill_loses_nothing_that_was_logged(make, name, tmp_path):
    script = f"""
        import os, sys
        from ecgscan_lab.train.tracking import {make.__name__}
        track = {make.__name__}(sys.argv[1])
        for step in range(10**9):
            track({{"step": step, "split": "train", "total": step / 3}})
            if step == 200:
                print("ready", flush=True)
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / name)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGKILL)
    run.communicate(timeout=30)
    rows = list(read_history(tmp_path / name))
    assert len(rows) > 200
    assert rows == [{"step": step, "split": "train", "total": step / 3} for step in range(len(rows))]


def test_tensorboard_reads_what_was_logged_and_forgets_what_a_resumed_run_logs_again(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is an extra")
    write(tensorboard_tracker, tmp_path, ROWS)
    write(tensorboard_tracker, tmp_path, [{"step": 10, "split": "train", "total": 0.75, "lr": math.nan}])
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/total")] == [(0, 1.5), (5, 1.25), (10, 0.75)]
    assert [e.step for e in events.Scalars("val/total")] == [5]
    assert not [tag for tag in events.Tags()["scalars"] if tag.endswith(("step", "split", "name"))]


class Trackio(ModuleType):
    """Stands in for the package."""

    def __init__(self):
        super().__init__("trackio")
        self.calls = []

    def init(self, **choices):
        self.calls.append(("init", choices))
        return self

    def log(self, metrics, step):
        self.calls.append(("log", metrics, step))

    def finish(self):
        self.calls.append(("finish",))


def test_trackio_gets_the_finite_numbers_of_each_row(monkeypatch):
    trackio = Trackio()
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    track = trackio_tracker("pages", "first", {"lr": 0.1})
    track({"step": 2, "split": "val", "total": 0.5, "rank": math.nan, "word": "x"})
    track.close()
    track.close()
    (_, choices), *rest = trackio.calls
    assert choices["resume"] == "allow"
    assert (choices["project"], choices["name"], choices["config"]) == ("pages", "first", {"lr": 0.1})
    assert rest == [("log", {"val/total": 0.5}, 2), ("finish",)]


@pytest.mark.parametrize(
    ("module", "make"),
    [("torch.utils.tensorboard", lambda: tensorboard_tracker("x")), ("trackio", lambda: trackio_tracker("a", "b"))],
)
def test_a_missing_package_is_named_with_its_remedy(module, make, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        make()
    assert caught.value.fix.startswith("pip install ")
