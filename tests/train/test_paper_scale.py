"""The paper's run in full size: it builds, counts as published, and takes steps; and what a checkpoint of it holds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import FrozenFeatures
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import CheckpointError
from ecgscan_lab.train.building import build_model
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint
from ecgscan_lab.train.loop import load_model, pretrain
from ecgscan_lab.train.recipes import Recipe, paper, paper_plus

RANDOM = {"image_weights": None, "precision": "fp32"}


@pytest.mark.slow
def test_the_papers_run_builds_in_full_and_takes_two_steps(tmp_path):
    pytest.importorskip("peft")
    recipe = dataclasses.replace(paper(), **RANDOM, steps=2, batch_size=2, validations=1, validation_batches=1)
    rng = np.random.default_rng(0)
    data = synthetic_cohort(12, seed=0, fs_hz=500.0)
    rows = rng.normal(size=(2, len(data), 768)).astype(np.float32)
    frozen = FrozenFeatures(np.tanh(rows[0]), rows[1], np.arange(len(data)))
    run = pretrain(data, frozen, recipe, tmp_path, seed=0)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in run.model.named_children()}
    adapters = sum(p.numel() for name, p in run.model.named_parameters() if ".lora_" in name)
    print({**counts, "adapters": adapters})
    assert counts["decoder"] == pytest.approx(86.1e6, rel=0.001)
    assert counts["project_contrastive"] == counts["project_reconstruction"] == 1025 * 768
    assert counts["project_text"] == 769 * 768
    assert adapters == 3_145_728, "rank 16 on q, k, v and o of 24 layers"
    assert 300e6 < counts["tower"] < 310e6
    assert run.model.reconstruct(torch.zeros(1, 3, 336, 336, dtype=torch.uint8)).shape == (1, 12, 5000)
    train = [row for row in run.history if row["split"] == "train"]
    assert [row["step"] for row in train] == [0, 1]
    assert all(np.isfinite(row[name]) for row in train for name in ("total", "contrastive", "gram", "mse", "rule"))
    kept = load_checkpoint(run.checkpoint)[0]
    assert sum(t.numel() for t in kept.values()) < 95e6, "the frozen tower is named, not copied"


@pytest.mark.slow
def test_our_cures_build_in_full():
    pytest.importorskip("peft")
    model = build_model(dataclasses.replace(paper_plus(), **RANDOM), 768, 5000, seed=0)
    assert model.tower.size == (420, 546)
    assert model.decoder.token_dim == 1024


SMALL = Recipe(
    "lora", size=(32, 64), image_tower="timm:test_vit", tower_size=(32, 64), tower_trains="lora", lora_rank=2,
    lora_alpha=4, d_shared=16, decoder_dim=16, decoder_layers=1, steps=3, batch_size=8, validations=1, save="trainable",
    cross_attention=True, precision="fp32",
)  # fmt: skip


@pytest.fixture(scope="module")
def adapted(cohort, frozen, tmp_path_factory):
    pytest.importorskip("timm")
    pytest.importorskip("peft")
    return pretrain(cohort, frozen, SMALL, tmp_path_factory.mktemp("lora"), seed=0)


def test_a_checkpoint_of_adapters_holds_them_and_rebuilds_the_rest(adapted):
    tensors, facts = load_checkpoint(adapted.checkpoint)
    frozen = {name for name, p in adapted.model.named_parameters() if not p.requires_grad}
    assert frozen
    assert not frozen & tensors.keys()
    assert any(".lora_" in name for name in tensors)
    model, _ = load_model(adapted.checkpoint)
    assert facts["base_sha256"]
    ours, theirs = model.state_dict(), adapted.model.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_another_base_under_the_adapters_is_refused(adapted, tmp_path):
    tensors, facts = load_checkpoint(adapted.checkpoint)
    other = save_checkpoint(tmp_path / "other.safetensors", tensors, {**facts, "seed": 1})
    with pytest.raises(CheckpointError, match="frozen weights are not those") as caught:
        load_model(other)
    assert caught.value.field == "image_weights"


def test_adapters_of_another_rank_are_refused(adapted, tmp_path):
    tensors, facts = load_checkpoint(adapted.checkpoint)
    recipe = {**facts["recipe"], "lora_rank": 4}
    other = save_checkpoint(tmp_path / "other.safetensors", tensors, {**facts, "recipe": recipe})
    with pytest.raises(CheckpointError, match="does not fit"):
        load_model(other)


def test_an_adapted_run_resumes_to_the_same_bits(adapted, cohort, frozen, tmp_path):
    def stop(row):
        if row["step"] == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(cohort, frozen, SMALL, tmp_path, seed=0, on_step=stop)
    pretrain(cohort, frozen, SMALL, tmp_path, seed=0, resume=True)
    ours, theirs = (load_checkpoint(p / "last.safetensors")[0] for p in (tmp_path, adapted.checkpoint.parent))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(CheckpointError, match="lora_rank: 2 there, 4 here"):
        pretrain(cohort, frozen, dataclasses.replace(SMALL, lora_rank=4), tmp_path, seed=0, resume=True)


def test_a_frozen_tower_stays_as_it_was(cohort, frozen, tmp_path):
    pytest.importorskip("timm")
    recipe = dataclasses.replace(SMALL, tower_trains="frozen")
    run = pretrain(cohort, frozen, recipe, tmp_path, seed=0)
    fresh = build_model(recipe, 8, 1000, seed=0).state_dict()
    after = run.model.state_dict()
    assert all(torch.equal(after[name], fresh[name]) for name in fresh if name.startswith("tower."))
    assert not torch.equal(after["project_text.0.weight"], fresh["project_text.0.weight"])
