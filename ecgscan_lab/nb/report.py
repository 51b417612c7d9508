"""One self-contained HTML page from executed notebooks and their results: no script, no request, all text escaped."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from ecgscan_lab import __version__
from ecgscan_lab.errors import NotebookError
from ecgscan_lab.nb.cells import cell_html
from ecgscan_lab.nb.execute import ExecutedNotebook, read_notebook
from ecgscan_lab.nb.judgements import is_judgement, judgement_rows, per_class_rows
from ecgscan_lab.nb.tables import format_value, table_html
from ecgscan_lab.whole_files import write_whole

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_FACTS = ("data", "records", "profile", "seed", "seconds", "peak_memory_mb", "device")
_FOOTNOTES = ("data_sha256", "command", "version")
_LONG = 14  # rows beyond which a table is folded
_TITLES = {
    "skipped_records": "Records left out",
    "repairs": "Repairs made while reading",
    "linear_probe": "Linear probe",
    "zero_shot": "Zero-shot",
    "limb_law_snr": "Limb-lead laws",
    "peak_memory_mb": "Peak memory",
    "seconds": "Time",
    "data_sha256": "Hash of the data",
}


def write_report(
    notebooks: Sequence[ExecutedNotebook | str | Path],
    results: Mapping[str, Any],
    out_html: str | Path,
    *,
    listed_on: str = "",
) -> Path:
    """Write the report of a run: its facts, its tables, then prose, figures and folded code of each notebook in order.

    Of `results`, these names are known: `title`, for a notebook without one; the facts `data`, `records` (a number, or
    split -> number), `profile`, `seed`, `seconds`, `peak_memory_mb`, `device`; `data_sha256`, `command`, `version` for
    the foot of the page; `skipped_records`, a list of `{record_id, error, message}`; `repairs`, sentence -> number of
    records. Judgements (task -> `{macro_auroc, ci95, ...}`, as `evaluate.judgement.side_by_side` makes them), lists of
    rows and other mappings become tables under their own names, and any other plain value a further fact.

    Args:
        notebooks: executed notebooks, or their paths.
        results: what the run found, as read from its results.json.
        out_html: the page to write; replaced as a whole or not at all.
        listed_on: relative address of a page that lists this one, to link back to.

    Returns:
        `out_html`.

    Raises:
        NotebookError: a notebook cannot be read.
    """
    paths = [item.path if isinstance(item, ExecutedNotebook) else Path(item) for item in notebooks]
    nodes = [read_notebook(path) for path in paths]
    heading, steps = _notebooks_html(nodes)
    title = heading or str(results.get("title") or "Report")
    body = "\n".join(part for part in (_tables_html(results), _section("Step by step", steps)) if part)
    parts = [_facts_html(results), _contents_html(body), body, foot_html(results)]
    out = Path(out_html)
    lead = ", ".join(f"{name}: {format_value(results[name])}" for name in ("data", "profile") if name in results)
    back = f'<nav><a href="{escape(listed_on)}">All notebooks</a></nav>' if listed_on else ""
    page = page_html(title, lead, "\n".join([back, *parts]))
    return write_whole(out, page.encode(), error=NotebookError)


def page_html(title: str, lead: str, body: str, styles: Sequence[str] = ("report.css",)) -> str:
    """A page in the style of all reports, which can load and run nothing.

    Args:
        title: plain text; the page's one heading of first rank.
        lead: plain text below it.
        body: HTML, already safe.
        styles: style sheets of this package, in order.
    """
    style = "".join(files("ecgscan_lab.nb").joinpath(name).read_text(encoding="utf-8") for name in styles)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<header><div>
<h1>{escape(title)}</h1>
<p>{escape(lead)}</p>
{_heartbeat_svg()}
</div></header>
<main>
{body}
</main>
</body>
</html>
"""


def _heartbeat_svg(n_beats: int = 8) -> str:
    """A decorative trace: P, QRS and T drawn as curves, one beat per 125 units."""
    beat = "h34 q7 -9 14 0 h9 l4 6 l7 -50 l7 58 l5 -14 h14 q10 -17 20 0 h11"
    path = "M0 50" + f" {beat}" * n_beats
    return (
        f'<svg viewBox="0 0 {125 * n_beats} 64" preserveAspectRatio="xMinYMid slice" aria-hidden="true">'
        f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round"/></svg>'
    )


