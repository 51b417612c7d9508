"""The signal teacher: trained on the training split alone, then frozen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.signal import TinySignalTower
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train import frozen_features, teacher
from ecgscan_lab.train.recipes import Recipe
from ecgscan_lab.train.teacher import encode_signals, fit_teacher
from ecgscan_lab.types import Cohort, History

RECIPE = Recipe("tiny", d_shared=16, teacher_steps=30, teacher_batch=16)
SHORT = dataclasses.replace(RECIPE, teacher_steps=3, teacher_batch=8)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic_cohort(60, seed=0, duration_s=4.0)


@pytest.fixture(scope="module")
def text_features(cohort) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(cohort), 8)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(cohort, text_features) -> tuple[TinySignalTower, History]:
    return fit_teacher(cohort, text_features, RECIPE, seed=0)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def with_records(cohort: Cohort, splits: tuple[str, ...], value: float) -> Cohort:
    """The cohort with the signals of some splits replaced by a constant."""
    records = tuple(
        dataclasses.replace(r, signal_mv=np.full_like(r.signal_mv, value)) if r.split in splits else r
        for r in cohort.records
    )
    return dataclasses.replace(cohort, records=records)


def test_the_teacher_is_frozen(fitted):
    tower, _ = fitted
    assert not tower.training
    assert not any(p.requires_grad for p in tower.parameters())
    assert next(tower.parameters()).device.type == "cpu"
    assert (tower.embed_dim, tower.fs_hz) == (16, 100.0)


def test_the_masked_loss_falls(fitted):
    _, history = fitted
    first, *_, last = history.rows
    assert (first["step"], last["step"]) == (0, RECIPE.teacher_steps - 1)
    assert {row["split"] for row in history} == {"train"}
    assert last["masked_mse"] < 0.6 * first["masked_mse"]
    assert last["contrastive"] < first["contrastive"]


def test_the_loss_is_that_of_masked_patches_which_the_tower_does_not_see(cohort, text_features, monkeypatch):
    seen: dict[str, torch.Tensor] = {}
    tokens, mse_loss = TinySignalTower.tokens, teacher.mse_loss

    def spy_tokens(self: TinySignalTower, signals_mv: torch.Tensor) -> torch.Tensor:
        seen["input"] = signals_mv
        return tokens(self, signals_mv)

    def spy_loss(decoded: torch.Tensor, target: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        seen.update(target=target, weights=weights)
        return mse_loss(decoded, target, weights=weights)

    monkeypatch.setattr(TinySignalTower, "tokens", spy_tokens)
    monkeypatch.setattr(teacher, "mse_loss", spy_loss)
    fit_teacher(cohort, text_features, dataclasses.replace(SHORT, teacher_steps=1), 0)
    masked = seen["weights"] == 1
    assert torch.equal(seen["weights"], masked.float())
    assert (masked == masked[:, :1]).all(), "all leads at once"
    patches = masked[:, 0].unflatten(1, (-1, 8))
    assert (patches == patches[..., :1]).all(), "whole patches of 80 ms"
    assert abs(float(patches.float().mean()) - 0.3) < 0.1
    assert not seen["input"][masked].any()
    assert torch.equal(seen["input"][~masked], seen["target"][~masked])


def test_same_seed_same_teacher_and_the_global_generator_stays(cohort, text_features):
    seen: list[object] = []
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, history = fit_teacher(cohort, text_features, SHORT, 5, seen.append)
    assert torch.equal(torch.get_rng_state(), state)
    assert tuple(seen) == history.rows
    torch.manual_seed(2)
    second, again = fit_teacher(cohort, text_features, SHORT, 5)
    assert same_weights(first, second)
    assert history == again
    assert not same_weights(first, fit_teacher(cohort, text_features, SHORT, 6)[0])


def test_only_the_training_split_is_used(cohort, text_features):
    changed, changed_text = with_records(cohort, ("val", "test"), np.nan), text_features.copy()
    for split in ("val", "test"):
        changed_text[cohort.indices(split)] = np.nan
    first, second = (fit_teacher(*args, SHORT, 0)[0] for args in ((cohort, text_features), (changed, changed_text)))
    assert same_weights(first, second)
    third, _ = fit_teacher(with_records(cohort, ("train",), 0.1), text_features, SHORT, 0)
    assert not same_weights(first, third), "and the check would see it"


def test_samples_that_were_not_recorded_do_no_harm(cohort, text_features):
    gaps = [r.signal_mv.copy() for r in cohort.records]
    for signal_mv in gaps:
        signal_mv[3, 100:250] = np.nan
    records = tuple(dataclasses.replace(r, signal_mv=s) for r, s in zip(cohort.records, gaps, strict=True))
    tower, history = fit_teacher(dataclasses.replace(cohort, records=records), text_features, SHORT, 0)
    assert all(np.isfinite([row["masked_mse"], row["contrastive"]]).all() for row in history)
    assert all(torch.isfinite(p).all() for p in tower.parameters())


def test_encoding_in_batches_is_encoding(cohort, fitted):
    tower, _ = fitted
    features = encode_signals(tower, cohort.signals_mv, batch_size=25)
    assert features.shape == (60, 16)
    assert features.dtype == np.float32
    with torch.no_grad():
        direct = tower(torch.from_numpy(cohort.signals_mv)).numpy()
    assert np.allclose(features, direct, atol=1e-5)


def test_summaries_are_encoded_in_batches_too_and_asked_of_the_tiny_tower_alone(cohort, fitted):
    tower, _ = fitted
    summary = encode_signals(tower, cohort.signals_mv, batch_size=25, summary=True)
    assert summary.shape == (60, tower.d_summary)
    with torch.no_grad():
        assert np.allclose(summary, tower.summarise(torch.from_numpy(cohort.signals_mv)).numpy(), atol=1e-5)

    class Other(torch.nn.Module):
        fs_hz, embed_dim = 100.0, 4

    with pytest.raises(ArgumentError, match="no summary"):
        encode_signals(Other(), cohort.signals_mv, summary=True)


def test_entries_are_in_units_of_their_spread_over_the_training_records(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_features, "_AT_A_TIME", 7)
    rows = np.random.default_rng(0).normal(3.0, 5.0, (40, 4)).astype(np.float32)
    rows[:, 2] = 8.0
    mapped = np.lib.format.open_memmap(tmp_path / "rows.npy", mode="w+", dtype=np.float32, shape=rows.shape)
    mapped[:], train = rows, np.arange(0, 40, 2)
    frozen_features._standardise(mapped, train)
    varies = [0, 1, 3]
    expected = (rows - rows[train].mean(0)) / rows[train].std(0).clip(1e-3)
    assert np.allclose(mapped[:, varies], expected[:, varies], atol=1e-4)
    assert not mapped[:, 2].any()


def test_several_teachers_tell_their_summaries_side_by_side_and_only_once(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(frozen_features, "_AT_A_TIME", 25)
    weights = dataclasses.replace(SHORT.weights, w_distillation=1.0)
    alone = dataclasses.replace(SHORT, text_tower="hashed", weights=weights)
    first, second = (frozen_features.prepare_frozen(cohort, alone, tmp_path / "alone", seed=seed) for seed in (4, 5))
    both, said = dataclasses.replace(alone, teachers=2), []
    made = frozen_features.prepare_frozen(cohort, both, tmp_path / "both", seed=4, say=said.append)
    assert np.array_equal(made.signal_summary, np.concatenate([first.signal_summary, second.signal_summary], axis=1))
    assert not np.allclose(first.signal_summary, second.signal_summary, atol=0.1)
    assert np.array_equal(made.signal, first.signal)
    trained = [line for line in said if "training" in line]
    assert len(trained) == 2
    again = frozen_features.prepare_frozen(cohort, both, tmp_path / "both", seed=4, say=said.append)
    assert np.array_equal(again.signal_summary, made.signal_summary)
    assert [line for line in said if "training" in line] == trained
    told = dataclasses.replace(both, weights=SHORT.weights)
    assert frozen_features.prepare_frozen(cohort, told, tmp_path / "both", seed=4).signal_summary is None


def test_a_cohort_without_training_records_is_refused(cohort, text_features):
    records = tuple(dataclasses.replace(r, split="test") for r in cohort.records)
    with pytest.raises(ArgumentError, match="no records"):
        fit_teacher(dataclasses.replace(cohort, records=records), text_features, SHORT, 0)
