"""Recordings, pages and photographs in, one row of features each out: in order, in bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch

from ecgscan_lab import __version__
from ecgscan_lab.batch.order import ahead_in
from ecgscan_lab.encoders.pixels import fit_page
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, PageError
from ecgscan_lab.evaluate.cache import cached, weights_sha256
from ecgscan_lab.evaluate.feature_table import WHATS, FeatureTable
from ecgscan_lab.evaluate.flattening import find_page, flatten_picture, redraw_picture
from ecgscan_lab.evaluate.inputs import Inputs, Listed, Reading, list_inputs, said_by
from ecgscan_lab.render.export.settings import page_named
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_pages
from ecgscan_lab.train.loop import load_model
from ecgscan_lab.train.precision import autocast, pick_device

_CHUNK = 256  # inputs that share a file of the cache
_INFO = ("kind", "page", "height_px", "width_px", "flat", "confidence", "note")

What = Literal["tower", "shared"]
Rectify = Literal["none", "auto", "redraw"]
Encode = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class _Plan:
    """How one input becomes the tower's pixels."""

    size: tuple[int, int]
    fit: str
    page: PageSpec
    rectify: str
    reading: Reading

    def as_parts(self) -> dict[str, Any]:
        """Plain values, for the key of the cache."""
        return asdict(self)


@dataclass(frozen=True)
class _Work:
    """Who encodes, where, and how much at a time."""

    encode: Encode
    plan: _Plan
    device: torch.device
    batch_size: int
    workers: int
    on_bad: str


def embed_images(
    inputs: Inputs | Sequence[Inputs],
    model: torch.nn.Module | str | PathLike[str],
    *,
    what: What = "tower",
    rectify: Rectify = "none",
    record_page: str | PageSpec | None = None,
    pages: Literal["first", "all"] = "first",
    on_bad: Literal["error", "skip"] = "error",
    batch_size: int = 32,
    workers: int = 2,
    cache: str | PathLike[str] | None = None,
    fs_hz: float = 100.0,
    duration_s: float = 10.0,
    max_pixels: int = 80_000_000,
    dpi: float = 200.0,
    on_rows: Callable[[int, int], object] | None = None,
    counts: Counter[str] | None = None,
) -> FeatureTable:
    """Embed recordings, scans, PDF pages and photographs with a frozen model.

    Recordings are drawn as the model's own pages, clean. Pictures of any size are fitted as the tower asks for,
    letterboxed on white by default and never cropped. With `rectify="auto"` a photographed page is found, turned
    upright, laid flat and evenly lit first; where that fails it is embedded as it is and `note` says why. With
    `rectify="redraw"` its leads are then read, and drawn again as the model's own page; where that fails it is only
    laid flat. That takes seconds a page, and is for an encoder that knows one kind of page.

    Source: ECG-Scan (arXiv 2604.01526), section 5, embeds drawn pages. *Differences*: files, photographs, and the step
    that lays them flat.

    Args:
        inputs: what `inputs.list_inputs` takes: one or several recordings, files, folders, sources or a `Cohort`.
        model: a checkpoint of `pretrain`, its model, or any image tower with a `size`; put into `eval` mode.
        what: "tower", the pooled features for a probe; or "shared", projected beside texts and signals (zero-shot).
        rectify: "none"; "auto" or "redraw" for photographs, scans and pages of other machines.
        record_page: page that recordings are drawn on: a name or a `PageSpec`; None takes that of the model's recipe.
        pages: the first page of a TIFF or PDF file, or all of them.
        on_bad: "error" stops at the first unreadable input; "skip" leaves it out and lists it in
            `provenance["skipped"]`.
        batch_size: pages a step of the model.
        workers: threads that read, decode and draw ahead of it.
        cache: folder in which features are kept by content; a second call with the same inputs and weights only
            reads. None keeps nothing.
        fs_hz, duration_s: rate in hertz and length in seconds that recordings are brought to.
        max_pixels: larger pictures are refused before they are decoded.
        dpi: resolution at which PDF pages are drawn.
        on_rows: called with (rows done, rows in all).
        counts: hits and misses of the cache are counted here.

    Returns:
        Features in the order of the inputs, with `info` columns kind, page, height_px, width_px, flat, confidence and
        note. Identifiers are record and file names; nothing else of a file is taken over.

    Raises:
        ArgumentError: nothing to embed, a name twice, or an unknown option.
        PictureError, RecordError: an input is unreadable, with `on_bad="error"`; or all are, with "skip".
        CheckpointError: the checkpoint is missing or damaged.

    Properties: order kept; another batch size, number of workers or a cache gives the same features up to rounding.

    Example:
        >>> from ecgscan_lab.encoders.image import TinyImageTower
        >>> tower = TinyImageTower(width=2, size=(48, 112))
        >>> embed_images("synthetic:3", tower).features.shape
        (3, 80)
    """
    _check(what, rectify, on_bad, batch_size, workers)
    encode, module, facts = _encoder(model, what)
    tower: Any = getattr(module, "tower", module)
    plan = _Plan(
        size=tuple(tower.size),
        fit=getattr(tower, "fit", "letterbox"),
        page=recipe_page(record_page, facts),
        rectify=rectify,
        reading=Reading(fs_hz, duration_s, pages, max_pixels, dpi),
    )
    listed = list_inputs(inputs, plan.reading)
    sha256 = weights_sha256(module)
    work = _Work(encode, plan, pick_device(), batch_size, workers, on_bad)
    module.to(work.device)
    parts = {"weights": sha256, "what": what, "plan": plan.as_parts(), "device": work.device.type, "on_bad": on_bad}
    features, rows, skipped = _embed_listed(
        listed, work, parts, cache, Counter() if counts is None else counts, on_rows
    )
    provenance = {
        "weights_sha256": sha256,
        "checkpoint": Path(model).name if isinstance(model, (str, PathLike)) else None,
        "what": what,
        "ecgscan_lab": __version__,
        "size": list(plan.size),
        "fit": plan.fit,
        "rectify": rectify,
        "n_inputs": len(listed),
        "skipped": skipped,
    }
    info = {column: tuple(row[column] for row in rows) for column in _INFO}
    return FeatureTable(tuple(row["name"] for row in rows), features, provenance, info)


