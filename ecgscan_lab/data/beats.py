"""What one beat looks like: P, QRS, ST and T of the heart dipole for each diagnosis, from mild to marked.

The figures were drawn after the median dipole loops of PTB-XL records with the same diagnosis (P. Wagner et al.,
"PTB-XL, a large publicly available electrocardiography dataset", Sci. Data 7 (2020) 154) and then made to meet the
textbook criteria. One dipole at one place is a coarse heart: it shows no local late potentials and no true posterior
leads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ecgscan_lab.data.dipole import Waves

# QRS waves, one row each: x, y, z in mV; then peak, rise and fall as fractions of the QRS duration, where 2.5 widths
# before the first and after the last wave are the complex's ends. The first four rows are the septum, the apex, the
# free wall and the base of the left ventricle; the fifth exists only in the blocks.
_NORMAL_QRS = np.array(
    [
        [-0.10, -0.06, -0.28, 0.21, 0.084, 0.085],
        [1.02, 0.58, 0.12, 0.45, 0.085, 0.088],
        [0.35, 0.17, 0.72, 0.60, 0.090, 0.095],
        [-0.12, -0.05, 0.36, 0.78, 0.085, 0.088],
        [0.00, 0.00, 0.00, 0.78, 0.085, 0.088],
    ]
)
_LEFT_BLOCK_QRS = np.array(
    [
        [0.22, 0.05, 0.05, 0.19, 0.076, 0.070],
        [0.72, 0.37, 1.10, 0.36, 0.085, 0.090],
        [0.30, 0.16, 1.35, 0.53, 0.100, 0.100],
        [0.67, 0.00, 1.00, 0.69, 0.085, 0.085],
        [0.10, -0.12, 0.30, 0.83, 0.070, 0.068],
    ]
)
_RIGHT_BLOCK_QRS = np.array(
    [
        [-0.10, -0.05, -0.26, 0.145, 0.058, 0.058],
        [1.00, 0.42, 0.05, 0.31, 0.060, 0.062],
        [0.28, 0.13, 0.30, 0.40, 0.060, 0.062],
        [-0.20, 0.00, -0.10, 0.53, 0.060, 0.070],
        [-0.40, -0.06, -0.62, 0.72, 0.120, 0.112],
    ]
)
_ECTOPIC_QRS = {  # a right and a left ventricular focus: they look like a left and a right bundle branch block
    "right": np.array(
        [
            [0.15, 0.25, 0.10, 0.22, 0.085, 0.085],
            [0.45, 0.95, 1.00, 0.43, 0.110, 0.110],
            [0.35, 0.65, 0.75, 0.65, 0.110, 0.110],
            [0.00, -0.05, 0.15, 0.82, 0.070, 0.072],
        ]
    ),
    "left": np.array(
        [
            [0.20, -0.20, -0.35, 0.22, 0.085, 0.085],
            [-0.30, -0.75, -0.90, 0.43, 0.110, 0.110],
            [-0.65, -0.55, -0.70, 0.65, 0.110, 0.110],
            [-0.15, 0.05, -0.10, 0.82, 0.070, 0.072],
        ]
    ),
}


def _change(*rows: tuple[float, ...]) -> np.ndarray:
    return np.array([row + (0.0,) * (6 - len(row)) for row in rows] + [(0.0,) * 6] * (5 - len(rows)))


_HYPERTROPHY = _change((-0.05, 0.0, -0.08), (0.88, 0.26, 0.20), (0.40, 0.10, 0.46), (0.0, 0.0, 0.18))
_ANTERIOR_LOSS = _change((-0.06, 0.0, 0.43), (-0.30, -0.05, 0.40), (-0.12, 0.0, 0.05), (0.0, 0.0, -0.05))
_INFERIOR_LOSS = _change(
    (0.14, -0.38, 0.0, 0.04, 0.016, 0.045), (-0.08, -0.30, 0.0, 0.02), (0.05, -0.10, 0.0), (0.0, 0.05, 0.0)
)


@dataclass(frozen=True, eq=False)
class Morphology:
    """A diagnosis on the beat: `normal + severity * (marked - normal)` for the QRS, the ST and the T vector alike.

    Attributes:
        qrs: `[5, 6]`, the QRS waves (see above) when marked.
        st: `[3]`, ST vector in mV when marked.
        t: `[3]`, T vector in mV when marked.
        qrs_ms: range of QRS durations.
        pr_ms: range of PR intervals.
        severity: range of severities: 1 is the textbook case, below it the doubtful ones.
    """

    qrs: np.ndarray
    st: tuple[float, float, float]
    t: tuple[float, float, float]
    qrs_ms: tuple[float, float] = (80.0, 104.0)
    pr_ms: tuple[float, float] = (128.0, 192.0)
    severity: tuple[float, float] = (1.0, 1.0)


NORMAL = Morphology(_NORMAL_QRS, (0.015, 0.01, -0.04), (0.29, 0.16, -0.20))

# Several forms of one diagnosis: of an infarct the acute, the recent and the old stage, of inverted T waves the region.
MORPHOLOGIES: dict[str, dict[str, Morphology]] = {
    "normal": {"": NORMAL},
    "1AVB": {"": replace(NORMAL, pr_ms=(206.0, 310.0))},
    "CLBBB": {"": Morphology(_LEFT_BLOCK_QRS, (-0.09, -0.04, -0.22), (-0.26, -0.10, -0.52), qrs_ms=(130.0, 168.0))},
    "CRBBB": {"": Morphology(_RIGHT_BLOCK_QRS, (0.0, 0.01, 0.06), (0.26, 0.15, 0.20), qrs_ms=(124.0, 152.0))},
    "LVH": {
        "": Morphology(
            _NORMAL_QRS + _HYPERTROPHY, (0.0, 0.0, -0.05), (0.20, 0.12, -0.24), (90.0, 112.0), severity=(0.3, 1.35)
        ),
        "strain": Morphology(
            _NORMAL_QRS + _HYPERTROPHY,
            (-0.13, -0.06, -0.04),
            (-0.20, -0.08, -0.20),
            (92.0, 114.0),
            severity=(0.65, 1.4),
        ),
    },
    "AMI": {
        "acute": Morphology(
            _NORMAL_QRS + _ANTERIOR_LOSS, (0.18, -0.01, -0.24), (0.36, 0.06, -0.46), severity=(0.7, 1.4)
        ),
        "recent": Morphology(
            _NORMAL_QRS + _ANTERIOR_LOSS, (0.06, 0.0, -0.08), (-0.20, 0.01, 0.22), severity=(0.7, 1.3)
        ),
        "old": Morphology(_NORMAL_QRS + _ANTERIOR_LOSS, (0.01, 0.01, -0.03), (0.10, 0.08, -0.06), severity=(0.7, 1.2)),
    },
    "IMI": {
        "acute": Morphology(
            _NORMAL_QRS + _INFERIOR_LOSS, (-0.09, 0.22, 0.05), (0.12, 0.34, -0.14), severity=(0.7, 1.4)
        ),
        "recent": Morphology(
            _NORMAL_QRS + _INFERIOR_LOSS, (-0.02, 0.06, 0.0), (0.26, -0.19, -0.24), severity=(0.7, 1.2)
        ),
        "old": Morphology(_NORMAL_QRS + _INFERIOR_LOSS, (0.0, 0.01, -0.03), (0.26, -0.05, -0.22), severity=(0.7, 1.2)),
    },
    "STD_": {"": Morphology(_NORMAL_QRS, (-0.15, -0.12, 0.01), (0.10, 0.06, -0.14), severity=(0.5, 1.5))},
    "INVT": {
        "anterolateral": Morphology(_NORMAL_QRS, (-0.01, 0.0, -0.01), (-0.26, -0.04, 0.10), severity=(0.75, 1.15)),
        "inferior": Morphology(_NORMAL_QRS, (0.02, -0.01, -0.03), (0.24, -0.20, -0.22), severity=(0.75, 1.15)),
        "anterior": Morphology(_NORMAL_QRS, (0.01, 0.01, 0.0), (-0.06, 0.08, 0.30), severity=(0.75, 1.15)),
    },
}


@dataclass(frozen=True, eq=False)
class Beat:
    """One patient's conducted beat, in the patient's own axes, at a heart rate of 60 beats a minute.

    Attributes:
        qrs: `[wave, 6]`, as in `Morphology`, turned and scaled to the patient.
        st: `[3]`, ST vector in mV.
        t: `[3]`, T vector in mV.
        p: `[2, 3]`, vectors of the right and the left atrium in mV.
        qrs_ms: QRS duration.
        pr_ms: PR interval.
        qtc_ms: QT interval at this rate.
        p_ms: duration of the P wave.
    """

    qrs: np.ndarray
    st: np.ndarray
    t: np.ndarray
    p: np.ndarray
    qrs_ms: float
    pr_ms: float
    qtc_ms: float
    p_ms: float

    @property
    def net_qrs(self) -> np.ndarray:
        """`[3]`, area of the QRS, which the electrical axis is read from."""
        return np.asarray(self.qrs[:, :3].T @ (self.qrs[:, 4] + self.qrs[:, 5]))

    @property
    def r_peak_ms(self) -> float:
        """Time from the QRS onset to the longest dipole, the beat's R peak."""
        return r_peak_ms(self.qrs, self.qrs_ms)


