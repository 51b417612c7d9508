"""The pen strokes of `raster.py` for a whole batch at once in torch: from millivolts to the transparency of the traces.

Every sub-column of a picture, in every row of traces, belongs to one segment of the page. So the polyline heights of a
batch form one tensor `[page, layer, sub-column]`, found by two gathers; peaks between abscissae take a few more. The
pen widens it to edges [upper, lower], and pixel i of a column keeps the transparency

    T_i = product over layers of  1 - mean over sub-columns of |[upper, lower] n [i, i + 1]|

with dT/dlower = -(product of the others) / S where lower lies in pixel i: a gather, no sum over pixels, is all that the
gradient needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ecgscan_lab.render.raster import FAR_PX

if TYPE_CHECKING:
    from ecgscan_lab.render.tensors.pages import PageGroup

NOWHERE = 1e9
"""Stands for "no trace here": below every picture for an upper edge, above it for a lower one."""


def _choose(group: PageGroup, sub: Tensor, field: Tensor) -> Tensor:
    """Value of a per-segment `field` `[page, layer, part]` at every sub-column `[page, layer, sub-column]`."""
    value = field[..., :1].expand(-1, -1, len(sub))
    for part in range(1, field.shape[-1]):
        value = torch.where(sub >= group.starts[..., part, None], field[..., part, None], value)
    return value


def polyline_heights(signals_mv: Tensor, group: PageGroup) -> tuple[Tensor, Tensor]:
    """Least and greatest height of every trace in every sub-column, in pixels; `NOWHERE` where there is none.

    Args:
        signals_mv: `[page, 12, time]`; values that are not finite leave gaps.
        group: the pages.

    Returns:
        (top, bottom), each `[page, layer, sub-column]`, with `group.pad` columns to spare at both sides.
    """
    batch, _, n_time = signals_mv.shape
    dtype, exact = signals_mv.dtype, group.starts.dtype
    sub = torch.arange(group.first_sub, group.last_sub, device=signals_mv.device, dtype=exact)
    x_first, count, offset = (_choose(group, sub, f) for f in (group.x_first, group.count, group.offset))
    baseline, px_per_mv = (_choose(group, sub, f).to(dtype) for f in (group.baseline, group.px_per_mv))
    dx = group.dx[:, None, None]

    finite = torch.isfinite(signals_mv)
    clean = torch.where(finite, signals_mv, 0.0)
    flat, flat_finite = clean.reshape(batch, -1), finite.reshape(batch, -1)
    step = torch.diff(clean, dim=-1)
    turning = torch.ones_like(finite)
    turning[..., 1:-1] = ~((step[..., :-1] * step[..., 1:] > 0) & finite[..., :-2] & finite[..., 2:])
    flat_turning = (turning & finite).reshape(batch, -1)

    def look_up(table: Tensor, sample: Tensor) -> Tensor:
        index = (offset + sample).clamp(0, 12 * n_time - 1).long()
        return torch.gather(table, 1, index.reshape(batch, -1)).reshape(sample.shape)

    def height(mv: Tensor) -> Tensor:
        return (baseline - px_per_mv * mv).clamp(-FAR_PX, FAR_PX)

    u = ((sub + 0.5) / group.n_sub - x_first) / dx
    i = torch.floor(u)
    inside = (i >= 0) & (i + 1 < count)
    inside = inside & look_up(flat_finite, i) & look_up(flat_finite, i + 1)
    low, high = look_up(flat, i), look_up(flat, i + 1)
    middle = height(low + (u - i).to(dtype) * (high - low))
    top, bottom = torch.where(inside, middle, NOWHERE), torch.where(inside, middle, -NOWHERE)

    earliest = torch.ceil((sub / group.n_sub - x_first) / dx - 1e-9)
    for k in range(group.peaks):
        i = earliest + k
        here = (i >= 0) & (i < count) & (torch.floor((x_first + i * dx) * group.n_sub) == sub)
        turns = look_up(flat_turning, i) | ((i == 0) | (i == count - 1)) & look_up(flat_finite, i)
        peak, here = height(look_up(flat, i)), here & turns
        top = torch.minimum(top, torch.where(here, peak, NOWHERE))
        bottom = torch.maximum(bottom, torch.where(here, peak, -NOWHERE))
    return top, bottom


def _widen(edge: Tensor, sign: float, group: PageGroup) -> Tensor:
    """Outer edge of a round pen along `edge`: the upper one for sign -1 (y points down), else the lower."""
    pad = group.widest + 1
    edge = torch.nn.functional.pad(sign * edge, (pad, pad), value=-NOWHERE)
    n = edge.shape[-1] - 2 * pad
    radius = (group.radius_sub).to(edge.dtype)[:, None, None]
    reach = torch.floor(radius)
    best = edge.new_full((*edge.shape[:2], n), -NOWHERE)
    for k in range(-group.widest, group.widest + 1):
        offset = torch.where(reach >= abs(k), (radius * radius - k * k).clamp(min=0.0).sqrt() / group.n_sub, -NOWHERE)
        best = torch.maximum(best, edge[..., pad + k : pad + k + n] + offset)
    for k in range(group.widest + 1):
        for side in (-1, 1):
            inner = edge[..., pad + side * k : pad + side * k + n]
            outer = edge[..., pad + side * (k + 1) : pad + side * (k + 1) + n]
            drawn = (reach == k) & (inner > -NOWHERE / 2) & (outer > -NOWHERE / 2)
            best = torch.maximum(best, torch.where(drawn, inner + (radius - reach) * (outer - inner), -NOWHERE))
    return sign * best


def stroke_edges(signals_mv: Tensor, group: PageGroup) -> tuple[Tensor, Tensor]:
    """Edges of all strokes, cut at the sheet.

    Returns:
        (upper, lower), each `[page, layer, column, sub-column]` in pixels; where there is no ink, upper >= lower.
    """
    top, bottom = polyline_heights(signals_mv, group)
    width = group.size[1]
    span = slice(group.pad * group.n_sub, (group.pad + width) * group.n_sub)
    upper, lower = _widen(top, -1.0, group)[..., span], _widen(bottom, 1.0, group)[..., span]
    y0, y1, x0, x1 = (group.bounds[:, k, None, None].to(upper.dtype) for k in range(4))
    column = torch.arange(width * group.n_sub, device=upper.device) // group.n_sub
    outside = (column < x0) | (column >= x1)
    upper = torch.where(outside, NOWHERE, torch.maximum(upper, y0))
    lower = torch.where(outside, -NOWHERE, torch.minimum(lower, y1))
    shape = (*upper.shape[:2], width, group.n_sub)
    return upper.reshape(shape), lower.reshape(shape)


def _cover(upper: Tensor, lower: Tensor, first: int, stop: int) -> Tensor:
    """Coverage `[page, row, column]` of rows [first, stop) by strokes `[page, column, sub-column]`."""
    row = torch.arange(first, stop, device=upper.device, dtype=upper.dtype)[:, None]
    parts = [
        (torch.minimum(b[:, None], row + 1) - torch.maximum(a[:, None], row)).clamp(min=0.0)
        for a, b in zip(upper.unbind(-1), lower.unbind(-1), strict=True)
    ]
    return sum(parts[1:], parts[0]) / len(parts)


class _Cover(torch.autograd.Function):
    """`_cover` whose gradient is gathered at the edges instead of being stored for every pixel."""

    @staticmethod
    def forward(ctx: Any, upper: Tensor, lower: Tensor, first: int, stop: int) -> Tensor:
        ctx.save_for_backward(upper, lower)
        ctx.rows = first, stop
        return _cover(upper, lower, first, stop)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (grad,) = grads
        upper, lower = ctx.saved_tensors
        first, stop = ctx.rows
        pulls = []
        for edge, sign in ((upper, -1.0), (lower, 1.0)):
            row = torch.floor(edge) - first
            seen = (upper < lower) & (row >= 0) & (row < stop - first)
            index = row.clamp(0, stop - first - 1).long().transpose(1, 2)
            pull = torch.gather(grad, 1, index).transpose(1, 2)
            pulls.append(torch.where(seen, pull * (sign / upper.shape[-1]), 0.0))
        return pulls[0], pulls[1], None, None


def stroke_transparency(upper: Tensor, lower: Tensor, height: int, *, banded: bool) -> Tensor:
    """Transparency of all traces together, `[page, height, width]`.

    Args:
        upper, lower: `[page, layer, column, sub-column]` from `stroke_edges`.
        height: rows of the picture.
        banded: only touch the rows that a layer inks anywhere in the batch. This asks the device for those rows once; a
            compiled function goes over all rows instead, in one pass over memory.
    """
    layers = upper.shape[1]
    clear = upper.new_ones(upper.shape[0], height, upper.shape[2])
    if not banded:
        for layer in range(layers):
            clear = clear * (1.0 - _cover(upper[:, layer], lower[:, layer], 0, height))
        return clear
    inked = upper < lower
    tops = torch.where(inked, upper, float(height)).amin(dim=(0, 2, 3)).floor()
    ends = torch.where(inked, lower, 0.0).amax(dim=(0, 2, 3)).ceil()
    rows = torch.stack([tops, ends]).detach().long().tolist()
    for layer, (first, stop) in enumerate(zip(*rows, strict=True)):
        if first < stop:
            cover = _Cover.apply(upper[:, layer], lower[:, layer], first, stop)
            band = clear[:, first:stop]
            clear[:, first:stop] = (band.clone() if cover.requires_grad else band) * (1.0 - cover)
    return clear
