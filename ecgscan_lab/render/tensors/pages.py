"""Geometry of a batch of pages as tensors: made once on the host, used for as many batches as one likes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.plan import Plan, plan_page

CHUNK_BYTES = {"cpu": 2**23, "cuda": 2**30}
"""Size of one `[page, height, width]` tensor that is worked on at once; pages beyond it are drawn in turns."""


@dataclass(frozen=True, eq=False)
class PageGroup:
    """Pages that can be drawn together: same picture size, sub-columns, rows and layers.

    A layer holds segments of one row that do not touch each other: neighbours go to alternate layers, as where they
    meet both have ink in one column.

    Attributes:
        index: int64 `[page]`, their places in the batch.
        size: (height, width).
        n_sub, widest, peaks, pad: sub-columns in a pixel, whole sub-columns in the widest pen's radius, samples
            that may lie in one sub-column, spare columns at each side.
        rows: rows of traces.
        starts, x_first, count, offset, baseline, px_per_mv: `[page, layer, part]`, for the segments of each layer from
            left to right: sub-column where it takes over, x of its first sample, number of samples, index of its first
            sample in a flat `[12 * time]` signal, baseline, pixels a millivolt.
        dx, radius_sub: `[page]`, pixels a sample, radius of the pen in sub-columns.
        bounds: `[page, 4]`, (y0, y1, x0, x1) of the sheet.
        colours: `[page, 4, 3]`, paper, thin line, thick line, ink, 0 to 255.
        grid: `[page, 6]`, as `Plan.grid`.
        bars: `[page, bar, 4]`, empty rectangles at the end.
        places, text_size: int64 `[page, text, place, 2]` (x, y) and `[page, text, 2]` (height, width).
        reach: columns that the widest of the texts that may move must keep free, 0 when none may move.
        clearance: int64 `[page]`.
        stamp_text, stamp_shift, stamp_ink: `[pixel]` text number (page * texts + text), `[pixel, 2]` (x, y) within it,
            `[pixel]` logarithm of its transparency.
    """

    index: Tensor
    size: tuple[int, int]
    n_sub: int
    widest: int
    peaks: int
    pad: int
    rows: int
    starts: Tensor
    x_first: Tensor
    count: Tensor
    offset: Tensor
    baseline: Tensor
    px_per_mv: Tensor
    dx: Tensor
    radius_sub: Tensor
    bounds: Tensor
    colours: Tensor
    grid: Tensor
    bars: Tensor
    places: Tensor
    text_size: Tensor
    reach: int
    clearance: Tensor
    stamp_text: Tensor
    stamp_shift: Tensor
    stamp_ink: Tensor

    @property
    def first_sub(self) -> int:
        """Number of the first sub-column that is drawn."""
        return -self.pad * self.n_sub

    @property
    def last_sub(self) -> int:
        """Number after the last sub-column that is drawn."""
        return (self.size[1] + self.pad) * self.n_sub


@dataclass(frozen=True, eq=False)
class TorchPages:
    """Pages of a batch, ready for `draw_batch` on one device; `prepare_pages` makes them."""

    groups: tuple[PageGroup, ...]
    order: Tensor
    batch: int
    size: tuple[int, int]
    fs_hz: float
    n_samples: int


def prepare_pages(
    pages: Sequence[PageSpec],
    size: tuple[int, int],
    fs_hz: float,
    n_samples: int,
    device: torch.device | str = "cpu",
) -> TorchPages:
    """Settle the geometry of a batch, so that drawing it again costs the host nothing.

    Args:
        pages: one a recording.
        size: (height, width) of the pictures in pixels.
        fs_hz: rate of the recordings.
        n_samples: their length.
        device: where they will be drawn.

    Returns:
        Tensors on `device`. Pages of different layouts fall into groups that are drawn one after another.

    Example:
        >>> len(prepare_pages([PageSpec(), PageSpec(layout="12x1", rhythm=())], (448, 448), 100.0, 1000).groups)
        2
    """
    device = torch.device(device)
    plans = [plan_page(page, size, fs_hz, n_samples) for page in pages]
    kinds: dict[tuple[int, int, int], list[int]] = {}
    for i, plan in enumerate(plans):
        rows = plan.segments[:, 1].astype(int)
        n_rows = int(rows.max()) + 1 if len(rows) else 1
        most = int(np.bincount(rows).max()) if len(rows) else 1
        kinds.setdefault((plan.pen[1], n_rows, min(most, 2)), []).append(i)
    step = max(1, CHUNK_BYTES.get(device.type, CHUNK_BYTES["cpu"]) // (4 * size[0] * size[1]))
    groups, order = [], []
    for kind, index in sorted(kinds.items()):
        for first in range(0, len(index), step):
            chunk = index[first : first + step]
            groups.append(_group([plans[i] for i in chunk], chunk, kind, n_samples, device))
            order += chunk
    return TorchPages(tuple(groups), torch.argsort(torch.tensor(order)).to(device), len(plans), size, fs_hz, n_samples)


def _group(
    plans: list[Plan], index: list[int], kind: tuple[int, int, int], n_samples: int, device: torch.device
) -> PageGroup:
    n_sub, n_rows, per_row = kind
    exact = torch.float32 if device.type == "mps" else torch.float64
    parts = max(
        1, *(math.ceil(np.bincount(plan.segments[:, 1].astype(int), minlength=1).max() / per_row) for plan in plans)
    )
    tables = np.stack([_layer_table(plan, n_rows, per_row, parts, n_samples) for plan in plans])
    radius = np.array([plan.pen[0] / 2 * n_sub for plan in plans])
    widest = int(radius.max())
    dx = np.array([plan.dx for plan in plans])
    texts = [plan.texts for plan in plans]
    clearance = np.array([t.clearance for t in texts])
    places = np.stack(_padded([t.places for t in texts]))
    sizes = np.stack(_padded([t.masks[:, 1:] for t in texts]))
    moves = (places != places[:, :, :1]).any(axis=(2, 3))
    stamps = [_stamps(plan, b * places.shape[1]) for b, plan in enumerate(plans)]
    text, shift, ink = (np.concatenate(parts) for parts in zip(*stamps, strict=True))

    def put(array: np.ndarray, dtype: torch.dtype) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device=device, dtype=dtype)

    return PageGroup(
        index=put(np.array(index), torch.int64),
        size=plans[0].size,
        n_sub=n_sub,
        widest=widest,
        peaks=int(1.0 / (n_sub * dx.min())) + 2,
        pad=math.ceil((widest + 2) / n_sub) + 1,
        rows=n_rows,
        **{name: put(tables[..., k], exact) for k, name in enumerate(_COLUMNS)},
        dx=put(dx, exact),
        radius_sub=put(radius, exact),
        bounds=put(np.array([plan.bounds for plan in plans]), torch.int64),
        colours=put(np.stack([plan.colours for plan in plans]), torch.float32),
        grid=put(np.array([plan.grid for plan in plans]), exact),
        bars=put(np.stack(_padded([plan.bars for plan in plans])), exact),
        places=put(places, torch.int64),
        text_size=put(sizes, torch.int64),
        reach=int(sizes[..., 1][moves].max()) + 2 * int(clearance.max()) if moves.any() else 0,
        clearance=put(clearance, torch.int64),
        stamp_text=put(text, torch.int64),
        stamp_shift=put(shift, torch.int64),
        stamp_ink=put(ink, torch.float32),
    )


_COLUMNS = ("starts", "x_first", "count", "offset", "baseline", "px_per_mv")


def _layer_table(plan: Plan, n_rows: int, per_row: int, parts: int, n_samples: int) -> np.ndarray:
    """`[layer, part, 6]`: the segments of each layer from left to right, in the order of `_COLUMNS`."""
    layers: list[list[np.ndarray]] = [[] for _ in range(n_rows * per_row)]
    for row in range(n_rows):
        segments = plan.segments[plan.segments[:, 1] == row]
        for k, segment in enumerate(segments[np.argsort(segments[:, 2], kind="stable")]):
            layers[row * per_row + k % per_row].append(segment)
    table = np.zeros((len(layers), parts, len(_COLUMNS)))
    for layer, segments in enumerate(layers):
        end = -np.inf
        for part in range(parts):
            if part >= len(segments):
                table[layer, part, 0] = 1e9  # never takes over
                continue
            lead, _, x_first, baseline, first, stop, px_per_mv = segments[part]
            start = -1e9 if part == 0 else math.floor((end + x_first) / 2 * plan.pen[1])
            table[layer, part] = (start, x_first, stop - first, lead * n_samples + first, baseline, px_per_mv)
            end = x_first + plan.dx * (stop - first)
    return table


def _stamps(plan: Plan, first_text: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Every inked pixel of the lettering: its text, its place within the text, the logarithm of its transparency."""
    text, shift, ink = [np.zeros(0, np.int64)], [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    for t, (offset, height, width) in enumerate(plan.texts.masks):
        mask = plan.texts.atlas[offset : offset + height * width].reshape(height, width).astype(np.int64)
        y, x = np.nonzero(mask)
        alpha = (mask[y, x] + (mask[y, x] >> 7)) / 256
        text.append(np.full(len(x), first_text + t))
        shift.append(np.column_stack([x, y]))
        ink.append(np.log(np.maximum(1.0 - alpha, 1e-6)))
    return np.concatenate(text), np.concatenate(shift), np.concatenate(ink)


def _padded(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Fill arrays with zeros to one shape."""
    shape = np.max([array.shape for array in arrays], axis=0)
    return [np.pad(a, [(0, int(n) - m) for n, m in zip(shape, a.shape, strict=True)]) for a in arrays]
