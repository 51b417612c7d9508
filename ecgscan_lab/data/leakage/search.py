"""Find recordings that are nearly the same, without comparing each with each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecgscan_lab.data.leakage.fingerprints import BLOCK, N_BITS, Band, fingerprints, spectra_blocks
from ecgscan_lab.types import TrainingData

ROUNDS = 32
NEIGHBOURS = 8
MAX_BITS_APART = 85
MAX_SHIFT_S = 0.25
_KEY_BITS = 64
_FINE = 8  # lags between samples of the band's own rate
_BITS_SET = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.uint8)


@dataclass(frozen=True)
class NearPairs:
    """Pairs of recordings that are nearly the same, and what it took to find them.

    Attributes:
        pairs: `[pair, 2]`, numbers through all cohorts, the lower first.
        likeness: `[pair]`, mean correlation over leads at the best shift, up to 1.
        shift_s: `[pair]`, by how much the second lags.
        n_compared: fingerprints compared.
        n_verified: pairs whose signals were compared.
        n_still: recordings without a fingerprint, because they do not move.
    """

    pairs: np.ndarray
    likeness: np.ndarray
    shift_s: np.ndarray
    n_compared: int
    n_verified: int
    n_still: int


def find_near_pairs(cohorts: Sequence[TrainingData], band: Band, min_likeness: float) -> NearPairs:
    """Find pairs of recordings that are nearly the same.

    Fingerprints are sorted by a drawn choice of their bits, each is compared with the next few, and that is repeated
    with other bits; pairs that differ in few bits are then compared by their signals.

    Args:
        cohorts: recordings, numbered through.
        band: of `fingerprints.common_band`.
        min_likeness: least mean correlation of leads, -1 to 1.

    Returns:
        The pairs, ordered.

    Properties: the number of fingerprints compared is at most `ROUNDS * NEIGHBOURS` times that of recordings.
    """
    bits, moving = fingerprints(cohorts, band)
    numbers = np.flatnonzero(moving)
    candidates, n_compared = _candidates(bits[numbers])
    candidates = numbers[candidates]
    likeness, shift_s = _compare(cohorts, candidates, band)
    alike = likeness >= min_likeness
    return NearPairs(
        pairs=candidates[alike],
        likeness=likeness[alike],
        shift_s=shift_s[alike],
        n_compared=n_compared,
        n_verified=len(candidates),
        n_still=int((~moving).sum()),
    )


def _candidates(bits: np.ndarray) -> tuple[np.ndarray, int]:
    """Pairs of rows `[pair, 2]` that differ in few bits, and the number of comparisons."""
    rng = np.random.default_rng(20260402)
    unpacked = np.unpackbits(bits, axis=1)
    found, n_compared = [np.empty((0, 2), dtype=np.int64)], 0
    for _ in range(ROUNDS):
        chosen = rng.permutation(N_BITS)[:_KEY_BITS]
        keys = np.ascontiguousarray(np.packbits(unpacked[:, chosen], axis=1)).view(">u8").reshape(-1)
        order = np.argsort(keys, kind="stable")
        for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            left, right = order[:-step], order[step:]
            near = _BITS_SET[bits[left] ^ bits[right]].sum(axis=1, dtype=np.int64) <= MAX_BITS_APART
            found.append(np.sort(np.stack([left[near], right[near]], axis=1), axis=1))
            n_compared += len(left)
    return np.unique(np.concatenate(found), axis=0), n_compared


def _compare(cohorts: Sequence[TrainingData], pairs: np.ndarray, band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Likeness and shift of each pair, its signals read in blocks."""
    likeness, shift_s = np.empty(len(pairs)), np.empty(len(pairs))
    for at in range(0, len(pairs), BLOCK):
        block = pairs[at : at + BLOCK]
        wanted, places = np.unique(block, return_inverse=True)
        spectra = np.concatenate([part for _, part in spectra_blocks(cohorts, wanted, band)])
        first, second = places.reshape(block.shape).T
        likeness[at : at + BLOCK], shift_s[at : at + BLOCK] = compare_spectra(spectra[first], spectra[second], band)
    return likeness, shift_s


def compare_spectra(first: np.ndarray, second: np.ndarray, band: Band) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of recordings, mean over the leads that move in both, at the shift where it is largest.

    **Equation** likeness = max over shift of (1 / L) sum_l sum_f Re(conj(X_l(f)) Y_l(f) exp(2 pi i f shift)), with
    X_l, Y_l the spectra of unit energy.

    Args:
        first, second: `unit_spectra`, `[pair, 8, bin]`.
        band: theirs.

    Returns:
        Likeness `[pair]`, 0 where no lead moves in both, and the shift `[pair]` in seconds, at most a quarter of one.
    """
    shared = ((first != 0).any(axis=2) & (second != 0).any(axis=2)).sum(axis=1)
    n_lags = 2 * _FINE * (band.last + 1)
    crossed = np.zeros((len(first), n_lags // 2 + 1), dtype=np.complex64)
    crossed[:, band.first : band.last + 1] = (first.conj() * second).sum(axis=1)
    # irfft halves nothing here: every bin within the band stands for itself and its conjugate.
    at_lag = np.fft.irfft(crossed, n_lags, axis=1) * (n_lags / 2)
    reach = max(1, round(MAX_SHIFT_S / band.window_s * n_lags))
    lags = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
    at_lag = at_lag[:, lags]
    best = at_lag.argmax(axis=1)
    likeness = at_lag[np.arange(len(first)), best] / np.maximum(shared, 1)
    return np.where(shared > 0, likeness, 0.0), lags[best] * (band.window_s / n_lags)
