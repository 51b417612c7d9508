"""Losses against a baseline: a dot and an interval for each figure; and where a toy's points end up on the sphere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.figure import BLUE, FAINT, INK, MUTED, PALETTE, VERMILLION, describe, style
from ecgscan_lab.plots.legibility import BACKDROP

if TYPE_CHECKING:
    from ecgscan_lab.compare.result import Comparison, Difference

_JUDGED = (
    "text_recall_at_10", "signal_recall_at_10", "probe_auroc", "zero_shot_auroc", "uniformity", "seconds_per_step",
)  # fmt: skip
_COLUMNS = 3


def plot_comparison(comparison: Comparison, metrics: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Draw each loss minus the baseline, with its 95 % interval, one panel a figure.

    A dot is filled where the interval excludes zero and hollow where it does not; blue is better, vermilion worse, and
    grey neither, or no clear difference. The baseline is the line at zero.

    Args:
        comparison: what `compare_losses` returned.
        metrics: names of `compare.METRICS`; None takes retrieval, both AUROCs, uniformity and seconds a step.
        title: figure title, or None for the comparison's own.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: an unknown figure, or one that no pair of runs has.
    """
    from ecgscan_lab.compare.judge import METRICS

    names = list(_JUDGED if metrics is None else metrics)
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise ArgumentError(
            f"no figure {unknown[0]!r}" if unknown else "no figures",
            field="metrics",
            expected=f"some of {', '.join(METRICS)}",
        )
    found = {(d.loss, d.metric): d for d in comparison.found if math.isfinite(d.difference)}
    drawn = [name for name in names if any((loss, name) in found for loss in comparison.losses)]
    if not drawn or (metrics is not None and len(drawn) < len(names)):
        missing = next((name for name in names if name not in drawn), names[0])
        raise ArgumentError(
            f"no pair of runs has {missing}", field="metrics" if metrics is not None else "comparison",
            expected="a figure that the baseline and another loss both have",
        )  # fmt: skip
    columns = min(len(drawn), _COLUMNS)
    n_rows = math.ceil(len(drawn) / columns)
    others = comparison.losses[1:]
    with style():
        height = n_rows * (0.34 * len(others) + 1.0) + 1.0
        figure = Figure(figsize=(3.0 * columns + 1.6, height), layout="constrained")
        for k, name in enumerate(drawn):
            axes = figure.add_subplot(n_rows, columns, k + 1)
            differences = [found.get((loss, name)) for loss in others]
            _draw_panel(axes, differences, METRICS[name].better)
            axes.set_yticks(range(len(others)), others if k % columns == 0 else [""] * len(others))
            axes.set_title(_wrapped(METRICS[name].label), fontsize=10)
            if k >= len(drawn) - columns:
                axes.set_xlabel(f"minus {comparison.baseline} (same unit)")
        figure.legend(handles=_legend(), loc="outside lower center", ncols=4, fontsize=9)
        figure.suptitle(title or comparison.title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    return describe(figure, _in_words(comparison, found, drawn))


def _draw_panel(axes: Axes, differences: Sequence[Difference | None], better: int) -> None:
    from ecgscan_lab.compare.result import NO_DIFFERENCE

    axes.axvline(0.0, color=INK, linewidth=1.0)
    for y, d in enumerate(differences):
        if d is None:
            axes.annotate("not known", (0.0, y), color=MUTED, fontsize=8, ha="center", va="center")
            continue
        clear = d.verdict not in (NO_DIFFERENCE, "not known")
        colour = MUTED if not clear or not better else BLUE if d.verdict == "better" else VERMILLION
        if math.isfinite(d.low):
            axes.plot([d.low, d.high], [y, y], color=colour, linewidth=2.2, solid_capstyle="round")
        axes.plot(d.difference, y, "o", color=colour, markersize=7, markerfacecolor=colour if clear else "white")
    for y in range(1, len(differences)):
        axes.axhline(y - 0.5, color=FAINT, linewidth=0.7, gid=BACKDROP)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _legend() -> list[Line2D]:
    kinds = (
        (BLUE, BLUE, "better"),
        (VERMILLION, VERMILLION, "worse"),
        (MUTED, MUTED, "differs, neither better nor worse"),
        (MUTED, "white", "no clear difference"),
    )
    return [
        Line2D([], [], color=edge, marker="o", markerfacecolor=face, markersize=7, linewidth=2.4, label=label)
        for edge, face, label in kinds
    ]


def _in_words(comparison: Comparison, found: Mapping[tuple[str, str], Difference], drawn: Sequence[str]) -> str:
    """Panel by panel, as they stand: what was measured, in which unit, and every loss with what may be said of it."""
    from ecgscan_lab.compare.judge import METRICS

    panels = []
    for name in drawn:
        spoken = [_spoken(loss, found.get((loss, name))) for loss in comparison.losses[1:]]
        panels.append(f"{METRICS[name].label}: {'; '.join(spoken)}.")
    return f"Dots with 95 % intervals, each loss minus {comparison.baseline}. {' '.join(panels)}"


def _spoken(loss: str, d: Difference | None) -> str:
    if d is None:
        return f"{loss} not known"
    interval = f" ({d.low:.2g} to {d.high:.2g})" if math.isfinite(d.low) else ""
    return f"{loss} {d.difference:+.2g}{interval}, {d.verdict}"


def _wrapped(label: str) -> str:
    head, comma, tail = label.partition(", ")
    return f"{head},\n{tail}" if comma else label


def plot_sphere(
    panels: Mapping[str, tuple[ArrayLike, ArrayLike]],
    groups: ArrayLike,
    names: tuple[str, str] = ("page", "signal"),
    n_pairs: int = 24,
    title: str | None = None,
) -> Figure:
    """Draw partners on the unit sphere, the whole of it flattened to an oval that keeps areas (Mollweide).

    Args:
        panels: name -> (rows of one modality, rows of the other), both `[pair, 3]`, any length of row.
        groups: group of each pair `[pair]`, shown as colour.
        names: what the two modalities are called.
        n_pairs: partners joined by a line along the sphere.
        title: figure title, or None.

    Returns:
        The figure, with alt text that gives the median angle of partners.

    Raises:
        ArgumentError: no panels, or rows that are not `[pair, 3]`, finite and of some length.

    >>> import numpy as np
    >>> rows = np.eye(3)
    >>> [axes.get_title("left") for axes in plot_sphere({"mine": (rows, -rows)}, [0, 1, 2]).axes]
    ['mine']
    """
    group = np.unique(np.asarray(groups), return_inverse=True)[1]
    tables = {
        name: (_unit_points(a, name, len(group)), _unit_points(b, name, len(group))) for name, (a, b) in panels.items()
    }
    if not tables:
        raise ArgumentError("nothing to draw", field="panels", expected="name -> two tables [pair, 3]")
    columns = min(len(tables), _COLUMNS)
    n_rows = math.ceil(len(tables) / columns)
    colours = [PALETTE[k % len(PALETTE)] for k in group]
    joined = np.unique(np.linspace(0, len(group) - 1, min(n_pairs, len(group))).astype(int))
    with style():
        figure = Figure(figsize=(3.5 * columns, 2.15 * n_rows + 0.7), layout="constrained")
        for k, (name, (a, b)) in enumerate(tables.items()):
            axes = figure.add_subplot(n_rows, columns, k + 1, projection="mollweide")
            for i in joined:
                for arc in _arcs(a[i], b[i]):
                    axes.plot(*arc, color=MUTED, linewidth=0.7)
            axes.scatter(*_angles(b), s=26, facecolors="none", edgecolors=colours, linewidths=1.1)
            axes.scatter(*_angles(a), s=14, c=colours)
            axes.set_title(name)
            axes.grid(visible=True)
            axes.set(xticklabels=[], yticklabels=[])
        handles = [
            Line2D([], [], linestyle="", marker="o", color=INK, markersize=5, label=names[0]),
            Line2D([], [], linestyle="", marker="o", color=INK, markerfacecolor="none", markersize=7, label=names[1]),
            Line2D([], [], color=MUTED, linewidth=0.9, label="partners"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    spoken = [
        f"{name} {np.degrees(np.median(np.arccos(np.clip((a * b).sum(1), -1, 1)))):.0f} degrees"
        for name, (a, b) in tables.items()
    ]
    return describe(
        figure,
        f"{names[0]} as dots and {names[1]} as circles on the flattened sphere, a colour for each of {len(set(group))} "
        f"groups; median angle of partners: {'; '.join(spoken)}.",
    )


def _unit_points(rows: ArrayLike, name: str, n: int) -> NDArray[np.float64]:
    table = np.asarray(rows, dtype=np.float64)
    if table.shape != (n, 3) or not np.isfinite(table).all() or not table.any(axis=1).all():
        raise ArgumentError(f"panel {name!r} of shape {table.shape}", field="panels", expected=f"finite rows ({n}, 3)")
    unit: NDArray[np.float64] = table / np.linalg.norm(table, axis=1, keepdims=True)
    return unit


def _angles(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude in radians."""
    return np.arctan2(points[..., 1], points[..., 0]), np.arcsin(np.clip(points[..., 2], -1, 1))


def _arcs(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The great circle from a to b, cut where it leaves the map at one side and comes back at the other."""
    # In the plane of a and b, from a towards the part of b across it; opposite points have many such planes.
    across = b - (a @ b) * a
    if np.linalg.norm(across) < 1e-6:
        across = np.eye(3)[np.argmin(np.abs(a))] - a[np.argmin(np.abs(a))] * a
    across /= np.linalg.norm(across)
    angles = np.linspace(0, np.arccos(np.clip(a @ b, -1, 1)), 40)[:, None]
    points = np.cos(angles) * a + np.sin(angles) * across
    longitude, latitude = _angles(points)
    cuts = np.flatnonzero(np.abs(np.diff(longitude)) > np.pi / 2) + 1
    return list(zip(np.split(longitude, cuts), np.split(latitude, cuts), strict=True))
