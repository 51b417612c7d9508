"""Sixty-four bytes of a recording that survive what copies go through: scaling, shifts, resampling, filters, noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ecgscan_lab.types import TrainingData

N_BITS = 512
LOWEST_HZ, HIGHEST_HZ = 1.0, 25.0
LONGEST_S = 10.0
BLOCK = 256
_LEADS = np.array([0, 1, 6, 7, 8, 9, 10, 11])  # the other four follow from I and II
_FEWEST_LEADS = 4
_STILL = 1e-3  # a lead with less than this part of the median lead's energy does not move
_SAMPLE = 2048
_OFF_CENTRE = 0.02  # beyond rounding and far below the projections' spread of about 1


@dataclass(frozen=True)
class Band:
    """Which part of which spectrum is compared.

    Attributes:
        window_s: the first seconds of every recording.
        first, last: bins of 1 / `window_s` hertz, both included.
    """

    window_s: float
    first: int
    last: int

    @property
    def n_bins(self) -> int:
        """Bins of a lead."""
        return self.last - self.first + 1


def common_band(cohorts: Sequence[TrainingData]) -> Band:
    """The band that every cohort's rate and length can show: 1 to 25 Hz of the first 10 s where they allow."""
    window_s = min([LONGEST_S, *(data.n_samples / data.fs_hz for data in cohorts)])
    highest_hz = min([HIGHEST_HZ, *(0.45 * data.fs_hz for data in cohorts)])
    first = max(1, round(LOWEST_HZ * window_s))
    return Band(window_s, first, max(first + 1, round(highest_hz * window_s)))


def unit_spectra(signals_mv: np.ndarray, fs_hz: float, band: Band) -> np.ndarray:
    """Spectra of eight leads under a Hann window, each of unit energy within the band.

    Args:
        signals_mv: `[n, 12, time]` in mV; NaN counts as the lead's mean.
        fs_hz: their rate in hertz.
        band: what is compared.

    Returns:
        complex64 `[n, 8, bin]`; a lead that does not move is zeros, and so is a recording of which fewer than four do.

    Properties: the same for any gain of any lead and any offset; nearly the same at any rate above twice the band.
    """
    n_samples = round(band.window_s * fs_hz)
    leads_mv = signals_mv[:, _LEADS, :n_samples].astype(np.float32)
    gaps = np.isnan(leads_mv)
    n_recorded = np.maximum((~gaps).sum(axis=2, keepdims=True), 1)
    leads_mv[gaps] = 0.0
    leads_mv -= leads_mv.sum(axis=2, keepdims=True) / n_recorded
    leads_mv[gaps] = 0.0
    spectra = np.fft.rfft(leads_mv * np.hanning(n_samples).astype(np.float32), axis=2)
    spectra = spectra[:, :, band.first : band.last + 1].astype(np.complex64)
    energy = (spectra.real**2 + spectra.imag**2).sum(axis=2)
    moves = energy > np.maximum(_STILL * np.median(energy, axis=1, keepdims=True), 1e-12)
    moves &= moves.sum(axis=1, keepdims=True) >= _FEWEST_LEADS
    spectra *= np.where(moves, 1.0 / np.sqrt(np.where(moves, energy, 1.0)), 0.0)[:, :, None].astype(np.float32)
    return spectra


def fingerprints(cohorts: Sequence[TrainingData], band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Fingerprints of all recordings of all cohorts, in order.

    The magnitudes of the spectra do not see a shift. They are projected on `N_BITS` fixed random directions, and a bit
    says on which side of the mean of a sample each projection lies.

    Source: sign bits of random projections: M. Charikar (2002), "Similarity estimation techniques from rounding
    algorithms", STOC. *Differences*: the mean of a sample instead of zero, so that every bit splits the recordings.

    Args:
        cohorts: recordings; read in blocks, so that memory does not grow with their signals.
        band: of `common_band`.

    Returns:
        uint8 `[record, N_BITS / 8]`, and bool `[record]`: whether the recording moves.
    """
    directions = np.random.default_rng(20260401).standard_normal((len(_LEADS) * band.n_bins, N_BITS), np.float32)
    total = sum(len(data) for data in cohorts)
    sample = np.unique(np.linspace(0, max(total - 1, 0), min(total, _SAMPLE)).astype(np.int64))
    seen = [_projections(spectra, directions) for _, spectra in spectra_blocks(cohorts, sample, band)]
    # Not the median: where most recordings are copies of one it would be theirs, and rounding would draw their bits.
    middle = (np.concatenate(seen).mean(axis=0) if seen else np.zeros(N_BITS)) + _OFF_CENTRE
    bits = np.zeros((total, N_BITS // 8), dtype=np.uint8)
    moving = np.zeros(total, dtype=bool)
    for positions, spectra in spectra_blocks(cohorts, np.arange(total), band):
        bits[positions] = np.packbits(_projections(spectra, directions) > middle, axis=1)
        moving[positions] = (spectra != 0).any(axis=(1, 2))
    return bits, moving


def spectra_blocks(
    cohorts: Sequence[TrainingData], wanted: np.ndarray, band: Band
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Spectra of some recordings, a block at a time.

    Args:
        cohorts: recordings, numbered through.
        wanted: their numbers, ascending.
        band: what is compared.

    Yields:
        Numbers `[n]` and spectra `[n, 8, bin]`.
    """
    start = 0
    for data in cohorts:
        own = wanted[(wanted >= start) & (wanted < start + len(data))]
        for at in range(0, len(own), BLOCK):
            block = own[at : at + BLOCK]
            yield block, unit_spectra(data.read_signals_mv(block - start), data.fs_hz, band)
        start += len(data)


def _projections(spectra: np.ndarray, directions: np.ndarray) -> np.ndarray:
    projected: np.ndarray = np.abs(spectra).reshape(len(spectra), -1) @ directions
    return projected
