"""The embedded data set: 12-lead ECGs with known diagnoses, reports and measurements, made here, with no network.

Each patient has a heart (axis, size, wave shapes), a chest (lead vectors) and one diagnosis; each recording adds a
heart rate, a breath, change from beat to beat, and noise. The signal is the projection of one moving dipole, so the
limb-lead laws hold exactly before noise. It serves learning, testing and comparing methods. It is no substitute for
real recordings: it shows fourteen textbook pictures and what lies between them and the normal, and is not for
    clinical use.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ecgscan_lab.data.beats import Beat, ectopic_beat, p_waves, qrs_waves, st_waves, t_waves
from ecgscan_lab.data.dipole import frontal_axis_deg, project, sum_waves
from ecgscan_lab.data.patients import DIAGNOSES, SUPERCLASSES, Patient, beat_of, diagnosis_on, draw_patient
from ecgscan_lab.data.reading import hash_records
from ecgscan_lab.data.recording_noise import electrode_noise, record_leads
from ecgscan_lab.data.reports import DESCRIPTIONS, write_report
from ecgscan_lab.data.rhythms import (
    Beats,
    fibrillation_beats,
    fibrillation_dipole,
    flutter_beats,
    flutter_dipole,
    sinus_beats,
    with_premature_beats,
)
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import Cohort, EcgRecord, GroundTruth

__all__ = ["DIAGNOSES", "TASKS", "synthetic_cohort", "synthetic_records"]

TASKS: dict[str, tuple[str, ...]] = {
    "superclass": ("NORM", "MI", "STTC", "CD", "HYP"),
    "rhythm": ("SR", "SBRAD", "STACH", "AFIB", "AFLT"),
    "diagnosis": DIAGNOSES,
}
LOWEST_FS_HZ = 50.0
_RATES_BPM = {  # where the diagnosis sets the rate; elsewhere it is the patient's own
    "NORM": (62.0, 95.0),
    "PVC": (62.0, 92.0),
    "SBRAD": (42.0, 57.0),
    "STACH": (103.0, 142.0),
    "AFIB": (58.0, 150.0),
}
_FORM_CODES = {"acute": "ACUTE", "recent": "RECENT", "old": "OLD", "strain": "STRAIN"}


@dataclass(frozen=True, eq=False)
class Visit:
    """One recording before it is drawn: whose it is, and which of theirs."""

    record_id: str
    patient: Patient
    number: int
    fs_hz: float
    duration_s: float


@dataclass(frozen=True, eq=False)
class _Rhythm:
    """The beats of one recording and what the atria do between them."""

    code: str
    beats: Beats
    rate_bpm: float
    atria: np.ndarray  # [3, time], f or flutter waves in mV


def synthetic_records(
    n: int, seed: int = 0, *, fs_hz: float = 500.0, duration_s: float = 10.0, noise: bool = True
) -> list[EcgRecord]:
    """Draws `n` labelled 12-lead recordings with their reports, diagnoses and measurements.

    **Equation** lead(t) = c_lead . sum_k v_k exp(-|u_k(t)|**p / 2) for I, II and V1 to V6, over the P, QRS, ST and
    T waves of all beats; III = II - I and aVR, aVL, aVF by Goldberger's equations; then noise at the electrodes.

    **Source** sums of Gaussian waves: P. E. McSharry et al., IEEE Trans. Biomed. Eng. 50 (2003) 289; lead vectors:
    Dower et al. (1980). *Differences*: waves are those of a dipole in space, not of a lead; no differential equation
    is integrated; patients, diagnoses, rhythms and noise are this package's own.

    Args:
        n: number of recordings, 0 or more. They come from `n / 2.4` patients, 1 to 4 a patient.
        seed: seed of everything, 0 or more.
        fs_hz: sampling rate, 50 Hz or more.
        duration_s: length, 2 s or more.
        noise: add baseline wander, muscle, mains, electrode motion, amplifier noise and rounding to a microvolt.
            Without it the signal is the pure projection.

    Returns:
        Records with `signal_mv` float32 `[12, duration_s * fs_hz]`, `labels` for the tasks of `TASKS`, `truth` and
        `report`.

    Raises:
        ArgumentError: an argument is out of range.

    Properties: the same seed gives the same bits; record i does not depend on `n`; the limb-lead laws hold to float32
    rounding without noise, their violation is about 49 dB below the signal with it; a patient is in one split only;
    the heart does not depend on `fs_hz` or `noise`.

    Example:
        >>> records = synthetic_records(3, seed=7, fs_hz=100.0)
        >>> [record.signal_mv.shape for record in records]
        [(12, 1000), (12, 1000), (12, 1000)]
        >>> records[0].truth.diagnosis in DIAGNOSES
        True
    """
    _check(n, seed, fs_hz, duration_s)
    return [
        _record(patient, visit, f"synthetic-{seed}-{i:06d}", fs_hz, duration_s, noise)
        for i, patient, visit in _visits(n, seed)
    ]


def synthetic_cohort(n_records: int = 2000, seed: int = 0, *, fs_hz: float = 100.0, duration_s: float = 10.0) -> Cohort:
    """`synthetic_records` as a cohort with patient-disjoint splits, 70 % train, 10 % val and 20 % test.

    Patients of each diagnosis are spread over the splits in fixed proportion, so that small cohorts keep all classes
    where
    they can: every 20 patients (about 48 recordings) hold every diagnosis, every 200 hold each one in every split.

    Args:
        n_records: number of recordings, 60 or more to have something in every split.
        seed, fs_hz, duration_s: as for `synthetic_records`.

    Returns:
        A cohort with the tasks `superclass` (as in PTB-XL: rhythms alone are NORM when sinus and otherwise none),
        `rhythm` and `diagnosis`.

    Raises:
        ArgumentError: an argument is out of range.

    Example:
        >>> cohort = synthetic_cohort(60, seed=1)
        >>> len(cohort), {name: len(classes) for name, classes in cohort.tasks.items()}
        (60, {'superclass': 5, 'rhythm': 5, 'diagnosis': 14})
    """
    drawn = synthetic_records(n_records, seed, fs_hz=fs_hz, duration_s=duration_s)
    signals_mv = np.empty((len(drawn), *(drawn[0].signal_mv.shape if drawn else (12, 0))), dtype=np.float32)
    for i, record in enumerate(drawn):  # one by one: what each had is free before the next is copied
        signals_mv[i] = record.signal_mv
        drawn[i] = replace(record, signal_mv=signals_mv[i])
    records = tuple(drawn)
    named = {code: DESCRIPTIONS[code] for classes in TASKS.values() for code in classes}
    cohort = Cohort("synthetic", records, dict(TASKS), data_sha256=hash_records(records), descriptions=named)
    cohort.__dict__["signals_mv"] = signals_mv  # fills the cached property: no second copy of the signals
    return cohort


def synthetic_visits(n: int, seed: int = 0, *, fs_hz: float = 500.0, duration_s: float = 10.0) -> list[Visit]:
    """The recordings that `synthetic_records` would draw of the same arguments, for `draw_visit`, one by one.

    Raises:
        ArgumentError: as `synthetic_records`.
    """
    _check(n, seed, fs_hz, duration_s)
    return [
        Visit(f"synthetic-{seed}-{i:06d}", patient, visit, fs_hz, duration_s) for i, patient, visit in _visits(n, seed)
    ]


def draw_visit(visit: Visit) -> EcgRecord:
    """Draw one recording of `synthetic_visits`."""
    return _record(visit.patient, visit.number, visit.record_id, visit.fs_hz, visit.duration_s, noise=True)


def _check(n: int, seed: int, fs_hz: float, duration_s: float) -> None:
    for name, value, least, unit in (
        ("n", n, 0, "recordings"),
        ("seed", seed, 0, ""),
        ("fs_hz", fs_hz, LOWEST_FS_HZ, "Hz"),
        ("duration_s", duration_s, 2.0, "s"),
    ):
        if not (np.isfinite(value) and value >= least):
            expected = f"a number of at least {least} {unit}".strip()
            raise ArgumentError(f"{name} is {value}", field=name, expected=expected, fix=f"pass a larger {name}")


def _visits(n: int, seed: int) -> Iterator[tuple[int, Patient, int]]:
    """(record, patient, visit) for the first `n` recordings."""
    i = number = 0
    while i < n:
        patient = draw_patient(seed, number)
        for visit in range(min(patient.n_records, n - i)):
            yield i, patient, visit
            i += 1
        number += 1


def _record(patient: Patient, visit: int, record_id: str, fs_hz: float, duration_s: float, noise: bool) -> EcgRecord:
    rng = patient.recording_rng(visit)
    diagnosis = diagnosis_on(patient, visit, rng)
    beat, form = beat_of(patient, diagnosis)
    n_samples = round(duration_s * fs_hz)
    breath_hz = float(rng.uniform(0.18, 0.33))
    rhythm = _rhythm(rng, patient, diagnosis, beat, np.arange(n_samples) / fs_hz, breath_hz)
    dipole, truth = _heart(rng, patient, diagnosis, beat, rhythm, n_samples, fs_hz, breath_hz)
    signal_mv = project(dipole, patient.chest_vectors)
    if noise:
        noise_rng = patient.noise_rng(visit)
        signal_mv = record_leads(signal_mv, electrode_noise(noise_rng, n_samples, fs_hz, breath_hz), noise_rng)
    labels = {"superclass": SUPERCLASSES[diagnosis], "rhythm": (rhythm.code,), "diagnosis": (diagnosis,)}
    remarks = {**labels, "remark": _remarks(beat, form, rhythm)}
    return EcgRecord(
        record_id=record_id,
        signal_mv=signal_mv.astype(np.float32, copy=False),
        fs_hz=fs_hz,
        patient_id=patient.patient_id,
        labels=labels,
        report=write_report(remarks, rng=rng),
        split=patient.split,
        provenance={"source": "synthetic", "seed": patient.seed, "visit": visit, "form": form, "repairs": []},
        truth=truth,
    )


def _rhythm(
    rng: np.random.Generator, patient: Patient, diagnosis: str, beat: Beat, time_s: np.ndarray, breath_hz: float
) -> _Rhythm:
    duration_s = len(time_s) * float(time_s[1])
    silent = np.zeros((3, len(time_s)))
    low, high = _RATES_BPM.get(diagnosis, (0.0, 0.0))
    rate_bpm = float(rng.uniform(low, high)) if high else patient.resting_bpm * float(np.exp(rng.normal(0.0, 0.06)))
    if diagnosis == "AFIB":
        atria = fibrillation_dipole(rng, time_s, coarseness_mv=float(rng.uniform(0.03, 0.10)))
        beats = fibrillation_beats(rng, duration_s, rate_bpm, spread=float(rng.uniform(0.16, 0.28)))
        return _Rhythm("AFIB", beats, rate_bpm, atria)
    if diagnosis == "AFLT":
        flutter_bpm = float(rng.uniform(255.0, 345.0))
        ratios = ((2,), (3,), (4,), (2, 3, 4), (2, 4))[int(rng.choice(5, p=[0.3, 0.15, 0.25, 0.15, 0.15]))]
        beats = flutter_beats(rng, duration_s, flutter_bpm, ratios)
        vector_mv = float(rng.uniform(0.8, 1.6)) * (np.array([0.05, 0.16, -0.07]) + 0.012 * rng.standard_normal(3))
        atria = flutter_dipole(time_s, flutter_bpm, float(beats.onset_s[0]) - 0.12, vector_mv)
        return _Rhythm("AFLT", beats, flutter_bpm / float(np.mean(ratios)), atria)
    sway = patient.sway * float(np.clip(70.0 / rate_bpm, 0.4, 1.4))
    beats = sinus_beats(rng, duration_s, rate_bpm, breath_hz, sway)
    if diagnosis == "PVC":
        beats = with_premature_beats(rng, beats, duration_s, bigeminy=bool(rng.random() < 0.12))
    code = "SBRAD" if rate_bpm < 60.0 else "STACH" if rate_bpm > 100.0 else "SR"
    return _Rhythm(code, beats, rate_bpm, silent)


def _heart(
    rng: np.random.Generator,
    patient: Patient,
    diagnosis: str,
    beat: Beat,
    rhythm: _Rhythm,
    n_samples: int,
    fs_hz: float,
    breath_hz: float,
) -> tuple[np.ndarray, GroundTruth]:
    """The dipole `[3, time]` of all beats, and what it measures."""
    beats = rhythm.beats
    pr_ms = beat.pr_ms - 0.2 * (rhythm.rate_bpm - 70.0)
    pr_ms = max(pr_ms, 204.0) if diagnosis == "1AVB" else float(np.clip(pr_ms, 112.0, 198.0))
    # QT follows the rate by Fridericia's cube root; a single short or long RR moves it only halfway.
    mean_rr_s = 60.0 / rhythm.rate_bpm
    qt_s = beat.qtc_ms / 1000.0 * np.cbrt(np.clip(0.5 * (mean_rr_s + beats.rr_s), 0.38, 1.5))
    breath = 0.035 * np.sin(2 * np.pi * breath_hz * beats.onset_s + rng.uniform(0, 2 * np.pi))
    gain = np.exp(rng.normal(0.0, 0.04)) * (1 + breath + 0.01 * rng.standard_normal(len(beats.onset_s)))
    t_gain = gain * np.exp(rng.normal(0.0, 0.1))

    dipole = rhythm.atria + sum_waves(
        p_waves(beat, beats.onset_s[beats.has_p], np.full(int(beats.has_p.sum()), pr_ms / 1000.0)), n_samples, fs_hz
    )
    ectopic = ectopic_beat(
        str(rng.choice(["right", "left"])), patient.turn_t, patient.gain, float(rng.uniform(138.0, 165.0))
    )
    r_peaks_s = np.empty(len(beats.onset_s))
    for kind, chosen in ((beat, ~beats.ectopic), (ectopic, beats.ectopic)):
        if not chosen.any():
            continue
        onset_s, kind_qt_s = beats.onset_s[chosen], qt_s[chosen] * kind.qtc_ms / beat.qtc_ms
        dipole += sum_waves(qrs_waves(kind, onset_s, gain[chosen]), n_samples, fs_hz)
        dipole += sum_waves(st_waves(kind, onset_s, kind_qt_s, t_gain[chosen]), n_samples, fs_hz)
        dipole += sum_waves(t_waves(kind, onset_s, kind_qt_s, t_gain[chosen]), n_samples, fs_hz)
        r_peaks_s[chosen] = onset_s + kind.r_peak_ms / 1000.0

    # The last 20 ms are left out at any rate, so that truth does not depend on it and every peak has a sample.
    inside = (r_peaks_s >= 0) & (r_peaks_s <= n_samples / fs_hz - 1.0 / LOWEST_FS_HZ)
    intervals_s = np.diff(r_peaks_s[inside])
    return dipole, GroundTruth(
        diagnosis=diagnosis,
        r_peaks_s=r_peaks_s[inside],
        rate_bpm=float(60.0 / intervals_s.mean()) if len(intervals_s) else rhythm.rate_bpm,
        pr_ms=pr_ms if beats.has_p.any() else float("nan"),
        qrs_ms=beat.qrs_ms,
        qt_ms=1000.0 * float(qt_s[inside & ~beats.ectopic].mean()),
    )


def _remarks(beat: Beat, form: str, rhythm: _Rhythm) -> tuple[str, ...]:
    """Codes that only the report tells: axis, ventricular response, stage of an infarct, strain."""
    axis_deg = frontal_axis_deg(beat.net_qrs)
    remarks = ["LAD"] if axis_deg < -30.0 else ["RAD"] if axis_deg > 95.0 else []
    if rhythm.code in ("AFIB", "AFLT") and rhythm.rate_bpm > 105.0:
        remarks.append("RVR")
    if form in _FORM_CODES:
        remarks.append(_FORM_CODES[form])
    return tuple(remarks)
