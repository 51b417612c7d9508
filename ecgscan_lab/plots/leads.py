"""The limb-lead laws as pictures: two measurements behind six leads, their plane, and a lead dragged off it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import LEADS, LIMB_LEADS, LimbProjection, derive_limb_leads, limb_law_residuals
from ecgscan_lab.leads.hypotheses import Story, law_snr_db, limb_moments
from ecgscan_lab.leads.laws import project_limb_leads
from ecgscan_lab.plots.figure import AZURE, BLUE, INK, MARKERS, MUTED, PALETTE, SKY, VERMILLION, describe, style
from ecgscan_lab.types import EcgRecord

AXIS_DEG = {"I": 0.0, "II": 60.0, "III": 120.0, "aVR": -150.0, "aVL": -30.0, "aVF": 90.0}
_DASH = (0, (4, 1.5))


def plot_derived_leads(record: EcgRecord, duration_s: float = 4.0, title: str | None = None) -> Figure:
    """Draw the six limb leads, and over four of them what leads I and II say they must be.

    Args:
        record: the record.
        duration_s: how much of it, from its start.
        title: figure title, or None.

    Returns:
        The figure, with alt text.
    """
    limb, seconds = _limb(record, duration_s)
    derived = derive_limb_leads(limb[0], limb[1])
    rms_uv = 1000 * np.sqrt(np.nanmean((derived - limb) ** 2, axis=1))
    with style():
        figure = Figure(figsize=(10.0, 6.4), layout="constrained")
        rows = figure.subplots(6, 1, sharex=True)
        for k, (axes, lead) in enumerate(zip(rows, LIMB_LEADS, strict=True)):
            measured = k < 2
            axes.plot(seconds, limb[k], color=BLUE if measured else AZURE, linewidth=1.3 if measured else 3.2)
            if not measured:
                axes.plot(seconds, derived[k], color=INK, linewidth=1.2, linestyle=_DASH)
            note = "taken as measured" if measured else f"from I and II, off by {rms_uv[k]:.2g} µV"
            axes.text(1.01, 0.5, note, transform=axes.transAxes, va="center", fontsize=9, color=MUTED)
            _lead_row(axes, lead, seconds)
        rows[-1].set_xlabel("Time (s)")
        figure.align_ylabels(rows)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    off = ", ".join(f"{lead} {value:.2g}" for lead, value in zip(LIMB_LEADS[2:], rms_uv[2:], strict=True))
    return describe(
        figure,
        f"Six limb leads over {seconds[-1]:.1f} s. I and II (blue) are taken as measured; over III, aVR, aVL and aVF "
        f"(broad, bright blue) lies what I and II give (dashed black). Root mean square difference in µV: {off}.",
    )


def plot_lead_plane(
    record: EcgRecord, lead: str = "II", drag_mv: float = 0.8, azimuth_deg: float = 48.0, duration_s: float = 1.5
) -> Figure:
    """Show leads I, II and III as points in space: they lie in a plane, and Eq. 6 returns what is dragged off it.

    Args:
        record: the record.
        lead: "I", "II" or "III", the one dragged.
        drag_mv: how far, in mV, at the moment of the largest deflection.
        azimuth_deg: where the reader stands; 62 looks along the plane, -45 onto it.
        duration_s: how much of the record is drawn, from its start.

    Returns:
        The figure, with alt text.

    Raises:
        LeadError: `lead` is none of the three.
    """
    if lead not in LIMB_LEADS[:3]:
        raise LeadError(f"lead {lead!r} has no axis here", field="lead", expected="I, II or III")
    limb, _ = _limb(record, duration_s)
    three = limb[:3] - np.nanmedian(limb[:3], axis=1, keepdims=True)
    peak = three[:, int(np.nanargmax((three**2).sum(axis=0)))]
    dragged = peak + drag_mv * (np.array(LIMB_LEADS[:3]) == lead)
    normal = np.array([1.0, -1.0, 1.0])
    returned = dragged - normal * (normal @ dragged) / 3
    reach = 1.1 * max(float(np.nanmax(np.abs(three))), float(np.abs(dragged).max()))
    with style():
        figure = Figure(figsize=(10.0, 4.8), layout="constrained")
        space: Any = figure.add_subplot(1, 2, 1, projection="3d")
        _draw_plane(space, reach)
        space.plot(*three, color=BLUE, linewidth=1.4)
        ends = np.stack([dragged, returned], axis=1)
        space.plot(*ends, color=VERMILLION, linewidth=1.6, linestyle=":")
        for point, marker, colour, name in (
            (peak, MARKERS[0], BLUE, "recorded"),
            (dragged, MARKERS[1], VERMILLION, "dragged"),
            (returned, MARKERS[3], INK, "returned by Eq. 6"),
        ):
            space.plot(*point[:, None], marker, color=colour, markersize=8, label=name)
        space.view_init(elev=18, azim=azimuth_deg)
        space.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
        space.set_box_aspect(None, zoom=0.86)
        space.set(xlabel="I (mV)", ylabel="II (mV)", zlabel="III (mV)")
        space.legend(loc="upper left", fontsize=9)
        _draw_frontal(figure.add_subplot(1, 2, 2), limb)
    violation = float(normal @ dragged)
    return describe(
        figure,
        f"Left: {duration_s:g} s of leads I, II and III as a curve in space, in the grey plane I - II + III = 0. "
        f"One point is dragged by {drag_mv:g} mV along {lead}, which breaks the law by {abs(violation):.2f} mV; Eq. 6 "
        f"returns it at a right angle, {np.linalg.norm(returned - peak):.2f} mV from where it was recorded. Right: the "
        "same curve in that plane, with the axes of the six limb leads every 30 degrees.",
    )


def plot_dragged_lead(
    record: EcgRecord,
    lead: str = "II",
    drag_mv: float = 0.6,
    method: LimbProjection = "paper",
    duration_s: float = 2.5,
) -> Figure:
    """Drag one limb lead off for a while and draw what a projection makes of all six.

    Args:
        record: the record.
        lead: the limb lead that is dragged.
        drag_mv: how far, in mV, in the middle third.
        method: projection, as in `leads.project_limb_leads`.
        duration_s: how much of the record is drawn, from its start.

    Returns:
        The figure, with alt text: the broken law before and after, and what of the error remains.

    Raises:
        LeadError: `lead` is no limb lead.
        ArgumentError: `method` is unknown.
    """
    if lead not in LIMB_LEADS:
        raise LeadError(f"{lead!r} is no limb lead", field="lead", expected=f"one of {', '.join(LIMB_LEADS)}")
    limb, seconds = _limb(record, duration_s)
    limb = project_limb_leads(limb, LIMB_LEADS, method="orthogonal")  # so that what is broken is the drag alone
    dragged = limb.copy()
    dragged[LIMB_LEADS.index(lead)] += drag_mv * _plateau(len(seconds))
    returned = project_limb_leads(dragged, LIMB_LEADS, method=method)
    error_mv = [float(np.sqrt(np.nanmean((x - limb) ** 2))) for x in (dragged, returned)]
    broken_mv = [_broken(x) for x in (dragged, returned)]
    with style():
        figure = Figure(figsize=(10.0, 5.6), layout="constrained")
        panels = figure.subplots(3, 2, sharex=True)
        # Down the left I, II, III; down the right aVR, aVL, aVF.
        for k, (axes, name) in enumerate(zip(panels.T.ravel(), LIMB_LEADS, strict=True)):
            axes.plot(seconds, limb[k], color=AZURE, linewidth=3.2, label="recorded")
            axes.plot(seconds, dragged[k], color=VERMILLION, linewidth=1.3, label="dragged")
            axes.plot(seconds, returned[k], color=INK, linewidth=1.3, linestyle=_DASH, label="returned")
            _lead_row(axes, name, seconds)
        for axes in panels[-1]:
            axes.set_xlabel("Time (s)")
        figure.align_ylabels(panels[:, 0])
        handles, labels = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
        figure.suptitle(
            f"{lead} dragged by {drag_mv:g} mV, method {method!r}: broken laws {broken_mv[0]:.2f} → "
            f"{broken_mv[1]:.2f} mV, error {error_mv[0]:.3f} → {error_mv[1]:.3f} mV",
            x=0.01,
            ha="left",
            fontsize=10,
            fontweight="bold",
        )
    return describe(
        figure,
        f"Six limb leads over {duration_s:g} s: recorded (broad, bright blue), with {lead} dragged by {drag_mv:g} mV "
        f"in the middle third (vermillion), and as the projection {method!r} returns them (dashed black). The largest "
        f"broken law goes from {broken_mv[0]:.2f} to {broken_mv[1]:.2f} mV, the root mean square error from "
        f"{error_mv[0]:.3f} to {error_mv[1]:.3f} mV.",
    )


def plot_violation_curves(
    curves: Mapping[str, Sequence[float] | ArrayLike], ylabel: str = "Broken law, root mean square (mV)"
) -> Figure:
    """Draw how far the laws are broken while each loss is descended, on a logarithmic axis.

    Args:
        curves: name of the loss -> value at each step.
        ylabel: what the values are, with their unit.

    Returns:
        The figure, with alt text.

    Raises:
        ArgumentError: nothing to draw, or a value that is not finite and positive or zero.
    """
    drawn = {name: np.asarray(values, dtype=np.float64) for name, values in curves.items()}
    if not drawn or any(not len(v) or not np.all(np.isfinite(v)) or v.min() < 0 for v in drawn.values()):
        raise ArgumentError("no curves, or values below 0 or not finite", field="curves", expected="finite values >= 0")
    floor = 1e-6 * max(float(values.max()) for values in drawn.values()) or 1e-12
    with style():
        figure = Figure(figsize=(8.0, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for k, (name, values) in enumerate(drawn.items()):
            every = max(1, len(values) // 8)
            axes.plot(
                np.maximum(values, floor),
                color=PALETTE[k % len(PALETTE)],
                marker=MARKERS[k % len(MARKERS)],
                markevery=(k * every // max(1, len(drawn)), every),
                label=name,
            )
        axes.set(yscale="log", xlabel="Step of gradient descent", ylabel=ylabel)
        axes.grid(axis="y")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    ends = ", ".join(f"{name} {values[0]:.3g} to {values[-1]:.3g}" for name, values in drawn.items())
    return describe(figure, f"{ylabel} over the steps of gradient descent, logarithmic. From first to last: {ends}.")


def plot_stories(signal_mv: ArrayLike, leads: Sequence[str] = LEADS, title: str | None = None) -> Figure:
    """Score what may have happened to limb leads: each exchange of two and each lead upside down, undone.

    Args:
        signal_mv: `[lead, time]`, ten seconds, in mV; finite in the six limb leads.
        leads: the name of each row.
        title: figure title, or None.

    Returns:
        The figure, with alt text: limb-law SNR of each story, those that no law can tell from "as it is" marked.
    """
    signal = np.asarray(signal_mv, dtype=np.float64)
    moments = limb_moments(signal[[list(leads).index(lead) for lead in LIMB_LEADS]], 10)
    stories = {"as it is": Story(tuple(range(6)), np.ones(6), 0.0)}
    for i, j in combinations(range(6), 2):
        take = list(range(6))
        take[i], take[j] = j, i
        stories[f"{LIMB_LEADS[i]} and {LIMB_LEADS[j]} exchanged"] = Story(tuple(take), np.ones(6), 0.0)
    for i, lead in enumerate(LIMB_LEADS):
        stories[f"{lead} upside down"] = Story(tuple(range(6)), np.where(np.arange(6) == i, -1.0, 1.0), 0.0)
    scores = {name: law_snr_db(moments, story) for name, story in stories.items()}
    ranked = sorted(scores, key=lambda name: -scores[name])
    with style():
        figure = Figure(figsize=(8.6, 5.4), layout="constrained")
        axes = figure.add_subplot()
        for y, name in enumerate(ranked):
            best, given = y == 0, name == "as it is"
            colour = VERMILLION if given else BLUE if best else MUTED
            axes.plot([0, scores[name]], [y, y], color=colour, linewidth=1.0)
            axes.plot(scores[name], y, MARKERS[1] if given else MARKERS[0], color=colour, markersize=7)
        axes.set_yticks(range(len(ranked)), ranked, fontsize=9)
        axes.tick_params(axis="y", length=0)
        axes.axvspan(40, 50, color=SKY, alpha=0.25, linewidth=0)
        axes.text(45, len(ranked) - 0.6, "real recordings", ha="center", va="bottom", fontsize=9, color=MUTED)
        low, high = min(0.0, *scores.values()), max(52.0, *scores.values())
        axes.set(ylim=(len(ranked) - 0.4, -0.6), xlim=(low - 1, high + 2), xlabel="Limb-law SNR once undone (dB)")
        axes.grid(axis="x")
        if title:
            axes.set_title(title)
    return describe(
        figure,
        f"Limb-law SNR of {len(ranked)} stories. Best: {ranked[0]} with {scores[ranked[0]]:.1f} dB; next: {ranked[1]} "
        f"with {scores[ranked[1]]:.1f} dB; as it is: {scores['as it is']:.1f} dB. Real recordings lie at 40 to 50 dB.",
    )


def _limb(record: EcgRecord, duration_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The six limb leads `[6, time]` of the first `duration_s` seconds, and the time of each sample."""
    n = max(2, min(record.signal_mv.shape[1], round(duration_s * record.fs_hz)))
    return np.asarray(record.signal_mv[: len(LIMB_LEADS), :n], dtype=np.float64), np.arange(n) / record.fs_hz


