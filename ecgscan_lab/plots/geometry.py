"""Three vectors and their volume: the body they span, the volume over all cosines, hubs, rounding and loss curves."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.figure import BLUE, FAINT, GREEN, INK, MARKERS, MUTED, ORANGE, PALETTE, SKY, VERMILLION, describe
from ecgscan_lab.plots.figure import style as look

MODALITIES = ("image", "report", "signal")
_COLOURS = (BLUE, VERMILLION, GREEN)
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)))


def unit_triple(pair_deg: float, tilt_deg: float, turn_deg: float = 0.0) -> NDArray[np.float64]:
    """Three unit vectors in space by three angles that can be set freely, unlike their cosines.

    **Equation**: their volume is sin(pair) · sin(tilt), base area times height.

    Args:
        pair_deg: angle between report and signal, degrees.
        tilt_deg: how far the image rises out of their plane, degrees; 0 lies in it.
        turn_deg: where its shadow in that plane points, degrees from midway between report and signal.

    Returns:
        float64 `[3, 3]`, rows image, report, signal.

    >>> unit_triple(90.0, 90.0).round(3) + 0.0
    array([[ 0.   ,  0.   ,  1.   ],
           [ 0.707,  0.707,  0.   ],
           [-0.707,  0.707,  0.   ]])
    """
    half, tilt, turn = np.deg2rad([pair_deg / 2, tilt_deg, turn_deg])
    image = [np.cos(tilt) * np.sin(turn), np.cos(tilt) * np.cos(turn), np.sin(tilt)]
    return np.array([image, [np.sin(half), np.cos(half), 0.0], [-np.sin(half), np.cos(half), 0.0]])


def plot_turned_triple(
    pair_deg: float, tilt_deg: float, turn_deg: float = 0.0, azimuth_deg: float = -60.0, title: str | None = None
) -> Figure:
    """Draw the body that `unit_triple` spans; arguments as there, and `plot_parallelepiped` for the rest.

    >>> "volume 0.50" in plot_turned_triple(90.0, 30.0).alt_text
    True
    """
    return plot_parallelepiped(unit_triple(pair_deg, tilt_deg, turn_deg), azimuth_deg=azimuth_deg, title=title)


def plot_parallelepiped(
    vectors: ArrayLike, *, azimuth_deg: float = -60.0, elevation_deg: float = 22.0, title: str | None = None
) -> Figure:
    """Draw three unit vectors, the body they span, and its volume as base area times height.

    Args:
        vectors: `[3, 3]`, rows image, report, signal, each of length one.
        azimuth_deg: where the viewer stands, degrees around the vertical axis.
        elevation_deg: how high the viewer stands, degrees.
        title: figure title, or None.

    Returns:
        The figure, with alt text. The scale is the same for all triples, so two figures can be compared.

    Raises:
        ArgumentError: the vectors are not three unit vectors in space.

    >>> "volume 1.00" in plot_parallelepiped([[0, 0, 1], [1, 0, 0], [0, 1, 0]]).alt_text
    True
    """
    v = np.asarray(vectors, dtype=np.float64)
    if v.shape != (3, 3) or not np.allclose(np.linalg.norm(v, axis=1), 1.0, atol=1e-3):
        raise ArgumentError(f"vectors of shape {v.shape}", field="vectors", expected="three rows of length one, [3, 3]")
    base = float(np.linalg.norm(np.cross(v[1], v[2])))
    volume = float(abs(np.linalg.det(v)))
    foot = _foot(v)
    height = float(np.linalg.norm(v[0] - foot))
    with look():
        figure = Figure(figsize=(6.8, 3.1))
        figure.set_layout_engine("none")
        # Fixed places: the body's own box changes with its shape, and a layout engine would make it jump.
        body = figure.add_axes((0.0, 0.0, 0.56, 0.94), projection="3d")
        _draw_body(body, v, foot, azimuth_deg, elevation_deg)
        _draw_measures(
            figure.add_axes((0.67, 0.42, 0.24, 0.46)), {"base area": base, "height": height, "volume": volume}
        )
        if title:
            figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold")
    cosines = ", ".join(f"{MODALITIES[i]} and {MODALITIES[j]} {v[i] @ v[j]:.2f}" for i, j in ((0, 1), (0, 2), (1, 2)))
    return describe(
        figure,
        f"Three unit vectors and the parallelepiped they span. Cosines: {cosines}. Report and signal span a base of "
        f"area {base:.2f}, the image stands {height:.2f} above its plane: volume {volume:.2f}.",
    )


def plot_volume_surface(text_signal: float, title: str | None = None) -> Figure:
    """Draw the volume over both cosines of the image, for one cosine between report and signal.

    Args:
        text_signal: cosine between report and signal, strictly between -1 and 1.
        title: figure title, or None for one that names the cosine.

    Returns:
        The figure, with alt text. Grey is where no three vectors have such cosines.

    Raises:
        ArgumentError: the cosine is out of range.

    >>> plot_volume_surface(0.6).axes[0].get_xlabel()
    'cosine (image, report)'
    """
    c = float(text_signal)
    if not -1 < c < 1:
        raise ArgumentError(f"a cosine of {c}", field="text_signal", expected="between -1 and 1, ends excluded")
    ticks = np.linspace(-1, 1, 301)
    a, b = np.meshgrid(ticks, ticks)
    determinant = 1 + 2 * a * b * c - a**2 - b**2 - c**2
    volume = np.ma.masked_where(determinant < 0, np.sqrt(np.maximum(determinant, 0)))
    between, largest = np.sqrt((1 + c) / 2), np.sqrt(1 - c**2)
    with look():
        figure = Figure(figsize=(6.6, 5.0), layout="constrained")
        axes = figure.add_subplot()
        axes.set_facecolor("#EEEEEE")  # lighter than FAINT: the marks are read on it
        filled = axes.contourf(a, b, volume, levels=np.linspace(0, 1, 21), cmap="cividis", vmin=0, vmax=1)
        axes.contour(a, b, determinant, levels=[0], colors=INK, linewidths=1.4)
        marks = {"midway: V = 0": (between, between), "opposite: V = 0": (-between, -between)}
        for (name, (x, y)), marker, colour in zip(marks.items(), ("o", "X"), (BLUE, VERMILLION), strict=True):
            axes.plot(x, y, marker, color=colour, markersize=11, markeredgecolor="white", label=name)
        axes.plot(
            0, 0, "P", color=INK, markersize=9, markeredgecolor="white", label=f"at right angles: V = {largest:.2f}"
        )
        axes.set(xlabel="cosine (image, report)", ylabel="cosine (image, signal)", aspect="equal")
        axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), xticks=np.arange(-1, 1.1, 0.5), yticks=np.arange(-1, 1.1, 0.5))
        figure.colorbar(filled, ax=axes, label="volume V (0 to 1)", ticks=np.arange(0, 1.1, 0.2), shrink=0.85)
        figure.legend(loc="outside lower center", ncols=3, fontsize=9, title="Where the image lies")
        axes.set_title(title or f"Report and signal at cosine {c:.2f}")
    return describe(
        figure,
        f"Volume over the image's cosines with report and signal, whose own cosine is {c:.2f}. It is largest, "
        f"{largest:.2f}, in the middle, and zero along the ellipse around it, both at {between:.2f}, {between:.2f} and "
        "at the opposite point. Outside the ellipse there are no such vectors.",
    )


def plot_hubs(
    pair_cosine: ArrayLike, tables: Mapping[str, ArrayLike], names: Mapping[str, str] | None = None
) -> Figure:
    """Draw which (report, signal) pairs are close to all images, and how many images each pair attracts.

    Args:
        pair_cosine: cosine between report and signal of each pair `[batch]`.
        tables: measure -> `[batch, batch]`, images by rows, pairs by columns, small is close; at most three.
        names: measure -> how it is written on the axis; None: as it is.

    Returns:
        The figure, with alt text: above, mean distance of each pair from the images of the other triples; below, how
        many images have the pair as their nearest.

    Raises:
        ArgumentError: shapes do not fit, or a value is not finite.

    >>> table = [[0.1, 0.6, 0.5], [0.2, 0.1, 0.5], [0.2, 0.6, 0.3]]
    >>> plot_hubs([0.9, 0.1, 0.4], {"V": table}).axes[1].get_xlabel()
    'cosine (report, signal) of the pair'
    """
    c, measures = _hub_tables(pair_cosine, tables)
    written = {name: (names or {}).get(name, name) for name in measures}
    said = []
    with look():
        figure = Figure(figsize=(4.3 * len(measures) + 0.3, 5.0), layout="constrained")
        panels = figure.subplots(2, len(measures), sharex=True, sharey="row", squeeze=False)
        for column, (name, table) in enumerate(measures.items()):
            wrong = np.where(np.eye(len(c), dtype=bool), np.nan, table)
            mean = np.nanmean(wrong, axis=0)
            picked = np.bincount(table.argmin(axis=1), minlength=len(c))
            right = 100 * float((table.argmin(axis=1) == np.arange(len(c))).mean())
            colour, marker = PALETTE[column], MARKERS[column]
            panels[0, column].plot(c, mean, marker, color=colour, markersize=4.5, linestyle="none")
            panels[0, column].set_title(f"{written[name]}\n{right:.0f} % of images find their pair")
            panels[1, column].vlines(c, 0, picked, color=colour, linewidth=1.2, alpha=0.7)
            panels[1, column].plot(c, picked, marker, color=colour, markersize=4.5, linestyle="none")
            panels[1, column].axhline(1, color=MUTED, linewidth=0.9, linestyle=":")
            panels[1, column].set(xlabel="cosine (report, signal) of the pair")
            said.append(f"{name}: {right:.0f} % find their pair, the busiest pair attracts {picked.max()}")
            for panel in panels[:, column]:
                panel.grid()
        panels[0, 0].set_ylabel("mean distance of other images")
        panels[0, 0].set_ylim(0, None)
        panels[1, 0].set_ylabel("images that pick this pair")
    return describe(
        figure,
        f"{len(c)} pairs by the cosine between report and signal. Above, their mean distance from the other triples' "
        f"images; below, how many images pick them. {'; '.join(said)}.",
    )


def plot_rounding(
    gap: ArrayLike, exact: ArrayLike, computed: Mapping[str, ArrayLike], title: str | None = None
) -> Figure:
    """Draw determinants computed in several precisions against the exact ones, as report and signal come together.

    Args:
        gap: one minus the cosine between report and signal `[n]`, above zero.
        exact: determinants `[n]`, above zero.
        computed: precision -> determinants `[n, draws]`.
        title: figure title, or None.

    Returns:
        The figure, with alt text. Hollow triangles are determinants below zero, drawn by their size: there the modulus
        turns the gradient round. Bars along the foot are exact zeros, where the root has none.

    Raises:
        ArgumentError: shapes do not fit, or gaps or exact values are not positive.
    """
    x, true = np.asarray(gap, dtype=np.float64), np.asarray(exact, dtype=np.float64)
    drawn = {name: np.asarray(values, dtype=np.float64) for name, values in computed.items()}
    shaped = x.ndim == 1 and x.shape == true.shape and all(v.ndim == 2 and len(v) == len(x) for v in drawn.values())
    if not shaped or not drawn or not (x > 0).all() or not (true > 0).all():
        raise ArgumentError(
            f"gap {x.shape}, exact {true.shape}, {len(drawn)} computed",
            field="computed",
            expected="gap [n] and exact [n] above zero, and at least one [n, draws]",
        )
    said = []
    with look():
        figure = Figure(figsize=(8.2, 4.4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(x, true, color=INK, label="exact")
        for k, (name, values) in enumerate(drawn.items()):
            across = np.broadcast_to(x[:, None], values.shape)
            below, zero = values < 0, values == 0
            colour, marker = PALETTE[k], MARKERS[k]
            style: dict[str, Any] = {"marker": marker, "color": colour, "markersize": 5, "linestyle": "none"}
            axes.plot(across[values > 0], values[values > 0], label=name, **style)
            if below.any():
                hollow = style | {"marker": "v", "fillstyle": "none"}
                axes.plot(across[below], -values[below], label=f"{name}, below 0", **hollow)
            if zero.any():  # no place on a logarithmic axis: along its foot
                foot = np.full(int(zero.sum()), 0.03)
                at_foot = axes.get_xaxis_transform()
                axes.plot(
                    across[zero],
                    foot,
                    transform=at_foot,
                    label=f"{name}, exactly 0",
                    **(style | {"marker": "|", "markersize": 9}),
                )
            said.append(f"{name}: {100 * below.mean():.0f} % below zero, {100 * zero.mean():.0f} % exactly zero")
        axes.set(
            xscale="log", yscale="log", xlabel="1 − cosine (report, signal)", ylabel="determinant of G, by its size"
        )
        axes.grid()
        figure.legend(loc="outside right upper")
        if title:
            axes.set_title(title)
    return describe(
        figure,
        f"Computed determinants against the exact ones, on logarithmic axes, as report and signal come to within "
        f"{x.min():.1g} of cosine 1. {'; '.join(said)}.",
    )


def plot_curves(
    x: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    xlabel: str,
    ylabel: str,
    levels: Mapping[str, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Draw several curves over one axis, with levels to compare them with.

    Args:
        x: `[n]`.
        curves: name -> `[n]`, at most seven; each has its own colour and dash.
        xlabel: title of the horizontal axis, with its unit.
        ylabel: title of the vertical axis, with its unit.
        levels: name -> height of a horizontal line, for instance {"ln B": 4.38}.
        title: figure title, or None.

    Returns:
        The figure, with alt text that gives each curve's ends and extremes.

    Raises:
        ArgumentError: no curves, more than seven, or lengths differ.

    >>> plot_curves([0, 1], {"loss": [2.0, 1.0]}, xlabel="step", ylabel="loss (nats)").alt_text
    'loss (nats) over step from 0 to 1. loss: 2 at first, 1 at the end, between 1 and 2.'
    """
    along = np.asarray(x, dtype=np.float64)
    drawn = {name: np.asarray(values, dtype=np.float64) for name, values in curves.items()}
    if not 0 < len(drawn) <= len(PALETTE) or along.ndim != 1 or any(v.shape != along.shape for v in drawn.values()):
        raise ArgumentError(
            f"{len(drawn)} curves over {along.shape}",
            field="curves",
            expected=f"1 to {len(PALETTE)}, each as long as x",
        )
    with look():
        figure = Figure(figsize=(8.2, 3.8), layout="constrained")
        axes = figure.add_subplot()
        for k, (name, values) in enumerate(drawn.items()):
            axes.plot(along, values, color=PALETTE[k], linestyle=_LINES[k], linewidth=2.0, label=name)
        for name, level in (levels or {}).items():
            axes.axhline(level, color=MUTED, linewidth=1.0)
            axes.annotate(name, (1.01, level), xycoords=("axes fraction", "data"), va="center", color=MUTED, fontsize=9)
        axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(along.min(), along.max()))
        axes.grid()
        axes.margins(y=0.1)
        figure.legend(loc="outside right upper")
        if title:
            axes.set_title(title)
    ends = "; ".join(
        f"{name}: {v[0]:.3g} at first, {v[-1]:.3g} at the end, between {np.nanmin(v):.3g} and {np.nanmax(v):.3g}"
        for name, v in drawn.items()
    )
    lines = "".join(f" Level {name} at {level:.3g}." for name, level in (levels or {}).items())
    return describe(figure, f"{ylabel} over {xlabel} from {along[0]:.3g} to {along[-1]:.3g}. {ends}.{lines}")


