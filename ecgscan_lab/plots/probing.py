"""What a probe's number depends on: how many labels, which epoch is reported, and whose luck its interval counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.comparison import CHANCE
from ecgscan_lab.plots.figure import BLUE, MARKERS, MUTED, PALETTE, VERMILLION, describe, style
from ecgscan_lab.plots.legibility import BACKDROP

_AUROC = "Macro AUROC on test (%)"


def plot_few_labels(
    rows: Sequence[Any],
    reference: Mapping[str, float] | None = None,
    title: str | None = None,
    ylabel: str = _AUROC,
) -> Figure:
    """Draw AUROC over the share of labels used, a line an encoder, every draw as a small dot.

    Args:
        rows: of `evaluate.probe_table.ProbeTable`, or objects with `encoder`, `percent`, `honest`, `ci95` and `draws`.
        reference: name -> AUROC in percent, drawn as dashed lines: zero-shot, for instance, which uses no label.
        title: figure title, or None.
        ylabel: axis title with its unit.

    Returns:
        The figure, with alt text. Bands are 95 % intervals. The axis of labels is logarithmic.

    Raises:
        ArgumentError: no rows, or a share that is not above 0.
    """
    if not rows or not all(row.percent > 0 for row in rows):
        raise ArgumentError("nothing to draw", field="rows", expected="rows with percent above 0")
    encoders = list(dict.fromkeys(row.encoder for row in rows))
    percents = sorted({float(row.percent) for row in rows})
    words = []
    with style():
        figure = Figure(figsize=(8.6, 4.2), layout="constrained")
        axes = figure.add_subplot()
        for k, encoder in enumerate(encoders):
            line = sorted((row for row in rows if row.encoder == encoder), key=lambda row: row.percent)
            # Side by side rather than one on top of the other: a few percent of shift on a logarithmic axis.
            x = [row.percent * 1.06 ** (k - (len(encoders) - 1) / 2) for row in line]
            color = PALETTE[k % len(PALETTE)]
            low, high = [row.ci95[0] for row in line], [row.ci95[1] for row in line]
            axes.fill_between(x, low, high, color=color, alpha=0.14, linewidth=0)
            axes.plot(
                x,
                [row.honest for row in line],
                marker=MARKERS[k % len(MARKERS)],
                color=color,
                markersize=6,
                label=encoder,
            )
            for at, row in zip(x, line, strict=True):
                found = [getattr(d, "validation_selected", d.macro_auroc) for d in row.draws] if row.n_draws > 1 else []
                axes.plot([at] * len(found), found, ".", color=color, markersize=3.5, gid=BACKDROP, alpha=0.6)
            words.append(f"{encoder} " + ", ".join(f"{row.honest:.1f} at {row.percent:g} %" for row in line))
        for k, (name, value) in enumerate((reference or {}).items()):
            # Named in the legend: beside the line its name would lie on the curves.
            axes.axhline(value, color=MUTED, linestyle=("--", "-.")[k % 2], linewidth=1.2, label=f"{name} {value:.1f}")
            words.append(f"{name} {value:.1f}, a dashed line")
        if min(row.ci95[0] for row in rows) < CHANCE + 5.0:
            axes.axhline(CHANCE, color=MUTED, linestyle=":", linewidth=1.4)
        axes.set_xscale("log")
        axes.set_xticks(percents, [f"{percent:g}" for percent in percents])
        axes.minorticks_off()
        axes.set(xlabel="training records whose labels are used (%)", ylabel=ylabel)
        axes.grid(axis="y")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        if title:
            axes.set_title(title)
    return describe(
        figure, f"{ylabel} over the share of labels used, with 95 % bands and a dot a draw: {'; '.join(words)}."
    )


def plot_epoch_choice(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]], title: str | None = None, ylabel: str = "Macro AUROC (%)"
) -> Figure:
    """Draw validation and test over epochs, with the epoch that each of them would choose.

    Args:
        curves: panel -> (validation curve, test curve) `[epoch]` in percent, as in `EpochProbeResult`.
        title: figure title, or None.
        ylabel: axis title with its unit.

    Returns:
        The figure, with alt text: a filled square is reported when validation chooses, a hollow mark when test does.

    Raises:
        ArgumentError: no curves, or two of different length.

    Example:
        >>> figure = plot_epoch_choice({"noise": ([50.0, 52.0], [53.0, 49.0])})
        >>> "test chooses epoch 1: 53.0" in figure.alt_text
        True
    """
    table = {name: (np.asarray(val, float), np.asarray(test, float)) for name, (val, test) in curves.items()}
    if not table or any(val.ndim != 1 or val.shape != test.shape or not len(val) for val, test in table.values()):
        raise ArgumentError("no curves", field="curves", expected="panel -> two curves of one length")
    words = []
    with style():
        figure = Figure(figsize=(4.3 * max(2, len(table)), 3.7), layout="constrained")
        panels = figure.subplots(1, len(table), squeeze=False)[0]
        for axes, (name, (val, test)) in zip(panels, table.items(), strict=True):
            epoch = np.arange(1, len(val) + 1)
            honest, best = int(np.nanargmax(val)), int(np.nanargmax(test))
            axes.plot(epoch, val, color=BLUE, label="validation")
            axes.plot(epoch, test, color=VERMILLION, linestyle=(0, (4, 1.5)), label="test")
            axes.plot(epoch[honest], val[honest], "o", color=BLUE, markersize=6, label="validation chose")
            axes.plot(epoch[honest], test[honest], "s", color=VERMILLION, markersize=7, label="reported, honest")
            axes.plot(
                epoch[best], test[best], "D", color=VERMILLION, markersize=8, mfc="white", markeredgewidth=1.6,
                label="reported, test chose",
            )  # fmt: skip
            axes.vlines(
                epoch[honest], min(val[honest], test[honest]), max(val[honest], test[honest]), color=MUTED, lw=0.9
            )
            axes.set(title=f"{name}: {test[honest]:.1f} honest, {test[best]:.1f} by test", xlabel="epoch")
            axes.grid(axis="y")
            words.append(
                f"{name}: validation chooses epoch {honest + 1}, where test is {test[honest]:.1f}; "
                f"test chooses epoch {best + 1}: {test[best]:.1f}"
            )
        panels[0].set_ylabel(ylabel)
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return describe(figure, f"{ylabel} after every epoch on validation and on test. {'. '.join(words)}.")


def plot_coverage(
    intervals: Mapping[str, ArrayLike],
    truth: float,
    title: str | None = None,
    xlabel: str = "AUROC (%)",
    shown: int = 40,
) -> Figure:
    """Draw repeated intervals of one quantity against its true value: how many hold it.

    Args:
        intervals: kind -> `[repeat, 2]`, low and high in percent: one row an imagined study.
        truth: the true value, in percent.
        title: figure title, or None.
        xlabel: axis title with its unit.
        shown: how many of the intervals are drawn; all are counted.

    Returns:
        The figure, with alt text; intervals that miss are thick, and end in squares.

    Raises:
        ArgumentError: no intervals, or of another shape.
    """
    table = {name: np.asarray(rows, dtype=float) for name, rows in intervals.items()}
    if not table or any(rows.ndim != 2 or rows.shape[1] != 2 or not len(rows) for rows in table.values()):
        raise ArgumentError("no intervals", field="intervals", expected="kind -> [repeat, 2]")
    words = []
    with style():
        figure = Figure(figsize=(8.6, 4.4), layout="constrained")
        panels = figure.subplots(1, len(table), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, rows) in zip(panels, table.items(), strict=True):
            holds = (rows[:, 0] <= truth) & (truth <= rows[:, 1])
            for y, ((low, high), held) in enumerate(zip(rows[:shown], holds, strict=False)):
                color, width = (BLUE, 1.6) if held else (VERMILLION, 3.0)
                axes.plot([low, high], [y, y], color=color, linewidth=width)
                if not held:
                    axes.plot([low, high], [y, y], "s", color=VERMILLION, markersize=4.5)
            axes.axvline(truth, color=MUTED, linestyle="--", linewidth=1.2)
            share = 100.0 * holds.mean()
            axes.set(title=f"{name}: {share:.0f} % hold the truth", xlabel=xlabel)
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            words.append(f"{name}: {share:.0f} % of {len(rows)} hold it")
        n = max(map(len, table.values()))
        panels[0].set_ylabel(f"{min(shown, n)} of {n} studies, one interval each")
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return describe(figure, f"95 % intervals around a true {xlabel} of {truth:.1f}. {'; '.join(words)}.")
