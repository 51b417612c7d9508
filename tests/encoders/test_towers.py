"""`image_tower`: one face for all towers."""

from __future__ import annotations

import sys

import pytest
import torch
from safetensors.torch import save_file

from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.errors import ArgumentError, CheckpointError, MissingExtraError

SMALL = {
    "tiny": {"width": 4, "size": (64, 96)},
    "timm:test_vit": {},
    "timm:test_vit2": {"size": (64, 128)},
    "timm:test_resnet": {"size": (96, 160)},
    "timm:vit_tiny_patch16_224": {"size": (32, 64), "fit": "squash"},
}


@pytest.fixture(params=SMALL, scope="module")
def tower(request):
    if request.param.startswith("timm:"):
        pytest.importorskip("timm")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return image_tower(request.param, **SMALL[request.param]).eval()


def test_every_tower_has_the_same_face(tower, pages):
    with torch.no_grad():
        pooled, tokens = tower(pages), tower.tokens(pages)
        both = tower.encode(pages)
    assert pooled.shape == (2, tower.embed_dim)
    assert pooled.dtype == torch.float32
    assert tokens.shape[::2] == (2, tower.token_dim)
    assert torch.equal(both[0], pooled)
    assert torch.equal(both[1], tokens)
    assert tower.name in SMALL
    assert tower.fit == SMALL[tower.name].get("fit", "letterbox")


def test_the_first_and_last_second_reach_every_tower(tower):
    blank = torch.full((1, 3, 170, 220), 255, dtype=torch.uint8)
    left, right = blank.clone(), blank.clone()
    left[..., :3], right[..., -3:] = 0, 0
    with torch.no_grad():
        features = [tower(page) for page in (blank, left, right)]
    assert not torch.equal(features[0], features[1])
    assert not torch.equal(features[0], features[2])


def test_channels_last_pages_give_the_same_features(tower, pages):
    with torch.no_grad():
        assert torch.allclose(tower(pages), tower(pages.contiguous(memory_format=torch.channels_last)), atol=1e-4)


def test_tokens_stand_row_by_row(pages):
    tower = image_tower("tiny", width=2, size=(64, 128)).eval()
    maps = []
    tower.stages[-1].register_forward_hook(lambda module, inputs, output: maps.append(output))
    with torch.no_grad():
        tokens = tower.tokens(pages)
    assert maps[0].shape == (2, 16, 2, 4)
    assert torch.equal(tokens[:, 1 * 4 + 2], maps[0][:, :, 1, 2]), "the second of 2 rows, the third of 4 columns"


def test_tokens_of_a_vision_transformer_stand_row_by_row():
    pytest.importorskip("timm")
    tower = image_tower("timm:vit_tiny_patch16_224", size=(32, 64)).eval()
    for block in tower.network.model.blocks:  # without mixing, a token depends on its own patch only
        torch.nn.init.zeros_(block.attn.proj.weight)
    page = torch.full((1, 3, 32, 64), 255, dtype=torch.uint8)
    inked = page.clone()
    inked[..., 20:28, 34:46] = 0
    with torch.no_grad():
        change = (tower.tokens(inked) - tower.tokens(page)).abs().sum(-1)[0]
    assert change.nonzero().flatten().tolist() == [4 + 2]


def test_tiny_keeps_its_sizes_and_loads_its_own_weights(tmp_path, pages):
    tower = image_tower("tiny", width=3, size=(48, 64)).eval()
    assert isinstance(tower, TinyImageTower)
    assert (tower.size, tower.embed_dim, tower.token_dim) == ((48, 64), 120, 24)
    save_file(tower.state_dict(), tmp_path / "tiny.safetensors")
    again = image_tower("tiny", width=3, size=(48, 64), weights=tmp_path / "tiny.safetensors").eval()
    with torch.no_grad():
        assert torch.equal(tower(pages), again(pages))
    with pytest.raises(CheckpointError, match="another shape"):
        image_tower("tiny", width=4, size=(48, 64), weights=tmp_path / "tiny.safetensors")


def test_timm_files_load_strictly_without_their_classifier(tmp_path, pages):
    timm = pytest.importorskip("timm")
    full = timm.create_model("test_vit", num_classes=1000)
    state = {name: tensor.clone() for name, tensor in full.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    tower = image_tower("timm:test_vit", weights=tmp_path).eval()
    assert tower.left_out == ("head",)
    with torch.no_grad():
        theirs = full.eval().forward_head(full.forward_features(tower.pixels(pages)), pre_logits=True)
        assert torch.equal(tower(pages), theirs)
    del state["norm.bias"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"1 missing \(norm.bias\)"):
        image_tower("timm:test_vit", weights=tmp_path)


def test_timm_positions_keep_every_bit_at_the_own_size(tmp_path):
    timm = pytest.importorskip("timm")
    full = timm.create_model("test_vit", num_classes=0)
    save_file({name: tensor.clone() for name, tensor in full.state_dict().items()}, tmp_path / "model.safetensors")
    own = image_tower("timm:test_vit", weights=tmp_path)
    assert torch.equal(own.network.model.pos_embed, full.pos_embed)
    wide = image_tower("timm:test_vit", weights=tmp_path, size=(64, 320))
    assert wide.network.model.pos_embed.shape[1] != full.pos_embed.shape[1]


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("resnet", {}, "name"),
        ("open_clip:", {}, "name"),
        ("open_clip:NoSuchModel", {}, "name"),
        ("open_clip:RN50", {}, "name"),
        ("timm:no_such_model", {}, "name"),
        ("tiny", {"fit": "crop"}, "fit"),
        ("tiny", {"weights": "hub"}, "weights"),
        ("tiny", {"size": (0, 5)}, "size"),
        ("clip-vit-l-14", {"size": (224, 230)}, "size"),
    ],
)
def test_what_cannot_be_built_is_an_error_that_names_the_argument(name, arguments, field):
    for family, module in (("open_clip", "open_clip"), ("timm", "timm"), ("clip", "transformers")):
        if name.startswith(family):
            pytest.importorskip(module)
    with pytest.raises(ArgumentError) as caught:
        image_tower(name, **arguments)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("clip-vit-l-14", "transformers"),
        ("medsiglip-448", "transformers"),
        ("open_clip:ViT-B-32", "open_clip"),
        ("timm:test_vit", "timm"),
    ],
)
def test_a_missing_library_names_the_extra(monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        image_tower(name)
    assert caught.value.fix == 'pip install "ecgscan-lab[towers]"'


def test_checkpointing_is_refused_where_there_is_none():
    with pytest.raises(ArgumentError, match="does not recompute"):
        image_tower("tiny", width=2).set_gradient_checkpointing(True)
    image_tower("tiny", width=2).set_gradient_checkpointing(False)
