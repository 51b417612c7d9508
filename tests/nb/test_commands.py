from __future__ import annotations

import json
from pathlib import Path

import nbformat
import nbformat.v4 as nbf
import pytest

from ecgscan_lab import cli
from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.nb.commands import typed_parameters

RECORD = "from ecgscan_lab.nb.results import record_result\nrecord_result(seen=f'{seed!r} {profile!r}')\n1 / (seed - 5)"


def write_notebook(path: Path, parameters: str, *code: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    tagged = nbf.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    title = nbf.new_markdown_cell(f"# Title of {path.stem}")
    nbformat.write(nbf.new_notebook(cells=[title, tagged, *map(nbf.new_code_cell, code)]), path)
    return path


@pytest.fixture
def folder(tmp_path):
    seeded = "profile = 'quick'\nseed = 0"
    write_notebook(tmp_path / "01_a.ipynb", seeded, RECORD)
    write_notebook(tmp_path / "02_b.ipynb", f"{seeded}\ndata = 'synthetic'", RECORD)
    write_notebook(tmp_path / "solutions" / "02_b.ipynb", f"{seeded}\ndata = 'synthetic'", RECORD)
    return tmp_path


def notebooks(folder, *words):
    return cli.main(["notebooks", words[0], "--folder", str(folder), "--out", str(folder / "out"), *words[1:]])


@pytest.mark.notebooks
def test_run_leaves_results_and_a_gallery_and_tells_by_its_status_what_failed(folder, capsys):
    words = ["run", "--profile", "smoke", "-p", "seed", "5", "--edition", "both", "--workers", "2", "--only", "02"]
    assert notebooks(folder, *words) == 1
    shown = capsys.readouterr().out
    assert shown.count("failed    ") == 2
    assert "ZeroDivisionError" in shown
    results = json.loads((folder / "out" / "results.json").read_text())
    assert [row["name"] for row in results["notebooks"]] == ["02_b", "solutions/02_b"]
    assert [row["results"] for row in results["notebooks"]] == [{"seen": "5 'smoke'"}] * 2
    assert (results["ok"], results["counts"]) == (False, {"passed": 0, "failed": 2, "interrupted": 0, "not run": 0})
    assert results["command"].startswith("ecgscan-lab notebooks run --only 02 --profile smoke -p seed 5 --folder")
    assert "Title of 02_b" in (folder / "out" / "index.html").read_text()


@pytest.mark.notebooks
def test_a_memory_limit_is_each_notebooks_own_and_part_of_the_command(folder, capsys):
    write_notebook(folder / "03_c.ipynb", "profile = 'quick'\nseed = 0", "hog = bytearray(b'x' * (400 * 2**20))")
    assert notebooks(folder, "run", "--only", "03", "02", "--workers", "1", "--max-memory-mb", "300") == 1
    results = json.loads((folder / "out" / "results.json").read_text())
    assert {row["name"]: row["status"] for row in results["notebooks"]} == {"02_b": "passed", "03_c": "failed"}
    assert "MiB of memory" in results["notebooks"][1]["error"]
    assert "--max-memory-mb 300" in results["command"]


@pytest.mark.notebooks
def test_sweep_prints_and_writes_its_table(folder, capsys):
    assert notebooks(folder, "sweep", "01", "--grid", "seed=0,1", "--profile", "smoke", "--workers", "2") == 0
    shown = capsys.readouterr().out
    assert "0  passed  0 'smoke'" in shown
    assert "1  passed  1 'smoke'" in shown
    assert (folder / "out" / "sweep.csv").read_text().startswith("seed,status,seen,seconds,peak_memory_mb\n0,passed,")
    assert "1/01_a, seed 0" in (folder / "out" / "index.html").read_text()


@pytest.mark.parametrize(
    "words", [["05", "06"], ["--only", "05", "06"], ["--only", "05", "--workers", "2", "--only", "06"]], ids=" ".join
)
def test_run_takes_the_beginnings_of_names_with_the_option_and_without_it(monkeypatch, words):
    seen = []
    monkeypatch.setattr(cli, "run_notebooks_verb", lambda args, say: seen.append(args.only) or 0)
    for line in (words, []):
        assert cli.main(["notebooks", "run", *line]) == 0
    assert seen == [["05", "06"], []]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "7"], "no notebook begins with '7'"),
        (["run", "-p", "sede", "1"], "no parameter 'sede'"),
        (["run", "-p", "data", "x"], "--only 02"),
        (["run", "-p", "seed", "half"], "a str"),
        (["run", "-p", "profile", "fulll"], "did you mean 'full'?"),
        (["sweep", "01", "--grid", "profile=smoke,wrong"], "no profile 'wrong'"),
        (["run", "-p", "seed", "1", "-p", "seed", "2"], "given twice"),
        (["run", "--only", "7"], "no notebook begins with '7'"),
        (["run", "--only", ""], "no notebook begins with ''"),
        (["run", "--workers", "0"], "0 notebooks at a time"),
        (["run", "--timeout", "0"], "time limit"),
        (["sweep", "0", "--grid", "seed=1"], "begins several"),
        (["sweep", "01", "--grid", "seed"], "NAME=VALUE"),
        (["sweep", "01", "--grid", "seed=1,,2"], "NAME=VALUE"),
        (["sweep", "01", "--grid", "sede=1"], "no parameter 'sede'"),
        (["sweep", "01", "--grid", "seed=1", "--grid", "seed=2"], "two grids"),
        (["sweep", "01", "--grid", "seed=1", "-p", "seed", "2"], "one place only"),
        (["sweep", "none.ipynb", "--grid", "seed=1"], "not a readable notebook"),
    ],
)
def test_a_mistake_is_refused_before_anything_runs(folder, capsys, words, said):
    assert notebooks(folder, *words) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_a_notebook_without_parameters_is_refused(folder, capsys):
    nbformat.write(nbf.new_notebook(cells=[nbf.new_code_cell("1")]), folder / "03_c.ipynb")
    assert notebooks(folder, "run") == 2
    assert "0 cells are tagged 'parameters'" in capsys.readouterr().err


def test_words_become_values_of_the_types_of_the_defaults(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb", "n = 1\nrate = 0.5\nname = 'x'\nfast = False\nlimit = None")
    words = [("n", "7"), ("rate", "2"), ("name", "7"), ("fast", "true"), ("limit", "8")]
    assert typed_parameters(words, {"a": path}) == {
        "a": {"n": 7, "rate": 2, "name": "7", "fast": True, "limit": 8},
    }
    for name, word in (("n", "0.5"), ("n", "True"), ("rate", "fast"), ("fast", "1")):
        with pytest.raises(NotebookError, match=f"parameter '{name}' is"):
            typed_parameters([(name, word)], {"a": path})
    with pytest.raises(ArgumentError, match="given twice"):
        typed_parameters([("profile", "quick")], {"a": path}, "smoke")
