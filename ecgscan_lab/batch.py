"""(image, signal, report) triples: which records come when, drawn on the fly, beside the features of the frozen towers.

Nothing here keeps state: what a step sees is a function of (seed, step), and how a page looks is a function of
(seed, epoch, record). A run can therefore be repeated, continued, or split over processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_pages
from ecgscan_lab.render.variation import sample_page
from ecgscan_lab.types import Cohort, TripleBatch

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class FrozenFeatures:
    """Features of the frozen towers, computed once for a whole cohort.

    Attributes:
        signal: float32 `[record, d_sig]` of the signal teacher.
        text: float32 `[record, d_txt]` of the text tower.
        text_ids: int64 `[record]`, equal for equal texts.
    """

    signal: np.ndarray
    text: np.ndarray
    text_ids: np.ndarray


def step_indices(indices: np.ndarray, batch_size: int, seed: int, step: int) -> tuple[np.ndarray, int]:
    """Which records step `step` sees, and in which epoch: each record once an epoch, a remainder left out.

    Args:
        indices: the records to draw from `[n]`.
        batch_size: records a step; all of them when there are fewer.
        seed: seed of the order.
        step: steps taken before, from 0.

    Returns:
        Positions `[batch]` and the epoch, from 0.

    Raises:
        ArgumentError: no records, or batches without one.

    Properties: each record at most once an epoch; a function of its arguments alone; another order every epoch.

    Example:
        >>> step_indices(np.arange(5), 2, seed=0, step=2)[1]
        1
    """
    if len(indices) == 0:
        raise ArgumentError("no records to draw a batch from", field="indices", expected="at least one record")
    if batch_size < 1:
        raise ArgumentError(f"batches of {batch_size}", field="batch_size", expected="at least one record a step")
    batch_size = min(batch_size, len(indices))
    per_epoch = len(indices) // batch_size
    epoch, position = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(indices)
    return order[position * batch_size : (position + 1) * batch_size], epoch


def draw_images(
    cohort: Cohort, indices: np.ndarray, size: tuple[int, int], *, seed: int | None = None, epoch: int = 0
) -> torch.Tensor:
    """Draw the compact page of some records.

    Args:
        cohort: the records.
        indices: which of them `[batch]`.
        size: (height, width) in pixels.
        seed: varies colour, pen and placing of each page by (seed, epoch, record); None draws the plain page.
        epoch: pass over the data.

    Returns:
        uint8 `[batch, 3, height, width]`.
    """
    base = PageSpec.compact()
    pages = base if seed is None else [sample_page(np.random.default_rng([seed, epoch, int(i)]), base) for i in indices]
    signals_mv = cohort.signals_mv[indices]
    return torch.from_numpy(draw_pages(signals_mv, cohort.fs_hz, pages, size, channels_first=True))


def make_batch(
    cohort: Cohort,
    frozen: FrozenFeatures,
    indices: np.ndarray,
    size: tuple[int, int],
    *,
    seed: int | None = None,
    epoch: int = 0,
    device: torch.device | str = "cpu",
) -> TripleBatch:
    """Draw the pages of some records and put signal, teacher and text features beside them.

    Args and sizes as in `draw_images`; `device` is where the tensors go.
    """
    return TripleBatch(
        images=draw_images(cohort, indices, size, seed=seed, epoch=epoch).to(device),
        signals_mv=torch.from_numpy(cohort.signals_mv[indices]).to(device),
        signal_features=torch.from_numpy(frozen.signal[indices]).to(device),
        text_features=torch.from_numpy(frozen.text[indices]).to(device),
        index=torch.from_numpy(np.asarray(indices, dtype=np.int64)),
    )


def ahead(make: Callable[[Item], T], items: Iterable[Item], depth: int = 2) -> Iterator[T]:
    """`map(make, items)` in order, computed up to `depth` items ahead in one background thread.

    The thread ends with the iterator: when the items do, when `make` raises (its error arrives in turn), or when the
    consumer stops early.

    Example:
        >>> list(ahead(abs, [-1, 2, -3]))
        [1, 2, 3]
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = []
        try:
            for item in items:
                pending.append(pool.submit(make, item))
                if len(pending) > depth:
                    yield pending.pop(0).result()
            while pending:
                yield pending.pop(0).result()
        finally:
            for future in pending:
                future.cancel()
