"""Build `NN_name.ipynb` from `src/NN_name.py` (jupytext, percent format), byte for byte the same each time.

A source with exercises makes two editions. In it, a cell tagged `exercise` holds the stub, and further down, after the
cell that checks the answer, one tagged `solution` holds the answer. The student's edition folds the solution away; the
one in `solutions/` has it in place of the stub.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from ecgscan_lab.errors import MissingExtraError, NotebookError

Edition = Literal["student", "solutions"]

_METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_LINK = re.compile(r"\]\((\d\d_\w+)\.ipynb\)")


def built_notebook(source: str | Path, edition: Edition = "student") -> str:
    """The text of the notebook that a percent source makes: no outputs, no counts, cell ids drawn from the cells' text.

    Args:
        source: path of a .py file with `# %%` cells.
        edition: "student", with the solutions folded away, or "solutions", with each in place of its stub.

    Raises:
        NotebookError: the file is missing or is no percent source, or exercises and solutions do not pair up.
        MissingExtraError: jupytext is not installed.
    """
    notebook = _read_source(source)
    notebook.cells = _edition_cells(notebook.cells, edition, source)
    if edition == "solutions":
        _relink(notebook.cells, Path(source).parent)
    return _written(notebook)


def build_notebooks(folder: str | Path) -> list[Path]:
    """Build every `src/*.py` of a folder into the folder and its `solutions/`; returns the notebooks that changed."""
    changed = stale_notebooks(folder)
    for target in changed:
        target.parent.mkdir(exist_ok=True)
        target.write_text(built_notebook(_source_of(target), _edition_of(target)), encoding="utf-8", newline="\n")
    return changed


def stale_notebooks(folder: str | Path) -> list[Path]:
    """Notebooks of a folder that are missing or differ from what their sources make, in order of name.

    Raises:
        NotebookError: the folder has no sources, or holds a notebook without one.
    """
    sources = sorted(Path(folder, "src").glob("*.py"))
    if not sources:
        raise NotebookError(
            "no notebook sources",
            file=Path(folder, "src"),
            expected="src/NN_name.py",
            fix="run it in a clone of the repository, or name its folder by --folder",
        )
    targets = [Path(folder, source.stem + ".ipynb") for source in sources]
    targets += [Path(folder, "solutions", source.stem + ".ipynb") for source in sources if _has_exercises(source)]
    present = {*Path(folder).glob("*.ipynb"), *Path(folder, "solutions").glob("*.ipynb")}
    for stray in sorted(present - set(targets)):
        expected = f"{_source_of(stray)}, with exercises" if _edition_of(stray) == "solutions" else _source_of(stray)
        raise NotebookError("a notebook without a source", file=stray, expected=str(expected))
    return [
        target
        for target in targets
        if not target.exists()
        or target.read_text(encoding="utf-8") != built_notebook(_source_of(target), _edition_of(target))
    ]


def _relink(cells: list[Any], sources: Path) -> None:
    """Lead links out of `solutions/` where it has no edition of the notebook, for want of exercises."""

    def target(link: re.Match[str]) -> str:
        linked = sources / f"{link[1]}.py"
        return link[0] if not linked.exists() or _has_exercises(linked) else f"](../{link[1]}.ipynb)"

    for cell in cells:
        if cell.cell_type == "markdown":
            cell.source = _LINK.sub(target, cell.source)


def _read_source(source: str | Path) -> Any:
    """A percent source as a notebook node, one cell a cell."""
    try:
        import jupytext
    except ImportError as error:
        raise _missing_extra(error) from error
    try:
        text = Path(source).read_text(encoding="utf-8")
    except OSError as error:
        raise NotebookError(f"no notebook source: {error.strerror}", file=source) from error
    if "# %%" not in text:
        raise NotebookError("no cells", file=source, expected="a Python file with '# %%' cell markers")
    return jupytext.reads(text, fmt="py:percent")


def _written(notebook: Any) -> str:
    """The text of a notebook node, with nothing in it that depends on when or where it was written."""
    try:
        import nbformat
    except ImportError as error:
        raise _missing_extra(error) from error
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


def _edition_cells(cells: list[Any], edition: Edition, source: str | Path) -> list[Any]:
    """The cells of an edition; each solution belongs to the nearest exercise above it."""
    from nbformat.v4 import new_markdown_cell

    made: list[Any] = []
    stub_at: int | None = None
    for cell in cells:
        if _is_tagged(cell, "exercise"):
            _refuse_unsolved(stub_at is not None, cell, source)
            stub_at = len(made)
        if not _is_tagged(cell, "solution"):
            made.append(cell)
            continue
        if stub_at is None:
            raise NotebookError(
                "a solution without an exercise", file=source, field=_first_line(cell), expected="a stub above it"
            )
        if edition == "solutions":
            made[stub_at] = cell
        else:
            made.append(new_markdown_cell(_folded(cell.source)))
        stub_at = None
    _refuse_unsolved(stub_at is not None, cells[-1], source)
    return made


def _refuse_unsolved(unsolved: bool, cell: Any, source: str | Path) -> None:
    if unsolved:
        raise NotebookError(
            "an exercise without a solution",
            file=source,
            field=_first_line(cell),
            expected='# %% tags=["solution"] before this cell',
        )


def _folded(code: str) -> str:
    """Python code as a Markdown cell that opens on a click, in Jupyter, on Colab and in a report."""
    return f"<details><summary>Solution</summary>\n\n```python\n{code}\n```\n\n</details>"


def _has_exercises(source: Path) -> bool:
    return any(_is_tagged(cell, "exercise") for cell in _read_source(source).cells)


def _is_tagged(cell: Any, tag: str) -> bool:
    return tag in cell.metadata.get("tags", [])


def _first_line(cell: Any) -> str:
    return str(cell.source).partition("\n")[0][:120]


def _edition_of(notebook: Path) -> Edition:
    return "solutions" if notebook.parent.name == "solutions" else "student"


def _source_of(notebook: Path) -> Path:
    folder = notebook.parent.parent if _edition_of(notebook) == "solutions" else notebook.parent
    return folder / "src" / f"{notebook.stem}.py"


def _missing_extra(error: ImportError) -> MissingExtraError:
    return MissingExtraError(f"building notebooks needs {error.name}", fix='pip install "ecgscan-lab[notebooks]"')


def _cell_id(cell: Any, seen: Counter[str]) -> str:
    """An id that moves with the cell's text, so that inserting a cell leaves all others as they were."""
    digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
    seen[digest] += 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
