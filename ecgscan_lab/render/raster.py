"""Anti-aliased column-coverage rasteriser: exact grids, pen strokes of any width, rectangles and text masks.

A trace is a function y(x), so its stroke is drawn column by column. Every pixel column is sampled at a few abscissae,
and at each of them the stroke of a round pen of radius r covers one interval

    [ min over |d| <= r of y(x + d) - sqrt(r^2 - d^2),  max over |d| <= r of y(x + d) + sqrt(r^2 - d^2) ]

whose overlap with each pixel, averaged over the abscissae, is the pixel's ink. Only inked pixels are touched, so the
cost goes with the ink, not with the page. y(x) is the polyline through the samples; peaks between abscissae are kept.

Pictures are flat uint8 buffers with strides, so that one compiled kernel writes `[height, width, 3]` and
`[3, height, width]` alike. The kernels release the GIL and are cached on disk.
"""

# Kernels are typed by Numba when they are compiled.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

import numpy as np
from numba import njit

FAR_PX = 1e7
"""Traces are held within this many pixels, so that absurd amplitudes stay ordinary float32 numbers."""


def sub_columns(pen_px: float) -> int:
    """Abscissae in a pixel column: thin pens need more, or steep strokes would change width with their phase."""
    return 4 if pen_px < 1.0 else 3 if pen_px < 2.0 else 2


@njit(cache=True, nogil=True)
def _line_transparency(start, stop, origin_px, step_px, line_px):
    """1 - ink coverage of each pixel [start, stop) under lines every `step_px` through `origin_px`, by exact area."""
    clear = np.ones(stop - start, np.float32)
    if step_px < 2.0:  # finer than the pixels can carry: an even tint instead of a moire pattern
        clear[:] = 1.0 - line_px / step_px
        return clear
    k = math.ceil((start - origin_px - line_px) / step_px)
    centre = origin_px + k * step_px
    while centre - line_px / 2 < stop:
        low, high = max(centre - line_px / 2, float(start)), min(centre + line_px / 2, float(stop))
        i = int(low)
        while i < high:
            clear[i - start] -= max(0.0, min(high, i + 1.0) - max(low, float(i)))
            i += 1
        k += 1
        centre = origin_px + k * step_px
    return clear


@njit(cache=True, nogil=True)
def copy_values(target, source):
    """`target[:] = source` for flat arrays of one length, whose check of shapes would take seconds to compile."""
    for i in range(target.shape[0]):
        target[i] = source[i]


@njit(cache=True, nogil=True)
def _mix(line, minor_y, major_y, paper, minor, major):
    """One row of paper: thin lines over the sheet, thick lines over both, each by its transparency."""
    both_y = minor_y * major_y
    for i in range(line.shape[0]):
        line[i] = np.uint8(np.int32(major[i] + major_y * minor[i] + both_y * paper[i]))


@njit(cache=True, nogil=True)
def _fill_paper(buffer, frame, colours, grid):
    """Plain paper everywhere, and the grid inside the page's rectangle."""
    height, width, row_stride, _, channel_stride, y0, y1, x0, x1 = frame
    origin_x, origin_y, minor_step, minor_line, major_step, major_line = grid
    minor_x = _line_transparency(x0, x1, origin_x, minor_step, minor_line)
    major_x = _line_transparency(x0, x1, origin_x, major_step, major_line)
    minor_y = _line_transparency(y0, y1, origin_y, minor_step, minor_line)
    major_y = _line_transparency(y0, y1, origin_y, major_step, major_line)
    common_minor_y = np.float32(0.0)
    for clear in minor_y:
        common_minor_y = max(common_minor_y, clear)
    # One run of a row: all three channels when they lie side by side, else one channel.
    runs, channels = (1, 3) if channel_stride == 1 else (3, 1)
    n = (x1 - x0) * channels
    paper, minor, major = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n, np.float32)
    between, sheet = np.empty(n, np.uint8), np.empty(width * channels, np.uint8)
    for run in range(runs):
        for i in range(n):
            x, channel = i // channels, run + i % channels
            paper[i] = (colours[0, channel] - colours[1, channel]) * minor_x[x] * major_x[x]
            minor[i] = (colours[1, channel] - colours[2, channel]) * major_x[x]
            major[i] = colours[2, channel] + np.float32(0.5)
        for i in range(width * channels):
            sheet[i] = np.uint8(colours[0, run + i % channels] + np.float32(0.5))
        _mix(between, common_minor_y, np.float32(1.0), paper, minor, major)
        for y in range(height):
            first = y * row_stride + run * channel_stride
            row = buffer[first : first + width * channels]
            if y < y0 or y >= y1:
                copy_values(row, sheet)
                continue
            copy_values(row[: x0 * channels], sheet)
            copy_values(row[x1 * channels :], sheet)
            line = row[x0 * channels : x1 * channels]
            if minor_y[y - y0] == common_minor_y and major_y[y - y0] == 1.0:
                copy_values(line, between)  # most rows cross no horizontal line
            else:
                _mix(line, minor_y[y - y0], major_y[y - y0], paper, minor, major)


