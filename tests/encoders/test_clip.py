"""CLIP's vision tower: its file layouts, its formula, and open_clip's answer to the same weights."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from ecgscan_lab.encoders.clip import MEAN, STD, from_open_clip, vision_config
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.errors import ArgumentError, CheckpointError

pytest.importorskip("transformers")


def clip_by_hand(tensors: dict[str, torch.Tensor], pixels: torch.Tensor, quick: bool = True) -> torch.Tensor:
    """The pre-norm transformer of arXiv 2103.00020 in double precision: all tokens after the last norm."""
    w = {name: tensor.double() for name, tensor in tensors.items()}

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return (
            centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[f"{name}.weight"] + w[f"{name}.bias"]
        )

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    batch = len(pixels)
    patches = pixels.double().unfold(2, 14, 14).unfold(3, 14, 14)  # [batch, colour, row, column, 14, 14]
    patches = patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    embedded = patches @ w["embeddings.patch_embedding.weight"].flatten(1).T
    first = w["embeddings.class_embedding"].expand(batch, 1, -1)
    x = norm(torch.cat([first, embedded], 1) + w["embeddings.position_embedding.weight"], "pre_layrnorm")
    for layer in ("encoder.layers.0", "encoder.layers.1"):
        y = norm(x, f"{layer}.layer_norm1")
        q, k, v = (linear(y, f"{layer}.self_attn.{n}_proj").unflatten(-1, (4, 8)).transpose(1, 2) for n in "qkv")
        mixed = ((q @ k.transpose(-1, -2)) / 8**0.5).softmax(-1) @ v
        x = x + linear(mixed.transpose(1, 2).flatten(2), f"{layer}.self_attn.out_proj")
        inner = linear(norm(x, f"{layer}.layer_norm2"), f"{layer}.mlp.fc1")
        x = x + linear(inner * torch.sigmoid(1.702 * inner) if quick else F.gelu(inner), f"{layer}.mlp.fc2")
    return norm(x, "post_layernorm")


def as_open_clip(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights under open_clip's names, written out by hand."""
    renamed = {
        "class_embedding": tensors["embeddings.class_embedding"],
        "conv1.weight": tensors["embeddings.patch_embedding.weight"],
        "positional_embedding": tensors["embeddings.position_embedding.weight"],
        "proj": torch.zeros(32, 16),
    }
    for kind in ("weight", "bias"):
        renamed[f"ln_pre.{kind}"] = tensors[f"pre_layrnorm.{kind}"]
        renamed[f"ln_post.{kind}"] = tensors[f"post_layernorm.{kind}"]
        for i in range(2):
            old, new = f"encoder.layers.{i}", f"transformer.resblocks.{i}"
            fused = torch.cat([tensors[f"{old}.self_attn.{n}_proj.{kind}"] for n in "qkv"])
            renamed[f"{new}.attn.in_proj_{kind}"] = fused
            renamed[f"{new}.attn.out_proj.{kind}"] = tensors[f"{old}.self_attn.out_proj.{kind}"]
            renamed[f"{new}.mlp.c_fc.{kind}"] = tensors[f"{old}.mlp.fc1.{kind}"]
            renamed[f"{new}.mlp.c_proj.{kind}"] = tensors[f"{old}.mlp.fc2.{kind}"]
            renamed[f"{new}.ln_1.{kind}"] = tensors[f"{old}.layer_norm1.{kind}"]
            renamed[f"{new}.ln_2.{kind}"] = tensors[f"{old}.layer_norm2.{kind}"]
    stored = {f"visual.{name}": tensor.clone() for name, tensor in renamed.items()}
    return {**stored, "logit_scale": torch.tensor(4.6), "token_embedding.weight": torch.zeros(3, 8)}


@pytest.fixture
def open_clip_model(tmp_path):
    """Names of a tiny open_clip model, with the quick and with the exact GELU."""
    open_clip = pytest.importorskip("open_clip")
    vision = {"image_size": 56, "layers": 2, "width": 32, "head_width": 8, "mlp_ratio": 2.5, "patch_size": 14}
    text = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
    for name, quick in (("lab-tiny-quickgelu", True), ("lab-tiny", False)):
        config = {"embed_dim": 16, "quick_gelu": quick, "vision_cfg": vision, "text_cfg": text}
        (tmp_path / f"{name}.json").write_text(json.dumps(config))
        open_clip.add_model_config(tmp_path / f"{name}.json")
    return "open_clip:lab-tiny-quickgelu", "open_clip:lab-tiny"


