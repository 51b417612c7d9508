"""Pictures of what was read off a photographed page: its leads, and its findings with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ecgscan_lab.leads import LEADS
from ecgscan_lab.leads.partial import LAWS, check_laws_in_part, law_difference
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


def plot_law_check(leads_mv: NDArray[np.float32], fs_hz: float) -> Figure:
    """Draw each limb-lead law that a page lets us try: what should be zero, under the largest of its leads.

    Args:
        leads_mv: `[12, time]` in mV, NaN where nothing was read.
        fs_hz: its rate.

    Returns:
        One panel for each law that was tried (`leads.partial.check_laws_in_part`); a sentence where none was.
    """
    checks = [check for check in check_laws_in_part(leads_mv, fs_hz) if np.isfinite(check.residual_mv)]
    seconds = np.arange(leads_mv.shape[1]) / fs_hz
    said = []
    with style():
        figure = Figure(figsize=(11.0, 0.5 + 1.9 * max(1, len(checks))), layout="constrained")
        panels = figure.subplots(max(1, len(checks)), 1, squeeze=False)[:, 0]
        for axes, check in zip(panels, checks, strict=False):
            difference = law_difference(leads_mv, check.law)
            together = np.isfinite(difference)
            rows = {lead: np.where(together, leads_mv[LEADS.index(lead)], np.nan) for lead in LAWS[check.law]}
            largest = max(rows, key=lambda lead: float(np.nanstd(rows[lead])))
            axes.plot(seconds, rows[largest] - np.nanmedian(rows[largest]), color=MUTED, linewidth=1.0, label=largest)
            axes.plot(seconds, difference - check.offset_mv, color=BLUE, linewidth=1.4, label="what should be zero")
            axes.set_xlim(seconds[together][0], seconds[together][-1])
            axes.set_ylabel("voltage (mV)")
            axes.set_title(f"{check.law} = 0: {check.verdict}", fontsize=10)
            axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=8, borderaxespad=0.2)
            said.append(f"{check.law} {check.verdict}, residual {check.residual_mv:.3f} mV")
        if not checks:
            panels[0].set_axis_off()
            panels[0].text(0.0, 0.5, "No law could be tried: on this page the leads of none overlap in time.")
        else:
            panels[len(checks) - 1].set_xlabel("time (s)")
    return describe(figure, f"Limb-lead laws tried in part, in mV over seconds: {'; '.join(said) or 'none could be'}.")


def plot_findings(rows: Sequence[Mapping[str, Any]], *, alpha: float | None = None) -> Figure:
    """Draw each finding's score among its reference pages.

    Args:
        rows: name, score, low, high, verdict, and `without` and `having`: scores of reference pages.
        alpha: how often a verdict may be ruled out wrongly, from 0 to 1; None leaves it unsaid.
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
        held_to = "" if alpha is None else f", verdicts at alpha {alpha:g}"
        axes.set_title(f"This page (blue) among pages with (orange-red)\nand without (grey) the finding{held_to}")
    said = "; ".join(f"{r['name']} {r['score']:.2f} ({r['low']:.2f} to {r['high']:.2f}), {r['verdict']}" for r in rows)
    return describe(
        figure,
        f"Scores of one page beside those of reference pages, one row a finding{held_to}: {said}.",
    )
