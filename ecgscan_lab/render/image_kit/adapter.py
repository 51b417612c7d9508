"""The same page through ecg-image-kit, where the user has a checkout of it.

Source: K. K. Shivashankara et al. (2024), "ECG-Image-Kit: a synthetic image generation toolbox to facilitate deep
learning-based electrocardiogram digitization", arXiv 2307.01946. The kit is a folder of scripts with pinned packages of
its own, so it is run in a process of its own, and nothing of it is imported here. *Differences*: Python's, NumPy's and
imgaug's generators are all seeded; padding, rotation and crop are carried through to the labels; the handwriting
(TensorFlow, spaCy and a checkpoint) is left out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.image_kit.process import KitJob, find_kit, find_python
from ecgscan_lab.types import EcgImage, EcgRecord, PageMap

HEIGHT_MM, MM_PER_INCH, PULSE_S = 215.9, 25.4, 0.2
SPEED_MM_PER_S, GAIN_MM_PER_MV = 25.0, 10.0
TRACE_WIDTH_MM = 0.75 * MM_PER_INCH / 72
PULSE_WIDTH_MM = 1.5 * TRACE_WIDTH_MM
LABEL_ERROR_PX = 0.1
GRIDS = {"brown": 1, "pink": 2, "blue": 3, "green": 4, "red": 5}

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class KitPage:
    """What of a page ecg-image-kit lets one choose: its 3x4 page with one strip, 25 mm/s and 10 mm/mV are fixed.

    Attributes:
        rhythm: lead of the strip below; the kit draws a strip on every 12-lead page.
        grid: "brown", "pink", "blue", "green", "red", "random", "grey" (with black traces), or "none".
        pulses: a calibration pulse before each row.
        lead_names: print them.
        header: print the identity lines; they hold the word "page" and no patient.
        pad_inches: white margin on all sides.
        wrinkles: creases and wrinkles.
        augment: rotate, add noise, crop and tint, each by a random amount up to the following.
        rotate_deg: largest rotation either way.
        noise: largest standard deviation of the noise, in grey levels.
        crop: largest share cut off each side.

    Raises:
        ArgumentError: a value is outside what the kit takes.
    """

    rhythm: str = "II"
    grid: str = "red"
    pulses: bool = True
    lead_names: bool = True
    header: bool = False
    pad_inches: int = 0
    wrinkles: bool = False
    augment: bool = False
    rotate_deg: int = 0
    noise: int = 50
    crop: float = 0.01

    def __post_init__(self) -> None:
        if self.rhythm not in LEADS:
            raise ArgumentError(
                f"no rhythm lead {self.rhythm!r}", field="rhythm", expected=f"one of {', '.join(LEADS)}"
            )
        grids = (*GRIDS, "random", "grey", "none")
        if self.grid not in grids:
            raise ArgumentError(f"no grid {self.grid!r}", field="grid", expected=f"one of {', '.join(grids)}")
        limits = {"pad_inches": (0, 4), "rotate_deg": (0, 180), "noise": (1, 255), "crop": (0.0, 0.4)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole or (name == "crop" and isinstance(value, float))) or not low <= value <= high:
                kind = "a share" if name == "crop" else "a whole number"
                raise ArgumentError(f"{name} is {value!r}", field=name, expected=f"{kind} from {low:g} to {high:g}")

    def arguments(self, dpi: int, labels: bool) -> list[str]:
        """The kit's command line for this page, without files."""
        words = ["-st", "0", "-r", str(dpi), "--full_mode", self.rhythm, "--pad_inches", str(self.pad_inches)]
        words += ["--calibration_pulse", str(int(self.pulses)), "--random_grid_present", str(int(self.grid != "none"))]
        if self.grid in GRIDS:
            words += ["--standard_grid_color", str(GRIDS[self.grid])]
        words += ["--random_grid_color"] * (self.grid == "random") + ["--random_bw", "1"] * (self.grid == "grey")
        words += ["--remove_lead_names"] * (not self.lead_names) + ["--print_header"] * self.header
        words += ["--wrinkles"] * self.wrinkles
        if self.augment:
            words += ["--augment", "-rot", str(self.rotate_deg), "-noise", str(self.noise), "-c", str(self.crop)]
        if labels or self.augment:  # the kit's augmentation fails without its labels
            words += ["--store_config", "1"]
        return words + ["--lead_name_bbox"] * (labels and self.lead_names)