def _plateau(n: int) -> NDArray[np.float64]:
    """0, then 1 in the middle third, then 0 `[n]`, with smooth edges."""
    place = np.linspace(0.0, 1.0, n)
    return np.asarray((np.tanh((place - 1 / 3) * 40) - np.tanh((place - 2 / 3) * 40)) / 2)


def _broken(limb: NDArray[np.float64]) -> float:
    """Largest residual of a limb-lead law, in mV."""
    return max(float(np.nanmax(np.abs(residual))) for residual in limb_law_residuals(limb, LIMB_LEADS).values())


def _lead_row(axes: Axes, lead: str, seconds: NDArray[np.float64]) -> None:
    axes.set_ylabel(f"{lead} (mV)")
    axes.set_xlim(0.0, float(seconds[-1]))
    axes.margins(y=0.15)
    axes.grid(axis="y")


def _draw_plane(axes: Any, reach: float) -> None:
    """The plane I - II + III = 0, as far as the box goes: a hexagon."""
    first, third = reach * np.array([1, 0, -1, -1, 0, 1]), reach * np.array([0, 1, 1, 0, -1, -1])
    fan = [[0, k, k + 1] for k in range(1, 5)]
    axes.plot_trisurf(first, first + third, third, triangles=fan, color=MUTED, alpha=0.18, linewidth=0, shade=False)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(4, symmetric=True))
    axes.tick_params(labelsize=8)


def _draw_frontal(axes: Axes, limb: NDArray[np.float64]) -> None:
    """The same curve in the plane of the limbs: lead I to the right, aVF down, axes every 30 degrees."""
    x = limb[0] - np.nanmedian(limb[0])
    down = limb[5] - np.nanmedian(limb[5])
    down = down * 2 / np.sqrt(3)  # Goldberger's leads are shorter by sqrt(3)/2 than their axes suggest
    reach = 1.25 * float(np.nanmax(np.hypot(x, down)))
    for lead, angle in AXIS_DEG.items():
        along = reach * np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
        axes.plot([-along[0], along[0]], [-along[1], along[1]], color=MUTED, linewidth=0.8)
        axes.text(1.1 * along[0], 1.1 * along[1], lead, ha="center", va="center", fontsize=9, color=INK)
    axes.plot(x, down, color=BLUE, linewidth=1.4)
    axes.set(xlim=(-1.25 * reach, 1.25 * reach), ylim=(1.25 * reach, -1.25 * reach), aspect="equal")
    axes.set(xlabel="towards the left arm (mV)", ylabel="towards the feet (mV)")
