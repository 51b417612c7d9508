"""What lies under and beside the traces: ECG paper colours, and text as coverage masks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Rgb = tuple[int, int, int]

MINOR_MM, MAJOR_MM = 1.0, 5.0
"""Spacing of the thin and of the thick grid lines."""

MINOR_LINE_MM, MAJOR_LINE_MM = 0.10, 0.20
"""Width of the thin and of the thick grid lines."""

SMALLEST_TEXT_PX = 4.0
"""Text below this height is illegible, so it is left out."""


@dataclass(frozen=True)
class Palette:
    """Colours of one kind of ECG paper: the sheet, its 1 mm lines and its 5 mm lines, as 8-bit RGB."""

    paper: Rgb
    minor: Rgb
    major: Rgb


PALETTES: dict[str, Palette] = {
    "pink": Palette((255, 251, 250), (250, 219, 217), (239, 168, 168)),
    "brown": Palette((254, 251, 246), (240, 227, 211), (217, 187, 157)),
    "blue": Palette((251, 253, 255), (216, 229, 245), (160, 190, 227)),
    "green": Palette((251, 254, 250), (214, 235, 216), (155, 202, 163)),
    "grey": Palette((255, 255, 255), (229, 229, 229), (190, 190, 190)),
    "red": Palette((255, 252, 250), (252, 209, 203), (232, 118, 110)),
    "orange": Palette((255, 252, 246), (252, 224, 190), (240, 172, 104)),
    "graph": Palette((255, 255, 255), (250, 248, 248), (156, 112, 108)),
    "none": Palette((255, 255, 255), (255, 255, 255), (255, 255, 255)),
}
"""Grids by name; "graph" hardly has 1 mm lines, which office printers lose."""

FONTS: dict[str, str] = {
    "sans": "DejaVuSans.ttf",
    "mono": "DejaVuSansMono.ttf",
    "serif": "DejaVuSerif.ttf",
    "bold": "DejaVuSans-Bold.ttf",
    "italic": "DejaVuSerif-Italic.ttf",
}
"""Free fonts that come with matplotlib: the same letters on every machine, and nothing to install."""


@lru_cache(maxsize=8)
def font_file(font: str = "sans") -> Path:
    """Where the file of a font in `FONTS` lies."""
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONTS[font]


@lru_cache(maxsize=128)
def _font(font: str, quarter_px: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(str(font_file(font)), quarter_px / 4, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def _mask(text: str, quarter_px: int, font_name: str) -> np.ndarray:
    from PIL import Image, ImageDraw

    font = _font(font_name, quarter_px)
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    sheet = Image.new("L", (right - left + 2, bottom - top + 2), 0)
    ImageDraw.Draw(sheet).text((1 - left, 1 - top), text, fill=255, font=font)
    mask = np.asarray(sheet)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return np.zeros((0, 0), np.uint8)
    mask = np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    mask.flags.writeable = False
    return mask


def text_mask(text: str, height_px: float, font: str = "sans") -> np.ndarray:
    """Ink coverage of one line of text, trimmed to its ink.

    Args:
        text: one line.
        height_px: font size (em) in pixels, rounded to a quarter so that masks can be reused.
        font: a name in `FONTS`.

    Returns:
        uint8 `[height, width]`, 0 paper to 255 ink, read-only; empty when the text is blank or too small to read.

    Example:
        >>> text_mask("aVR", 12.0).shape == text_mask("aVR", 12.05).shape
        True
        >>> text_mask("aVR", 2.0).size
        0
    """
    if height_px < SMALLEST_TEXT_PX:
        return np.zeros((0, 0), np.uint8)
    return _mask(text, round(height_px * 4), font)
