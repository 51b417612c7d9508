"""The heart as one moving dipole: its waves, its axes, and the projection onto twelve leads.

Axes are Frank's: x to the patient's left, y to the feet, z to the back. A dipole is `[3, time]` in millivolts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecgscan_lab.leads import derive_limb_leads

# Lead vectors (x, y, z) for the eight independent leads: G. E. Dower, H. B. Machado, J. A. Osborne, "On deriving the
# electrocardiogram from vectorcardiographic leads", Clin. Cardiol. 3 (1980) 87. Differences: none in the figures; the
# four other limb leads are never projected, they follow from I and II, so that the limb-lead laws hold exactly.
LIMB_VECTORS = np.array([[0.632, -0.235, 0.059], [0.235, 1.066, -0.132]])
CHEST_VECTORS = np.array(
    [
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
_REACH_GAUSSIAN = 4.6  # widths after which exp(-u**2 / 2) is below 0.03 microvolt for 1 mV
_REACH_PLATEAU = 2.2  # the same for exp(-u**4 / 2)


@dataclass(frozen=True, eq=False)
class Waves:
    """Waves of the dipole, one row a wave.

    Attributes:
        vector_mv: `[wave, 3]`, the dipole at the peak.
        peak_s: `[wave]`, time of the peak.
        rise_s: `[wave]`, width before the peak: the standard deviation of a Gaussian.
        fall_s: `[wave]`, width after the peak.
        plateau: flat-topped waves exp(-u**4 / 2), as the ST segment, instead of exp(-u**2 / 2).
    """

    vector_mv: np.ndarray
    peak_s: np.ndarray
    rise_s: np.ndarray
    fall_s: np.ndarray
    plateau: bool = False


def sum_waves(waves: Waves, n_samples: int, fs_hz: float) -> np.ndarray:
    """Adds up waves, each evaluated only where it is not yet negligible.

    **Equation** d(t) = sum_k v_k exp(-|u_k(t)|**p / 2), u_k = (t - peak_k) / (rise_k before the peak, fall_k after),
    p = 2, or 4 for a plateau; the sum runs over the waves.

    Args:
        waves: the waves, also those whose peak lies outside the recording.
        n_samples: length of the recording.
        fs_hz: its sampling rate.

    Returns:
        float64 `[3, time]` in mV.

    Example:
        >>> one = Waves(np.array([[1.0, 0.0, 0.0]]), np.array([0.5]), np.array([0.01]), np.array([0.02]))
        >>> sum_waves(one, 1000, 1000.0)[0, [490, 500, 520]].round(4).tolist()
        [0.6065, 1.0, 0.6065]
    """
    dipole = np.zeros((3, n_samples))
    if not len(waves.peak_s):
        return dipole
    reach = (_REACH_PLATEAU if waves.plateau else _REACH_GAUSSIAN) * fs_hz
    first = np.floor(waves.peak_s * fs_hz - waves.rise_s * reach).astype(np.int64)
    length = int(np.ceil((waves.rise_s + waves.fall_s).max() * reach)) + 2
    sample = first[:, None] + np.arange(length)
    from_peak_s = sample / fs_hz - waves.peak_s[:, None]
    u = from_peak_s / np.where(from_peak_s < 0, waves.rise_s[:, None], waves.fall_s[:, None])
    squared = u * u
    height = np.exp(-0.5 * (squared * squared if waves.plateau else squared))
    height[(sample < 0) | (sample >= n_samples)] = 0.0
    flat = np.clip(sample, 0, n_samples - 1).ravel()
    for axis in range(3):
        weights = (height * waves.vector_mv[:, axis, None]).ravel()
        dipole[axis] = np.bincount(flat, weights=weights, minlength=n_samples)
    return dipole


def rotation(frontal_deg: float, horizontal_deg: float, tilt_deg: float = 0.0) -> np.ndarray:
    """The turn of a heart in its chest, as a 3 x 3 matrix.

    **Equation** R = R_z(frontal) R_y(horizontal) R_x(tilt).

    Args:
        frontal_deg: turn in the frontal plane; positive moves the electrical axis from left to the feet.
        horizontal_deg: turn in the horizontal plane; positive moves forces from left to the back, so that the
            transition zone moves towards V6 (clockwise rotation).
        tilt_deg: turn about the left-right axis; positive moves forces from the feet to the back.

    Returns:
        float64 `[3, 3]`, orthogonal.

    Example:
        >>> (rotation(90.0, 0.0) @ [1.0, 0.0, 0.0]).round(6).tolist()
        [0.0, 1.0, 0.0]
    """
    f, h, t = np.deg2rad([frontal_deg, horizontal_deg, tilt_deg])
    in_frontal = np.array([[np.cos(f), -np.sin(f), 0.0], [np.sin(f), np.cos(f), 0.0], [0.0, 0.0, 1.0]])
    in_horizontal = np.array([[np.cos(h), 0.0, -np.sin(h)], [0.0, 1.0, 0.0], [np.sin(h), 0.0, np.cos(h)]])
    about_x = np.array([[1.0, 0.0, 0.0], [0.0, np.cos(t), -np.sin(t)], [0.0, np.sin(t), np.cos(t)]])
    return np.asarray(in_frontal @ in_horizontal @ about_x)


def twelve_leads(limb_mv: np.ndarray, chest_mv: np.ndarray) -> np.ndarray:
    """Completes leads I, II and V1 to V6 to the twelve.

    **Equation** III = II - I (Einthoven); aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2 (Goldberger).

    Args:
        limb_mv: `[2, time]`, leads I and II.
        chest_mv: `[6, time]`, leads V1 to V6.

    Returns:
        `[12, time]` in the order of `leads.LEADS`.

    Example:
        >>> twelve_leads(np.array([[0.6], [1.0]]), np.zeros((6, 1)))[:6, 0].round(3).tolist()
        [0.6, 1.0, 0.4, -0.8, 0.1, 0.7]
    """
    return np.concatenate([derive_limb_leads(limb_mv[0], limb_mv[1]), chest_mv])


def project(dipole_mv: np.ndarray, chest_vectors: np.ndarray = CHEST_VECTORS) -> np.ndarray:
    """Projects a dipole onto the twelve leads.

    **Equation** V_lead(t) = c_lead . d(t) for I, II and V1 to V6; the other limb leads by `twelve_leads`.

    **Source** Dower, Machado, Osborne (1980), lead vectors. *Differences*: `chest_vectors` may be a patient's own,
    because chests and electrode placement differ.

    Args:
        dipole_mv: `[3, time]`.
        chest_vectors: `[6, 3]`, dimensionless.

    Returns:
        float64 `[12, time]` in mV; the limb-lead laws hold to float64 rounding.

    Example:
        >>> project(np.array([[1.0], [0.5], [0.2]]))[[0, 1, 10], 0].round(3).tolist()
        [0.526, 0.742, 1.171]
    """
    return twelve_leads(LIMB_VECTORS @ dipole_mv, chest_vectors @ dipole_mv)


def frontal_axis_deg(vector_mv: np.ndarray) -> float:
    """Electrical axis in degrees that leads I and aVF show for a dipole: 0 is left, 90 the feet.

    **Equation** atan2(2 aVF / sqrt(3), I); the factor makes up for the lower gain of an augmented lead.

    Args:
        vector_mv: `[3]`, for instance the sum of a QRS complex over time.

    Returns:
        The angle in (-180, 180].

    Example:
        >>> round(frontal_axis_deg(np.array([1.0, 0.5, 0.0])))
        49
    """
    i, ii = LIMB_VECTORS @ vector_mv
    return float(np.rad2deg(np.arctan2(2.0 / np.sqrt(3.0) * (ii - i / 2), i)))
