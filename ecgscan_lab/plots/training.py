"""The course of a training run: every part of the loss, train and validation, with the floor it cannot pass."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.figure import BLUE, GREEN, INK, MUTED, SKY, VERMILLION, describe, style
from ecgscan_lab.plots.legibility import BACKDROP
from ecgscan_lab.train.step_times import STEP_PARTS, StepTimes, step_times, timed_rows

_COLUMNS = 3

_PART_LOOKS = {
    "waiting for data": (VERMILLION, "//"),
    "forward": (SKY, ""),
    "backward": (BLUE, ".."),
    "optimiser": (GREEN, "xx"),
    "other": (MUTED, ""),
}
"""Colour and hatch of each part of a step, so that neither has to be told by colour alone."""


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
    n_averaged = 2 * (window // 2) + 1
    smooth = f"train, mean of up to {n_averaged} rows" if n_averaged > 1 else "train"
    columns = min(len(names), _COLUMNS)
    n_rows = math.ceil(len(names) / columns)
    with style():
        figure = Figure(figsize=(max(3.5 * columns, 5.0), 2.5 * n_rows + 0.6), layout="constrained")
        for k, name in enumerate(names):
            axes = figure.add_subplot(n_rows, columns, k + 1)
            steps, values = _curve(rows, "train", name)
            axes.plot(
                steps, values, color=BLUE, alpha=0.28, linewidth=0.9, gid=BACKDROP, label="train, each row logged"
            )
            axes.plot(steps, _running_mean(values, window), color=BLUE, linewidth=1.8, label=smooth)
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
                axes.set_ylabel("Value (as logged)")
        handles = {
            label: handle
            for axes in figure.axes
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return describe(figure, " ".join([f"Training curves of {', '.join(names)}.", *(_in_words(rows, n) for n in names)]))


def plot_step_times(
    history: Iterable[Mapping[str, float | int | str]], window: int = 15, title: str | None = None
) -> Figure:
    """Draw where the time of a training step goes, on average and over the run; a starved device is pointed out.

    Args:
        history: rows with times, as `train.step_times` reads them.
        window: logged steps in the running mean, 1 for none.
        title: figure title, or None.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: no row has a time, or `window` is below 1.

    >>> rows = [{"step": k, "split": "train", "wait_s": 0.01, "forward_s": 0.05} for k in range(5)]
    >>> len(plot_step_times(rows).axes)
    2
    """
    if window < 1:
        raise ArgumentError(f"window {window}", field="window", expected="an integer of at least 1")
    rows = list(history)
    times, timed = step_times(rows), timed_rows(rows)[1:] or timed_rows(rows)
    with style():
        figure = Figure(figsize=(7.5, 4.4), layout="constrained")
        bar, course = figure.subplots(2, 1, height_ratios=(1, 3))
        _draw_mean_step(bar, times)
        _draw_course(course, timed, times, window)
        handles, labels = course.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(handles), 4))
        course.set_title(textwrap.fill(times.advice, 84), fontsize=9.5, color=INK)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return describe(figure, f"Where the time of a training step goes, mean of {times.n_steps} logged steps: {times}")


def _draw_mean_step(axes: Axes, times: StepTimes) -> None:
    """One bar: the parts of the mean step, with their shares."""
    left = 0.0
    for name, seconds in times.parts.items():
        colour, hatch = _PART_LOOKS[name]
        axes.barh(0, 1000 * seconds, left=left, color=colour, hatch=hatch, edgecolor="white", height=0.6)
        if seconds > 0.06 * times.step_s:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            text = f"{seconds / times.step_s:.0%}"
            axes.text(left + 500 * seconds, 0, text, ha="center", va="center", fontsize=9, bbox=box)
        left += 1000 * seconds
    axes.set_yticks([])
    axes.set_xlim(0, left or 1.0)
    axes.set_xlabel("Mean step (ms)")
    axes.spines["left"].set_visible(False)


def _draw_course(axes: Axes, timed: Sequence[Mapping[str, float]], times: StepTimes, window: int) -> None:
    """Stacked running means of the parts over the run, and what drawing takes beside them."""
    if len(timed) == 1:  # an area has two ends
        timed = [{**timed[0], "step": timed[0]["step"] + side} for side in (-0.5, 0.5)]
    steps = np.array([row["step"] for row in timed])
    parts = {
        word: _running_mean(np.array([row.get(key, 0.0) for row in timed]), window)
        for key, word in STEP_PARTS.items()
        if word in times.parts
    }
    if "other" in times.parts:
        whole = _running_mean(np.array([row.get("step_s", np.nan) for row in timed]), window)
        parts["other"] = np.maximum(whole - sum(parts.values()), 0.0)
    below = np.zeros(len(steps))
    for name, seconds in parts.items():
        colour, hatch = _PART_LOOKS[name]
        top = below + 1000 * seconds
        axes.fill_between(
            steps, below, top, facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0.4, label=name
        )
        below = top
    if math.isfinite(times.draw_s):
        drawing = _running_mean(np.array([row.get("draw_s", np.nan) for row in timed]), window)
        axes.plot(steps, 1000 * drawing, color=INK, linestyle="--", linewidth=1.4, label="drawing a batch, meanwhile")
    axes.set_xlim(steps[0], steps[-1])
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("Training step")
    axes.set_ylabel("Time (ms)")


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
