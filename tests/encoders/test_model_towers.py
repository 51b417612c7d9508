"""The model on published towers: adapters, patch tokens and checkpointing together."""

from __future__ import annotations

import pytest
import torch

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.encoders.lora import add_lora, merge_lora
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.losses.objective import Weights, objective
from ecgscan_lab.types import TripleBatch

pytest.importorskip("transformers", reason="the towers extra is not installed")
pytest.importorskip("peft", reason="the towers extra is not installed")


@pytest.fixture
def batch(pages) -> TripleBatch:
    generator = torch.Generator().manual_seed(0)
    return TripleBatch(
        images=pages,
        signals_mv=torch.randn(2, 12, 40, generator=generator),
        signal_features=torch.randn(2, 5, generator=generator),
        text_features=torch.randn(2, 6, generator=generator),
        index=torch.arange(2),
    )


def adapted(folder, token_dim: int | None = 32) -> EcgScanModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tower = image_tower("clip", weights=folder)
        add_lora(tower, rank=2, targets="attention+mlp")
        with torch.no_grad():
            for name, parameter in tower.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)  # as after some steps: with zeros, A has no gradient
        decoder = QueryDecoder(40, dim=8, layers=2, heads=2, token_dim=token_dim)
        return EcgScanModel(tower, decoder, d_text=6, d_shared=5).train()


def gradients(model: EcgScanModel, batch: TripleBatch) -> dict[str, torch.Tensor]:
    features = model(batch, torch.Generator().manual_seed(0))
    objective(features, Weights()).total.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("token_dim", [None, 32])
def test_all_adapters_and_heads_are_trained_and_nothing_else(write_clip, batch, token_dim):
    model = adapted(write_clip(), token_dim)
    trained = gradients(model, batch)
    assert [name for name, gradient in trained.items() if gradient is None or not gradient.any()] == []
    assert {name for name in trained if name.startswith("tower.")} == {
        name for name, _ in model.named_parameters() if name.startswith("tower.") and "lora_" in name
    }
    assert sum("lora_A" in name for name in trained) == 12


def test_checkpointing_of_tower_and_decoder_changes_no_gradient(write_clip, batch):
    folder = write_clip()
    plain, thrifty = adapted(folder), adapted(folder)
    thrifty.set_gradient_checkpointing()
    expected, got = gradients(plain, batch), gradients(thrifty, batch)
    assert expected.keys() == got.keys()
    for name in expected:
        assert torch.allclose(expected[name], got[name], atol=1e-7, rtol=1e-5), name


def test_checkpointing_keeps_less(write_clip, batch):
    kept = []
    for on in (False, True):
        model, sizes = adapted(write_clip()), []
        model.set_gradient_checkpointing(on)
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            model(batch)
        kept.append(sum(sizes))
    assert kept[1] < 0.7 * kept[0]


def test_merged_adapters_embed_and_reconstruct_alike(write_clip, batch):
    model = adapted(write_clip()).eval()
    with torch.no_grad():
        before = model.image_embeddings(batch.images), model.reconstruct(batch.images)
        merge_lora(model.tower)
        after = model.image_embeddings(batch.images), model.reconstruct(batch.images)
    for first, second in zip(before, after, strict=True):
        assert torch.allclose(first, second, atol=1e-4)


def test_a_frozen_published_tower_keeps_nothing(write_clip, batch):
    model = adapted(write_clip())
    model.tower.requires_grad_(False)
    model.train()
    assert not any(module.training for module in model.tower.modules())
    trained = gradients(model, batch)
    assert not any(name.startswith("tower.") for name in trained)
    assert trained["decoder.project_tokens.1.weight"].any()


def test_the_tiny_towers_tokens_reach_the_decoder(batch):
    tower = image_tower("tiny", size=(32, 64), width=4)
    decoder = QueryDecoder(40, dim=8, layers=1, heads=2, token_dim=tower.token_dim)
    model = EcgScanModel(tower, decoder, d_text=6, d_shared=5)
    trained = gradients(model, batch)
    assert [name for name, gradient in trained.items() if gradient is None or not gradient.any()] == []
