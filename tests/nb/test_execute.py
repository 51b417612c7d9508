from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import nbformat.v4 as nbf
import psutil
import pytest

from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.nb.execute import read_notebook, run_notebook


def write_notebook(path: Path, *code: str) -> Path:
    """A notebook with `seed = 0` as its parameters, then these cells."""
    cells = [nbf.new_code_cell("seed = 0", metadata={"tags": ["parameters"]}), *map(nbf.new_code_cell, code)]
    nbformat.write(nbf.new_notebook(cells=cells), path)
    return path


@pytest.mark.notebooks
def test_the_kernel_is_this_interpreter_and_gets_what_was_given(tmp_path):
    report = """
import json, os, sys
block = bytearray(b"x" * (200 * 2**20))
del block
print(json.dumps([sys.executable, seed, os.environ["ECGSCAN_PROGRESS"], os.environ["EXTRA"]]))
"""
    notebook = write_notebook(tmp_path / "a {seed}.ipynb", report)
    executed = run_notebook(notebook, tmp_path / "out", {"seed": 7}, kernel_env={"EXTRA": "ü"})
    assert executed.path == (tmp_path / "out" / notebook.name).resolve()
    printed = json.loads(read_notebook(executed.path).cells[-1].outputs[0].text)
    assert printed == [sys.executable, 7, "plain", "ü"]
    assert executed.parameters == {"seed": 7}
    assert executed.seconds > 0
    assert executed.peak_memory_mb > 200  # although the block was gone long before the end
    assert "outputs" not in notebook.read_text() or not read_notebook(notebook).cells[-1].outputs


