"""From millimetres to pixels: the size of a picture, and where a flat page lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from ecgscan_lab.errors import PageError

if TYPE_CHECKING:
    from ecgscan_lab.render.page import PageSpec

MM_PER_INCH = 25.4
MAX_PIXELS = 100_000_000
MIN_SIDE_PX = 16


def page_size_px(page: PageSpec, size: Sequence[int] | None = None, dpi: float | None = None) -> tuple[int, int]:
    """Settle the size of the picture before any memory is taken.

    Args:
        page: the page.
        size: (height, width) in pixels, or None.
        dpi: pixels an inch, or None; without `size` and `dpi` it is 200.

    Returns:
        (height, width) in pixels.

    Raises:
        PageError: both were given, or the picture would be smaller than 16 pixels or larger than 100 megapixels.

    Example:
        >>> from ecgscan_lab.render.page import PageSpec
        >>> page_size_px(PageSpec()), page_size_px(PageSpec(), dpi=100)
        ((1700, 2200), (850, 1100))
    """
    if size is not None and dpi is not None:
        raise PageError("both size and dpi were given", field="size", expected="one of them")
    if size is None:
        dpi = 200.0 if dpi is None else dpi
        if isinstance(dpi, bool) or not isinstance(dpi, Real) or not 1.0 <= dpi <= 10_000.0:
            raise PageError(f"cannot draw at {dpi!r} dpi", field="dpi", expected="a number from 1 to 10000")
        size = (round(page.height_mm / MM_PER_INCH * dpi), round(page.width_mm / MM_PER_INCH * dpi))
    pair = isinstance(size, Sequence) and len(size) == 2
    whole = pair and all(isinstance(v, Integral) and not isinstance(v, bool) for v in size)
    if not whole or min(size) < MIN_SIDE_PX or int(size[0]) * int(size[1]) > MAX_PIXELS:
        raise PageError(
            f"cannot draw a picture of size {size!r}",
            field="size",
            expected=f"(height, width), each at least {MIN_SIDE_PX} pixels, at most {MAX_PIXELS // 10**6} megapixels",
        )
    return int(size[0]), int(size[1])


def page_frame(page: PageSpec, size: tuple[int, int]) -> tuple[float, float, float]:
    """Fit the page into `size` (height, width), keeping its shape: (px per mm, left, top) of the page in pixels."""
    px_per_mm = min(size[0] / page.height_mm, size[1] / page.width_mm)
    return px_per_mm, (size[1] - page.width_mm * px_per_mm) / 2, (size[0] - page.height_mm * px_per_mm) / 2


def page_homography(page: PageSpec, size: tuple[int, int]) -> np.ndarray:
    """The exact map from millimetres to pixels of a page centred in a picture, the rest of which is plain paper.

    Args:
        page: the page.
        size: (height, width) of the picture in pixels.

    Returns:
        float64 `[3, 3]`: (x_mm, y_mm, 1) -> (x_px, y_px, 1), where the centre of the top left pixel is (0.5, 0.5).

    Example:
        >>> from ecgscan_lab.render.page import PageSpec
        >>> page_homography(PageSpec(width_mm=300.0, height_mm=300.0), (600, 900)).tolist()
        [[2.0, 0.0, 150.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]
    """
    px_per_mm, left, top = page_frame(page, size)
    return np.array([[px_per_mm, 0.0, left], [0.0, px_per_mm, top], [0.0, 0.0, 1.0]])
