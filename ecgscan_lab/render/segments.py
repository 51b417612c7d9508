"""What a page shows: each stretch of each lead, the calibration pulses and the separators, in millimetres."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.layouts import LAYOUTS, lead_rows
from ecgscan_lab.render.page import PULSE_MV, PULSE_S, PageSpec

TICK_MM, TICK_WIDTH_MM = 6.3, 0.6
"""Height and width of the short mark that separates two leads of a row."""

LEAD_ROW = {lead: i for i, lead in enumerate(LEADS)}
"""Row of each lead in a `[12, time]` signal."""


class Segment(NamedTuple):
    """One stretch of one lead: `name` ("II rhythm" for a strip) shows `lead` from t0_s to t1_s of the recording.

    `gain_mm_per_mv` is negative where the lead is drawn upside down; `label` is what is printed beside it.
    """

    name: str
    lead: str
    row: int
    x0_mm: float
    baseline_mm: float
    t0_s: float
    t1_s: float
    gain_mm_per_mv: float
    label: str


@lru_cache(maxsize=256)
def page_segments(page: PageSpec) -> tuple[Segment, ...]:
    """Lay out the leads and the rhythm strips.

    Args:
        page: the page.

    Returns:
        Segments row by row from the top, rhythm strips last; hidden leads have none.

    Example:
        >>> page_segments(PageSpec())[1]  # doctest: +NORMALIZE_WHITESPACE
        Segment(name='aVR', lead='aVR', row=0, x0_mm=81.5, baseline_mm=46.0, t0_s=2.5, t1_s=5.0, gain_mm_per_mv=10.0,
                label='aVR')
    """
    speed, baselines_mm = page.paper_speed_mm_per_s, page.baselines_mm
    column_s = page.strip_s / LAYOUTS[page.layout][1]
    parts = {lead: (low, min(high, column_s)) for lead, low, high in page.partial if low < column_s}
    segments = []
    for row, labels in enumerate(lead_rows(page.layout, page.cabrera)):
        for column, label in enumerate(labels):
            lead = label.lstrip("-")
            if lead in page.hidden:
                continue
            low_s, high_s = parts.get(lead, (0.0, column_s))
            x0_mm = page.left_mm + (column * column_s + low_s) * speed
            t0_s = page.start_s + (column * column_s if page.columns == "sequential" else 0.0)
            gain = page.gain_of(lead) * (-1.0 if label.startswith("-") else 1.0)
            span = (t0_s + low_s, t0_s + high_s)
            segments.append(Segment(lead, lead, row, x0_mm, baselines_mm[row], *span, gain, label))
    for row, lead in enumerate(page.rhythm, start=LAYOUTS[page.layout][0]):
        span = (page.start_s, page.start_s + page.strip_s)
        gain = page.gain_of(lead)
        segments.append(Segment(f"{lead} rhythm", lead, row, page.left_mm, baselines_mm[row], *span, gain, lead))
    return tuple(segments)


def pulse_boxes_mm(page: PageSpec) -> list[tuple[float, float, float, float]]:
    """Calibration pulses, one a row: (rising edge, top, falling edge, baseline) in millimetres, centres of the stroke.

    Empty when the page shows none. A pulse keeps its 0.2 s and 1 mV at any speed and gain; where limb and chest leads
    differ in gain, it shows the gain of the lead beside it.
    """
    if page.pulses == "none":
        return []
    width_mm = PULSE_S * page.paper_speed_mm_per_s
    rise_mm = (
        page.left_mm - page.pulse_gap_mm - width_mm if page.pulses == "left" else page.right_mm + page.pulse_gap_mm
    )
    rows = [*lead_rows(page.layout), *((lead,) for lead in page.rhythm)]
    beside = 0 if page.pulses == "left" else -1
    return [
        (rise_mm, y - PULSE_MV * page.gain_of(row[beside]), rise_mm + width_mm, y)
        for row, y in zip(rows, page.baselines_mm, strict=True)
    ]


def separator_lines_mm(page: PageSpec) -> list[tuple[float, float, float]]:
    """Marks between neighbouring leads of a row: (x, top, bottom) in millimetres, centres of the stroke."""
    rows, columns = LAYOUTS[page.layout]
    if page.separators == "none":
        return []
    half_mm = (TICK_MM if page.separators == "tick" else page.pitch_mm) / 2
    step_mm = page.strip_s / columns * page.paper_speed_mm_per_s
    return [
        (page.left_mm + column * step_mm, y - half_mm, y + half_mm)
        for y in page.baselines_mm[:rows]
        for column in range(1, columns)
    ]


def shown_samples(segment: Segment, fs_hz: float, n_samples: int) -> tuple[int, int]:
    """(first, last + 1) sample of a recording that a segment shows; equal when the recording ends before it."""
    first = min(math.ceil(segment.t0_s * fs_hz - 1e-6), n_samples)
    return first, max(first, min(math.ceil(segment.t1_s * fs_hz - 1e-6), n_samples))


def visible_samples(page: PageSpec, fs_hz: float, n_samples: int) -> np.ndarray:
    """Which samples of a recording a page shows anywhere: bool `[12, n_samples]`, rows in the order of `LEADS`.

    Example:
        >>> visible_samples(PageSpec(), 100.0, 1000).sum(axis=1)[:3].tolist()
        [250, 1000, 250]
    """
    visible = np.zeros((len(LEADS), n_samples), dtype=bool)
    for segment in page_segments(page):
        first, stop = shown_samples(segment, fs_hz, n_samples)
        visible[LEAD_ROW[segment.lead], first:stop] = True
    return visible
