"""What the samples of a recording show without any law: gaps, padding, flat and doubled leads, and rescaling."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgscan_lab.leads.diagnosis import Finding
from ecgscan_lab.leads.names import CHEST_LEADS

FloatArray = NDArray[np.float64]

PADDING_S = 0.2  # of samples at both ends that no lead moves in
SAME = 1e-3  # of a lead's span: two leads no further apart hold the same samples
SAME_SPAN, SAME_SPREAD = 5e-3, 2e-3  # relative; twelve leads never agree this well by themselves


def padded_span(signal: FloatArray, fs_hz: float) -> tuple[int, int]:
    """First and last + 1 sample of what is left without the constant runs at both ends; all of it if they are short."""
    n = signal.shape[1]
    changes = np.flatnonzero((signal[:, 1:] != signal[:, :-1]).any(axis=0) & np.isfinite(signal[:, 1:]).any(axis=0))
    if not len(changes):
        return 0, n
    first, last = int(changes[0]) + 1, int(changes[-1]) + 1
    least = max(2, round(PADDING_S * fs_hz))
    return (first if first >= least else 0), (last if n - last >= least else n)


def padding_findings(signal: FloatArray, leads: tuple[str, ...], fs_hz: float) -> list[Finding]:
    """Constant runs at the beginning or the end of all leads."""
    start, end = padded_span(signal, fs_hz)
    n = signal.shape[1]
    if (start, end) == (0, n):
        return []
    before_s, after_s = start / fs_hz, (n - end) / fs_hz
    return [
        Finding(
            "padding",
            leads,
            "hint",
            f"no lead moves in the first {before_s:.2f} s and the last {after_s:.2f} s; they were left out here",
            f"keep samples {start} to {end} before drawing or resampling the record",
            {"seconds before": before_s, "seconds after": after_s},
        )
    ]


def gap_findings(signal: FloatArray, leads: tuple[str, ...]) -> list[Finding]:
    """Samples that are NaN or infinite."""
    missing = ~np.isfinite(signal)
    if not missing.any():
        return []
    named = tuple(lead for lead, row in zip(leads, missing, strict=True) if row.any())
    return [
        Finding(
            "gap",
            named,
            "hint",
            f"{100 * missing.mean():.3g} % of the samples are NaN or infinite",
            "nothing, if those samples were not recorded; they are left out here",
            {"share": float(missing.mean())},
        )
    ]


def flat_leads(signal: FloatArray, leads: tuple[str, ...]) -> tuple[str, ...]:
    """Leads that hold one value, or nothing, throughout."""
    low, high = _extremes(signal)
    return tuple(lead for lead, a, b in zip(leads, low.tolist(), high.tolist(), strict=True) if not b > a)


def duplicate_findings(signal: FloatArray, leads: tuple[str, ...], flat: tuple[str, ...]) -> list[Finding]:
    """Chest leads that hold the samples of another lead."""
    found = []
    for k, lead in enumerate(leads):
        if lead in CHEST_LEADS and lead not in flat:
            found += [
                Finding(
                    "duplicate",
                    (leads[j], lead),
                    "error",
                    f"{lead} holds the same samples as {leads[j]}{'' if sign > 0 else ', upside down'}",
                    f"read both leads from the source again; if that fails, leave {lead} out",
                )
                for j, sign in copies_of(signal, k)
                if leads[j] not in flat and (j < k or leads[j] not in CHEST_LEADS)
            ]
    return found


def copies_of(signal: FloatArray, k: int) -> list[tuple[int, int]]:
    """Rows that hold the samples of row `k`, each with its sign."""
    low, high = _extremes(signal)
    tolerance = SAME * (high[k] - low[k])
    copies = []
    few = signal[:, :: max(1, signal.shape[1] // 50)]  # enough to tell most pairs of leads apart
    for sign in (1, -1):
        alike = ~(np.abs(few[k] - sign * few) > tolerance).any(axis=1)
        for j in np.flatnonzero(alike).tolist():
            gap = np.abs(signal[k] - sign * signal[j])
            gap = gap[np.isfinite(gap)]
            if j != k and len(gap) and gap.max() <= tolerance:
                copies.append((j, sign))
    return sorted(copies)


def scaling_finding(signal: FloatArray, leads: tuple[str, ...], flat: tuple[str, ...]) -> tuple[Finding | None, bool]:
    """Rescaling that took the unit away, and whether each lead went its own way."""
    moving = signal[[k for k, lead in enumerate(leads) if lead not in flat]]
    if len(moving) < 3:
        return None, False
    low, high = _extremes(moving)
    spans, spreads = high - low, np.nanstd(moving, axis=1)
    whole_mean, whole_spread = float(np.nanmean(moving)), float(np.nanstd(moving))
    if _alike(spans, SAME_SPAN):
        what, own, evidence = f"each lead was stretched to a span of {np.median(spans):.3g}", True, {"span": spans[0]}
    elif _alike(spreads, SAME_SPREAD):
        what, own, evidence = "each lead was divided by its own standard deviation", True, {"spread": spreads[0]}
    elif any(abs(low.min() - a) <= 1e-6 * b and abs(high.max() - b) <= 1e-6 * b for a, b in _UNIT_INTERVALS):
        what, own, evidence = f"the record was scaled to [{low.min():.0f}, {high.max():g}] as a whole", False, {}
    elif abs(whole_spread - 1) < 1e-3 and abs(whole_mean) < 1e-3:
        what, own, evidence = "the record was standardised to mean 0 and spread 1 as a whole", False, {}
    else:
        return None, False
    finding = Finding(
        "scaling",
        leads,
        "error",
        f"{what}, so the samples are not millivolts any more",
        "read the record in mV again: the samples do not tell the gain"
        + (", and of the chest leads not even their ratio" if own else ""),
        {name: float(value) for name, value in evidence.items()},
    )
    return finding, own


_UNIT_INTERVALS = ((0.0, 1.0), (-1.0, 1.0), (0.0, 1000.0))


def _alike(values: FloatArray, tolerance: float) -> bool:
    middle = float(np.median(values))
    return middle > 0 and bool(np.all(np.abs(values - middle) <= tolerance * middle))


def _extremes(signal: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest finite value of each row; (inf, -inf) where there is none."""
    finite = np.isfinite(signal)
    return np.where(finite, signal, np.inf).min(axis=1), np.where(finite, signal, -np.inf).max(axis=1)
