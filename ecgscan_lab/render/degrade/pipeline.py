"""Parameters and a clean page in, a degraded picture out."""

from __future__ import annotations

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade import scanning
from ecgscan_lab.render.degrade.capture import capture
from ecgscan_lab.render.degrade.handwriting import handwrite
from ecgscan_lab.render.degrade.light import add_glare, apply_gain, camera_gain, combine, expose, relief_gain
from ecgscan_lab.render.degrade.marks import press_stamp, print_barcode, stain, stick
from ecgscan_lab.render.degrade.params import DegradeParams
from ecgscan_lab.render.degrade.printing import paper_colour, photocopy, reprint
from ecgscan_lab.render.degrade.surroundings import draw_background, lay_on, throw_shadow
from ecgscan_lab.render.degrade.warp import Lattice, cut_to_sheet, lattice_step, make_lattice, sheet_mask, warp
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


def _needs_lattice(params: DegradeParams) -> bool:
    return params.bends or any(v is not None for v in (params.shadow, params.uneven_light, params.glare))


def light_step(params: DegradeParams, size: tuple[int, int]) -> int:
    """Pixels between lattice points: fine under folds, coarse where only soft light changes."""
    fine = lattice_step(size)
    return fine if params.bends else max(fine, max(size) // 112)


def _mark_sheet(
    clean: np.ndarray, params: DegradeParams, clean_map: PageMap, page_mm: tuple[float, float], px_per_mm: float
) -> np.ndarray:
    """What happened to the sheet before anyone photographed or scanned it."""
    picture = reprint(clean, params, px_per_mm)
    marks = (params.barcode, params.stamp, params.handwriting, params.sticker, params.stains)
    if picture is clean and any(mark is not None for mark in marks):
        picture = clean.copy()
    if params.barcode is not None:
        print_barcode(picture, params.barcode, clean_map, page_mm)
    if params.stamp is not None:
        press_stamp(picture, params.stamp, clean_map, page_mm)
    if params.handwriting is not None:
        handwrite(picture, params.handwriting, clean_map, page_mm)
    if params.photocopy is not None:
        picture = photocopy(picture, params.photocopy, px_per_mm)
    if params.sticker is not None:
        stick(picture, params.sticker, clean_map, page_mm)
    if params.stains is not None:
        stain(picture, params.stains, clean_map, page_mm)
    return picture


def _light(
    picture: np.ndarray,
    params: DegradeParams,
    page_map: PageMap,
    page_mm: tuple[float, float],
    lattice: Lattice | None,
) -> np.ndarray:
    """Shade the sheet, lay it on the table, and light both."""
    relief = camera = None
    if lattice is not None:
        relief, camera = relief_gain(lattice, params.light_deg), camera_gain(params, lattice)
        gain = expose(combine(relief, camera))
        if gain is not None:
            picture = apply_gain(picture, gain, lattice)
    if params.background is not None:
        table = draw_background(params.background, page_map, picture.shape[:2])
        if lattice is not None and camera is not None:
            table = apply_gain(table, camera, lattice)
        mask = sheet_mask(page_map, page_mm, picture.shape[:2])
        if params.edge_shadow is not None:
            table = throw_shadow(table, mask, params.edge_shadow, params.light_deg)
        picture = lay_on(table, picture, mask, params.background.opacity)
    if params.glare is not None and lattice is not None:
        picture = add_glare(picture, params.glare, lattice)
    return picture


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
    px_per_mm = float(clean_map.homography[0, 0])
    picture = _mark_sheet(clean, params, clean_map, page_mm, px_per_mm)
    lattice = make_lattice(page_map, size, light_step(params, size)) if _needs_lattice(params) else None
    if params.moves:
        beyond = paper_colour(picture)
        picture = warp(*cut_to_sheet(picture, clean_map, page_mm), page_map, size, lattice, beyond=beyond)
    if lattice is not None or params.background is not None:
        picture = _light(picture, params, page_map, page_mm, lattice)
    if params.moire is not None:
        picture = scanning.add_moire(picture, params.moire)
    picture = capture(picture, params, px_per_mm * size[1] / clean.shape[1])
    return picture.copy() if picture is clean else picture
