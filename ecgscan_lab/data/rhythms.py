"""When the ventricles beat, and what the atria do meanwhile: sinus rhythm, fibrillation, flutter, premature beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAD_IN_S = 2.5  # beats are made from this long before the recording to this long after it, so that no end is bare


@dataclass(frozen=True, eq=False)
class Beats:
    """The ventricular beats of a recording, and some before and after it.

    Attributes:
        onset_s: `[beat]`, QRS onsets, ascending.
        rr_s: `[beat]`, interval that led to each beat.
        has_p: `[beat]`, whether a P wave leads to the beat.
        ectopic: `[beat]`, whether it is a ventricular premature beat.
    """

    onset_s: np.ndarray
    rr_s: np.ndarray
    has_p: np.ndarray
    ectopic: np.ndarray


def _beats(onset_s: np.ndarray, has_p: bool, ectopic: np.ndarray | None = None) -> Beats:
    """Drops the first onset, which has no interval before it."""
    wide = np.zeros(len(onset_s), dtype=bool) if ectopic is None else ectopic
    return Beats(onset_s[1:], np.diff(onset_s), np.full(len(onset_s) - 1, has_p) & ~wide[1:], wide[1:])


def sinus_beats(rng: np.random.Generator, duration_s: float, rate_bpm: float, breath_hz: float, sway: float) -> Beats:
    """Sinus rhythm with respiratory arrhythmia.

    **Equation** RR_k = RR (1 + sway sin(2 pi breath_hz t_k + phase) + 0.012 e_k), e_k standard normal.

    Args:
        rng: generator.
        duration_s: length of the recording.
        rate_bpm: mean rate.
        breath_hz: rate of breathing.
        sway: relative swing of RR with the breath, 0.01 (old, fast) to 0.12 (young, slow).
    """
    mean_s = 60.0 / rate_bpm
    n = int((duration_s + 2 * LEAD_IN_S) / mean_s * 1.3) + 4
    phase = rng.uniform(0, 2 * np.pi)
    around = -LEAD_IN_S + mean_s * (np.arange(n) + rng.uniform(-1.0, 0.0))
    rr_s = mean_s * (1 + sway * np.sin(2 * np.pi * breath_hz * around + phase) + 0.012 * rng.standard_normal(n))
    return _beats(around[0] + np.cumsum(rr_s), has_p=True)


def fibrillation_beats(rng: np.random.Generator, duration_s: float, rate_bpm: float, spread: float) -> Beats:
    """Conduction at random: log-normal RR of relative spread `spread` (0.15 to 0.30), never below 0.30 s."""
    mean_s = 60.0 / rate_bpm
    n = int((duration_s + 2 * LEAD_IN_S) / mean_s * 1.5) + 6
    rr_s = np.maximum(mean_s * np.exp(spread * rng.standard_normal(n) - spread**2 / 2), 0.30)
    return _beats(-LEAD_IN_S - rng.uniform(0, mean_s) + np.cumsum(rr_s), has_p=False)


def flutter_beats(rng: np.random.Generator, duration_s: float, flutter_bpm: float, ratios: tuple[int, ...]) -> Beats:
    """Every second, third or fourth flutter wave is conducted; with several `ratios` they change from beat to beat."""
    cycle_s = 60.0 / flutter_bpm
    n = int((duration_s + 2 * LEAD_IN_S) / (cycle_s * min(ratios))) + 6
    rr_s = cycle_s * rng.choice(ratios, size=n) + 0.003 * rng.standard_normal(n)
    return _beats(-LEAD_IN_S - rng.uniform(0, 2 * cycle_s) + np.cumsum(rr_s), has_p=False)


def with_premature_beats(rng: np.random.Generator, beats: Beats, duration_s: float, bigeminy: bool) -> Beats:
    """Replaces sinus beats by early wide ones without a P wave, each followed by a full compensatory pause.

    The pause needs no rule of its own: the sinus beat that the premature one displaces is lost, the next comes in time.

    Args:
        rng: generator.
        beats: sinus beats.
        duration_s: length of the recording.
        bigeminy: every second beat is premature; otherwise one to four of the recording are.
    """
    onset_s = beats.onset_s.copy()
    inside = np.flatnonzero((onset_s > 0.6) & (onset_s < duration_s - 0.8))
    if bigeminy:
        hit = np.arange(int(rng.integers(0, 2)), len(onset_s), 2)
    else:
        apart = inside[int(rng.integers(0, 2)) :: 2]  # never two in a row
        hit = np.sort(rng.choice(apart, size=min(len(apart), int(rng.integers(1, 5))), replace=False))
    ectopic = np.zeros(len(onset_s), dtype=bool)
    ectopic[hit] = True
    onset_s[hit] -= rng.uniform(0.26, 0.40) * beats.rr_s[hit]
    rr_s = np.diff(onset_s, prepend=onset_s[0] - beats.rr_s[0])
    return Beats(onset_s, rr_s, beats.has_p & ~ectopic, ectopic)


def fibrillation_dipole(rng: np.random.Generator, time_s: np.ndarray, coarseness_mv: float) -> np.ndarray:
    """Fibrillation waves: three wandering oscillations of 5 to 8.5 Hz, strongest towards V1.

    Args:
        rng: generator.
        time_s: `[time]`.
        coarseness_mv: amplitude, 0.02 (fine) to 0.12 (coarse).

    Returns:
        float64 `[3, time]` in mV.
    """
    directions = np.array([[-0.5, 0.35, -0.9], [0.2, 0.8, -0.5], [-0.3, -0.3, -0.6]])
    dipole = np.zeros((3, len(time_s)))
    for direction, share in zip(directions, (1.0, 0.55, 0.6), strict=True):
        drift_hz, swell_hz = rng.uniform(0.25, 0.9, size=2)
        phase = 2 * np.pi * rng.uniform(5.0, 8.5) * time_s + 2.2 * np.sin(
            2 * np.pi * drift_hz * time_s + rng.uniform(0, 6.28)
        )
        swell = 1 + 0.45 * np.sin(2 * np.pi * swell_hz * time_s + rng.uniform(0, 6.28))
        vector = coarseness_mv * share * (direction + 0.2 * rng.standard_normal(3))
        dipole += vector[:, None] * (swell * np.sin(phase))
    return dipole


def flutter_dipole(time_s: np.ndarray, flutter_bpm: float, first_s: float, vector_mv: np.ndarray) -> np.ndarray:
    """Typical flutter: a sawtooth, slow down and fast up in II, III and aVF, small and upright in V1.

    **Equation** d(t) = v s(phi), s(phi) = sum_k sin(k phi) w_k over four harmonics of flutter_bpm / 60, |s| <= 1.

    Args:
        time_s: `[time]`.
        flutter_bpm: atrial rate, 250 to 350 a minute.
        first_s: time of one conducted wave, which fixes the phase.
        vector_mv: `[3]`, the dipole at the tooth's height.

    Returns:
        float64 `[3, time]` in mV.
    """
    phase = 2 * np.pi * flutter_bpm / 60.0 * (time_s - first_s)
    tooth = sum(w * np.sin(k * phase) for k, w in ((1, 1.0), (2, 0.46), (3, 0.24), (4, 0.11)))
    return np.asarray(vector_mv[:, None] * (tooth / 1.4))
