"""Command lines that notebooks show can be typed as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ecgscan_lab.cli import _parser
from ecgscan_lab.nb.execute import read_notebook

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


def commands_of(path: Path) -> list[str]:
    """What follows `ecgscan-lab` or `-m ecgscan_lab.cli` in the fenced blocks of a notebook's prose."""
    prose = "\n".join(cell.source for cell in read_notebook(path).cells if cell.cell_type == "markdown")
    blocks = "\n".join(re.findall(r"^```\w*\n(.*?)^```", prose, re.MULTILINE | re.DOTALL)).replace("\\\n", " ")
    return re.findall(r"^.*?(?:ecgscan-lab|-m ecgscan_lab\.cli) (.*)$", blocks, re.MULTILINE)


COMMANDS = [(path.name, line) for path in sorted(FOLDER.glob("*.ipynb")) for line in commands_of(path)]


@pytest.mark.parametrize(("notebook", "line"), COMMANDS)
def test_a_command_line_is_understood(notebook, line):
    args = _parser().parse_args(shlex.split(line))
    if getattr(args, "recipe", None):
        from ecgscan_lab.train.commands import chosen_recipe

        assert chosen_recipe(args, n_train=1000).name == args.recipe


def test_the_papers_run_is_among_them():
    lines = [line for name, line in COMMANDS if name.startswith("04")]
    assert len(lines) == 5
    assert sum("--recipe paper" in line for line in lines) == 3
