"""Which records come when, over all ranks, and the thread that runs ahead."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from ecgscan_lab.batch import ahead, step_indices
from ecgscan_lab.errors import ArgumentError


@pytest.mark.parametrize(("n", "batch_size"), [(12, 4), (13, 4), (3, 8), (5, 5), (1, 1)])
def test_each_record_comes_at_most_once_an_epoch(n, batch_size):
    indices = np.arange(100, 100 + n)
    per_epoch = max(1, n // batch_size)
    for epoch in range(3):
        batches = [step_indices(indices, batch_size, 3, epoch * per_epoch + k) for k in range(per_epoch)]
        seen = np.concatenate([chosen for chosen, _ in batches])
        assert {e for _, e in batches} == {epoch}
        assert len(np.unique(seen)) == len(seen) == per_epoch * min(batch_size, n)
        assert np.isin(seen, indices).all()


def test_a_remainder_is_left_out_by_turns():
    seen = {int(i) for step in range(60) for i in step_indices(np.arange(7), 3, seed=0, step=step)[0]}
    assert seen == set(range(7))


def test_a_step_depends_on_nothing_but_its_arguments():
    indices = np.arange(20)
    forwards = [step_indices(indices, 4, 1, step)[0] for step in range(12)]
    backwards = [step_indices(indices, 4, 1, step)[0] for step in reversed(range(12))]
    assert np.array_equal(forwards, backwards[::-1])
    assert np.array_equal(indices, np.arange(20))


def test_order_differs_by_epoch_and_seed():
    orders = [tuple(step_indices(np.arange(30), 30, seed, epoch)[0]) for seed in (0, 1) for epoch in (0, 1)]
    assert len(set(orders)) == 4


@pytest.mark.parametrize(("n", "batch_size", "field"), [(0, 4, "indices"), (4, 0, "batch_size")])
def test_nothing_to_draw_is_refused(n, batch_size, field):
    with pytest.raises(ArgumentError) as caught:
        step_indices(np.arange(n), batch_size, 0, 0)
    assert caught.value.field == field


@pytest.mark.parametrize("depth", [0, 1, 2, 9])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_ahead_is_map_in_order(n, depth):
    assert list(ahead(lambda i: i * i, range(n), depth)) == [i * i for i in range(n)]


def test_ahead_works_in_one_other_thread_and_no_further_than_depth():
    made: list[int] = []
    threads: set[threading.Thread] = set()

    def make(i: int) -> int:
        made.append(i)
        threads.add(threading.current_thread())
        return i

    for taken, i in enumerate(ahead(make, range(20), depth=2)):
        assert i == taken
        assert len(made) <= taken + 3
    assert made == list(range(20))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_ahead_hands_over_an_error_in_its_turn():
    def make(i: int) -> int:
        if i == 2:
            raise ArgumentError("the third item is bad")
        return i

    results = ahead(make, range(9))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ArgumentError, match="third item"):
        next(results)


def test_ahead_stops_its_thread_when_the_consumer_stops():
    made: list[int] = []
    threads: list[threading.Thread] = []

    def make(i: int) -> int:
        made.append(i)
        threads.append(threading.current_thread())
        return i

    batches = ahead(make, itertools.count(), depth=2)
    assert [next(batches), next(batches)] == [0, 1]
    batches.close()
    assert not threads[0].is_alive()
    assert len(made) <= 4


def test_ahead_stops_its_thread_when_the_consumer_fails():
    threads: list[threading.Thread] = []

    def consume() -> None:
        for i in ahead(lambda i: (threads.append(threading.current_thread()), i)[1], itertools.count()):
            if i == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    assert not threads[0].is_alive()


def test_the_order_is_that_of_a_permutation_of_the_records():
    indices = np.random.default_rng(5).choice(1000, 60, replace=False)
    seen = np.concatenate([step_indices(indices, 6, 3, 10 + step)[0] for step in range(10)])
    assert np.array_equal(seen, np.random.default_rng([3, 1]).permutation(indices))


@pytest.mark.parametrize(("n", "batch_size", "world_size"), [(40, 8, 4), (43, 6, 3), (6, 80, 2)])
def test_the_parts_of_all_ranks_are_the_batch_of_one_process(n, batch_size, world_size):
    indices = np.arange(100, 100 + n)
    for step in range(12):
        whole, epoch = step_indices(indices, batch_size, 1, step)
        parts = [step_indices(indices, batch_size, 1, step, rank=r, world_size=world_size) for r in range(world_size)]
        assert {e for _, e in parts} == {epoch}
        assert len({len(part) for part, _ in parts}) == 1
        assert np.array_equal(np.concatenate([part for part, _ in parts]), whole)


def test_an_epoch_of_789511_records_over_8_ranks_shows_each_once():
    n, batch_size, world_size = 789_511, 80, 8
    indices = np.arange(n)
    per_epoch = n // batch_size
    first = 3 * per_epoch
    seen = np.zeros(n, dtype=np.int64)
    for step in range(first, first + per_epoch):
        for rank in range(world_size):
            mine, epoch = step_indices(indices, batch_size, 7, step, rank=rank, world_size=world_size)
            assert epoch == 3
            seen[mine] += 1
    assert seen.max() == 1
    assert seen.sum() == per_epoch * batch_size == n - n % batch_size
    again = step_indices(indices, batch_size, 7, first + 5, rank=2, world_size=world_size)[0]
    assert np.array_equal(again, np.random.default_rng([7, 3]).permutation(n)[5 * 80 + 20 : 5 * 80 + 30])


def test_steps_of_one_epoch_shuffle_once(monkeypatch):
    from ecgscan_lab.batch import order

    order._epoch_order.cache_clear()
    for step in range(50):
        step_indices(np.arange(100), 10, 0, step)
    assert order._epoch_order.cache_info().misses == 5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"world_size": 3}, "batch_size"),
        ({"rank": 2, "world_size": 2}, "rank"),
        ({"rank": -1}, "rank"),
        ({"world_size": 0}, "rank"),
        ({"step": -1}, "step"),
    ],
)
def test_what_does_not_split_is_refused(changes, field):
    with pytest.raises(ArgumentError) as caught:
        step_indices(np.arange(40), 8, 0, changes.pop("step", 0), **changes)
    assert caught.value.field == field
    if field == "batch_size":
        assert "6 records a step" in caught.value.fix
