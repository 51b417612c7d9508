"""MedSigLIP's tower: loading, pooling, sizes."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.errors import CheckpointError

transformers = pytest.importorskip("transformers")

CONFIG = {
    "hidden_size": 32,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "patch_size": 14,
    "image_size": 56,
    "hidden_act": "gelu_pytorch_tanh",
}


@pytest.fixture
def theirs():
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**CONFIG)).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def folder(tmp_path, theirs):
    vision = getattr(theirs, "vision_model", theirs)
    stored = {f"vision_model.{name}": tensor.clone() for name, tensor in vision.state_dict().items()}
    stored |= {"text_model.head.bias": torch.zeros(4), "logit_scale": torch.zeros(1), "logit_bias": torch.zeros(1)}
    save_file(stored, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "siglip", "vision_config": CONFIG}))
    return tmp_path


def test_features_are_the_library_s(folder, theirs, pages):
    tower = image_tower("siglip", weights=folder).eval()
    with torch.no_grad():
        output = theirs(tower.pixels(pages))
        pooled, tokens = tower.encode(pages)
    assert torch.allclose(pooled, output.pooler_output, atol=1e-6)
    assert torch.allclose(tokens, output.last_hidden_state, atol=1e-6)
    assert tower.left_out == ("logit_bias", "logit_scale", "text_model")
    white = torch.full((1, 3, 56, 56), 255, dtype=torch.uint8)
    assert torch.allclose(tower.pixels(white), torch.tensor(1.0)), "mean and deviation are one half"


def test_the_pooled_feature_follows_its_formula(folder, theirs, pages):
    tower = image_tower("siglip", weights=folder).eval()
    with torch.no_grad():
        pooled, tokens = tower.encode(pages)
    head = getattr(theirs, "vision_model", theirs).head
    w, b = head.attention.in_proj_weight.detach().chunk(3), head.attention.in_proj_bias.detach().chunk(3)
    q = (head.probe.detach()[0] @ w[0].T + b[0]).view(1, 4, 8).transpose(0, 1)
    k, v = ((tokens @ w[i].T + b[i]).unflatten(-1, (4, 8)).transpose(1, 2) for i in (1, 2))
    mixed = ((q @ k.transpose(-1, -2)) / 8**0.5).softmax(-1) @ v
    attended = mixed.transpose(1, 2).flatten(2)
    with torch.no_grad():
        attended = head.attention.out_proj(attended)
        by_hand = (attended + head.mlp(head.layernorm(attended)))[:, 0]
    assert torch.allclose(pooled, by_hand, atol=1e-5)


def test_other_sizes_and_strictness(folder, pages):
    wide = image_tower("siglip", weights=folder, size=(28, 98)).eval()
    with torch.no_grad():
        assert wide.tokens(pages).shape == (2, 2 * 7, 32)
    with pytest.raises(CheckpointError, match="hidden_size is 32"):
        image_tower("medsiglip-448", weights=folder)
    save_file(
        {"vision_model.embeddings.patch_embedding.weight": torch.zeros(32, 3, 14, 14)}, folder / "model.safetensors"
    )
    with pytest.raises(CheckpointError, match="missing"):
        image_tower("siglip", weights=folder)
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="0 SigLIP"):
        image_tower("siglip", weights=folder)


@pytest.mark.slow
def test_medsiglip_in_full():
    tower = image_tower("medsiglip-448", size=(112, 224)).eval()
    assert (tower.embed_dim, tower.token_dim) == (1152, 1152)
    with torch.no_grad():
        assert tower(torch.zeros(1, 3, 100, 200, dtype=torch.uint8)).shape == (1, 1152)
