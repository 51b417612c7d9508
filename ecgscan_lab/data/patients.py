"""Patients who never lived: which disease each has, on which side of the split, with which heart in which chest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgscan_lab.data.beats import MORPHOLOGIES, NORMAL, Beat
from ecgscan_lab.data.dipole import CHEST_VECTORS, rotation

# PTB-XL's superclass of each diagnosis. As there, a rhythm alone is no diagnosis: sinus rhythms and premature beats
# that are otherwise normal count as NORM, fibrillation and flutter by themselves have no superclass (a row of zeros).
SUPERCLASSES: dict[str, tuple[str, ...]] = {
    "NORM": ("NORM",),
    "SBRAD": ("NORM",),
    "STACH": ("NORM",),
    "AFIB": (),
    "AFLT": (),
    "1AVB": ("CD",),
    "CLBBB": ("CD",),
    "CRBBB": ("CD",),
    "LVH": ("HYP",),
    "AMI": ("MI",),
    "IMI": ("MI",),
    "STD_": ("STTC",),
    "INVT": ("STTC",),
    "PVC": ("NORM",),
}
DIAGNOSES = tuple(SUPERCLASSES)

# Every 20 patients in a row hold every diagnosis at least once, in random order.
_BLOCK = (*DIAGNOSES, "NORM", "NORM", "NORM", "LVH", "AMI", "IMI")
_SPLIT_CYCLE = ("train", "train", "test", "train", "train", "val", "train", "train", "test", "train")
# What a patient's later recordings may show instead; the first always shows the diagnosis. Scars and blocks stay.
_OTHER_DAYS = {
    "AFIB": {"AFIB": 0.8, "AFLT": 0.08, "NORM": 0.12},
    "AFLT": {"AFLT": 0.75, "AFIB": 0.15, "NORM": 0.10},
    "STACH": {"STACH": 0.6, "NORM": 0.4},
    "SBRAD": {"SBRAD": 0.75, "NORM": 0.25},
    "PVC": {"PVC": 0.7, "NORM": 0.3},
    "STD_": {"STD_": 0.75, "NORM": 0.25},
    "INVT": {"INVT": 0.8, "NORM": 0.2},
}
_ORDER, _PATIENT, _BEAT, _RECORDING, _NOISE = range(1, 6)  # streams of random numbers, so that none disturbs another


@dataclass(frozen=True, eq=False)
class Patient:
    """What stays the same from one recording of a patient to the next.

    Attributes:
        seed: seed of the cohort.
        number: the patient's place in the cohort, from 0.
        diagnosis: the chronic diagnosis, one of `DIAGNOSES`.
        split: "train", "val" or "test"; a patient is in one only.
        n_records: 1 to 4 recordings.
        turn_qrs: `[3, 3]`, turn of the heart, for depolarisation.
        turn_t: `[3, 3]`, the smaller turn of repolarisation.
        gain: size of the QRS against the median patient's.
        t_gain: the same for the T wave.
        chest_vectors: `[6, 3]`, lead vectors of this chest with these electrode habits.
        shape_noise: `[5, 3]`, standard normal departures of the QRS waves' vectors from the diagnosis's.
        st_noise: `[3]`, the same for the ST segment, in mV.
        t_noise: `[3]`, the same for the T wave, in mV.
        p_vectors: `[2, 3]`, right and left atrium in mV.
        p_ms: duration of the P wave.
        qtc_ms: QT interval at 60 beats a minute and a narrow QRS.
        resting_bpm: usual heart rate where the diagnosis does not set it.
        sway: respiratory arrhythmia, relative swing of the RR interval.
    """

    seed: int
    number: int
    diagnosis: str
    split: str
    n_records: int
    turn_qrs: np.ndarray
    turn_t: np.ndarray
    gain: float
    t_gain: float
    chest_vectors: np.ndarray
    shape_noise: np.ndarray
    st_noise: np.ndarray
    t_noise: np.ndarray
    p_vectors: np.ndarray
    p_ms: float
    qtc_ms: float
    resting_bpm: float
    sway: float

    @property
    def patient_id(self) -> str:
        """Pseudonym, for instance `"S00012"`."""
        return f"S{self.number:05d}"

    def recording_rng(self, visit: int) -> np.random.Generator:
        """Random numbers of the heart in recording `visit`, from 0."""
        return np.random.default_rng([self.seed, _RECORDING, self.number, visit])

    def noise_rng(self, visit: int) -> np.random.Generator:
        """Random numbers of the electrodes in recording `visit`; apart, so that noise never changes the heart."""
        return np.random.default_rng([self.seed, _NOISE, self.number, visit])


def draw_patient(seed: int, number: int) -> Patient:
    """Patient `number` of the cohort `seed`, who is the same in a cohort of any size."""
    block, place = divmod(number, len(_BLOCK))
    kind = int(np.random.default_rng([seed, _ORDER, block]).permutation(len(_BLOCK))[place])
    diagnosis = _BLOCK[kind]
    rng = np.random.default_rng([seed, _PATIENT, number])
    steadier = 0.55 if diagnosis in ("AMI", "IMI", "CLBBB") else 1.0  # a large turn would hide what makes the diagnosis
    axis_deg = steadier * rng.normal(0.0, 20.0) - (55.0 if rng.random() < 0.06 and steadier == 1.0 else 0.0)
    clockwise_deg, tilt_deg = steadier * rng.normal(0.0, [11.0, 8.0])
    return Patient(
        seed=seed,
        number=number,
        diagnosis=diagnosis,
        # In ten blocks every kind of patient runs through the whole cycle: 7 train, 1 val, 2 test of each diagnosis.
        split=_SPLIT_CYCLE[(kind + 3 * block) % len(_SPLIT_CYCLE)],
        n_records=int(rng.choice([1, 2, 3, 4], p=[0.25, 0.3, 0.25, 0.2])),
        turn_qrs=rotation(axis_deg, clockwise_deg, tilt_deg),
        turn_t=rotation(0.4 * axis_deg, 0.4 * clockwise_deg, 0.4 * tilt_deg),
        gain=float(np.exp(rng.normal(0.0, 0.22))),
        t_gain=float(np.exp(rng.normal(0.0, 0.25))),
        chest_vectors=CHEST_VECTORS * np.exp(0.12 * rng.standard_normal((6, 1))) + 0.07 * rng.standard_normal((6, 3)),
        shape_noise=rng.standard_normal((5, 3)),
        st_noise=0.012 * rng.standard_normal(3),
        t_noise=0.03 * rng.standard_normal(3),
        p_vectors=np.array([[0.03, 0.07, -0.04], [0.055, 0.05, 0.045]]) * np.exp(rng.normal(0.0, 0.2))
        + 0.01 * rng.standard_normal((2, 3)),
        p_ms=float(rng.uniform(88.0, 112.0)),
        qtc_ms=float(rng.normal(405.0, 14.0)),
        resting_bpm=float(np.clip(74.0 * np.exp(rng.normal(0.0, 0.16)), 52.0, 112.0)),
        sway=float(rng.uniform(0.008, 0.07)),
    )


def diagnosis_on(patient: Patient, visit: int, rng: np.random.Generator) -> str:
    """Diagnosis that recording `visit` shows: the patient's own, or on a later day that of a spell gone by."""
    days = _OTHER_DAYS.get(patient.diagnosis)
    if visit == 0 or days is None:
        return patient.diagnosis
    return str(rng.choice(list(days), p=list(days.values())))


