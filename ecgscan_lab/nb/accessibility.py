"""What readers who do not see, or see otherwise, would miss in executed notebooks and in their gallery."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import NotebookError
from ecgscan_lab.nb.execute import read_notebook

LEAST_ALT = 15
"""An alt text is longer than this."""

_FILE_NAME = re.compile(r"\S+\.(png|jpe?g|gif|svg|webp)", re.IGNORECASE)
_PICTURES = ("image/png", "image/jpeg", "image/svg+xml", "image/gif", "image/webp")
_PLOTLY = "application/vnd.plotly.v1+json"
_VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())


def check_outputs(notebook: Any) -> list[str]:
    """Say what in the outputs of an executed notebook some readers would miss; an empty list when nothing.

    - A picture, drawn or in HTML, has alt text of more than 15 characters that is not the name of a file; a picture in
      HTML may have an empty one where it says nothing (`alt=""`).
    - What `plots.legibility` held against a figure when it was shown, see `plots.figure.show`.
    - A plotly figure has a title, or a picture with alt text in the same cell.

    Args:
        notebook: a notebook node (nbformat 4) with outputs.

    Returns:
        One sentence for each finding, with the number of its cell, counted from 1.

    >>> from nbformat.v4 import new_code_cell, new_notebook, new_output
    >>> bare = new_output("display_data", data={"image/png": ""})
    >>> check_outputs(new_notebook(cells=[new_code_cell("draw()", outputs=[bare])]))
    ['cell 1: a picture without alt text']
    """
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        outputs = list(cell.get("outputs", ()))
        findings = [finding for output in outputs for finding in _output_findings(output)]
        twins = [output for output in outputs if any(_alt(output, kind) for kind in _PICTURES)]
        for output in outputs:
            plot = output.get("data", {}).get(_PLOTLY)
            if plot is not None and not twins and not _plotly_title(plot):
                findings.append("a plotly figure with neither a title nor a static twin")
        found += [f"cell {number}: {finding}" for finding in findings]
    return found


def check_page(html: str) -> list[str]:
    """Say what in a page some readers would miss; an empty list when nothing.

    - The page says its language and its title.
    - Headings begin at `h1` and go down one level at a time.
    - Links and buttons say something, as text, as alt text, or as `aria-label`.
    - Pictures have alt text, tables have header cells.

    Args:
        html: the page.

    Returns:
        One sentence for each finding.

    >>> check_page('<html lang="en"><title>t</title><h1>t</h1><h3>deep</h3><a href="x"></a>')
    ['h3 follows h1', 'a link that says nothing: x']
    """
    page = _Page()
    page.feed(html)
    page.close()
    return [*([] if page.lang else ["no language"]), *([] if page.title.strip() else ["no title"]), *page.found]


def check_folder(folder: str | Path) -> list[str]:
    """Check all executed notebooks and pages below a folder, as `ecgscan-lab notebooks run` leaves them.

    Args:
        folder: what `--out` named.

    Returns:
        One sentence for each finding, with the path of its file below the folder.

    Raises:
        NotebookError: there is no such folder, it holds no executed notebook, or one cannot be read.
    """
    base = Path(folder)
    notebooks = sorted(path for path in base.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    if not notebooks:
        raise NotebookError(
            "no executed notebook", file=base, field="executed", expected="a folder with notebooks",
            fix="ecgscan-lab notebooks run --out FOLDER",
        )  # fmt: skip
    found = [(path, finding) for path in notebooks for finding in check_outputs(read_notebook(path))]
    for path in sorted(base.rglob("index.html")):
        found += [(path, finding) for finding in check_page(path.read_text(encoding="utf-8"))]
    return [f"{path.relative_to(base)}: {finding}" for path, finding in found]


def _output_findings(output: Any) -> Iterator[str]:
    data, metadata = output.get("data", {}), output.get("metadata", {})
    for kind in _PICTURES:
        if kind in data:
            finding = _alt_finding(_alt(output, kind))
            yield from [finding] if finding else []
            yield from map(str, metadata.get(kind, {}).get("findings", ()))
    html = data.get("text/html")
    if html is not None:
        page = _Page()
        page.feed("".join(html))
        page.close()
        yield from page.pictures


def _alt(output: Any, kind: str) -> str:
    """Alt text of a picture in the metadata of its output."""
    metadata = output.get("metadata", {})
    return str(metadata.get(kind, {}).get("alt") or metadata.get("alt") or "") if kind in output.get("data", {}) else ""


def _alt_finding(alt: str) -> str:
    text = alt.strip()
    if not text:
        return "a picture without alt text"
    if _FILE_NAME.fullmatch(text):
        return f"the alt text {text!r} is the name of a file"
    return f"the alt text {text!r} says too little" if len(text) <= LEAST_ALT else ""


def _plotly_title(plot: Any) -> str:
    title = plot.get("layout", {}).get("title", "")
    return str(title.get("text") or "").strip() if isinstance(title, dict) else str(title or "").strip()


class _Page(HTMLParser):
    """Reads a page and keeps what is amiss: `pictures` is about pictures, `found` about everything."""

    def __init__(self) -> None:
        super().__init__()
        self.lang, self.title = "", ""
        self.found: list[str] = []
        self.pictures: list[str] = []
        self._level = 0
        self._open: list[str] = []
        self._links: list[list[str]] = []  # of each open link or button: what it is, and all that it says
        self._tables: list[int] = []  # of each open table: its header cells

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "html":
            self.lang = have.get("lang", "").strip()
        elif re.fullmatch(r"h[1-6]", tag):
            level = int(tag[1])
            if level > self._level + 1:
                self.found.append(f"{tag} follows h{self._level}" if self._level else f"the first heading is {tag}")
            self._level = level
        elif tag in ("a", "button") and (tag == "button" or "href" in have):
            self._links.append([have.get("href", tag), have.get("aria-label", "")])
        elif tag == "img":
            self._picture(have)
        elif tag == "table":
            self._tables.append(0)
        elif tag == "th" and self._tables:
            self._tables[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        if tag in ("a", "button") and self._links:
            what, *said = self._links.pop()
            if not "".join(said).strip():
                self.found.append(f"a link that says nothing: {what}")
        elif tag == "table" and self._tables and not self._tables.pop():
            self.found.append("a table without header cells")

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "title" and "svg" not in self._open:
            self.title += data
        for link in self._links:
            link.append(data)

    def _picture(self, have: dict[str, str]) -> None:
        for link in self._links:
            link.append(have.get("alt", ""))
        decorative = have.get("alt") == "" or have.get("role") == "presentation" or have.get("aria-hidden") == "true"
        finding = "" if decorative and "alt" in have else _alt_finding(have.get("alt", ""))
        if finding:
            self.pictures.append(finding)
            self.found.append(finding)
