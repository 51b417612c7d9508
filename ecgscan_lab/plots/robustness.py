"""What is left of a judgement on other pages: curves with bands for what has a strength, dots for what has none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.comparison import CHANCE
from ecgscan_lab.plots.figure import FAINT, MARKERS, MUTED, PALETTE, describe, style
from ecgscan_lab.plots.legibility import BACKDROP

_STRENGTH = "strength (0 none, 1 full)"
_TITLES = {
    "preset": "Degraded pages",
    "effect": "One effect at a time",
    "resolution": "Other sizes",
    "layout": "Layouts",
}
_AXES = {"preset": _STRENGTH, "effect": _STRENGTH, "resolution": "share of the tower's size"}
_FAMILIES = ("preset", "effect", "resolution", "layout")
Row = Mapping[str, Any]


def plot_robustness(rows: Sequence[Row], title: str | None = None, ylabel: str = "Macro AUROC on test (%)") -> Figure:
    """Draw how a probe fitted on clean pages does on others: one panel a kind of change.

    Args:
        rows: of `evaluate.robustness.Robustness.rows()`: `encoder`, `family`, `name`, `amount`, and in percent
            `macro_auroc` and `ci95`. The clean row is the dashed line, and where each curve of a degradation starts.
        title: figure title, or None.
        ylabel: axis title with its unit.

    Returns:
        The figure, with alt text. Bands and lines are 95 % intervals.

    Raises:
        ArgumentError: no rows, a row lacks a value, or there is nothing beside the clean ones.

    Example:
        >>> clean = {"encoder": "e", "family": "clean", "name": "", "amount": 0, "macro_auroc": 90.0, "ci95": (88, 92)}
        >>> worse = {**clean, "family": "preset", "name": "fax", "amount": 1.0, "macro_auroc": 70.0, "ci95": (66, 74)}
        >>> plot_robustness([clean, worse]).axes[0].get_title(loc="left")
        'Degraded pages'
    """
    points = [_checked(row) for row in rows]
    families = [family for family in _FAMILIES if any(row["family"] == family for row in points)]
    if not families:
        raise ArgumentError(
            "no page but the clean one", field="rows", expected=f"rows of family {', '.join(_FAMILIES)}"
        )
    encoders = list(dict.fromkeys(row["encoder"] for row in points))
    clean = {row["encoder"]: row for row in points if row["family"] == "clean"}
    curves = [family for family in families if family != "layout"]
    low = min(float(row["ci95"][0]) for row in points)
    with style():
        n_layouts = len({row["name"] for row in points if row["family"] == "layout"})
        height = 3.4 * bool(curves) + (0.34 * n_layouts + 1.1) * ("layout" in families) + 0.3 * bool(title)
        figure = Figure(figsize=(8.6, height), layout="constrained")
        parts = figure.subfigures(
            bool(curves) + ("layout" in families), 1, squeeze=False,
            height_ratios=[3.4] * bool(curves) + [0.34 * n_layouts + 1.1] * ("layout" in families),
        )[:, 0]  # fmt: skip
        if curves:
            panels = parts[0].subplots(1, len(curves), sharey=True, squeeze=False)[0]
            for axes, family in zip(panels, curves, strict=True):
                _draw_curves(axes, family, [row for row in points if row["family"] == family], clean, encoders)
                axes.set(title=_TITLES[family], xlabel=_AXES[family])
                _mark_chance(axes, low, vertical=False)
            panels[0].set_ylabel(ylabel)
        if "layout" in families:
            axes = parts[-1].add_subplot()
            _draw_dots(axes, [row for row in points if row["family"] == "layout"], clean, encoders)
            axes.set(title=_TITLES["layout"], xlabel=ylabel)
            _mark_chance(axes, low, vertical=True)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return describe(figure, _spoken(points, clean, ylabel))


def _draw_curves(
    axes: Axes, family: str, rows: Sequence[Row], clean: Mapping[str, Row], encoders: Sequence[str]
) -> None:
    lines = list(dict.fromkeys((row["encoder"], row["name"]) for row in rows))
    for k, (encoder, name) in enumerate(lines):
        curve = [row for row in rows if (row["encoder"], row["name"]) == (encoder, name)]
        if family != "resolution" and encoder in clean:  # a degradation of strength 0 is the clean page
            curve = [{**clean[encoder], "amount": 0.0}, *curve]
        curve.sort(key=lambda row: float(row["amount"]))
        x, color = [float(row["amount"]) for row in curve], PALETTE[k % len(PALETTE)]
        axes.fill_between(
            x,
            [row["ci95"][0] for row in curve],
            [row["ci95"][1] for row in curve],
            color=color,
            alpha=0.14,
            linewidth=0,
        )
        shown = name if len(encoders) == 1 else encoder if family == "resolution" else f"{encoder}: {name}"
        axes.plot(
            x, [row["macro_auroc"] for row in curve], marker=MARKERS[k % len(MARKERS)], color=color, markersize=5,
            label=shown,
        )  # fmt: skip
    for encoder in encoders:
        if encoder in clean:
            axes.axhline(clean[encoder]["macro_auroc"], color=MUTED, linestyle="--", linewidth=1.0)
    if len(lines) > 1:
        axes.legend(fontsize=8.5, loc="best")
    axes.grid(axis="y")


def _draw_dots(axes: Axes, rows: Sequence[Row], clean: Mapping[str, Row], encoders: Sequence[str]) -> None:
    names = list(dict.fromkeys(row["name"] for row in rows))
    for row in rows:
        k = encoders.index(row["encoder"])
        y = names.index(row["name"]) + (k - (len(encoders) - 1) / 2) * 0.5 / len(encoders)
        color = PALETTE[k % len(PALETTE)]
        axes.plot(row["ci95"], [y, y], color=color, linewidth=2.2, solid_capstyle="round")
        label = row["encoder"] if row["name"] == names[0] else None
        axes.plot(row["macro_auroc"], y, MARKERS[k % len(MARKERS)], color=color, markersize=6, label=label)
    for encoder in encoders:
        if encoder in clean:
            color = MUTED if len(encoders) == 1 else PALETTE[encoders.index(encoder) % len(PALETTE)]
            axes.axvline(clean[encoder]["macro_auroc"], color=color, linestyle="--", linewidth=1.0)
    for y in range(1, len(names)):
        axes.axhline(y - 0.5, color=FAINT, linewidth=0.7, gid=BACKDROP)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="x")
    if len(encoders) > 1:
        axes.legend(fontsize=8.5, loc="best")


def _mark_chance(axes: Axes, low: float, *, vertical: bool) -> None:
    """A dotted line at 50 where the figures come near it."""
    if low < CHANCE + 8.0:
        (axes.axvline if vertical else axes.axhline)(CHANCE, color=MUTED, linestyle=":", linewidth=1.4)


def _checked(row: Row) -> Row:
    try:
        family, name, encoder = str(row["family"]), str(row["name"]), str(row["encoder"])
        amount = math.nan if row["amount"] is None else float(row["amount"])
        auroc, (low, high) = float(row["macro_auroc"]), (float(value) for value in row["ci95"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"row {dict(row)} cannot be drawn",
            field="rows",
            expected="encoder, family, name, amount, macro_auroc and ci95 (low, high) in percent",
        ) from error
    return {
        "encoder": encoder, "family": family, "name": name, "amount": amount, "macro_auroc": auroc, "ci95": (low, high)
    }  # fmt: skip


def _spoken(points: Sequence[Row], clean: Mapping[str, Row], ylabel: str) -> str:
    words = []
    for encoder, row in clean.items():
        words.append(f"{encoder} on clean pages {row['macro_auroc']:.1f}")
    for encoder, family, name in dict.fromkeys(
        (row["encoder"], row["family"], row["name"]) for row in points if row["family"] != "clean"
    ):
        curve = [row for row in points if (row["encoder"], row["family"], row["name"]) == (encoder, family, name)]
        whose = f"{encoder}, " if len(clean) > 1 else ""
        if family == "layout":
            words.append(f"{whose}{name} {curve[0]['macro_auroc']:.1f}")
        else:
            ends = ", ".join(f"{row['macro_auroc']:.1f} at {row['amount']:g}" for row in (curve[0], curve[-1]))
            words.append(f"{whose}{name} {ends}")
    return f"{ylabel} on other pages than the probe was fitted on, with 95 % intervals: {'; '.join(words)}."