def without_footnotes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that stand at the top of a page; the rest stands at its foot."""
    return {name: value for name, value in facts.items() if name not in _FOOTNOTES}


def facts_html(facts: Mapping[str, Any]) -> str:
    """Facts as a row of boxes; what is None is left out."""
    cells = [
        f"<div><dt>{escape(_title(name))}</dt><dd>{fact_html(name, value)}</dd></div>"
        for name, value in facts.items()
        if value is not None
    ]
    return f'<dl class="facts">{"".join(cells)}</dl>' if cells else ""


def _facts_html(results: Mapping[str, Any]) -> str:
    shown = {name: results[name] for name in _FACTS if name in results}
    known = {*_FACTS, *_FOOTNOTES, *_TITLES, "title"}
    shown |= {
        name: value for name, value in results.items() if name not in known and not isinstance(value, (list, Mapping))
    }
    if results.get("skipped_records"):
        shown["left out"] = len(results["skipped_records"])
    return facts_html(shown)


def fact_html(name: str, value: Any) -> str:
    """A fact as its reader wants to see it: seconds as minutes, memory in GiB, numbers rounded, text escaped."""
    if name == "seconds":
        minutes, seconds = divmod(round(float(value)), 60)
        return f"{minutes} min {seconds} s" if minutes else f"{float(value):.1f} s"
    if name == "peak_memory_mb":
        return f"{float(value) / 1024:.2f} GiB" if float(value) >= 1024 else f"{float(value):.0f} MiB"
    if name == "records" and isinstance(value, Mapping):
        split = ", ".join(f"{part} {format_value(count)}" for part, count in value.items())
        return f"{format_value(sum(value.values()))}<small>{escape(split)}</small>"
    if isinstance(value, Mapping):
        return escape(", ".join(f"{part}: {format_value(count)}" for part, count in value.items()))
    return escape(format_value(value))


def _tables_html(results: Mapping[str, Any]) -> str:
    known = {*_FACTS, *_FOOTNOTES, "title", "skipped_records", "repairs"}
    parts = []
    for name, value in sorted(
        results.items(), key=lambda item: not is_judgement(item[1])
    ):  # what was found comes first
        if name not in known and isinstance(value, (list, Mapping)) and value:
            parts.append(
                _section(_title(name), _judgement_html(value) if is_judgement(value) else _table(_rows(value)))
            )
    if results.get("repairs"):
        rows = [{"repair": sentence, "records": count} for sentence, count in results["repairs"].items()]
        parts.append(_section(_title("repairs"), _table(rows)))
    if results.get("skipped_records"):
        parts.append(_section(_title("skipped_records"), _table(_rows(results["skipped_records"]))))
    return "\n".join(parts)


def _judgement_html(judgement: Mapping[str, Any]) -> str:
    labels = per_class_rows(judgement)
    folded = f"<details><summary>Label by label</summary>{table_html(labels)}</details>" if labels else ""
    return table_html(judgement_rows(judgement), caption="AUROC in percent, with 95 % intervals over patients") + folded


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table, folded when it would push what follows off the screen."""
    table = table_html(rows)
    return table if len(rows) <= _LONG else f"<details><summary>{len(rows)} rows</summary>{table}</details>"


def _rows(value: Mapping[str, Any] | list[Any]) -> list[dict[str, Any]]:
    """Rows of a table from a list of rows, of plain values, or from a mapping name -> row or value."""
    if isinstance(value, Mapping) and not all(isinstance(item, Mapping) for item in value.values()):
        value = _flat(value)  # names and values, a line each
    items: Iterable[tuple[dict[str, Any], Any]]
    items = (
        (({"name": key}, item) for key, item in value.items())
        if isinstance(value, Mapping)
        else (({}, item) for item in value)
    )
    return [{**start, **_flat(item if isinstance(item, Mapping) else {"value": item})} for start, item in items]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with mappings inside it spread into columns of their own."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return flat


def _section(title: str, body: str) -> str:
    anchor = re.sub(r"\W+", "-", title.lower())
    return f'<h2 id="results-{anchor}">{escape(title)}</h2>\n{body}'


def _title(name: str) -> str:
    words = str(name).replace("_", " ")
    return _TITLES.get(name, words[:1].upper() + words[1:])


def _notebooks_html(nodes: Sequence[Any]) -> tuple[str, str]:
    """The first notebook's title, and all notebooks' cells with that title taken out."""
    heading, parts = "", []
    for node in nodes:
        for number, cell in enumerate(node.cells, start=1):
            if not heading and cell.cell_type == "markdown" and (found := re.match(r"# (.+)\n*", cell.source)):
                heading = found.group(1).strip()
                cell.source = cell.source[found.end() :]
            parts.append(cell_html(cell, number))
    return heading, "\n".join(part for part in parts if part)


def _contents_html(body: str) -> str:
    headings = re.findall(r'<h2 id="([^"]+)">(.*?)</h2>', body)
    if len(headings) < 4:
        return ""
    shown = ((anchor, re.sub(r"<(?!/?code>)[^>]*>", "", text)) for anchor, text in headings)
    entries = "".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in shown)
    return f'<nav aria-label="Contents"><details><summary>Contents</summary><ol>{entries}</ol></details></nav>'


def foot_html(results: Mapping[str, Any]) -> str:
    """The foot of a page: version, command, hash of the data."""
    facts = {
        "version": f"ecgscan_lab {__version__}",
        **{name: results[name] for name in _FOOTNOTES if results.get(name)},
    }
    lines = [f"{escape(_title(name))}: <code>{escape(str(value))}</code>" for name, value in facts.items()]
    return f"<footer><p>{'<br>'.join(lines)}</p><p>For research and teaching; not for clinical use.</p></footer>"
