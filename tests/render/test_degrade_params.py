"""Parameters of degradation: sampled reproducibly, checked, and the same after a trip through JSON."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade import EFFECTS, PRESETS, DegradeParams, sample_effect, sample_params
from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.sampling import SAMPLERS


def test_every_effect_has_a_field_a_sampler_and_ranges_that_hold_its_neutral_value():
    names = [spec.name for spec in fields(DegradeParams) if spec.name != "light_deg"]
    assert list(EFFECTS) == names
    assert set(SAMPLERS) == set(EFFECTS)
    for kind in EFFECTS.values():
        assert kind().neutral
    assert {name for preset in PRESETS.values() for name in preset.odds} <= set(EFFECTS)


def test_neutral_effects_count_as_absent():
    neutral = DegradeParams(**{name: kind() for name, kind in EFFECTS.items()})
    assert neutral == DegradeParams()
    assert neutral.active == ()
    assert not neutral.moves


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PRESETS)), st.integers(0, 2**32), st.floats(0.0, 1.0))
def test_json_brings_the_same_parameters_back(preset, seed, strength):
    params = sample_params(np.random.default_rng(seed), preset, strength)
    assert DegradeParams.from_dict(json.loads(json.dumps(params.as_dict()))) == params


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_same_generator_state_gives_the_same_parameters(preset):
    first, again, other = (sample_params(np.random.default_rng(seed), preset) for seed in (9, 9, 10))
    assert first == again
    assert preset == "clean" or first != other


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_strength_zero_is_the_identity(preset):
    params = sample_params(np.random.default_rng(1), preset, 0.0)
    assert params == DegradeParams()


@pytest.mark.parametrize("name", sorted(EFFECTS))
def test_an_effect_alone_is_present_at_any_strength_but_zero(name):
    assert sample_effect(np.random.default_rng(2), name, 0.0) == DegradeParams()
    for strength in (0.3, 1.0):
        assert sample_effect(np.random.default_rng(2), name, strength).active == (name,)


def test_an_effect_can_bring_what_it_needs_to_be_seen():
    alone = sample_effect(np.random.default_rng(2), "edge_shadow")
    seen = sample_effect(np.random.default_rng(2), "edge_shadow", in_setting=True)
    assert set(seen.active) == {"edge_shadow", "background", "framing"}
    assert seen.edge_shadow == alone.edge_shadow


def test_strength_scales_one_and_the_same_draw():
    weak, strong = (sample_effect(np.random.default_rng(4), "rotation", s).rotation.degrees for s in (0.25, 1.0))
    assert strong == pytest.approx(4 * weak)
    weak, strong = (sample_effect(np.random.default_rng(4), "shadow", s).shadow for s in (0.5, 1.0))
    assert (weak.seed, weak.softness) == (strong.seed, strong.softness)
    assert strong.darkness == pytest.approx(2 * weak.darkness)


def test_presets_keep_their_promises():
    def drawn(preset):
        return [sample_params(np.random.default_rng(seed), preset) for seed in range(60)]

    assert all(not params.active for params in drawn("clean"))
    assert all(params.fax is not None for params in drawn("fax"))
    photos = drawn("photo")
    assert all(params.background is not None and params.background.kind != "lid" for params in photos)
    assert {params.background.kind for params in photos} == {"wood", "cloth", "desk", "dark"}
    scans = [params.background.kind for params in drawn("scan") if params.background is not None]
    assert set(scans) == {"lid"}
    mixed = drawn("mixture")
    assert any(not params.active for params in mixed)
    assert any(params.fax is not None for params in mixed)
    assert any(params.background is not None and params.background.kind != "lid" for params in mixed)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda rng: sample_params(rng, "old"), "preset"),
        (lambda rng: sample_params(rng, None), "preset"),
        (lambda rng: sample_params(rng, "paper", 1.5), "strength"),
        (lambda rng: sample_params(rng, "paper", float("nan")), "strength"),
        (lambda rng: sample_params(rng, "paper", True), "strength"),
        (lambda rng: sample_effect(rng, "rain"), "name"),
        (lambda rng: sample_effect(rng, "noise", -0.1), "strength"),
        (lambda _: fx.Rotation(200.0), "Rotation.degrees"),
        (lambda _: fx.Rotation(float("nan")), "Rotation.degrees"),
        (lambda _: fx.Jpeg(60.5), "Jpeg.quality"),
        (lambda _: fx.Handwriting(pen="green"), "Handwriting.pen"),
        (lambda _: DegradeParams(rotation=5.0), "rotation"),
        (lambda _: DegradeParams(rotation=fx.Crop(0.1)), "rotation"),
        (lambda _: DegradeParams(light_deg=1e6), "light_deg"),
        (lambda _: DegradeParams.from_dict({"rain": {}}), "values"),
        (lambda _: DegradeParams.from_dict({"noise": 3}), "noise"),
        (lambda _: DegradeParams.from_dict({"noise": {"amount": 3}}), "noise"),
        (lambda _: DegradeParams.from_dict([1]), "values"),
    ],
)
def test_bad_input_is_named(call, field, rng):
    with pytest.raises(ArgumentError) as caught:
        call(rng)
    assert caught.value.field == field
