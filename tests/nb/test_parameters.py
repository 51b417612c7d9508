from __future__ import annotations

import nbformat.v4 as nbf
import pytest

from ecgscan_lab.errors import NotebookError
from ecgscan_lab.nb.parameters import check_parameters, declared_parameters


def notebook_with(*sources: str):
    return nbf.new_notebook(cells=[nbf.new_code_cell(text, metadata={"tags": ["parameters"]}) for text in sources])


def test_literals_are_read_with_and_without_annotations():
    notebook = notebook_with('# defaults\ndata = "synthetic"\nseed: int = -3\nrates = [1, 2.5]\nlimit = None')
    declared = declared_parameters(notebook, "a.ipynb")
    assert declared == {"data": "synthetic", "seed": -3, "rates": [1, 2.5], "limit": None}


@pytest.mark.parametrize("sources", [(), ("a = 1", "b = 2")])
def test_none_or_two_parameters_cells_are_refused(sources):
    with pytest.raises(NotebookError, match=f"{len(sources)} cells are tagged"):
        declared_parameters(notebook_with(*sources), "a.ipynb")


@pytest.mark.parametrize("source", ["a = 1 + b", "import os", "a = b = 1", "a: int", "a.b = 1", "a = ("])
def test_what_is_no_literal_is_refused(source):
    with pytest.raises(NotebookError, match="more than literals") as caught:
        declared_parameters(notebook_with(source), "a.ipynb")
    assert caught.value.file == "a.ipynb"


@pytest.mark.parametrize(
    ("given", "declared"),
    [
        ({"seed": 4}, {"seed": 0}),
        ({"rate": 1}, {"rate": 0.5}),
        ({"limit": 3}, {"limit": None}),
        ({}, {"seed": 0}),
        ({"profile": "smoke"}, {"profile": "quick"}),
        ({"profile": "mine"}, {"profile": "yours"}),
    ],
)
def test_fitting_values_pass(given, declared):
    check_parameters(given, declared, "a.ipynb")


def test_an_unknown_profile_is_refused():
    with pytest.raises(NotebookError, match="no profile 'quik'") as caught:
        check_parameters({"profile": "quik"}, {"profile": "full"}, "a.ipynb")
    assert (caught.value.field, caught.value.expected) == ("profile", "one of smoke, quick, full")
    assert caught.value.fix == "did you mean 'quick'?"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"sede": 4}, "one of seed, name, on"),
        ({"seed": 4.0}, "a int"),
        ({"seed": True}, "a int"),
        ({"on": 1}, "a bool"),
        ({"name": None}, "a str"),
    ],
)
def test_a_typo_or_another_type_is_refused(given, expected):
    with pytest.raises(NotebookError) as caught:
        check_parameters(given, {"seed": 0, "name": "x", "on": False}, "a.ipynb")
    assert caught.value.field == next(iter(given))
    assert caught.value.expected.startswith(expected)
