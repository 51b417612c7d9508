"""Recordings in, ECG pages out: one page with its full ground truth, or many at once for training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from ecgscan_lab.cores import usable_cores
from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import raster
from ecgscan_lab.render.framing import page_homography, page_size_px
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.plan import Plan, plan_page
from ecgscan_lab.render.segments import page_segments
from ecgscan_lab.types import EcgImage, EcgRecord, PageMap

if TYPE_CHECKING:
    from ecgscan_lab.render.degrade import DegradeParams

Box = tuple[float, float, float, float]

MAX_MV = 100.0
"""No heart makes a tenth of a volt at the skin; larger numbers are microvolts or raw counts."""


def draw_page(
    record: EcgRecord,
    page: PageSpec | None = None,
    degrade: str | DegradeParams | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    dpi: float | None = None,
) -> EcgImage:
    """Draw one recording as a page, with the place of every sample, lead and letter.

    A recording that ends early leaves the rest empty, samples that are not finite leave gaps, and ink beyond the sheet
    is cut off and counted in `clipped`. A lead name sits above the start of its trace, or where it meets least ink.

    Args:
        record: the recording, in millivolts. Nothing of its identity, labels or report is drawn.
        page: the page, `PageSpec()` when None.
        degrade: a preset of `degrade.PRESETS` ("scan", "photo", "fax", "paper", "mixture") whose parameters are sampled
            from `seed`, or the parameters themselves; None and "clean" draw the page as printed.
        size: (height, width) in pixels; the page is centred and keeps its shape, the rest is plain paper.
        seed: seed of every random choice. The same seed gives the same page, whatever was drawn before.
        dpi: pixels an inch, instead of `size`; 200 when neither is given.

    Returns:
        The picture. `polylines` holds (x, y) for every shown sample, also where it lies beyond the sheet (NaN stays
        NaN). `boxes` holds the ink of each trace ("I", ..., "II rhythm"), of each name ("text I"), of the pulses
        ("pulse 1", top row first), and of "text scale", "text header 1", "text note 1". All follow the degradation.

    Raises:
        PageError: the signal is empty, misshapen or beyond 100 mV, or the picture would be absurdly small or large.
        ArgumentError: unknown preset.

    Properties: geometry holds within a pixel at any size, deterministic, same pixels as `draw_pages`.

    Example:
        >>> record = EcgRecord("flat", np.zeros((12, 1000), np.float32), fs_hz=100.0)
        >>> image = draw_page(record, dpi=100)
        >>> image.pixels.shape, image.windows["V1"]
        ((850, 1100, 3), (500, 750))
        >>> np.round(np.diff(image.polylines["V1"][[0, 100], 0]), 2)  # 1 s is 25 mm
        array([98.43])
    """
    page = PageSpec() if page is None else page
    _check_kinds(record, page, seed)
    signal_mv = _check_signal(record.signal_mv, record.fs_hz, ndim=2)
    size = page_size_px(page, size, dpi)
    params = degradation_for(degrade, seed)
    draw_size = size if params is None else _clean_size(params, size)
    plan = plan_page(page, draw_size, float(record.fs_hz), signal_mv.shape[1])
    pixels = np.empty((*draw_size, 3), np.uint8)
    text_px = _draw(plan, signal_mv, pixels, channels_first=False)
    page_map = PageMap(page_homography(page, size))
    if params is not None:
        page_map, pixels = _degrade(pixels, page, params, size)

    lines_mm, windows, origins, gains = {}, {}, {}, {}
    for segment, row in zip(page_segments(page), plan.segments, strict=True):
        first, stop = windows[segment.name] = (int(row[4]), int(row[5]))
        mv = signal_mv[int(row[0]), first:stop].astype(np.float64)
        mv[np.isinf(mv)] = np.nan  # a gap, too
        x_mm = segment.x0_mm + page.paper_speed_mm_per_s * (np.arange(first, stop) / record.fs_hz - segment.t0_s)
        lines_mm[segment.name] = np.column_stack([x_mm, segment.baseline_mm - segment.gain_mm_per_mv * mv])
        origins[segment.name] = (segment.x0_mm, segment.baseline_mm, segment.t0_s)
        gains[segment.name] = segment.gain_mm_per_mv
    polylines = dict(zip(lines_mm, _moved(page_map, lines_mm.values()), strict=True))
    return EcgImage(
        pixels=pixels,
        page_map=page_map,
        polylines=polylines,
        boxes=_boxes(plan, page, page_map, polylines, text_px, size),
        windows=windows,
        origins_mm=origins,
        gains_mm_per_mv=gains,
        paper_speed_mm_per_s=page.paper_speed_mm_per_s,
        fs_hz=record.fs_hz,
        seed=seed,
        page=page,
        degradation=params,
        clipped=_clipped(page, lines_mm, polylines, size),
        painter=partial(_coverage, plan, page, signal_mv, page_map, size),
    )


def _check_kinds(record: EcgRecord, page: PageSpec, seed: int) -> None:
    if not isinstance(record, EcgRecord):
        raise ArgumentError(
            f"cannot draw a {type(record).__name__}",
            field="record",
            expected="an EcgRecord",
            fix='wrap the signal: EcgRecord("name", signal_mv, fs_hz), rows in LEADS order, in millivolts',
        )
    if not isinstance(page, PageSpec):
        raise ArgumentError(
            f"a page cannot be {page if isinstance(page, str) else type(page).__name__!r}",
            field="page",
            expected="a PageSpec",
            fix='PageSpec(layout="6x2"), PageSpec.machine("mac") or PageSpec.on("a4")',
        )
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ArgumentError(f"the seed is {seed!r}", field="seed", expected="an integer from 0")


def degradation_for(degrade: str | DegradeParams | None, seed: int) -> DegradeParams | None:
    """The degradation of a page: as given, or sampled from a preset and the page's seed; None for a clean page.

    Raises:
        ArgumentError: unknown preset.
    """
    if degrade is None or degrade == "clean":
        return None
    from ecgscan_lab.render.degrade import DegradeParams, sample_params

    if isinstance(degrade, str):
        return sample_params(np.random.default_rng(seed), degrade)
    if not isinstance(degrade, DegradeParams):
        raise ArgumentError(
            f"cannot degrade a page by {degrade!r}", field="degrade", expected="None, a preset's name, or DegradeParams"
        )
    return degrade


def _clean_size(params: DegradeParams, size: tuple[int, int]) -> tuple[int, int]:
    from ecgscan_lab.render.degrade import clean_size

    return clean_size(params, size)


def _degrade(
    clean: np.ndarray, page: PageSpec, params: DegradeParams, size: tuple[int, int]
) -> tuple[PageMap, np.ndarray]:
    """Where the degraded page lies, and its pixels."""
    from ecgscan_lab.render.degrade import apply_params, sheet_map

    page_mm = (page.width_mm, page.height_mm)
    page_map = sheet_map(params, page_mm, size, PageMap(page_homography(page, size)))
    clean_map = PageMap(page_homography(page, clean.shape[:2]))
    return page_map, apply_params(clean, params, clean_map, page_map, page_mm, size)


def _draw(plan: Plan, signal_mv: np.ndarray, picture: np.ndarray, channels_first: bool) -> np.ndarray:
    """Fill one C-contiguous picture; return the (x, y) that each text was given."""
    texts = plan.texts
    chosen = np.empty((len(texts.prints), 2), np.int64)
    raster.draw(
        picture.reshape(-1),
        _frame(plan, channels_first),
        plan.colours,
        plan.grid,
        signal_mv,
        plan.segments,
        plan.dx,
        plan.pen,
        plan.bars,
        texts.atlas,
        texts.masks,
        texts.places,
        texts.clearance,
        chosen,
    )
    return chosen


def _frame(plan: Plan, channels_first: bool) -> tuple[int, ...]:
    height, width = plan.size
    return (height, width, *((width, 1, height * width) if channels_first else (3 * width, 3, 1)), *plan.bounds)


def _coverage(
    plan: Plan, page: PageSpec, signal_mv: np.ndarray, page_map: PageMap, size: tuple[int, int], name: str
) -> np.ndarray:
    """Coverage of one trace, drawn alone by the same kernel and sent through the same map as the page."""
    index = [segment.name for segment in page_segments(page)].index(name)
    lead, _, x_first, baseline, first, stop, px_per_mv = plan.segments[index]
    sheet = np.zeros((*plan.size, 3), np.uint8)
    place = (x_first, plan.dx, baseline, px_per_mv)
    samples = signal_mv[int(lead), int(first) : int(stop)]
    raster.draw_coverage(sheet.reshape(-1), _frame(plan, channels_first=False), samples, place, plan.pen)
    clean_map = PageMap(page_homography(page, plan.size))
    if plan.size == size and page_map.bend is None and np.array_equal(page_map.homography, clean_map.homography):
        return np.ascontiguousarray(sheet[..., 0])
    from ecgscan_lab.render.degrade import warp_coverage

    return warp_coverage(np.ascontiguousarray(sheet[..., 0]), clean_map, page_map, size)


def _check_signal(signal_mv: np.ndarray, fs_hz: float, ndim: int) -> np.ndarray:
    signal_mv = np.ascontiguousarray(signal_mv, dtype=np.float32)
    if signal_mv.ndim != ndim or signal_mv.shape[-2] != len(LEADS) or signal_mv.shape[-1] < 1:
        raise PageError(
            f"cannot draw a signal of shape {signal_mv.shape}",
            field="signal_mv",
            expected=f"{'[batch, ' if ndim == 3 else '['}12, time] in millivolts with at least one sample",
        )
    if not (np.isfinite(fs_hz) and 1.0 <= fs_hz <= 1e5):
        raise PageError(f"cannot draw a signal sampled at {fs_hz} Hz", field="fs_hz", expected="from 1 to 100000 Hz")
    largest = raster.largest_amplitude(signal_mv.reshape(-1, signal_mv.shape[-1]))
    if largest > MAX_MV:
        raise PageError(
            f"the signal reaches {largest:.4g} mV",
            field="signal_mv",
            expected=f"millivolts, at most {MAX_MV:g} in magnitude",
            fix="divide microvolts by 1000, or raw counts by the gain",
        )
    return signal_mv


def _moved(page_map: PageMap, lines_mm: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Several sets of points through the map at once, which a bent sheet makes worth while."""
    lines_mm = list(lines_mm)
    if not lines_mm:
        return []
    ends = np.cumsum([len(line) for line in lines_mm])
    return np.split(page_map.to_px(np.concatenate(lines_mm)), ends[:-1])