def r_peak_ms(qrs: np.ndarray, qrs_ms: float) -> float:
    """Time of the longest dipole of a QRS complex after its onset, to a tenth of a millisecond."""
    u = np.linspace(0.0, 1.0, round(10 * qrs_ms) + 1)
    from_peak = u - qrs[:, 3, None]
    waves = np.exp(-0.5 * (from_peak / np.where(from_peak < 0, qrs[:, 4, None], qrs[:, 5, None])) ** 2)
    return float(u[np.argmax(((qrs[:, :3].T @ waves) ** 2).sum(axis=0))] * qrs_ms)


def ectopic_beat(focus: str, turn: np.ndarray, gain: float, qrs_ms: float) -> Beat:
    """A ventricular premature beat from the `"right"` or the `"left"` ventricle: wide, without a P wave, T opposite."""
    qrs = _ECTOPIC_QRS[focus].copy()
    qrs[:, :3] = gain * qrs[:, :3] @ turn.T
    net = qrs[:, :3].T @ (qrs[:, 4] + qrs[:, 5])
    return Beat(qrs, -0.35 * net, -1.5 * net, np.zeros((2, 3)), qrs_ms, np.nan, 440.0, 100.0)


def qrs_waves(beat: Beat, onset_s: np.ndarray, gain: np.ndarray) -> Waves:
    """QRS waves of beats whose complexes begin at `onset_s` `[beat]`, each scaled by `gain` `[beat]`."""
    seconds = beat.qrs_ms / 1000.0
    n = len(onset_s)
    return Waves(
        (gain[:, None, None] * beat.qrs[None, :, :3]).reshape(-1, 3),
        (onset_s[:, None] + beat.qrs[:, 3] * seconds).ravel(),
        np.tile(beat.qrs[:, 4] * seconds, n),
        np.tile(beat.qrs[:, 5] * seconds, n),
    )


