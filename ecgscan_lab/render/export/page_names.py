"""Whose page is it: the recordings' names of a folder of rendered pages, as label tables write them."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

from ecgscan_lab.data.tables import read_table
from ecgscan_lab.errors import TableError
from ecgscan_lab.render.export.dataset import INDEX, MANIFEST, MANIFEST_FORMAT

_FIX = "run the same render command again: it draws what is missing and writes the index"


def page_names(folder: Path) -> dict[str, str] | None:
    """File of each page, relative to the folder -> its recording's name, for a folder of `render_dataset`.

    The names are those that `data.label_tables.write_label_table` gives the same source: of PTB-XL "00001_lr", for its
    500 Hz files too; else as in `index.csv`. A further copy of a recording has "#2", "#3", ... after its name.

    Args:
        folder: any folder.

    Returns:
        The names; None where the folder holds no rendered pages.

    Raises:
        TableError: `index.csv` is missing or damaged.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        ours, kind = found["format"] == MANIFEST_FORMAT, found["source"]["kind"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not ours:
        return None
    path = folder / INDEX
    if not path.is_file():
        raise TableError("nothing says which recordings the pages show", file=path, expected="an index", fix=_FIX)
    names = {}
    for row in read_table(path, ["file", "record", "copy"]):
        if not (row["copy"].isascii() and row["copy"].isdigit()):
            raise TableError(f"copy {row['copy'][:40]!r}", file=path, field="copy", expected="0, 1, ...", fix=_FIX)
        name = PurePosixPath(row["record"]).name if kind == "ptbxl" else row["record"]
        if kind == "ptbxl" and name.endswith("_hr"):
            name = name.removesuffix("_hr") + "_lr"
        names[row["file"]] = name if row["copy"] == "0" else f"{name}#{int(row['copy']) + 1}"
    return names


def page_name(names: dict[str, str], folder: Path, file: str) -> str:
    """The name of one page.

    Raises:
        TableError: the index does not list it.
    """
    if file not in names:
        raise TableError(
            f"{file} is not listed",
            file=folder / INDEX,
            field="file",
            expected="every picture in the folder",
            fix=f"{_FIX}; or move the picture elsewhere, if it is none of its pages",
        )
    return names[file]
