"""The lead doctor: finds leads that are out of order, upside down, or in another unit, and says what it cannot see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads.diagnosis import Finding, LeadDiagnosis
from ecgscan_lab.leads.hypotheses import Moments, law_snr_db, limb_moments
from ecgscan_lab.leads.laws import LIMB_PROJECTOR
from ecgscan_lab.leads.names import CHEST_LEADS, LEADS, LIMB_LEADS, canonical_lead
from ecgscan_lab.leads.plausibility import (
    amplitudes,
    chest_gain_findings,
    chest_hints,
    electrode_hints,
    unit_findings,
)
from ecgscan_lab.leads.samples import (
    duplicate_findings,
    flat_leads,
    gap_findings,
    padded_span,
    padding_findings,
    scaling_finding,
)
from ecgscan_lab.leads.verdicts import burst_findings, law_findings, offset_findings
from ecgscan_lab.types import EcgRecord

if TYPE_CHECKING:
    import torch

FloatArray = NDArray[np.float64]
Signal = TypeVar("Signal", EcgRecord, np.ndarray, "torch.Tensor")

USUAL_S = 10.0
SHORTEST_SAMPLES = 16
SHORTEST_S = 0.5  # of samples recorded in all six limb leads at once, for the laws to be tried
LONGEST_WINDOWS = 60
ONE_DIRECTION = 1e-3  # below this share of power across the main direction, several orders obey the laws alike

LIMITS = (
    "Exchanged limb electrodes (RA, LA, LL) obey every law: lead I, V6 and aVR give hints for RA, none for LA and LL.",
    "All limb leads upside down, or all in another unit, obey every law: only amplitudes and polarity speak.",
    "A unit that is off by less than about a factor of 5 looks like a large or a small heart.",
    "No law ties the chest leads: of their order nothing is seen, of their signs only a hint.",
)


def diagnose_leads(
    record: EcgRecord | np.ndarray | torch.Tensor,
    leads: Sequence[str] = LEADS,
    *,
    fs_hz: float | None = None,
) -> LeadDiagnosis:
    """Find what is wrong with the leads of a recording: order, signs, units, offsets, scaling, flat and doubled leads.

    Equation: every order, sign and gain of the six limb leads is scored by the limb-lead laws,
        SNR = median over 1-s windows of 10 log10(|y|^2 / |(1 - P) y|^2),  P = `LIMB_PROJECTOR`, means removed,
    with y the leads once it is undone. A story is told when it makes the laws hold to 12 dB or more (15 dB where it
    changes gains) and 10 dB better than the leads as they are; the one that changes least is preferred to one that
    explains up to 6 dB more.

    Source: ours. Recordings obey the laws to 40-50 dB (ECG-Scan, arXiv 2604.01526, Table 1), which leaves much room to
    tell stories apart. *Differences* from checking Goldberger's residuals alone: it names the fault and the remedy.

    Args:
        record: an `EcgRecord`, or a signal `[lead, time]` in the unit to be judged, integers included.
        leads: the name of each row of a bare signal; the six limb leads in any order, with or without chest leads.
        fs_hz: sampling rate of a bare signal in hertz; None takes it to last ten seconds.

    Returns:
        The diagnosis: `ok`, `findings` with evidence and remedy, `limits`. Print it, or end a cell with it.

    Raises:
        ArgumentError: the signal is not `[lead, time]`, has fewer than 16 samples, or `fs_hz` is no rate.
        LeadError: a limb lead is missing, or a lead is unknown or given twice.

    Properties: a gain common to all leads changes nothing but the unit; exchanging electrodes (a symmetry of the laws)
    never makes an error; the order of the rows does not matter, their names do.

    Example:
        >>> i, ii = np.random.default_rng(0).normal(size=(2, 1000)).cumsum(axis=1) / 20
        >>> from ecgscan_lab.leads.laws import derive_limb_leads
        >>> mimic = derive_limb_leads(i, ii)[[0, 1, 2, 3, 5, 4]]  # aVF before aVL, whatever the names say
        >>> [(finding.kind, finding.leads) for finding in diagnose_leads(mimic, LIMB_LEADS).findings]
        [('order', ('aVL', 'aVF'))]
    """
    given, names, rate_hz, integers = _checked(record, leads, fs_hz)
    start, end = padded_span(given, rate_hz)
    signal = np.where(np.isfinite(given), given, np.nan)[:, start:end]
    seconds = max(1, round(signal.shape[1] / rate_hz))
    limits = list(LIMITS)
    flat = flat_leads(signal, names)
    scaling, each_lead = scaling_finding(signal, names, flat)
    moments = _limb_moments(signal, names, rate_hz, flat, limits)
    snr_db = float("nan") if moments is None else law_snr_db(moments)

    found = law_findings(moments, signal, names, flat, scaling, each_lead)
    signal = _apply(found, signal, names)
    repaired = _limb_moments(signal, names, rate_hz, flat, [])
    if repaired is not None:
        offsets = offset_findings(repaired, names, _chest_levels(signal, names))
        signal = _apply(offsets, signal, names)
        found += [*offsets, *burst_findings(repaired, signal.shape[1] / rate_hz)]
    doubled = {finding.leads for finding in found if finding.kind == "duplicate"}
    found += [copy for copy in duplicate_findings(signal, names, flat) if copy.leads not in doubled]
    if scaling is None:
        spans = amplitudes(signal, seconds)
        units = [*chest_gain_findings(spans, names), *unit_findings(spans, names, integers)]
        found += units
        signal = _apply(units, signal, names)
    found += [*electrode_hints(signal, names, seconds), *chest_hints(signal, names)] if not flat else []
    found += [*padding_findings(given, names, rate_hz), *gap_findings(given, names)]
    found.sort(key=lambda finding: finding.severity != "error")
    return LeadDiagnosis(
        tuple(found),
        tuple(limits),
        snr_db,
        float("nan") if repaired is None else law_snr_db(repaired),
        record.record_id if isinstance(record, EcgRecord) else "",
    )


def repair_leads(
    record: Signal, diagnosis: LeadDiagnosis | None = None, leads: Sequence[str] = LEADS, *, fs_hz: float | None = None
) -> Signal:
    """Undo what the doctor is certain of: order, signs, gains, offsets and units, and recompute what no longer follows.

    Args:
        record: an `EcgRecord`, or a signal `[lead, time]`.
        diagnosis: what `diagnose_leads` said; None asks it. Findings that are not `certain` are left alone: to undo one
            of them too, pass a diagnosis in which it is (`dataclasses.replace(finding, certain=True)`).
        leads: the name of each row of a bare signal.
        fs_hz: sampling rate of a bare signal in hertz; None takes it to last ten seconds.

    Returns:
        Of the input's kind and shape. A record also tells what was done in `provenance["repairs"]`; a bare signal of
        integers comes back as float64.

    Raises:
        ArgumentError, LeadError: as `diagnose_leads`.

    Properties: a sound recording comes back as it was; what comes back has no certain finding left.

    Example:
        >>> i, ii = np.random.default_rng(0).normal(size=(2, 1000)).cumsum(axis=1) / 20
        >>> from ecgscan_lab.leads.laws import derive_limb_leads
        >>> limb = derive_limb_leads(i, ii)
        >>> bool(np.allclose(repair_leads(limb * [[1], [-1], [1], [1], [1], [1]], leads=LIMB_LEADS), limb))
        True
    """
    given, names, _, _ = _checked(record, leads, fs_hz)
    diagnosis = diagnose_leads(record, leads, fs_hz=fs_hz) if diagnosis is None else diagnosis
    undone: list[Finding] = [f for f in diagnosis.findings if f.certain and f.repair is not None]
    if not undone:
        return record
    repaired = _apply(undone, given, names)
    if isinstance(record, EcgRecord):
        repairs = [*record.provenance.get("repairs", []), *(f"lead doctor: {f.sentence}" for f in undone)]
        return replace(
            record,
            signal_mv=repaired.astype(record.signal_mv.dtype),
            provenance={**record.provenance, "repairs": repairs},
        )
    if isinstance(record, np.ndarray):
        return repaired.astype(record.dtype) if np.issubdtype(record.dtype, np.floating) else repaired
    import torch  # only reached with a tensor in hand

    floating = record.is_floating_point()
    return torch.from_numpy(repaired).to(record.device, record.dtype if floating else torch.float64)


def _checked(
    record: EcgRecord | np.ndarray | torch.Tensor, leads: Sequence[str], fs_hz: float | None
) -> tuple[FloatArray, tuple[str, ...], float, bool]:
    """Signal in float64, canonical names, rate, and whether all samples are whole numbers."""
    if isinstance(record, EcgRecord):
        leads, fs_hz, values = record.leads, record.fs_hz, record.signal_mv
    else:
        values = record.detach().cpu().numpy() if hasattr(record, "detach") else record
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or values.ndim != 2:
        raise ArgumentError(
            f"a signal of type {getattr(values, 'dtype', type(values).__name__)}, {getattr(values, 'ndim', 0)} axes",
            field="record",
            expected="an EcgRecord, or numbers [lead, time] as an array or tensor",
            fix="diagnose one recording at a time",
        )
    if len(values) != len(leads) or values.shape[1] < SHORTEST_SAMPLES:
        raise ArgumentError(
            f"a signal of shape {values.shape} for {len(leads)} leads",
            field="record",
            expected=f"one row a lead, and at least {SHORTEST_SAMPLES} samples",
            fix="pass `leads` with the name of each row, or transpose the signal",
        )
    rate_hz = values.shape[1] / USUAL_S if fs_hz is None else float(fs_hz)
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise ArgumentError(f"a rate of {fs_hz} Hz", field="fs_hz", expected="a sampling rate above 0 Hz")
    names = tuple(canonical_lead(name) for name in leads)
    repeated = sorted({name for name in names if names.count(name) > 1})
    missing = [name for name in LIMB_LEADS if name not in names]
    if repeated or missing:
        faults = [f"given twice: {', '.join(repeated)}"] if repeated else []
        faults += [f"missing: {', '.join(missing)}"] if missing else []
        raise LeadError(
            "; ".join(faults), field="leads", expected=f"each of {', '.join(LIMB_LEADS)} once; chest leads at will"
        )
    signal = values.astype(np.float64)
    finite = signal[np.isfinite(signal)]
    return signal, names, rate_hz, bool(len(finite)) and bool(np.all(finite == np.rint(finite)))


def _limb_moments(
    signal: FloatArray, names: tuple[str, ...], rate_hz: float, flat: tuple[str, ...], limits: list[str]
) -> Moments | None:
    """Moments of the samples that all six limb leads have; None, with the reason, where there is nothing to try."""
    limb = signal[[names.index(lead) for lead in LIMB_LEADS]]
    limb = limb[:, np.isfinite(limb).all(axis=0)]
    if limb.shape[1] < max(SHORTEST_S * rate_hz, SHORTEST_SAMPLES):
        limits.append(
            f"The laws could not be tried: {limb.shape[1] / rate_hz:.2f} s hold all six limb leads at the same time."
        )
        return None
    if set(LIMB_LEADS) <= set(flat):
        limits.append("The laws could not be tried: no limb lead moves.")
        return None
    moments = limb_moments(limb, min(LONGEST_WINDOWS, max(1, round(limb.shape[1] / rate_hz))))
    directions = np.linalg.eigvalsh(LIMB_PROJECTOR @ moments.second.mean(axis=0) @ LIMB_PROJECTOR)
    if directions[-2] < ONE_DIRECTION * directions[-1]:
        limits.append("The limb leads move along one direction only, so several orders and signs obey the laws alike.")
    return moments


def _chest_levels(signal: FloatArray, names: tuple[str, ...]) -> FloatArray:
    rows = [row[np.isfinite(row)] for lead, row in zip(names, signal, strict=True) if lead in CHEST_LEADS]
    return np.array([np.median(row) for row in rows if len(row)])


def _apply(findings: list[Finding], signal: FloatArray, names: tuple[str, ...]) -> FloatArray:
    for finding in findings:
        if finding.repair is not None:
            signal = finding.repair.apply(signal, names)
    return signal
