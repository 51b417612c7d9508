"""The rasteriser batched in torch, for any device, and differentiable: the gradient flows from pixel to millivolt.

The same maths as `render/raster.py` (see there, and `strokes.py`): exact-area grid, strokes of a round pen, rectangles,
lettering. All ink of a page has one colour, so its parts multiply their transparencies,

    pixel = T paper + (1 - T) ink,    T = T_traces T_bars T_text,

and one pass over the picture composes it. The Numba kernels round to whole grey levels after every part and to 1/256 of
coverage; here nothing is rounded before the end. The pictures agree within `TOLERANCE` grey levels, but for a lead name
that meets a trace within rounding and so takes another place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.framing import page_size_px
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.tensors.pages import PageGroup, TorchPages, prepare_pages
from ecgscan_lab.render.tensors.strokes import NOWHERE, stroke_edges, stroke_transparency

TOLERANCE = 3
"""Largest difference from the Numba rasteriser, in grey levels of 255."""


def draw_batch(
    signals_mv: Tensor,
    fs_hz: float,
    pages: PageSpec | Sequence[PageSpec] | TorchPages | None = None,
    size: tuple[int, int] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    compile: bool = False,  # noqa: A002 - torch's own word
) -> Tensor:
    """Draw a batch of clean pages on the device of the signals, differentiable with respect to them.

    **Equation**: pixel = T paper + (1 - T) ink with T the product of the transparencies of traces, rectangles and
    lettering; d pixel / d u = (paper - ink) dT/dy (-px per mV) at the edges of the stroke and 0 elsewhere.

    Args:
        signals_mv: `[batch, 12, time]` in millivolts, float32 or float64; values that are not finite leave gaps.
        fs_hz: sampling rate in hertz.
        pages: one page for all, one a recording, or what `prepare_pages` made of them (saves the host's work when the
            same pages are drawn again); `PageSpec()` when None.
        size: (height, width) in pixels; 200 dpi when None.
        dtype: `torch.uint8` for pictures 0 to 255, a floating type for pictures 0 to 1 with a gradient.
        compile: fuse the work over the pixels with `torch.compile`, for GPUs: one pass over memory instead of hundreds.
            The first call takes a minute.

    Returns:
        `[batch, 3, height, width]` of `dtype` on the device of `signals_mv`.

    Raises:
        ArgumentError: the signals are misshapen, or the pages do not fit the batch.
        PageError: an impossible rate or size.

    Properties: agrees with `draw_pages` within `TOLERANCE` grey levels, gradient equals finite differences, a page does
    not depend on its batch.

    Example:
        >>> signals = torch.zeros(2, 12, 1000, requires_grad=True)
        >>> pictures = draw_batch(signals, 100.0, PageSpec.compact(), (192, 448))
        >>> pictures.shape, pictures.requires_grad
        (torch.Size([2, 3, 192, 448]), True)
    """
    prepared = _prepare(signals_mv, fs_hz, pages, size)
    if len(prepared.groups) == 1:
        return _draw(signals_mv, prepared.groups[0], dtype, compile)
    pictures = torch.cat([_draw(signals_mv[group.index], group, dtype, compile) for group in prepared.groups])
    return pictures[prepared.order]


def _prepare(
    signals_mv: Tensor,
    fs_hz: float,
    pages: PageSpec | Sequence[PageSpec] | TorchPages | None,
    size: tuple[int, int] | None,
) -> TorchPages:
    real = isinstance(signals_mv, Tensor) and signals_mv.dtype in (torch.float32, torch.float64)
    if not real or signals_mv.ndim != 3 or signals_mv.shape[1] != len(LEADS) or 0 in signals_mv.shape:
        given = f"{signals_mv.dtype} {tuple(signals_mv.shape)}" if isinstance(signals_mv, Tensor) else type(signals_mv)
        raise ArgumentError(
            f"cannot draw {given}",
            field="signals_mv",
            expected="a float32 or float64 tensor [batch, 12, time] in millivolts, with at least one page and sample",
        )
    batch, n_samples = len(signals_mv), signals_mv.shape[2]
    if isinstance(pages, TorchPages):
        if (pages.batch, pages.fs_hz, pages.n_samples) != (batch, fs_hz, n_samples) or size not in (None, pages.size):
            raise ArgumentError(
                "the prepared pages belong to another batch",
                field="pages",
                expected=f"{pages.batch} recordings of {pages.n_samples} samples at {pages.fs_hz:g} Hz",
            )
        return pages
    if not 1.0 <= fs_hz <= 1e5:
        raise PageError(f"cannot draw a signal sampled at {fs_hz} Hz", field="fs_hz", expected="from 1 to 100000 Hz")
    pages = PageSpec() if pages is None else pages
    pages = [pages] * batch if isinstance(pages, PageSpec) else list(pages)
    if len(pages) != batch:
        raise ArgumentError(f"{len(pages)} pages for {batch} recordings", field="pages", expected="one a recording")
    return prepare_pages(pages, page_size_px(pages[0], size), float(fs_hz), n_samples, signals_mv.device)


def _draw(signals_mv: Tensor, group: PageGroup, dtype: torch.dtype, compiled: bool) -> Tensor:
    upper, lower = stroke_edges(signals_mv, group)
    stamped = _stamp(group, *_row_ink(upper.detach(), lower.detach(), group))
    compose = _compiled_compose() if compiled else _compose
    return compose(upper, lower, stamped, group, dtype, not compiled)


@lru_cache(maxsize=1)
def _compiled_compose() -> Callable[..., Tensor]:
    return torch.compile(_compose, dynamic=False)


def _compose(
    upper: Tensor, lower: Tensor, stamped: Tensor, group: PageGroup, dtype: torch.dtype, banded: bool
) -> Tensor:
    """Paper, strokes, rectangles and lettering in one picture `[page, 3, height, width]`."""
    clear = stroke_transparency(upper, lower, group.size[0], banded=banded)
    clear = clear * _bar_transparency(group).to(clear.dtype) * torch.exp(stamped).to(clear.dtype)
    scale = 1.0 if dtype == torch.uint8 else 1.0 / 255.0
    paper = _paper(group).to(clear.dtype)
    ink = group.colours[:, 3, :, None, None].to(clear.dtype)
    picture = (ink + (paper - ink) * clear[:, None]) * scale
    return (picture + 0.5).to(dtype) if dtype == torch.uint8 else picture.to(dtype)


def _line_transparency(n: int, origin: Tensor, step: Tensor, line: Tensor) -> Tensor:
    """1 - coverage of pixels [0, n) under lines every `step` through `origin`, by exact area `[page, n]`."""
    edge = torch.arange(n + 1, device=origin.device, dtype=origin.dtype)
    origin, step, line = origin[:, None], step[:, None], line[:, None]
    k = torch.floor((edge - origin + line / 2) / step)
    before = k * line + torch.minimum(edge - origin + line / 2 - k * step, line)
    cover = torch.where(step < 2.0, line / step, torch.diff(before, dim=1))
    return 1.0 - cover


def _paper(group: PageGroup) -> Tensor:
    """The sheet with its grid, and plain paper around it, 0 to 255 `[page, 3, height, width]`."""
    height, width = group.size
    origin_x, origin_y, minor_step, minor_line, major_step, major_line = group.grid.unbind(1)
    colours = group.colours
    minor_x, minor_y = (
        _line_transparency(n, o, minor_step, minor_line).to(colours.dtype)
        for n, o in ((width, origin_x), (height, origin_y))
    )
    major_x, major_y = (
        _line_transparency(n, o, major_step, major_line).to(colours.dtype)
        for n, o in ((width, origin_x), (height, origin_y))
    )
    minor = (minor_y[:, :, None] * minor_x[:, None, :])[:, None]
    major = (major_y[:, :, None] * major_x[:, None, :])[:, None]
    sheet, thin, thick = (colours[:, k, :, None, None] for k in range(3))
    grid = thick + major * (thin - thick + minor * (sheet - thin))
    row, column = (torch.arange(n, device=colours.device) for n in (height, width))
    y0, y1, x0, x1 = (group.bounds[:, k, None] for k in range(4))
    inside = ((row >= y0) & (row < y1))[:, :, None] & ((column >= x0) & (column < x1))[:, None, :]
    return torch.where(inside[:, None], grid, sheet)


def _bar_transparency(group: PageGroup) -> Tensor:
    """Transparency of the rectangles, `[page, height, width]`.

    The coverage of one is an outer product, so power sums over all of them are matrix products; Newton's identities
    turn these into the product of the transparencies of up to three that share a pixel.
    """
    bars, dtype = group.bars, torch.float32
    cover = []
    for n, axis in zip(group.size, (1, 0), strict=True):
        first, stop = (group.bounds[:, k, None].to(bars.dtype) for k in ((0, 1) if axis else (2, 3)))
        pixel = torch.arange(n, device=bars.device, dtype=bars.dtype)
        low, high = torch.maximum(bars[..., axis], first), torch.minimum(bars[..., axis + 2], stop)
        share = torch.minimum(high[..., None], pixel + 1) - torch.maximum(low[..., None], pixel)
        cover.append(share.clamp(min=0.0).to(dtype))
    rows, columns = cover
    p1, p2, p3 = (torch.bmm((rows**k).transpose(1, 2), columns**k) for k in (1, 2, 3))
    return (1.0 - p1 + (p1 * p1 - p2) / 2 - (p1**3 - 3 * p1 * p2 + 2 * p3) / 6).clamp(0.0, 1.0)


def _row_ink(upper: Tensor, lower: Tensor, group: PageGroup) -> tuple[Tensor, Tensor]:
    """Highest and lowest ink of every row of traces in every column, `[page, row, column]`."""
    inked = upper < lower
    shape = (len(upper), group.rows, -1, upper.shape[2], group.n_sub)
    top = torch.where(inked, upper, NOWHERE).reshape(shape).amin(dim=(2, 4))
    return top, torch.where(inked, lower, -NOWHERE).reshape(shape).amax(dim=(2, 4))


def _choose_places(group: PageGroup, row_top: Tensor, row_bottom: Tensor) -> Tensor:
    """Top left corner (x, y) of each text: the first place that meets no trace, else the least ink."""
    if group.reach == 0:
        return group.places[:, :, 0]
    batch, rows, width = row_top.shape
    gap = group.clearance[:, None, None]
    x, y = group.places.unbind(-1)
    height, text_width = (group.text_size[..., k, None] for k in range(2))
    stop = (x + text_width + gap).clamp(max=width)
    reach = torch.arange(min(width, group.reach), device=x.device)
    column = (x - gap).clamp(min=0)[..., None] + reach
    index = column.clamp(max=width - 1).reshape(batch, 1, -1).expand(-1, rows, -1)
    top, bottom = (torch.gather(t, 2, index).reshape(batch, rows, *column.shape[1:]) for t in (row_top, row_bottom))
    low, high = (y - gap)[:, None, ..., None], (y + height + gap)[:, None, ..., None]
    met = (torch.minimum(bottom, high.to(bottom.dtype)) - torch.maximum(top, low.to(top.dtype))).clamp(min=0.0)
    ink = torch.where((column < stop[..., None])[:, None], met, 0.0).sum(dim=(1, 4))
    best = torch.argmin(ink, dim=2)  # the first of equals
    return torch.gather(group.places, 2, best[:, :, None, None].expand(-1, -1, 1, 2))[:, :, 0]


def _stamp(group: PageGroup, row_top: Tensor, row_bottom: Tensor) -> Tensor:
    """Logarithm of the transparency of the lettering, `[page, height, width]`."""
    height, width = group.size
    batch, texts = group.text_size.shape[:2]
    clear = torch.zeros(batch * height * width, device=row_top.device)
    if len(group.stamp_text):
        corner = _choose_places(group, row_top, row_bottom).reshape(-1, 2)
        x, y = (corner[group.stamp_text] + group.stamp_shift).unbind(1)
        page = group.stamp_text // texts
        y0, y1, x0, x1 = group.bounds[page].unbind(1)
        inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        index = torch.where(inside, (page * height + y) * width + x, 0)
        clear.index_add_(0, index, torch.where(inside, group.stamp_ink, 0.0))
    return clear.reshape(batch, height, width)
