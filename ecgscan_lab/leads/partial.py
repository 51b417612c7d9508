"""Limb-lead laws on leads that a page shows only in part: each law where all of its own leads overlap in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads.laws import LIMB_LAWS
from ecgscan_lab.leads.names import LEADS, canonical_lead

FloatArray = NDArray[np.float64]

LAWS: dict[str, dict[str, float]] = {
    **{law: LIMB_LAWS[law] for law in ("II - (I + III)", "aVR + aVL + aVF")},
    "II - 2/3 (aVF - aVR)": {"II": 1.0, "aVR": 2 / 3, "aVF": -2 / 3},
    **LIMB_LAWS,
}
"""`laws.LIMB_LAWS`, those first that a page of three rows lets one try, and one more that holds where a rhythm strip of
II runs beneath the augmented leads: aVF - aVR = (II + III)/2 + (I + II)/2 = 3/2 II."""

SHORTEST_S = 0.5
"""An overlap shorter than this holds no heartbeat, and tries no law."""


class LawCheck(NamedTuple):
    """One law, where its leads overlap.

    Attributes:
        law: the difference that should be zero.
        overlap_s: seconds in which all of its leads were read.
        shown_s: seconds in which any of them was.
        offset_mv: median of the difference: zero lines that do not agree.
        residual_mv: root mean square of the difference about that median.
        signal_mv: root mean square about its own median of the largest lead of the law, to hold the residual to.
        verdict: "holds", "broken" or "not tried", each in full words with "partial" where only columns overlap.
    """

    law: str
    overlap_s: float
    shown_s: float
    offset_mv: float
    residual_mv: float
    signal_mv: float
    verdict: str

    def row(self) -> dict[str, Any]:
        """As a line of a table."""
        tried = bool(np.isfinite(self.residual_mv))
        return {
            "law": f"{self.law} = 0",
            "tried on (s)": f"{self.overlap_s:.1f} of {self.shown_s:.1f}",
            "residual (mV)": f"{self.residual_mv:.3f}" if tried else "",
            "offset (mV)": f"{self.offset_mv:+.3f}" if tried else "",
            "largest lead (mV)": f"{self.signal_mv:.3f}" if tried else "",
            "verdict": self.verdict,
        }


def law_difference(signal_mv: ArrayLike, law: str, leads: Sequence[str] = LEADS) -> FloatArray:
    """What a law says is zero, sample by sample; NaN wherever one of its leads is not there.

    Args:
        signal_mv: `[lead, time]` in mV, NaN where nothing was read.
        law: one of `LAWS`.
        leads: the name of each row.

    Returns:
        `[time]`, in mV.

    Raises:
        ArgumentError: another law, or rows that do not match `leads`.
        LeadError: a lead of the law is missing, or one is unknown.

    Properties: zero on lawful leads; scales with a common gain.

    Example:
        >>> law_difference(np.array([[1.0], [3.0], [1.5]]), "II - (I + III)", ["I", "II", "III"])
        array([0.5])
    """
    if law not in LAWS:
        raise ArgumentError(f"no law {law!r}", field="law", expected=f"one of {', '.join(LAWS)}")
    signal, names = np.asarray(signal_mv, dtype=np.float64), [canonical_lead(name) for name in leads]
    if signal.ndim != 2 or len(signal) != len(names):
        raise ArgumentError(f"a signal of shape {signal.shape}", field="signal_mv", expected=f"[{len(names)}, time]")
    missing = [lead for lead in LAWS[law] if lead not in names]
    if missing:
        raise LeadError(f"missing: {', '.join(missing)}", field="leads", expected=f"{', '.join(LAWS[law])} among them")
    found: FloatArray = np.asarray(sum(weight * signal[names.index(lead)] for lead, weight in LAWS[law].items()))
    return found


def check_laws_in_part(
    signal_mv: ArrayLike, fs_hz: float, leads: Sequence[str] = LEADS, *, tolerance: float = 0.5
) -> tuple[LawCheck, ...]:
    """Try every limb-lead law where its own leads overlap, as the columns of a printed page do.

    **Equation**: r(t) = sum over the law's leads of w_l x_l(t), on samples at which all of them are finite; offset =
    median r, residual = rms(r - offset). A law holds where the residual is at most `tolerance` times the rms of
    the largest of its leads, and is broken above it: leads that have nothing to do with each other give about 1 and
    more.

    Source: ours. *Differences* from `diagnose_leads`, which asks for all six limb leads at once and then tells what
    happened: here a law is tried on its own three leads, and only that it does not hold is told.

    Args:
        signal_mv: `[lead, time]` in mV, NaN where the page shows nothing.
        fs_hz: sampling rate in hertz.
        leads: the name of each row, the limb leads among them.
        tolerance: share of the largest lead that a residual may have. A photograph loses height in steep strokes, so
            that a much smaller share would break laws that the heart kept.

    Returns:
        One `LawCheck` a law, in the order of `LAWS`. "partial" stands in the verdict of each that was tried on less
        than what is shown of its leads.

    Raises:
        ArgumentError: a rate or tolerance that is none, or rows that do not match `leads`.
        LeadError: a limb lead is missing, or one is unknown.

    Properties: lawful leads hold with residual zero, however they are cut into columns; a gain common to all changes
    no verdict; an offset of one lead shows in `offset_mv` alone.

    Example:
        >>> heart = np.random.default_rng(0).normal(size=(2, 300))
        >>> from ecgscan_lab.leads import LIMB_LEADS, derive_limb_leads
        >>> limb = derive_limb_leads(*heart)
        >>> limb[:3, 150:], limb[3:, :150] = np.nan, np.nan
        >>> [check.verdict for check in check_laws_in_part(limb, 100.0, LIMB_LEADS)][:3]
        ['holds', 'holds', 'not tried: its leads overlap for 0.0 s']
    """
    if not (np.isfinite(fs_hz) and fs_hz > 0 and np.isfinite(tolerance) and tolerance > 0):
        raise ArgumentError(f"rate {fs_hz} Hz, tolerance {tolerance}", field="fs_hz", expected="numbers above 0")
    signal, names = np.asarray(signal_mv, dtype=np.float64), [canonical_lead(name) for name in leads]
    checks = []
    for law, weights in LAWS.items():
        difference = law_difference(signal, law, names)
        rows = signal[[names.index(lead) for lead in weights]]
        together, any_of = np.isfinite(difference), np.isfinite(rows).any(axis=0)
        overlap_s, shown_s = float(together.sum() / fs_hz), float(any_of.sum() / fs_hz)
        if overlap_s < SHORTEST_S:
            nan = float("nan")
            verdict = f"not tried: its leads overlap for {overlap_s:.1f} s"
            checks.append(LawCheck(law, overlap_s, shown_s, nan, nan, nan, verdict))
            continue
        kept = difference[together]
        offset = float(np.median(kept))
        residual = _rms(kept - offset)
        largest = max(_rms(row[together] - np.median(row[together])) for row in rows)
        verdict = "holds" if residual <= tolerance * largest else "broken"
        if overlap_s < shown_s - 0.5 / fs_hz:
            verdict += f" (partial: {overlap_s:.1f} of {shown_s:.1f} s)"
        checks.append(LawCheck(law, overlap_s, shown_s, offset, residual, largest, verdict))
    return tuple(checks)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
