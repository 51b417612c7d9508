"""What lies under and around the sheet: table tops and cloth made of noise, a scanner's lid, the sheet's shadow."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.types import PageMap

TILE_PX, TILE_MM = 1024, 420.0
"""Side of a texture in pixels, and the length of table that it shows."""


def _noise(rng: np.random.Generator, rows: int, columns: int, side: int) -> np.ndarray:
    """Smooth noise of standard deviation 1: `rows` x `columns` random values spread over a square tile."""
    small = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)


def _wood(rng: np.random.Generator) -> np.ndarray:
    """Grain along x: fine fibres, broader bands, and the arches where the saw met a year's ring."""
    n = TILE_PX
    y = np.linspace(0.0, 1.0, n, dtype=np.float32)[:, None]
    bent = y + 0.05 * _noise(rng, 5, 3, n) + 0.006 * _noise(rng, 40, 6, n)
    rings = np.sin(2 * np.pi * (9.0 * bent + 1.5 * np.abs(_noise(rng, 4, 3, n))))
    fibres = 0.3 * _noise(rng, 400, 12, n) + 0.2 * _noise(rng, 900, 60, n) + 0.5 * _noise(rng, 90, 4, n)
    pores = np.minimum(_noise(rng, 700, 90, n) + 1.8, 0.0)
    return 0.3 * rings + 0.6 * fibres + 0.7 * pores + 0.7 * _noise(rng, 6, 4, n)


def _cloth(rng: np.random.Generator) -> np.ndarray:
    """A plain weave with uneven threads, and soft folds."""
    n = TILE_PX
    t = np.arange(n, dtype=np.float32)
    warp = np.sin(2 * np.pi * (t[None] / 5.0 + 0.15 * _noise(rng, 200, 30, n)))
    weft = np.sin(2 * np.pi * (t[:, None] / 5.0 + 0.15 * _noise(rng, 30, 200, n)))
    return 0.3 * warp * weft + 0.12 * _noise(rng, 512, 512, n) + 0.9 * _noise(rng, 6, 4, n)


def _desk(rng: np.random.Generator) -> np.ndarray:
    """Laminate: even, with fine specks and faint wear."""
    n = TILE_PX
    return 0.12 * _noise(rng, 700, 700, n) + 0.15 * _noise(rng, 200, 200, n) + 0.8 * _noise(rng, 5, 5, n)


def _dark(rng: np.random.Generator) -> np.ndarray:
    """A dark top of brushed wood or leather."""
    n = TILE_PX
    return 0.4 * _noise(rng, 600, 40, n) + 0.15 * _noise(rng, 512, 512, n) + 0.8 * _noise(rng, 4, 4, n)


_MAKERS = {"wood": _wood, "cloth": _cloth, "desk": _desk, "dark": _dark}

COLOURS: dict[str, tuple[tuple[tuple[int, int, int], tuple[int, int, int]], ...]] = {
    "wood": (
        ((112, 74, 46), (196, 150, 108)),
        ((126, 92, 58), (190, 152, 104)),
        ((78, 52, 34), (140, 98, 64)),
        ((150, 118, 84), (214, 184, 146)),
    ),
    "cloth": (
        ((34, 22, 66), (82, 60, 132)),
        ((20, 32, 62), (56, 84, 130)),
        ((40, 70, 62), (92, 130, 116)),
        ((120, 112, 100), (190, 182, 170)),
    ),
    "desk": (
        ((176, 172, 164), (214, 212, 206)),
        ((128, 132, 138), (170, 174, 180)),
        ((196, 186, 168), (228, 220, 204)),
        ((84, 96, 110), (122, 134, 148)),
    ),
    "dark": (((14, 15, 19), (46, 48, 56)), ((28, 22, 20), (66, 54, 48)), ((10, 10, 12), (34, 34, 38))),
    "lid": (((226, 227, 228), (250, 250, 250)), ((196, 198, 200), (226, 227, 228)), ((12, 12, 14), (36, 36, 38))),
}
"""Darkest and lightest usual colour of each kind, in a few makes."""


