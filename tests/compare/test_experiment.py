"""Comparing losses: fair, repeatable, and unmoved by losses that break."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from ecgscan_lab import compare_losses
from ecgscan_lab.compare import METRICS, Rung, read_comparisons, rung_for, toy_embeddings
from ecgscan_lab.compare.experiment import toy_embeddings as documented
from ecgscan_lab.compare.tables import toy_table
from ecgscan_lab.compare.training import fresh_heads, train_heads
from ecgscan_lab.errors import ArgumentError, LabelError
from ecgscan_lab.losses import as_feature_loss

SHORT = dataclasses.replace(rung_for("toy"), steps=8, n_records=100)
TIMED = "seconds_per_step"


def without_seconds(comparison):
    return [
        {**run.as_dict(), "metrics": {k: v for k, v in run.as_dict()["metrics"].items() if k != TIMED}}
        for run in comparison.runs
    ]


def cosine(features):
    return 1 - (normalize(features.image) * normalize(features.text)).sum(1).mean()


def test_every_loss_sees_the_same_start_and_the_same_batches():
    seen: dict[str, list[torch.Tensor]] = {"a": [], "b": []}

    def spy(name, weight):
        def loss(features):
            seen[name].append(features.signal.clone())
            seen[name].append(features.image.detach().clone())
            return weight * cosine(features)

        return loss

    compare_losses({"a": spy("a", 1.0), "b": spy("b", 2.0)}, SHORT, log=None)
    a, b = seen["a"][4:], seen["b"][4:]  # before training each is read and rehearsed
    assert len(a) == len(b) == 2 * 3 * SHORT.steps
    assert all(torch.equal(x, y) for x, y in zip(a[::2], b[::2], strict=True)), "batches"
    starts = range(1, len(a), 2 * SHORT.steps)
    assert all(torch.equal(a[i], b[i]) for i in starts), "first weights"
    assert not torch.equal(a[1], a[1 + 2 * SHORT.steps]), "another seed starts elsewhere"


def test_a_loss_against_itself_differs_by_nothing():
    found = compare_losses({"one": "pairwise", "two": as_feature_loss("pairwise")}, SHORT, log=None)
    differences = found.differences().query("metric != @TIMED")
    assert (differences[["difference", "low", "high"]] == 0).all(axis=None)
    assert set(differences["verdict"]) == {"no clear difference"}


def test_the_same_call_gives_the_same_figures_whatever_the_order_and_the_global_generator():
    losses = {"contrastive": "contrastive", "cosine": cosine}
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = compare_losses(losses, SHORT, log=None)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = compare_losses(dict(reversed(losses.items())), SHORT, log=None)
    key = lambda run: (run["loss"], run["seed"])  # noqa: E731
    assert sorted(without_seconds(first), key=key) == sorted(without_seconds(second), key=key)


def test_figures_are_complete_and_finite_and_training_teaches():
    found = compare_losses(["contrastive", "pairwise"], rung_for("toy"), log=None)
    assert found.complete
    assert list(found.table().columns) == ["runs", *(name for name in METRICS if name != "few_label_auroc")]
    assert np.isfinite(found.table().to_numpy(dtype=float)).all()
    for run in found.runs:
        assert run.last_loss < run.first_loss
        assert run.metrics["zero_shot_auroc"] > 75
    pairwise = found.differences().query("loss == 'pairwise' and metric == 'signal_recall_at_10'").iloc[0]
    assert pairwise.verdict == "better", "the contrastive loss never sees the signal"
    assert pairwise.low > 0


def test_a_volume_turns_pages_away_from_their_signals_and_its_signed_kind_does_not():
    angles = {}
    for kind in ("volume", "signed_plane_distance"):
        embedded, cases = toy_embeddings(as_feature_loss("gram", kind=kind))
        a, b = (normalize(torch.from_numpy(x[cases.split == "test"])) for x in (embedded.image, embedded.signal))
        angles[kind] = float((a * b).sum(1).mean())
    assert angles["volume"] < 0.5 < angles["signed_plane_distance"]
    assert documented is toy_embeddings


def breaks_at(step: int, error: Exception | None):
    calls = []

    def loss(features):
        calls.append(None)
        if len(calls) > step + 2:  # before training it is read and rehearsed
            if error is not None:
                raise error
            return cosine(features) * math.nan
        return cosine(features)

    return loss


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "the loss is not finite at step 4 of 8"),
        (ZeroDivisionError("no\nmore"), "it raised ZeroDivisionError: no"),
    ],
)
def test_a_loss_that_breaks_is_listed_and_stops_nothing(error, words):
    found = compare_losses({"good": cosine, "bad": breaks_at(3, error), "gram": "gram"}, SHORT, log=None)
    assert {(run.loss, run.seed) for run in found.failures} == {("bad", 0), ("bad", 1), ("bad", 2)}
    assert found.failures[0].status == words
    assert found.table().loc["bad", "runs"] == 0
    assert found.table().loc["gram", "runs"] == 3
    assert set(found.differences().query("loss == 'bad'")["verdict"]) == {"not known"}
    assert any(words in note for note in found.notes)


def test_a_gradient_that_is_not_finite_is_noticed():
    def root(features):
        return (features.image - features.image.detach()).square().sum().sqrt() + cosine(features)

    found = compare_losses({"good": cosine, "root": root}, SHORT, log=None)
    assert found.failures[0].status == "its gradient is not finite at step 1 of 8"


def test_an_interrupt_keeps_what_is_done(tmp_path):
    done = []

    def stop(run):
        done.append(run)
        if len(done) == 3:
            raise KeyboardInterrupt

    found = compare_losses({"a": cosine, "b": "gram"}, SHORT, log=tmp_path / "log.jsonl", on_run=stop)
    assert not found.complete
    assert len(found.runs) == 3
    assert "Interrupted: 3 of 6 runs are in." in found.notes
    assert read_comparisons(tmp_path / "log.jsonl")[0].runs == found.runs
    assert set(found.differences()["n_seeds"]) == {1}
    assert set(found.differences()["verdict"]) == {"no clear difference"}

    def stop_at_once(features):
        if torch.is_grad_enabled() and features.image.shape[0] > 6:
            raise KeyboardInterrupt
        return cosine(features)

    with pytest.raises(KeyboardInterrupt):
        compare_losses({"a": stop_at_once, "b": "gram"}, SHORT, log=None)


def test_heads_train_on_cached_features_and_the_decoder_losses_are_refused(cohort, small, cache):
    said: list[str] = []
    found = compare_losses(["contrastive", "gram"], small, data=cohort, cache=cache, log=None, say=said.append)
    assert found.complete
    assert not found.failures
    assert (found.data, found.data_sha256) == ("synthetic", cohort.data_sha256)
    assert len(said) == 1
    again = compare_losses(["contrastive", "gram"], small, data=cohort, cache=cache, log=None, say=said.append)
    assert len(said) == 1, "the second time features come from the cache"
    assert without_seconds(again) == without_seconds(found)
    with pytest.raises(ArgumentError, match="needs reconstruction_mv") as refused:
        compare_losses(["contrastive", "mse"], small, data=cohort, cache=cache, log=None)
    assert refused.value.field == "losses['mse']"
    with pytest.raises(LabelError):
        compare_losses(["contrastive", "gram"], small, data=cohort, task="colour", cache=cache, log=None)


@pytest.mark.slow
def test_towers_are_trained_end_to_end_with_and_without_a_decoder(cohort, small, cache):
    recipe = dataclasses.replace(small.recipe, steps=2, batch_size=8, validations=1, decoder_dim=16, decoder_heads=2)
    quick = dataclasses.replace(small, name="quick", recipe=recipe)
    losses = {"objective": "objective", "pairwise": "pairwise", "nan": lambda features: cosine(features) * math.nan}
    found = compare_losses(losses, quick, data=cohort, cache=cache, log=None)
    assert found.table()["runs"].to_list() == [3, 3, 0]
    assert found.failures[0].status == "the loss is not finite at step 1 of 2"
    assert np.isfinite(found.table().loc["pairwise", "seconds_per_step"])


def test_only_what_can_train_is_compared():
    for losses, options, field in (
        (["contrastive"], {}, "losses"),
        ("contrastive", {}, "losses"),
        ({"a": cosine, "b": 3}, {}, "losses['b']"),
        ({"a": cosine, "b": "grm"}, {}, "losses['b']"),
        ({"a": cosine, "b": lambda features: features.image.sum(1)}, {}, "losses['b']"),
        ({"a": cosine, "b": lambda features: 1 / 0}, {}, "losses['b']"),
        ({"a": cosine, "b": lambda features: features.signal.sum()}, {}, "losses['b']"),
        ({"a": cosine, "b": cosine}, {"baseline": "c"}, "baseline"),
        ({"a": cosine, "b": cosine}, {"seeds": (0, 1)}, "seeds"),
        ({"a": cosine, "b": cosine}, {"seeds": (0, 1, 1)}, "seeds"),
        ({"a": cosine, "b": cosine}, {"seeds": (0, 1, -1)}, "seeds"),
        ({"a": cosine, "b": cosine}, {"seeds": (0, 1, 0.5)}, "seeds"),
        ({"a": cosine, "b": cosine}, {"rung": "attic"}, "rung"),
    ):
        rung = options.pop("rung", SHORT)
        with pytest.raises(ArgumentError) as refused:
            compare_losses(losses, rung, log=None, **options)
        assert refused.value.field == field, str(refused.value)
    with pytest.raises(ArgumentError) as refused:
        rung_for("toy", "slow")
    assert refused.value.field == "profile"


def test_the_baseline_can_be_chosen_and_comes_first():
    found = compare_losses({"a": cosine, "b": "gram"}, SHORT, baseline="b", log=None)
    assert found.losses == ("b", "a")
    assert found.baseline == "b"


def test_rungs_rise():
    toy, heads, quick, full = (rung_for(name) for name in ("toy", "heads", "quick", "full"))
    assert toy.d_shared == 3
    assert heads.n_records == quick.n_records == 2000
    assert full.n_records is None
    assert full.recipe.steps > quick.recipe.steps
    for rung in (toy, heads, quick, full):
        assert isinstance(rung, Rung)
        assert rung.as_dict()["name"] == rung.name


def test_a_seed_draws_the_heads_and_nothing_else():
    table = toy_table(60, seed=0)
    first, again, other = (fresh_heads(table, SHORT, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["project_text.0.weight"], other["project_text.0.weight"])


def test_only_training_records_teach():
    table = toy_table(100, seed=0)
    hidden = table.cases.split != "train"
    blind = dataclasses.replace(
        table, **{n: np.where(hidden[:, None], np.float32(0.5), getattr(table, n)) for n in ("image", "text", "signal")}
    )
    shown = ~hidden
    loss = as_feature_loss("pairwise")
    full, masked = (train_heads(t, loss, SHORT, 0).embedded for t in (table, blind))
    np.testing.assert_array_equal(full.image[shown], masked.image[shown])
    np.testing.assert_array_equal(full.text[shown], masked.text[shown])
