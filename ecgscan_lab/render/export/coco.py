"""COCO instances: one category a lead, one for texts and one for calibration pulses, with exact masks.

Source: T.-Y. Lin et al. (2014), arXiv 1405.0312, and the data format of the COCO site: a box is [x, y, width, height],
a mask is run-length encoded down the columns, starting with a run of zeros. *Differences*: none; runs are left
uncompressed, which COCO's own tools take.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import ArgumentError, ExportError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.export.truth import write_whole
from ecgscan_lab.types import EcgImage

CATEGORIES: tuple[tuple[int, str, str], ...] = (
    *((i, lead, "trace") for i, lead in enumerate(LEADS, start=1)),
    (13, "text", "print"),
    (14, "pulse", "print"),
)
"""(id, name, supercategory); a rhythm strip has its lead's category, and its own name as an attribute."""

CATEGORY_ID = {name: number for number, name, _ in CATEGORIES}


def mask_rle(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths of a mask, down the columns.

    Args:
        mask: bool `[height, width]`.

    Returns:
        {"size": [height, width], "counts": [zeros, ones, zeros, ...]}.

    Properties: `rle_mask` inverts it.

    Example:
        >>> mask_rle(np.array([[False, True], [True, True]]))
        {'size': [2, 2], 'counts': [1, 3]}
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ArgumentError(f"a mask of shape {mask.shape}", field="mask", expected="[height, width]")
    flat = mask.astype(bool).ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    counts = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if flat.size and flat[0] else counts}


def rle_mask(rle: Mapping[str, Any]) -> np.ndarray:
    """The mask of run lengths, bool `[height, width]`.

    Raises:
        ArgumentError: the runs do not fill the mask.
    """
    height, width = rle["size"]
    counts = np.asarray(rle["counts"], np.int64)
    if (counts < 0).any() or counts.sum() != height * width:
        raise ArgumentError(
            f"runs of {counts.sum()} pixels for a mask of {height} x {width}",
            field="counts",
            expected="non-negative runs that fill the mask",
        )
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T


def coco_page(image: EcgImage, file_name: str, image_id: int = 0, threshold: float = 0.25) -> dict[str, Any]:
    """One page as a COCO instances file of its own.

    Args:
        image: a page of `draw_page`.
        file_name: the picture's name, relative to the folder of the annotations.
        image_id: number of the picture, 0 or more; annotation ids count up from `1000 * image_id + 1`.
        threshold: share of a pixel's area that a trace must ink to be in its mask.

    Returns:
        Plain values: `images`, `annotations`, `categories`, `info`. Traces have masks as run lengths, texts and
        pulses polygons of their boxes. Each annotation's `name` is the box's name in `EcgImage.boxes`.
    """
    height, width = image.pixels.shape[:2]
    annotations: list[dict[str, Any]] = []

    def add(name: str, category: str, bbox: list[float], area: float, segmentation: Any) -> None:
        annotations.append(
            {
                "id": 1000 * image_id + 1 + len(annotations),
                "image_id": image_id,
                "category_id": CATEGORY_ID[category],
                "name": name,
                "bbox": bbox,
                "area": area,
                "segmentation": segmentation,
                "iscrowd": 0,
            }
        )

    for name in image.polylines:
        mask = image.mask(name, threshold)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows.size:
            x, y = int(columns[0]), int(rows[0])
            box = [float(v) for v in (x, y, columns[-1] + 1 - x, rows[-1] + 1 - y)]
            add(name, name.split()[0], box, float(mask.sum()), mask_rle(mask))
    for name, (x0, y0, x1, y1) in image.boxes.items():
        if name not in image.polylines:
            x0, y0, x1, y1 = (round(v, 2) for v in (x0, y0, x1, y1))
            box = [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)]
            outline = [[x0, y0, x1, y0, x1, y1, x0, y1]]
            add(name, name.split()[0], box, round(box[2] * box[3], 2), outline)
    picture = {"id": image_id, "file_name": file_name, "height": height, "width": width}
    return {**_frame(), "images": [picture], "annotations": annotations}


def write_coco(path: str | PathLike[str], pages: Iterable[tuple[str, EcgImage]], threshold: float = 0.25) -> Path:
    """Write the annotations of several pages as one COCO instances file.

    Args:
        path: the file to write.
        pages: (file name relative to the file's folder, page), each; drawn lazily, they are held one at a time.
        threshold: as in `coco_page`.

    Returns:
        `path`.

    Raises:
        ExportError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> from ecgscan_lab.render import draw_page
        >>> from ecgscan_lab.types import EcgRecord
        >>> image = draw_page(EcgRecord("flat", np.zeros((12, 1000), np.float32), fs_hz=100.0), size=(200, 260))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_coco(f"{folder}/coco.json", [("000000.png", image)])
        ...     len(json.loads(path.read_text())["categories"])
        14
    """
    parts = (coco_page(image, name, i, threshold) for i, (name, image) in enumerate(pages))
    return write_whole(Path(path), join_coco(parts))


def read_coco_page(path: Path) -> dict[str, Any]:
    """One page's annotations, as `coco_page` made them.

    Raises:
        ExportError: missing or damaged.
    """
    try:
        part = json.loads(path.read_text(encoding="utf-8"))
        return {name: part[name] for name in ("images", "annotations")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"cannot read the annotations of a page ({type(error).__name__})", file=path, fix="delete it and run again"
        ) from error


def join_coco(parts: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Join the annotations of pages into one file's content, piece by piece; the ids must differ already."""
    for name, value in _frame().items():
        yield f"{'{' if name == 'info' else ','}\n {json.dumps(name)}: {json.dumps(value)}".encode()
    images: list[str] = []
    yield b',\n "annotations": ['
    comma = ""
    for part in parts:
        images += map(json.dumps, part["images"])
        for annotation in part["annotations"]:
            yield f"{comma}\n  {json.dumps(annotation)}".encode()
            comma = ","
    yield ('\n ],\n "images": [\n  ' + ",\n  ".join(images) + "\n ]\n}\n").encode()


def _frame() -> dict[str, Any]:
    categories = [{"id": i, "name": name, "supercategory": kind} for i, name, kind in CATEGORIES]
    return {
        "info": {"description": "Synthetic ECG pages drawn by ecgscan_lab"},
        "licenses": [],
        "categories": categories,
    }