def test_features_follow_the_formula(write_clip, clip_tensors, pages):
    tower = image_tower("clip", weights=write_clip()).eval()
    assert (tower.size, tower.embed_dim, tower.token_dim) == ((56, 56), 32, 32)
    pixels = tower.pixels(pages)
    with torch.no_grad():
        pooled, tokens = tower.encode(pages)
        assert torch.equal(tower(pages), pooled)
        assert torch.equal(tower.tokens(pages), tokens)
    by_hand = clip_by_hand(clip_tensors, pixels).float()
    assert torch.allclose(pooled, by_hand[:, 0], atol=2e-5)
    assert torch.allclose(tokens, by_hand[:, 1:], atol=2e-5)
    assert not torch.allclose(pooled, clip_by_hand(clip_tensors, pixels, quick=False)[:, 0].float(), atol=1e-2)


def test_colours_are_shifted_and_scaled_as_published(write_clip):
    tower = image_tower("clip", weights=write_clip())
    page = torch.randint(0, 256, (1, 3, 56, 56), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = (page.double() / 255 - torch.tensor(MEAN).double().view(3, 1, 1)) / torch.tensor(STD).double().view(
        3, 1, 1
    )
    assert torch.allclose(tower.pixels(page).double(), expected, atol=1e-5)


def test_transformers_model_gives_the_same_features(write_clip, pages):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    folder = write_clip()
    tower = image_tower("clip", weights=folder).eval()
    config = CLIPVisionConfig(**json.loads((folder / "config.json").read_text())["vision_config"])
    theirs = CLIPVisionModel(config).eval()
    vision = getattr(theirs, "vision_model", theirs)
    vision.load_state_dict(tower.network.vision.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.allclose(tower(pages), theirs(tower.pixels(pages)).pooler_output, atol=1e-6)


def test_open_clip_agrees_with_transformers_on_the_same_weights(
    write_clip, clip_tensors, open_clip_model, pages, tmp_path
):
    file = tmp_path / "open_clip_model.safetensors"
    save_file(as_open_clip(clip_tensors), file)
    ours = image_tower("clip", weights=write_clip()).eval()
    with torch.no_grad():
        pooled, tokens = ours.encode(pages)
        for model, same in zip(open_clip_model, (True, False), strict=True):
            theirs = image_tower(model, weights=file).eval()
            assert theirs.left_out == ("logit_scale", "token_embedding")
            other_pooled, other_tokens = theirs.encode(pages)
            assert torch.allclose(pooled, other_pooled, atol=1e-4) == same, "the exact GELU is another tower"
            assert torch.allclose(tokens, other_tokens, atol=1e-4) == same


def test_open_clip_tower_is_the_library_s_own(open_clip_model, clip_tensors, pages, tmp_path):
    import open_clip

    save_file(as_open_clip(clip_tensors), tmp_path / "weights.safetensors")
    tower = image_tower(open_clip_model[0], weights=tmp_path / "weights.safetensors").eval()
    theirs = open_clip.create_model(open_clip_model[0].partition(":")[2], pretrained=None).visual.eval()
    theirs.proj = None
    theirs.load_state_dict(tower.network.visual.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.allclose(tower(pages), theirs(tower.pixels(pages)), atol=1e-6)


@pytest.mark.parametrize(
    "prefix", ["", "vision_model.", "model.vision_tower.vision_tower.vision_model.", "encoder.clip.vision_model."]
)
def test_every_layout_gives_the_same_tower(write_clip, prefix, clip_tensors):
    tower = image_tower("clip", weights=write_clip(prefix))
    own = tower.network.vision.state_dict()
    assert own.keys() == clip_tensors.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in clip_tensors.items())
    assert tower.left_out == ("logit_scale", "text_model", "text_projection", "visual_projection")


def test_the_vision_half_alone_and_shards_load(write_clip, clip_tensors):
    folder = write_clip("", others=False)
    assert image_tower("clip", weights=folder).left_out == ()
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    half = len(tensors) // 2
    parts = [dict(list(tensors.items())[:half]), dict(list(tensors.items())[half:])]
    index = {}
    for i, part in enumerate(parts, 1):
        save_file(part, folder / f"model-{i:05}-of-00002.safetensors")
        index |= dict.fromkeys(part, f"model-{i:05}-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    own = image_tower("clip", weights=folder).network.vision.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in clip_tensors.items())
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="shard is missing"):
        image_tower("clip", weights=folder)


def test_open_clip_names_become_transformers_names(clip_tensors):
    stored = {name.removeprefix("visual."): tensor for name, tensor in as_open_clip(clip_tensors).items()}
    renamed = from_open_clip({name: tensor for name, tensor in stored.items() if name != "proj"})
    assert all(torch.equal(renamed[name], tensor) for name, tensor in clip_tensors.items())


def test_a_clip_tower_reads_open_clip_files(write_clip, clip_tensors, pages):
    folder = write_clip()
    with torch.no_grad():
        expected = image_tower("clip", weights=folder).eval()(pages)
        (folder / "model.safetensors").unlink()
        save_file(as_open_clip(clip_tensors), folder / "open_clip_model.safetensors")
        assert torch.equal(image_tower("clip", weights=folder).eval()(pages), expected)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder.layers.1.mlp.fc1.bias": None}, r"1 missing \(encoder.layers.1.mlp.fc1.bias\)"),
        ({"encoder.layers.2.mlp.fc1.bias": torch.zeros(80)}, r"1 unexpected \(encoder.layers.2.mlp.fc1.bias\)"),
        ({"post_layernorm.bias": torch.zeros(31)}, r"post_layernorm.bias: \[31\] for \[32\]"),
        ({"post_layernorm.bias": torch.full((32,), torch.nan)}, "not finite"),
        ({"embeddings.class_embedding": None}, "no CLIP vision tower"),
        ({"encoder.layers.0.self_attn.q_proj.lora_A.weight": torch.zeros(4, 32)}, "unexpected"),
    ],
)
def test_weights_that_do_not_fit_are_an_error_that_names_them(write_clip, change, words):
    changes = {name.replace(".", "__"): tensor for name, tensor in change.items()}
    with pytest.raises(CheckpointError, match=words):
        image_tower("clip", weights=write_clip(**changes))


