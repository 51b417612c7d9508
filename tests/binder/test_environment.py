"""What Binder installs is what the package and its notebooks ask for, in the same ranges."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from ecgscan_lab.nb.execute import LEAN_MEMORY

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The same package under conda-forge's name and under pip's.
PIP_NAMES = {"pytorch-cpu": "torch", "matplotlib-base": "matplotlib"}
FOR_BINDER_ONLY = {"python", "pip", "jupyterlab", "peft"}  # peft and umap-learn: notebooks 04 and 06


def name_and_range(requirement: str) -> tuple[str, str]:
    name, wanted = re.fullmatch(r"([\w.-]+)\s*(.*)", requirement.strip()).groups()
    return PIP_NAMES.get(name, name).lower(), wanted


def installed() -> dict[str, str]:
    """Package -> range, of conda's list and of what postBuild gives to pip."""
    conda = yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())["dependencies"]
    lines = (ROOT / "binder" / "postBuild").read_text().splitlines()
    words = next(line for line in lines if "pip install" in line and "-e ." not in line).split("--no-cache-dir")[1]
    return dict(map(name_and_range, [*conda, *words.replace('"', "").split()]))


def asked_for() -> dict[str, str]:
    extras = PROJECT["optional-dependencies"]
    return dict(map(name_and_range, [*PROJECT["dependencies"], *extras["notebooks"], *extras["text"]]))


def test_every_package_that_the_notebooks_need_is_there_in_the_projects_range():
    found = installed()
    assert {name: found.get(name, "missing") for name in asked_for()} == asked_for()


def test_nothing_else_is_there():
    assert set(installed()) - set(asked_for()) == FOR_BINDER_ONLY
    towers = dict(map(name_and_range, PROJECT["optional-dependencies"]["towers"]))
    assert installed()["peft"] == towers["peft"]


@pytest.mark.parametrize("package", ["torch", "opencv-python-headless"])
def test_no_build_for_a_gpu_or_a_window_slips_in(package):
    conda = (ROOT / "binder" / "environment.yml").read_text()
    assert package in installed()
    assert not re.search(r"cuda|^\s*- pytorch$|^\s*- opencv$|py-opencv", conda, re.MULTILINE)


def test_the_package_itself_is_installed_without_its_dependencies():
    assert re.search(r"pip install .*--no-deps -e \.", (ROOT / "binder" / "postBuild").read_text())


def test_a_session_handles_memory_as_the_kernels_of_notebooks_run_do():
    start = ROOT / "binder" / "start"
    assert os.access(start, os.X_OK)
    printed = subprocess.run([start, "env"], capture_output=True, text=True, check=True, timeout=30).stdout
    assert {f"{name}={value}" for name, value in LEAN_MEMORY.items()} <= set(printed.splitlines())
