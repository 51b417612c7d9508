"""What a page model expects to be inked, and how well a flattened picture agrees."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.photograph.rectify import PX_PER_MM, FlatPage
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.types import EcgRecord

COARSE = 2
"""Raster pixels averaged into one for the search over all places."""

_BAND_MM, _BAND = 2.5, 0.25


def page_template(page: PageSpec, record: EcgRecord | None = None) -> np.ndarray:
    """Expected ink at `PX_PER_MM`, float32: print and pulses as drawn, traces as a record tells, else a soft band."""
    bare = replace(page, grid="none", ink=(0, 0, 0), header=None, frame=False)
    size = (round(page.height_mm * PX_PER_MM), round(page.width_mm * PX_PER_MM))
    fs_hz = 100.0 if record is None else record.fs_hz
    n_samples = int((page.start_s + page.strip_s) * fs_hz) + 1
    blank = EcgRecord("blank", np.full((len(LEADS), n_samples), np.nan, np.float32), fs_hz=fs_hz)
    drawn = draw_page(blank if record is None else record, bare, size=size)
    ink: np.ndarray = 1.0 - drawn.pixels[..., 0].astype(np.float32) / 255.0
    ink = cv2.GaussianBlur(ink, (0, 0), 0.5 * PX_PER_MM)
    band = np.zeros_like(ink)
    left, right = (round(v * PX_PER_MM) for v in (page.left_mm, page.right_mm))
    for y in page.baselines_mm:
        row = int(np.clip(round(y * PX_PER_MM), 0, size[0] - 1))
        band[row, left:right] = 1.0
    band = cv2.GaussianBlur(band, (0, 0), _BAND_MM * PX_PER_MM)
    return ink + _BAND * band / max(float(band.max()), 1e-6)


def template_score(flat: FlatPage, page: PageSpec, shift_mm: np.ndarray, record: EcgRecord | None = None) -> float:
    """Correlation of the expected with the found ink, with the page laid at `shift_mm`; -1 to 1."""
    template = page_template(page, record)
    x, y = np.rint((np.asarray(shift_mm) - flat.origin_mm) * PX_PER_MM).astype(int)
    height, width = flat.ink.shape
    y0, y1, x0, x1 = max(0, y), min(height, y + template.shape[0]), max(0, x), min(width, x + template.shape[1])
    if y1 - y0 < 20 or x1 - x0 < 20:
        return -1.0
    expected = np.zeros_like(flat.ink)
    expected[y0:y1, x0:x1] = template[y0 - y : y1 - y, x0 - x : x1 - x]
    found = cv2.GaussianBlur(flat.ink, (0, 0), 0.5 * PX_PER_MM)
    a, b = expected[flat.known], found[flat.known]
    a, b = a - a.mean(), b - b.mean()
    return float((a @ b) / (np.sqrt((a @ a) * (b @ b)) + 1e-9))


def best_shift(flat: FlatPage, page: PageSpec, record: EcgRecord | None = None) -> tuple[float, np.ndarray]:
    """Search all places of a page on the raster.

    Returns:
        (correlation there, shift from the page's millimetres to the raster's).
    """
    template = page_template(page, record)
    found = cv2.GaussianBlur(flat.ink, (0, 0), 0.5 * PX_PER_MM)
    rough = _correlate(_coarse(found), _coarse(template))
    lag = np.array(np.unravel_index(int(rough.argmax()), rough.shape)) - (np.array(_coarse(template).shape) - 1)
    shift = lag[::-1] * COARSE / PX_PER_MM + np.array(flat.origin_mm)
    shift = _polish(found, template, shift, flat)
    return template_score(flat, page, shift, record), shift


def _polish(found: np.ndarray, template: np.ndarray, shift: np.ndarray, flat: FlatPage) -> np.ndarray:
    """Move by up to a millimetre to the best agreement, to a fraction of a raster pixel."""
    x, y = np.rint((shift - flat.origin_mm) * PX_PER_MM).astype(int)
    reach = PX_PER_MM
    height, width = found.shape
    values = np.zeros((2 * reach + 1, 2 * reach + 1))
    zero = template - template.mean()
    for i in range(-reach, reach + 1):
        for j in range(-reach, reach + 1):
            top, left = y + i, x + j
            y0, y1 = max(0, top), min(height, top + template.shape[0])
            x0, x1 = max(0, left), min(width, left + template.shape[1])
            if y1 > y0 and x1 > x0:
                values[i + reach, j + reach] = float(
                    np.vdot(zero[y0 - top : y1 - top, x0 - left : x1 - left], found[y0:y1, x0:x1])
                )
    i, j = divmod(int(values.argmax()), values.shape[1])
    fine = np.array([_vertex(values[i], j), _vertex(values[:, j], i)])
    return (np.array([x + j - reach, y + i - reach]) + fine) / PX_PER_MM + np.array(flat.origin_mm)


def _vertex(values: np.ndarray, at: int) -> float:
    """Top of the parabola through a maximum and its neighbours, as an offset from the maximum."""
    if not 0 < at < len(values) - 1:
        return 0.0
    low, mid, high = values[at - 1 : at + 2]
    bend = low - 2 * mid + high
    return float(np.clip(0.5 * (low - high) / bend, -0.5, 0.5)) if bend < 0 else 0.0


def _coarse(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (image.shape[1] // COARSE, image.shape[0] // COARSE), interpolation=cv2.INTER_AREA)


def _correlate(found: np.ndarray, template: np.ndarray) -> np.ndarray:
    """Cross-correlation at every lag at which they overlap."""
    from scipy.signal import fftconvolve

    zero = template - template.mean()
    return fftconvolve(found, zero[::-1, ::-1], mode="full")
