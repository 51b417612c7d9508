"""Which notebooks there are, and what their first cell says they are about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import ArgumentError, NotebookError

EDITIONS = ("student", "solutions", "both")


def notebooks_folder() -> Path:
    """The folder of numbered notebooks: `notebooks` here, else the installed package's, else the source checkout's.

    Raises:
        NotebookError: none of them is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (Path("notebooks"), package / "_notebooks", package.parent / "notebooks"):
        if any(folder.glob("*.ipynb")):
            return folder
    raise NotebookError("no notebooks here", file=Path("notebooks").resolve(), fix="name their folder: --folder FOLDER")


def chosen_notebooks(folder: str | Path, only: Sequence[str] = (), edition: str = "student") -> dict[str, Path]:
    """The notebooks of a folder, by name ("02_gram_volume", or "solutions/02_gram_volume"), in order.

    Args:
        folder: holds NN_name.ipynb, and `solutions/` with the solved edition of those that have exercises.
        only: the beginnings of the names wanted ("02"); empty: all.
        edition: "student", "solutions" or "both".

    Raises:
        ArgumentError: no such edition, or a beginning that no notebook has.
        NotebookError: the folder holds none of this edition.
    """
    if edition not in EDITIONS:
        raise ArgumentError(f"no edition {edition!r}", field="edition", expected=f"one of {', '.join(EDITIONS)}")
    student = sorted(Path(folder).glob("*.ipynb")) if edition != "solutions" else []
    solved = sorted(Path(folder, "solutions").glob("*.ipynb")) if edition != "student" else []
    found = {path.stem: path for path in student} | {f"solutions/{path.stem}": path for path in solved}
    if not found:
        raise NotebookError("no notebooks in this folder", file=folder, expected="NN_name.ipynb")
    for beginning in only:
        if not beginning or not any(path.stem.startswith(beginning) for path in found.values()):
            raise ArgumentError(
                f"no notebook begins with {beginning!r}", field="only", expected=f"beginnings of {', '.join(found)}"
            )
    return {name: path for name, path in found.items() if not only or path.stem.startswith(tuple(only))}


def title_and_question(notebook: Any) -> tuple[str, str]:
    r"""The title of a notebook (nbformat 4 node) and the bold question below it, as plain text; empty when missing.

    >>> from nbformat.v4 import new_markdown_cell, new_notebook
    >>> title_and_question(new_notebook(cells=[new_markdown_cell("# Six leads\n\n**Two *or* six?**\n\nProse.")]))
    ('Six leads', 'Two or six?')
    """
    for cell in notebook.cells:
        title = re.match(r"# +(.+)", cell.source) if cell.cell_type == "markdown" else None
        if title:
            question = re.search(r"^\*\*(.+?)\*\*\s*$", cell.source[title.end() :], re.MULTILINE)
            return _plain_text(title[1]), _plain_text(question[1]) if question else ""
    return "", ""


def _plain_text(markdown: str) -> str:
    """Inline Markdown without its emphasis, code marks and links' addresses; HTML stays as the text it is."""
    return re.sub(r"[*`]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)).strip()
