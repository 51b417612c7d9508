"""Build `NN_name.ipynb` from `src/NN_name.py` (jupytext, percent format), byte for byte the same each time."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import MissingExtraError, NotebookError

_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def built_notebook(source: str | Path) -> str:
    """The text of the notebook that a percent source makes: no outputs, no counts, cell ids drawn from the cells' text.

    Args:
        source: path of a .py file with `# %%` cells.

    Raises:
        NotebookError: the file is missing or is no percent source.
        MissingExtraError: jupytext is not installed.
    """
    try:
        import jupytext
        import nbformat
    except ImportError as error:
        raise MissingExtraError(
            f"building notebooks needs {error.name}", fix='pip install "ecgscan-lab[notebooks]"'
        ) from error
    try:
        text = Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise NotebookError(f"no notebook source: {error.strerror}", file=source) from error
    if "# %%" not in text:
        raise NotebookError("no cells", file=source, expected="a Python file with '# %%' cell markers")
    notebook = jupytext.reads(text, fmt="py:percent")
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        cell["id"] = _cell_id(cell, seen)
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's own note on blank lines
        if cell.cell_type == "code":
            cell["outputs"], cell["execution_count"] = [], None
    notebook["metadata"] = nbformat.from_dict(_METADATA)
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def build_notebooks(folder: str | Path) -> list[Path]:
    """Build every `src/*.py` of a folder into the folder; returns the notebooks whose text changed."""
    changed = stale_notebooks(folder)
    for target in changed:
        target.write_text(built_notebook(_source_of(target)), encoding="utf-8", newline="\n")
    return changed


def stale_notebooks(folder: str | Path) -> list[Path]:
    """Notebooks of a folder that are missing or differ from what their sources make, in order of name.

    Raises:
        NotebookError: the folder has no sources, or holds a notebook without one.
    """
    sources = sorted(Path(folder, "src").glob("*.py"))
    if not sources:
        raise NotebookError("no notebook sources", file=Path(folder, "src"), expected="src/NN_name.py")
    targets = [Path(folder, source.stem + ".ipynb") for source in sources]
    for stray in sorted(set(Path(folder).glob("*.ipynb")) - set(targets)):
        raise NotebookError("a notebook without a source", file=stray, expected=str(_source_of(stray)))
    return [
        target
        for target in targets
        if not target.exists() or target.read_text(encoding="utf-8") != built_notebook(_source_of(target))
    ]


def _source_of(notebook: Path) -> Path:
    return notebook.parent / "src" / f"{notebook.stem}.py"


def _cell_id(cell: Any, seen: Counter[str]) -> str:
    """An id that moves with the cell's text, so that inserting a cell leaves all others as they were."""
    digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