def beat_of(patient: Patient, diagnosis: str) -> tuple[Beat, str]:
    """The patient's conducted beat when `diagnosis` is present, the same on every visit.

    **Equation** QRS, ST and T = turn (normal + severity (marked - normal)), then the patient's size and departures.

    Returns:
        The beat, and the form that the diagnosis takes: a key of `MORPHOLOGIES[diagnosis]`.
    """
    rng = np.random.default_rng([patient.seed, _BEAT, patient.number, DIAGNOSES.index(diagnosis)])
    forms = MORPHOLOGIES.get(diagnosis, MORPHOLOGIES["normal"])
    form = str(rng.choice(list(forms)))
    marked = forms[form]
    severity = rng.uniform(*marked.severity)
    qrs_ms, pr_ms = float(rng.uniform(*marked.qrs_ms)), float(rng.uniform(*marked.pr_ms))

    in_block = diagnosis in ("CLBBB", "CRBBB")  # another sequence of waves, not a change of the normal one
    qrs = marked.qrs.copy() if in_block else NORMAL.qrs + severity * (marked.qrs - NORMAL.qrs)
    size_mv = np.linalg.norm(qrs[:, :3], axis=1, keepdims=True)
    # A heart in right bundle branch block turns less: its late forces must stay to the right and in front.
    turn = patient.turn_t if diagnosis == "CRBBB" else patient.turn_qrs
    qrs[:, :3] = patient.gain * (qrs[:, :3] + 0.09 * size_mv * patient.shape_noise) @ turn.T

    st, t = (
        np.array(normal) + severity * np.subtract(wave, normal)
        for wave, normal in zip((marked.st, marked.t), (NORMAL.st, NORMAL.t), strict=True)
    )
    if diagnosis in ("AFIB", "AFLT"):
        t = rng.uniform(0.35, 0.9) * t
    repolarisation_gain = np.sqrt(patient.gain)
    beat = Beat(
        qrs=qrs,
        st=repolarisation_gain * (patient.turn_t @ st) + patient.st_noise,
        t=repolarisation_gain * patient.t_gain * (patient.turn_t @ t) + patient.t_noise,
        p=patient.p_vectors,
        qrs_ms=qrs_ms,
        pr_ms=pr_ms,
        qtc_ms=float(np.clip(patient.qtc_ms + 0.7 * max(qrs_ms - 100.0, 0.0), 365.0, 490.0)),
        p_ms=patient.p_ms,
    )
    return beat, form
