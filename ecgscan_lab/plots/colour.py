"""Colours as eyes see them: contrast on a ground, and how far apart two are, also without red or green cones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.typing import ColorType
from numpy.typing import NDArray

Rgb = NDArray[np.float64]

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISIONS = {
    "common": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
"""Ways of seeing colour -> the map of linear RGB that shows what is left of it."""

# sRGB's primaries and its white (D65) in CIE XYZ.
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]]
)
_WHITE = _TO_XYZ.sum(axis=1)


def contrast_ratio(colour: ColorType, ground: ColorType = "white") -> float:
    """Contrast of two colours, from 1 (none) to 21 (black on white).

    **Equation** (L1 + 0.05) / (L2 + 0.05), with the relative luminances of the lighter and the darker one.
    **Source** WCAG 2.2, success criteria 1.4.3 (text: at least 4.5, large text 3) and 1.4.11 (graphics: at least 3).

    Args:
        colour: any colour of matplotlib; a translucent one is seen through to the ground.
        ground: what lies beneath, opaque.

    Properties: symmetric for opaque colours; a translucent colour has less contrast than the same colour opaque.

    >>> round(contrast_ratio("black"), 1), round(contrast_ratio("#767676"), 2)
    (21.0, 4.54)
    """
    below = np.array(to_rgba(ground)[:3])
    *rgb, alpha = to_rgba(colour)
    lights = [float(_TO_XYZ[1] @ _linear(c)) for c in (alpha * np.array(rgb) + (1 - alpha) * below, below)]
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def colour_distance(first: ColorType, second: ColorType, vision: str = "common") -> float:
    """How different two colours look (CIEDE2000): 1 is just seen side by side, 10 at a glance, 100 is black and white.

    **Source** Sharma, Wu and Dalal (2005), *The CIEDE2000 color-difference formula*, equations 2 to 22.

    Args:
        first: any colour of matplotlib; its alpha is not looked at.
        second: the other one.
        vision: one of `VISIONS`.

    >>> round(colour_distance("red", "green")), round(colour_distance("#B05A00", "#6C6C00", "deuteranopia"))
    (72, 7)
    """
    seen = [VISIONS[vision] @ _linear(np.array(to_rgba(colour)[:3])) for colour in (first, second)]
    return lab_distance(*(_lab(np.clip(rgb, 0.0, 1.0)) for rgb in seen))


def closest_pair(colours: Sequence[ColorType]) -> tuple[float, ColorType, ColorType, str]:
    """The two colours of a palette that are the hardest to tell apart, over all `VISIONS`.

    Args:
        colours: two or more.

    Returns:
        Their distance, the two, and the vision under which they lie so close.

    >>> closest_pair(["red", "green", "#008100"])[1:3]
    ('green', '#008100')
    """
    pairs = [
        (colour_distance(a, b, vision), a, b, vision)
        for k, a in enumerate(colours)
        for b in colours[k + 1 :]
        for vision in VISIONS
    ]
    return min(pairs, key=lambda pair: pair[0])


def lab_distance(first: Rgb, second: Rgb) -> float:
    """CIEDE2000 between two colours given as CIE L*, a*, b*."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    chroma = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7))
    a1, a2 = a1 * stretch, a2 * stretch
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    dl, dc, dh = l2 - l1, c2 - c1, 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    l_mean, c_mean, h_mean = (l1 + l2) / 2, (c1 + c2) / 2, (h1 + turn / 2 if c1 * c2 else h1 + h2) % 360
    waves = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    t = 1 + sum(size * np.cos(np.radians(times * h_mean + phase)) for size, times, phase in waves)
    away = (l_mean - 50) ** 2
    dl /= 1 + 0.015 * away / np.sqrt(20 + away)
    dc /= 1 + 0.045 * c_mean
    dh /= 1 + 0.015 * c_mean * t
    blue = np.radians(60 * np.exp(-(((h_mean - 275) / 25) ** 2)))
    rotation = -2 * np.sqrt(c_mean**7 / (c_mean**7 + 25.0**7)) * np.sin(blue)
    return float(np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh))


def _linear(rgb: Rgb) -> Rgb:
    """Colour channels of sRGB, from 0 to 1, without their gamma."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: Rgb) -> Rgb:
    """CIE L*, a*, b* of linear RGB, for daylight."""
    xyz = _TO_XYZ @ linear / _WHITE
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
