"""A gallery of executed notebooks: one page with a card each, and behind every card the notebook as a page."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ecgscan_lab.errors import NotebookError
from ecgscan_lab.nb.catalog import title_and_question
from ecgscan_lab.nb.execute import read_notebook
from ecgscan_lab.nb.report import fact_html, facts_html, foot_html, page_html, without_footnotes, write_report
from ecgscan_lab.nb.run_all import FAILED, PASSED, Outcome
from ecgscan_lab.nb.tables import format_value, table_html
from ecgscan_lab.whole_files import write_whole

_THUMBNAIL = (640, 400)
_LARGEST = 50_000_000  # pixels of a figure that is still worth decoding
_SIGNS = {PASSED: "\N{CHECK MARK}", FAILED: "\N{BALLOT X}"}


def write_gallery(
    outcomes: Sequence[Outcome],
    out: str | Path,
    facts: Mapping[str, Any] | None = None,
    *,
    title: str = "Notebooks",
    table: Sequence[Mapping[str, Any]] = (),
) -> Path:
    """Write `index.html`, with a card for each outcome, and `pages/NAME.html`, each executed notebook on its own page.

    Pages are self-contained, hold no script, and show all that notebooks say as text or as harmless HTML.

    Args:
        outcomes: what `run_notebooks` returned.
        out: folder to write into.
        facts: facts of the whole run for the top of the page, as `write_report` takes them.
        title: heading of the page.
        table: rows to show above the cards.

    Returns:
        The path of `index.html`.

    Raises:
        NotebookError: a page cannot be written, or an executed copy cannot be read.
    """
    folder = Path(out)
    cards = []
    for outcome in outcomes:
        node = None if outcome.notebook is None else read_notebook(outcome.notebook)
        page = ""
        if outcome.notebook is not None:
            page = f"pages/{outcome.name}.html"
            back = "../" * (page.count("/")) + "index.html"
            write_report([outcome.notebook], _page_facts(outcome), folder / page, listed_on=back)
        cards.append(_card_html(outcome, node, page))
    shown = dict(facts or {})
    counts = {status: sum(outcome.status == status for outcome in outcomes) for status in (PASSED, FAILED)}
    body = [
        facts_html({"notebooks": len(outcomes), **counts, **without_footnotes(shown)}),
        table_html(table) if table else "",
        f'<ol class="gallery">\n{"".join(cards)}</ol>',
        foot_html(shown),
    ]
    lead = f"{counts[PASSED]} of {len(outcomes)} passed"
    html = page_html(title, lead, "\n".join(body), ("report.css", "gallery.css"))
    return write_whole(folder / "index.html", html.encode(), error=NotebookError)


def first_figure(notebook: Any) -> tuple[str, str]:
    """The first picture of an executed notebook, small, as a data address, with its alt text; empty when there is none.

    Args:
        notebook: a notebook node (nbformat 4).
    """
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", ()):
            for kind in ("image/png", "image/jpeg"):
                small = _thumbnail(output.get("data", {}).get(kind, ""))
                if small:
                    metadata = output.get("metadata", {})
                    alt = metadata.get(kind, {}).get("alt") or metadata.get("alt") or f"Figure of cell {number}"
                    return small, str(alt)
    return "", ""


def _page_facts(outcome: Outcome) -> dict[str, Any]:
    """What the notebook's own page says about its run."""
    known = {"seconds", "peak_memory_mb"}
    facts = {name: value for name, value in outcome.parameters.items() if name not in {*known, "out", "title"}}
    facts |= {"outcome": outcome.status, "title": outcome.name}
    facts |= {name: getattr(outcome, name) for name in known if not math.isnan(getattr(outcome, name))}
    if outcome.error:
        facts["what_failed"] = [{"error": outcome.error, "cell": outcome.cell}]
    if outcome.results:
        facts["recorded_results"] = [{"result": name, "value": value} for name, value in outcome.results.items()]
    return facts


def _card_html(outcome: Outcome, node: Any, page: str) -> str:
    title, question = title_and_question(node) if node is not None else ("", "")
    heading = escape(title or outcome.name)
    link = f'<a href="{quote(page)}">{heading}</a>' if page else heading
    picture, alt = first_figure(node) if node is not None else ("", "")
    kind = {PASSED: "passed", FAILED: "failed"}.get(outcome.status, "unfinished")
    status = f"{_SIGNS.get(outcome.status, '')} {outcome.status}".strip()
    costs = {"Time": ("seconds", outcome.seconds), "Peak memory": ("peak_memory_mb", outcome.peak_memory_mb)}
    rows = [f'<div><dt>Outcome</dt><dd class="status">{status}</dd></div>']
    rows += [
        f"<div><dt>{label}</dt><dd>{fact_html(name, value)}</dd></div>"
        for label, (name, value) in costs.items()
        if not math.isnan(value)
    ]
    image = f'<img src="{picture}" alt="{escape(alt)}">'
    figure = f"<figure>{image}</figure>" if picture else '<figure class="empty">no figure</figure>'
    parts = [
        f'<li class="{kind}">',
        f'<p class="name">{escape(_label(outcome))}</p>',
        f"<h2>{link}</h2>",
        figure,
        f"<p>{escape(question)}</p>" if question else "",
        f'<pre class="error">{escape(_failure(outcome))}</pre>' if outcome.error else "",
        f"<dl>{''.join(rows)}</dl>",
        "</li>\n",
    ]
    return "".join(parts)


def _label(outcome: Outcome) -> str:
    """The name, and the values that set one run of a notebook apart from another."""
    values = [f"{name} {format_value(outcome.parameters[name])}" for name in outcome.varied]
    return ", ".join([outcome.name, *values])


def _failure(outcome: Outcome) -> str:
    return outcome.error + (f"\n> {outcome.cell}" if outcome.cell else "")


def _thumbnail(content: str) -> str:
    """A picture (base64) as a small PNG in a data address; empty when it cannot be read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(base64.b64decode(content)), formats=("PNG", "JPEG")) as picture:
            if picture.width * picture.height > _LARGEST:
                return ""
            small = picture.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    ground = Image.new("RGBA", small.size, "white")
    ground.alpha_composite(small)
    ground = ground.convert("RGB")
    ground.thumbnail(_THUMBNAIL)
    buffer = io.BytesIO()
    ground.quantize(128).save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
