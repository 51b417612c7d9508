"""Embeddings as a map in two dimensions: a linear one, which comes out the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.figure import MARKERS, PALETTE, describe, plain_markers, style


class Pca2d(NamedTuple):
    """Points on the first two principal components.

    Attributes:
        points: float64 `[n, 2]`.
        explained_percent: share of the variance along each component, percent `[2]`.
    """

    points: NDArray[np.float64]
    explained_percent: tuple[float, float]


def pca_2d(features: ArrayLike, seed: int = 0) -> Pca2d:
    """Project features onto their first two principal components.

    Args:
        features: finite, `[n, dim]`, with n and dim at least 2; centred here, not scaled.
        seed: not used: the solver is an exact one. Kept so that maps can be drawn in one way.

    Returns:
        The points, with the share of the variance that each axis shows. Read the map with that share in mind.

    Raises:
        ArgumentError: too few rows or dimensions, values that are not finite, or no spread at all.

    >>> projection = pca_2d([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0], [4.0, 0.0, 0.0]])
    >>> projection.explained_percent
    (100.0, 0.0)
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2 or not np.isfinite(x).all() or np.ptp(x, axis=0).max() == 0.0:
        raise ArgumentError(
            f"features of shape {x.shape} have no map",
            field="features",
            expected="finite [n, dim] with n and dim at least 2, and rows that differ",
            fix="look at the encoder: equal or infinite features mean that it collapsed or diverged",
        )
    x = x - x.mean(axis=0)
    # The smaller of the two Gram matrices has the components; scikit-learn would take 1 s and 60 MiB to load.
    wide = x.shape[1] > x.shape[0]
    variances, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    variances, vectors = variances[:-3:-1].clip(0.0), vectors[:, :-3:-1]
    points = vectors * np.sqrt(variances) if wide else x @ vectors
    points *= np.sign(points[np.abs(points).argmax(axis=0), (0, 1)] + 1e-300)  # else the sign is the solver's whim
    first, second = (round(100.0 * float(share), 6) for share in variances / np.square(x).sum())
    return Pca2d(points, (first, second))


def plot_embedding(
    points: ArrayLike,
    labels: Sequence[str] | NDArray[np.str_],
    class_names: Sequence[str] | None = None,
    explained_percent: Sequence[float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw points of a two-dimensional map, each class in its own colour and marker.

    Args:
        points: `[n, 2]`, for instance `pca_2d(features).points`.
        labels: class of each point `[n]`, at most seven classes; use a single label a record.
        class_names: order of the classes in the legend; None sorts them. Points of other classes are left out.
        explained_percent: share of the variance along each axis, for the axis titles.
        title: figure title, or None.

    Returns:
        The figure, with alt text. A large outlined marker is the mean of a class.

    Raises:
        ArgumentError: shapes differ, there are more classes than colours, or no point belongs to one.

    >>> figure = plot_embedding([[0.0, 1.0], [1.0, 0.0]], ["MI", "NORM"])
    >>> figure.axes[0].get_xlabel()
    'Component 1'
    """
    xy, of = np.asarray(points, dtype=np.float64), np.asarray(labels).astype(str)
    names = sorted(set(of.tolist())) if class_names is None else list(class_names)
    if xy.ndim != 2 or xy.shape[1] != 2 or of.shape != (len(xy),):
        raise ArgumentError(f"points {xy.shape}, labels {of.shape}", field="points", expected="[n, 2] and [n]")
    if len(names) > len(PALETTE) or not np.isin(of, names).any():
        raise ArgumentError(
            f"{len(names)} classes, {int(np.isin(of, names).sum())} points in them",
            field="class_names",
            expected=f"1 to {len(PALETTE)} classes with points: more colours cannot be told apart",
            fix="name the classes to draw in class_names",
        )
    classes = {name: (k, xy[of == name]) for k, name in enumerate(names) if (of == name).any()}
    size = float(np.clip(16000.0 / max(1, len(xy)), 9.0, 36.0))
    with style():
        figure = Figure(figsize=(8.4, 5.8), layout="constrained")
        axes = figure.add_subplot()
        for name, (k, own) in classes.items():
            color, marker, (x, y) = PALETTE[k], MARKERS[k], own.mean(axis=0)
            label = f"{name} ({len(own)})"
            axes.scatter(own[:, 0], own[:, 1], s=size, c=color, marker=marker, alpha=0.55, linewidths=0, label=label)
            # Above all points: with crowded classes, the means are what can be told apart.
            axes.scatter(x, y, s=170, c=color, marker=marker, edgecolors="white", linewidths=1.8, zorder=3)
        shares = (
            [""] * 2 if explained_percent is None else [f" ({share:.0f} % of variance)" for share in explained_percent]
        )
        axes.set(xlabel=f"Component 1{shares[0]}", ylabel=f"Component 2{shares[1]}")
        axes.grid()
        legend = figure.legend(loc="outside right upper", title="Class (records)", alignment="left")
        plain_markers(legend)
        if title:
            axes.set_title(title)
    means = ((name, *own.mean(axis=0)) for name, (_, own) in classes.items())
    listed = "; ".join(f"{name} {x:.2g}, {y:.2g}" for name, x, y in means)
    n = sum(len(own) for _, own in classes.values())
    return describe(figure, f"Scatter of {n} records in two dimensions, by class. Class means: {listed}.")
