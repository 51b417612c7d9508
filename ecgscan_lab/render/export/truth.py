"""A page as files: the picture, and beside it a JSON that says where everything is and remakes the page.

Whatever is written is written beside its place and renamed, so that a reader, or a run that was cut off, meets a whole
file or none.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import ArgumentError, EcgScanLabError, ExportError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.export.png import png_bytes
from ecgscan_lab.render.framing import MM_PER_INCH, page_frame, page_homography
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.plan import page_prints
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.types import EcgImage, EcgRecord, PageMap
from ecgscan_lab.whole_files import write_whole

TRUTH_FORMAT = "ecgscan_lab page truth 1"
FORMATS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
MAX_TRUTH_BYTES = 256 * 1024 * 1024
REMADE_WITHIN_PX = 0.05

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class PageTruth:
    """What the JSON beside a page says: all of `EcgImage` but its pixels, and the words of every text box.

    Attributes:
        file_name: name of the picture.
        size: (height, width) in pixels.
        seed: seed of the page.
        page: the page that was drawn.
        degradation: the degradation that was applied, or None.
        page_map: millimetres to pixels and back.
        texts: text box -> its words.
        pixels_sha256: hash of the pixels before they were encoded.
        polylines, boxes, windows, origins_mm, gains_mm_per_mv, paper_speed_mm_per_s, fs_hz, clipped: as in `EcgImage`;
            points and boxes are rounded to 0.01 pixels.
    """

    file_name: str
    size: tuple[int, int]
    seed: int
    page: PageSpec = field(repr=False)
    degradation: Any = field(repr=False)
    page_map: PageMap = field(repr=False)
    polylines: Mapping[str, np.ndarray] = field(repr=False)
    boxes: Mapping[str, Box] = field(repr=False)
    texts: Mapping[str, str] = field(repr=False)
    windows: Mapping[str, tuple[int, int]] = field(repr=False)
    origins_mm: Mapping[str, tuple[float, float, float]] = field(repr=False)
    gains_mm_per_mv: Mapping[str, float] = field(repr=False)
    paper_speed_mm_per_s: float
    fs_hz: float
    clipped: Mapping[str, int] = field(repr=False)
    pixels_sha256: str = field(repr=False)


def write_page(
    image: EcgImage,
    folder: str | PathLike[str],
    stem: str,
    *,
    format: str = "png",  # noqa: A002 - the word that picture libraries use
    quality: int = 90,
    truth: bool = True,
) -> Path:
    """Write a page, and its ground truth as `<stem>.json` beside it; the picture comes last.

    Args:
        image: a page of `draw_page`.
        folder: where to; made when it is missing.
        stem: name without an ending. Choose one that says nothing of the patient.
        format: "png" (lossless), "jpeg" or "webp".
        quality: of JPEG and WebP, 1 to 100.
        truth: write the JSON too.

    Returns:
        The picture's path.

    Raises:
        ArgumentError: unknown format or quality, or a stem that is no plain name.
        ExportError: the folder or the file cannot be written.

    Properties: written whole or not at all; `remake` draws the same pixels from the JSON and the record.

    Example:
        >>> import tempfile
        >>> record = EcgRecord("flat", np.zeros((12, 1000), np.float32), fs_hz=100.0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_page(draw_page(record, size=(200, 260)), folder, "000000")
        ...     read_page_truth(path.with_suffix(".json")).size
        (200, 260)
    """
    if not stem or stem != Path(stem).name or stem.startswith("."):
        raise ArgumentError(f"stem is {stem!r}", field="stem", expected="a file name without folders")
    dpi = page_dpi(image.page, image.pixels.shape[:2]) if isinstance(image.page, PageSpec) else None
    content = encode_picture(image.pixels, format, quality, dpi)
    path = Path(folder) / f"{stem}{FORMATS[format]}"
    if truth:
        write_whole(path.with_suffix(".json"), truth_json(image, path.name), durable=False)
    return write_whole(path, content, durable=False)


def encode_picture(pixels: np.ndarray, format: str = "png", quality: int = 90, dpi: float | None = None) -> bytes:  # noqa: A002
    """Encode pixels, uint8 `[height, width, 3]`; PNG and JPEG note the dots an inch.

    Raises:
        ArgumentError: unknown format or quality.
    """
    if format not in FORMATS:
        raise ArgumentError(f"no format {format!r}", field="format", expected=f"one of {', '.join(FORMATS)}")
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise ArgumentError(f"quality is {quality!r}", field="quality", expected="a whole number from 1 to 100")
    if format == "png":
        return png_bytes(pixels, dpi)
    from PIL import Image

    options: dict[str, Any] = {"quality": quality}
    options |= {"method": 2} if format == "webp" else {"subsampling": 0}
    if format == "jpeg" and dpi is not None:
        options["dpi"] = (round(dpi), round(dpi))
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format, **options)
    return content.getvalue()


def page_dpi(page: PageSpec, size: tuple[int, int]) -> float:
    """Pixels an inch of a flat page in a picture of this size."""
    return page_frame(page, size)[0] * MM_PER_INCH


def page_truth(image: EcgImage, file_name: str) -> dict[str, Any]:
    """The ground truth of a page as plain values, for JSON.

    Raises:
        ArgumentError: the picture was not drawn by `draw_page`.
    """
    if not isinstance(image.page, PageSpec):
        raise ArgumentError(
            "the picture has no page to be remade from", field="image", expected="a page drawn by draw_page"
        )
    bend = image.page_map.bend
    words = {line.name: line.text for line in page_prints(image.page)}
    traces = {
        name: {
            "window": list(image.windows[name]),
            "origin_mm": list(image.origins_mm[name]),
            "gain_mm_per_mv": image.gains_mm_per_mv[name],
            "clipped": image.clipped.get(name, 0),
            "box": _rounded(image.boxes.get(name)),
            "polyline": _points(line),
        }
        for name, line in image.polylines.items()
    }
    others = {name: _rounded(box) for name, box in image.boxes.items() if name not in traces}
    return {
        "format": TRUTH_FORMAT,
        "file_name": file_name,
        "height": image.pixels.shape[0],
        "width": image.pixels.shape[1],
        "seed": image.seed,
        "fs_hz": image.fs_hz,
        "paper_speed_mm_per_s": image.paper_speed_mm_per_s,
        "grid_spacing_px": list(image.grid_spacing_px),
        "pixels_sha256": hashlib.sha256(np.ascontiguousarray(image.pixels).data).hexdigest(),
        "page": image.page.as_dict(),
        "degradation": None if image.degradation is None else image.degradation.as_dict(),
        "homography": image.page_map.homography.tolist(),
        "bend": None if bend is None else bend.as_dict(),  # type: ignore[attr-defined]
        "traces": traces,
        "texts": {n: {"text": words.get(n, ""), "box": box} for n, box in others.items() if n.startswith("text ")},
        "pulses": {name: box for name, box in others.items() if not name.startswith("text ")},
    }


def label_mask(image: EcgImage, threshold: float = 0.25) -> np.ndarray:
    """Which lead inks each pixel: uint8 `[height, width]`, 0 for none, else 1 (I) to 12 (V6), strips as their leads.

    Where traces cross, the one that covers more of the pixel counts; COCO masks keep both.

    Example:
        >>> image = draw_page(EcgRecord("flat", np.zeros((12, 1000), np.float32), fs_hz=100.0), size=(200, 260))
        >>> np.unique(label_mask(image)).tolist()
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    """
    labels = np.zeros(image.pixels.shape[:2], np.uint8)
    most = np.full(labels.shape, max(1, round(255 * threshold)) - 1, np.uint8)
    for name in image.polylines:
        coverage = image.coverage(name)
        higher = coverage > most
        labels[higher], most[higher] = LEADS.index(name.split()[0]) + 1, coverage[higher]
    return labels


def truth_json(image: EcgImage, file_name: str) -> bytes:
    """`page_truth` as UTF-8 JSON, one field of it a line."""
    lines = [f" {json.dumps(k)}: {json.dumps(v, allow_nan=False)}" for k, v in page_truth(image, file_name).items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def read_page_truth(path: str | PathLike[str]) -> PageTruth:
    """Read the JSON beside a page.

    Args:
        path: the JSON file.

    Returns:
        What it says; `remake` draws the page again from it.

    Raises:
        ExportError: missing, no JSON, not written by `write_page`, or with values of another kind.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_TRUTH_BYTES:
            raise ExportError("the file is too large for the truth of a page", file=path)
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ExportError(f"cannot read the truth of a page ({type(error).__name__})", file=path) from error
    if not isinstance(values, dict) or values.get("format") != TRUTH_FORMAT:
        raise ExportError("this is no truth of a page", file=path, field="format", expected=repr(TRUTH_FORMAT))
    try:
        return _parse_truth(values)
    except (KeyError, TypeError, ValueError, AttributeError, EcgScanLabError) as error:
        raise ExportError(
            f"the truth of the page is damaged: {type(error).__name__} {str(error).splitlines()[0][:200]}",
            file=path,
            fix="write the page again",
        ) from error


def remake(truth: PageTruth, record: EcgRecord) -> EcgImage:
    """Draw a page again from its truth and the recording it showed.

    Args:
        truth: of `read_page_truth`.
        record: the recording, at the rate at which it was drawn.

    Returns:
        The page, pixel for pixel.

    Raises:
        ExportError: the recording is another one, or at another rate: its traces would lie elsewhere.
    """
    image = draw_page(record, truth.page, truth.degradation, size=truth.size, seed=truth.seed)
    if record.fs_hz != truth.fs_hz or any(image.windows[name] != window for name, window in truth.windows.items()):
        raise ExportError(
            f"the recording has {record.signal_mv.shape[1]} samples at {record.fs_hz:g} Hz",
            field="record",
            expected=f"the one that was drawn, at {truth.fs_hz:g} Hz",
        )
    for name, line in truth.polylines.items():
        if not np.allclose(image.polylines[name], line, rtol=0, atol=REMADE_WITHIN_PX, equal_nan=True):
            raise ExportError(
                f"lead {name} would lie elsewhere than on the page that was written",
                field="record",
                expected="the recording that was drawn",
            )
    return image


def _parse_truth(values: Mapping[str, Any]) -> PageTruth:
    page, size = PageSpec.from_dict(values["page"]), (int(values["height"]), int(values["width"]))
    traces = values["traces"]
    boxes = {name: trace["box"] for name, trace in traces.items() if trace["box"] is not None}
    boxes |= {name: text["box"] for name, text in values["texts"].items()} | values["pulses"]
    degradation, page_map = None, PageMap(page_homography(page, size))
    if values["degradation"] is not None:
        from ecgscan_lab.render.degrade import DegradeParams, sheet_map

        degradation = DegradeParams.from_dict(values["degradation"])
        page_map = sheet_map(degradation, (page.width_mm, page.height_mm), size, page_map)
    return PageTruth(
        file_name=str(values["file_name"]),
        size=size,
        seed=int(values["seed"]),
        page=page,
        degradation=degradation,
        page_map=page_map,
        polylines={n: np.array(t["polyline"], np.float64).reshape(-1, 2) for n, t in traces.items()},
        boxes={name: _box(box) for name, box in boxes.items()},
        texts={name: str(text["text"]) for name, text in values["texts"].items()},
        windows={name: (int(t["window"][0]), int(t["window"][1])) for name, t in traces.items()},
        origins_mm={name: _triple(trace["origin_mm"]) for name, trace in traces.items()},
        gains_mm_per_mv={name: float(trace["gain_mm_per_mv"]) for name, trace in traces.items()},
        paper_speed_mm_per_s=float(values["paper_speed_mm_per_s"]),
        fs_hz=float(values["fs_hz"]),
        clipped={name: int(trace["clipped"]) for name, trace in traces.items() if trace["clipped"]},
        pixels_sha256=str(values["pixels_sha256"]),
    )


def _box(values: Any) -> Box:
    x0, y0, x1, y1 = map(float, values)
    return x0, y0, x1, y1


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, t = map(float, values)
    return x, y, t


def _rounded(box: Box | None) -> list[float] | None:
    return None if box is None else [round(value, 2) for value in box]


def _points(line: np.ndarray) -> list[list[float | None]]:
    """Points rounded to 0.01 pixels; what was not recorded is null, since JSON has no NaN."""
    points: list[list[float | None]] = np.round(line, 2).tolist()
    gaps = np.flatnonzero(~np.isfinite(line).all(axis=1))
    for i in gaps.tolist():
        points[i] = [x if x is not None and np.isfinite(x) else None for x in points[i]]
    return points
