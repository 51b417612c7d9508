from __future__ import annotations

import json
from typing import get_args

import pytest

from ecgscan_lab.errors import NotebookError
from ecgscan_lab.nb.build import Edition, build_notebooks, built_notebook, stale_notebooks

SOURCE = """# %% [markdown]
# # Title

# %% tags=["parameters"]
seed = 0

# %%
print(seed)

# %%
print(seed)
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "00_a.py").write_text(SOURCE)
    return tmp_path


def test_building_twice_gives_the_same_bytes(folder):
    assert built_notebook(folder / "src" / "00_a.py") == built_notebook(folder / "src" / "00_a.py")


def test_built_notebooks_hold_no_outputs_and_unique_ids(folder):
    notebook = json.loads(built_notebook(folder / "src" / "00_a.py"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[], [], []]
    assert [cell["metadata"].get("tags") for cell in code] == [["parameters"], None, None]
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids) == 4


def test_inserting_a_cell_keeps_the_other_ids(folder):
    source = folder / "src" / "00_a.py"
    before = [cell["id"] for cell in json.loads(built_notebook(source))["cells"]]
    source.write_text(SOURCE.replace("# %%\n", "# %%\nx = 1\n\n# %%\n", 1))
    after = [cell["id"] for cell in json.loads(built_notebook(source))["cells"]]
    assert [name for name in after if name in before] == before
    assert len(after) == len(before) + 1


def test_stale_until_built_and_again_after_an_edit(folder):
    target = folder / "00_a.ipynb"
    assert stale_notebooks(folder) == [target]
    assert build_notebooks(folder) == [target]
    assert stale_notebooks(folder) == []
    assert build_notebooks(folder) == []
    target.write_text(target.read_text().replace("Title", "Titel"))
    assert stale_notebooks(folder) == [target]


def test_a_notebook_without_a_source_is_refused(folder):
    (folder / "07_stray.ipynb").write_text("{}")
    with pytest.raises(NotebookError, match="without a source"):
        stale_notebooks(folder)


def test_sources_that_are_missing_or_no_notebooks_are_refused(tmp_path):
    with pytest.raises(NotebookError, match="no notebook sources"):
        stale_notebooks(tmp_path)
    with pytest.raises(NotebookError, match="no notebook source"):
        built_notebook(tmp_path / "none.py")
    (tmp_path / "plain.py").write_text("x = 1\n")
    with pytest.raises(NotebookError, match="no cells"):
        built_notebook(tmp_path / "plain.py")


EXERCISES = """# %% [markdown]
# # Title

# %% tags=["parameters"]
seed = 0

# %% tags=["exercise"]
def double(x):
    raise NotImplementedError("exercise 99.1: double a number")

# %%
check_exercise("99.1", double)

# %% tags=["solution"]
def double(x):
    return 2 * x

# %%
print(seed)
"""


def cells_of(text):
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]


def test_the_students_edition_keeps_the_stub_and_folds_the_solution_away(folder):
    source = folder / "src" / "00_a.py"
    source.write_text(EXERCISES)
    cells = cells_of(built_notebook(source))
    assert [kind for kind, _ in cells] == ["markdown", "code", "code", "code", "markdown", "code"]
    assert "NotImplementedError" in cells[2][1]
    assert cells[4][1].startswith(
        "<details><summary>Solution</summary>\n\n```python\ndef double(x):\n    return 2 * x\n```"
    )
    assert not [text for kind, text in cells if kind == "code" and "return 2" in text]


def test_the_solutions_edition_has_the_solution_in_place_of_the_stub(folder):
    source = folder / "src" / "00_a.py"
    source.write_text(EXERCISES)
    cells = cells_of(built_notebook(source, "solutions"))
    assert [kind for kind, _ in cells] == ["markdown", "code", "code", "code", "code"]
    assert "return 2 * x" in cells[2][1]
    assert "check_exercise" in cells[3][1]
    assert "NotImplementedError" not in str(cells)


def test_a_link_leads_to_an_edition_that_exists(folder):
    links = "# # Title [00_a](00_a.ipynb) [01_b](01_b.ipynb) [09_z](09_z.ipynb)"
    source = folder / "src" / "01_b.py"
    source.write_text(EXERCISES.replace("# # Title", links, 1))
    found = {edition: cells_of(built_notebook(source, edition))[0][1] for edition in get_args(Edition)}
    assert found["student"] == links.removeprefix("# ")
    assert found["solutions"] == links.removeprefix("# ").replace("(00_a", "(../00_a")


def test_both_editions_are_built_and_go_stale_and_sources_without_exercises_have_one(folder):
    (folder / "src" / "01_b.py").write_text(EXERCISES)
    student, solutions = folder / "01_b.ipynb", folder / "solutions" / "01_b.ipynb"
    assert build_notebooks(folder) == [folder / "00_a.ipynb", student, solutions]
    assert stale_notebooks(folder) == []
    assert solutions.read_text() == built_notebook(folder / "src" / "01_b.py", "solutions")
    solutions.write_text(solutions.read_text().replace("2 * x", "3 * x"))
    assert stale_notebooks(folder) == [solutions]
    (folder / "src" / "01_b.py").write_text(SOURCE)
    with pytest.raises(NotebookError, match="without a source"):
        stale_notebooks(folder)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('tags=["exercise"]', "", "a solution without an exercise"),
        ('tags=["solution"]', "", "an exercise without a solution"),
        ("# %%\ncheck", '# %% tags=["exercise"]\ncheck', "an exercise without a solution"),
        ("# %%\nprint", '# %% tags=["solution"]\nprint', "a solution without an exercise"),
    ],
)
def test_exercises_and_solutions_pair_up(folder, old, new, match):
    source = folder / "src" / "00_a.py"
    source.write_text(EXERCISES.replace(old, new))
    for edition in ("student", "solutions"):
        with pytest.raises(NotebookError, match=match):
            built_notebook(source, edition)
