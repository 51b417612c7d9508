"""A page settled in pixels: where every stroke, rectangle and letter goes; kernels and ground truth read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ecgscan_lab.render import paper, raster
from ecgscan_lab.render.framing import page_frame
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.segments import (
    LEAD_ROW,
    TICK_WIDTH_MM,
    Segment,
    page_segments,
    pulse_boxes_mm,
    separator_lines_mm,
    shown_samples,
)

MARGIN_MM = 8.0
TEXT_CLEARANCE_MM = 0.6
CAP_HEIGHT = 0.73
"""Height of a capital as a share of the font size."""

NAME_SHIFTS_MM = ((0, 0), (0, -3.5), (0, 14), (6, 0), (6, 14), (12, 0), (12, 14), (18, 0), (18, 14))
"""Shifts (right, down) of a lead name from its usual place; the first one that meets no trace is taken."""

TIGHT_SHIFTS_MM = ((0, 0), (0, -1.5), (4, 0), (8, 0), (12, 0), (16, 0), (20, 0), (24, 0), (28, 0))
"""The same where rows are so close that a name below its trace would seem to belong to the next one."""

TIGHT_PITCH_MM = 25.0


class Print(NamedTuple):
    """A line of print: the name of its box, the text, its top left corner and size in mm, its font, may it move."""

    name: str
    text: str
    x_mm: float
    y_mm: float
    size_mm: float
    font: str
    movable: bool = False


@dataclass(frozen=True, eq=False)
class Texts:
    """All lettering of a page: masks one after another, their (offset, height, width), and where each may stand."""

    atlas: np.ndarray
    masks: np.ndarray
    places: np.ndarray
    clearance: int
    prints: tuple[Print, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A page settled in pixels for one picture size, rate and length: kernels and ground truth both read it.

    Attributes:
        size: (height, width) of the picture.
        px_per_mm: scale.
        bounds: (y0, y1, x0, x1) of the sheet in whole pixels.
        colours: float32 `[4, 3]`, paper, thin line, thick line, ink.
        grid: (x, y of a crossing, thin step, thin line width, thick step, thick line width) in pixels.
        segments: float64 `[segment, 7]`: lead, row, x of the first sample, baseline, first sample, last + 1 sample,
            pixels a millivolt (negative: upside down).
        dx: pixels a sample.
        pen: (width in pixels, sub-columns in a pixel).
        bars: float64 `[bar, 4]`, inked rectangles (x0, y0, x1, y1): five a pulse, then separators and the frame.
        n_pulses: number of pulses among the bars.
        texts: the lettering.
    """

    size: tuple[int, int]
    px_per_mm: float
    bounds: tuple[int, int, int, int]
    colours: np.ndarray
    grid: tuple[float, ...]
    segments: np.ndarray
    dx: float
    pen: tuple[float, int]
    bars: np.ndarray
    n_pulses: int
    texts: Texts


def page_prints(page: PageSpec) -> tuple[Print, ...]:
    """Every line of print on a page: lead names, scale, header, footer, notes.

    Example:
        >>> [line.text for line in page_prints(PageSpec(show_lead_names=False, header="Ward 3"))]
        ['25 mm/s    10 mm/mV', 'SYNTHETIC PAGE   Ward 3']
    """
    prints: list[Print] = []
    if page.show_lead_names:
        rise_mm = page.name_rise_mm + CAP_HEIGHT * page.text_mm
        for segment in page_segments(page):
            x_mm, y_mm = segment.x0_mm + page.name_indent_mm, segment.baseline_mm - rise_mm
            prints.append(Print(f"text {segment.name}", segment.label, x_mm, y_mm, page.text_mm, page.font, page.dodge))
    if page.show_scale:
        y_mm = page.height_mm - MARGIN_MM - page.text_mm
        prints.append(Print("text scale", _scale_text(page), page.left_mm, y_mm, page.text_mm, page.font))
    step_mm = 1.35 * page.header_mm
    for name, block, first_mm in (
        ("header", None if page.header is None else f"SYNTHETIC PAGE   {page.header}", 4.0),
        ("footer", page.footer, page.height_mm - 2.0 - step_mm * ((page.footer or "").count("\n") + 1)),
    ):
        for line, text in enumerate([] if block is None else block.split("\n")):
            y_mm = first_mm + line * step_mm
            prints.append(Print(f"text {name} {line + 1}", text, page.left_mm, y_mm, page.header_mm, page.font))
    for number, note in enumerate(page.notes, start=1):
        prints.append(Print(f"text note {number}", *note))
    return tuple(prints)


def _scale_text(page: PageSpec) -> str:
    gains = [page.gain_mm_per_mv, page.chest_gain_mm_per_mv]
    if gains[1] in (None, gains[0]):
        return f"{page.paper_speed_mm_per_s:g} mm/s    {gains[0]:g} mm/mV"
    return f"{page.paper_speed_mm_per_s:g} mm/s    limb {gains[0]:g} mm/mV    chest {gains[1]:g} mm/mV"


