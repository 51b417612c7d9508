"""Weights that come with the package: there, small, loadable, and better than a draw of the dice."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ArgumentError, CheckpointError
from ecgscan_lab.evaluate import linear_probe
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.train.building import build_model, load_model
from ecgscan_lab.train.checkpoint import save_checkpoint
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.shipped import shipped_checkpoint, shrink_checkpoint


@pytest.fixture(scope="module")
def shipped():
    return load_model(shipped_checkpoint())


def test_the_shipped_weights_are_below_five_megabytes_and_say_where_they_come_from(shipped):
    assert shipped_checkpoint().stat().st_size < 5_000_000
    _, facts = shipped
    assert facts["recipe"]["name"] == "ptbxl_laptop"
    assert len(facts["data_sha256"]) == 64
    assert facts["fs_hz"] == 100
    card = shipped_checkpoint().with_suffix(".md").read_text(encoding="utf-8")
    for wanted in ("ecgscan-lab replicate ptbxl", facts["data_sha256"][:12], "Not for clinical use", "CC BY 4.0"):
        assert wanted in card, wanted


def test_an_unknown_name_is_refused():
    with pytest.raises(ArgumentError, match="no weights"):
        shipped_checkpoint("mimic_iv")


def test_they_tell_synthetic_diagnoses_apart_far_better_than_random_weights(shipped):
    model, facts = shipped
    cohort = synthetic_cohort(400, seed=3)
    fresh = build_model(Recipe.from_dict(facts["recipe"]), facts["d_text"], facts["n_samples"], 0).eval()
    split = np.array([record.split for record in cohort.records])
    task = next(iter(cohort.tasks))

    def auroc(tower):
        features = embed_pages(tower, cohort, tuple(facts["recipe"]["size"]))
        return linear_probe(features, cohort.targets(task), split, cohort.patients, n_bootstrap=20).macro_auroc

    assert auroc(model.tower) > auroc(fresh.tower) + 3


def test_a_shrunk_checkpoint_gives_nearly_the_same_embeddings_and_leaves_the_run_behind(tmp_path):
    recipe = Recipe("small", size=(48, 112), tower_width=4, d_shared=16, decoder_dim=16, decoder_layers=1)
    model = build_model(recipe, 8, 1000, 0, d_summary=5).eval()
    facts = {"recipe": recipe.as_dict(), "seed": 0, "d_text": 8, "n_samples": 1000, "d_summary": 5, "run": {"step": 3}}
    tensors = {**model.state_dict(), "run/moment": torch.ones(3)}
    whole = save_checkpoint(tmp_path / "whole.safetensors", tensors, facts)
    small = shrink_checkpoint(whole, tmp_path / "small.safetensors")
    assert small.stat().st_size < 0.7 * whole.stat().st_size
    again, kept = load_model(small)
    assert kept["d_summary"] is None
    assert again.predict_summary is None, "only training needs it"
    assert load_model(whole)[0].predict_summary.out_features == 5
    images = torch.randint(0, 256, (3, 3, 48, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = model.image_embeddings(images), again.image_embeddings(images)
    assert torch.allclose(before, after, atol=2e-2 * float(before.abs().max()))
    assert next(again.parameters()).dtype == torch.float32


def test_a_weight_beyond_float16_is_refused(tmp_path):
    facts = {"recipe": {}, "seed": 0}
    whole = save_checkpoint(tmp_path / "whole.safetensors", {"w": torch.tensor([1e6])}, facts)
    with pytest.raises(CheckpointError, match="float16"):
        shrink_checkpoint(whole, tmp_path / "small.safetensors")
    assert not (tmp_path / "small.safetensors").exists()
