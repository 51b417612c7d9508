from __future__ import annotations

import csv
from pathlib import Path

import nbformat
import nbformat.v4 as nbf
import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.nb.run_all import Outcome
from ecgscan_lab.nb.sweep import sweep_jobs, sweep_notebook, sweep_rows

CODE = """
from ecgscan_lab.nb.results import record_result
record_result(double=2 * seed, profile_was=profile)
assert seed < 2
record_result(late=True)
"""


def write_notebook(path: Path, code: str = CODE) -> Path:
    tagged = nbf.new_code_cell('profile = "quick"\nseed = 0', metadata={"tags": ["parameters"]})
    nbformat.write(nbf.new_notebook(cells=[tagged, nbf.new_code_cell(code)]), path)
    return path


@pytest.mark.notebooks
def test_a_sweep_collects_what_each_point_recorded_also_where_one_fails(tmp_path):
    notebook = write_notebook(tmp_path / "02_a.ipynb")
    rows, outcomes = sweep_notebook(notebook, {"seed": [1, 3]}, tmp_path / "out", {"profile": "smoke"}, workers=2)
    expected = [
        {"seed": 1, "status": "passed", "double": 2, "profile_was": "smoke", "late": True},
        {"seed": 3, "status": "failed", "double": 6, "profile_was": "smoke", "late": None},
    ]
    assert [{name: row[name] for name in expected[0]} for row in rows] == expected
    with (tmp_path / "out" / "sweep.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [list(row) for row in written] == [list(rows[0])] * 2
    assert [row["double"] for row in written] == ["2", "6"]
    assert [outcome.notebook.relative_to((tmp_path / "out").resolve()).as_posix() for outcome in outcomes] == [
        "executed/1/02_a.ipynb",
        "executed/2/02_a.ipynb",
    ]


def test_a_grid_is_every_combination_once():
    jobs = sweep_jobs("02_a.ipynb", {"seed": [0, 1], "profile": ["smoke", "quick"]}, {"data": "synthetic"})
    points = [(job.parameters["seed"], job.parameters["profile"]) for job in jobs]
    assert points == [(0, "smoke"), (0, "quick"), (1, "smoke"), (1, "quick")]
    assert all(job.parameters["data"] == "synthetic" and job.varied == ("seed", "profile") for job in jobs)


@pytest.mark.parametrize("grid", [{}, {"seed": []}, {"seed": [1, 1]}, {"data": ["a"]}])
def test_a_grid_that_says_nothing_or_contradicts_is_refused(grid):
    with pytest.raises(ArgumentError):
        sweep_jobs("02_a.ipynb", grid, {"data": "b"})


def test_a_result_never_hides_another_column():
    outcome = Outcome("1/a", "passed", results={"seed": 5, "status": "x"}, parameters={"seed": 0}, varied=("seed",))
    row = sweep_rows([outcome])[0]
    assert (row["seed"], row["result seed"], row["status"], row["result status"]) == (0, 5, "passed", "x")
