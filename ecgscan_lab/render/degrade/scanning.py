"""Screens, scanners and telephone lines: moire, streaks, black and white, fax. uint8 in, uint8 out."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ecgscan_lab.render.degrade import effects as fx

FAX_PX_PER_MM = 8.0
"""Horizontal resolution of a fax."""


def add_moire(picture: np.ndarray, effect: fx.Moire) -> np.ndarray:
    """Multiply by bands cos(f(x) + g(y)), a little later in each colour; f and g are bent lines."""
    height, width = picture.shape[:2]
    period = max(2.5, effect.period * max(height, width))
    step = max(1, int(period / 8))
    rng, turn = np.random.default_rng(effect.seed), math.radians(effect.angle_deg)
    x = np.arange(0.5, -(-width // step), dtype=np.float32) * step
    y = np.arange(0.5, -(-height // step), dtype=np.float32) * step
    pattern = np.ones((y.size, x.size, 3), np.float32)
    for angle, share, stretch in ((turn, 1.0, 1.0), (turn + 1.3, 0.25, 1.0 / rng.uniform(0.6, 1.6))):
        rate = np.float32(2 * math.pi / (period * stretch))
        wave = np.float32(rng.uniform(2.0, 7.0))
        f = rate * math.cos(angle) * x + wave * np.sin(x * np.float32(2.5 / width) + np.float32(rng.uniform(0, 6)))
        g = rate * math.sin(angle) * y + wave * np.sin(y * np.float32(2.5 / height) + np.float32(rng.uniform(0, 6)))
        for channel in range(3):
            late = np.float32(0.7 * channel)
            band = np.outer(np.cos(g + late), np.cos(f)) - np.outer(np.sin(g + late), np.sin(f))
            pattern[..., channel] -= np.float32(0.09 * effect.amount * share) * (1.0 - band)
    small = np.clip(255.0 * pattern, 0, 255).astype(np.uint8)
    large = cv2.resize(small, (x.size * step, y.size * step), interpolation=cv2.INTER_LINEAR)[:height, :width]
    return cv2.multiply(picture, np.ascontiguousarray(large), scale=1 / 255)


def add_streaks(picture: np.ndarray, effect: fx.Streaks) -> np.ndarray:
    """Dark, pale or coloured lines from top to bottom, a pixel or a little more wide."""
    rng, width = np.random.default_rng(effect.seed), picture.shape[1]
    picture = picture.copy()
    for _ in range(effect.count):
        at, wide = rng.random() * width, max(1, round(rng.uniform(0.5, 2.5) * width / 1500))
        colour = rng.choice([0.0, 0.0, 255.0, 128.0]) + (rng.random(3) < 0.3) * rng.uniform(-100, 100)
        strength = effect.darkness * rng.uniform(0.15, 0.7)
        first = min(int(at), width - 1)
        lines = picture[:, first : first + wide].astype(np.float32)
        lines += (np.clip(colour, 0, 255).astype(np.float32) - lines) * np.float32(strength)
        picture[:, first : first + wide] = lines.astype(np.uint8)
    return picture


def _paper_level(grey: np.ndarray, sides: int = 24) -> np.ndarray:
    """The light of the paper around each pixel: the brighter part of a coarse neighbourhood, smoothed."""
    height, width = grey.shape
    small = cv2.resize(grey, (min(width, 8 * sides), min(height, 8 * sides)), interpolation=cv2.INTER_AREA)
    k = max(3, min(small.shape) // 24 * 2 + 1)
    small = cv2.blur(cv2.dilate(small, np.ones((3, 3), np.uint8)), (k, k))
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _black_and_white(grey: np.ndarray, threshold: float) -> np.ndarray:
    return cv2.compare(grey, cv2.convertScaleAbs(_paper_level(grey), alpha=threshold), cv2.CMP_GT)


def binarise(picture: np.ndarray, effect: fx.Binarised) -> np.ndarray:
    """White where a pixel is brighter than `threshold` of the paper around it, else black."""
    hard = _black_and_white(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), effect.threshold)
    hard = cv2.cvtColor(hard, cv2.COLOR_GRAY2RGB)
    return hard if effect.amount >= 1.0 else cv2.addWeighted(hard, effect.amount, picture, 1.0 - effect.amount, 0.0)


def send_fax(picture: np.ndarray, effect: fx.Fax, px_per_mm: float) -> np.ndarray:
    """Scan coarse rows, cut to black and white, lose and repeat a few rows, print."""
    rng, (height, width) = np.random.default_rng(effect.seed), picture.shape[:2]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    columns = max(8, round(width * min(1.0, FAX_PX_PER_MM / px_per_mm)))
    rows = max(8, round(height * min(1.0, effect.lines_per_mm / px_per_mm)))
    scan = grey if (rows, columns) == grey.shape else cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
    sent = _black_and_white(scan, effect.threshold)
    for _ in range(effect.faults):
        at, tall, kind = int(rng.integers(rows)), 1 + int(rng.integers(1 + rows // 150)), rng.random()
        if kind < 0.35:
            sent[at : at + tall] = 255
        elif kind < 0.7:
            sent[at : at + tall] = sent[at]
        elif kind < 0.85:
            sent[at : at + tall] = np.roll(sent[at : at + tall], int(rng.integers(columns)), axis=1)
        else:
            start = int(rng.integers(columns))
            sent[at, start : start + columns // 3] = 0
    specks = rng.integers(0, sent.size, round(sent.size * 2e-5 * (1 + effect.faults)))
    sent.reshape(-1)[specks] = 0
    how = cv2.INTER_NEAREST if height >= 2 * rows else cv2.INTER_LINEAR
    printed = cv2.cvtColor(cv2.resize(sent, (width, height), interpolation=how), cv2.COLOR_GRAY2RGB)
    return printed if effect.amount >= 1.0 else cv2.addWeighted(printed, effect.amount, picture, 1 - effect.amount, 0.0)
