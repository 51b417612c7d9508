"""Invented remarks in pen: a single-stroke alphabet of our own, uneven as a hurried hand, never a name or a date."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.types import PageMap

# Each letter is strokes of points, two characters a point: x, then y from 0 (top) over 8 (foot) to b (below it).
LETTERS = {
    "a": "44 24 15 07 18 37 45 44 47 58",
    "b": "00 08 06 15 34 46 37 18 08",
    "c": "45 34 14 05 07 18 38 47",
    "d": "44 24 15 07 18 37 46 40 47 58",
    "e": "06 46 45 34 14 05 07 18 38 47",
    "f": "41 30 21 28,14 44",
    "g": "44 24 15 07 17 36 44 4a 3b 1b 0a",
    "h": "00 08 06 15 34 45 48",
    "i": "14 17 28,12 12",
    "j": "34 3a 2b 0b,32 32",
    "k": "00 08,44 06 48",
    "l": "10 17 28",
    "m": "04 08 05 14 25 28 25 34 45 48",
    "n": "04 08 05 24 45 48",
    "o": "24 05 07 28 47 45 24 35",
    "p": "04 0b 06 15 34 46 37 18 08",
    "q": "44 24 15 07 18 37 44 4b 5a",
    "r": "04 08 05 24 44",
    "s": "45 24 15 36 47 38 08",
    "t": "21 27 38 47,04 44",
    "u": "04 07 18 37 44 47 58",
    "v": "04 28 44",
    "w": "04 18 25 38 54",
    "x": "04 48,44 08",
    "y": "04 07 18 37 44 4a 3b 1b",
    "z": "04 44 08 48",
    "A": "08 30 58,15 45",
    "B": "00 08,00 30 41 42 34 04,34 46 47 38 08",
    "C": "51 30 02 06 38 57",
    "E": "40 00 08 48,04 34",
    "F": "40 00 08,04 34",
    "G": "51 30 02 06 38 57 55 35",
    "H": "00 08,50 58,04 54",
    "L": "00 08 48",
    "N": "08 00 58 50",
    "P": "08 00 40 52 44 04",
    "Q": "30 03 06 38 56 53 30,46 59",
    "R": "08 00 40 52 44 04 58",
    "S": "51 30 01 03 45 47 28 07",
    "T": "00 60,30 38",
    "V": "00 38 60",
    "0": "20 02 06 28 46 42 20",
    "1": "12 20 28",
    "2": "02 10 30 42 08 48",
    "3": "00 40 23 45 37 18 07",
    "4": "30 05 55,40 48",
    "5": "40 10 03 33 45 37 18 07",
    "6": "40 13 06 18 38 46 34 05",
    "7": "00 50 18",
    "?": "01 10 30 42 24 26,28 28",
    "-": "05 35",
    "/": "08 40",
    "+": "25 28,06 46",
    ".": "08 08",
}

REMARKS = (
    "sinus rhythm", "Normal", "no change", "old?", "see report", "repeat", "ST - T ?", "T inv V3", "QT ok", "LVH ?",
    "AF ?", "PVC", "rate 72", "axis ok", "reviewed", "compare", "Q in F", "paced ?", "RBBB", "lead off", "pre op",
    "post op 2", "Normal ECG", "NSR", "check V2", "artefact", "1st copy",
)  # fmt: skip
"""Words that a reader may scribble; letters that the alphabet lacks are left out."""

PENS = {"blue": (34, 52, 150), "black": (28, 28, 34), "red": (176, 30, 38), "pencil": (96, 96, 100)}
PEN_MM = {"blue": 0.45, "black": 0.5, "red": 0.5, "pencil": 0.4}


def _smooth(points: np.ndarray, steps: int = 5) -> np.ndarray:
    """A Catmull-Rom curve through the points, `[n, 2]`."""
    if len(points) < 3:
        return points
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    p0, p1, p2, p3 = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (p[:, None] for p in (p0, p1, p2, p3))
    curve = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])


def letter_strokes(letter: str) -> list[np.ndarray]:
    """Corner points of the strokes of one letter, in units of an eighth of a capital's height; empty when unknown."""
    return [
        np.array([(int(p[0]), int(p[1], 16)) for p in stroke.split()], np.float64)
        for stroke in LETTERS.get(letter, "").split(",")
        if stroke
    ]


