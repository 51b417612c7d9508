"""Recipes of the profiles."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.train.recipes import PROFILES, Recipe, recipe_for, records_for


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("n_train", [10, 1750, 17_000, 700_000])
def test_every_profile_is_a_run_that_can_be_built(profile, n_train):
    recipe = recipe_for(profile, n_train)
    assert recipe.name == profile
    assert recipe.decoder_dim % recipe.decoder_heads == 0
    assert 1 <= recipe.validations <= recipe.steps
    assert min(recipe.teacher_steps, recipe.supervised_steps, recipe.batch_size, recipe.teacher_batch) >= 1
    assert recipe.weights == Weights(), "the paper's weights"


def test_quick_draws_as_many_pages_as_it_says():
    pages = [recipe_for("quick", n).steps * 64 for n in (10, 5000, 7000, 17_000, 700_000)]
    assert pages == sorted(pages)
    assert 16_900 < pages[0] <= 17_000
    assert 27_900 < pages[2] <= 28_000
    assert 33_900 < pages[-1] <= 34_000


def test_smoke_is_a_few_small_steps():
    recipe, quick = recipe_for("smoke", 17_000), recipe_for("quick", 17_000)
    assert max(recipe.steps, recipe.teacher_steps, recipe.supervised_steps) <= 20
    assert recipe.batch_size < quick.batch_size


def test_full_passes_ten_times_over_the_data():
    recipe = recipe_for("full", 100_000)
    assert recipe.steps * recipe.batch_size == 1_000_000


def test_a_recipe_is_frozen_and_survives_json():
    recipe = Recipe("mine", size=(64, 128), weights=Weights(alpha=0.3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.lr = 1.0
    read = json.loads(json.dumps(recipe.as_dict()))
    assert Recipe(**{**read, "size": tuple(read["size"]), "weights": Weights(**read["weights"])}) == recipe


@pytest.mark.parametrize("source", ["synthetic", "ptbxl:somewhere"])
def test_larger_profiles_read_more_records(source):
    counts = [records_for(profile, source) or 10**9 for profile in PROFILES]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_an_unknown_profile_is_refused():
    for ask in (lambda: recipe_for("fast", 10), lambda: records_for("fast", "synthetic")):
        with pytest.raises(ArgumentError, match="fast") as caught:
            ask()
        assert caught.value.expected == "one of smoke, quick, full"
