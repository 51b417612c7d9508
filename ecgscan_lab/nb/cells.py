"""Cells of an executed notebook as HTML that cannot run, load or reach anything."""

from __future__ import annotations

import base64
import re
from html import escape
from itertools import groupby
from typing import Any

from ecgscan_lab.nb.equations import equation_html

_TAGS = frozenset(
    "a abbr b blockquote br caption code dd del details div dl dt em figcaption figure h2 h3 h4 h5 h6 hr i img kbd li "
    "ol p pre s small span strong sub summary sup table tbody td tfoot th thead tr ul".split()
)
_ATTRIBUTES = frozenset(["align", "alt", "colspan", "href", "id", "open", "rowspan", "scope", "src", "title"])
_PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]+")
_UNSHOWN = re.compile(r"<(style|script)\b.*?</\1\s*>", re.DOTALL | re.IGNORECASE)  # their text is no text to read
_NO_PICTURE = re.compile(r"<img(?![^>]*\ssrc=)[^>]*>")  # its source was not allowed: its description remains
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_MARK = "\N{SYMBOL FOR START OF TEXT}math{}\N{SYMBOL FOR END OF TEXT}"


def markdown_html(text: str) -> str:
    """Markdown, with tables and `$equations$`, as safe HTML; no heading ranks with the page's own."""
    import mistune

    equations: list[str] = []

    def keep(tex: str, *, block: bool) -> str:
        equations.append(equation_html(tex, block=block))
        return _MARK.format(len(equations) - 1)

    class Renderer(mistune.HTMLRenderer):
        def heading(self, text: str, level: int, **attributes: Any) -> str:
            level = max(level, 2)
            return f'<h{level} id="{heading_id(text)}">{text}</h{level}>\n'

        def image(self, text: str, url: str, title: str | None = None) -> str:
            return f'<img src="{escape(url)}" alt="{escape(text)}">' if _PICTURE.fullmatch(url) else escape(text)

        def inline_math(self, text: str) -> str:
            return keep(text, block=False)

        def block_math(self, text: str) -> str:
            return keep(text, block=True)

    parse = mistune.create_markdown(renderer=Renderer(escape=False), plugins=["table", "strikethrough", "math"])
    html = safe_html(str(parse(text)))
    for number, equation in enumerate(equations):
        html = html.replace(_MARK.format(number), equation)
    return html


def heading_id(html: str) -> str:
    """The anchor of a heading with this inner HTML."""
    return "-".join(re.findall(r"\w+", re.sub(r"<[^>]+>|" + _MARK.format(r"\d+"), "", html).lower())) or "section"


def safe_html(html: str) -> str:
    """HTML with a short list of harmless tags and attributes left, pictures only where they are inside the page."""
    import bleach

    def allowed(tag: str, name: str, value: str) -> bool:
        if name == "src":
            return tag == "img" and _PICTURE.fullmatch(value) is not None
        if name == "href":
            return tag == "a" and re.match(r"(https?://|mailto:|#)", value) is not None
        return name in _ATTRIBUTES

    schemes = {"http", "https", "mailto", "data"}
    cleaned = bleach.clean(_UNSHOWN.sub("", html), tags=_TAGS, attributes=allowed, protocols=schemes, strip=True)
    return _NO_PICTURE.sub(lambda image: (re.findall(r'\balt="([^"]*)"', image[0]) or [""])[0], cleaned)


def code_html(source: str) -> str:
    """Python source, folded away, coloured by five kinds of token."""
    lines = source.count("\n") + 1
    label = f"Code, {lines} line{'s' if lines > 1 else ''}"
    return f"<details><summary>{label}</summary><pre><code>{_coloured(source)}</code></pre></details>"


def output_html(output: Any, where: str) -> str:
    """One output of a code cell: the richest form that is safe to show.

    Args:
        output: an output node (nbformat 4).
        where: used as the description of a picture that has none of its own.
    """
    if output.output_type == "stream":
        return _text_block(output.text)
    if output.output_type == "error":
        trace = "\n".join(output.traceback) or f"{output.ename}: {output.evalue}"
        return _text_block(trace, "error")
    data, metadata = output.get("data", {}), output.get("metadata", {})
    for kind in ("image/png", "image/jpeg", "image/svg+xml"):
        if kind in data:
            return _picture(kind, data[kind], metadata.get(kind, {}).get("alt") or metadata.get("alt") or where)
    if "text/markdown" in data:
        return markdown_html(data["text/markdown"])
    if "text/html" in data and "<script" not in data["text/html"].lower():
        return f'<div class="output scroll">{safe_html(data["text/html"])}</div>'
    return _text_block(data["text/plain"]) if "text/plain" in data else ""


def cell_html(cell: Any, number: int) -> str:
    """A whole cell: prose, or folded code followed by its outputs."""
    if cell.cell_type == "markdown":
        return markdown_html(cell.source)
    if cell.cell_type != "code" or not cell.source.strip():
        return ""
    outputs = [output_html(output, f"Figure of cell {number}") for output in cell.outputs]
    return "\n".join([code_html(cell.source), *outputs])


def _picture(kind: str, content: str, alt: str) -> str:
    encoded = base64.b64encode(content.encode()).decode() if kind == "image/svg+xml" else "".join(content.split())
    return f'<figure><img src="data:{kind};base64,{escape(encoded)}" alt="{escape(alt)}"></figure>'


def _text_block(text: str, kind: str = "") -> str:
    text = _COLOUR_CODES.sub("", text).rstrip()
    shown = "\n".join(line.rsplit("\r", 1)[-1] for line in text.split("\n"))  # a progress line's last state
    return f'<pre class="{kind}">{escape(shown)}</pre>' if shown.strip() else ""


def _coloured(source: str) -> str:
    from pygments.lexers import PythonLexer
    from pygments.token import Comment, Keyword, Name, Number, Operator, String

    kinds = {
        Comment: "c",
        Keyword: "k",
        Operator.Word: "k",
        String: "s",
        Number: "m",
        Name.Function: "n",
        Name.Class: "n",
    }
    tokens = PythonLexer(stripnl=False, ensurenl=False).get_tokens(source)
    marked = ((next((letter for parent, letter in kinds.items() if kind in parent), ""), text) for kind, text in tokens)
    spans = []
    for letter, run in groupby(marked, key=lambda token: token[0]):
        text = escape("".join(text for _, text in run))
        spans.append(f'<span class="{letter}">{text}</span>' if letter else text)
    return "".join(spans)
