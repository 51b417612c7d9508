"""The report's figure as SVG text: dots and intervals that any browser shows and any editor can change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Protocol

_ROW, _HEAD, _LEFT, _WIDTH, _RIGHT = 20, 46, 250, 520, 70
# Okabe and Ito's palette; the run is also a filled diamond, the paper hollow circles and squares.
APART = "not comparable"
_OURS, _IMAGE, _SIGNAL, _INK, _FAINT = "#0072B2", "#D55E00", "#6F6F6F", "#222222", "#DDDDDD"


class _Row(Protocol):
    @property
    def encoder(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def auroc(self) -> float: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def source(self) -> str: ...
    @property
    def comparable(self) -> str: ...


def figure_svg(title: str, sections: Sequence[tuple[str, Sequence[_Row]]]) -> str:
    """Draw one block a section on a common AUROC axis in percent.

    Args:
        title: what the figure shows; part of its description for screen readers.
        sections: heading and rows; rows as in `report.Report`.

    Returns:
        An SVG document with a title and a description. Rows that are not comparable to the run's are faint.
    """
    values = [v for _, rows in sections for row in rows for v in (row.auroc, row.low, row.high) if v is not None]
    low = max(0.0, 5.0 * math.floor((min(values) - 1.0) / 5.0))
    high = 100.0
    height = sum(_HEAD + _ROW * len(rows) for _, rows in sections) + 58
    total = _LEFT + _WIDTH + _RIGHT

    def x(value: float) -> float:
        return _LEFT + _WIDTH * (value - low) / (high - low)

    ours = [f"{heading}: {row.encoder} {row.auroc:.1f} %" for heading, rows in sections for row in rows if _own(row)]
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {height}" width="{total}" height="{height}" '
        'role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="12">'
    )
    parts = [
        opening,
        f'<title id="title">{escape(title)}</title><desc id="desc">{escape("; ".join(ours))}</desc>',
        f'<rect width="{total}" height="{height}" fill="white"/>',
    ]
    y = 8.0
    for heading, rows in sections:
        y += 22
        parts.append(f'<text x="12" y="{y}" fill="{_INK}" font-weight="bold">{escape(heading)}</text>')
        y += 8
        bottom = y + _ROW * len(rows)
        for tick in range(int(low), int(high) + 1, 5 if high - low > 20 else 2):
            parts.append(f'<path d="M{x(tick):.1f} {y}V{bottom}" stroke="{_FAINT}"/>')
            if heading == sections[-1][0]:
                parts.append(
                    f'<text x="{x(tick):.1f}" y="{bottom + 16}" text-anchor="middle" fill="{_INK}">{tick}</text>'
                )
        for row in rows:
            parts += _mark(row, x, y + _ROW / 2)
            y += _ROW
        y += _HEAD - 30
    middle = _LEFT + _WIDTH / 2
    parts.append(f'<text x="{middle}" y="{height - 18}" text-anchor="middle" fill="{_INK}">macro AUROC (%)</text>')
    parts += _legend(height - 18)
    return "\n".join([*parts, "</svg>\n"])


def _own(row: _Row) -> bool:
    return row.source == "this run"


def _mark(row: _Row, x: object, y: float) -> list[str]:
    assert callable(x)
    color = _OURS if _own(row) else _IMAGE if row.group == "image" else _SIGNAL
    weight = ' font-weight="bold"' if _own(row) else ""
    at = x(row.auroc)
    drawn = [
        f'<text x="{_LEFT - 12}" y="{y + 4}" text-anchor="end" fill="{_INK}"{weight}>{escape(row.encoder)}</text>',
        f'<text x="{_LEFT + _WIDTH + 12}" y="{y + 4}" fill="{_INK}"{weight}>{row.auroc:.1f}</text>',
    ]
    if row.low is not None and row.high is not None:
        drawn.append(f'<path d="M{x(row.low):.1f} {y}H{x(row.high):.1f}" stroke="{color}" stroke-width="3"/>')
    drawn.append(_dot(row.group, _own(row), at, y, color))
    if row.comparable == APART:
        return ['<g opacity="0.65">', *drawn, "</g>"]
    return drawn


def _dot(group: str, own: bool, at: float, y: float, color: str) -> str:
    if own:
        return f'<path d="M{at:.1f} {y - 6}l6 6l-6 6l-6 -6z" fill="{color}"/>'
    if group == "image":
        return f'<circle cx="{at:.1f}" cy="{y}" r="4.5" fill="white" stroke="{color}" stroke-width="2"/>'
    return f'<rect x="{at - 4:.1f}" y="{y - 4}" width="8" height="8" fill="white" stroke="{color}" stroke-width="2"/>'


def _legend(y: float) -> list[str]:
    entries = (
        ("this run", True, "image", _OURS),
        ("paper, image", False, "image", _IMAGE),
        ("paper, other", False, "signal", _SIGNAL),
    )
    drawn, at = [], 20.0
    for text, own, group, color in entries:
        drawn += [_dot(group, own, at, y - 4, color), f'<text x="{at + 10}" y="{y}" fill="{_INK}">{text}</text>']
        at += 28 + 6.6 * len(text)
    return [*drawn, f'<text x="{_LEFT + _WIDTH}" y="{y}" text-anchor="end" fill="{_INK}">faint: not comparable</text>']
