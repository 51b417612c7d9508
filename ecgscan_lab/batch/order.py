"""Which records come when, and what runs ahead of the step that needs it.

Nothing here keeps state: what a step sees is a function of (seed, step). A run can therefore be repeated, continued, or
split over processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from ecgscan_lab.errors import ArgumentError

T = TypeVar("T")
Item = TypeVar("Item")


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
