from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import nbformat.v4 as nbf
import pytest

from ecgscan_lab import __version__, cli
from ecgscan_lab.errors import ArgumentError

ROOT = Path(__file__).resolve().parents[1]

PARAMETERS = 'data = "synthetic"\nprofile = "quick"\nseed = 0\nout = "."'
WRITE_RESULTS = """
import json, pathlib
results = {"data": data, "profile": profile, "seed": seed, "records": {"train": 3},
    "skipped_records": [{"record_id": "r7"}],
    "linear_probe": {"form": {"macro_auroc": 80.0, "ci95": [70.0, 90.0], "random": {"macro_auroc": 51.0}}}}
pathlib.Path(out, "results.json").write_text(json.dumps(results))
"""
NEVER_STOP = """
import pathlib, time
(pathlib.Path(out) / "started").touch()
while True:
    try:
        time.sleep(120)
    except KeyboardInterrupt:
        (pathlib.Path(out) / "asked").touch()
"""
TRAIN_UNTIL_INTERRUPTED = """
import pathlib, time
(pathlib.Path(out) / "started").touch()
try:
    time.sleep(120)
except KeyboardInterrupt:
    (pathlib.Path(out) / "checkpoint").mkdir()
    (pathlib.Path(out) / "checkpoint" / "model.safetensors").touch()
    raise
"""


def write_tour(path: Path, *code: str) -> Path:
    cells = [nbf.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), *map(nbf.new_code_cell, code)]
    nbformat.write(nbf.new_notebook(cells=cells), path)
    return path


def test_version_and_help(capsys):
    for argument, expected in (("--version", __version__), ("--help", "tour")):
        with pytest.raises(SystemExit) as stopped:
            cli.main([argument])
        assert stopped.value.code == 0
        assert expected in capsys.readouterr().out


def test_data_folders_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my: records").mkdir()
    assert cli.absolute_data("cohort:my: records") == f"cohort:{tmp_path.resolve() / 'my: records'}"


