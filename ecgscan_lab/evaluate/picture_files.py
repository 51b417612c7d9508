"""Picture files of unknown origin: PNG, JPEG, TIFF and PDF in, upright 8-bit RGB out, or a typed error.

What a file is, its content says and not its name. Sizes are checked before anything is decoded, a damaged file is an
error and never half a picture, and nothing but pixels is taken over: no text, no tags, no location.
"""

from __future__ import annotations

import io
import threading
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ecgscan_lab.data.paths import read_bounded
from ecgscan_lab.errors import MissingExtraError, PictureError, RecordError
from ecgscan_lab.render.framing import MIN_SIDE_PX

FORMATS = ("PNG", "JPEG", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pdf")
MAX_PIXELS = 80_000_000  # below the size at which Pillow itself warns
MAX_FILE_BYTES = 512 * 2**20
MAX_PAGES = 2000
PDF_DPI = 200.0

_EXPECTED = "a whole PNG, JPEG, TIFF or PDF file"
_ORIENTATION, _PHOTOMETRIC, _BITS = 0x0112, 262, 258
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PDF = threading.RLock()  # PDFium is not made for threads


def read_file(path: str | PathLike[str]) -> bytes:
    """The bytes of a picture file.

    Raises:
        PictureError: it is missing, empty, no regular file, or larger than 512 MB.
    """
    try:
        return read_bounded(Path(path), MAX_FILE_BYTES)
    except RecordError as error:
        raise PictureError(error.what, file=path, expected=_EXPECTED, fix=error.fix or "copy the file again") from error


def is_pdf(content: bytes) -> bool:
    """Whether the bytes are those of a PDF document."""
    return b"%PDF-" in content[:1024]


def count_pages(content: bytes, path: str | PathLike[str]) -> int:
    """Pages of a TIFF or PDF file; 1 for PNG and JPEG.

    Args:
        content: the file's bytes.
        path: the file, for messages.

    Raises:
        PictureError: not a readable file of the four kinds, or more than 2000 pages.
        MissingExtraError: PDF needs pypdfium2.
    """
    if is_pdf(content):
        with _PDF:
            document = _open_pdf(content, path)
            n_pages = len(document)
            document.close()
    else:
        with _open(content, path) as picture:
            try:
                n_pages = int(getattr(picture, "n_frames", 1)) if picture.format == "TIFF" else 1
            except Exception as error:  # a chain of pages that leads nowhere ends in many kinds of error
                raise _damaged(path, error) from error
    if not 0 < n_pages <= MAX_PAGES:
        raise PictureError(f"{n_pages} pages", file=path, expected=f"1 to {MAX_PAGES} pages", fix="split the file")
    return n_pages


def decode_picture(
    content: bytes, path: str | PathLike[str], page: int = 1, *, max_pixels: int = MAX_PIXELS, dpi: float = PDF_DPI
) -> np.ndarray:
    """Turn the bytes of a file into one upright picture.

    Transparent parts become white paper, 16-bit grey keeps its upper 8 bits, CMYK and palettes become RGB, the turn
    that a camera notes (EXIF) is carried out, and of several frames in a JPEG the first one counts. Colour profiles are
    not applied. Animated PNG, floating-point and 32-bit TIFF are refused.

    Args:
        content: the file's bytes.
        path: the file, for messages.
        page: page of a TIFF or PDF file, from 1.
        max_pixels: largest picture, checked before it is decoded; at most Pillow's own limit.
        dpi: resolution at which a PDF page is drawn.

    Returns:
        uint8 `[height, width, 3]`, RGB, contiguous.

    Raises:
        PictureError: of another kind, damaged, cut short, locked, too large, or smaller than 16 pixels a side.
        MissingExtraError: PDF needs pypdfium2.
    """
    if is_pdf(content):
        return _draw_pdf_page(content, path, page, max_pixels, dpi)
    with _open(content, path) as picture:
        if picture.format == "PNG" and getattr(picture, "is_animated", False):
            raise PictureError("an animated picture", file=path, expected="a still picture", fix="save one frame of it")
        try:
            if page != 1:
                picture.seek(page - 1)
        except EOFError as error:
            raise PictureError(f"no page {page}", file=path, field="page", expected="a page that is there") from error
        except Exception as error:
            raise _damaged(path, error) from error
        _check_size(picture.size[1], picture.size[0], path, max_pixels)
        try:
            picture.load()
            return np.ascontiguousarray(np.asarray(_turned(_eight_bit_rgb(picture, path))))
        except PictureError:
            raise
        except MemoryError:
            raise
        except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, ValueError, ...
            raise _damaged(path, error) from error


def _open(content: bytes, path: str | PathLike[str]) -> Image.Image:
    """Read the header only, of the three formats only."""
    try:
        return Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise PictureError(
            "not a picture of a kind that is read here",
            file=path,
            expected=_EXPECTED,
            fix="convert it to PNG",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise PictureError("the picture is far too large", file=path, field="max_pixels", expected=_EXPECTED) from error
    except Exception as error:
        raise _damaged(path, error) from error


def _check_size(height: int, width: int, path: str | PathLike[str], max_pixels: int) -> None:
    if min(height, width) < MIN_SIDE_PX:
        raise PictureError(
            f"a picture of {width} x {height} pixels", file=path, expected=f"at least {MIN_SIDE_PX} pixels a side"
        )
    if height * width > max_pixels:
        raise PictureError(
            f"a picture of {width} x {height} pixels",
            file=path,
            field="max_pixels",
            expected=f"at most {max_pixels / 1e6:g} megapixels",
            fix="save it smaller, or raise max_pixels if you trust the file",
        )


def _eight_bit_rgb(picture: Image.Image, path: str | PathLike[str]) -> Image.Image:
    mode = picture.mode
    if mode.startswith("I;16") or (mode == "I" and picture.format == "PNG"):
        tags = getattr(picture, "tag_v2", {})
        bits = tags.get(_BITS, (16,))
        grey = np.asarray(picture).astype(np.int64) >> (bits[0] - 8 if bits[0] in (12, 16) else 8)
        grey = np.clip(grey, 0, 255).astype(np.uint8)
        flat = Image.fromarray(255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey).convert("RGB")
        flat.info["exif orientation"] = _orientation(picture)
        return flat
    if mode in ("I", "F"):
        raise PictureError(f"pixels of mode {mode}", file=path, expected="8 or 16 bits a channel", fix="save it as PNG")
    orientation = _orientation(picture)
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        flat = Image.new("RGB", picture.size, "white")
        flat.paste(layer, mask=layer.getchannel("A"))
    else:
        flat = picture.convert("RGB")
    flat.info["exif orientation"] = orientation
    return flat


def _orientation(picture: Image.Image) -> int:
    """The turn that the camera noted; none where the note cannot be read."""
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged notes beside sound pixels
        return 1


def _turned(picture: Image.Image) -> Image.Image:
    turn = _TURNS.get(picture.info["exif orientation"])
    return picture if turn is None else picture.transpose(turn)


def _open_pdf(content: bytes, path: str | PathLike[str]) -> Any:
    try:
        import pypdfium2
    except ImportError as error:
        raise MissingExtraError(
            "PDF files need a renderer", file=path, field="input", fix='pip install "ecgscan-lab[pdf]"'
        ) from error
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        raise PictureError(
            f"cannot open the PDF file ({error})", file=path, expected="a whole PDF file without a password"
        ) from error


def _draw_pdf_page(content: bytes, path: str | PathLike[str], page: int, max_pixels: int, dpi: float) -> np.ndarray:
    with _PDF:
        document = _open_pdf(content, path)
        try:
            if not 1 <= page <= len(document):
                raise PictureError(f"no page {page}", file=path, field="page", expected=f"1 to {len(document)}")
            sheet = document[page - 1]
            width, height = (round(points * dpi / 72.0) for points in sheet.get_size())
            _check_size(height, width, path, max_pixels)
            bitmap = sheet.render(scale=dpi / 72.0, rev_byteorder=True, prefer_bgrx=False)
            pixels = np.array(bitmap.to_numpy()[..., :3])
            bitmap.close()
            sheet.close()
        except (PictureError, MemoryError):
            raise
        except Exception as error:
            raise _damaged(path, error) from error
        finally:
            document.close()
    return pixels if pixels.shape[-1] == 3 else np.repeat(pixels, 3, axis=-1)


def _damaged(path: str | PathLike[str], error: Exception) -> PictureError:
    reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
    return PictureError(
        f"the picture is damaged or cut short ({reason})", file=path, expected=_EXPECTED, fix="copy or export it again"
    )
