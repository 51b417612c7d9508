"""Pictures of what was read off a photographed page: its leads, and its findings with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots.figure import BLUE, INK, MUTED, VERMILLION, describe, style


def plot_read_leads(leads_mv: NDArray[np.float32], fs_hz: float, truth_mv: NDArray[np.float32] | None = None) -> Figure:
    """Draw the twelve leads as read, over the truth where it is known; what the page does not show stays empty.

    Args:
        leads_mv: `[12, time]` in mV, NaN where nothing was read.
        fs_hz: its rate.
        truth_mv: the recording at the same rate, or None.
    """
    seconds = np.arange(leads_mv.shape[1]) / fs_hz
    with style():
        figure = Figure(figsize=(11.0, 7.0), layout="constrained")
        for k, axes in enumerate(figure.subplots(6, 2, sharex=True, sharey=True).T.ravel()):
            if truth_mv is not None:
                axes.plot(seconds, truth_mv[k, : len(seconds)], color=VERMILLION, linewidth=1.0, label="truth")
            axes.plot(seconds, leads_mv[k], color=BLUE, linewidth=1.2, label="read")
            axes.set_ylabel(f"{LEADS[k]} (mV)", fontsize=8)
            if k % 6 == 5:
                axes.set_xlabel("time (s)")
            if k == 0:
                axes.legend(loc="upper right", ncols=2, fontsize=8)
    missing = ", ".join(f"{lead} {100 * np.isnan(row).mean():.0f} %" for lead, row in zip(LEADS, leads_mv, strict=True))
    return describe(figure, f"Twelve leads in millivolts over seconds, read in blue. Not shown on the page: {missing}.")


def plot_findings(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw each finding's score among its reference pages.

    Args:
        rows: name, score, low, high, verdict, and `without` and `having`: scores of reference pages.
    """
    with style():
        figure = Figure(figsize=(9.0, 0.9 * len(rows) + 1.0), layout="constrained")
        axes = figure.subplots()
        for y, row in enumerate(rows):
            for shift, scores, marker, colour in (
                (0.2, row["without"], "|", MUTED),
                (-0.2, row["having"], "|", VERMILLION),
            ):
                axes.plot(scores, np.full(len(scores), y + shift), marker, color=colour, markersize=7)
            axes.plot([row["low"], row["high"]], [y, y], color=BLUE, linewidth=4, solid_capstyle="butt")
            axes.plot(row["score"], y, "o", color=INK, markersize=6)
        axes.set_yticks(range(len(rows)), [f"{row['name']}: {row['verdict']}" for row in rows])
        axes.set_xlabel("score (difference of two cosines, no unit)")
        axes.set_title("This page (blue) among pages with (orange-red) and without (grey) the finding")
    said = "; ".join(f"{r['name']} {r['score']:.2f} ({r['low']:.2f} to {r['high']:.2f}), {r['verdict']}" for r in rows)
    return describe(figure, f"Scores of one page beside those of reference pages, one row a finding: {said}.")
