"""Parameters and a clean page in, a degraded picture out."""

from __future__ import annotations

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade.capture import capture
from ecgscan_lab.render.degrade.params import DegradeParams
from ecgscan_lab.render.degrade.warp import make_lattice, warp
from ecgscan_lab.types import PageMap


def _check(clean: np.ndarray, params: DegradeParams, size: tuple[int, int]) -> None:
    if not isinstance(params, DegradeParams):
        raise ArgumentError(f"params cannot be {type(params).__name__}", field="params", expected="DegradeParams")
    if not isinstance(clean, np.ndarray) or clean.dtype != np.uint8 or clean.ndim != 3 or clean.shape[2] != 3:
        what = f"{clean.dtype} {clean.shape}" if isinstance(clean, np.ndarray) else type(clean).__name__
        raise ArgumentError(f"cannot degrade {what}", field="clean", expected="uint8 [height, width, 3]")
    if not params.moves and clean.shape[:2] != tuple(size):
        raise ArgumentError(
            f"a clean page of {clean.shape[:2]} is no picture of {tuple(size)}",
            field="clean",
            expected="the size that clean_size gives",
        )


def apply_params(
    clean: np.ndarray,
    params: DegradeParams,
    clean_map: PageMap,
    page_map: PageMap,
    page_mm: tuple[float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """Degrade a clean page.

    Args:
        clean: uint8 `[h2, w2, 3]`, drawn at `clean_size(params, size)`; it is not changed.
        params: from `sample_params`, or made by hand.
        clean_map: sheet to clean pixels.
        page_map: sheet to degraded pixels, from `sheet_map`.
        page_mm: (width, height) of the sheet.
        size: (height, width) of the result.

    Returns:
        uint8 `[height, width, 3]`, a new array.

    Raises:
        ArgumentError: the clean page has another dtype or shape.

    Properties: `DegradeParams()` changes no pixel; same parameters, same pixels, whatever the thread; pixels follow
    `page_map` within half a pixel.
    """
    _check(clean, params, size)
    lattice = make_lattice(page_map, size) if params.bends else None
    picture = warp(clean, clean_map, page_map, size, lattice) if params.moves else clean
    picture = capture(picture, params)
    return picture.copy() if picture is clean else picture
