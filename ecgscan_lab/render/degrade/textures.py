"""Noise drawn once and reused: read-only banks from which a page takes a window."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

BANK_PX = 1024
BANK_SIGMA = 28.0
"""Side of a bank of noise, and the standard deviation that it holds about 128."""


def _frozen(bank: np.ndarray) -> np.ndarray:
    bank.flags.writeable = False
    return bank


@lru_cache(maxsize=16)
def noise_bank(grain: str, colour_percent: int) -> np.ndarray:
    """Noise about 128 of standard deviation `BANK_SIGMA`, uint8 `[BANK_PX, BANK_PX, 3]`."""
    rng = np.random.default_rng(1_000 + colour_percent)
    luma = rng.standard_normal((BANK_PX, BANK_PX, 1), dtype=np.float32)
    chroma = rng.standard_normal((BANK_PX, BANK_PX, 3), dtype=np.float32)
    share = colour_percent / 100.0
    field = np.float32((1 - share) ** 0.5) * luma + np.float32(share**0.5) * chroma
    if grain == "coarse":
        field = cv2.GaussianBlur(field, (0, 0), 0.9)
        field = field / field.std()
    return _frozen(np.clip(np.rint(128.0 + BANK_SIGMA * field), 0, 255).astype(np.uint8))


def noise_window(bank: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A window of a bank at a random place; beyond the bank's side, the bank repeats."""
    height, width = size
    rows, columns = bank.shape[:2]
    y, x = (int(v) for v in rng.integers(0, (max(1, rows - height), max(1, columns - width))))
    if height <= rows and width <= columns:
        return bank[y : y + height, x : x + width]
    tall, wide = min(height, rows), min(width, columns)
    window = bank[y : y + tall, x : x + wide]
    return np.tile(window, (-(-height // tall), -(-width // wide), *(1,) * (bank.ndim - 2)))[:height, :width]


@lru_cache(maxsize=4)
def smooth_bank(octaves: int) -> np.ndarray:
    """Cloudy noise of several scales, float32 `[512, 512]` from 0 to 1."""
    rng = np.random.default_rng(77)
    field = np.zeros((512, 512), np.float32)
    for k in range(octaves):
        side = 4 * 2**k + 1
        small = rng.standard_normal((side, side), dtype=np.float32)
        field += cv2.resize(small, (512, 512), interpolation=cv2.INTER_CUBIC) * np.float32(0.6**k)
    field -= field.min()
    return _frozen(field / field.max())


def smooth_field(shape: tuple[int, int], rng: np.random.Generator, octaves: int = 4, share: float = 0.6) -> np.ndarray:
    """Cloudy noise from 0 to 1, float32 `[rows, columns]`: a random `share` of the bank, stretched to the shape."""
    bank = smooth_bank(octaves)
    tall = wide = max(8, round(512 * share))
    y, x = (int(v) for v in rng.integers(0, 512 - tall + 1, 2))
    window = bank[y : y + tall, x : x + wide]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return cv2.resize(np.ascontiguousarray(window), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
