"""Things put on a sheet: stamps, labels, bar codes, stains. All are drawn into the clean picture, in place."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.handwriting import tint
from ecgscan_lab.render.degrade.textures import smooth_field
from ecgscan_lab.types import PageMap

STAMPS = ("SEEN", "COPY", "FILED", "SCANNED", "RECEIVED", "CHECKED", "ARCHIVE", "DRAFT")
STAMP_INKS = {"violet": (84, 40, 130), "red": (186, 32, 40), "blue": (36, 60, 150), "green": (24, 110, 66)}
LABELS = ("SPECIMEN", "ECG LAB", "WARD COPY", "SYNTHETIC", "DO NOT FILE", "ROOM 3")
PAPERS = {"white": (248, 248, 246), "yellow": (252, 232, 96), "green": (142, 222, 128), "orange": (252, 168, 72)}
FACE = cv2.FONT_HERSHEY_SIMPLEX


def _text(patch: np.ndarray, text: str, box: tuple[float, float, float, float], level: int) -> None:
    """Print one line as large as fits into (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    (wide, tall), _ = cv2.getTextSize(text, FACE, 1.0, 2)
    scale = min((x1 - x0) / wide, (y1 - y0) / (1.15 * tall))
    if scale * tall < 3.0:
        return
    at = (round((x0 + x1 - scale * wide) / 2), round((y0 + y1 + scale * tall) / 2))
    cv2.putText(patch, text, at, FACE, scale, level, max(1, round(2.4 * scale)), cv2.LINE_AA)


def _placed(
    patch: np.ndarray, size: tuple[int, int], centre_px: np.ndarray, angle_deg: float
) -> tuple[np.ndarray, int, int] | None:
    """A patch turned about its middle and set down at `centre_px`: (the part inside the picture, x, y)."""
    height, width = patch.shape[:2]
    reach = math.hypot(height, width) / 2 + 2
    x0, y0 = (int(v) for v in np.clip(np.floor(centre_px - reach), 0, (size[1], size[0])))
    x1, y1 = (int(v) for v in np.clip(np.ceil(centre_px + reach), 0, (size[1], size[0])))
    if x1 <= x0 or y1 <= y0:
        return None
    a = math.radians(angle_deg)
    c, s = math.cos(a), math.sin(a)
    shift = centre_px - (x0 + 0.5, y0 + 0.5) - np.array([[c, -s], [s, c]]) @ ((width - 1) / 2, (height - 1) / 2)
    move = np.array([[c, -s, shift[0]], [s, c, shift[1]]])
    return cv2.warpAffine(patch, move, (x1 - x0, y1 - y0)), x0, y0


def _centre(effect: fx.Stamp | fx.Sticker | fx.Barcode, clean_map: PageMap, page_mm: tuple[float, float]) -> np.ndarray:
    return np.asarray(clean_map.to_px(np.array([[effect.x * page_mm[0], effect.y * page_mm[1]]]))[0])


def press_stamp(picture: np.ndarray, effect: fx.Stamp, clean_map: PageMap, page_mm: tuple[float, float]) -> None:
    """A framed word or a ring with a word, its ink missing in patches."""
    rng, scale = np.random.default_rng(effect.seed), clean_map.homography[0, 0]
    tall = round(rng.uniform(0.055, 0.075) * min(page_mm) * scale)
    ring = rng.random() < 0.3
    wide = round(tall * (2.0 if ring else rng.uniform(2.2, 3.2)))
    tall = wide if ring else tall
    if min(tall, wide) < 6:
        return
    patch, line = np.zeros((tall, wide), np.uint8), max(1, round(0.55 * scale))
    text = STAMPS[int(rng.integers(len(STAMPS)))]
    if ring:
        radius = wide // 2 - line
        cv2.circle(patch, (wide // 2, tall // 2), radius, 255, line, cv2.LINE_AA)
        cv2.circle(patch, (wide // 2, tall // 2), round(0.78 * radius), 255, max(1, line // 2), cv2.LINE_AA)
        _text(patch, text, (0.22 * wide, 0.36 * tall, 0.78 * wide, 0.64 * tall), 255)
    else:
        cv2.rectangle(patch, (line, line), (wide - 1 - line, tall - 1 - line), 255, line, cv2.LINE_AA)
        _text(patch, text, (0.08 * wide, 0.2 * tall, 0.92 * wide, 0.8 * tall), 255)
    inked = np.clip(2.6 * smooth_field(patch.shape, rng, octaves=7, share=0.5) - 0.55, 0.12, 1.0)
    placed = _placed(
        (patch * inked).astype(np.uint8), picture.shape[:2], _centre(effect, clean_map, page_mm), effect.angle_deg
    )
    if placed is not None:
        tint(picture, *placed, STAMP_INKS[effect.ink], effect.darkness)


def _bars(patch: np.ndarray, rng: np.random.Generator, box: tuple[int, int, int, int], level: tuple[int, ...]) -> None:
    """Bars of random widths that code nothing."""
    x0, y0, x1, y1 = box
    unit = max(1, (x1 - x0) // 90)
    x = x0
    while x < x1 - 3 * unit:
        wide = unit * int(rng.integers(1, 4))
        cv2.rectangle(patch, (x, y0), (min(x + wide - 1, x1), y1), level, -1)
        x += wide + unit * int(rng.integers(1, 4))


def _paste(picture: np.ndarray, patch: np.ndarray, centre_px: np.ndarray, angle_deg: float, opacity: float) -> None:
    """Lay an opaque patch on the picture."""
    size = picture.shape[:2]
    placed = _placed(patch, size, centre_px, angle_deg)
    cover = _placed(np.full(patch.shape[:2], 255, np.uint8), size, centre_px, angle_deg)
    if placed is None or cover is None:
        return
    inside, x, y = placed
    area = picture[y : y + inside.shape[0], x : x + inside.shape[1]]
    weight = cv2.convertScaleAbs(cv2.cvtColor(cover[0], cv2.COLOR_GRAY2RGB), alpha=opacity)
    area[:] = cv2.add(cv2.multiply(area, 255 - weight, scale=1 / 255), cv2.convertScaleAbs(inside, alpha=opacity))


def stick(picture: np.ndarray, effect: fx.Sticker, clean_map: PageMap, page_mm: tuple[float, float]) -> None:
    """A label with a title, a few lines of nothing in particular and bars."""
    rng, scale = np.random.default_rng(effect.seed), clean_map.homography[0, 0]
    tall = round(rng.uniform(0.07, 0.1) * min(page_mm) * scale)
    wide = round(tall * rng.uniform(1.9, 2.6))
    if tall < 6:
        return
    patch = np.empty((tall, wide, 3), np.uint8)
    patch[:] = PAPERS[effect.colour]
    edge = max(1, tall // 60)
    cv2.rectangle(patch, (0, 0), (wide - 1, tall - 1), tuple(int(0.82 * v) for v in PAPERS[effect.colour]), edge)
    dark = (40, 40, 44)
    shades = patch[..., 0].copy()
    shades[:] = 0
    _text(shades, LABELS[int(rng.integers(len(LABELS)))], (0.08 * wide, 0.08 * tall, 0.92 * wide, 0.34 * tall), 255)
    for k in range(2):
        y = round((0.45 + 0.13 * k) * tall)
        cv2.line(shades, (round(0.08 * wide), y), (round(rng.uniform(0.5, 0.9) * wide), y), 150, max(1, tall // 30))
    tint(patch, shades, 0, 0, dark, 1.0)
    _bars(patch, rng, (round(0.1 * wide), round(0.7 * tall), round(0.9 * wide), round(0.92 * tall)), dark)
    _paste(picture, patch, _centre(effect, clean_map, page_mm), effect.angle_deg, effect.opacity)


def print_barcode(picture: np.ndarray, effect: fx.Barcode, clean_map: PageMap, page_mm: tuple[float, float]) -> None:
    """Bars on a white field."""
    rng, scale = np.random.default_rng(effect.seed), clean_map.homography[0, 0]
    tall = round(rng.uniform(0.035, 0.055) * min(page_mm) * scale)
    wide = round(tall * rng.uniform(3.5, 5.0))
    if tall < 4:
        return
    patch = np.full((tall, wide, 3), 250, np.uint8)
    level = (round(250 - 225 * effect.darkness),) * 3
    _bars(patch, rng, (round(0.06 * wide), round(0.1 * tall), round(0.94 * wide), round(0.88 * tall)), level)
    _paste(picture, patch, _centre(effect, clean_map, page_mm), 0.0, min(1.0, 2 * effect.darkness))


def _stain(rng: np.random.Generator, side: int = 160) -> np.ndarray:
    """Depth of one stain, 0 to 1, on a small square: the ring of a cup, a dried drop, or a smear."""
    line = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    x, y = line[None], line[:, None]
    kind, cloud = rng.random(), smooth_field((side, side), rng)
    bent = (cloud - 0.5) * np.float32(rng.uniform(0.1, 0.35))
    if kind < 0.45:
        r = np.hypot(x, y) + 0.15 * bent
        ring = np.exp(-(((r - 0.8) / 0.035) ** 2)) + 0.5 * np.exp(-(((r - 0.74) / 0.06) ** 2)) + 0.10 * (r < 0.78)
        gap = np.clip(1.2 + np.cos(np.arctan2(y, x) - np.float32(rng.uniform(0, 6))), 0.0, 1.0)
        depth = ring * gap * (0.55 + 0.6 * cloud)
    elif kind < 0.85:
        r = np.hypot(x, y * np.float32(rng.uniform(1.0, 1.8))) + 1.2 * bent
        fill = np.clip((0.62 - r) / 0.04, 0.0, 1.0)
        depth = fill * (0.35 + 0.3 * cloud) + 0.5 * np.exp(-(((r - 0.6) / 0.03) ** 2))
    else:
        across = y * 3.0 + 1.5 * bent + 0.4 * np.sin(2.0 * x)
        depth = np.exp(-(across**2) * 2.0) * np.clip(1.4 - 1.6 * np.abs(x), 0.0, 1.0) * (0.4 + 0.6 * cloud)
    rim = np.clip((1.0 - np.maximum(np.abs(x), np.abs(y))) / 0.08, 0.0, 1.0)
    return np.clip(depth * rim, 0.0, 1.0)


LIQUIDS = ((0.40, 0.56, 0.72), (0.26, 0.34, 0.42), (0.30, 0.28, 0.24), (0.14, 0.22, 0.40))
"""What coffee, tea, grease and gel take from red, green and blue."""


def stain(picture: np.ndarray, effect: fx.Stains, clean_map: PageMap, page_mm: tuple[float, float]) -> None:
    """Set down `count` stains anywhere on the sheet."""
    rng, (rows, columns) = np.random.default_rng(effect.seed), picture.shape[:2]
    for _ in range(effect.count):
        depth, at = _stain(rng), rng.uniform(0.05, 0.95, 2) * page_mm
        side = max(4, round(rng.uniform(0.1, 0.4) * min(page_mm) * clean_map.homography[0, 0]))
        take = np.float32(effect.darkness) * np.array(LIQUIDS[int(rng.integers(len(LIQUIDS)))], np.float32)
        clear = cv2.resize((255.0 * (1.0 - depth[..., None] * take)).astype(np.uint8), (side, side))
        x, y = (round(v - side / 2) for v in clean_map.to_px(at[None])[0])
        x0, y0, x1, y1 = max(0, x), max(0, y), min(columns, x + side), min(rows, y + side)
        if x1 > x0 and y1 > y0:
            area = picture[y0:y1, x0:x1]
            area[:] = cv2.multiply(area, clear[y0 - y : y1 - y, x0 - x : x1 - x], scale=1 / 255)
