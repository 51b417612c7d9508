"""Sphinx extension: writes the generated pages before the site is read, and turns links out of docs/ into addresses."""

from __future__ import annotations

import posixpath
import re
import shutil
from pathlib import Path
from typing import Any

from api_pages import REPOSITORY, api_pages
from listed_pages import command_page, data_page, notebook_page, readme_table
from package_index import PackageIndex

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
_LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))")


def generated_pages() -> dict[str, str]:
    """Every page below `docs/reference/`: path without suffix -> Markdown."""
    from ecgscan_lab.cli import _parser

    return {
        **dict(api_pages(PackageIndex(ROOT / "ecgscan_lab"))),
        "learning-path": notebook_page(ROOT / "notebooks"),
        "commands": command_page(_parser()),
        "data-and-checkpoints": data_page(),
        "i-want-to": readme_table((ROOT / "README.md").read_text(encoding="utf-8")),
        "contributing": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
    }


def site_links(text: str, docname: str) -> str:
    """Links that leave docs/: a file of the package becomes its page of the reference, others the repository's."""

    def replace(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(docname), match[1]))
        if target.startswith("docs/"):
            return match[0]
        page = target.removeprefix("ecgscan_lab/").removesuffix(".py").removesuffix("__init__")
        page = page.rstrip("/") + "/index" if target.endswith("__init__.py") else page
        if target.startswith("ecgscan_lab/") and (DOCS / "reference" / f"{page}.md").is_file():
            return f"/reference/{page}.md"
        return REPOSITORY + target + (match[2] or "")

    return _LINK.sub(replace, text)


def write_pages(app: Any = None) -> None:
    """Write them all; a page whose text is the same is left alone, so that a second build is quick."""
    folder = DOCS / "reference"
    pages = generated_pages()
    wanted = {folder / f"{name}.md" for name in pages}
    for path in folder.rglob("*.md"):
        if path not in wanted:
            path.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for empty in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(empty.iterdir()):
            shutil.rmtree(empty)


def _read(app: Any, docname: str, source: list[str]) -> None:
    source[0] = site_links(source[0], docname)


def setup(app: Any) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