@pytest.mark.notebooks
def test_a_failed_cell_is_named_and_the_copy_kept(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", "print('before')", "ratio = 1 / seed", "print('never')")
    with pytest.raises(
        NotebookError, match=r"cell 2 of a\.ipynb failed: ZeroDivisionError: division by zero"
    ) as caught:
        run_notebook(notebook, tmp_path / "out")
    assert caught.value.field == "ratio = 1 / seed"
    kept = read_notebook(caught.value.file)
    texts = [output.get("text", output.get("ename")) for cell in kept.cells for output in cell.get("outputs", [])]
    assert texts == ["before\n", "ZeroDivisionError"]


@pytest.mark.notebooks
def test_a_time_limit_holds_for_the_whole_notebook(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", "import time; time.sleep(60)")
    with pytest.raises(NotebookError, match=r"cell \d of a\.ipynb was running when the time limit passed"):
        run_notebook(notebook, tmp_path / "out", timeout_s=4)


@pytest.mark.notebooks
def test_a_kernel_that_dies_is_reported_and_not_waited_for(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", "import os; os._exit(9)")
    with pytest.raises(NotebookError, match=r"the kernel died in cell 1 of a\.ipynb") as caught:
        run_notebook(notebook, tmp_path / "out", timeout_s=60)
    assert Path(caught.value.file).is_file()


@pytest.mark.notebooks
def test_the_copy_is_saved_now_and_then_and_whole_at_the_end(tmp_path, monkeypatch):
    import papermill.engines

    from ecgscan_lab.nb import engine

    written = []
    save = papermill.engines.write_ipynb
    monkeypatch.setattr(papermill.engines, "write_ipynb", lambda nb, path: (written.append(path), save(nb, path)))
    notebook = write_notebook(tmp_path / "a.ipynb", *[f"print({k})" for k in range(12)])
    counts = []
    for every_s in (3600.0, 0.0):
        written.clear()
        monkeypatch.setattr(engine, "SAVE_EVERY_S", every_s)
        executed = run_notebook(notebook, tmp_path / "out")
        counts.append(len(written))
        assert read_notebook(executed.path).cells[-1].outputs[0].text == "11\n"
    seldom, always = counts
    assert seldom == 2  # before the first cell and after the last
    assert always >= 24  # at both ends of every cell


@pytest.mark.notebooks
def test_a_kernel_that_does_not_start_says_why(tmp_path, monkeypatch):
    (tmp_path / "ipykernel_launcher.py").write_text("raise ImportError('libzmq.so.5 is not there')")
    notebook = write_notebook(tmp_path / "a.ipynb", "print('never')")
    with pytest.raises(NotebookError, match=r"the kernel for a\.ipynb did not start") as caught:
        run_notebook(notebook, tmp_path / "out", kernel_env={"PYTHONPATH": str(tmp_path)})
    assert caught.value.fix.endswith("ImportError: libzmq.so.5 is not there")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(NotebookError, match=r"did not start: .*no-python"):
        run_notebook(notebook, tmp_path / "out")


@pytest.mark.notebooks
def test_the_last_words_of_a_kernel_are_those_of_the_cell_in_which_it_dies(tmp_path):
    say = "import os; os.write(2, b'{}\\n')"
    cells = [say.format("well"), f"{say.format('ill')}; import time; time.sleep(1); os.kill(os.getpid(), 9)"]
    with pytest.raises(NotebookError, match=r"the kernel died in cell 2") as caught:
        run_notebook(write_notebook(tmp_path / "a.ipynb", *cells), tmp_path / "out")
    assert caught.value.fix.endswith("last words:\n    ill")


@pytest.mark.notebooks
def test_a_kernel_that_complains_while_it_shuts_down_is_not_heard(tmp_path, capfd):
    late = "import atexit, os\natexit.register(os.write, 2, b'Traceback of a late callback')"
    run_notebook(write_notebook(tmp_path / "a.ipynb", late), tmp_path / "out")
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.notebooks
def test_a_memory_limit_ends_the_kernel_and_what_it_started_and_names_the_cell(tmp_path):
    child = "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])"
    note = "open(out + '/pid', 'w').write(str(child.pid))".replace("out", repr(str(tmp_path)))
    hog = "hog = bytearray(b'x' * (400 * 2**20))\nimport time; time.sleep(60)"
    notebook = write_notebook(tmp_path / "a.ipynb", f"{child}\n{note}", hog)
    with pytest.raises(NotebookError, match=r"cell 2 of a\.ipynb took \d+ MiB of memory") as caught:
        run_notebook(notebook, tmp_path / "out", max_memory_mb=300, timeout_s=60)
    assert (caught.value.expected, caught.value.field) == ("at most 300 MiB", "hog = bytearray(b'x' * (400 * 2**20))")
    assert not still_runs(int((tmp_path / "pid").read_text()))
    kept = read_notebook(caught.value.file)
    assert [cell.execution_count for cell in kept.cells if cell.cell_type == "code"][:2] == [1, 2]


@pytest.mark.notebooks
def test_a_memory_limit_below_what_a_kernel_takes_to_start_is_told_as_such(tmp_path):
    with pytest.raises(NotebookError, match=r"(the start|cell \d) of a\.ipynb took \d+ MiB of memory, 12 are allowed"):
        run_notebook(write_notebook(tmp_path / "a.ipynb", "print()"), tmp_path / "out", max_memory_mb=12)


@pytest.mark.notebooks
def test_a_memory_limit_that_is_not_reached_changes_nothing(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb", "print('done')")
    executed = run_notebook(notebook, tmp_path / "out", max_memory_mb=4096)
    assert read_notebook(executed.path).cells[-1].outputs[0].text == "done\n"


def still_runs(pid: int) -> bool:
    """Whether a process lives; one that has ended and was not fetched yet does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_wrong_parameter_is_refused_before_anything_is_written(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb")
    with pytest.raises(NotebookError, match="no parameter 'sede'"):
        run_notebook(notebook, tmp_path / "out", {"sede": 1})
    with pytest.raises(NotebookError, match="'seed' is '1', a str"):
        run_notebook(notebook, tmp_path / "out", {"seed": "1"})
    assert not (tmp_path / "out").exists()


def test_the_notebook_itself_is_never_overwritten(tmp_path):
    notebook = write_notebook(tmp_path / "a.ipynb")
    with pytest.raises(ArgumentError, match="would replace"):
        run_notebook(notebook, tmp_path)


@pytest.mark.parametrize(
    "text", [None, "", "{", "[]", '{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}']
)
def test_what_is_no_notebook_is_refused(tmp_path, text):
    path = tmp_path / "a.ipynb"
    if text is not None:
        path.write_text(text)
    with pytest.raises(NotebookError, match="not a readable notebook") as caught:
        run_notebook(path, tmp_path / "out")
    assert caught.value.file == str(path)


def test_an_address_is_no_notebook(tmp_path):
    with pytest.raises(NotebookError, match="not a readable notebook"):
        run_notebook("https://example.org/a.ipynb", tmp_path / "out")
