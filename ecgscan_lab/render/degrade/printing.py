"""How the page was printed and what time did to it: ink spread, fading, needle and thermal print, photocopies."""

from __future__ import annotations

import cv2
import numpy as np

from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.params import DegradeParams
from ecgscan_lab.render.degrade.textures import noise_bank, noise_window, smooth_field

INK_LEVELS = (90, 165)
"""A pixel whose brightest colour lies below the first is ink, above the second it is paper or grid."""


def paper_colour(picture: np.ndarray) -> tuple[int, int, int]:
    """The brightest of some two hundred pixels: the sheet between the lines."""
    height, width = picture.shape[:2]
    sample = picture[height // 40 :: max(1, height // 14), width // 40 :: max(1, width // 14)].reshape(-1, 3)
    red, green, blue = sample[sample.sum(axis=1, dtype=np.int32).argmax()].tolist()
    return red, green, blue


def _ink_weight(picture: np.ndarray) -> np.ndarray:
    """How much of each pixel is ink rather than grid: uint8 `[h, w]`."""
    brightest = cv2.max(cv2.max(picture[..., 0], picture[..., 1]), picture[..., 2])
    low, high = INK_LEVELS
    table = np.clip((high - np.arange(256.0)) / (high - low), 0.0, 1.0)
    return cv2.LUT(brightest, np.rint(255.0 * table).astype(np.uint8))


def _pale(picture: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Mix every pixel with the paper's colour by `weight`, uint8 `[h, w]`."""
    sheet = np.empty_like(picture)
    sheet[:] = paper_colour(picture)
    lack = cv2.multiply(cv2.subtract(sheet, picture), cv2.cvtColor(weight, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    return cv2.add(picture, lack)


def bleed(picture: np.ndarray, effect: fx.InkBleed, px_per_mm: float) -> np.ndarray:
    """Darkness spreads: whole pixels by erosion, the rest by a share of one more step; then fibres soften it."""
    reach = effect.spread_mm * px_per_mm / 2
    steps, rest = int(reach), reach - int(reach)
    cross, square = (cv2.getStructuringElement(shape, (3, 3)) for shape in (cv2.MORPH_CROSS, cv2.MORPH_RECT))
    for k in range(steps):
        picture = cv2.erode(picture, cross if k % 2 == 0 else square)
    if rest > 0.0:
        picture = cv2.addWeighted(cv2.erode(picture, cross), rest, picture, 1.0 - rest, 0.0)
    return cv2.GaussianBlur(picture, (0, 0), 0.45 * reach) if reach > 0.7 else picture


def fade(picture: np.ndarray, effect: fx.Fading) -> np.ndarray:
    """Print pales towards the sheet, evenly or in patches."""
    if effect.patches == 0.0:
        paper = np.array(paper_colour(picture), np.float64)
        level = np.arange(256.0)[:, None]
        return cv2.LUT(picture, np.rint(level + effect.amount * np.clip(paper - level, 0, None)).astype(np.uint8)[None])
    height, width = picture.shape[:2]
    field = smooth_field((max(2, height // 8), max(2, width // 8)), np.random.default_rng(effect.seed))
    weight = effect.amount * (1.0 - effect.patches * (1.0 - np.clip(2.2 * field - 0.6, 0.0, 1.0)))
    return _pale(picture, cv2.resize((255.0 * weight).astype(np.uint8), (width, height)))


def dot_print(picture: np.ndarray, effect: fx.DotMatrix, px_per_mm: float) -> np.ndarray:
    """Leave ink only where a lattice of needles hits; finer than the pixels, that is an even loss of ink."""
    height, width = picture.shape[:2]
    pitch = effect.pitch_mm * px_per_mm
    seen = float(np.clip(pitch / 2.0 - 0.75, 0.0, 1.0))
    x, y = (np.cos(2 * np.pi * np.arange(n, dtype=np.float32) / np.float32(max(pitch, 2.0))) for n in (width, height))
    gap = 0.35 + seen * (np.clip(0.5 - 0.65 * (x[None] + y[:, None]), 0.0, 1.0) - 0.35)
    gap = (np.float32(255.0 * effect.amount) * gap).astype(np.uint8)
    return _pale(picture, cv2.multiply(_ink_weight(picture), gap, scale=1 / 255))


def thermal_print(picture: np.ndarray, effect: fx.Thermal, px_per_mm: float) -> np.ndarray:
    """Ink goes grey and uneven, dead elements leave lines along the paper's travel, heat browns the sheet."""
    rng, (height, width) = np.random.default_rng(effect.seed), picture.shape[:2]
    heat = smooth_field((max(2, height // 4), max(2, width // 16)), rng)
    loss = cv2.resize((effect.amount * 255.0 * (0.12 + 0.4 * heat)).astype(np.uint8), (width, height))
    rows = np.linspace(0, 2 * np.pi * height / max(2.0, 0.25 * px_per_mm), height, dtype=np.float32)
    loss = cv2.add(
        loss, np.repeat((22.0 * effect.amount * (1 + np.cos(rows))).astype(np.uint8)[:, None], width, axis=1)
    )
    for at in rng.integers(0, height, effect.dead):
        loss[at : at + max(1, round(0.15 * px_per_mm))] = 255
    ink = cv2.multiply(_ink_weight(picture), loss, scale=1 / 255)
    picture = _pale(picture, ink)
    if effect.browning > 0.0:
        small = smooth_field((64, 64), rng)
        edge = np.linspace(0.0, 1.0, 64, dtype=np.float32)[None] ** 3
        brown = np.float32(effect.browning) * np.clip(
            0.35 * small + 0.65 * (edge if rng.random() < 0.5 else 1 - edge), 0, 1
        )
        tint = 1.0 - brown[..., None] * np.array([0.10, 0.20, 0.42], np.float32)
        large = cv2.resize((255.0 * tint).astype(np.uint8), (width, height))
        picture = cv2.multiply(picture, large, scale=1 / 255)
    return picture


def photocopy(picture: np.ndarray, effect: fx.Photocopy, px_per_mm: float) -> np.ndarray:
    """Copy again and again: each time softer, then harder, with more specks and a darker rim."""
    rng, (height, width) = np.random.default_rng(effect.seed), picture.shape[:2]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    middle = rng.uniform(0.5, 0.66)
    level = np.linspace(0.0, 1.0, 256)
    table = np.clip(np.rint(255.0 * (0.5 + 1.45 * (level - middle)) + 20.0), 0, 255).astype(np.uint8)
    toner = noise_window(noise_bank("coarse", 0), (height, width), rng)[..., 0]
    for _ in range(effect.generations):
        grey = cv2.GaussianBlur(grey, (3, 3), max(0.3, 0.09 * px_per_mm))
        grey = cv2.LUT(cv2.addWeighted(grey, 1.0, toner, 0.14, -0.14 * 128), table)
    count = round(4.0 * effect.generations**1.5 * rng.uniform(0.3, 1.5))
    for x, y, r in zip(rng.random(count) * width, rng.random(count) * height, rng.random(count) ** 3, strict=True):
        radius = max(1, round(16 * (0.08 + 0.5 * r) * px_per_mm * 0.5))
        cv2.circle(grey, (round(x * 16), round(y * 16)), radius, int(rng.integers(20, 120)), -1, cv2.LINE_AA, 4)
    rim = round(rng.uniform(0.002, 0.012) * effect.generations * max(height, width))
    turned = np.rot90(grey, int(rng.integers(4)))
    if rim > 0 and rng.random() < 0.6:  # light that enters under the lid
        depth = np.linspace(rng.uniform(0.5, 0.9), 0.0, rim, dtype=np.float32)[:, None] ** 0.5
        noisy = 255.0 * (1.0 - depth) + rng.normal(0, 12, turned[:rim].shape)
        turned[:rim] = np.minimum(turned[:rim], np.clip(noisy, 10, 255).astype(np.uint8))
    copied = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    return copied if effect.amount >= 1.0 else cv2.addWeighted(copied, effect.amount, picture, 1 - effect.amount, 0.0)


def reprint(picture: np.ndarray, params: DegradeParams, px_per_mm: float) -> np.ndarray:
    """The effects that change the print itself, before anybody writes on it; `picture` is not changed."""
    if params.dot_matrix is not None:
        picture = dot_print(picture, params.dot_matrix, px_per_mm)
    if params.thermal is not None:
        picture = thermal_print(picture, params.thermal, px_per_mm)
    if params.ink_bleed is not None:
        picture = bleed(picture, params.ink_bleed, px_per_mm)
    if params.fading is not None:
        picture = fade(picture, params.fading)
    return picture
