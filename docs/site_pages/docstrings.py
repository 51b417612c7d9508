"""Docstrings of the package as Markdown: sections become lists, equations keep their columns, names become links."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

Link = Callable[[str], str | None]  # a name in backticks -> the full name of what is documented, or None

_SECTION = re.compile(r"^(Args|Returns|Raises|Attributes|Yields|Example|Properties):$")
_ENTRY = re.compile(r"^(\*{0,2}\w[\w, *.]*?)(?: \([^)]*\))?: +(.*)$")
_LISTS = {"Args", "Raises", "Attributes"}


def summary(doc: str | None) -> str:
    """The first paragraph, on one line."""
    return " ".join(inspect.cleandoc(doc or "").split("\n\n")[0].split())


def markdown(doc: str | None, link: Link) -> str:
    """A whole docstring as MyST Markdown."""
    parts: list[str] = []
    for title, lines in _sections(inspect.cleandoc(doc or "").splitlines()):
        if not any(line.strip() for line in lines):
            continue
        if title:
            parts.append(f"**{title}**")
        parts.append(_entries(lines, link) if title in _LISTS else free(lines, link))
    return "\n\n".join(part for part in parts if part)


def free(lines: list[str], link: Link) -> str:
    """Prose with indented equations and examples in it."""
    out: list[str] = []
    prose: list[str] = []

    def flush() -> None:
        text = "\n".join(prose).strip("\n")
        if text:
            out.append(inline(text, link))
        prose.clear()

    i = 0
    while i < len(lines):
        line = lines[i]
        indented = line.startswith("    ") and line.strip()
        if not indented and not line.startswith(">>>"):
            prose.append(line)
            i += 1
            continue
        flush()
        block: list[str] = []
        while i < len(lines) and (lines[i].startswith("    ") or (not lines[i].strip() and indented) or not indented):
            if not indented and not lines[i].strip():
                break
            block.append(lines[i])
            i += 1
        text = inspect.cleandoc("\n" + "\n".join(block))
        out.append(f"```{'pycon' if text.startswith('>>>') else 'text'}\n{text}\n```")
    flush()
    return "\n\n".join(out)


def inline(text: str, link: Link) -> str:
    """Backticks become links where a name is known; what HTML or a list could be taken for is escaped elsewhere."""
    parts = re.split(r"(`+[^`]+`+)", text)
    return "".join(_code(part, link) if part.startswith("`") else _plain(part) for part in parts)


def _code(span: str, link: Link) -> str:
    name = " ".join(span.strip("`").split())
    full = link(name.removesuffix("()")) if re.fullmatch(r"[\w.]+(\(\))?", name) else None
    return f"{{py:obj}}`{name} <{full}>`" if full else f"`{name}`"


def _plain(text: str) -> str:
    text = re.sub(r"<(?=[\w/!?])", r"\\<", text)
    return re.sub(r"(?m)^([+#=])", r"\\\1", text)


def _sections(lines: list[str]) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = [("", [])]
    for line in lines:
        header = _SECTION.match(line)
        if header:
            found.append((header[1], []))
            continue
        if found[-1][0] and line and not line.startswith(" "):
            found.append(("", []))
        found[-1][1].append(line.removeprefix("    ") if found[-1][0] else line)
    return found


def _entries(lines: list[str], link: Link) -> str:
    """`name: text` as a definition list."""
    out: list[list[str]] = []
    for line in lines:
        entry = _ENTRY.match(line)
        if entry:
            out.append([entry[1], entry[2]])
        elif line.strip() and out:
            out[-1].append(line.strip())
        elif line.strip():
            return free(lines, link)
    return "\n\n".join(f"`{name}`\n: " + inline("\n".join(text), link).replace("\n", "\n  ") for name, *text in out)