def _foot(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the image's shadow falls in the plane (or on the line) of report and signal."""
    foot: NDArray[np.float64] = v[0] @ np.linalg.pinv(v[1:], rcond=1e-6) @ v[1:]
    return foot


def _draw_body(axes: Any, v: NDArray[np.float64], foot: NDArray[np.float64], azimuth: float, elevation: float) -> None:
    """Faces, edges, the three vectors with their own markers, and the height as a dotted line."""
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

    for i, j in ((1, 2), (0, 1), (0, 2)):
        (k,) = {0, 1, 2} - {i, j}
        for shift in (np.zeros(3), v[k]):
            face = [shift, shift + v[i], shift + v[i] + v[j], shift + v[j]]
            colour, alpha = (ORANGE, 0.45) if (i, j) == (1, 2) and not shift.any() else (SKY, 0.16)
            axes.add_collection3d(
                Poly3DCollection([face], facecolors=colour, alpha=alpha, edgecolors=MUTED, linewidths=0.7)
            )
    for vector, colour, marker in zip(v, _COLOURS, MARKERS, strict=False):
        axes.plot(*np.stack([np.zeros(3), vector], axis=1), color=colour, linewidth=3.2, solid_capstyle="round")
        axes.plot(*vector[:, None], marker, color=colour, markersize=9, markeredgecolor="white")
    axes.plot(*np.stack([foot, v[0]], axis=1), color=INK, linewidth=1.6, linestyle=":")
    corners = np.array(
        [sum((bit * row for bit, row in zip(bits, v, strict=True)), np.zeros(3)) for bits in product((0, 1), repeat=3)]
    )
    centre, reach = (corners.min(axis=0) + corners.max(axis=0)) / 2, 1.05
    for set_limits, middle in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), centre, strict=True):
        set_limits(middle - reach, middle + reach)
    axes.set_box_aspect((1, 1, 1), zoom=1.6)
    axes.view_init(elev=elevation, azim=azimuth)
    axes.set_axis_off()