def draw_page_with_image_kit(
    record: EcgRecord,
    page: KitPage | None = None,
    *,
    seed: int = 0,
    dpi: int = 200,
    kit: str | PathLike[str] | None = None,
    python: str | PathLike[str] | None = None,
    timeout_s: float = 300.0,
) -> EcgImage:
    """Draw one recording with ecg-image-kit, and bring its labels into the form that `draw_page` gives.

    Args:
        record: at least 10 s; the first 10 s are drawn. Nothing of its identity is handed to the kit.
        page: what the kit lets one choose, `KitPage()` when None.
        seed: seed of all three generators that the kit draws from.
        dpi: pixels an inch, a whole number.
        kit: the checkout, or its folder `codes/ecg-image-generator`; None takes `$ECGSCAN_IMAGE_KIT`.
        python: an interpreter that has the kit's packages (numpy below 2, imgaug, ...); None takes
            `$ECGSCAN_IMAGE_KIT_PYTHON`, else the running one.
        timeout_s: seconds after which the kit is given up.

    Returns:
        The picture, with polylines, boxes, windows and the map from millimetres to pixels. `page` is None: no
        `PageSpec` draws the kit's page, whose strip lies 3 mm above the pitch of its rows.

    Raises:
        MissingExtraError: there is no checkout, or the interpreter lacks a package that the kit needs.
        PageError: the recording is too short, the kit failed, timed out or drew nothing, or its labels disagree with
            the signal.

    Properties: the same picture for the same seed; polylines lie on the ink, also with padding, rotation and crop.
    """
    page = KitPage() if page is None else page
    with tempfile.TemporaryDirectory(prefix="ecgscan-kit-") as folder:
        job = KitJob(Path(folder), find_kit(kit), find_python(python), dpi, timeout_s)
        (result,) = job.run([(record, page.arguments(dpi, labels=True), seed)])
        return _read_page(job, 0, result, record, page, seed)


def image_kit_seconds(
    records: Sequence[EcgRecord],
    page: KitPage | None = None,
    *,
    seed: int = 0,
    dpi: int = 200,
    labels: bool = False,
    kit: str | PathLike[str] | None = None,
    python: str | PathLike[str] | None = None,
    timeout_s: float = 600.0,
) -> tuple[float, ...]:
    """Time ecg-image-kit from inside: seconds a page in one process, imports left out, the PNG file included.

    Args:
        records: one page each; the first pays for caches and may be left out of a median.
        page, seed, dpi, kit, python, timeout_s: as for `draw_page_with_image_kit`; page k has the seed `seed + k`.
        labels: have the kit store its labels too, as it must for ground truth.

    Returns:
        Seconds of each page, in order.

    Raises:
        MissingExtraError, PageError: as `draw_page_with_image_kit`.
    """
    page = KitPage() if page is None else page
    with tempfile.TemporaryDirectory(prefix="ecgscan-kit-") as folder:
        job = KitJob(Path(folder), find_kit(kit), find_python(python), dpi, timeout_s)
        words = page.arguments(dpi, labels)
        pages = [(record, words, seed + k) for k, record in enumerate(records)]
        return tuple(float(result["seconds"]) for result in job.run(pages))


def _read_page(job: KitJob, k: int, result: Mapping[str, Any], record: EcgRecord, page: KitPage, seed: int) -> EcgImage:
    """Bring page k into the form of `draw_page`."""
    from PIL import Image

    with Image.open(job.out(k) / "page-0.png") as picture:
        pixels = np.ascontiguousarray(np.asarray(picture.convert("RGB")))
    labels = json.loads((job.out(k) / "page-0.json").read_text(encoding="utf-8"))
    px_per_mm, pad_px = job.dpi / MM_PER_INCH, page.pad_inches * job.dpi
    # The kit measures from the lower edge and turns by the whole pixels of the page's height.
    top_px = int(labels["height"]) - HEIGHT_MM * px_per_mm
    moved = np.eye(3)
    for before, after in result["moves"]:
        moved = _homography(np.array(before), np.array(after)) @ moved
    shift = np.array([[1.0, 0.0, pad_px], [0.0, 1.0, pad_px], [0.0, 0.0, 1.0]])
    scale = np.array([[px_per_mm, 0.0, 0.0], [0.0, px_per_mm, top_px], [0.0, 0.0, 1.0]])
    to_picture = moved @ shift  # from the kit's own labels
    page_map = PageMap(homography=to_picture @ scale)

    polylines, windows, origins, clipped = {}, {}, {}, {}
    boxes: dict[str, Box] = {}
    for name, lead in _named(labels["leads"], page.rhythm).items():
        first = int(lead["start_sample"])
        flat = np.array(lead["plotted_pixels"], np.float64).reshape(-1, 2)[:, ::-1]
        windows[name] = (first, first + len(flat))
        x_px, y_px = _check_labels(name, flat, record, windows[name], px_per_mm)
        origins[name] = (x_px / px_per_mm, (y_px - top_px) / px_per_mm, first / record.fs_hz)
        polylines[name] = _apply(to_picture, flat)
        clipped[name] = _count_outside(polylines[name], pixels.shape)
        _add_box(boxes, name, to_picture, flat, TRACE_WIDTH_MM * px_per_mm / 2, pixels.shape)
        if "text_bounding_box" in lead:
            corners = np.array([lead["text_bounding_box"][str(i)] for i in range(4)], np.float64)[:, ::-1]
            _add_box(boxes, f"text {name}", to_picture, corners, 0.0, pixels.shape)
    if page.pulses:
        for row, (x_mm, y_mm) in enumerate(_row_starts(origins)):
            # The kit's pulse starts 0.2 s before the trace and overlaps its first three samples.
            left, right = x_mm - PULSE_S * SPEED_MM_PER_S, x_mm + 3 * SPEED_MM_PER_S / record.fs_hz
            corners = np.array([(x, y) for x in (left, right) for y in (y_mm - GAIN_MM_PER_MV, y_mm)])
            half = PULSE_WIDTH_MM / 2 * px_per_mm
            _add_box(boxes, f"pulse {row + 1}", to_picture, _apply(scale, corners), half, pixels.shape)
    return EcgImage(
        pixels=pixels,
        page_map=page_map,
        polylines=polylines,
        boxes=boxes,
        windows=windows,
        origins_mm=origins,
        gains_mm_per_mv=dict.fromkeys(polylines, GAIN_MM_PER_MV),
        paper_speed_mm_per_s=SPEED_MM_PER_S,
        fs_hz=record.fs_hz,
        seed=seed,
        page=None,
        clipped=clipped,
    )


