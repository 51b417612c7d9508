"""Where the leads are on a flattened page: calibration pulses, rows, lead names, and the layout that explains them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.layouts import LAYOUTS
from ecgscan_lab.render.page import PULSE_MV, PULSE_S, PageSpec
from ecgscan_lab.render.paper import text_mask
from ecgscan_lab.render.photograph.rectify import PX_PER_MM, FlatPage
from ecgscan_lab.render.segments import page_segments

LEAST_PULSE = 0.2
"""Ink that every side of a pulse must show, as a share of full ink."""

NAME_SIZES_MM = (2.8, 3.2, 3.6, 3.9, 4.3, 4.8)
_TOLERANCE_PX = 2

NO_PULSE_GAP_MM = 3.0
"""Where the pulses would stand on a page without them, before the traces."""


@dataclass(frozen=True)
class Pulses:
    """A column of calibration pulses: their rising edge, the baselines beside them, their size and contrast."""

    x_mm: float
    baselines_mm: tuple[float, ...]
    width_mm: float
    height_mm: float
    score: float


def find_pulses(
    flat: FlatPage, sizes_mm: Sequence[tuple[float, float]] = ((5.0, 10.0), (5.0, 5.0), (5.0, 20.0), (10.0, 10.0))
) -> Pulses | None:
    """Look for a column of calibration pulses: upright strokes at 0 and w, a stroke across at height h, white inside.

    Args:
        flat: the flattened page, upright.
        sizes_mm: (width, height) of the pulses to look for.

    Returns:
        The column with the most contrast, or None.
    """
    soft = _Boxes(cv2.dilate(flat.ink, np.ones((2 * _TOLERANCE_PX + 1,) * 2, np.uint8)))
    ink = _Boxes(flat.ink)
    best: Pulses | None = None
    for width_mm, height_mm in sizes_mm:
        response = _pulse_response(soft, ink, width_mm, height_mm)
        found = _best_column(response, height_mm)
        if found is None:
            continue
        x, rows, score = found
        score *= (height_mm / 10.0) ** 0.5  # a cell of the grid is easily taken for a small pulse
        if best is None or score > best.score:
            refined = [_refine_pulse(flat.ink, x, y, width_mm, height_mm) for y in rows]
            rise = float(np.median([r[0] for r in refined])) / PX_PER_MM + flat.origin_mm[0]
            baselines = tuple(r[1] / PX_PER_MM + flat.origin_mm[1] for r in refined)
            best = Pulses(rise, baselines, width_mm, height_mm, score)
    return best


def _pulse_response(soft: _Boxes, ink: _Boxes, width_mm: float, height_mm: float) -> np.ndarray:
    """For each pixel as the foot of a rising edge: ink of the weakest of the three sides, less the ink inside."""
    w, h = round(width_mm * PX_PER_MM), round(height_mm * PX_PER_MM)
    upright = np.minimum(soft.mean(0, -h + 2, 1, -h // 2), soft.mean(0, -h // 2, 1, -2))
    across = soft.mean(2, -h, w - 2, -h + 1)
    falling = np.zeros_like(upright)
    falling[:, :-w] = upright[:, w:]
    side = np.minimum(np.minimum(upright, falling), across)
    side -= 1.5 * ink.mean(4, -h + 4, w - 3, 0)
    return side - 0.7 * ink.mean(0, -h - 10, w, -h - 3) - 0.7 * ink.mean(-8, -h, -3, -4)


class _Boxes:
    """Means of an image over a box beside every pixel, from its integral; zero ink beyond the image."""

    _PAD = 24 * PX_PER_MM

    def __init__(self, image: np.ndarray) -> None:
        pad = self._PAD
        self.shape = image.shape
        self.total = cv2.integral(cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_CONSTANT), sdepth=cv2.CV_64F)

    def mean(self, x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
        """Mean over columns x0 to x1 and rows y0 to y1, counted from each pixel."""

        def corner(y: int, x: int) -> np.ndarray:
            top, left = self._PAD + y, self._PAD + x
            return self.total[top : top + self.shape[0], left : left + self.shape[1]]

        box = corner(y1, x1) - corner(y0, x1) - corner(y1, x0) + corner(y0, x0)
        return (box / ((x1 - x0) * (y1 - y0))).astype(np.float32)


def _best_column(response: np.ndarray, height_mm: float) -> tuple[int, list[int], float] | None:
    """The column whose pulses together have the highest response: (x, baselines, sum of the responses)."""
    around = 2 * _TOLERANCE_PX + 1
    strong = np.where(response > LEAST_PULSE, response, 0.0)
    strong = cv2.dilate(strong, np.ones((1, around), np.uint8))
    gap = round(max(0.75 * height_mm, 9.0) * PX_PER_MM)
    peak = strong == cv2.dilate(strong, np.ones((2 * gap + 1, 1), np.uint8))
    column = np.where(peak & (strong > 0), strong, 0.0)
    # a plateau counts once
    column[1:][peak[1:] & peak[:-1]] = 0.0
    column[column < 0.6 * column.max(axis=0)] = 0.0
    total = column.sum(axis=0)
    x = int(total.argmax())
    if total[x] <= 0:
        return None
    same = np.flatnonzero(total > 0.999 * total[x])
    x = int(np.median(same[np.abs(same - x) < around]))
    rows: list[int] = []
    for y in np.argsort(-column[:, x], kind="stable"):
        if column[y, x] <= 0:
            break
        if all(abs(int(y) - other) > gap for other in rows):
            rows.append(int(y))
    return x, sorted(rows), float(column[rows, x].sum())


def _refine_pulse(ink: np.ndarray, x: int, y: int, width_mm: float, height_mm: float) -> tuple[float, float]:
    """Centre lines of the rising edge and, from the top stroke, of the baseline, in raster pixels from the corner."""
    w, h = round(width_mm * PX_PER_MM), round(height_mm * PX_PER_MM)

    def centre(profile: np.ndarray, start: int) -> float:
        return start + 0.5 + float((profile * np.arange(len(profile))).sum() / max(profile.sum(), 1e-6))

    reach = 3 + _TOLERANCE_PX
    rows = slice(max(0, y - h + 6), max(1, y - 6))
    edges = []
    for edge in (x, x + w):
        left = max(0, edge - reach)
        edges.append(centre(ink[rows, left : edge + reach + 1].mean(axis=0), left))
    top = max(0, y - h - reach)
    across = centre(ink[top : y - h + reach + 1, x + 4 : x + w - 3].mean(axis=1), top)
    return (edges[0] + edges[1] - width_mm * PX_PER_MM) / 2, across + height_mm * PX_PER_MM


def name_scores(flat: FlatPage, page: PageSpec, shift_mm: np.ndarray) -> tuple[float, dict[str, float]]:
    """How well the lead names of a page are found near the starts of their traces.

    Names may stand further right, above or below, and be larger or smaller than the page says, but all in the same
    manner: the place and size that suit most of them are looked for.

    Args:
        flat: the flattened page.
        page: the page to test.
        shift_mm: (x, y) from the page's millimetres to the raster's.

    Returns:
        Mean correlation of the names at their common best place, -1 to 1, and that place as fields of `PageSpec`.
    """
    segments = page_segments(page)
    lags = (26 * PX_PER_MM, 16 * PX_PER_MM)
    best, place = -1.0, {}
    for size_mm in NAME_SIZES_MM:
        total = np.zeros(lags)
        for segment in segments:
            glyph = np.pad(text_mask(segment.label, size_mm * PX_PER_MM).astype(np.float32) / 255.0, 2)
            x, y = (np.array([segment.x0_mm, segment.baseline_mm]) + shift_mm - flat.origin_mm) * PX_PER_MM
            # lag [i, j]: foot of the letters 14 mm above the baseline plus i, left edge 4 mm before the start plus j
            top = y - 14 * PX_PER_MM - (glyph.shape[0] - 2)
            patch = _window(
                flat.ink, x - 4 * PX_PER_MM - 2, top, lags[1] + glyph.shape[1] - 1, lags[0] + glyph.shape[0] - 1
            )
            score = np.nan_to_num(cv2.matchTemplate(patch, glyph, cv2.TM_CCOEFF_NORMED), posinf=0.0, neginf=0.0)
            total += cv2.dilate(np.clip(score, -1.0, 1.0), np.ones((3, 3), np.uint8))
        mean = total / max(1, len(segments))
        at = np.unravel_index(int(mean.argmax()), mean.shape)
        if mean[at] > best:
            best = float(mean[at])
            place = {
                "name_indent_mm": float(at[1] / PX_PER_MM - 4.0),
                "name_rise_mm": float(14.0 - at[0] / PX_PER_MM),
                "text_mm": size_mm,
            }
    return best, place


def read_strips(flat: FlatPage, page: PageSpec, shift_mm: np.ndarray) -> tuple[str, ...]:
    """Which leads the rhythm strips show: the names that match best at the place where names of this page are."""
    baselines = page.baselines_mm[LAYOUTS[page.layout][0] :]
    chosen: list[str] = []
    for y_mm, usual in zip(baselines, page.rhythm, strict=True):
        scores = {}
        for lead in LEADS:
            glyph = np.pad(text_mask(lead, page.text_mm * PX_PER_MM).astype(np.float32) / 255.0, ((2, 2), (4, 6)))
            x, y = (
                np.array([page.left_mm + page.name_indent_mm, y_mm - page.name_rise_mm]) + shift_mm - flat.origin_mm
            ) * PX_PER_MM
            slack = 3 * PX_PER_MM
            top = y - glyph.shape[0] + 2 - slack
            patch = _window(flat.ink, x - 4 - slack, top, glyph.shape[1] + 2 * slack, glyph.shape[0] + 2 * slack)
            scores[lead] = float(np.nan_to_num(cv2.matchTemplate(patch, glyph, cv2.TM_CCOEFF_NORMED), posinf=0.0).max())
        best = max((lead for lead in LEADS if lead not in chosen), key=lambda lead: scores[lead])
        sure = scores[best] > 0.7 and scores[best] > scores[usual] + 0.3
        chosen.append(best if sure or usual in chosen else usual)
    return tuple(chosen)


def _window(ink: np.ndarray, x: float, y: float, width: int, height: int) -> np.ndarray:
    """A part of the raster from (x, y), zero where it runs over the edge."""
    out = np.zeros((height, width), np.float32)
    x, y = round(x), round(y)
    y0, y1 = max(0, y), min(ink.shape[0], y + height)
    x0, x1 = max(0, x), min(ink.shape[1], x + width)
    if y0 < y1 and x0 < x1:
        out[y0 - y : y1 - y, x0 - x : x1 - x] = ink[y0:y1, x0:x1]
    return out


def layouts_for(rows: int) -> list[tuple[str, int]]:
    """(layout, number of rhythm strips) with this many rows."""
    return [(name, rows - own) for name, (own, _) in LAYOUTS.items() if 0 <= rows - own <= 3]


def complete_rows(baselines_mm: Sequence[float]) -> list[float]:
    """Fill in rows whose pulse was missed: gaps of about two or three pitches between found ones."""
    found = sorted(baselines_mm)
    if len(found) < 3:
        return list(found)
    steps = np.diff(found)
    pitch = float(np.median(steps))
    full = [found[0]]
    for low, step in zip(found, steps, strict=False):
        parts = max(1, round(step / pitch))
        full += [low + step * k / parts for k in range(1, parts + 1)]
    return full


def find_rows(flat: FlatPage) -> Pulses:
    """Rows of traces on a page without pulses, as `Pulses` of nominal size; x is counted back from the traces' end.

    A row is where most columns of the raster have ink close by: the best comb of equally spaced rows is looked for.
    """
    near = cv2.blur((flat.ink > 0.35).astype(np.float32), (1, 3 * PX_PER_MM)) > 1e-4
    wide = max(1, int(flat.known.any(axis=0).sum()))
    share = (near & flat.known).sum(axis=1) / wide
    comb = _best_comb(share)
    if comb is None:
        return Pulses(0.0, (), 5.0, 10.0, 0.0)
    rows, contrast = comb
    profile = cv2.blur(flat.ink.sum(axis=1, keepdims=True), (1, 2 * PX_PER_MM + 1))[:, 0]
    reach = int(0.2 * np.median(np.diff(rows)))
    baselines = []
    for y in rows:
        low = max(0, y - reach)
        at = low + int(profile[low : y + reach + 1].argmax())
        baselines.append((at + 0.5) / PX_PER_MM + flat.origin_mm[1])
    span = trace_span(flat, baselines)
    x_mm = 0.0 if span is None else span[1] - 250.0 - NO_PULSE_GAP_MM - 5.0
    return Pulses(x_mm, tuple(baselines), 5.0, 10.0, contrast)


def _best_comb(share: np.ndarray) -> tuple[list[int], float] | None:
    """Equally spaced rows with much ink at them and little between: (rows in raster pixels, contrast)."""
    low_at, high_at = (np.flatnonzero(share > 0.25 * share.max())[[0, -1]]) if share.max() > 0.2 else (0, 0)
    best: tuple[list[int], float] | None = None
    parts = np.array([0.0, 1 / 3, 1 / 2, 2 / 3])[:, None, None]
    for pitch in np.arange(11.0, 60.0, 0.25) * PX_PER_MM:
        phase = np.arange(low_at, min(low_at + pitch, high_at), PX_PER_MM / 2)
        at = phase[:, None] + pitch * np.arange(16)
        inside = at <= high_at
        rows = inside.sum(axis=1)
        looked = share[np.minimum(np.rint(at + pitch * parts), len(share) - 1).astype(int)]
        on = (looked[0] * inside).sum(axis=1) / np.maximum(rows, 1)
        gaps = inside[:, 1:]  # between a row and the next one
        between = ((looked[1:, :, :-1] * gaps).sum(axis=2) / np.maximum(rows - 1, 1)).max(axis=0)
        uneven = np.where(inside, looked[0], 0.0).max(axis=1) - np.where(inside, looked[0], 1.0).min(axis=1)
        last = at[np.arange(len(at)), np.maximum(rows - 1, 0)]
        contrast = on - between - 0.3 * uneven - 0.3 * (at[:, 0] - low_at + high_at - last > 1.3 * pitch)
        contrast[(rows < 3) | (rows > 15)] = -1.0
        k = int(contrast.argmax()) if len(contrast) else 0
        if len(contrast) and (best is None or contrast[k] > best[1]):
            best = (np.rint(at[k, : rows[k]]).astype(int).tolist(), float(contrast[k]))
    if best is None or best[1] <= 0.05:
        return None
    rows, contrast = best
    least = 0.7 * float(np.median(share[rows]))
    while len(rows) > 3 and share[rows[0]] < least:
        rows = rows[1:]
    while len(rows) > 3 and share[rows[-1]] < least:
        rows = rows[:-1]
    return _with_shifted_ends(share, rows, least), contrast


def _with_shifted_ends(share: np.ndarray, rows: list[int], least: float) -> list[int]:
    """Add a row above or below that lies a little nearer or further than the others, as rhythm strips often do."""
    pitch = (rows[-1] - rows[0]) / (len(rows) - 1)
    reach = int(0.2 * pitch)
    added = list(rows)
    for expected in (round(rows[0] - pitch), round(rows[-1] + pitch)):
        low = expected - reach
        if low < 0 or expected + reach >= len(share):
            continue
        at = low + int(share[low : expected + reach + 1].argmax())
        if share[at] >= least:
            added.append(at)
    return sorted(added)


def trace_span(flat: FlatPage, rows_mm: Sequence[float]) -> tuple[float, float] | None:
    """(first, last) x in millimetres at which at least half of the rows have ink near their baseline, without gaps."""
    has = []
    for y_mm in rows_mm:
        y = round((y_mm - flat.origin_mm[1]) * PX_PER_MM)
        band = flat.ink[max(0, y - 7 * PX_PER_MM) : max(1, y + 7 * PX_PER_MM)]
        has.append((band > 0.35).any(axis=0) if band.size else np.zeros(flat.ink.shape[1], bool))
    if not has:
        return None
    share = np.mean(has, axis=0)
    smooth = cv2.blur(share[None].astype(np.float32), (2 * PX_PER_MM + 1, 1))[0]
    inside = smooth > 0.5
    runs = np.flatnonzero(np.diff(np.concatenate([[0], inside.astype(np.int8), [0]]))).reshape(-1, 2)
    merged: list[list[int]] = []
    for start, stop in runs.tolist():
        if merged and start - merged[-1][1] < 8 * PX_PER_MM:
            merged[-1][1] = stop
        else:
            merged.append([start, stop])
    if not merged:
        return None
    start, stop = max(merged, key=lambda run: run[1] - run[0])
    return start / PX_PER_MM + flat.origin_mm[0], stop / PX_PER_MM + flat.origin_mm[0]


def page_from_rows(
    found: Pulses,
    rows_mm: Sequence[float],
    span_mm: tuple[float, float] | None,
    layout: str,
    strips: int,
    cabrera: bool = False,
    pulses: bool = True,
) -> PageSpec | None:
    """A page of this layout whose rows and pulses are where they were found, or None when that cannot be.

    The sheet itself is not seen: it gets the default margins.
    """
    own = LAYOUTS[layout][0]
    gain, speed = found.height_mm / PULSE_MV, found.width_mm / PULSE_S
    strip_s = 10.0 if speed < 40 else 5.0
    rows = np.array(rows_mm)
    pitch = float(np.polyfit(np.arange(own), rows[:own], 1)[0]) if own > 1 else 40.0
    fitted = rows[:own].mean() + pitch * (np.arange(len(rows)) - (own - 1) / 2)
    shift = float(np.mean(rows[own:] - fitted[own:])) if strips else 0.0
    if np.abs(rows[:own] - fitted[:own]).max() > 0.25 * pitch or pitch < 5.0 or abs(shift) > 0.75 * pitch:
        return None
    side, gap = _pulse_side(found, span_mm, strip_s * speed) if pulses else ("none", NO_PULSE_GAP_MM)
    left, first = 19.0 + gap, 24.5 + pitch / 2
    right = left + strip_s * speed + (found.width_mm + gap + 2.0 if side == "right" else 0.0)
    return PageSpec(
        layout=layout,
        rhythm=("II", "V1", "V5")[:strips],
        cabrera=cabrera,
        gain_mm_per_mv=gain,
        paper_speed_mm_per_s=speed,
        strip_s=strip_s,
        left_mm=left,
        first_baseline_mm=first,
        row_pitch_mm=pitch,
        strip_shift_mm=shift,
        width_mm=max(279.4, right + 8.0),
        height_mm=max(215.9, first + pitch * (len(rows) - 1) + max(0.0, shift) + 12.0),
        pulses=side,
        pulse_gap_mm=gap,
        pulse_foot_mm=1.5 if gap > 1.4 else 0.0,
        show_scale=False,
        dodge=False,
    )


def _pulse_side(found: Pulses, span_mm: tuple[float, float] | None, length_mm: float) -> tuple[str, float]:
    """Which end of the rows the pulses stand at, and the gap to the traces, from where the ink of the rows ends."""
    if span_mm is None:
        return "left", 3.0
    if found.x_mm > sum(span_mm) / 2:
        gap = found.x_mm - (span_mm[0] + length_mm)
        return "right", float(gap) if 0.0 <= gap < 12.0 else 3.0
    gap = span_mm[1] - length_mm - (found.x_mm + found.width_mm)
    if abs(gap) < 0.8:
        return "left", 0.0
    return "left", float(gap) if 0.0 < gap < 12.0 else 3.0
