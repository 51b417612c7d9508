"""Bring a photographed page before an encoder: laid flat, or read and drawn again as the page it was trained on."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ecgscan_lab.errors import PageError
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.photograph.darkness import paper_light
from ecgscan_lab.render.photograph.fit import PageFit, fit_page
from ecgscan_lab.render.reading.photographed import read_photograph
from ecgscan_lab.render.renderer import draw_pages

LEAST_CONFIDENCE = 0.3
"""`fit_page` says that below about this the rows may be the wrong ones."""

LEAST_READ = 0.6
"""Share of the traces' places in which ink must be found before a page is drawn again."""

PX_PER_MM = 6
_PAPER_MM = 7.0  # wider than a large cell of the grid, so that no ink counts as shadow
_LARGEST_MM = 700.0


class FlatPicture(NamedTuple):
    """A page laid flat, uint8 RGB `[height, width, 3]`, and how well the page model fits, 0 to 1."""

    pixels: np.ndarray
    confidence: float


def find_page(pixels: np.ndarray, least_confidence: float = LEAST_CONFIDENCE) -> PageFit:
    """Find the page in a photograph or scan: the part that takes seconds, and that both ways of using it share.

    Args:
        pixels: uint8 `[height, width, 3]`, RGB.
        least_confidence: a fit below it is refused.

    Raises:
        PageError: no page is found, or the fit is doubtful.
    """
    fit = fit_page(pixels)
    if fit.confidence < least_confidence:
        raise PageError(
            f"the page is doubtful: confidence {fit.confidence:.2f}",
            field="pixels",
            expected=f"at least {least_confidence:g}",
            fix="photograph the page straight from above, or embed it as it is",
        )
    return fit


def flatten_picture(pixels: np.ndarray, fit: PageFit | None = None, *, px_per_mm: int = PX_PER_MM) -> FlatPicture:
    """Undo the turn, perspective and bend of a photographed page, and even out the light.

    The raster covers the fitted sheet and every crossing of the grid that was found, so that nothing printed is lost;
    what lies beyond the photograph is white.

    Args:
        pixels: uint8 `[height, width, 3]`, RGB.
        fit: where the page lies on it; None finds it (`find_page`).
        px_per_mm: resolution of the flat page.

    Returns:
        The flat page and the confidence of its fit.

    Raises:
        PageError: no page is found, the fit is doubtful, or the sheet would be larger than 70 cm.
    """
    fit = find_page(pixels) if fit is None else fit
    low = np.floor(np.minimum(fit.crossings_mm.min(axis=0), 0.0))
    high = np.ceil(np.maximum(fit.crossings_mm.max(axis=0), (fit.page.width_mm, fit.page.height_mm)))
    if (high - low).max() > _LARGEST_MM:
        raise PageError("the sheet is too large", field="pixels", expected=f"at most {_LARGEST_MM:g} mm")
    columns, rows = (high - low).astype(int).tolist()
    x, y = np.meshgrid(np.arange(columns + 1) + low[0], np.arange(rows + 1) + low[1])
    nodes = fit.page_map.to_px(np.column_stack([x.ravel(), y.ravel()])).astype(np.float32) - np.float32(0.5)
    step = 1.0 / px_per_mm  # exact at every millimetre, linear between
    places = cv2.warpAffine(
        nodes.reshape(rows + 1, columns + 1, 2),
        np.array([[step, 0.0, step / 2], [0.0, step, step / 2]]),
        (columns * px_per_mm, rows * px_per_mm),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    flat = cv2.remap(
        pixels, places[..., 0], places[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(255,) * 3
    )
    light = paper_light(flat.astype(np.float32), _PAPER_MM * px_per_mm)
    even = np.clip(flat * (255.0 / np.maximum(light, 1.0)), 0.0, 255.0).astype(np.uint8)
    return FlatPicture(even, float(fit.confidence))


def redraw_picture(
    pixels: np.ndarray,
    page: PageSpec,
    size: tuple[int, int],
    fit: PageFit | None = None,
    *,
    least_read: float = LEAST_READ,
) -> FlatPicture:
    """Read the leads of a photographed or scanned page, and draw them again, clean, as a page that an encoder knows.

    Whatever the sheet, its light and its printer: what the encoder sees is the page it was trained on, with the leads
    that could be read. What was not on the paper, or not read, is left white.

    Source: not part of ECG-Scan, which embeds the picture itself; errors of the reading are passed on to the encoder.

    Args:
        pixels: uint8 `[height, width, 3]`, RGB.
        page, size: the page to draw, and its (height, width) in pixels.
        fit: where the page lies on the picture; None finds it (`find_page`).
        least_read: mean share of the traces' places in which ink must have been found.

    Returns:
        The page drawn again, uint8 `[*size, 3]`, and the confidence of the fit.

    Raises:
        PageError: no page is found, the fit is doubtful, or too little ink was found where traces should be.
    """
    fit = find_page(pixels) if fit is None else fit
    read = read_photograph(pixels, fit)
    found = float(np.mean(list(read.share_read.values())))
    if found < least_read:
        raise PageError(
            f"ink was found in {100 * found:.0f} % of the places of the traces",
            field="pixels",
            expected=f"at least {100 * least_read:.0f} %",
            fix="photograph the page from closer, or embed it as it is",
        )
    return FlatPicture(draw_pages(read.leads_mv[None], read.fs_hz, page, size)[0], float(fit.confidence))
