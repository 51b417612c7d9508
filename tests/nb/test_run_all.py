from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import nbformat
import nbformat.v4 as nbf
import pytest

from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.nb.execute import read_notebook
from ecgscan_lab.nb.run_all import Job, Outcome, run_notebooks, run_status

PARAMETERS = 'seed = 0\nout = "."'
RECORD = "from ecgscan_lab.nb.results import record_result\nrecord_result(double=2 * seed)"


def write_notebook(path: Path, *code: str, parameters: str | None = PARAMETERS) -> Path:
    tagged = [] if parameters is None else [nbf.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    nbformat.write(nbf.new_notebook(cells=[*tagged, *map(nbf.new_code_cell, code)]), path)
    return path


def stable(outcome):
    """What of an outcome must not depend on how many run at a time: all but cost and place."""
    outputs = [cell.get("outputs") for cell in read_notebook(outcome.notebook).cells]
    return outcome.name, outcome.status, dict(outcome.results), outcome.error, outcome.cell, outputs


def test_a_mistake_in_the_last_job_is_found_before_the_first_one_runs(tmp_path):
    good = Job("a", write_notebook(tmp_path / "a.ipynb"))
    untagged = Job("b", write_notebook(tmp_path / "b.ipynb", parameters=None))
    with pytest.raises(NotebookError, match="0 cells are tagged 'parameters'"):
        run_notebooks([good, untagged], tmp_path / "out")
    with pytest.raises(NotebookError, match="no parameter 'sede'"):
        run_notebooks([good, Job("x/a", good.notebook, {"sede": 1})], tmp_path / "out")
    other = write_notebook(tmp_path / "c.ipynb", parameters="profile = 'quick'")
    with pytest.raises(NotebookError, match="no profile 'wrong'"):
        run_notebooks([good, Job("c", other, {"profile": "wrong"})], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_is_well_when_every_notebook_passed():
    passed, *others = (Outcome("a", status) for status in ("passed", "failed", "interrupted", "not run"))
    assert run_status([passed, passed]) == {
        "ok": True, "counts": {"passed": 2, "failed": 0, "interrupted": 0, "not run": 0},
    }  # fmt: skip
    assert not any(run_status([passed, other])["ok"] for other in others)
    assert not run_status([])["ok"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"workers": 0}, "workers"),
        ({"timeout_s": 0.0}, "timeout"),
        ({"timeout_s": float("nan")}, "timeout"),
        ({"max_memory_mb": 0.0}, "max_memory_mb"),
        ({"max_memory_mb": float("nan")}, "max_memory_mb"),
        ({"names": ["a", "a"]}, "jobs"),
        ({"names": []}, "jobs"),
        ({"names": ["../a"]}, "name"),
        ({"names": ["b"]}, "name"),
    ],
)
def test_senseless_arguments_are_refused(tmp_path, change, field):
    notebook = write_notebook(tmp_path / "a.ipynb")
    options = dict(change)
    jobs = [Job(name, notebook) for name in options.pop("names", ["a"])]
    with pytest.raises(ArgumentError) as caught:
        run_notebooks(jobs, tmp_path / "out", **options)
    assert caught.value.field == field
    (tmp_path / "taken").touch()
    with pytest.raises(ArgumentError, match="is a file"):
        run_notebooks([Job("a", notebook)], tmp_path / "taken")