def _embed_listed(
    listed: Sequence[Listed],
    work: _Work,
    parts: Mapping[str, Any],
    cache: str | PathLike[str] | None,
    counts: Counter[str],
    on_rows: Callable[[int, int], object] | None,
) -> tuple[np.ndarray, list[dict[str, Any]], list[dict[str, str]]]:
    """Features of the readable inputs, what there is to note of each, and the inputs left out."""
    kept: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    with ThreadPoolExecutor(max_workers=work.workers) as pool:
        for start in range(0, len(listed), _CHUNK):
            chunk = listed[start : start + _CHUNK]
            identity = {} if cache is None else {"inputs": _identities(chunk, pool, work.on_bad)}
            compute = partial(_embed_chunk, chunk, work, pool)
            features, notes = cached({**parts, **identity}, cache, compute, counts=counts)
            for item, note in zip(chunk, notes, strict=True):
                if "error" in note:
                    skipped.append({"id": item.name, **note})
                else:
                    rows.append({"name": item.name, **note})
            if len(features):
                kept.append(features)
            if on_rows is not None:
                on_rows(start + len(chunk), len(listed))
    if not rows:
        raise ArgumentError(
            f"none of {len(listed)} inputs could be read, the first because: {skipped[0]['what']}",
            field="inputs",
            expected="at least one readable input",
        )
    return np.concatenate(kept), rows, skipped


def _check(what: str, rectify: str, on_bad: str, batch_size: int, workers: int) -> None:
    for name, value, known in (
        ("what", what, WHATS),
        ("rectify", rectify, get_args(Rectify)),
        ("on_bad", on_bad, ("error", "skip")),
    ):
        if value not in known:
            raise ArgumentError(f"{name} is {value!r}", field=name, expected=" or ".join(known))
    for name, number in (("batch_size", batch_size), ("workers", workers)):
        if number < 1:
            raise ArgumentError(f"{name} is {number!r}", field=name, expected="a whole number of at least 1")


def _encoder(model: torch.nn.Module | str | PathLike[str], what: str) -> tuple[Encode, torch.nn.Module, dict[str, Any]]:
    """(pages -> features, the module that holds the weights, facts of the checkpoint)."""
    facts: dict[str, Any] = {}
    loaded: Any = model
    if isinstance(model, (str, PathLike)):
        loaded, facts = load_model(Path(model))
    if not isinstance(loaded, torch.nn.Module) or not hasattr(getattr(loaded, "tower", loaded), "size"):
        raise ArgumentError(
            f"cannot embed with {type(model).__name__}",
            field="model",
            expected="a checkpoint, a model with a tower, or an image tower with a size",
        )
    if what == "tower":
        tower: Encode = getattr(loaded, "tower", loaded)
        return tower, loaded.eval(), facts
    if not hasattr(loaded, "image_embeddings"):
        raise ArgumentError(
            "an image tower alone has no shared space",
            field="what",
            expected='"tower", or a model with projections',
        )
    shared: Encode = loaded.image_embeddings  # type: ignore[assignment]
    return shared, loaded.eval(), facts


