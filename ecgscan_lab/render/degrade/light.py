"""Light on the page: shading of folds and wrinkles, shadows, lamps, dark corners, glare."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.params import DegradeParams
from ecgscan_lab.render.degrade.warp import Lattice

RELIEF = 1.25
"""Change of brightness with slope: half the light comes from everywhere, half from a lamp 30 degrees up."""

WEAR = 1.6
"""Brightness of a worn ridge line, or darkness of a valley, in terms of height over width."""

SHADOW_RGB = np.array([1.0, 0.97, 0.87], np.float32)
"""How much of a shadow's darkness each colour takes: the sky lights shadows blue."""

FULL = 200.0
"""Grey level of gain 1 in an 8-bit gain map, which leaves room for slopes that face the lamp."""


def _plan(lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """Picture coordinates of the lattice: the longer side runs from -1 to 1, the centre is (0, 0)."""
    height, width = lattice.size
    rows, columns = lattice.plane_mm.shape[1:]
    unit = 2.0 / max(height, width)
    x = ((np.arange(columns, dtype=np.float32) - 0.5) * lattice.step - width / 2) * unit
    y = ((np.arange(rows, dtype=np.float32) - 0.5) * lattice.step - height / 2) * unit
    return x[None].astype(np.float32), y[:, None].astype(np.float32)


def relief_gain(lattice: Lattice, light_deg: float) -> np.ndarray | None:
    """Brightness of a bent sheet under a lamp: 1 where it lies flat. float32 on the lattice, or None when all is flat."""
    if lattice.surface is None:
        return None
    _, slope_x, slope_y, wear = lattice.surface
    turn = math.radians(light_deg)
    lit = slope_x * np.float32(RELIEF * math.cos(turn)) + slope_y * np.float32(RELIEF * math.sin(turn))
    return np.clip(1.0 - lit + np.float32(WEAR) * wear, 0.25, 1.6, dtype=np.float32)


def _shadow(effect: fx.Shadow, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Depth of the shadow, 0 to 1, on the lattice."""
    rng, deepest = np.random.default_rng(effect.seed), np.zeros(np.broadcast(x, y).shape, np.float32)
    for _ in range(effect.count):
        kind, turn = rng.random(), rng.uniform(0, 2 * math.pi)
        c, s, off = np.float32(math.cos(turn)), np.float32(math.sin(turn)), np.float32(rng.uniform(-0.5, 0.4))
        across, along = x * c + y * s, y * c - x * s
        swing, phase = np.float32(rng.uniform(0.0, 0.06)), np.float32(rng.uniform(0, 6))
        across = across + swing * np.sin(along * np.float32(rng.uniform(2, 5)) + phase)
        if kind < 0.5:  # someone between the lamp and the table
            inside = across - off
        elif kind < 0.75:  # an arm or a pen
            inside = np.float32(rng.uniform(0.06, 0.25)) - np.abs(across - off)
        else:  # a head or a phone
            wide, long = rng.uniform(0.25, 0.6), rng.uniform(0.3, 0.9)
            inside = np.float32(wide) * (1 - np.hypot((across - off) / wide, (along - off) / long, dtype=np.float32))
        t = np.clip(0.5 + inside / np.float32(2 * effect.softness), 0.0, 1.0)
        np.maximum(deepest, t * t * (3 - 2 * t), out=deepest)
    return deepest


def camera_gain(params: DegradeParams, lattice: Lattice) -> np.ndarray | None:
    """Light that falls on sheet and table alike: float32 `[rows, columns]`, with a last axis of 3 under a shadow."""
    if params.shadow is None and params.uneven_light is None:
        return None
    x, y = _plan(lattice)
    gain = np.ones(np.broadcast(x, y).shape, np.float32)
    if params.uneven_light is not None:
        effect, turn = params.uneven_light, math.radians(params.uneven_light.angle_deg)
        toward = x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))
        gain -= np.float32(effect.slope / 2) * (1.0 - toward)
        gain -= np.float32(effect.vignette / 2) * (x * x + y * y)
        np.maximum(gain, 0.1, out=gain)
    if params.shadow is not None:
        depth = _shadow(params.shadow, x, y)[..., None] * (np.float32(params.shadow.darkness) * SHADOW_RGB)
        gain = gain[..., None] * (1.0 - depth)
    return gain


def combine(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    """Product of two gains, either of which may be absent or coloured."""
    if first is None or second is None:
        return second if first is None else first
    if first.ndim != second.ndim:
        first, second = (gain if gain.ndim == 3 else gain[..., None] for gain in (first, second))
    return np.asarray(first * second)


def apply_gain(picture: np.ndarray, gain: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Multiply a picture by a gain on the lattice."""
    small = np.clip(gain * np.float32(FULL) + np.float32(0.5), 0, 255).astype(np.uint8)
    large = lattice.enlarge(small)
    if large.ndim == 2:
        large = cv2.cvtColor(large, cv2.COLOR_GRAY2RGB)
    return cv2.multiply(picture, large, scale=1.0 / FULL)


def add_glare(picture: np.ndarray, effect: fx.Glare, lattice: Lattice) -> np.ndarray:
    """Pale the picture towards white around the mirrored lamp."""
    x, y = _plan(lattice)
    height, width = lattice.size
    unit = 2.0 / max(height, width)
    across = (x - np.float32((effect.x - 0.5) * width * unit)) / np.float32(2 * effect.radius * effect.stretch**0.5)
    down = (y - np.float32((effect.y - 0.5) * height * unit)) / np.float32(2 * effect.radius / effect.stretch**0.5)
    clear = 1.0 - np.float32(effect.amount) * np.exp(-2.0 * (across * across + down * down))
    return cv2.bitwise_not(apply_gain(cv2.bitwise_not(picture), clear, lattice))