def test_a_folder_of_another_architecture_is_refused(write_clip):
    with pytest.raises(CheckpointError, match="hidden_size is 32") as caught:
        image_tower("clip-vit-l-14-336", weights=write_clip())
    assert caught.value.expected == "1024"
    assert '"clip"' in (caught.value.fix or "")


def test_a_language_model_around_the_tower_does_not_describe_it(tmp_path):
    from transformers import CLIPVisionConfig

    config = {"model_type": "llava_llama", "hidden_size": 4096, "mm_vision_tower": "a name"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert vision_config(CLIPVisionConfig, "clip-vit-l-14-336", tmp_path, "clip").hidden_size == 1024


def test_a_family_name_needs_a_folder():
    with pytest.raises(ArgumentError, match="architecture from a folder"):
        image_tower("clip")
    with pytest.raises(ArgumentError, match="no published weights"):
        image_tower("clip", weights="hub")


def test_a_wide_page_gets_a_wide_grid(write_clip, pages):
    folder = write_clip()
    square, wide = (image_tower("clip", weights=folder, size=size).eval() for size in (None, (42, 112)))
    with torch.no_grad():
        assert wide.tokens(pages).shape == (2, 3 * 8, 32)
        assert wide(pages).shape == (2, 32)
    positions = wide.network.vision.embeddings.position_embedding.weight
    own = square.network.vision.embeddings.position_embedding.weight
    assert torch.equal(positions[0], own[0])
    assert positions.shape == (25, 32)


def test_checkpointing_gives_the_same_gradients(write_clip, pages):
    gradients = []
    for on in (False, True):
        tower = image_tower("clip", weights=write_clip()).train()
        tower.set_gradient_checkpointing(on)
        tower(pages).square().sum().backward()
        gradients.append({name: p.grad.clone() for name, p in tower.named_parameters()})
    assert all(torch.allclose(gradients[0][name], gradients[1][name], atol=1e-5) for name in gradients[0])


def test_bf16_autocast_stays_near_and_returns_float32(write_clip, pages):
    tower = image_tower("clip", weights=write_clip()).eval()
    with torch.no_grad():
        exact = tower(pages)
        with torch.autocast("cpu", torch.bfloat16):
            cast = tower(pages)
    assert cast.dtype == torch.float32
    assert not torch.equal(cast, exact)
    assert F.cosine_similarity(cast, exact).min() > 0.999


@pytest.mark.slow
def test_the_paper_s_tower_in_full(tmp_path):
    tower = image_tower("clip-vit-l-14-336").eval()
    assert sum(p.numel() for p in tower.parameters()) == 303_507_456
    assert (tower.size, tower.embed_dim, tower.token_dim) == ((336, 336), 1024, 1024)
    assert tower.network.vision.embeddings.position_embedding.weight.shape == (577, 1024)
    if shutil.disk_usage(tmp_path).free < 4e9:
        pytest.skip("no room for a file of 1.2 GB")
    stored = {f"vision_model.{name}": t.contiguous() for name, t in tower.network.vision.state_dict().items()}
    save_file(stored, tmp_path / "model.safetensors")
    page = torch.randint(0, 256, (1, 3, 340, 440), dtype=torch.uint8)
    with torch.no_grad():
        pooled, tokens = tower.encode(page)
        assert (pooled.shape, tokens.shape) == ((1, 1024), (1, 576, 1024))
        del stored, tower
        again = image_tower("clip-vit-l-14-336", weights=tmp_path / "model.safetensors").eval()
        assert torch.equal(again(page), pooled)