@njit(cache=True, nogil=True)
def _blend(buffer, i, channel_stride, colours, alpha):
    """Mix ink into one pixel; `alpha` is an integer from 0 to 256."""
    for channel in range(3):
        old = np.int32(buffer[i])
        buffer[i] = np.uint8((old * (256 - alpha) + np.int32(colours[3, channel]) * alpha + 128) >> 8)
        i += channel_stride


@njit(cache=True, nogil=True)
def _fill_box(buffer, frame, colours, x_low, y_low, x_high, y_high):
    """Ink a rectangle by exact area coverage, inside the page."""
    _, _, row_stride, column_stride, channel_stride, y0, y1, x0, x1 = frame
    x_low, x_high = max(x_low, float(x0)), min(x_high, float(x1))
    y_low, y_high = max(y_low, float(y0)), min(y_high, float(y1))
    if x_low >= x_high or y_low >= y_high:
        return
    for y in range(int(y_low), math.ceil(y_high)):
        cover_y = min(y_high, y + 1.0) - max(y_low, float(y))
        for x in range(int(x_low), math.ceil(x_high)):
            cover = cover_y * (min(x_high, x + 1.0) - max(x_low, float(x)))
            i = y * row_stride + x * column_stride
            _blend(buffer, i, channel_stride, colours, np.int32(cover * 256 + 0.5))


@njit(cache=True, nogil=True)
def _stamp(buffer, frame, colours, mask, x, y):
    """Ink a text mask `[height, width]` with its top left pixel at (x, y), inside the page."""
    _, _, row_stride, column_stride, channel_stride, y0, y1, x0, x1 = frame
    for j in range(max(0, y0 - y), min(mask.shape[0], y1 - y)):
        for k in range(max(0, x0 - x), min(mask.shape[1], x1 - x)):
            value = np.int32(mask[j, k])
            if value > 0:
                i = (y + j) * row_stride + (x + k) * column_stride
                _blend(buffer, i, channel_stride, colours, value + (value >> 7))


@njit(cache=True, nogil=True)
def _sample_trace(samples, x_first, dx, baseline, px_per_mv, first_column, n_sub, top, bottom):
    """Height of the polyline at sub-column centres, widened by the peaks in between; NaN where there is no trace."""
    n = samples.shape[0]
    scale = 1.0 / (n_sub * dx)
    offset = ((first_column + 0.5) / n_sub - x_first) / dx
    for j in range(top.shape[0]):
        u = offset + j * scale
        i = math.floor(u)
        y = np.nan
        if i >= 0 and i + 1 < n:
            y = baseline - px_per_mv * (samples[i] + (u - i) * (samples[i + 1] - samples[i]))
            if not math.isfinite(y):
                y = np.nan
        top[j] = bottom[j] = min(max(y, -FAR_PX), FAR_PX) if y == y else np.nan
    # Peaks, and both ends of every stretch (a neighbour is NaN or absent), lie between the centres: keep them too.
    # Written with selections instead of branches, which noise would make unpredictable.
    for i in range(n):
        here = samples[i]
        rise, fall = here - samples[max(i - 1, 0)], samples[min(i + 1, n - 1)] - here
        peak = baseline - px_per_mv * here
        kept = (not rise * fall > 0.0) & math.isfinite(peak)
        held = np.float32(min(max(peak, -FAR_PX), FAR_PX))
        j = int((x_first + i * dx) * n_sub) - first_column
        top[j] = held if kept & (not top[j] <= held) else top[j]
        bottom[j] = held if kept & (not bottom[j] >= held) else bottom[j]