def _colours(page: PageSpec) -> np.ndarray:
    palette = paper.PALETTES[page.grid]
    colours = np.array((palette.paper, palette.minor, palette.major, page.ink), np.float32)
    colours[1:3] = np.clip(colours[0] + (colours[1:3] - colours[0]) * page.grid_strength, 0, 255)
    return colours


def page_bars_mm(page: PageSpec) -> tuple[np.ndarray, int]:
    """Every straight stroke of a page as rectangles that touch but never overlap, and how many pulses they hold.

    Returns:
        float64 `[bar, 4]` (x0, y0, x1, y1) in millimetres: five a pulse (foot, rise, top, fall, foot), then separators,
        then the frame.
    """
    half, foot = page.trace_width_mm / 2, page.pulse_foot_mm
    bars = []
    pulses = pulse_boxes_mm(page)
    for rise, high, fall, base in pulses:
        bars += [
            (rise - half - foot, base - half, rise - half, base + half),
            (rise - half, high - half, rise + half, base + half),
            (rise + half, high - half, fall - half, high + half),
            (fall - half, high - half, fall + half, base + half),
            (fall + half, base - half, fall + half + foot, base + half),
        ]
    tick = (TICK_WIDTH_MM if page.separators == "tick" else page.trace_width_mm) / 2
    bars += [(x - tick, top, x + tick, bottom) for x, top, bottom in separator_lines_mm(page)]
    if page.frame:
        w, h = page.width_mm, page.height_mm
        bars += [(0, 0, w, half), (0, h - half, w, h), (0, half, half, h - half), (w - half, half, w, h - half)]
    return np.array(bars, np.float64).reshape(-1, 4), len(pulses)


@lru_cache(maxsize=256)
def _atlas(texts: tuple[tuple[str, float, str], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Masks of several (text, height in pixels, font) as one flat array, and the (offset, height, width) of each."""
    masks = [paper.text_mask(*text) for text in texts]
    sizes = np.array([mask.shape for mask in masks], np.int64).reshape(-1, 2)
    ends = np.cumsum(sizes.prod(axis=1))
    flat = np.concatenate([np.zeros(0, np.uint8), *(mask.ravel() for mask in masks)])
    return flat, np.column_stack([np.concatenate([[0], ends[:-1]])[: len(masks)], sizes])


def _place_texts(page: PageSpec, to_px: tuple[float, float, float]) -> Texts:
    scale, left, top = to_px
    prints = page_prints(page)
    atlas, masks = _atlas(tuple((p.text, round(p.size_mm * scale * 4) / 4, p.font) for p in prints))
    corners = np.array([(p.x_mm, p.y_mm) for p in prints]).reshape(-1, 1, 2)
    shifts_mm = NAME_SHIFTS_MM if page.pitch_mm >= TIGHT_PITCH_MM else TIGHT_SHIFTS_MM
    places = corners.repeat(len(shifts_mm), axis=1)
    places[[p.movable for p in prints]] += np.array(shifts_mm)
    places = np.rint(places * scale + (left, top)).astype(np.int64)
    return Texts(atlas, masks, places, max(1, round(TEXT_CLEARANCE_MM * scale)), prints)


def _segment_row(
    page: PageSpec, segment: Segment, to_px: tuple[float, float, float], fs_hz: float, n_samples: int
) -> tuple[float, ...]:
    scale, left, top = to_px
    first, stop = shown_samples(segment, fs_hz, n_samples)
    x_first = left + scale * (segment.x0_mm + (first / fs_hz - segment.t0_s) * page.paper_speed_mm_per_s)
    baseline = top + segment.baseline_mm * scale
    return (LEAD_ROW[segment.lead], segment.row, x_first, baseline, first, stop, segment.gain_mm_per_mv * scale)


@lru_cache(maxsize=64)
def plan_page(page: PageSpec, size: tuple[int, int], fs_hz: float, n_samples: int) -> Plan:
    """Settle a page in pixels.

    Args:
        page: the page.
        size: (height, width) of the picture.
        fs_hz: rate of the recordings to draw.
        n_samples: their length.

    Returns:
        The plan; the last 64 are remembered.
    """
    to_px = scale, left, top = page_frame(page, size)
    rows = [_segment_row(page, segment, to_px, fs_hz, n_samples) for segment in page_segments(page)]
    bars_mm, n_pulses = page_bars_mm(page)
    pen_px = page.trace_width_mm * scale
    x_mm, y_mm = page.grid_phase_mm or (page.left_mm, page.baselines_mm[0])
    lines = (paper.MINOR_MM, paper.MINOR_LINE_MM, paper.MAJOR_MM, paper.MAJOR_LINE_MM)
    return Plan(
        size=size,
        px_per_mm=scale,
        bounds=(round(top), round(size[0] - top), round(left), round(size[1] - left)),
        colours=_colours(page),
        grid=(left + x_mm * scale, top + y_mm * scale, *(v * scale for v in lines)),
        segments=np.array(rows, np.float64).reshape(-1, 7),
        dx=page.paper_speed_mm_per_s * scale / fs_hz,
        pen=(pen_px, raster.sub_columns(pen_px)),
        bars=bars_mm * scale + (left, top, left, top),
        n_pulses=n_pulses,
        texts=_place_texts(page, to_px),
    )
