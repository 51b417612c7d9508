"""House rules that hold for every tracked file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ecgscan_lab
from ecgscan_lab.nb.build import stale_notebooks
from ecgscan_lab.nb.execute import read_notebook
from ecgscan_lab.nb.parameters import declared_parameters

pytestmark = pytest.mark.contracts

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Spelled in halves, so that this file does not trip over itself.
REGISTRIES = [
    a + b for a, b in (("pypi", ".org"), ("pythonhosted", ".org"), ("anaconda", ".org"), ("download.pytorch", ".org"))
]
MACHINE_PATHS = re.compile(r"(?<![\w./$}-])/(home|Users|root|work|mnt|data)/[\w.-]+")


def tracked_texts() -> dict[str, str]:
    """Every text file that git tracks, or would: new files that nobody has added yet count too."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so there is no list of tracked files")
    names = [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]
    blobs = {name: (ROOT / name).read_bytes() for name in names}
    return {name: blob.decode("utf-8") for name, blob in blobs.items() if b"\0" not in blob[:8192]}


def test_one_version_everywhere():
    version = ecgscan_lab.__version__
    assert re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1] == version
    assert re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == version
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]


def test_no_file_names_a_package_registry():
    found = [f"{name}: {host}" for name, text in tracked_texts().items() for host in REGISTRIES if host in text]
    assert found == []


def test_no_file_names_a_place_on_one_machine():
    found = [f"{name}: {hit[0]}" for name, text in tracked_texts().items() for hit in MACHINE_PATHS.finditer(text)]
    assert found == []


def test_nothing_large_and_no_recording_is_tracked():
    names = tracked_texts()
    assert [name for name in names if (ROOT / name).stat().st_size > 500_000] == []
    assert [name for name in names if name.endswith((".hea", ".dat", ".mat"))] == []


def test_core_dependencies_are_ranges():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [
        *project["dependencies"],
        *(line for lines in project["optional-dependencies"].values() for line in lines),
    ]
    assert [line for line in listed if "==" in line or "://" in line] == []


def test_constraints_pin_only_what_the_ranges_allow():
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    ranges = {re.sub(r"[-_.]+", "-", Requirement(line).name): Requirement(line).specifier for line in lines}
    pins = [
        Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"
    ]
    for pin in pins:
        (version,) = (specifier.version for specifier in pin.specifier)
        assert version in ranges.get(re.sub(r"[-_.]+", "-", pin.name), pin.specifier), pin
    missing = set(ranges) - {re.sub(r"[-_.]+", "-", pin.name) for pin in pins} - {"ecgscan-lab", "filelock", "psutil"}
    assert missing == set()


def test_notebooks_are_built_from_their_sources():
    assert NOTEBOOKS, "notebooks/ holds no notebook"
    assert stale_notebooks(ROOT / "notebooks") == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_hold_no_outputs_and_literal_parameters(path):
    notebook = read_notebook(path)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in code if cell.outputs or cell.execution_count is not None] == []
    declared = declared_parameters(notebook, path)
    assert "profile" in declared
    assert len(declared) <= 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_teaching_cells_stay_short(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    long = [len("".join(cell["source"]).splitlines()) for cell in cells if cell["cell_type"] == "code"]
    assert [n for n in long if n > 20] == []


def test_the_command_line_answers():
    command = [sys.executable, "-m", "ecgscan_lab.cli", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "tour" in done.stdout
