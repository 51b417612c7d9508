"""Amplitudes that an electrode can produce: leads that never move, and units that are off by a thousand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ecgscan_lab.errors import LeadError, RecordError
from ecgscan_lab.leads import LEADS

LOUD_MV = 20.0  # no heart on body-surface leads is louder; half the leads beyond it mean a wrong unit
FAINT_MV = 0.02  # nor is one fainter than this in all leads at once


def check_amplitudes(path: Path, signal_mv: np.ndarray, step_mv: float, allow_flat: bool, repairs: list[str]) -> None:
    """Refuse leads that never move and amplitudes that only a wrong unit explains.

    Args:
        path: the file, for the message.
        signal_mv: `[12, time]` in mV; NaN marks gaps, and no lead is a gap from end to end.
        step_mv: one converter step in millivolts; 0 for files of floating-point numbers.
        allow_flat: note flat leads in `repairs` instead of refusing the record.
        repairs: sentences of what was put right; extended.

    Raises:
        LeadError: all leads are flat, or one is and `allow_flat` is False.
        RecordError: the amplitudes speak for a wrong unit.
    """
    low, high = (signal_mv.min(axis=1), signal_mv.max(axis=1))
    if np.isnan(low).any():
        low, high = np.nanmin(signal_mv, axis=1), np.nanmax(signal_mv, axis=1)
    spans_mv = high - low
    flat = [lead for lead, span in zip(LEADS, spans_mv.tolist(), strict=True) if span <= 1.01 * step_mv]
    if len(flat) == len(LEADS) or (flat and not allow_flat):
        raise LeadError(
            f"flat leads: {', '.join(flat)}",
            file=path,
            field=", ".join(flat),
            expected="a signal that moves by more than one converter step",
            fix="leave the record out" if len(flat) == len(LEADS) else "pass allow_flat=True to keep such records",
        )
    if flat:
        repairs.append(f"flat leads kept: {', '.join(flat)}")
    if spans_mv.max() < FAINT_MV:
        raise RecordError(
            f"no lead moves by more than {1000 * spans_mv.max():.3g} uV; is the file's unit too small?",
            file=path,
            field="units",
            expected=f"at least {FAINT_MV} mV in one lead",
            fix="correct the gain or the unit of the file",
        )
    if spans_mv.max() <= LOUD_MV:
        return
    peaks_mv = np.nanmax(np.abs(signal_mv - np.nanmedian(signal_mv, axis=1, keepdims=True)), axis=1)
    loud = [lead for lead, peak in zip(LEADS, peaks_mv.tolist(), strict=True) if peak > LOUD_MV]
    if len(loud) >= len(LEADS) / 2:
        raise RecordError(
            f"{len(loud)} leads exceed {LOUD_MV:g} mV, up to {peaks_mv.max():.3g}; is the file's unit too large?",
            file=path,
            field="units",
            expected=f"at most {LOUD_MV:g} mV about the median",
            fix="correct the gain or the unit of the file",
        )
    if loud:
        repairs.append(f"leads beyond {LOUD_MV:g} mV kept: {', '.join(loud)}")
