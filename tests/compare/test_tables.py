"""What comparisons train on: the toy world, and frozen features that are made once and trusted only when whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgscan_lab.compare.tables import cache_folder, frozen_table, task_of, toy_table
from ecgscan_lab.errors import LabelError


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("own-features")


@pytest.fixture(scope="module")
def table(cohort, small, cache):
    return frozen_table(cohort, small, "superclass", cache=cache)


def test_the_toy_world_is_one_of_partners():
    table = toy_table(400, seed=0)
    assert table.image.dtype == table.text.dtype == table.signal.dtype == np.float32
    place = table.signal / np.linalg.norm(table.signal, axis=1, keepdims=True)
    cluster = table.cases.targets.argmax(1)
    centres = np.stack([place[cluster == c].mean(0) for c in range(4)])
    assert ((place @ centres.T).argmax(1) == cluster).mean() > 0.85
    weights = np.linalg.lstsq(table.image[:200], place[:200], rcond=None)[0]
    near = ((table.image[200:] @ weights) * place[200:]).sum(1) / np.linalg.norm(table.image[200:] @ weights, axis=1)
    assert np.median(near) > 0.8, "the page holds the place"
    assert all(len(np.unique(table.text[table.cases.text_ids == t], axis=0)) == 1 for t in range(8))
    assert {split: (table.cases.split == split).sum() for split in ("train", "val", "test")} == {
        "train": 240,
        "val": 80,
        "test": 80,
    }


def test_toy_worlds_differ_by_seed_and_not_by_call():
    first, again, other = (toy_table(50, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.image, again.image)
    assert not np.array_equal(first.signal, other.signal)
    assert not first.cases.fixed


def test_frozen_features_have_one_row_a_record(table, cohort, small):
    n = len(cohort)
    assert len(table.image) == len(table.text) == len(table.signal) == len(table.cases.split) == n
    assert table.signal.shape[1] == small.d_shared
    assert set(table.prompt_classes) == set(range(5))
    train = cohort.indices("train")
    assert table.image[train].mean() == pytest.approx(0, abs=1e-5)
    classes = table.class_embeddings(lambda rows: rows[:, :4])
    assert classes.shape == (5, 4)


def test_the_cache_is_read_when_whole_and_made_again_when_damaged(table, cohort, small, cache):
    (path,) = cache.glob("features-*.safetensors")
    said: list[str] = []
    again = frozen_table(cohort, small, "superclass", cache=cache, say=said.append)
    assert said == []
    np.testing.assert_array_equal(again.image, table.image)
    whole = path.read_bytes()
    path.write_bytes(whole[:-7] + b"damaged")
    mended = frozen_table(cohort, small, "superclass", cache=cache, say=said.append)
    assert len(said) == 1
    assert str(cache) in said[0]
    np.testing.assert_allclose(mended.image, table.image, atol=1e-4)
    assert len(list(cache.iterdir())) == 1, "nothing half-written stays"


def test_other_data_or_another_recipe_is_another_file(cohort, small, tmp_path):
    steps = dataclasses.replace(small.recipe, teacher_steps=1)
    quicker = dataclasses.replace(small, tower_steps=0, recipe=steps)
    for changed in (quicker, dataclasses.replace(quicker, tower_steps=1)):
        frozen_table(cohort, changed, "superclass", cache=tmp_path)
    other = dataclasses.replace(cohort, data_sha256="other")
    for records in (cohort, other):
        frozen_table(records, quicker, "superclass", with_images=False, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 4


def test_making_features_moves_no_global_generator(cohort, small, tmp_path):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    frozen_table(cohort, small, "superclass", cache=tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("ECGSCAN_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder("here") == Path("here")
    monkeypatch.delenv("ECGSCAN_CACHE")
    assert cache_folder().name == "ecgscan_lab"


def test_tasks_are_found_or_named(cohort):
    assert task_of(cohort, None) == "superclass"
    assert task_of(cohort, "rhythm") == "rhythm"
    with pytest.raises(LabelError) as refused:
        task_of(cohort, "colour")
    assert refused.value.field == "task"
    with pytest.raises(LabelError):
        task_of(dataclasses.replace(cohort, tasks={}), None)
