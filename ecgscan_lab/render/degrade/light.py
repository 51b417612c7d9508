"""Light on the page: shading of folds and wrinkles, shadows, lamps, dark corners, glare."""

# Kernels are typed by Numba when they are compiled.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

import cv2
import numpy as np
from numba import njit

from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.params import DegradeParams
from ecgscan_lab.render.degrade.warp import MARGIN, Lattice

RELIEF = 0.95
"""Change of brightness with slope: half the light comes from everywhere, half from a lamp 30 degrees up."""

WEAR = 1.2
"""Brightness of a worn ridge line, or darkness of a valley, in terms of height over width."""

SHADOW_RGB = np.array([1.0, 0.97, 0.87], np.float32)
"""How much of a shadow's darkness each colour takes: the sky lights shadows blue."""

HEADROOM = 0.6
"""Share of the brightest gain above 1 that the camera's exposure takes back."""


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _shade(picture, gain, step, margin, out):
    """Multiply by a gain that has a value a channel and pixel along x, and a row every `step` pixels along y."""
    for y in range(picture.shape[0]):
        v = np.float32((y + 0.5) / step - 0.5 + margin)
        j = int(v)
        b = np.float32(v - j)
        low, high, source, target = gain[j], gain[j + 1], picture[y], out[y]
        for x in range(picture.shape[1]):
            g = low[x] + b * (high[x] - low[x])
            target[x] = np.uint8(np.int32(min(np.float32(source[x]) * g + np.float32(0.5), np.float32(255.0))))


def _plan(lattice: Lattice) -> tuple[np.ndarray, np.ndarray]:
    """Picture coordinates of the lattice: the longer side runs from -1 to 1, the centre is (0, 0)."""
    height, width = lattice.size
    unit = np.float32(2.0 / max(height, width))
    x, y = lattice.axes()
    return ((x - np.float32(width / 2)) * unit)[None], ((y - np.float32(height / 2)) * unit)[:, None]


def relief_gain(lattice: Lattice, light_deg: float) -> np.ndarray | None:
    """Brightness of a bent sheet under a lamp, 1 where it lies flat: float32 on the lattice; None when all is flat."""
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
        kind, turn, soft = rng.random(), rng.uniform(0, 2 * math.pi), effect.softness
        c, s, off = np.float32(math.cos(turn)), np.float32(math.sin(turn)), np.float32(rng.uniform(-0.4, 0.45))
        across, along = x * c + y * s, y * c - x * s
        swing, phase = np.float32(rng.uniform(0.0, 0.05)), np.float32(rng.uniform(0, 6))
        inside = across - off + swing * np.sin(along * np.float32(rng.uniform(2, 5)) + phase)
        if kind > 0.6:  # not all that lies on one side: an arm, a phone or a head reaches in
            wide, soft = np.float32(rng.uniform(0.12, 0.5)), max(soft, 0.04)
            beside = wide - np.abs(along - np.float32(rng.uniform(-0.5, 0.5)))
            inside = np.minimum(inside, beside) - 0.5 * np.maximum(wide / 2 - np.abs(inside - beside), 0.0)
        t = np.clip(0.5 + inside / np.float32(2 * soft), 0.0, 1.0)
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


def expose(gain: np.ndarray | None) -> np.ndarray | None:
    """Darken all by a part of what the brightest place exceeds 1, as a camera does."""
    if gain is None:
        return None
    return gain * np.float32(1.0 / (1.0 + HEADROOM * max(0.0, float(gain.max()) - 1.0)))


def apply_gain(picture: np.ndarray, gain: np.ndarray, lattice: Lattice) -> np.ndarray:
    """Multiply a picture by a gain on the lattice, `[rows, columns]` or with a last axis of 3."""
    height, width = picture.shape[:2]
    rows, columns = gain.shape[:2]
    if gain.ndim == 2:
        gain = gain[..., None].repeat(3, axis=2)
    wide = cv2.resize(gain, (columns * lattice.step, rows), interpolation=cv2.INTER_LINEAR)
    edge = MARGIN * lattice.step
    wide = np.ascontiguousarray(wide[:, edge : edge + width]).reshape(rows, 3 * width)
    out = np.empty_like(picture)
    _shade(picture.reshape(height, 3 * width), wide, lattice.step, MARGIN, out.reshape(height, 3 * width))
    return out


def add_glare(picture: np.ndarray, effect: fx.Glare, lattice: Lattice) -> np.ndarray:
    """Pale the picture towards white around the mirrored lamp."""
    x, y = _plan(lattice)
    height, width = lattice.size
    unit = 2.0 / max(height, width)
    across = (x - np.float32((effect.x - 0.5) * width * unit)) / np.float32(2 * effect.radius * effect.stretch**0.5)
    down = (y - np.float32((effect.y - 0.5) * height * unit)) / np.float32(2 * effect.radius / effect.stretch**0.5)
    clear = 1.0 - np.float32(effect.amount) * np.exp(-2.0 * (across * across + down * down))
    return cv2.bitwise_not(apply_gain(cv2.bitwise_not(picture), clear, lattice))
