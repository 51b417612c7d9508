"""Which records come when, and what runs ahead of the step that needs it.

Nothing here keeps state: what a step sees is a function of (seed, step). A run can therefore be repeated, continued, or
split over processes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import numpy as np

from ecgscan_lab.errors import ArgumentError

T = TypeVar("T")
Item = TypeVar("Item")


def step_indices(
    indices: np.ndarray, batch_size: int, seed: int, step: int, *, rank: int = 0, world_size: int = 1
) -> tuple[np.ndarray, int]:
    """Which records step `step` sees, and in which epoch: each record once an epoch, a remainder left out.

    Args:
        indices: the records to draw from `[n]`.
        batch_size: records a step, over all processes; all of them when there are fewer.
        seed: seed of the order.
        step: steps taken before, from 0.
        rank: number of this process, from 0; it gets its contiguous part of the batch.
        world_size: number of processes.

    Returns:
        Positions `[batch / world_size]` and the epoch, from 0.

    Raises:
        ArgumentError: no records, batches without one, or a batch that does not split evenly.

    Properties: each record at most once an epoch, over all processes; a function of its arguments alone; another order
    every epoch; the parts of all ranks, one after another, are the batch of one process.

    Example:
        >>> step_indices(np.arange(5), 2, seed=0, step=2)[1]
        1
        >>> whole = step_indices(np.arange(8), 4, seed=0, step=1)[0]
        >>> parts = [step_indices(np.arange(8), 4, seed=0, step=1, rank=rank, world_size=2)[0] for rank in (0, 1)]
        >>> np.array_equal(np.concatenate(parts), whole)
        True
    """
    if len(indices) == 0:
        raise ArgumentError("no records to draw a batch from", field="indices", expected="at least one record")
    if batch_size < 1:
        raise ArgumentError(f"batches of {batch_size}", field="batch_size", expected="at least one record a step")
    if step < 0:
        raise ArgumentError(f"step {step}", field="step", expected="steps taken before, from 0")
    if not 0 <= rank < world_size:
        raise ArgumentError(f"process {rank} of {world_size}", field="rank", expected=f"from 0 to {world_size - 1}")
    batch_size = min(batch_size, len(indices))
    if batch_size % world_size:
        raise ArgumentError(
            f"a batch of {batch_size} does not split evenly over {world_size} processes",
            field="batch_size",
            expected=f"a multiple of {world_size}",
            fix=f"take {max(1, batch_size // world_size) * world_size} records a step, or another number of processes",
        )
    epoch, position = divmod(step, len(indices) // batch_size)
    share = batch_size // world_size
    start = position * batch_size + rank * share
    return indices[_epoch_order(len(indices), seed, epoch)[start : start + share]], epoch


@lru_cache(maxsize=4)
def _epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Order of an epoch: at 789,511 records its shuffling takes 20 ms, so that not every step can afford it."""
    order = np.random.default_rng([seed, epoch]).permutation(n)
    order.setflags(write=False)
    return order


def ahead(make: Callable[[Item], T], items: Iterable[Item], depth: int = 2) -> Generator[T, None, None]:
    """`map(make, items)` in order, computed up to `depth` items ahead in one background thread.

    The thread ends with the iterator: when the items do, when `make` raises (its error arrives in turn), or when the
    consumer stops early.

    Example:
        >>> list(ahead(abs, [-1, 2, -3]))
        [1, 2, 3]
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield from ahead_in(pool, make, items, depth)


def ahead_in(
    pool: ThreadPoolExecutor, make: Callable[[Item], T], items: Iterable[Item], depth: int
) -> Generator[T, None, None]:
    """`ahead` in the threads of a pool, which stays open; what is left to do is cancelled when the iterator ends."""
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