def recipe_page(page: str | PageSpec | None, facts: Mapping[str, Any]) -> PageSpec:
    """The page that recordings are drawn on: the one asked for, else that of a checkpoint's recipe, else compact."""
    if page is None:
        recipe: Any = facts.get("recipe") or {}
        plan = recipe.get("plan") or recipe.get("pages") or recipe
        named = plan.get("page") if isinstance(plan, Mapping) else None
        page = PageSpec(**named) if isinstance(named, Mapping) else named or "compact"
    return page if isinstance(page, PageSpec) else page_named(page)


def _identities(chunk: Sequence[Listed], pool: ThreadPoolExecutor, on_bad: str) -> list[str]:
    """Hash of every input's content; an unreadable one has none, and says so when it is embedded."""

    def identity(item: Listed) -> str:
        try:
            return item.sha256()
        except EcgScanLabError:
            if on_bad == "error":
                raise
            return f"unreadable: {item.name}"

    return list(pool.map(identity, chunk))


def _embed_chunk(
    chunk: Sequence[Listed], work: _Work, pool: ThreadPoolExecutor
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Features of the readable inputs of a chunk, and for every input what there is to note, or its error."""
    notes: list[dict[str, Any]] = []
    parts: list[np.ndarray] = []
    waiting: list[torch.Tensor] = []

    def step() -> None:
        with torch.no_grad(), autocast(work.device):
            parts.append(work.encode(torch.stack(waiting).to(work.device)).float().cpu().numpy())
        waiting.clear()

    for pixels, note in _prepared(chunk, work, pool):
        notes.append(note)
        if pixels is not None:
            waiting.append(pixels)
        if len(waiting) == work.batch_size:
            step()
    if waiting:
        step()
    return (np.concatenate(parts) if parts else np.empty((0, 1), np.float32)), notes


def _prepared(
    chunk: Sequence[Listed], work: _Work, pool: ThreadPoolExecutor
) -> Iterator[tuple[torch.Tensor | None, dict[str, Any]]]:
    """Pixels at the tower's size, in order, read about a batch ahead: small ones, for the threads hold the large."""

    def prepare(item: Listed) -> tuple[torch.Tensor | None, dict[str, Any]]:
        try:
            return _prepare(item, work.plan)
        except EcgScanLabError as error:
            if work.on_bad == "error":
                raise
            return None, said_by(error)

    yield from ahead_in(pool, prepare, chunk, work.workers + work.batch_size)


def _prepare(item: Listed, plan: _Plan) -> tuple[torch.Tensor, dict[str, Any]]:
    """uint8 `[3, height, width]` at the tower's size, and the row of `info`."""
    content = item.decode(item.content())
    note: dict[str, Any] = {"kind": item.kind, "page": item.page, "flat": False, "confidence": None, "note": None}
    if item.fs_hz is not None:
        drawn = draw_pages(content[None], item.fs_hz, plan.page, plan.size, channels_first=True)[0]
        return torch.from_numpy(drawn), {**note, "height_px": plan.size[0], "width_px": plan.size[1], "flat": True}
    note |= {"height_px": content.shape[0], "width_px": content.shape[1]}
    if plan.rectify != "none":
        content = _rectified(content, plan, note)
    return fitted(content, plan.size, plan.fit), note


def _rectified(pixels: np.ndarray, plan: _Plan, note: dict[str, Any]) -> np.ndarray:
    """The picture drawn again or laid flat, as far as that can be done; what could not be is noted."""
    try:
        fit = find_page(pixels)
        if plan.rectify == "redraw":
            try:
                pixels, confidence = redraw_picture(pixels, plan.page, plan.size, fit)
            except PageError as error:
                note["note"] = f"not drawn again: {error.what}"
                pixels, confidence = flatten_picture(pixels, fit)
        else:
            pixels, confidence = flatten_picture(pixels, fit)
        note |= {"flat": True, "confidence": round(confidence, 3)}
    except PageError as error:
        note["note"] = f"not laid flat: {error.what}"
    return pixels


def fitted(pixels: np.ndarray, size: tuple[int, int], fit: str = "letterbox") -> torch.Tensor:
    """One picture, uint8 `[height, width, 3]`, at a tower's size, uint8 `[3, *size]`: whole, never cropped.

    A picture more than four times too large is first averaged down by a whole factor, which bounds time and memory.
    """
    factor = min(pixels.shape[0] // (2 * size[0]), pixels.shape[1] // (2 * size[1]))
    if factor >= 2:
        shape = (pixels.shape[1] // factor, pixels.shape[0] // factor)
        pixels = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA)
    images = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]  # a copy: a decoder's may be read-only
    return fit_page(images, size, fit)[0]