@pytest.mark.parametrize("data", ["", "ptb", "ptbxl", "ptbxl:", "cohort:no-such-folder", "synthetic:x", "/tmp"])
def test_other_data_is_refused_on_stderr_without_a_traceback(data, capsys, tmp_path):
    assert cli.main(["tour", "--data", data, "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ecgscan-lab: ")
    assert "Traceback" not in shown.err


def test_debug_shows_where_an_error_came_from(tmp_path):
    with pytest.raises(ArgumentError):
        cli.main(["tour", "--debug", "--data", "nothing", "--out", str(tmp_path)])


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ArgumentError, match="output is a file"):
        cli.run_tour(out=tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def test_outputs_of_different_data_lie_apart():
    names = {str(cli.default_out(data, "smoke")) for data in ("synthetic", "ptbxl:/a/b", "cohort:/a/b", "cohort:/a/c")}
    assert len(names) == 4


def test_notebooks_verb_builds_and_checks(tmp_path, capsys):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "00_a.py").write_text("# %%\n1\n")
    arguments = ["notebooks", "--folder", str(tmp_path)]
    assert cli.main([*arguments, "check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert cli.main([*arguments, "build"]) == 0
    assert cli.main([*arguments, "check"]) == 0


def test_render_draws_what_its_options_say(tmp_path, capsys):
    out = tmp_path / "pages"
    words = "--page a4 --layout 6x2 --rhythm V1,II --gain 5 --grid blue --pulses right --degrade scan --size 90 120"
    assert cli.main(["render", "synthetic:2", str(out), *words.split(), "--format", "jpeg", "--seed", "4"]) == 0
    assert "2 pages in" in capsys.readouterr().out
    settings = json.loads((out / "render.json").read_text())["settings"]
    assert (settings["degrade"], settings["size"], settings["seed"]) == ("scan", [90, 120], 4)
    page = settings["page"]
    assert (page["width_mm"], page["layout"], page["rhythm"], page["gain_mm_per_mv"]) == (297.0, "6x2", ["V1", "II"], 5)
    assert (page["grid"], page["pulses"]) == ("blue", "right")
    assert sorted(path.name for path in out.glob("0*")) == ["000000.jpg", "000000.json", "000001.jpg", "000001.json"]


def test_render_tells_by_its_status_what_happened(tmp_path, capsys, monkeypatch):
    records = tmp_path / "records"
    records.mkdir()
    (records / "broken.hea").write_text("broken 12 100 1000\n")
    out = str(tmp_path / "pages")
    assert cli.main(["render", str(records), out]) == 1
    assert "1 recordings left out" in capsys.readouterr().out
    assert cli.main(["render", str(records), out, "--gain", "20"]) == 2
    assert "different: page.gain_mm_per_mv" in capsys.readouterr().err
    assert cli.main(["render", "synthetic:1", str(tmp_path / "x"), "--speed", "50"]) == 2
    assert "strip_s" in capsys.readouterr().err

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ecgscan_lab.render.export.render_dataset", interrupted)
    assert cli.main(["render", "synthetic:1", out]) == cli.INTERRUPTED
    assert "run the same command again" in capsys.readouterr().err


@pytest.mark.notebooks
def test_a_tour_leaves_results_notebook_and_report(tmp_path, monkeypatch, capsys):
    notebook = write_tour(tmp_path / "00_tour.ipynb", WRITE_RESULTS)
    monkeypatch.setattr(cli, "tour_notebook", lambda: notebook)
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert cli.main(["tour", "--profile", "smoke", "--seed", "3", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["00_tour.ipynb", "notes.txt", "report.html", "results.json"]
    results = json.loads((out / "results.json").read_text())
    assert (results["profile"], results["seed"]) == ("smoke", 3)
    assert results["seconds"] > 0
    assert results["peak_memory_mb"] > 1
    assert results["command"] == f"ecgscan-lab tour --data synthetic --profile smoke --seed 3 --out {out}"
    shown = capsys.readouterr().out
    assert "records         train 3" in shown
    assert "left out        1, listed in the report" in shown
    assert "linear_probe    form, pretrained: macro AUROC 80.0 [70.0, 90.0]" in shown
    assert "linear_probe    form, random: macro AUROC 51.0\n" in shown
    assert str(out / "report.html") in shown


def test_a_reader_that_has_enough_ends_a_command_without_a_traceback():
    command = [sys.executable, "-m", "ecgscan_lab.cli", "pretrain", "--recipe", "paper", "--print"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait() == 141


def test_another_broken_pipe_is_not_taken_for_it(monkeypatch):
    def broken(args, say):
        raise BrokenPipeError("a worker is gone")

    monkeypatch.setattr(cli, "run_pretrain", broken)
    with pytest.raises(BrokenPipeError, match="worker"):
        cli.main(["pretrain", "--recipe", "paper", "--print"])


def start_tour(notebook: Path, out: Path) -> subprocess.Popen:
    """The command line in a process group of its own, running this notebook as its tour."""
    program = f"""
import pathlib, sys
from ecgscan_lab import cli
cli.tour_notebook = lambda: pathlib.Path({str(notebook)!r})
sys.exit(cli.main(["tour", "--out", {str(out)!r}]))
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", program]
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert path.exists()


needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")


@pytest.mark.notebooks
@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_reaches_the_training_cell_which_saves(tmp_path, number):
    notebook, out = write_tour(tmp_path / "00_tour.ipynb", TRAIN_UNTIL_INTERRUPTED), tmp_path / "out"
    with start_tour(notebook, out) as process:
        wait_for(out / "started", process)
        os.killpg(process.pid, number)
        _, shown = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED
    assert f"the last checkpoint lies in {out.resolve() / 'checkpoint'}" in shown
    assert "Traceback" not in shown
    assert (out / "00_tour.ipynb").is_file()


@pytest.mark.notebooks
@needs_signals
def test_a_second_interrupt_ends_a_cell_that_will_not_stop(tmp_path):
    notebook, out = write_tour(tmp_path / "00_tour.ipynb", NEVER_STOP), tmp_path / "out"
    with start_tour(notebook, out) as process:
        wait_for(out / "started", process)
        os.killpg(process.pid, signal.SIGINT)
        wait_for(out / "asked", process)
        os.killpg(process.pid, signal.SIGINT)
        _, shown = process.communicate(timeout=60)
    assert process.returncode == cli.INTERRUPTED
    assert "no checkpoint was due yet" in shown


def test_ctrl_c_outside_a_loop_ends_in_a_sentence_and_130(monkeypatch, capsys):
    def interrupted(args, say):
        raise KeyboardInterrupt

    monkeypatch.setattr("ecgscan_lab.cli.run_data", interrupted)
    assert cli.main(["data", "list"]) == 130
    assert capsys.readouterr().err == "ecgscan-lab: interrupted\n"


def test_a_recipe_is_printed_without_data(capsys):
    assert cli.main(["pretrain", "--recipe", "paper", "--print"]) == 0
    assert "recipe paper" in capsys.readouterr().out
    assert cli.main(["pretrain", "--recipe", "paper"]) == 2
    assert "--data is missing" in capsys.readouterr().err


def test_features_are_not_written_under_another_format_s_name(tmp_path, capsys):
    assert cli.main(["embed", "synthetic:2", "--checkpoint", "none", "--out", str(tmp_path / "x.csv")]) == 2
    assert ".parquet" in capsys.readouterr().err
