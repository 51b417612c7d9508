"""Triples: how their pages look, and what lies beside them."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import FrozenFeatures, PagePlan, Statements, draw_images, make_batch, split_batch
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.types import Cohort, TripleBatch

SIZE = (48, 112)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic_cohort(6, seed=0)


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


def test_a_plan_alone_or_a_size_alone_says_how_pages_look(cohort):
    indices = np.array([1, 4])
    by_size, by_plan = (draw_images(cohort, indices, plan, seed=2, epoch=1) for plan in (SIZE, PagePlan(SIZE)))
    assert torch.equal(by_size, by_plan)
    degraded = draw_images(cohort, indices, PagePlan(SIZE, degrade="photo"), seed=2, epoch=1)
    assert not torch.equal(by_plan, degraded)


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_parts_put_together_again_are_the_batch(cohort, rng, parts):
    said = Statements(("a",), np.ones((1, 3)), rng.integers(0, 2, (6, 1)), np.zeros(1), np.ones(1))
    texts, summary = np.array([0, 1, 0, 2, 2, 3]), np.arange(12.0).reshape(6, 2)
    frozen = FrozenFeatures(rng.normal(size=(6, 4)), rng.normal(size=(6, 3)), texts, said, summary)
    batch = make_batch(cohort, frozen, np.array([5, 0, 2, 3, 1]), PagePlan(SIZE), seed=1)
    pieces = split_batch(batch, parts)
    assert [len(piece) for piece in pieces] == sorted((len(piece) for piece in pieces), reverse=True)
    assert max(map(len, pieces)) - min(map(len, pieces)) <= 1
    for field in dataclasses.fields(batch):
        whole, cut = getattr(batch, field.name), [getattr(piece, field.name) for piece in pieces]
        assert torch.equal(torch.cat(cut), whole)
        assert cut[0].data_ptr() == whole.data_ptr(), "nothing is copied"
    assert batch.text_ids.tolist() == [3, 0, 0, 2, 1]
    assert batch.signal_summary[:, 0].tolist() == [10, 0, 4, 6, 2]
    assert batch.visible.shape == batch.signals_mv.shape


def test_parts_need_rows_and_fields_may_be_missing():
    rows = torch.arange(3)
    batch = TripleBatch(rows, rows, rows, rows, rows)
    assert [part.visible for part in split_batch(batch, 3)] == [None] * 3
    for parts in (0, 4):
        with pytest.raises(ArgumentError) as caught:
            split_batch(batch, parts)
        assert caught.value.field == "parts"


def test_features_may_be_half_precision_maps_of_files(cohort, tmp_path):
    path = tmp_path / "features.npy"
    np.save(path, np.arange(24, dtype=np.float16).reshape(6, 4))
    mapped = np.load(path, mmap_mode="r")
    batch = make_batch(cohort, FrozenFeatures(mapped, mapped, np.arange(6, dtype=np.int32)), np.array([2, 5]), SIZE)
    assert batch.signal_features.dtype == torch.float32
    assert batch.text_features[:, 0].tolist() == [8.0, 20.0]
    assert batch.text_ids.dtype == torch.int64
