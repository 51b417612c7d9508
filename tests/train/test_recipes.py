"""Recipes of the profiles."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import pytest

import ecgscan_lab
from ecgscan_lab import train
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.train import recipes
from ecgscan_lab.train.recipe import GROUPS, OPEN_IN_PAPER, compare_recipes, recipe_differences
from ecgscan_lab.train.recipes import (
    FEW,
    PROFILES,
    Recipe,
    lesson,
    paper,
    paper_plus,
    quick,
    read_recipe,
    recipe_for,
    records_for,
    tiny,
)


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
    recipes = [recipe_for("quick", n) for n in (4000, 7000, 17_000, 700_000)]
    pages = [recipe.steps * recipe.batch_size for recipe in recipes]
    assert pages == sorted(pages)
    assert 15_900 < pages[0] <= 16_000
    assert 27_900 < pages[1] <= 28_000
    assert 33_900 < pages[-1] <= 34_000


def test_quick_makes_up_for_few_records_with_smaller_steps_and_pages_and_other_moments_of_each():
    few, more = recipe_for("quick", FEW), recipe_for("quick", 2 * FEW)
    assert few == recipe_for("quick", 10)
    assert few.batch_size < more.batch_size
    assert few.steps * few.batch_size == 6_400
    assert more.steps * more.batch_size == 16_000
    assert few.time_shift
    assert few.size[0] < more.size[0]
    assert few.size[1] < more.size[1]


@pytest.mark.parametrize("name", ["paper", "paper_plus", "ptbxl_laptop", "quick", "tiny"])
def test_recipes_are_imported_from_train(name):
    assert getattr(train, name) is getattr(recipes, name)
    assert ecgscan_lab.ptbxl_laptop is recipes.ptbxl_laptop


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


ALL = {"tiny": tiny(), "quick": quick(17_000), "paper": paper(), "paper_plus": paper_plus()}


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_survives_json_and_a_file(name, tmp_path):
    recipe = ALL[name]
    assert recipe.name == name
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
    (tmp_path / "r.json").write_text(json.dumps(recipe.as_dict()))
    assert read_recipe(tmp_path / "r.json") == recipe


def test_the_paper_is_what_the_paper_says():
    recipe = paper()
    assert (recipe.lora_rank, recipe.lora_alpha, recipe.tower_trains) == (16, 32, "lora")
    assert (recipe.image_tower, recipe.text_tower, recipe.signal_teacher) == ("clip-vit-l-14-336", "medcpt", "d-beta")
    assert (recipe.decoder_dim, recipe.decoder_layers, recipe.decoder_heads, recipe.samples_per_query) == (
        768,
        12,
        12,
        8,
    )
    assert (recipe.d_shared, recipe.batch_size, recipe.lr, recipe.steps, recipe.warmup_share) == (
        768, 80, 5e-4, 50_000, 0.1,
    )  # fmt: skip
    assert recipe.weights == Weights.paper()
    cures = (recipe.multi_positive, recipe.cross_attention, recipe.independent_leads, recipe.weight_average)
    assert not any(cures)


def test_our_cures_are_what_differs_and_the_budget_is_the_papers():
    ours, theirs = paper_plus(), paper()
    changed = {line.partition(":")[0] for line in recipe_differences(ours.as_dict(), theirs.as_dict())}
    assert changed == {
        "name", "size", "tower_size", "weights.gram_kind", "weights.hidden_weight", "multi_positive",
        "cross_attention", "independent_leads", "weight_average",
    }  # fmt: skip
    assert all(side % 14 == 0 for side in ours.tower_size)


def test_every_field_is_printed_once_and_every_open_choice_exists():
    names = [name for group in GROUPS.values() for name in group.split()]
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert sorted(names) == sorted(fields - {"name"})
    assert fields >= OPEN_IN_PAPER
    text = str(paper())
    assert all(name in text for name in names)
    assert "mask_share" in next(line for line in text.splitlines() if "°" in line and "mask_share" in line)
    assert "gram_kind signed_plane_distance" in str(paper_plus())


def test_a_page_shows_words_as_words():
    shown = Recipe("<script>", text_tower="<b>")._repr_html_()
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": 1}, "colour"),
        ({"weights": {"colour": 1}}, "colour"),
        ({"precision": "half"}, "precision"),
        ({"signal_unit": "volts"}, "signal_unit"),
        ({"steps": 0}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"steps": True}, "steps"),
        ({"batch_size": "many"}, "batch_size"),
        ({"micro_batch": 0}, "micro_batch"),
        ({"lr": float("nan")}, "lr"),
        ({"clip_norm": 0}, "clip_norm"),
        ({"weight_average": 1.0}, "weight_average"),
        ({"degrade": "mud"}, "degrade"),
        ({"size": 48}, "size"),
        ({"first_size": (128, 304)}, "first_share"),
        ({"first_share": 0.5}, "first_share"),
        ({"first_size": (128, 304), "first_share": 1.0}, "first_share"),
        ({"first_size": (128, 304), "first_share": -0.5}, "first_share"),
        ({"first_size": (128, 304), "first_share": "0.5"}, "first_share"),
        ({"first_size": (192, 448), "first_share": 0.5}, "first_size"),
        ({"first_size": (128, 600), "first_share": 0.5}, "first_size"),
        ({"first_size": (128, 304), "first_share": 0.5, "image_tower": "clip-vit-b-32"}, "first_size"),
        ({"first_size": (128, 304), "first_share": 0.5, "tower_size": (192, 448)}, "first_size"),
        ({"first_size": 48, "first_share": 0.5}, "size"),
    ],
    ids=str,
)
def test_a_wrong_field_is_named(change, field):
    with pytest.raises(ArgumentError) as caught:
        Recipe.from_dict({"name": "mine", **change})
    assert caught.value.field == field


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_phases_hold_every_step_once_and_end_on_the_pages_that_are_judged(steps, share):
    first = None if share == 0 else (128, 304)
    recipe = Recipe(
        "mine", steps=steps, degrade="photo", degrade_first_strength=0.1, degrade_growing_epochs=2,
        first_size=first, first_share=share,
    )  # fmt: skip
    phases = recipe.phases()
    assert [step for part, _ in phases for step in part] == list(range(steps))
    assert phases[-1][1] == recipe.plan()
    assert all(len(part) > 0 for part, _ in phases)
    assert len(phases) == (1 if first is None or steps == 1 else 2)
    if len(phases) == 2:
        small = phases[0][1]
        assert (small.size, small.degrade, small.growing_epochs) == (first, "clean", 0)
        assert dataclasses.replace(small, size=(192, 448)) == dataclasses.replace(
            recipe.plan(), degrade="clean", first_strength=None, growing_epochs=0
        )


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "\x00"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(ArgumentError):
        read_recipe(tmp_path / "r.json")


def test_what_the_notebook_trains_is_small_without_a_gpu_and_the_profiles_own_with_one():
    for profile in PROFILES:
        assert lesson(profile, 1000, gpu=True) == recipe_for(profile, 1000)
        small = lesson(profile, 1000)
        assert (small.image_tower, small.weights) == ("tiny", Weights())
        assert small.steps * small.batch_size <= 300 * 32
    assert lesson("smoke", 1000).steps < lesson("quick", 1000).steps
    with pytest.raises(ArgumentError, match="fast"):
        lesson("fast", 10)


def test_recipes_side_by_side_show_every_difference_and_nothing_else():
    table = compare_recipes(paper(), paper_plus())
    changed = {line.partition(":")[0] for line in recipe_differences(paper_plus().as_dict(), paper().as_dict())}
    assert {name.removesuffix(" °") for name in table.index} == changed - {"name"}
    assert list(table.columns) == ["paper", "paper_plus"]
    assert table.loc["weights.gram_kind"].tolist() == ["volume", "signed_plane_distance"]
    assert table.loc["size °"].tolist() == ["(336, 336)", "(420, 546)"]
    assert compare_recipes(paper(), replace(paper(), name="twin")).empty