def _clipped(
    page: PageSpec, lines_mm: Mapping[str, np.ndarray], polylines: Mapping[str, np.ndarray], size: tuple[int, int]
) -> dict[str, int]:
    """Trace -> recorded samples beyond the sheet or outside the picture; traces that are whole are left out."""
    clipped = {}
    for name, line in polylines.items():
        on_sheet = ((lines_mm[name] >= 0) & (lines_mm[name] <= (page.width_mm, page.height_mm))).all(axis=1)
        in_picture = ((line >= 0) & (line <= size[::-1])).all(axis=1)
        lost = np.isfinite(line).all(axis=1) & ~(on_sheet & in_picture)
        if lost.any():
            clipped[name] = int(lost.sum())
    return clipped


def _boxes(
    plan: Plan,
    page: PageSpec,
    page_map: PageMap,
    polylines: Mapping[str, np.ndarray],
    text_px: np.ndarray,
    size: tuple[int, int],
) -> dict[str, Box]:
    """Ink boxes of traces, pulses and texts, cut at the sheet and the picture; what left no ink has no box."""
    to_mm = PageMap(page_homography(page, plan.size)).to_mm
    outlines = {"": _outline(np.array([0.0, 0.0, page.width_mm, page.height_mm]))}
    for number, bars in enumerate(plan.bars[: 5 * plan.n_pulses].reshape(-1, 5, 4), start=1):
        outlines[f"pulse {number}"] = to_mm(
            _outline(np.concatenate([bars[:, :2].min(axis=0), bars[:, 2:].max(axis=0)]))
        )
    for text, (_, height, width), (x, y) in zip(plan.texts.prints, plan.texts.masks, text_px, strict=True):
        if height:
            outlines[text.name] = to_mm(_outline(np.array([x, y, x + width, y + height], np.float64)))
    px = dict(zip(outlines, _moved(page_map, outlines.values()), strict=True))
    sheet = px.pop("")
    lowest, highest = np.maximum(sheet.min(axis=0), 0.0), np.minimum(sheet.max(axis=0), size[::-1])
    radius_px = page.trace_width_mm / 2 * _px_per_mm(page, page_map)
    traces = {name: line[np.isfinite(line).all(axis=1)] for name, line in polylines.items()}
    boxes: dict[str, Box] = {}
    for name, points in {**{name: line for name, line in traces.items() if len(line)}, **px}.items():
        margin = radius_px if name in traces else 0.0
        low, high = np.maximum(points.min(axis=0) - margin, lowest), np.minimum(points.max(axis=0) + margin, highest)
        if (low < high).all():
            boxes[name] = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return boxes


