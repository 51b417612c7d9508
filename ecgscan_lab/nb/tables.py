"""Rows as HTML tables; a number with its interval becomes one cell and a mark on a common axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeGuard

_NUMBER = ' class="number"'


@dataclass(frozen=True)
class Interval:
    """A value between its limits."""

    value: float
    low: float
    high: float


def table_html(rows: Sequence[Mapping[str, Any]], caption: str = "") -> str:
    """A table with one row per mapping; columns in order of first appearance.

    A number and its interval are recognised as columns `x`, `x_low`, `x_high`; as a column followed by `low`, `high`;
    or as one cell `{"value": v, "low": a, "high": b}`. They are shown as "v [a, b]", with all intervals of a column
    drawn on one axis.

    >>> html = table_html([{"encoder": "tiny <1>", "auroc": 0.91, "auroc_low": 0.88, "auroc_high": 0.94}])
    >>> "tiny &lt;1&gt;" in html, "[0.880, 0.940]" in html
    (True, True)
    """
    merged = [_with_intervals(row) for row in rows]
    columns = list(dict.fromkeys(name for row in merged for name in row))
    axes = {name: axis for name in columns if (axis := _axis(row.get(name) for row in merged))}
    head = "".join(_head_html(name, merged, axes.get(name)) for name in columns)
    body = "".join(
        "<tr>" + "".join(_cell_html(row.get(name), axes.get(name), i == 0) for i, name in enumerate(columns)) + "</tr>"
        for row in merged
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    width = " wide" if axes else ""
    inner = f"{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="result{width}">{inner}</table></div>'


def format_value(value: Any) -> str:
    """A value as a reader wants to see it: three decimals, thin groups of thousands, a dash for what is missing.

    >>> [format_value(v) for v in (0.91234, 91.234, 12263, None, float("nan"), True, ["MI", "CD"])]
    ['0.912', '91.2', '12,263', '–', '–', 'yes', 'MI, CD']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        size = abs(value)
        return (
            f"{value:.1f}" if 10 <= size < 1e5 else f"{value:.3f}" if size == 0 or 1e-3 <= size < 10 else f"{value:.3g}"
        )
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {format_value(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(format_value(item) for item in value)
    return str(value)


def _with_intervals(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with each number and its two limits folded into an `Interval`."""
    merged: dict[str, Any] = {}
    previous = ""  # the column that a bare low and high belong to
    for name, value in row.items():
        if _has_limits(row, name.removesuffix("_low").removesuffix("_high")) and name.endswith(("_low", "_high")):
            continue
        if _has_limits(row, name):
            merged[name] = Interval(value, row[f"{name}_low"], row[f"{name}_high"])
        elif isinstance(value, Mapping) and {"value", "low", "high"} <= value.keys():
            merged[name] = Interval(value["value"], value["low"], value["high"])
        elif name == "low" and _is_number(row.get("high")) and _is_number(merged.get(previous)):
            merged[previous] = Interval(merged[previous], value, row["high"])
        elif name == "high" and isinstance(merged.get(previous), Interval):
            continue
        else:
            merged[name] = value
            previous = name
    return merged


def _has_limits(row: Mapping[str, Any], name: str) -> bool:
    return all(_is_number(row.get(column)) for column in (name, f"{name}_low", f"{name}_high"))


def _axis(cells: Any) -> tuple[float, float] | None:
    """Ends of the axis that a column's intervals share, or None where it has fewer than two."""
    found = [cell for cell in cells if isinstance(cell, Interval) and all(map(math.isfinite, (cell.low, cell.high)))]
    if len(found) < 2:
        return None
    low, high = min(cell.low for cell in found), max(cell.high for cell in found)
    return (low, high) if high > low else None


def _head_html(name: str, rows: Sequence[Mapping[str, Any]], axis: tuple[float, float] | None) -> str:
    numeric = any(_is_number(row.get(name)) or isinstance(row.get(name), Interval) for row in rows)
    head = f'<th scope="col"{_NUMBER if numeric else ""}>{escape(str(name).replace("_", " "))}</th>'
    if axis is None:
        return head
    low, high = (escape(format_value(end)) for end in axis)
    axis_html = f'<span class="axis"><span>{low}</span><span>{high}</span></span>'
    return head + f'<th scope="col" aria-label="scale of the plot, {low} to {high}">{axis_html}</th>'


def _cell_html(value: Any, axis: tuple[float, float] | None, first: bool) -> str:
    if isinstance(value, Interval):
        limits = f'<span class="interval">[{format_value(value.low)}, {format_value(value.high)}]</span>'
        cell = f"<td{_NUMBER}>{format_value(value.value)} {limits}</td>"
    elif first and isinstance(value, str):
        cell = f'<th scope="row">{escape(value)}</th>'
    else:
        cell = f"<td{_NUMBER if _is_number(value) else ''}>{escape(format_value(value))}</td>"
    return cell + (f'<td class="plot">{_whisker_svg(value, axis)}</td>' if axis else "")


def _whisker_svg(value: Any, axis: tuple[float, float]) -> str:
    """A dot between two limits; the same numbers stand beside it, so that readers without the picture miss nothing."""
    if not isinstance(value, Interval) or not all(map(math.isfinite, (value.value, value.low, value.high))):
        return ""
    first, last = axis
    low, dot, high = (f"{3 + 94 * (x - first) / (last - first):.2f}%" for x in (value.low, value.value, value.high))
    ends = "".join(f'<line x1="{x}" x2="{x}" y1="9" y2="19"/>' for x in (low, high))
    return (
        f'<svg aria-hidden="true" stroke="currentColor" stroke-width="2"><line x1="{low}" x2="{high}" y1="14" y2="14"/>'
        f'{ends}<circle cx="{dot}" cy="14" r="4" fill="currentColor"/></svg>'
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
