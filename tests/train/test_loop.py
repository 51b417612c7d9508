"""The training loop: it learns, repeats itself, keeps its weights and looks at nothing it must not see."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgscan_lab import draw_page, synthetic_records
from ecgscan_lab.batch import FrozenFeatures, make_batch
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ArgumentError, CheckpointError, SplitError
from ecgscan_lab.train import loop
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint
from ecgscan_lab.train.loop import Pretrained, build_model, load_model, pretrain, validation_loss
from ecgscan_lab.train.recipes import Recipe
from ecgscan_lab.train.step import take_training_step
from ecgscan_lab.types import Cohort

RECIPE = Recipe(
    "tiny",
    size=(48, 112),
    d_shared=16,
    tower_width=4,
    decoder_dim=16,
    decoder_layers=1,
    steps=60,
    batch_size=8,
    lr=5e-3,
    validations=3,
)
SHORT = dataclasses.replace(RECIPE, steps=4, validations=2)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic_cohort(60, seed=0)


@pytest.fixture(scope="module")
def frozen(cohort) -> FrozenFeatures:
    """Stand-ins for the frozen towers: the diagnosis, and a random projection of the signal."""
    rng = np.random.default_rng(0)
    diagnosis = cohort.targets("diagnosis").astype(np.float32)
    text = diagnosis @ rng.normal(size=(diagnosis.shape[1], 8)).astype(np.float32)
    flat = cohort.signals_mv.reshape(len(cohort), -1)
    signal = np.tanh(flat @ rng.normal(size=(flat.shape[1], RECIPE.d_shared)) / 20).astype(np.float32)
    return FrozenFeatures(signal, text, diagnosis.argmax(axis=1))


@pytest.fixture(scope="module")
def run(cohort, frozen, tmp_path_factory) -> Pretrained:
    return pretrain(cohort, frozen, RECIPE, tmp_path_factory.mktemp("run"), seed=0)


def without_seconds(rows: object) -> list[dict[str, object]]:
    return [{name: value for name, value in row.items() if not timing(name)} for row in rows]


def timing(name: str) -> bool:
    return name == "seconds" or name.endswith("_s")


def same_tensors(a: Path, b: Path) -> bool:
    first, second = load_checkpoint(a)[0], load_checkpoint(b)[0]
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_falls(run):
    train = [row for row in run.history if row["split"] == "train"]
    val = [row for row in run.history if row["split"] == "val"]
    assert train[-1]["total"] < 0.7 * train[0]["total"]
    assert train[-1]["mse"] < 0.7 * train[0]["mse"]
    assert train[-1]["contrastive"] < train[0]["contrastive"]
    assert min(row["total"] for row in val) == pytest.approx(
        next(row["total"] for row in val if row["step"] == run.best_step)
    )


def test_history_has_a_row_every_ten_steps_and_at_every_validation(run):
    steps = {split: [row["step"] for row in run.history if row["split"] == split] for split in ("train", "val")}
    assert steps["val"] == [19, 39, 59]
    assert steps["train"] == sorted({*range(0, 60, 10), 19, 39, 59})
    train = next(row for row in run.history if row["split"] == "train")
    assert {"total", "contrastive", "gram", "mse", "rule", "violation", "lr", "gradient_norm", "seconds"} <= set(train)
    assert all(np.isfinite(value) for row in run.history for value in row.values() if not isinstance(value, str))


def test_the_best_weights_give_the_best_validation_loss(run, cohort, frozen):
    model, facts = load_model(run.checkpoint)
    measured = validation_loss(model, cohort, frozen, RECIPE, cohort.indices("val"))
    assert measured["total"] == pytest.approx(facts["validation_loss"], rel=1e-6)
    row = next(row for row in run.history if row["split"] == "val" and row["step"] == run.best_step)
    assert measured == pytest.approx({name: row[name] for name in measured}, rel=1e-5, abs=1e-7)
    assert {*measured, "step", "split"} == set(row)


def test_a_loaded_model_gives_the_same_output(run, cohort, frozen):
    model, _ = load_model(run.checkpoint)
    assert not model.training
    assert not run.model.training
    batch = make_batch(cohort, frozen, np.arange(4), RECIPE.size)
    with torch.no_grad():
        loaded, kept = model(batch), run.model(batch)
    assert torch.equal(loaded.image, kept.image)
    assert torch.equal(loaded.text, kept.text)
    assert torch.equal(loaded.reconstruction_mv, kept.reconstruction_mv)
    assert loaded.logit_scale == kept.logit_scale != pytest.approx(1 / 0.07, abs=1e-6)


def test_a_checkpoint_says_how_it_came_to_be(run, cohort):
    _, facts = load_model(run.checkpoint)
    assert facts["recipe"] == {**RECIPE.as_dict(), "size": list(RECIPE.size)}
    assert facts["data_sha256"] == cohort.data_sha256
    assert (facts["seed"], facts["step"]) == (0, run.best_step)
    assert (facts["d_text"], facts["n_samples"], facts["fs_hz"]) == (8, 1000, 100.0)
    last = load_checkpoint(run.checkpoint.with_name("last.safetensors"))[1]
    assert last["step"] == RECIPE.steps - 1
    assert sorted(path.name for path in run.checkpoint.parent.iterdir()) == ["best.safetensors", "last.safetensors"]


def test_same_seed_same_bits(cohort, frozen, tmp_path):
    rows: list[object] = []
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = pretrain(cohort, frozen, SHORT, tmp_path / "a", seed=3, on_step=rows.append)
    assert torch.equal(torch.get_rng_state(), state), "the global generator stays where it was"
    assert tuple(rows) == first.history.rows
    torch.manual_seed(2)
    second = pretrain(cohort, frozen, SHORT, tmp_path / "b", seed=3)
    assert without_seconds(first.history) == without_seconds(second.history)
    assert same_tensors(first.checkpoint, second.checkpoint)
    pretrain(cohort, frozen, dataclasses.replace(SHORT, steps=1, validations=1), tmp_path / "c", seed=4)
    assert not same_tensors(first.checkpoint, tmp_path / "c" / "best.safetensors")


def test_queries_are_masked_while_training_and_not_while_validating(cohort, frozen, tmp_path):
    once = dataclasses.replace(SHORT, steps=1, validations=1, lr=0.0)
    rows = [
        without_seconds(pretrain(cohort, frozen, dataclasses.replace(once, mask_share=share), tmp_path).history)
        for share in (0.0, 0.5)
    ]
    assert rows[0][0]["mse"] != rows[1][0]["mse"]
    assert rows[0][0]["contrastive"] == rows[1][0]["contrastive"]
    assert rows[0][1] == rows[1][1]


def test_any_loss_of_the_features_can_take_the_objectives_place(cohort, frozen, tmp_path):
    def pull(features):
        return (features.image - features.signal).square().mean()

    run = pretrain(cohort, frozen, RECIPE, tmp_path, seed=0, loss=pull)
    train = [row for row in run.history if row["split"] == "train"]
    val = [row for row in run.history if row["split"] == "val"]
    assert train[-1]["total"] < 0.7 * train[0]["total"]
    assert "contrastive" not in train[0]
    model, _ = load_model(run.checkpoint)
    with torch.no_grad():
        kept = float(pull(model(make_batch(cohort, frozen, cohort.indices("val"), RECIPE.size))))
    assert kept == pytest.approx(min(row["total"] for row in val), rel=0.05)


def blanked(cohort: Cohort, frozen: FrozenFeatures, splits: tuple[str, ...]) -> tuple[Cohort, FrozenFeatures]:
    """Nothing left of some splits: flat signals, and other features."""
    records = tuple(
        dataclasses.replace(r, signal_mv=np.zeros_like(r.signal_mv)) if r.split in splits else r for r in cohort.records
    )
    gone = np.isin([r.split for r in cohort.records], splits)[:, None]
    signal, text = (np.where(gone, np.float32(0.5), rows) for rows in (frozen.signal, frozen.text))
    return dataclasses.replace(cohort, records=records), FrozenFeatures(signal, text, frozen.text_ids)


def test_validation_records_choose_and_do_not_teach_and_test_records_do_neither(cohort, frozen, tmp_path):
    run = pretrain(cohort, frozen, SHORT, tmp_path / "all", seed=0)
    no_test = pretrain(*blanked(cohort, frozen, ("test",)), SHORT, tmp_path / "no-test", seed=0)
    assert without_seconds(no_test.history) == without_seconds(run.history)
    assert same_tensors(no_test.checkpoint, run.checkpoint)
    no_val = pretrain(*blanked(cohort, frozen, ("val", "test")), SHORT, tmp_path / "no-val", seed=0)
    train, val = (
        [[row for row in without_seconds(r.history) if row["split"] == split] for r in (run, no_val)]
        for split in ("train", "val")
    )
    assert train[0] == train[1]
    assert val[0] != val[1], "and the check would see it"
    assert same_tensors(tmp_path / "all" / "last.safetensors", tmp_path / "no-val" / "last.safetensors")


def test_every_batch_of_a_step_is_drawn_from_the_training_split(cohort, frozen, tmp_path, monkeypatch):
    seen: list[np.ndarray] = []

    def spy(learner: object, fed: object, **kwargs: object) -> object:
        seen.append(fed.batch.index.numpy())
        return take_training_step(learner, fed, **kwargs)

    monkeypatch.setattr(loop, "take_training_step", spy)
    pretrain(cohort, frozen, SHORT, tmp_path, seed=0)
    assert len(seen) == SHORT.steps
    assert np.isin(np.concatenate(seen), cohort.indices("train")).all()


@pytest.mark.parametrize("stop_at", [0, 3])
def test_an_interrupt_keeps_the_latest_weights(cohort, frozen, tmp_path, stop_at):
    def stop(row: object) -> None:
        if row["step"] == stop_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(cohort, frozen, SHORT, tmp_path, seed=0, on_step=stop)
    model, facts = load_model(tmp_path / "last.safetensors")
    assert facts["step"] == stop_at
    if stop_at == 0:
        assert facts["validation_loss"] is None
        assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]
        fresh = build_model(SHORT, 8, 1000, seed=0).state_dict()
        assert not torch.equal(fresh["project_text.0.weight"], model.state_dict()["project_text.0.weight"])


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_empty_split_is_refused_before_the_first_step(cohort, frozen, tmp_path, split):
    records = tuple(dataclasses.replace(r, split="test" if r.split == split else r.split) for r in cohort.records)
    with pytest.raises(SplitError, match=f"the {split} split has no records"):
        pretrain(dataclasses.replace(cohort, records=records), frozen, SHORT, tmp_path / "run", seed=0)
    assert not (tmp_path / "run").exists()


def test_a_run_that_leaves_the_numbers_keeps_its_last_weights_and_says_so(cohort, frozen, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "validation_loss", lambda *args, **kwargs: {"total": float("nan")})
    with pytest.raises(CheckpointError, match="never finite"):
        pretrain(cohort, frozen, SHORT, tmp_path, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["last.safetensors"]


def test_a_seed_sets_the_weights_and_nothing_else():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = (build_model(RECIPE, 8, 100, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["tower.stem.0.weight"], other["tower.stem.0.weight"])


def test_validation_sees_the_same_batches_whatever_came_before(run, cohort, frozen):
    val = cohort.indices("val")
    first = validation_loss(run.model.train(), cohort, frozen, RECIPE, val)
    assert not run.model.training
    assert validation_loss(run.model, cohort, frozen, RECIPE, val) == first
    one = validation_loss(run.model, cohort, frozen, RECIPE, val[:1])
    assert np.isfinite(one["total"]), "even a single validation record can be judged"


@pytest.mark.parametrize(
    "change",
    [
        {"d_text": 9},
        {"n_samples": "many"},
        {"recipe": "tiny"},
        {"recipe": {"size": [48, 112]}},
        {"recipe": {**RECIPE.as_dict(), "decoder_heads": 3}},
        {"recipe": {**RECIPE.as_dict(), "colour": "red"}},
        {"recipe": {**RECIPE.as_dict(), "size": 48}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_a_checkpoint_of_another_model_is_refused(run, tmp_path, change):
    tensors, facts = load_checkpoint(run.checkpoint)
    path = save_checkpoint(tmp_path / "other.safetensors", tensors, {**facts, **change})
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    assert caught.value.file == str(path)


def test_a_checkpoint_without_a_recipe_is_refused(tmp_path):
    path = save_checkpoint(tmp_path / "other.safetensors", {"weight": torch.zeros(2)}, {})
    with pytest.raises(CheckpointError, match="does not fit"):
        load_model(path)


def test_a_decoder_of_columns_trains_and_comes_back(cohort, frozen, tmp_path):
    run = pretrain(cohort, frozen, dataclasses.replace(SHORT, column_queries=True), tmp_path, seed=0)
    again, _ = load_model(run.checkpoint)
    assert again.decoder.direct.weight.any(), "it began at zero"
    pages = make_batch(cohort, frozen, np.arange(3), SHORT.plan()).images
    with torch.no_grad():
        decoded = again.reconstruct(pages)
        assert torch.equal(decoded, run.model.reconstruct(pages))
    assert decoded.shape == (3, 12, cohort.n_samples)
    assert float(decoded.std()) > 0


def test_aligned_columns_begin_where_the_page_begins_its_traces():
    recipe = Recipe("aligned", size=(192, 448), column_queries=True, align_columns=True)
    left, right = build_model(recipe, 8, 1000, 0).decoder.column_span
    strip = draw_page(synthetic_records(1, fs_hz=100.0)[0], recipe.plan().spec, size=recipe.size).polylines["II rhythm"]
    assert (448 * left, 448 * right) == pytest.approx((strip[0, 0], strip[-1, 0]), abs=1.0)
    whole = build_model(dataclasses.replace(recipe, align_columns=False), 8, 1000, 0).decoder.column_span
    assert whole[0] == 0.0 < left < right < 1.0 == whole[1]


def test_columns_of_a_tower_that_has_none_are_refused():
    recipe = Recipe("clip", image_tower="open_clip:ViT-B-32", tower_size=(64, 64), column_queries=True)
    with pytest.raises(ArgumentError) as caught, torch.device("meta"):
        build_model(recipe, d_text=8, n_samples=1000, seed=0)
    assert caught.value.field == "column_queries"
