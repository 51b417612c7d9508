"""Flat maps of embeddings side by side, what lies near what, and what moved a decision on a page."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, MissingExtraError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots.embedding import pca_2d
from ecgscan_lab.plots.figure import BLACK, MARKERS, MUTED, PALETTE, describe, style

METHODS = ("PCA", "t-SNE", "UMAP")


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
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
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
            right.scatter(*xy.T, s=10, c=PALETTE[k], marker=MARKERS[k], alpha=0.25, linewidths=0)
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
    """What each lead, in each beat or as a whole, did for a score: blue spoke for it, vermillion against.

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
            axes.bar(LEADS, summed, color=[PALETTE[0] if value >= 0 else PALETTE[1] for value in summed])
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


def plot_selection(signals_mv: ArrayLike, fs_hz: float, chosen: Sequence[int], labels: Sequence[str]) -> Figure:
    """Labels of the chosen records, and the mean of their lead II beat about its largest deflection.

    Args:
        signals_mv: all records `[record, 12, time]`.
        fs_hz: sampling rate in hertz.
        chosen: positions; none gives an empty figure that says so.
        labels: class of each record.
    """
    rows = np.asarray(chosen, dtype=int)
    of = np.asarray(labels).astype(str)
    names, counts = np.unique(of[rows], return_counts=True)
    with style():
        figure = Figure(figsize=(9.0, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.barh(names, counts, color=PALETTE[0])
        left.set(xlabel="Records in the selection", ylabel="Class")
        if len(rows):
            beats = np.stack([_beat(np.asarray(signals_mv)[i, 1], fs_hz) for i in rows])
            seconds = (np.arange(beats.shape[1]) - beats.shape[1] // 2) / fs_hz
            mean, spread = np.nanmean(beats, axis=0), np.nanstd(beats, axis=0)
            right.fill_between(seconds, mean - spread, mean + spread, color=PALETTE[0], alpha=0.2, linewidth=0)
            right.plot(seconds, mean, color=PALETTE[0])
        right.set(xlabel="Time from the R peak (s)", ylabel="Lead II (mV)", title="Mean beat, and one SD")
    said = ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True)) or "nobody"
    return describe(figure, f"{len(rows)} chosen records: {said}; beside it their mean beat in lead II.")


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


def _bare(axes: Axes) -> None:
    """A map's axes have no unit, and their numbers mean nothing."""
    axes.set(xticks=[], yticks=[], xlabel="map axis 1 (no unit)", ylabel="map axis 2 (no unit)")


def _page(axes: Axes, page: ArrayLike) -> None:
    axes.imshow(np.asarray(page), interpolation="antialiased")
    axes.set(xticks=[], yticks=[])