def st_waves(beat: Beat, onset_s: np.ndarray, qt_s: np.ndarray, gain: np.ndarray) -> Waves:
    """ST segments: a plateau from the J point into the T wave, for QT intervals `qt_s` `[beat]`."""
    j_s = beat.qrs_ms / 1000.0
    length_s = np.maximum(qt_s - j_s, 0.12)
    return Waves(
        gain[:, None] * beat.st, onset_s + j_s + 0.20 * length_s, 0.20 * length_s, 0.27 * length_s, plateau=True
    )


def t_waves(beat: Beat, onset_s: np.ndarray, qt_s: np.ndarray, gain: np.ndarray) -> Waves:
    """T waves, slower up than down, whose tangent ends `qt_s` `[beat]` after the QRS onset (peak + 2 fall widths)."""
    fall_s = 0.115 * np.maximum(qt_s - beat.qrs_ms / 1000.0, 0.12)
    return Waves(gain[:, None] * beat.t, onset_s + qt_s - 2.0 * fall_s, 1.45 * fall_s, fall_s)


def p_waves(beat: Beat, onset_s: np.ndarray, pr_s: np.ndarray) -> Waves:
    """P waves that begin `pr_s` `[beat]` before the QRS onset: right atrium first, then the left."""
    p_s = beat.p_ms / 1000.0
    first = onset_s - pr_s
    n = len(onset_s)
    return Waves(
        np.repeat(beat.p, n, axis=0),
        np.concatenate([first + 0.40 * p_s, first + 0.62 * p_s]),
        np.full(2 * n, 0.16 * p_s),
        np.full(2 * n, 0.16 * p_s),
    )
