"""The course of a training run: every part of the loss, train and validation, with the floor it cannot pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.figure import BLUE, MUTED, VERMILLION, describe, style

_COLUMNS = 3


def plot_history(
    history: Iterable[Mapping[str, float | int | str]],
    parts: Sequence[str] | None = None,
    floors: Mapping[str, float] | None = None,
    window: int = 15,
    title: str | None = None,
) -> Figure:
    """Draw the total loss and each of its parts over training steps, one panel each.

    Training values are faint as logged and bold as a running mean; validation values are marked and dashed, as logged.

    Args:
        history: `types.History`, or any rows `{"step": int, "split": "train" | "val", "total": float, ...parts}`.
        parts: which quantities to draw; None draws all that were logged, "total" first.
        floors: quantity -> the least value it can reach, for instance that of a label-smoothed cross-entropy.
        window: logged steps in the running mean, 1 for none. It is centred, so that the curve does not lag behind the
            values, and holds fewer of them towards both ends.
        title: figure title, or None.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: nothing was logged, a quantity was not, or `window` is below 1.

    >>> rows = [{"step": k, "split": "train", "total": 1.0 / (k + 1), "contrastive": 0.5} for k in range(5)]
    >>> [axes.get_title("left") for axes in plot_history(rows).axes]
    ['total', 'contrastive']
    """
    rows = list(history)
    if window < 1:
        raise ArgumentError(f"window {window}", field="window", expected="an integer of at least 1")
    logged = dict.fromkeys(key for row in rows for key, value in row.items() if _is_quantity(key, value))
    names = list(parts) if parts is not None else sorted(logged, key=lambda name: name != "total")
    unknown = [name for name in names if name not in logged]
    if unknown or not names:
        raise ArgumentError(
            f"no logged values of {', '.join(unknown) or 'anything'}",
            field="parts" if unknown else "history",
            expected=f"one of {', '.join(logged)}" if logged else "at least one row with a step, a split and a number",
        )
    columns = min(len(names), _COLUMNS)
    n_rows = math.ceil(len(names) / columns)
    with style():
        figure = Figure(figsize=(max(3.5 * columns, 5.0), 2.5 * n_rows + 0.6), layout="constrained")
        for k, name in enumerate(names):
            axes = figure.add_subplot(n_rows, columns, k + 1)
            steps, values = _curve(rows, "train", name)
            axes.plot(steps, values, color=BLUE, alpha=0.28, linewidth=0.9)
            axes.plot(steps, _running_mean(values, window), color=BLUE, linewidth=1.8, label="train (running mean)")
            steps, values = _curve(rows, "val", name)
            if len(steps):
                axes.plot(steps, values, color=VERMILLION, linestyle="--", marker="o", markersize=4, label="validation")
            if floors is not None and name in floors:
                axes.axhline(floors[name], color=MUTED, linestyle=":", linewidth=1.4, label="lowest possible value")
            axes.set_title(name)
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if k >= len(names) - columns:
                axes.set_xlabel("Training step")
            if k % columns == 0:
                axes.set_ylabel("Value")
        handles = {
            label: handle
            for axes in figure.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return describe(figure, " ".join([f"Training curves of {', '.join(names)}.", *(_in_words(rows, n) for n in names)]))


def _is_quantity(key: str, value: object) -> bool:
    return key not in ("step", "split") and isinstance(value, (int, float)) and not isinstance(value, bool)


def _curve(rows: Sequence[Mapping[str, float | int | str]], split: str, name: str) -> tuple[NDArray, NDArray]:
    """Steps and values of one quantity on one split, by step."""
    points = sorted((float(row["step"]), float(row[name])) for row in rows if row["split"] == split and name in row)
    return np.array([step for step, _ in points]), np.array([value for _, value in points])


def _running_mean(values: NDArray, window: int) -> NDArray:
    """Centred mean over up to `window` values, fewer towards the ends; values that are not finite are left out."""
    finite = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(finite)])
    place = np.arange(len(values))
    first, last = np.maximum(place - window // 2, 0), np.minimum(place + window // 2 + 1, len(values))
    number = count[last] - count[first]
    return (total[last] - total[first]) / np.where(number > 0, number, np.nan)


def _in_words(rows: Sequence[Mapping[str, float | int | str]], name: str) -> str:
    spoken = []
    for split, word in (("train", "training"), ("val", "validation")):
        steps, values = _curve(rows, split, name)
        if len(values):
            spoken.append(f"{word} from {values[0]:.3g} to {values[-1]:.3g} at step {steps[-1]:.0f}")
    return f"{name}: {', '.join(spoken)}."
