"""What amplitudes and neighbours say about a recording where the limb-lead laws are silent.

Amplitude is the median over one-second windows of a lead's span. Its bounds were set on recordings of PTB-XL, CPSC2018,
Chapman-Shaoxing-Ningbo, Georgia and LUDB: the middle lead of all but one in a thousand lies between 0.1 and 5 mV.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ecgscan_lab.leads.diagnosis import Finding, Repair
from ecgscan_lab.leads.names import CHEST_LEADS, LIMB_LEADS

FloatArray = NDArray[np.float64]

TYPICAL_MV = 1.04
PLAUSIBLE_MV = (0.1, 5.0)
LIKELY_MV = (0.35, 3.0)  # 99.8 % of PTB-XL
# Steps a millivolt -> what a signal of that scale is in. The converter gains are those of common carts and archives.
SCALES = {
    1e-3: "volts",
    10.0: "units of 1e-4 V (as CODE's documents say)",
    1000.0: "microvolts, or counts at 1000 a millivolt",
    200.0: "counts of a converter at 200 a millivolt",
    400.0: "counts of a converter at 400 a millivolt",
    1e6: "nanovolts",
}
CHEST_RATIO = 32.0  # between a chest lead and the middle lead; real ones reach 10, and sqrt(1000) is 31.6
NEIGHBOUR_R = -0.6
ARM_SWAP_R = -0.5
ARM_SWAP_POLARITY = -0.3
INVERTED_POLARITY = 0.3
NEARLY_FLAT = 0.08  # a bipolar limb lead this much smaller than the largest; one in PTB-XL comes to 0.10


def amplitudes(signal: FloatArray, n_windows: int) -> FloatArray:
    """Median over windows of each lead's span `[lead]`; NaN samples are left out, 0 where there is nothing else."""
    low, high = _window_extremes(signal, n_windows)
    return _median_of_finite(high - low)


def unit_findings(spans: FloatArray, leads: tuple[str, ...], integers: bool) -> list[Finding]:
    """A unit other than millivolts, told by the amplitude of the middle lead."""
    moving = spans[spans > 0]
    middle = float(np.median(moving)) if len(moving) else PLAUSIBLE_MV[0]
    if PLAUSIBLE_MV[0] <= middle <= PLAUSIBLE_MV[1]:
        return []
    scales = {
        scale: name
        for scale, name in SCALES.items()
        if LIKELY_MV[0] <= middle / scale <= LIKELY_MV[1] and (integers or "converter" not in name)
    } or dict([min(SCALES.items(), key=lambda item: abs(np.log(middle / item[0] / TYPICAL_MV)))])
    scale = min(scales, key=lambda s: abs(np.log(middle / s / TYPICAL_MV)))
    certain = len(scales) == 1 and scale in (1e-3, 1000.0)
    return [
        Finding(
            "unit",
            leads,
            "error",
            f"the middle lead spans {middle:.3g}, which no heart does in millivolts; "
            f"the samples look like {' or '.join(scales.values())}",
            f"divide by {scale:g}" + ("" if certain else ", once the source confirms the scale"),
            {"span of the middle lead": middle, "span in mV if so": middle / scale},
            Repair(gain={"all": 1.0 / scale}),
            certain,
        )
    ]


def chest_gain_findings(spans: FloatArray, leads: tuple[str, ...]) -> list[Finding]:
    """Chest leads far larger or smaller than the rest, as one lead in another unit is."""
    moving = spans > 0
    if moving.sum() < 3:
        return []
    middle = float(np.median(spans[moving]))
    found = []
    for lead, span in zip(leads, spans.tolist(), strict=True):
        if lead not in CHEST_LEADS or span <= 0 or 1 / CHEST_RATIO <= span / middle <= CHEST_RATIO:
            continue
        power = 1000.0 ** round(np.log(span / middle) / np.log(1000.0))  # mV, uV, V: the ratio is off by up to 10
        found.append(
            Finding(
                "gain",
                (lead,),
                "error",
                f"{lead} spans {span / middle:.3g} times as much as the middle lead",
                f"divide {lead} by {power:g} if its source says that it is in another unit; otherwise leave it out",
                {"span": span, "span of the middle lead": middle},
                Repair(gain={lead: 1.0 / power}),
                certain=bool(np.isclose(power, (1e-3, 1e3)).any()),
            )
        )
    return found


