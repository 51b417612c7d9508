"""One rate and one length for every recording, without inventing samples."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil

import numpy as np

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.types import EcgRecord

_MARGIN_S = 1.0  # recorded signal beyond the crop that still feeds the anti-aliasing filter


def standardize(record: EcgRecord, fs_hz: float = 500.0, duration_s: float | None = 10.0) -> EcgRecord:
    """Bring a record to one sampling rate and one length.

    The rate changes by `resample_poly`'s polyphase FIR filter with `fs_hz`/`record.fs_hz` as a fraction. The line from
    each lead's first to its last sample is taken off before filtering and put back after, and the ends are continued by
    point reflection, so that neither an offset nor a drift rings at the edges. Gaps (NaN) are bridged by a straight
    line for the filter and stay gaps afterwards. The first `duration_s` are kept; a shorter record gets NaN on the
    right.

    Source: SciPy's `scipy.signal.resample_poly` (Kaiser window, beta 5). *Differences*: the line, and the gaps.

    Args:
        record: a record, `signal_mv` `[12, time]`.
        fs_hz: wanted rate in hertz, 1 to 10 000.
        duration_s: wanted length in seconds, or None to keep the length.

    Returns:
        A record with `signal_mv` float32 `[12, round(fs_hz * duration_s)]`; padding is noted in
        `provenance["repairs"]`.

    Raises:
        ArgumentError: `fs_hz` or `duration_s` is not a sensible positive number.
        LeadError: a lead has no recorded sample within the first `duration_s`; ask for a longer duration.

    Properties: the identity when rate and length already agree; keeps constants and ramps; a sine below both Nyquist
    rates keeps its amplitude and phase; a gap stays a gap of the same duration to one sample.

    Example:
        >>> ramp = EcgRecord("ramp", np.tile(np.linspace(0, 1, 101, dtype=np.float32), (12, 1)), fs_hz=100.0)
        >>> standardize(ramp, fs_hz=500.0, duration_s=0.5).signal_mv[0, [50, 100, 200]].round(3)
        array([0.1, 0.2, 0.4], dtype=float32)
    """
    check_rate_and_length(fs_hz, duration_s)
    signal_mv = record.signal_mv
    n_out = None if duration_s is None else max(1, round(fs_hz * duration_s))
    if fs_hz != record.fs_hz:
        if duration_s is not None:
            signal_mv = signal_mv[:, : ceil((duration_s + _MARGIN_S) * record.fs_hz)]
        signal_mv = _resample(signal_mv, record.fs_hz, fs_hz)
    repairs = list(record.provenance.get("repairs", ()))
    n_recorded = signal_mv.shape[1]
    if n_out is not None and n_recorded > n_out:
        signal_mv = np.ascontiguousarray(signal_mv[:, :n_out])
        _check_leads_recorded(record, signal_mv)
    elif n_out is not None and n_recorded < n_out:
        gap = np.full((signal_mv.shape[0], n_out - n_recorded), np.nan, dtype=signal_mv.dtype)
        signal_mv = np.concatenate([signal_mv, gap], axis=1)
        repairs.append(f"shorter than {duration_s:g} s; padded with gaps (NaN) on the right")
    if signal_mv is record.signal_mv:
        return record
    return replace(
        record, signal_mv=signal_mv, fs_hz=float(fs_hz), provenance={**record.provenance, "repairs": repairs}
    )


def _resample(signal_mv: np.ndarray, from_hz: float, to_hz: float) -> np.ndarray:
    """Polyphase resampling of `[lead, time]`, NaN kept where an input sample next to the output sample is NaN."""
    from scipy.signal import resample_poly

    ratio = Fraction(to_hz / from_hz).limit_denominator(1000)
    if ratio <= 0:
        raise ArgumentError(f"cannot resample from {from_hz:g} to {to_hz:g} Hz", field="fs_hz")
    gaps = np.isnan(signal_mv)
    has_gaps = bool(gaps.any())
    if has_gaps:
        signal_mv = np.stack([bridge_gaps(lead, gap) for lead, gap in zip(signal_mv, gaps, strict=True)])
    last = gaps.shape[1] - 1
    first_mv = signal_mv[:, :1].astype(np.float64)
    slope_mv = (signal_mv[:, -1:] - first_mv) / max(last, 1)
    level = signal_mv - (first_mv + slope_mv * np.arange(last + 1))
    out = resample_poly(level, ratio.numerator, ratio.denominator, axis=1, padtype="antireflect")
    at = np.arange(out.shape[1]) / float(ratio)
    out = (out + (first_mv + slope_mv * at)).astype(np.float32)
    if has_gaps:
        before = np.minimum(np.floor(at + 1e-9).astype(np.int64), last)
        after = np.minimum(np.ceil(at - 1e-9).astype(np.int64), last)
        out[gaps[:, before] | gaps[:, after]] = np.nan
    return out


def bridge_gaps(lead_mv: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Fill the gaps of one lead `[time]` by straight lines; the ends by the nearest sample, an empty lead by zero.

    Example:
        >>> lead_mv = np.array([np.nan, 1.0, np.nan, 3.0])
        >>> bridge_gaps(lead_mv, np.isnan(lead_mv)).tolist()
        [1.0, 1.0, 2.0, 3.0]
    """
    if gap.all():
        return np.zeros_like(lead_mv)
    time = np.arange(len(lead_mv))
    return np.interp(time, time[~gap], lead_mv[~gap])


def _check_leads_recorded(record: EcgRecord, signal_mv: np.ndarray) -> None:
    """Refuse a crop that leaves a lead without samples, unless the record had none there to begin with."""
    lost = np.isnan(signal_mv).all(axis=1) & ~np.isnan(record.signal_mv).all(axis=1)
    if lost.any():
        names = ", ".join(lead for lead, empty in zip(record.leads, lost, strict=True) if empty)
        raise LeadError(
            f"record {record.record_id}: {names} has no sample within the wanted duration",
            field=names,
            expected="a recorded sample in every lead",
            fix="ask for a longer `duration_s`",
        )


def check_rate_and_length(fs_hz: float, duration_s: float | None) -> None:
    """Refuse a rate or a length that no recording has.

    Args:
        fs_hz: rate in hertz, 1 to 10 000.
        duration_s: length in seconds, from one sample to a day, or None.

    Raises:
        ArgumentError: a value is outside its range.
    """
    targets = [("fs_hz", fs_hz, 1.0, 10_000.0)]
    if duration_s is not None:
        targets.append(("duration_s", duration_s, 1e-4, 24 * 3600.0))
    for name, value, low, high in targets:
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not low <= value <= high:
            raise ArgumentError(f"{name} is {value!r}", field=name, expected=f"a number, {low:g} to {high:g}")