def write(text: str, height_mm: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Strokes of a line of handwriting, `[n, 2]` millimetres from its start at the foot of the first letter."""
    unit, slant, x, strokes = height_mm / 8.0, rng.normal(0.18, 0.12), 0.0, []
    for letter in text:
        corners = letter_strokes(letter)
        if not corners:
            x += 3.2
            continue
        size, lift = rng.normal(1.0, 0.07), rng.normal(0.0, 0.35)
        for stroke in corners:
            wobbly = stroke + rng.normal(0.0, 0.22, stroke.shape)
            if len(stroke) == 2 and np.all(stroke[0] == stroke[1]):
                wobbly = stroke + rng.normal(0.0, 0.2, stroke.shape)
            curve = _smooth(wobbly)
            height = (8.0 - curve[:, 1]) * size - lift
            strokes.append(np.column_stack([x + curve[:, 0] * size + slant * height, -height]) * unit)
        x += max(stroke[:, 0].max() for stroke in corners) * size + rng.normal(1.7, 0.25)
    return strokes


def _mark(rng: np.random.Generator, height_mm: float) -> list[np.ndarray]:
    """A tick, a ring, an arrow, a wavy line under something, or loops that could be anyone's initials."""
    kind, t = int(rng.integers(5)), np.linspace(0.0, 1.0, 40)
    if kind == 0:
        return [_smooth(np.array([(0, -0.4), (0.35, 0.0), (1.2, -1.4)]) * height_mm)]
    if kind == 1:
        turn = 2 * math.pi * (1.08 * t + rng.random())
        radii = height_mm * rng.uniform(0.9, 2.4) * (1 + 0.08 * t)
        return [np.column_stack([radii * np.cos(turn), rng.uniform(0.5, 0.9) * radii * np.sin(turn)])]
    if kind == 2:
        long = height_mm * rng.uniform(2.0, 4.0)
        head = np.array(
            [(long - 0.7 * height_mm, -0.4 * height_mm), (long, 0.0), (long - 0.6 * height_mm, 0.5 * height_mm)]
        )
        return [_smooth(np.array([(0, 0.3 * height_mm), (long / 2, -0.2 * height_mm), (long, 0.0)])), head]
    if kind == 3:
        x = t * height_mm * rng.uniform(4.0, 8.0)
        return [np.column_stack([x, 0.12 * height_mm * np.sin(x / height_mm * 5.0) + rng.normal(0, 0.05) * x])]
    turn, waves = 2 * math.pi * 4.5 * t, rng.uniform(0.5, 1.2, 3)
    x = height_mm * (3.2 * t + 0.5 * np.sin(turn) * waves[0])
    y = height_mm * (0.7 * np.cos(turn) * waves[1] * (1 - 0.6 * t) - 0.4 * np.sin(5 * t) * waves[2])
    return [np.column_stack([x, y])]


def _turned(strokes: list[np.ndarray], angle: float, at: np.ndarray) -> list[np.ndarray]:
    c, s = math.cos(angle), math.sin(angle)
    return [stroke @ np.array([[c, s], [-s, c]]) + at for stroke in strokes]


def draw_strokes(mask: np.ndarray, strokes: list[np.ndarray], pen_px: float, rng: np.random.Generator) -> None:
    """Ink strokes (pixels from the first pixel's centre) into a mask, with a pressure that swells and fades."""
    for stroke in strokes:
        points = np.rint(stroke * 16).astype(np.int64).tolist()
        phase, rate = rng.uniform(0, 6), rng.uniform(0.2, 0.5)
        for k in range(len(points) - 1):
            press = 0.8 + 0.2 * math.sin(phase + rate * k) - 0.25 * (k > len(points) - 4)
            wide = pen_px * press
            level = int(255 * min(1.0, wide) * (0.75 + 0.25 * press))
            cv2.line(mask, points[k], points[k + 1], level, max(1, round(wide)), cv2.LINE_AA, 4)


def tint(picture: np.ndarray, mask: np.ndarray, x: int, y: int, ink: tuple[int, int, int], darkness: float) -> None:
    """Let transparent ink act on `picture` where the mask, placed with its corner at (x, y), says so; in place."""
    height, width = mask.shape
    area = picture[y : y + height, x : x + width]
    take = [darkness * (1.0 - level / 255.0) for level in ink]
    clear = cv2.merge([255 - cv2.convertScaleAbs(mask, alpha=share) for share in take])
    area[:] = cv2.multiply(area, clear, scale=1 / 255)


def handwrite(picture: np.ndarray, effect: fx.Handwriting, clean_map: PageMap, page_mm: tuple[float, float]) -> None:
    """Write `count` remarks and marks on the sheet, in place; about half of them beside the traces' usual rows."""
    rng, px_per_mm = np.random.default_rng(effect.seed), clean_map.homography[0, 0]
    rows, columns = picture.shape[:2]
    for k in range(effect.count):
        height_mm = rng.uniform(0.03, 0.055) * min(page_mm)
        words = k == 0 or rng.random() < 0.55
        strokes = write(REMARKS[int(rng.integers(len(REMARKS)))], height_mm, rng) if words else _mark(rng, height_mm)
        low = rng.random()
        at = np.array([rng.uniform(0.05, 0.8), rng.uniform(0.06, 0.2) if low < 0.5 else rng.uniform(0.2, 0.95)])
        strokes = _turned(strokes, rng.normal(-0.03, 0.07), at * page_mm)
        strokes = [clean_map.to_px(stroke) - 0.5 for stroke in strokes]
        pen_px = max(0.35, PEN_MM[effect.pen] * px_per_mm * rng.uniform(0.8, 1.3))
        ends = np.concatenate(strokes)
        reach = math.ceil(pen_px) + 2
        x0, y0 = (int(v) for v in np.clip(np.floor(ends.min(axis=0)) - reach, 0, (columns, rows)))
        x1, y1 = (int(v) for v in np.clip(np.ceil(ends.max(axis=0)) + reach, 0, (columns, rows)))
        if x1 <= x0 or y1 <= y0:
            continue
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        draw_strokes(mask, [stroke - (x0, y0) for stroke in strokes], pen_px, rng)
        if pen_px > 2.0:
            cv2.GaussianBlur(mask, (3, 3), 0.7, dst=mask)
        tint(picture, mask, x0, y0, PENS[effect.pen], effect.darkness * (0.7 if effect.pen == "pencil" else 1.0))
