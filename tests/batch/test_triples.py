"""Triples: which records come when, how their pages look, and the thread that draws ahead."""

from __future__ import annotations

import dataclasses
import itertools
import threading

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import FrozenFeatures, ahead, draw_images, make_batch, step_indices
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.types import Cohort

SIZE = (48, 112)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic_cohort(6, seed=0)


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


def test_a_plain_page_is_the_renderers(cohort):
    images = draw_images(cohort, np.array([4, 1]), SIZE)
    assert images.shape == (2, 3, *SIZE)
    assert images.dtype == torch.uint8
    for image, i in zip(images, (4, 1), strict=True):
        expected = draw_page(cohort.records[i], PageSpec.compact(), size=SIZE).pixels.transpose(2, 0, 1)
        assert np.array_equal(image.numpy(), expected)


def test_a_varied_page_depends_on_seed_epoch_and_record_alone(cohort):
    def page(seed, epoch, indices, position):
        return draw_images(cohort, np.array(indices), SIZE, seed=seed, epoch=epoch)[position]

    first = page(5, 2, [3], 0)
    assert torch.equal(first, page(5, 2, [0, 3, 1], 1))
    assert torch.equal(first, page(5, 2, [3, 3], 1))
    others = [page(5, 3, [3], 0), page(6, 2, [3], 0), page(None, 0, [3], 0), page(5, 2, [2], 0)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations([first, *others], 2))


def test_records_that_look_alike_are_drawn_on_pages_of_their_own(cohort):
    twins = dataclasses.replace(cohort, records=(cohort.records[0],) * 4)
    plain, varied = (draw_images(twins, np.arange(4), SIZE, seed=seed) for seed in (None, 0))
    assert all(torch.equal(image, plain[0]) for image in plain)
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(varied, 2))


def test_what_belongs_together_stays_together_in_a_batch(cohort, rng):
    frozen = FrozenFeatures(
        rng.normal(size=(6, 4)).astype(np.float32), rng.normal(size=(6, 3)).astype(np.float32), np.arange(6)
    )
    indices = np.array([5, 0, 2])
    batch = make_batch(cohort, frozen, indices, SIZE, seed=1, epoch=7)
    assert len(batch) == 3
    assert batch.index.tolist() == [5, 0, 2]
    assert torch.equal(batch.images, draw_images(cohort, indices, SIZE, seed=1, epoch=7))
    for row, i in enumerate(indices):
        assert np.array_equal(batch.signals_mv[row], cohort.records[i].signal_mv)
        assert np.array_equal(batch.signal_features[row], frozen.signal[i])
        assert np.array_equal(batch.text_features[row], frozen.text[i])
    batch.signals_mv.zero_()
    assert cohort.signals_mv[indices].any(), "a batch is a copy"


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