def chest_hints(signal: FloatArray, leads: tuple[str, ...]) -> list[Finding]:
    """Chest leads that run against both neighbours; no law covers them, so this is a hint."""
    row = {lead: k for k, lead in enumerate(leads)}
    if any(lead not in row for lead in CHEST_LEADS):
        return []
    slopes = np.diff(signal[[row[lead] for lead in CHEST_LEADS]], axis=1)
    slopes = slopes[:, np.isfinite(slopes).all(axis=0)]
    if slopes.shape[1] < 10:
        return []
    found: list[Finding] = []
    r = {}
    for k in range(1, 6):
        beside = slopes[k - 1] + slopes[k + 1] if k < 5 else slopes[4]
        r[k] = _correlation(slopes[k], beside)
    worst = min(r, key=lambda k: r[k])
    if r[worst] < NEIGHBOUR_R:
        lead = CHEST_LEADS[worst]
        found.append(
            Finding(
                "sign",
                (lead,),
                "hint",
                f"{lead} runs against its neighbours on the chest, as an inverted or misplaced lead does",
                f"compare {lead} with its neighbours on the page; no law ties the chest leads together",
                {"correlation of slopes with the neighbours": r[worst]},
                Repair(gain={lead: -1.0}),
            )
        )
    return found


def electrode_hints(signal: FloatArray, leads: tuple[str, ...], n_windows: int) -> list[Finding]:
    """Exchanged limb electrodes: the laws hold all the same, so physiology has to speak."""
    row = {lead: k for k, lead in enumerate(leads)}
    limb = signal[[row[lead] for lead in LIMB_LEADS]]
    spans = amplitudes(limb, n_windows)
    found = _leg_electrode(spans)
    polarity = dict(zip(LIMB_LEADS, _polarity(limb, n_windows).tolist(), strict=True))
    if "V6" not in row:
        return found
    r = _correlation(*(np.diff(signal[row[lead]]) for lead in ("I", "V6")))
    evidence = {
        "correlation of slopes, I and V6": r,
        "polarity of I": polarity["I"],
        "polarity of aVR": polarity["aVR"],
    }
    if r < ARM_SWAP_R and polarity["I"] < ARM_SWAP_POLARITY:
        found.append(
            Finding(
                "electrodes",
                ("I", "II", "III", "aVR", "aVL"),
                "hint",
                "lead I points down and runs against V6, as with the arm electrodes exchanged (I inverted, II for "
                "III, aVR for aVL); dextrocardia looks alike in the limb leads",
                "look at the P wave in I; to undo exchanged arms flip I, and exchange II with III and aVR with aVL",
                evidence,
                Repair(take={"II": "III", "III": "II", "aVR": "aVL", "aVL": "aVR"}, gain={"I": -1.0}),
            )
        )
    elif r > 0 and polarity["aVR"] > INVERTED_POLARITY > -INVERTED_POLARITY > max(polarity["I"], polarity["II"]):
        found.append(
            Finding(
                "sign",
                tuple(leads),
                "hint",
                "aVR points up, I and II down, and V6 goes with them: all leads may be upside down; ventricular "
                "rhythms and extreme axes look alike",
                "look at the P waves: upright in II and inverted in aVR when the signs are right",
                evidence | {"polarity of II": polarity["II"]},
                Repair(gain={"all": -1.0}),
            )
        )
    return found


def _leg_electrode(spans: FloatArray) -> list[Finding]:
    bipolar = spans[:3]
    flat = int(np.argmin(bipolar))
    if not 0 < bipolar[flat] < NEARLY_FLAT * bipolar.max():
        return []
    lead, pair = (("I", "both arm electrodes"), ("II", "the right arm's"), ("III", "the left arm's"))[flat]
    what = f"{pair} on the legs" if flat == 0 else f"{pair} electrode exchanged with the right leg's"
    return [
        Finding(
            "electrodes",
            (lead,),
            "hint",
            f"lead {lead} hardly moves while the laws hold, as with {what}",
            "record again with the electrodes in place; the limb leads cannot be computed from these",
            {f"span of {lead} over the largest of I, II, III": float(bipolar[flat] / bipolar.max())},
        )
    ]


def _polarity(signal: FloatArray, n_windows: int) -> FloatArray:
    """(height - depth)/(height + depth) about the median, the median over windows: 1 is all upright."""
    low, high = _window_extremes(signal - _median_of_finite(signal)[:, None], n_windows)
    up, down = _median_of_finite(high), -_median_of_finite(low)
    return np.asarray((up - down) / np.maximum(up + down, np.finfo(float).tiny))


def _window_extremes(signal: FloatArray, n_windows: int) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest value of each lead and window, twice `[lead, window]`; infinite where nothing was recorded."""
    length = signal.shape[1] // n_windows
    windows = signal[:, : n_windows * length].reshape(len(signal), n_windows, length)
    recorded = np.isfinite(windows)
    return np.where(recorded, windows, np.inf).min(axis=2), np.where(recorded, windows, -np.inf).max(axis=2)


def _median_of_finite(values: FloatArray) -> FloatArray:
    """Median of the finite values of each row; 0 where there are none."""
    if np.isfinite(values).all():
        return np.asarray(np.median(values, axis=1))
    return np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in values])


def _correlation(a: FloatArray, b: FloatArray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 10:
        return 0.0
    a, b = a[both] - a[both].mean(), b[both] - b[both].mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0