def _px_per_mm(page: PageSpec, page_map: PageMap) -> float:
    """Largest stretch of the map in the middle of the page."""
    middle = np.array([page.width_mm / 2, page.height_mm / 2])
    here, right, down = page_map.to_px(middle + np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]])) * 10
    return float(max(np.linalg.norm(right - here), np.linalg.norm(down - here)))


def _outline(box: np.ndarray, steps: int = 8) -> np.ndarray:
    """Points `[4 * steps, 2]` along the edge of a box (x0, y0, x1, y1): once bent, it may reach beyond its corners."""
    share = np.linspace(0.0, 1.0, steps, endpoint=False)[:, None]
    corners = box[[0, 1, 2, 1, 2, 3, 0, 3, 0, 1]].reshape(5, 2)
    return np.concatenate([a + share * (b - a) for a, b in pairwise(corners)])


def draw_pages(
    signals_mv: np.ndarray,
    fs_hz: float,
    pages: PageSpec | Sequence[PageSpec],
    size: tuple[int, int],
    *,
    degrade: Sequence[DegradeParams | None] | DegradeParams | None = None,
    out: np.ndarray | None = None,
    n_threads: int | None = None,
    channels_first: bool = False,
) -> np.ndarray:
    """Draw a batch of pages without ground truth: the fast path of training.

    Both memory orders cost the same; ask for the one that comes next (`channels_first=True` for torch).

    Args:
        signals_mv: `[batch, 12, time]` in millivolts.
        fs_hz: sampling rate in hertz.
        pages: one page for all, or one a recording.
        size: (height, width) in pixels.
        degrade: what befalls every page, or each one; None keeps pages clean (`degrade.sample_params` samples one).
        out: a C-contiguous uint8 array of the result's shape to draw into.
        n_threads: threads; None takes as many as the process may use. The kernels release the GIL.
        channels_first: return `[batch, 3, height, width]` instead of `[batch, height, width, 3]`.

    Returns:
        uint8 `[batch, height, width, 3]`, or `[batch, 3, height, width]`.

    Raises:
        PageError: as `draw_page`.
        ArgumentError: `pages`, `degrade` or `out` does not fit the batch.

    Properties: same pixels as `draw_page`, whatever the batch, its order, or the number of threads.

    Example:
        >>> draw_pages(np.zeros((2, 12, 1000), np.float32), 100.0, PageSpec.compact(), (192, 448)).shape
        (2, 192, 448, 3)
    """
    signals_mv = _check_signal(signals_mv, fs_hz, ndim=3)
    batch = len(signals_mv)
    pages = [pages] * batch if isinstance(pages, PageSpec) else list(pages)
    if len(pages) != batch:
        raise ArgumentError(f"{len(pages)} pages for {batch} recordings", field="pages", expected="one a recording")
    params = list(degrade) if isinstance(degrade, Sequence) else [degrade] * batch
    if len(params) != batch:
        raise ArgumentError(f"{len(params)} degradations for {batch} recordings", field="degrade", expected="one each")
    if not pages:
        raise PageError("there is no recording to draw", field="signals_mv", expected="at least one")
    size = page_size_px(pages[0], size)
    shape = (batch, 3, *size) if channels_first else (batch, *size, 3)
    if out is None:
        out = np.empty(shape, np.uint8)
    elif out.shape != shape or out.dtype != np.uint8 or not out.flags.c_contiguous:
        raise ArgumentError(
            f"cannot draw into {out.dtype} {out.shape}", field="out", expected=f"C-contiguous uint8 {shape}"
        )

    def draw_span(span: range) -> None:
        for i in span:
            _draw_into(out[i], signals_mv[i], float(fs_hz), pages[i], params[i], size, channels_first)

    n_threads = min(batch, usable_cores() if n_threads is None else max(1, n_threads))
    if n_threads == 1:
        draw_span(range(batch))
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(draw_span, [range(k, batch, n_threads) for k in range(n_threads)]))
    return out


def _draw_into(
    out: np.ndarray,
    signal_mv: np.ndarray,
    fs_hz: float,
    page: PageSpec,
    params: DegradeParams | None,
    size: tuple[int, int],
    channels_first: bool,
) -> None:
    """One page of a batch."""
    n_samples = signal_mv.shape[1]
    if params is None:
        _draw(plan_page(page, size, fs_hz, n_samples), signal_mv, out, channels_first)
        return
    clean_size = _clean_size(params, size)
    clean = np.empty((*clean_size, 3), np.uint8)
    _draw(plan_page(page, clean_size, fs_hz, n_samples), signal_mv, clean, channels_first=False)
    pixels = _degrade(clean, page, params, size)[1]
    out[...] = pixels.transpose(2, 0, 1) if channels_first else pixels