@njit(cache=True, nogil=True)
def _widen(edge, sign, radius_sub, n_sub, out):
    """Outer edge of the stroke of a round pen along `edge`: the upper one for sign -1 (y points down), else the lower.

    NaN compares false, so that gaps in `edge` never contribute.
    """
    n, reach = edge.shape[0], int(radius_sub)
    beyond = np.float32(radius_sub - reach)
    out[:] = np.nan
    core = out[reach + 1 : n - reach - 1]
    core[:] = -1e30
    for k in range(-reach, reach + 1):
        offset = np.float32(math.sqrt(max(radius_sub * radius_sub - k * k, 0.0)) / n_sub)
        shifted = edge[reach + 1 + k : n - reach - 1 + k]
        for j in range(core.shape[0]):
            y = sign * shifted[j] + offset
            core[j] = y if y > core[j] else core[j]
    # The pen's rim falls between two abscissae: interpolate there, so that steep strokes get their full width.
    for side in (-1, 1):
        inner = edge[reach + 1 + side * reach : n - reach - 1 + side * reach]
        outer = edge[reach + 1 + side * (reach + 1) : n - reach - 1 + side * (reach + 1)]
        for j in range(core.shape[0]):
            y = sign * (inner[j] + beyond * (outer[j] - inner[j]))
            core[j] = y if y > core[j] else core[j]
    for j in range(n):
        out[j] *= sign


@njit(cache=True, nogil=True)
def _ink_column(buffer, frame, colours, x, upper, lower, first, n_sub, cover, row_top, row_bottom):
    """Ink one pixel column from its sub-columns' intervals, and note the rows it reaches."""
    _, _, row_stride, column_stride, channel_stride, y0, y1, _, _ = frame
    y_low, y_high = float(y1), float(y0)
    for j in range(first, first + n_sub):
        if upper[j] < lower[j]:
            y_low, y_high = min(y_low, upper[j]), max(y_high, lower[j])
    y_low, y_high = max(y_low, float(y0)), min(y_high, float(y1))
    if y_low >= y_high:
        return
    row_top[x], row_bottom[x] = min(row_top[x], y_low), max(row_bottom[x], y_high)
    start, stop = int(y_low), math.ceil(y_high)
    for y in range(start, stop):
        cover[y] = 0.0
    for j in range(first, first + n_sub):
        low, high = max(upper[j], float(y0)), min(lower[j], float(y1))
        if low < high:
            i, last = int(low), int(high)
            if i == last:
                cover[i] += high - low
            else:
                cover[i] += i + 1 - low
                for y in range(i + 1, last):
                    cover[y] += 1.0
                if last < y1:
                    cover[last] += high - last
    for y in range(start, stop):
        alpha = np.int32(cover[y] * (256.0 / n_sub) + 0.5)
        _blend(buffer, y * row_stride + x * column_stride, channel_stride, colours, alpha)


@njit(cache=True, nogil=True)
def _draw_trace(buffer, frame, colours, samples, place, pen, cover, row_top, row_bottom):
    """Stroke one segment; `place`: x of the first sample, px a sample, baseline, px per mV; `pen`: width, n_sub."""
    x_first, dx, baseline, px_per_mv = place
    n_sub = int(pen[1])
    radius_sub = pen[0] / 2 * n_sub
    margin = int(radius_sub) + 2
    first_column = int(x_first * n_sub) - 2 * margin
    first_column -= first_column % n_sub
    n = int(samples.shape[0] * dx * n_sub) + 4 * margin + 2 * n_sub
    n += -n % n_sub
    top, bottom = np.empty(n, np.float32), np.empty(n, np.float32)
    _sample_trace(samples, x_first, dx, baseline, px_per_mv, first_column, n_sub, top, bottom)
    upper, lower = np.empty(n, np.float32), np.empty(n, np.float32)
    _widen(top, np.float32(-1.0), radius_sub, n_sub, upper)
    _widen(bottom, np.float32(1.0), radius_sub, n_sub, lower)
    for first in range(0, n, n_sub):
        x = (first_column + first) // n_sub
        if frame[7] <= x < frame[8]:
            _ink_column(buffer, frame, colours, x, upper, lower, first, n_sub, cover, row_top, row_bottom)


