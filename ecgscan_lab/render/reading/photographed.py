"""Read the waveform back from a photograph whose page was found: millivolts from the ink of a sheet laid flat.

A photograph is blurred, shadowed and compressed, so that the exact fit of `traces` has nothing to hold on to. What is
left is the ink of each column: of all ways through the picture the one that crosses least white is the trace, the
middle of its ink is the voltage, and where the pen turns round it is the far end of the ink, half a pen's width in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.photograph.fit import PageFit
from ecgscan_lab.render.photograph.rectify import PX_PER_MM, FlatPage, lay_flat
from ecgscan_lab.render.segments import Segment, page_segments, shown_samples

FAINT = 0.3
"""Ink below this share of a full stroke is paper grain, a shadow or a rest of the grid."""

LONGEST_HOLE_S = 0.06
"""Holes up to this long are a stroke that the camera lost; longer ones stay holes."""

_REACH = 1.6  # row pitches from its baseline within which a trace's ink is looked for
_HOME = 0.3  # cost of a column one row pitch from the baseline, in white pixels crossed
_CLIMB = 0.02  # cost of a pixel up or down through ink


class PaperRead(NamedTuple):
    """What was read off a photographed page.

    Attributes:
        leads_mv: float32 `[12, time]` in millivolts, rows in the order of `LEADS`; NaN where the page shows nothing or
            no ink was found.
        fs_hz: their sampling rate.
        share_read: trace ("I", ..., "II rhythm") -> share of its printed stretch in which ink was found.
    """

    leads_mv: np.ndarray
    fs_hz: float
    share_read: dict[str, float]


def read_photograph(pixels: np.ndarray, fit: PageFit, *, fs_hz: float = 100.0) -> PaperRead:
    """Read every lead of a photographed page.

    Args:
        pixels: the picture that was fitted, uint8 `[height, width, 3]`.
        fit: its fit, from `fit_page`.
        fs_hz: rate of the samples; the raster has one column a sample at 100 Hz and 25 mm/s.

    Returns:
        The leads, from the first printed second on; where a lead is shown twice the mean of both.

    Raises:
        ArgumentError: the rate is no rate.

    Properties: median correlation with the truth of 0.8 or more over a drawn page photographed with the `photo`
        preset (3 to 12 dB: steep strokes lose height); a stretch that the page does not show is NaN; no sample lies
        beyond the ink.
    """
    if not (np.isfinite(fs_hz) and 0 < fs_hz <= 2000):
        raise ArgumentError(f"a rate of {fs_hz} Hz", field="fs_hz", expected="above 0, at most 2000 Hz")
    laid = lay_flat(pixels, fit.crossings_mm, fit.page_map)
    segments = page_segments(fit.page)
    n_samples = round((fit.page.start_s + fit.page.strip_s) * fs_hz)
    total, count = np.zeros((len(LEADS), n_samples)), np.zeros((len(LEADS), n_samples), np.int64)
    share = {}
    for segment in segments:
        first, stop = shown_samples(segment, fs_hz, n_samples)
        mv = _read_segment(laid, fit, segment, np.arange(first, stop) / fs_hz)
        share[segment.name] = float(np.isfinite(mv).mean()) if len(mv) else 0.0
        lead = LEADS.index(segment.lead)
        total[lead, first:stop] += np.nan_to_num(mv)
        count[lead, first:stop] += np.isfinite(mv)
    leads_mv = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return PaperRead(leads_mv.astype(np.float32), float(fs_hz), share)


def _read_segment(laid: FlatPage, fit: PageFit, segment: Segment, seconds: np.ndarray) -> np.ndarray:
    """Millivolts of one stretch at some seconds of the recording; NaN without ink."""
    page = fit.page
    row, pitch = (segment.baseline_mm - laid.origin_mm[1]) * PX_PER_MM, page.pitch_mm * PX_PER_MM
    x_mm = segment.x0_mm + (seconds - segment.t0_s) * page.paper_speed_mm_per_s
    x = (x_mm - laid.origin_mm[0]) * PX_PER_MM
    height, width = laid.ink.shape
    y0, y1 = max(0, int(row - _REACH * pitch)), min(height, int(row + _REACH * pitch))
    x0, x1 = max(0, int(x[0])), min(width, int(x[-1]) + 1)
    if len(seconds) < 2 or y1 - y0 < 4 or x1 - x0 < 2:
        return np.full(len(seconds), np.nan)
    ink = laid.ink[y0:y1, x0:x1]
    away = np.abs(np.arange(y0, y1) + 0.5 - row) / pitch
    middle = y0 + _pen_centre(*_inked(ink, _follow(ink, away)))
    y = _bridged(middle, LONGEST_HOLE_S * page.paper_speed_mm_per_s * PX_PER_MM)
    centres = np.arange(x0, x1) + 0.5
    known = np.isfinite(y)
    if not known.any():
        return np.full(len(seconds), np.nan)
    at = np.interp(x, centres[known], y[known])
    holes = np.interp(x, centres, (~known).astype(np.float64)) > 0.5
    at[holes | (x < x0) | (x > x1)] = np.nan
    return np.asarray((row - at) / PX_PER_MM / segment.gain_mm_per_mv)


def _follow(ink: np.ndarray, away: np.ndarray) -> np.ndarray:
    """The row at which a trace leaves each column: the way through the picture that crosses least white.

    **Equation**: D_x(y) = min over k of D_(x-1)(k) + |C_x(y) - C_x(k)|, plus white_x(y) + HOME away(y), with C_x the
    cumulated cost of going up or down through column x; exact, by two running minima a column.

    Args:
        ink: `[height, width]`, 0 to 1.
        away: `[height]`, distance from the trace's own baseline in row pitches.
    """
    white = 1.0 - np.clip(ink / FAINT, 0.0, 1.0)
    climb = np.cumsum(white + _CLIMB, axis=0)
    stay = white + _HOME * away[:, None]
    cost = np.empty(ink.shape)
    before = np.zeros(len(ink))
    for x in range(ink.shape[1]):
        c = climb[:, x]
        down = c + np.minimum.accumulate(before - c)
        up = np.minimum.accumulate((before + c)[::-1])[::-1] - c
        cost[:, x] = before = np.minimum(down, up) + stay[:, x]
    path = np.empty(ink.shape[1], np.int64)
    y = int(before.argmin())
    for x in range(ink.shape[1] - 1, -1, -1):
        path[x] = y
        if x:
            y = int((cost[:, x - 1] + np.abs(climb[y, x] - climb[:, x])).argmin())
    return path


def _inked(ink: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top and bottom of the ink around a path in each column, to a fraction of a pixel; NaN where it crosses white.

    The ink is what hangs together with the path's own stroke, from where it came into the column to where it leaves.
    """
    top, bottom = np.full(len(path), np.nan), np.full(len(path), np.nan)
    for x, leaves in enumerate(path):
        comes = int(path[max(x - 1, 0)])
        low, high = sorted((comes, int(leaves)))
        column = ink[:, x]
        dark = np.flatnonzero(column[low : high + 1] > FAINT) + low
        if not len(dark):
            dark = np.flatnonzero(column[max(low - 1, 0) : high + 2] > FAINT) + max(low - 1, 0)
        if not len(dark):
            continue
        low, high = int(dark[0]), int(dark[-1])
        while low > 0 and column[low - 1] > FAINT:
            low -= 1
        while high < len(column) - 1 and column[high + 1] > FAINT:
            high += 1
        edge = (column[low - 1] if low else 0.0, column[high + 1] if high + 1 < len(column) else 0.0)
        top[x], bottom[x] = low + 1 - column[low] - edge[0], high + column[high] + edge[1]
    return top, bottom


def _pen_centre(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Where the pen was in each column: the middle of its ink, or its far end where it turned round there."""
    middle = (top + bottom) / 2
    half = np.nanmedian(bottom - top) / 2 if np.isfinite(top).any() else 0.0
    before, after = np.r_[middle[:1], middle[:-1]], np.r_[middle[1:], middle[-1:]]
    peak, valley = (before > middle) & (after > middle), (before < middle) & (after < middle)
    tall = bottom - top > 3 * half
    return np.where(tall & peak, top + half, np.where(tall & valley, bottom - half, middle))


def _bridged(y: np.ndarray, longest: float) -> np.ndarray:
    """Short holes filled in straight."""
    known = np.isfinite(y)
    if not known.any():
        return y
    filled = np.interp(np.arange(len(y)), np.flatnonzero(known), y[known])
    edges = np.flatnonzero(np.diff(np.r_[0, (~known).astype(np.int8), 0])).reshape(-1, 2)
    for start, stop in edges:
        if stop - start > longest or start == 0 or stop == len(y):
            filled[start:stop] = np.nan
    return filled
