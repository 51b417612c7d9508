"""The `parameters` cell of a notebook: what it declares, and whether given values fit."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import NotebookError, nearest_name

PROFILES = ("smoke", "quick", "full")
"""What `profile` may be in a notebook whose default is one of these."""


def declared_parameters(notebook: Any, file: str | Path) -> dict[str, Any]:
    """Names and default values of the one cell tagged `parameters`.

    Args:
        notebook: a notebook node (nbformat 4).
        file: where it was read from; only for messages.

    Raises:
        NotebookError: there is no such cell or more than one, or it holds anything but names set to literals.
    """
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise NotebookError(
            f"{len(tagged)} cells are tagged 'parameters'",
            file=file,
            expected="exactly one cell tagged 'parameters'",
            fix='tag the cell that sets the defaults (in a percent source: # %% tags=["parameters"])',
        )
    try:
        statements = ast.parse(tagged[0].source).body
        return dict(_literal_assignment(statement) for statement in statements)
    except (SyntaxError, ValueError) as error:
        raise NotebookError(
            f"the parameters cell holds more than literals: {error}",
            file=file,
            field="parameters",
            expected="lines of the form name = literal",
            fix="move computed values into the next cell",
        ) from error


def check_parameters(given: Mapping[str, Any], declared: Mapping[str, Any], file: str | Path) -> None:
    """Refuse values for names that the notebook does not declare, of another type than the default, or no profile.

    An int is taken where the default is a float; a default of None takes any literal. `profile` is one of `PROFILES`
    where its default is.

    Raises:
        NotebookError: names the parameter, and what would have been accepted.
    """
    for name, value in given.items():
        if name not in declared:
            raise NotebookError(
                f"the notebook has no parameter {name!r}",
                file=file,
                field=name,
                expected=f"one of {', '.join(declared)}" if declared else "no parameter at all",
            )
        default = declared[name]
        accepted = (float, int) if type(default) is float else (type(default),)
        if default is not None and type(value) not in accepted:
            raise NotebookError(
                f"parameter {name!r} is {value!r}, a {type(value).__name__}",
                file=file,
                field=name,
                expected=f"a {type(default).__name__}, as its default {default!r}",
            )
        if name == "profile" and default in PROFILES and value not in PROFILES:
            raise NotebookError(
                f"no profile {value!r}",
                file=file,
                field=name,
                expected=f"one of {', '.join(PROFILES)}",
                fix=nearest_name(value, PROFILES),
            )


def parameter_value(text: str, default: Any) -> Any:
    """What a word of the command line means for a parameter with this default; a misfit stays text, to be refused.

    >>> [parameter_value(*pair) for pair in (("3", 0), ("3", 0.5), ("3", "synthetic"), ("true", False), ("x", 0))]
    [3, 3, '3', True, 'x']
    """
    if isinstance(default, str):
        return text
    if isinstance(default, bool) and text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _literal_assignment(statement: ast.stmt) -> tuple[str, Any]:
    if isinstance(statement, ast.AnnAssign):
        target: ast.expr | None = statement.target
    elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
    else:
        target = None
    value = getattr(statement, "value", None)
    if not isinstance(target, ast.Name) or value is None:
        raise ValueError(f"line {statement.lineno} is no plain assignment")
    return target.id, ast.literal_eval(value)
