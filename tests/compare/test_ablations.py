from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from ecgscan_lab.compare import Comparison, Variant, ablate, ablate_objective, ablate_towers, rung_for
from ecgscan_lab.compare.ablations import objective_variants, tower_variants
from ecgscan_lab.compare.judge import Cases, Embedded, judge
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.linear_probe import linear_probe
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.losses.trial import draw_features


@pytest.fixture(scope="module")
def tiny():
    """Rung "quick", as small as it works."""
    rung = rung_for("quick", "smoke")
    recipe = dataclasses.replace(
        rung.recipe, teacher_steps=2, d_shared=16, size=(48, 112), tower_width=4, steps=2, validations=1,
        decoder_dim=8, decoder_heads=1,
    )  # fmt: skip
    return dataclasses.replace(rung, n_bootstrap=20, recipe=recipe)


def test_every_part_of_the_objective_is_a_row_with_both_figures_of_interest(cohort, tiny, cache):
    found = ablate_objective(cohort, tiny, few_labels=30.0, label_draws=2, cache=cache)
    assert found.failures == ()
    table = found.table()
    assert list(table.index) == list(objective_variants())
    assert table[["few_label_auroc", "zero_shot_auroc"]].notna().all(axis=None)
    assert (table["few_label_auroc"] != table["probe_auroc"]).any()
    judged = {(d.loss, d.metric) for d in found.found if math.isfinite(d.low)}
    assert {(name, "few_label_auroc") for name in found.losses[1:]} <= judged
    assert found.title.startswith("7 variants on rung quick")
    assert Comparison.from_json(found.to_json()).title == found.title
    assert len(set(table["few_label_auroc"])) > 3  # parts that do nothing would give equal rows


def test_towers_are_exchanged_one_at_a_time_and_a_missing_one_does_not_stop_the_others(
    cohort, tiny, cache, monkeypatch
):
    from ecgscan_lab.compare import tables
    from ecgscan_lab.encoders.text import text_tower
    from ecgscan_lab.errors import MissingExtraError

    def without_minilm(name):
        if name == "minilm":
            raise MissingExtraError("no MiniLM here", fix="install it")
        return text_tower(name)

    monkeypatch.setattr(tables, "text_tower", without_minilm)
    found = ablate_towers(cohort, tiny, few_labels=30.0, label_draws=1, cache=cache)
    assert {run.loss for run in found.failures} == {"texts by MiniLM"}
    table = found.table()
    assert table["runs"].to_dict() == {name: 0 if name == "texts by MiniLM" else 3 for name in tower_variants(tiny)}
    same = found.by_seed("few_label_auroc")
    assert (same.loc["texts by hashed words"] == same.loc["as the recipe says"]).all()  # this recipe hashes already
    assert (same.loc["image tower twice as wide"] != same.loc["as the recipe says"]).any()


def test_a_variant_against_itself_differs_by_nothing(cohort, tiny, cache):
    found = ablate({"one": Variant(), "same": Variant()}, cohort, tiny, few_labels=30.0, label_draws=1, cache=cache)
    differences = {d.metric: (d.difference, d.low, d.high) for d in found.found}
    assert differences["few_label_auroc"] == (0.0, 0.0, 0.0)
    assert differences["zero_shot_auroc"] == (0.0, 0.0, 0.0)


def test_the_rows_minimise_what_they_say():
    features = draw_features(0, 8, 6)
    variants = objective_variants()
    value = {name: float(variant.function()(features)) for name, variant in variants.items()}
    from ecgscan_lab.losses.objective import objective

    parts = {name: float(part) for name, part in objective(features, Weights.paper()).parts.items()}
    contrast = 0.1 * parts["contrastive"]
    assert value["contrastive, page and report"] == pytest.approx(contrast, rel=1e-5)
    assert value["+ Gram"] == pytest.approx(contrast + 0.05 * parts["gram"], rel=1e-5)
    whole = contrast + 0.05 * parts["gram"] + parts["mse"]
    assert value["+ reconstruction"] == pytest.approx(whole, rel=1e-5)
    assert value["+ rule: the paper's"] == pytest.approx(whole + 0.1 * parts["rule"], rel=1e-5)
    assert value["reconstruction only"] == pytest.approx(parts["mse"] + 0.1 * parts["rule"], rel=1e-5)
    assert {name for name, variant in variants.items() if not variant.decoder} == set(list(variants)[:3])


def test_the_probe_with_few_labels_is_the_mean_over_its_draws():
    rng = np.random.default_rng(0)
    n = 300
    targets = rng.integers(2, size=(n, 2))
    probed = (targets @ rng.normal(size=(2, 4)) + rng.normal(size=(n, 4))).astype(np.float32)
    split = np.array(["train", "train", "val", "test"])[np.arange(n) % 4]
    cases = Cases(targets, split, np.arange(n), np.arange(n), few_labels=10.0, label_draws=3)
    rows = np.flatnonzero(targets.any(axis=1))
    found = judge(Embedded(probed, probed, probed, probed[:2], probed), cases, 20)
    expected = [
        linear_probe(probed[rows], targets[rows], split[rows], label_fraction=0.1, fraction_seed=i, n_bootstrap=1)
        for i in range(3)
    ]
    assert found.metrics["few_label_auroc"] == pytest.approx(np.mean([e.macro_auroc for e in expected]))
    assert found.draws["few_label_auroc"].shape == (20,)
    without = judge(
        Embedded(probed, probed, probed, probed[:2], probed), dataclasses.replace(cases, few_labels=None), 2
    )
    assert "few_label_auroc" not in without.metrics


@pytest.mark.parametrize(
    ("variants", "rung", "match"),
    [
        ({"one": Variant()}, "quick", "fewer than two variants"),
        ({"one": Variant(), "two": Variant()}, "heads", "trains no tower"),
        ({"one": Variant(), "two": Variant(changes={"shoes": 2})}, "quick", "no 'shoes'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_loaded(variants, rung, match, monkeypatch):
    monkeypatch.setattr("ecgscan_lab.compare.ablations.load_cohort", lambda *a, **k: pytest.fail("loaded"))
    with pytest.raises(ArgumentError, match=match):
        ablate(variants, rung=rung)


def test_a_variant_minimises_one_thing():
    with pytest.raises(ArgumentError, match="weights and loss"):
        Variant(weights=None)