@njit(cache=True, nogil=True)
def _free_place(row_top, row_bottom, places, text_height, text_width, clearance):
    """The first of `places` (x, y) where a text meets no trace, else the one that meets the least ink."""
    best, best_ink = 0, np.inf
    rows, width = row_top.shape
    for k in range(places.shape[0]):
        low, high = places[k, 1] - clearance, places[k, 1] + text_height + clearance
        start, stop = max(places[k, 0] - clearance, 0), min(places[k, 0] + text_width + clearance, width)
        ink = 0.0
        for row in range(rows):
            for x in range(start, stop):
                ink += max(0.0, min(row_bottom[row, x], high) - max(row_top[row, x], low))
        if ink < best_ink:
            best, best_ink = k, ink
        if ink == 0.0:
            break
    return best


@njit(cache=True, nogil=True)
def draw(buffer, frame, colours, grid, signal, segments, dx, pen, bars, atlas, masks, places, clearance, chosen):
    """Draw one page into `buffer`.

    Args:
        buffer: uint8, the flat picture; every byte is written.
        frame: (height, width, row stride, column stride, channel stride, y0, y1, x0, x1); the last four bound the page.
        colours: float32 `[4, 3]`, paper, thin line, thick line, ink.
        grid: (x, y of a crossing, thin step, thin line width, thick step, thick line width) in pixels.
        signal: float32 `[lead, time]` in millivolts; values that are not finite leave gaps.
        segments: float64 `[segment, 7]`: lead, row, x of the first sample, baseline, first sample, last + 1 sample,
            pixels a millivolt (negative: upside down).
        dx: pixels a sample.
        pen: (width in pixels, sub-columns in a pixel).
        bars: float64 `[bar, 4]`, inked rectangles (x0, y0, x1, y1).
        atlas: uint8, text masks one after another.
        masks: int64 `[text, 3]`: offset into the atlas, height, width.
        places: int64 `[text, place, 2]`: where the top left corner (x, y) of each text may lie, best first.
        clearance: pixels to keep between a text and the traces.
        chosen: int64 `[text, 2]`, receives the place of each text.
    """
    _fill_paper(buffer, frame, colours, grid)
    rows = 0
    for s in range(segments.shape[0]):
        rows = max(rows, int(segments[s, 1]) + 1)
    row_top = np.full((rows, frame[1]), np.float32(np.inf))
    row_bottom = np.full((rows, frame[1]), np.float32(-np.inf))
    cover = np.empty(frame[0] + 1, np.float32)
    for s in range(segments.shape[0]):
        row, first, stop = int(segments[s, 1]), int(segments[s, 4]), int(segments[s, 5])
        samples = signal[int(segments[s, 0]), first:stop]
        place = (segments[s, 2], dx, segments[s, 3], segments[s, 6])
        _draw_trace(buffer, frame, colours, samples, place, pen, cover, row_top[row], row_bottom[row])
    for b in range(bars.shape[0]):
        _fill_box(buffer, frame, colours, bars[b, 0], bars[b, 1], bars[b, 2], bars[b, 3])
    for t in range(masks.shape[0]):
        offset, height, width = masks[t]
        place = _free_place(row_top, row_bottom, places[t], height, width, clearance)
        chosen[t, 0], chosen[t, 1] = places[t, place, 0], places[t, place, 1]
        mask = atlas[offset : offset + height * width].reshape((height, width))
        _stamp(buffer, frame, colours, mask, chosen[t, 0], chosen[t, 1])


@njit(cache=True, nogil=True)
def draw_coverage(buffer, frame, samples, place, pen):
    """Ink one trace white on black: its coverage, 0 to 255, in a `[height, width]` buffer of zeros."""
    colours = np.full((4, 3), np.float32(255.0))
    cover = np.empty(frame[0] + 1, np.float32)
    row_top = np.full(frame[1], np.float32(np.inf))
    row_bottom = np.full(frame[1], np.float32(-np.inf))
    _draw_trace(buffer, frame, colours, samples, place, pen, cover, row_top, row_bottom)


@njit(cache=True, nogil=True)
def largest_amplitude(signal):
    """Largest magnitude of the finite values of a `[lead, time]` signal."""
    largest = 0.0
    for lead in range(signal.shape[0]):
        for i in range(signal.shape[1]):
            value = abs(signal[lead, i])
            if value > largest and math.isfinite(value):
                largest = value
    return largest
