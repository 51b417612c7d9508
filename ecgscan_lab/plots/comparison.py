"""Encoders, losses and labels compared: dots with their intervals, never bare bars."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.figure import FAINT, INK, MARKERS, MUTED, PALETTE, describe, style
from ecgscan_lab.plots.legibility import BACKDROP

CHANCE = 50.0


def plot_auroc_bars(
    rows: Sequence[Mapping[str, Any]], title: str | None = None, xlabel: str = "Macro AUROC on test (%)"
) -> Figure:
    """Draw a dot and a 95 % interval for each row: which encoder does better, and is the gap larger than the noise.

    Args:
        rows: mappings with `label` and `macro_auroc` (percent), and optionally `ci95` (low, high) and `group` (for
            instance "linear probe" and "zero-shot"); rows of one group share colour and marker, rows of one label share
            a line. Labels run from top to bottom in the order they first occur.
        title: figure title, or None.
        xlabel: axis title with its unit.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: no rows, one lacks a value, or a figure is not a percentage.

    >>> rows = [{"label": "ours", "macro_auroc": 88.0, "ci95": (86.0, 90.0)}, {"label": "random", "macro_auroc": 61.0}]
    >>> [tick.get_text() for tick in plot_auroc_bars(rows).axes[0].get_yticklabels()]
    ['ours', 'random']
    """
    points = [_point(row) for row in rows]
    if not points:
        raise ArgumentError("nothing to compare", field="rows", expected="at least one row")
    labels = list(dict.fromkeys(label for label, *_ in points))
    groups = list(dict.fromkeys(group for *_, group in points))
    reach = [value for _, auroc, (low, high), _ in points for value in (auroc, low, high)]
    near_chance = min(reach) < CHANCE + 8.0
    reach += [CHANCE] if near_chance else []
    with style():
        figure = Figure(figsize=(8.6, 0.36 * len(labels) * max(1.0, 0.62 * len(groups)) + 1.5))
        figure.set_layout_engine("constrained", w_pad=0.12)  # names and figures outside the axes keep clear of the edge
        axes = figure.add_subplot()
        for label, auroc, (low, high), group in points:
            k = groups.index(group)
            y = labels.index(label) + (k - (len(groups) - 1) / 2) * 0.62 / len(groups)
            color = PALETTE[k % len(PALETTE)]
            axes.plot([low, high], [y, y], color=color, linewidth=2.2, solid_capstyle="round")
            axes.plot(auroc, y, MARKERS[k % len(MARKERS)], color=color, markersize=6.5, label=group)
            axes.annotate(
                f"{auroc:.1f}", (1.015, y), xycoords=("axes fraction", "data"), va="center", color=INK, fontsize=9
            )
        for y in range(1, len(labels)):
            axes.axhline(y - 0.5, color=FAINT, linewidth=0.7, gid=BACKDROP)
        axes.grid(axis="x")
        if near_chance:
            axes.axvline(CHANCE, color=MUTED, linestyle=":", linewidth=1.4)
            axes.annotate(
                "chance",
                (CHANCE, 1.0),
                xycoords=("data", "axes fraction"),
                ha="center",
                va="bottom",
                color=MUTED,
                fontsize=9,
            )
        axes.set_yticks(range(len(labels)), labels)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        span = max(reach) - min(reach)
        low, high = min(reach) - 0.06 * span - 0.5, max(reach) + 0.06 * span + 0.5
        axes.set(ylim=(len(labels) - 0.5, -0.5), xlim=(low, min(high, 100.5)), xlabel=xlabel)
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        if len(groups) > 1:
            handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
            figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(groups))
        if title:
            axes.set_title(title, pad=16 if near_chance else 6)
    listed = "; ".join(
        f"{label}{f' ({group})' if group else ''} {auroc:.1f}"
        + (f", interval {low:.1f} to {high:.1f}" if low < high else "")
        for label, auroc, (low, high), group in points
    )
    return describe(figure, f"{xlabel}, dots with 95 % intervals: {listed}.")


def plot_per_class(
    results: Mapping[str, Mapping[str, float | None]], title: str | None = None, xlabel: str = "AUROC on test (%)"
) -> Figure:
    """Draw the AUROC of every label for each model, labels sorted by the first model.

    Args:
        results: model -> (label -> AUROC in percent, or None where undefined), as in `ProbeResult.per_class`.
        title: figure title, or None.
        xlabel: axis title with its unit.

    Returns:
        The figure, with alt text; labels that no model has defined are listed at the bottom as "undefined".

    Raises:
        ArgumentError: no models, or no labels.

    >>> figure = plot_per_class({"probe": {"MI": 80.0, "NORM": 92.0, "HYP": None}})
    >>> [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    ['NORM', 'MI', 'HYP (undefined)']
    """
    classes = list(dict.fromkeys(name for per_class in results.values() for name in per_class))
    if not classes:
        raise ArgumentError("no labels to draw", field="results", expected="model -> {label: AUROC in percent or None}")
    table = {model: np.array([_percent_or_nan(of.get(name)) for name in classes]) for model, of in results.items()}
    stacked = np.stack(list(table.values()))
    best = np.where(np.isfinite(stacked), stacked, -math.inf).max(axis=0)
    first = stacked[0]
    order = sorted(
        range(len(classes)),
        key=lambda c: (not math.isfinite(best[c]), -first[c] if math.isfinite(first[c]) else math.inf),
    )
    names = [classes[c] + ("" if math.isfinite(best[c]) else " (undefined)") for c in order]
    with style():
        figure = Figure(figsize=(8.6, 0.3 * len(classes) + 1.6), layout="constrained")
        axes = figure.add_subplot()
        axes.grid(axis="both")
        for k, (model, aurocs) in enumerate(table.items()):
            axes.plot(
                aurocs[order], range(len(order)), linestyle="", marker=MARKERS[k % len(MARKERS)], markersize=6.5,
                color=PALETTE[k % len(PALETTE)], markeredgecolor="white", markeredgewidth=0.6, label=model,
            )  # fmt: skip
        finite = stacked[np.isfinite(stacked)]
        if len(finite) and finite.min() < CHANCE + 8.0:
            axes.axvline(CHANCE, color=MUTED, linestyle=":", linewidth=1.4, label="chance")
        axes.set_yticks(range(len(order)), names)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set(ylim=(len(order) - 0.5, -0.5), xlabel=xlabel)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(table) + 1))
        if title:
            axes.set_title(title)
    spoken = []
    for model, aurocs in table.items():
        defined = [c for c in order if math.isfinite(aurocs[c])]
        if defined:
            high, low = max(defined, key=lambda c: aurocs[c]), min(defined, key=lambda c: aurocs[c])
            spoken.append(
                f"{model}: best {classes[high]} {aurocs[high]:.1f}, worst {classes[low]} {aurocs[low]:.1f}, "
                f"{len(defined)} of {len(classes)} labels defined"
            )
    return describe(figure, f"{xlabel} of {len(classes)} labels as dots. {'; '.join(spoken)}.")


def _point(row: Mapping[str, Any]) -> tuple[str, float, tuple[float, float], str]:
    try:
        label, auroc = str(row["label"]), float(row["macro_auroc"])
        low, high = (float(value) for value in row.get("ci95") or (auroc, auroc))
    except (KeyError, TypeError, ValueError) as error:
        raise ArgumentError(
            f"row {dict(row)} cannot be drawn",
            field="rows",
            expected='"label" and "macro_auroc" in percent, optionally "ci95" (low, high) and "group"',
        ) from error
    if not all(0.0 <= value <= 100.0 for value in (auroc, low, high)) or low > high:
        raise ArgumentError(f"row {dict(row)}", field="rows", expected="percentages from 0 to 100, low before high")
    return label, auroc, (low, high), str(row.get("group") or "")


def _percent_or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
