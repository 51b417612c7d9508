"""What electrodes and amplifiers add to the heart's signal.

Noise arises at the electrodes, so it obeys the limb-lead laws as the heart does; only the amplifier's own noise and the
rounding to a microvolt break them, about 49 dB below the signal, as in real recordings (PTB-XL: median 46 to 50 dB).
"""

from __future__ import annotations

import numpy as np

from ecgscan_lab.data.dipole import twelve_leads

RESOLUTION_MV = 0.001  # of PTB-XL's files
_RA, _LA, _LL = 0, 1, 2  # rows of the electrodes; V1 to V6 follow


def electrode_noise(rng: np.random.Generator, n_samples: int, fs_hz: float, breath_hz: float) -> np.ndarray:
    """Potentials that nine electrodes pick up besides the heart: wander, muscle, mains, at times a slipping pad.

    Args:
        rng: generator.
        n_samples: length of the recording.
        fs_hz: its sampling rate.
        breath_hz: rate of breathing, which moves the baseline.

    Returns:
        float32 `[9, time]` in mV: right arm, left arm, left leg, V1 to V6.
    """
    time_s = np.arange(n_samples) / fs_hz
    rates_hz = np.array([rng.uniform(0.05, 0.12), rng.uniform(0.12, 0.2), breath_hz, rng.uniform(0.4, 0.7)])
    angle = 2 * np.pi * rates_hz[:, None] * time_s
    waves = np.concatenate([np.sin(angle), np.cos(angle)])
    size_mv = 0.022 * np.exp(0.6 * rng.standard_normal()) * np.array([1.3, 0.8, 1.0, 0.35])
    noise = ((rng.standard_normal((9, 8)) * np.tile(size_mv, 2)) @ waves).astype(np.float32)

    muscle_mv = (
        0.0045 * np.exp(0.55 * rng.standard_normal()) * np.sqrt(fs_hz / 500.0)
    )  # white: power grows with bandwidth
    by_electrode = muscle_mv * np.exp(0.3 * rng.standard_normal((9, 1)))
    white = rng.standard_normal((9, n_samples + 1), dtype=np.float32)
    muscle = white[:, 1:] - np.float32(0.4) * white[:, :-1]
    muscle *= by_electrode.astype(np.float32)
    noise += muscle

    mains_hz = rng.choice([50.0, 60.0])
    mains_mv = 0.0025 * np.exp(0.7 * rng.standard_normal((9, 1)))
    if mains_hz < 0.45 * fs_hz:
        hum = np.sin(2 * np.pi * mains_hz * time_s + rng.uniform(0, 2 * np.pi))
        noise += mains_mv.astype(np.float32) * hum.astype(np.float32)

    if rng.random() < 0.12:
        start_s, decay_s = rng.uniform(0, time_s[-1]), rng.uniform(0.3, 1.2)
        after_s = np.clip(time_s - start_s, 0.0, None)
        slip = (1 - np.exp(-after_s / 0.06)) * np.exp(-after_s / decay_s)
        noise[rng.integers(9)] += (rng.normal(0, 0.25) * slip).astype(np.float32)
    return noise


def record_leads(clean_mv: np.ndarray, electrodes_mv: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds electrode noise to clean leads as an electrocardiograph would see it, rounds, and errs by a last digit.

    **Equation** I = LA - RA, II = LL - RA, V_k against Wilson's terminal (RA + LA + LL) / 3; then each lead on its
    own is rounded to 1 microvolt, and one sample in four is off by 1 microvolt either way, which stands for the
    amplifier's noise.

    Args:
        clean_mv: `[12, time]`, leads without noise.
        electrodes_mv: `[9, time]` from `electrode_noise`.
        rng: generator.

    Returns:
        float32 `[12, time]` in mV.
    """
    right_arm, left_arm, left_leg = electrodes_mv[[_RA, _LA, _LL]]
    limbs = np.stack([left_arm - right_arm, left_leg - right_arm])
    chest = electrodes_mv[3:] - electrodes_mv[:3].mean(axis=0)
    seen = clean_mv.astype(np.float32)
    seen += twelve_leads(limbs, chest)
    seen /= np.float32(RESOLUTION_MV)
    np.rint(seen, out=seen)
    last_digit = rng.integers(-1, 7, size=seen.shape, dtype=np.int8)
    last_digit[last_digit > 1] = 0
    seen += last_digit
    seen *= np.float32(RESOLUTION_MV)
    return seen