@lru_cache(maxsize=8)
def _tile(kind: str) -> np.ndarray:
    pattern = _MAKERS[kind](np.random.default_rng(31 + sorted(_MAKERS).index(kind)))
    pattern = (pattern - pattern.mean()) / (4.4 * pattern.std()) + 0.5
    tile = np.clip(255.0 * pattern, 0, 255).astype(np.uint8)
    tile.flags.writeable = False
    return tile


def draw_background(effect: fx.Background, page_map: PageMap, size: tuple[int, int]) -> np.ndarray:
    """The table as the camera sees it, in the plane of the sheet: uint8 `[height, width, 3]`."""
    rng, (height, width) = np.random.default_rng(effect.seed), size
    makes = COLOURS[effect.kind]
    low, high = (effect.brightness * np.array(c, np.float32) for c in makes[int(rng.integers(len(makes)))])
    if effect.kind == "lid":
        level = low + (high - low) * np.float32(rng.random())
        return np.full((height, width, 3), np.clip(level, 0, 255).astype(np.uint8))
    scale, turn = TILE_PX / TILE_MM * rng.uniform(0.7, 1.3), rng.normal(0.0, 0.12) + (rng.random() < 0.3) * math.pi / 2
    c, s = scale * math.cos(turn), scale * math.sin(turn)
    to_tile = np.array([[c, -s, rng.uniform(0, TILE_PX)], [s, c, rng.uniform(0, TILE_PX)], [0.0, 0.0, 1.0]])
    # Half the resolution is enough: the table is a little out of focus anyway.
    back = to_tile @ np.linalg.inv(page_map.homography) @ np.diag([2.0, 2.0, 1.0])
    half, flags = ((width + 1) // 2, (height + 1) // 2), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pattern = cv2.warpPerspective(_tile(effect.kind), back, half, flags=flags, borderMode=cv2.BORDER_REFLECT)
    table = np.clip(low + (high - low) * (np.arange(256, dtype=np.float32) / 255.0)[:, None], 0, 255).astype(np.uint8)
    coloured = cv2.LUT(cv2.cvtColor(pattern, cv2.COLOR_GRAY2RGB), table[None])
    return cv2.resize(coloured, (width, height), interpolation=cv2.INTER_LINEAR)


def throw_shadow(table: np.ndarray, mask: np.ndarray, effect: fx.EdgeShadow, light_deg: float) -> np.ndarray:
    """Darken the table along the sheet's border, more on the side away from the lamp."""
    height, width = mask.shape
    reach = effect.width * max(height, width)
    shrink = max(1, min(round(reach / 2), min(height, width) // 8))
    small = cv2.resize(mask, (-(-width // shrink), -(-height // shrink)), interpolation=cv2.INTER_AREA)
    turn, far = math.radians(light_deg), 0.7 * reach / shrink
    move = np.array([[1.0, 0.0, -far * math.cos(turn)], [0.0, 1.0, -far * math.sin(turn)]])
    soft = cv2.warpAffine(small, move, (small.shape[1], small.shape[0]), borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(soft, (0, 0), max(0.3, 0.6 * reach / shrink))
    clear = cv2.resize(255 - (soft * np.float32(effect.darkness)).astype(np.uint8), (width, height))
    return cv2.multiply(table, cv2.cvtColor(clear, cv2.COLOR_GRAY2RGB), scale=1 / 255)


def lay_on(table: np.ndarray, sheet: np.ndarray, mask: np.ndarray, opacity: float) -> np.ndarray:
    """The sheet over the table, each border pixel shared by the part that the sheet covers."""
    if opacity < 1.0:
        table = cv2.addWeighted(table, opacity, sheet, 1.0 - opacity, 0.0)
    edge = np.flatnonzero((mask > 0) & (mask < 255))
    part = mask.reshape(-1)[edge].astype(np.float32)[:, None] / 255.0
    mixed = sheet.reshape(-1, 3)[edge] * part + table.reshape(-1, 3)[edge] * (1.0 - part)
    cv2.copyTo(sheet, mask, table)
    table.reshape(-1, 3)[edge] = np.rint(mixed).astype(np.uint8)
    return table
