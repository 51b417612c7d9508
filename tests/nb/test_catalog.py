from __future__ import annotations

import pytest

from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.nb.catalog import chosen_notebooks, notebooks_folder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "solutions").mkdir()
    for name in ("02_b.ipynb", "00_a.ipynb", "solutions/02_b.ipynb", "notes.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_editions_are_named_apart_and_come_in_order(folder):
    assert list(chosen_notebooks(folder)) == ["00_a", "02_b"]
    assert list(chosen_notebooks(folder, edition="solutions")) == ["solutions/02_b"]
    both = chosen_notebooks(folder, ["02"], "both")
    assert both == {"02_b": folder / "02_b.ipynb", "solutions/02_b": folder / "solutions" / "02_b.ipynb"}


def test_what_is_not_there_is_refused(folder, tmp_path):
    with pytest.raises(ArgumentError, match="no notebook begins with '01'"):
        chosen_notebooks(folder, ["02", "01"])
    with pytest.raises(ArgumentError, match="no edition"):
        chosen_notebooks(folder, edition="teacher")
    with pytest.raises(NotebookError, match="no notebooks in this folder"):
        chosen_notebooks(tmp_path / "none")


def test_the_folder_here_comes_first_then_the_package_s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert any(path.name == "00_tour.ipynb" for path in notebooks_folder().glob("*.ipynb"))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_mine.ipynb").touch()
    assert [path.name for path in notebooks_folder().glob("*.ipynb")] == ["01_mine.ipynb"]
