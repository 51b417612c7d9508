"""What every numbered notebook promises its reader, read from the notebooks' text."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ecgscan_lab.nb.execute import read_notebook
from ecgscan_lab.nb.exercises import registered_exercises
from ecgscan_lab.nb.parameters import declared_parameters
from ecgscan_lab.nb.quizzes import questions_of, quizzed_notebooks

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
QUIZZED = [path for path in NOTEBOOKS if path.name[:2] in quizzed_notebooks()]
SOLVED = sorted((FOLDER / "solutions").glob("*.ipynb"))
# The last word of a recorded name is its unit, or a word for what has none.
UNITS = {"percent", "points", "nats", "db", "mv", "mm", "s", "rank", "count", "trustworthiness"}


def read(path):
    return read_notebook(path).cells


def parse(source: str) -> ast.Module:
    """A code cell as Python; lines for IPython are left out."""
    return ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.MULTILINE))


def names_set(source: str) -> set[str]:
    """Names that a cell leaves behind: set at its top level, in a function's own body they are gone afterwards."""
    found: set[str] = set()
    waiting: list[ast.AST] = [*parse(source).body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif not isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            waiting += ast.iter_child_nodes(node)
    return found


def names_read(source: str) -> set[str]:
    """Names that a cell reads."""
    return {
        node.id for node in ast.walk(parse(source)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_opens_with_its_question_badges_cost_and_aims_and_ends_with_limits(path):
    cells = read(path)
    first, last = cells[0].source, "\n".join(cell.source for cell in cells[-2:])
    assert first.startswith("# ")
    assert f"notebooks/{path.name}" in first
    for wanted in ("colab-badge.svg", "badge_logo.svg", "Time and memory", "You will learn to", "You need", "?**"):
        assert wanted in first, wanted
    for wanted in ("take away", "Limits", "Not for clinical use", "References", "arXiv", "Next"):
        assert wanted in last, wanted


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_its_code_and_its_tests_are_a_click_away(path):
    root = Path(__file__).parents[2]
    opening = read_notebook(path).cells[0].source
    (line,) = [line for line in opening.splitlines() if line.startswith("| **The code** |")]
    files = re.findall(r"\]\(https://github\.com/ecgscan-lab/ecgscan_lab/blob/main/([^)]+)\)", line)
    assert any(name.startswith("ecgscan_lab/") for name in files)
    assert any(name.startswith("tests/") for name in files)
    assert [name for name in files if not (root / name).is_file()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_set_up_comes_first_then_the_parameters(path):
    code = [cell for cell in read(path) if cell.cell_type == "code"]
    assert "setup_notebook(" in code[0].source
    assert "parameters" in code[1].metadata.get("tags", [])
    assert re.search(r'^profile = "quick"', code[1].source, re.MULTILINE)
    assert not [cell.source for cell in code[2:] if re.search(r"\bif profile\b", cell.source)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_cells_have_at_most_fifteen_lines_of_code(path):
    code = [cell.source for cell in read(path)[1:] if cell.cell_type == "code"]
    lines = {source: sum(bool(line.strip()) for line in source.splitlines()) for source in code}
    assert [source for source, count in lines.items() if count > 15] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_registered_exercise_is_asked_and_checked_in_order(path):
    source = "\n".join(cell.source for cell in read(path) if cell.cell_type == "code")
    asked = re.findall(r'check_exercise\("(\d\d\.\d+)"', source)
    assert asked == [exercise.id for exercise in registered_exercises() if exercise.id.startswith(path.name[:2])]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_you_learn_three_things_and_each_is_a_verb(path):
    [row] = re.findall(r"^\| \*\*You will learn to\*\* \| (.+) \|$", read(path)[0].source, re.MULTILINE)
    assert len(re.findall(r"(?<!\*)\*[a-z]+\*(?!\*)", row)) == 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_exercise_has_two_folded_hints(path):
    told = {
        cell.source: re.findall(r"<details><summary>(.+?)</summary>\n\n", cell.source)
        for cell in read(path)
        if cell.cell_type == "markdown" and "### Exercise" in cell.source
    }
    assert [source for source, hints in told.items() if hints != ["Hint 1", "Hint 2"]] == []
    for source in told:
        assert source.count("\n\n</details>") == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_names_the_next_notebook_by_a_link(path):
    number = int(path.name[:2])
    named = re.findall(r"^\*\*Next\*\*: \[(\d\d_\w+)\]\((\d\d_\w+)\.ipynb\), \S", read(path)[-1].source, re.MULTILINE)
    [(name, target)] = named
    assert name == target
    last = number == 8
    assert int(name[:2]) == (0 if last else number + 1)
    assert (FOLDER / f"{name}.ipynb").exists() or not list(FOLDER.glob(f"{name[:2]}_*.ipynb"))


@pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLVED], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_links_to_other_notebooks_lead_somewhere(path):
    linked = {target for cell in read(path) for target in re.findall(r"\]\(([\w./]+\.ipynb)\)", cell.source)}
    assert linked
    assert [target for target in linked if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLVED], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_cell_ends_in_a_bare_dictionary_or_text(path):
    last = [(parse(cell.source).body or [ast.Pass()])[-1] for cell in read(path) if cell.cell_type == "code"]
    bare = (ast.Dict, ast.DictComp, ast.BoolOp, ast.JoinedStr, ast.Constant)
    assert [ast.unparse(node) for node in last if isinstance(node, ast.Expr) and isinstance(node.value, bare)] == []


@pytest.mark.parametrize("path", QUIZZED, ids=lambda path: path.name)
def test_a_quiz_is_asked_and_left_open_just_before_the_take_aways(path):
    number, cells = path.name[:2], read(path)
    untouched = "".join(', "?"' for _ in questions_of(number))
    *_, heading, asked, checked, last = cells
    assert heading.source.startswith("## Check yourself")
    assert asked.source.splitlines()[-1] == f'quiz("{number}")'
    assert checked.source == f'check_quiz("{number}"{untouched})'
    assert last.source.startswith("## What to take away")


@pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLVED], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_later_cell_depends_on_an_exercise(path):
    answers: set[str] = set()
    for cell in read(path):
        if cell.cell_type != "code" or "check_exercise(" in cell.source:
            continue
        if {"exercise", "solution"} & set(cell.metadata.get("tags", [])):
            answers |= names_set(cell.source)
        else:
            assert answers & names_read(cell.source) == set(), cell.source


def recorded_names(source: str) -> list[str]:
    """Names under which a cell hands results to `record_result`."""
    calls = [node for node in ast.walk(parse(source)) if isinstance(node, ast.Call)]
    return [
        str(keyword.arg)
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "record_result"
        for keyword in call.keywords
    ]


@pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLVED], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_it_records_one_to_three_figures_with_units_just_before_the_quiz(path):
    cells = read(path)
    recording = [k for k, cell in enumerate(cells) if cell.cell_type == "code" and recorded_names(cell.source)]
    quiz_at = next(k for k, cell in enumerate(cells) if cell.source.startswith("## Check yourself"))
    assert recording == [quiz_at - 1]
    names = recorded_names(cells[recording[0]].source)
    assert 1 <= len(names) <= 3
    assert [name for name in names if name.rpartition("_")[2] not in UNITS] == []
    assert f"notebooks sweep {path.name[:2]} " in cells[quiz_at - 2].source
    assert not set(names) & set(declared_parameters(read_notebook(path), path))


def test_the_reading_of_records_sees_names_and_nothing_else():
    assert recorded_names("record_result(\n    loss_nats=f(x=1),\n    a_mv=2,\n)\nother(b=3)") == ["loss_nats", "a_mv"]
    assert recorded_names("record_result") == []


def test_the_reading_of_names_sees_what_outlives_a_cell():
    source = "x = [a for a in y]\ndef f(b):\n    c = b\n    return c\nfor i in z:\n    d, e = i\n"
    assert names_set(source) == {"x", "f", "i", "d", "e"}
    assert names_read(source) >= {"y", "z", "b"}
