"""What a teacher does to a recording before it looks at it, as data: stored with its weights, checked on load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch

from ecgscan_lab.data.resampling import bridge_gaps
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS, canonical_order

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
LEAD_ORDERS = {"standard": LEADS, "mimic": MIMIC_LEADS}
NORMALISATIONS = ("none", "min-max record", "z-score record", "z-score lead")
FILTERS = {"notch": 2, "band-pass": 3, "high-pass": 2, "low-pass": 2, "minus-median": 1}


@dataclass(frozen=True)
class Preprocessing:
    """How 12 leads in millivolts become what a network reads; JSON can hold it (`as_dict`, `from_dict`).

    The order is fixed: gaps are bridged, leads are put in the teacher's order, and then crop, filter and normalise, or,
    without `crop_first`, filter, normalise and crop.

    Attributes:
        fs_hz: sampling rate in hertz that signals must have.
        n_samples: samples a lead of the whole recording.
        lead_order: lead names in the order of the network's rows.
        normalisation: "none", "min-max record" ((x - min) / (max - min + eps) over all leads), "z-score record" or
            "z-score lead" ((x - mean) / (standard deviation + eps), by the population's formula).
        eps: that eps; with 0, a signal without spread becomes zero.
        filters: steps one after the other, each run forwards and backwards: ("notch", hertz, quality), ("band-pass",
            low, high, order), ("high-pass" | "low-pass", hertz, order); and ("minus-median", seconds), the signal less
            its running median of an odd number of samples, zeros beyond the ends.
        crop_samples: length of a crop, or None for the whole recording.
        n_crops: how many, spread evenly from the first sample on; their features are averaged.
        crop_first: whether filters and normalisation see a crop, not the whole recording.

    Example:
        >>> given = Preprocessing(500.0, 5000, filters=(("notch", 50.0, 30.0),))
        >>> Preprocessing.from_dict(given.as_dict()) == given
        True
    """

    fs_hz: float
    n_samples: int
    lead_order: tuple[str, ...] = LEADS
    normalisation: str = "none"
    eps: float = 0.0
    filters: tuple[tuple[str | float, ...], ...] = ()
    crop_samples: int | None = None
    n_crops: int = 1
    crop_first: bool = False

    def __post_init__(self) -> None:
        canonical_order(self.lead_order)
        if self.normalisation not in NORMALISATIONS:
            raise ArgumentError(
                f"unknown normalisation {self.normalisation!r}",
                field="normalisation",
                expected=", ".join(NORMALISATIONS),
            )
        for kind, *numbers in self.filters:
            if FILTERS.get(str(kind)) != len(numbers):
                raise ArgumentError(
                    f"unknown filter {(kind, *numbers)}",
                    field="filters",
                    expected=", ".join(f"{name} and {count} numbers" for name, count in FILTERS.items()),
                )
        crop = self.n_samples if self.crop_samples is None else self.crop_samples
        if not (1 <= crop <= self.n_samples and self.n_crops >= 1):
            raise ArgumentError(
                f"{self.n_crops} crops of {crop} samples out of {self.n_samples}",
                field="crop_samples",
                expected="at least one crop, within the recording",
            )

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold; tuples become lists."""
        listed = asdict(self)
        return {
            **listed,
            "lead_order": list(self.lead_order),
            "filters": [list(step) for step in self.filters],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Preprocessing:
        """The inverse of `as_dict`.

        Raises:
            ArgumentError: a field is missing, unknown, or holds what the class refuses.
        """
        known = {field.name for field in fields(cls)}
        strange = sorted(known.symmetric_difference(stored))
        if strange:
            raise ArgumentError(f"missing or unknown: {', '.join(strange)}", field=strange[0])
        given = dict(stored)
        given["lead_order"] = tuple(given["lead_order"])
        given["filters"] = tuple(tuple(step) for step in given["filters"])
        return cls(**given)

    def starts(self) -> list[int]:
        """First samples of the crops."""
        crop = self.n_samples if self.crop_samples is None else self.crop_samples
        room = self.n_samples - crop
        return [k * (room // max(self.n_crops - 1, 1)) for k in range(self.n_crops)]

    def apply(self, signals_mv: torch.Tensor) -> torch.Tensor:
        """float32 `[batch, 12, n_samples]` in mV, canonical order -> float32 `[batch, crop, 12, crop_samples]`.

        Samples that are not finite count as not recorded: a straight line bridges them, the nearest sample stands in at
        the ends, and an empty lead is zero. Filters run in SciPy on the CPU; nothing here has a gradient.

        Raises:
            ArgumentError: not a batch of 12-lead signals of that length.
        """
        if signals_mv.ndim != 3 or signals_mv.shape[1:] != (12, self.n_samples):
            raise ArgumentError(
                f"got signals of shape {tuple(signals_mv.shape)}",
                field="signals_mv",
                expected=f"[batch, 12, {self.n_samples}], at {self.fs_hz:g} Hz",
                fix="encode_signals(teacher, signals_mv, fs_hz) brings them to the teacher's rate and length",
            )
        with torch.no_grad():
            rows = [LEADS.index(lead) for lead in self.lead_order]
            signals = _bridged(signals_mv.detach().float())[:, rows]
            if self.crop_first:
                return self._normalised(self._filtered(self._cropped(signals)))
            return self._cropped(self._normalised(self._filtered(signals)))

    def _cropped(self, signals: torch.Tensor) -> torch.Tensor:
        crop = self.n_samples if self.crop_samples is None else self.crop_samples
        return torch.stack([signals[..., start : start + crop] for start in self.starts()], dim=1)

    def _filtered(self, signals: torch.Tensor) -> torch.Tensor:
        if not self.filters:
            return signals
        values = signals.cpu().numpy().astype(np.float64)
        for kind, *numbers in self.filters:
            values = _filter(values, str(kind), [float(number) for number in numbers], self.fs_hz)
        return torch.from_numpy(values.astype(np.float32)).to(signals.device)

    def _normalised(self, signals: torch.Tensor) -> torch.Tensor:
        if self.normalisation == "none":
            return signals
        dims = (-1,) if self.normalisation == "z-score lead" else (-2, -1)
        values = signals.double()  # a mean over 60,000 samples keeps its digits
        if self.normalisation == "min-max record":
            level = values.amin(dims, keepdim=True)
            spread = values.amax(dims, keepdim=True) - level
        else:
            level = values.mean(dims, keepdim=True)
            spread = values.std(dims, correction=0, keepdim=True)
        spread = torch.where(spread > 1e-12, spread, 0.0) + self.eps  # what round-off leaves of a constant is no spread
        return torch.where(spread > 0, (values - level) / torch.where(spread > 0, spread, 1.0), 0.0).float()


def _bridged(signals: torch.Tensor) -> torch.Tensor:
    """Straight lines over what is not finite."""
    gaps = ~torch.isfinite(signals)
    if not bool(gaps.any()):
        return signals
    filled = signals.cpu().numpy().copy()
    for row, lead in torch.nonzero(gaps.any(-1)).tolist():
        filled[row, lead] = bridge_gaps(filled[row, lead], gaps[row, lead].cpu().numpy())
    return torch.from_numpy(filled).to(signals.device)


def _filter(values: np.ndarray, kind: str, numbers: list[float], fs_hz: float) -> np.ndarray:
    """One step of `Preprocessing.filters` along the last axis."""
    from scipy import ndimage, signal

    if kind == "notch":
        return np.asarray(signal.filtfilt(*signal.iirnotch(*numbers, fs=fs_hz), values, axis=-1))
    if kind == "band-pass":
        low, high, order = numbers
        return np.asarray(signal.filtfilt(*signal.butter(int(order), [low, high], "bandpass", fs=fs_hz), values))
    if kind == "minus-median":
        width = int(numbers[0] * fs_hz) // 2 * 2 + 1
        flat = values.reshape(-1, values.shape[-1])
        baseline = [ndimage.median_filter(row, width, mode="constant", cval=0.0) for row in flat]
        return values - np.stack(baseline).reshape(values.shape)
    cutoff, order = numbers
    sections = signal.butter(int(order), cutoff, kind.replace("-", ""), fs=fs_hz, output="sos")
    return np.asarray(signal.sosfiltfilt(sections, values, axis=-1))
