"""Flat maps of embeddings side by side, what lies near what, and what moved a decision on a page."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, MissingExtraError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots.embedding import pca_2d
from ecgscan_lab.plots.figure import BLACK, MARKERS, MUTED, PALETTE, describe, plain_markers, style

METHODS = ("PCA", "t-SNE", "UMAP")
_AGAINST, _FOR = colormaps["RdBu"]([0.1, 0.9])  # as on the page and by beat, where colours have shades


class Places(NamedTuple):
    """Where the modalities of the same records lie on one map, `[record, 2]` each."""

    image: NDArray[np.float64]
    text: NDArray[np.float64]
    signal: NDArray[np.float64]


def map_2d(features: ArrayLike, method: str = "PCA", seed: int = 0) -> NDArray[np.float64]:
    """Rows of unit length, laid out in the plane.

    Args:
        features: finite `[record, dim]`, rows that are not zero.
        method: one of `METHODS`; t-SNE and UMAP take cosine distances.
        seed: of t-SNE and UMAP. The same seed agrees on one machine, not between machines.

    Raises:
        ArgumentError: another method, or features without a map.
        MissingExtraError: UMAP without umap-learn.

    Example:
        >>> map_2d([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]).shape
        (3, 2)
    """
    if method not in METHODS:
        raise ArgumentError(f"no method {method!r}", field="method", expected=f"one of {', '.join(METHODS)}")
    x = np.asarray(features, dtype=np.float64)
    x = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    if method == "PCA":
        return pca_2d(x, seed).points
    if method == "t-SNE":
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(x) - 1) / 3)
        found = TSNE(2, metric="cosine", init="pca", perplexity=perplexity, random_state=seed).fit_transform(x)
    else:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it says at import that Tensorflow is not installed
                from umap import UMAP

                found = UMAP(metric="cosine", random_state=seed, n_jobs=1).fit_transform(x)
        except ImportError as error:
            raise MissingExtraError("UMAP needs umap-learn", fix="pip install umap-learn") from error
    return np.asarray(found, dtype=np.float64)


def plot_maps(maps: Mapping[str, ArrayLike], labels: Sequence[str] | NDArray[np.str_], title: str = "") -> Figure:
    """Several maps of the same records side by side, a colour and a marker a class.

    Args:
        maps: title of a panel -> points `[record, 2]`.
        labels: class of each record, at most seven classes.
        title: of the figure.

    Raises:
        ArgumentError: shapes differ, or more classes than colours.
    """
    of = np.asarray(labels).astype(str)
    names = sorted(set(of.tolist()))
    if not maps or len(names) > len(PALETTE):
        raise ArgumentError(
            f"{len(maps)} maps of {len(names)} classes", field="labels", expected=f"1 to {len(PALETTE)} classes"
        )
    with style():
        figure = Figure(figsize=(3.6 * len(maps) + 0.6, 4.4), layout="constrained")
        panels = figure.subplots(1, len(maps), squeeze=False)[0]
        for axes, (name, points) in zip(panels, maps.items(), strict=True):
            xy = np.asarray(points, dtype=np.float64)
            if xy.shape != (len(of), 2):
                raise ArgumentError(f"points {xy.shape}, labels {of.shape}", field="maps", expected="[record, 2]")
            for k, label in enumerate(names):
                own = xy[of == label]
                shown = f"{label} ({len(own)})"
                axes.scatter(*own.T, s=16, c=PALETTE[k], marker=MARKERS[k], alpha=0.7, linewidths=0, label=shown)
            _bare(axes)
            axes.set_title(name)
        legend = figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
        plain_markers(legend)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    counted = ", ".join(f"{name} {int((of == name).sum())}" for name in names)
    return describe(
        figure, f"{len(maps)} flat maps of {len(of)} records ({', '.join(maps)}), coloured by class: {counted}."
    )


def plot_linked(places: Places, chosen: int, page: ArrayLike, text: str, name: str = "") -> Figure:
    """One record's page and report, and where its page, report and signal lie among all others.

    Args:
        places: the common map.
        chosen: position of the record.
        page: its picture, uint8 `[height, width, 3]`.
        text: its report.
        name: of the record.

    Raises:
        ArgumentError: no such record.
    """
    if not 0 <= chosen < len(places.image):
        raise ArgumentError(f"no record {chosen}", field="chosen", expected=f"0 to {len(places.image) - 1}")
    spots = []
    with style():
        figure = Figure(figsize=(10.0, 4.3), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
        _page(left, page)
        left.set_title(name or f"record {chosen}")
        left.set_xlabel(text if len(text) < 90 else f"{text[:87]}...", wrap=True)
        for k, modality in enumerate(Places._fields):
            xy = getattr(places, modality)
            right.scatter(*xy.T, s=10, c=PALETTE[k], marker=MARKERS[k], alpha=0.4, linewidths=0)
            right.scatter(
                *xy[chosen], s=130, c=PALETTE[k], marker=MARKERS[k], edgecolors=BLACK, zorder=3, label=modality
            )
            spots.append(xy[chosen])
        right.plot(*np.array([*spots, spots[0]]).T, color=BLACK, linewidth=1.0, zorder=2)
        _bare(right)
        right.legend(loc="best")
    where = ", ".join(f"{m} {x:.2g}, {y:.2g}" for m, (x, y) in zip(Places._fields, spots, strict=True))
    return describe(figure, f"The page of record {chosen}, report {text!r}, and its places on the common map: {where}.")


def plot_occlusion(drops: ArrayLike, title: str = "") -> Figure:
    """What each lead, in each beat or as a whole, did for a score: blue spoke for it, red against.

    Args:
        drops: `[12, span]` of `evaluate.saliency.occlusion`.
        title: of the figure.

    Raises:
        ArgumentError: not twelve rows.
    """
    table = np.asarray(drops, dtype=np.float64)
    if table.ndim != 2 or len(table) != len(LEADS):
        raise ArgumentError(f"drops of shape {table.shape}", field="drops", expected="[12, span]")
    summed = table.sum(axis=1)
    with style():
        figure = Figure(figsize=(9.0, 3.8), layout="constrained")
        if table.shape[1] == 1:
            axes = figure.add_subplot()
            axes.bar(LEADS, summed, color=[_FOR if value >= 0 else _AGAINST for value in summed])
            axes.axhline(0, color=MUTED, linewidth=0.8)
            axes.set(xlabel="Lead left out", ylabel="Fall of the score (cosine)")
        else:
            axes = figure.add_subplot()
            most = float(np.abs(table).max()) or 1.0
            drawn = axes.imshow(table, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
            axes.set_yticks(range(len(LEADS)), LEADS)
            axes.set_xticks(range(table.shape[1]), [str(k + 1) for k in range(table.shape[1])])
            axes.set(xlabel="Beat left out (number)", ylabel="Lead")
            figure.colorbar(drawn, ax=axes, label="Fall of the score (cosine)")
        axes.set_title(title)
    top = sorted(zip(LEADS, summed, strict=True), key=lambda item: -abs(item[1]))[:3]
    said = ", ".join(f"{lead} {value:.3g}" for lead, value in top)
    return describe(figure, f"Fall of the score when ink is left out, by lead; the largest sums are {said}.")


def plot_selection(
    signals_mv: ArrayLike,
    fs_hz: float,
    chosen: Sequence[int] | NDArray[np.int64],
    labels: Sequence[str] | NDArray[np.str_],
    points: ArrayLike | None = None,
) -> Figure:
    """Labels of the chosen records, and the mean of their lead II beat about its largest deflection.

    Args:
        signals_mv: all records `[record, 12, time]`.
        fs_hz: sampling rate in hertz.
        chosen: positions; none gives an empty figure that says so.
        labels: class of each record.
        points: places of all records on a map `[record, 2]`, to show where the chosen ones lie; None leaves it out.

    Raises:
        ArgumentError: a position that no record has, or points that do not match the labels.
    """
    rows, of = np.asarray(chosen, dtype=int), np.asarray(labels).astype(str)
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(of):
        raise ArgumentError(f"no record {rows.max()}", field="chosen", expected=f"0 to {len(of) - 1}")
    names = np.unique(of)
    counts = [int((of[rows] == name).sum()) for name in names]
    with style():
        figure = Figure(figsize=(9.0 if points is None else 11.5, 3.5), layout="constrained")
        *before, left, right = figure.subplots(1, 2 if points is None else 3)
        if points is not None:
            _taken(before[0], points, rows, of)
        for k, (name, count) in enumerate(zip(names, counts, strict=True)):  # the bars are the map's legend
            colour = PALETTE[k % len(PALETTE)]
            left.barh(name, count, color=colour)
            if points is not None:
                left.scatter(count + 0.04 * max(*counts, 1), k, s=30, c=colour, marker=MARKERS[k % len(MARKERS)])
        left.invert_yaxis()
        left.xaxis.get_major_locator().set_params(integer=True)
        left.set(xlabel="Records in the selection", ylabel="Class", title=f"{len(rows)} of {len(of)} records")
        if len(rows):
            beats = np.stack([_beat(np.asarray(signals_mv)[i, 1], fs_hz) for i in rows])
            seconds = (np.arange(beats.shape[1]) - beats.shape[1] // 2) / fs_hz
            mean, spread = np.nanmean(beats, axis=0), np.nanstd(beats, axis=0)
            right.fill_between(seconds, mean - spread, mean + spread, color=PALETTE[0], alpha=0.2, linewidth=0)
            right.plot(seconds, mean, color=PALETTE[0])
        right.set(xlabel="Time from the R peak (s)", ylabel="Lead II (mV)", title="Mean beat, and one SD")
    said = ", ".join(f"{name} {n}" for name, n in zip(names, counts, strict=True) if n) or "nobody"
    return describe(figure, f"{len(rows)} chosen records: {said}; beside it their mean beat in lead II.")


def plot_map_pages(
    points: ArrayLike, labels: Sequence[str] | NDArray[np.str_], shown: Mapping[str, int], pages: Sequence[ArrayLike]
) -> Figure:
    """A map, and the pages of a few of its points: the still twin of a map that shows pages under the pointer.

    Args:
        points: places of all records `[record, 2]`.
        labels: class of each record, at most seven classes.
        shown: title of a page -> position of its record, up to seven.
        pages: their pictures, uint8 `[height, width, 3]`, in the same order.

    Raises:
        ArgumentError: tables do not match, more classes than colours, or a position that no record has.
    """
    xy, of = np.asarray(points, dtype=np.float64), np.asarray(labels).astype(str)
    names = sorted(set(of.tolist()))
    if not 1 <= len(shown) <= 7 or len(pages) != len(shown):
        raise ArgumentError(f"{len(shown)} records, {len(pages)} pages", field="shown", expected="1 to 7, a page each")
    if xy.shape != (len(of), 2) or len(names) > len(PALETTE) or not all(0 <= i < len(of) for i in shown.values()):
        raise ArgumentError(
            f"points {xy.shape}, {len(names)} classes", field="points", expected="[record, 2], positions among them"
        )
    columns = 1 if len(shown) < 4 else 2
    rows = -(-len(shown) // columns)
    with style():
        figure = Figure(figsize=(5.0 + 3.2 * columns, max(4.2, 1.95 * rows)), layout="constrained")
        grid = figure.add_gridspec(rows, 1 + columns, width_ratios=(4.6, *[3.1] * columns))
        axes = figure.add_subplot(grid[:, 0])
        for k, name in enumerate(names):
            own = xy[of == name]
            axes.scatter(
                own[:, 0], own[:, 1], s=16, c=PALETTE[k], marker=MARKERS[k], alpha=0.6, linewidths=0, label=name
            )
        for n, (title, i) in enumerate(shown.items()):
            letter = chr(ord("A") + n)
            axes.scatter(xy[i, 0], xy[i, 1], s=150, facecolors="none", edgecolors=BLACK, linewidths=1.6, zorder=3)
            axes.annotate(
                letter, (float(xy[i, 0]), float(xy[i, 1])), xytext=(9, 7), textcoords="offset points",
                fontweight="bold",
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
            )  # fmt: skip
            panel = figure.add_subplot(grid[n // columns, 1 + n % columns])
            _page(panel, pages[n])
            panel.set_title(f"{letter}: {title}", fontsize=9)
        _bare(axes)
        plain_markers(axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=len(names), fontsize=9))
    said = "; ".join(f"{title} at {xy[i][0]:.2g}, {xy[i][1]:.2g}" for title, i in shown.items())
    return describe(figure, f"A flat map of {len(of)} records and the pages of {len(shown)} of them: {said}.")


def within(points: ArrayLike, x: float, y: float, radius: float) -> NDArray[np.int64]:
    """Positions of the points in a circle: what a lasso would take, for the keyboard.

    Example:
        >>> within([[0.0, 0.0], [3.0, 4.0]], 0.0, 0.0, 1.0).tolist()
        [0]
    """
    xy = np.asarray(points, dtype=np.float64)
    return np.flatnonzero(np.hypot(xy[:, 0] - x, xy[:, 1] - y) <= radius).astype(np.int64)


def _beat(lead_mv: NDArray[Any], fs_hz: float) -> NDArray[Any]:
    """0.8 s about the largest deflection that has room on both sides."""
    half = round(0.4 * fs_hz)
    filled = np.abs(np.nan_to_num(lead_mv - np.nanmedian(lead_mv) if np.isfinite(lead_mv).any() else lead_mv))
    middle = half + int(np.argmax(filled[half : len(filled) - half]))
    return lead_mv[middle - half : middle + half + 1]


def _taken(axes: Axes, points: ArrayLike, rows: NDArray[Any], of: NDArray[np.str_]) -> None:
    """A map on which the chosen records have their class's colour and all others are pale."""
    xy, taken = np.asarray(points, dtype=np.float64), np.zeros(len(of), dtype=bool)
    if xy.shape != (len(of), 2):
        raise ArgumentError(f"points {xy.shape}, labels {of.shape}", field="points", expected="[record, 2]")
    taken[rows] = True
    axes.scatter(xy[~taken, 0], xy[~taken, 1], s=10, c=MUTED, alpha=0.3, linewidths=0)
    for k, name in enumerate(np.unique(of)):
        own = xy[taken & (of == name)]
        if len(own):
            axes.scatter(own[:, 0], own[:, 1], s=20, c=PALETTE[k % len(PALETTE)], marker=MARKERS[k % len(MARKERS)])
    _bare(axes)
    axes.set_title("Where they lie")


def _bare(axes: Axes) -> None:
    """A map's axes have no unit, and their numbers mean nothing."""
    axes.set(xticks=[], yticks=[], xlabel="map axis 1 (no unit)", ylabel="map axis 2 (no unit)")


def _page(axes: Axes, page: ArrayLike) -> None:
    axes.imshow(np.asarray(page), interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