def _named(leads: Sequence[Mapping[str, Any]], rhythm: str) -> dict[str, Mapping[str, Any]]:
    """The kit's leads by our names, in canonical order, the strip last; the kit leaves the strip nameless at times."""
    named: dict[str, Mapping[str, Any]] = {}
    for lead in leads:
        name = lead.get("lead_name", rhythm)
        named[f"{name} rhythm" if name in named else name] = lead
    return {name: named[name] for name in (*LEADS, f"{rhythm} rhythm") if name in named}


def _check_labels(
    name: str, flat: np.ndarray, record: EcgRecord, window: tuple[int, int], px_per_mm: float
) -> tuple[float, float]:
    """Hold the kit's points to the signal; (x, y) of 0 mV at the window's start, in the kit's pixels.

    Where the rows lie is taken from the labels, so that a checkout with another page works too; the scale is not.
    """
    signal_mv = record.signal_mv[LEADS.index(name.split()[0]), slice(*window)].astype(np.float64)
    drawn = np.isfinite(flat[:, 1])
    if len(signal_mv) != len(flat) or not drawn.any() or not (drawn == np.isfinite(signal_mv)).all():
        raise PageError(
            f"ecg-image-kit labelled {drawn.sum()} points of lead {name}",
            field=name,
            expected=f"one for each of {len(signal_mv)} samples",
        )
    zero = flat[:, 1] + GAIN_MM_PER_MV * px_per_mm * signal_mv
    start = flat[:, 0] - np.arange(len(flat)) * (SPEED_MM_PER_S * px_per_mm / record.fs_hz)
    x_px, y_px = float(np.median(start)), float(np.median(zero[drawn]))
    error_px = max(float(np.abs(start - x_px).max()), float(np.abs(zero[drawn] - y_px).max()))
    if error_px > LABEL_ERROR_PX:
        raise PageError(
            f"ecg-image-kit's labels of lead {name} lie {error_px:.2g} px from its signal",
            field=name,
            expected=f"{SPEED_MM_PER_S:g} mm/s and {GAIN_MM_PER_MV:g} mm/mV",
            fix="use a checkout whose speed, gain and order of leads were not changed",
        )
    return x_px, y_px


def _row_starts(origins: Mapping[str, tuple[float, float, float]]) -> list[tuple[float, float]]:
    """(x, y) in millimetres of the start of each row, top row first."""
    return sorted(((x, y) for x, y, t_s in origins.values() if t_s == 0.0), key=lambda place: place[1])


def _homography(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The 3 x 3 map that takes four points to four points."""
    rows: list[list[float]] = []
    for (x, y), (u, v) in zip(before.tolist(), after.tolist(), strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solved = np.linalg.solve(np.array(rows, np.float64), after.reshape(-1))
    return np.append(solved, 1.0).reshape(3, 3)


def _apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return PageMap(homography=matrix).to_px(points)


def _count_outside(points: np.ndarray, shape: tuple[int, ...]) -> int:
    """Recorded samples that lie outside the picture."""
    drawn = points[np.isfinite(points).all(axis=1)]
    return int(((drawn < 0) | (drawn > (shape[1], shape[0]))).any(axis=1).sum())


def _add_box(
    boxes: dict[str, Box], name: str, matrix: np.ndarray, points: np.ndarray, half: float, shape: tuple[int, ...]
) -> None:
    """Box of points after the map, widened by half a pen and cut at the picture's edge; none where nothing is left."""
    moved = _apply(matrix, points[np.isfinite(points).all(axis=1)])
    low = np.maximum(moved.min(axis=0) - half, 0.0)
    high = np.minimum(moved.max(axis=0) + half, (shape[1], shape[0]))
    if (low < high).all():
        boxes[name] = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