@pytest.mark.notebooks
def test_a_failing_notebook_leaves_its_copy_and_the_others_the_same_in_parallel_as_in_turn(tmp_path):
    write = 'import pathlib; pathlib.Path(out).mkdir(parents=True, exist_ok=True); (pathlib.Path(out) / "x").touch()'
    jobs = [
        Job("a", write_notebook(tmp_path / "a.ipynb", RECORD, "ratio = 1 / seed", "print('never')")),
        Job("b", write_notebook(tmp_path / "b.ipynb", write, RECORD), {"seed": 4}),
    ]
    seen: list[str] = []
    runs = [
        run_notebooks(jobs, tmp_path / f"out{workers}", workers=workers, on_outcome=lambda one: seen.append(one.name))
        for workers in (1, 2)
    ]
    assert [stable(outcome) for outcome in runs[0]] == [stable(outcome) for outcome in runs[1]]
    assert seen[:2] == ["a", "b"]
    assert sorted(seen[2:]) == ["a", "b"]
    failed, passed = runs[1]
    assert (failed.status, failed.cell, failed.results) == ("failed", "ratio = 1 / seed", {"double": 0})
    assert "ZeroDivisionError" in failed.error
    assert failed.notebook == (tmp_path / "out2" / "executed" / "a.ipynb").resolve()
    assert (passed.status, passed.results) == ("passed", {"double": 8})
    assert (tmp_path / "out2" / "files" / "b" / "x").is_file()
    assert min(passed.seconds, passed.processor_s, passed.peak_memory_mb, failed.seconds, failed.peak_memory_mb) > 0
    row = passed.as_dict()
    assert (row["parameters"]["seed"], row["results"], "error" in row) == (4, {"double": 8}, False)


@pytest.mark.notebooks
def test_a_time_limit_holds_for_each_notebook_and_memory_counts_child_processes(tmp_path):
    hangs = "import time\nprint('begun')\ntime.sleep(120)"
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytes(300_000_000); import time; "
    jobs = [
        Job("a", write_notebook(tmp_path / "a.ipynb", hangs)),
        Job("b", write_notebook(tmp_path / "b.ipynb", child + "y = bytearray(x); time.sleep(3)'])")),
    ]
    hung, passed = run_notebooks(jobs, tmp_path / "out", workers=2, timeout_s=10)
    assert (hung.status, hung.cell, passed.status) == ("failed", "import time", "passed")
    assert "was running when the time limit passed" in hung.error
    assert read_notebook(hung.notebook).cells[-1].outputs[0].text == "begun\n"
    assert hung.seconds < 60
    assert passed.peak_memory_mb > 300


@pytest.mark.notebooks
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to itself")
def test_an_interrupt_ends_running_cells_and_the_rest_does_not_run(tmp_path):
    waits = "import pathlib, time\npathlib.Path(out).mkdir(parents=True)\n(pathlib.Path(out) / 'begun').touch()\n"
    saves = "try:\n    time.sleep(120)\nexcept KeyboardInterrupt:\n    print('saved')\n    raise"
    names = ["a", "b", "c"]
    jobs = [Job(name, write_notebook(tmp_path / f"{name}.ipynb", waits + saves)) for name in names]
    begun = [tmp_path / "out" / "files" / name / "begun" for name in names]
    over = threading.Event()

    def interrupt() -> None:
        while not (begun[0].exists() and begun[1].exists()):
            if over.wait(0.05):
                return
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        outcomes = run_notebooks(jobs, tmp_path / "out", workers=2, timeout_s=60)
    finally:
        over.set()
        thread.join()
    assert [outcome.status for outcome in outcomes] == ["interrupted", "interrupted", "not run"]
    assert read_notebook(outcomes[0].notebook).cells[-1].outputs[0].text == "saved\n"


@pytest.mark.notebooks
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGTERM to itself")
def test_a_second_interrupt_ends_cells_that_will_not_stop(tmp_path):
    begin = "import pathlib, time\npathlib.Path(out).mkdir(parents=True)\n"
    never = "while True:\n    try:\n        (pathlib.Path(out) / 'begun').touch()\n        time.sleep(120)\n"
    never += "    except KeyboardInterrupt:\n        (pathlib.Path(out) / 'asked').touch()"
    jobs = [Job(name, write_notebook(tmp_path / f"{name}.ipynb", begin + never)) for name in ("a", "b")]
    over = threading.Event()

    def interrupt() -> None:
        for sign in ("begun", "asked"):
            while not all((tmp_path / "out" / "files" / job.name / sign).exists() for job in jobs):
                if over.wait(0.05):
                    return
            os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        outcomes = run_notebooks(jobs, tmp_path / "out", workers=2, timeout_s=60)
    finally:
        over.set()
        thread.join()
    assert [outcome.status for outcome in outcomes] == ["interrupted", "interrupted"]
    assert max(outcome.seconds for outcome in outcomes) < 60
