"""What every numbered notebook promises its reader, read from the notebooks' text."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ecgscan_lab.nb.execute import read_notebook
from ecgscan_lab.nb.exercises import registered_exercises

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NOTEBOOKS = [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name != "00_tour.ipynb"]
SOLVED = sorted((FOLDER / "solutions").glob("*.ipynb"))


def read(path):
    return read_notebook(path).cells


def parse(source: str) -> ast.Module:
    """A code cell as Python; lines for IPython are left out."""
    return ast.parse("\n".join("pass" if re.match(r"\s*[%!]", line) else line for line in source.splitlines()))


def names(source: str, context: type) -> set[str]:
    """Names that a cell sets (ast.Store) or reads (ast.Load)."""
    tree = parse(source)
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)}
    if context is ast.Store:
        found |= {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_it_opens_with_its_question_badges_cost_and_aims_and_ends_with_limits(path):
    cells = read(path)
    first, last = cells[0].source, "\n".join(cell.source for cell in cells[-2:])
    assert first.startswith("# ")
    assert f"notebooks/{path.name}" in first
    for wanted in ("colab-badge.svg", "badge_logo.svg", "Time and memory", "You will learn to", "You need", "?**"):
        assert wanted in first, wanted
    for wanted in ("take away", "Limits", "Not for clinical use", "References", "Eq. ", "Next"):
        assert wanted in last, wanted


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


@pytest.mark.parametrize("path", [*NOTEBOOKS, *SOLVED], ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_later_cell_depends_on_an_exercise(path):
    answers: set[str] = set()
    for cell in read(path):
        if cell.cell_type != "code":
            continue
        if {"exercise", "solution"} & set(cell.metadata.get("tags", [])):
            answers |= names(cell.source, ast.Store)
        elif "check_exercise(" not in cell.source or "import" in cell.source:
            assert answers & names(cell.source, ast.Load) == set(), cell.source