def _draw_measures(axes: Any, measures: Mapping[str, float]) -> None:
    """Base area, height and volume as bars from 0 to 1, and the key to the vectors."""
    names = list(measures)
    axes.barh(names, list(measures.values()), color=(ORANGE, FAINT, SKY), edgecolor=INK, linewidth=0.8, height=0.55)
    for name, value in measures.items():
        axes.annotate(f"{value:.2f}", (1.05, name), va="center", annotation_clip=False)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.0), xlabel="share of the largest", xticks=(0, 0.5, 1))
    axes.tick_params(axis="y", length=0)
    key = [
        Line2D([], [], color=colour, marker=marker, markersize=8, linewidth=3, label=name)
        for name, colour, marker in zip(MODALITIES, _COLOURS, MARKERS, strict=False)
    ]
    key.append(Line2D([], [], color=INK, linestyle=":", label="height"))
    axes.figure.legend(handles=key, loc="lower center", bbox_to_anchor=(0.75, 0.0), ncols=2, fontsize=9)


def _hub_tables(
    pair_cosine: ArrayLike, tables: Mapping[str, ArrayLike]
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    c = np.asarray(pair_cosine, dtype=np.float64)
    measures = {name: np.asarray(table, dtype=np.float64) for name, table in tables.items()}
    fits = c.ndim == 1 and len(c) > 1 and all(table.shape == (len(c), len(c)) for table in measures.values())
    if not fits or not 0 < len(measures) <= 3 or not all(np.isfinite(table).all() for table in (c, *measures.values())):
        raise ArgumentError(
            f"pair_cosine {c.shape}, tables {[table.shape for table in measures.values()]}",
            field="tables",
            expected="finite cosines [batch], and one to three finite tables [batch, batch]",
        )
    return c, measures
