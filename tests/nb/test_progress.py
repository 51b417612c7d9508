"""The loss table that grows while a model learns."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from ecgscan_lab.nb.progress import live_losses


def train_row(step: int, **more: float) -> dict[str, object]:
    return {"step": step, "split": "train", "total": 1 / (step + 1), "mse": 0.25, "lr": 1e-3, "seconds": 9.0, **more}


def test_a_terminal_gets_a_line_now_and_then(capsys):
    on_step = live_losses(100, "pretraining", lines=4)
    for step in range(100):
        on_step(train_row(step, gram_above_floor=0.125, gradient_norm=7.0))
        if step in (10, 11):
            on_step({"step": step, "split": "val", "total": 0.5})
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert [line.split("step ")[1].split(" ")[0] for line in lines] == ["1", "11", "12", "26", "51", "76", "100"]
    assert lines[0].startswith("pretraining: step 1 of 100, 0 s gone, about ")
    assert lines[0].endswith("total 1.0000  mse 0.2500"), "rates, clocks, norms and floors stay out"
    assert lines[1].endswith("total 0.5000")
    assert "about 0 s to go" in lines[-1]


class Display:
    """Stands in for the notebook's front end."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def display(self, data: dict[str, str], raw: bool, display_id: bool) -> Display:
        assert (raw, display_id) == (True, True)
        self.shown.append(data["text/plain"])
        return self

    def update(self, data: dict[str, str], raw: bool) -> None:
        assert raw
        self.shown.append(data["text/plain"])


@pytest.fixture
def front_end(monkeypatch) -> Display:
    front_end = Display()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython, display.display = SimpleNamespace, front_end.display
    ipython.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return front_end


def test_a_notebook_has_one_table_that_grows(front_end, capsys):
    on_step = live_losses(20, "signal teacher", lines=2)
    for step in (0, 5, 9, 10, 19):
        on_step(train_row(step))
    on_step({"step": 19, "split": "val", "total": 0.75, "mse": 0.5})
    assert capsys.readouterr() == ("", "")
    assert len(front_end.shown) == 7, "an empty one, then one a row"
    heads = [text.splitlines()[0] for text in front_end.shown[1:]]
    assert [head.split(",")[0] for head in heads] == [
        f"signal teacher: step {step} of 20" for step in (1, 6, 10, 11, 20, 20)
    ]
    _, gap, names, *rows = front_end.shown[-1].splitlines()
    assert gap == ""
    assert names.split() == ["step", "split", "total", "mse"]
    assert [row.split()[:2] for row in rows] == [["1", "train"], ["11", "train"], ["20", "train"], ["20", "val"]]
    assert rows[-1].split()[2:] == ["0.7500", "0.5000"]
    assert len({len(line) for line in (names, *rows)}) == 1, "columns line up"


def test_a_column_that_a_row_lacks_stays_empty(front_end):
    on_step = live_losses(2, "pretraining")
    on_step({"step": 0, "split": "train", "total": 1.0})
    on_step({"step": 1, "split": "val", "total": 0.5, "mse": 0.25})
    rows = front_end.shown[-1].splitlines()[3:]
    assert [row.split() for row in rows] == [["1", "train", "1.0000"], ["2", "val", "0.5000", "0.2500"]]
    assert len(rows[0]) == len(rows[1])


def test_an_imported_ipython_without_a_shell_is_a_terminal(monkeypatch, capsys):
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: None
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    live_losses(1, "pretraining")(train_row(0))
    assert "step 1 of 1" in capsys.readouterr().err


def test_a_starved_device_is_pointed_out_and_times_are_no_columns(capsys):
    on_step = live_losses(4, "pretraining", lines=4)
    for step, wait_s in enumerate((0.0, 0.0, 0.0, 0.9)):
        on_step(train_row(step, wait_s=wait_s, forward_s=0.1, draw_s=0.9))
    lines = capsys.readouterr().err.splitlines()
    assert "waiting" not in "".join(lines[:3])
    assert "to go, 75% of the time spent waiting for data  total" in lines[3]
    assert "wait_s" not in "".join(lines)


def test_the_time_to_go_of_a_resumed_run_counts_from_where_it_went_on(monkeypatch, capsys):
    clock = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr("ecgscan_lab.nb.progress.time.perf_counter", lambda: next(clock))
    on_step = live_losses(100, "pretraining", lines=100)
    on_step(train_row(80))
    on_step(train_row(81))
    lines = capsys.readouterr().err.splitlines()
    assert "step 81 of 100, 10 s gone, about 190 s to go" in lines[0]
    assert "step 82 of 100, 20 s gone, about 180 s to go" in lines[1]
