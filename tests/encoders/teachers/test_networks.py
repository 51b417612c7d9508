"""Each teacher against its formula written again with functions, or against a library's own class."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.encoders.teachers import TEACHERS, convert_teacher, signal_teacher

Weights = dict[str, torch.Tensor]


@pytest.fixture
def signals_mv(rng) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(2, 12, 5000)).cumsum(-1).astype(np.float32) * 0.05)


@pytest.fixture
def loaded(published, small, tmp_path):
    """Writes, converts and loads a small teacher; gives it and the weights as published."""

    def load(name: str, **sizes: int):
        tree, weights = published(name)
        torch.save(tree, tmp_path / "published.pt")
        chosen = {**small(name), **sizes}
        convert_teacher(name, tmp_path / "published.pt", tmp_path / "t.safetensors", trust_pickle=True, sizes=chosen)
        return signal_teacher(name, tmp_path / "t.safetensors", sizes=chosen), weights

    return load


def convolved(signals: torch.Tensor, w: Weights, prefix: str) -> torch.Tensor:
    """Strided convolutions as matrix products, instance norm by its definition: `[batch, token, conv_dim]`."""
    x = signals
    for i in range(4):
        kernel = w[f"{prefix}feature_extractor.conv_layers.{i}.0.weight"]
        pairs = x[..., : x.shape[-1] // 2 * 2].unflatten(-1, (-1, 2))
        x = torch.einsum("bcnk,dck->bdn", pairs, kernel)
        if i == 0:
            gain, shift = (w[f"{prefix}feature_extractor.conv_layers.0.2.{part}"] for part in ("weight", "bias"))
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
            x = x * gain[:, None] + shift[:, None]
        x = F.gelu(x)
    return x.transpose(1, 2)


def projected(signals: torch.Tensor, w: Weights, prefix: str) -> torch.Tensor:
    x = convolved(signals, w, prefix)
    x = F.layer_norm(x, x.shape[-1:], w[f"{prefix}layer_norm.weight"], w[f"{prefix}layer_norm.bias"])
    return F.linear(x, w[f"{prefix}post_extract_proj.weight"], w[f"{prefix}post_extract_proj.bias"])


def norm(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


def torch_layer(dim: int, heads: int, feedforward: int, norm_first: bool, weights: Weights) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        dim, heads, feedforward, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first
    )
    layer.load_state_dict(weights)
    return layer.eval()


def joined(w: Weights, layer: str) -> Weights:
    """A layer of separate projections as PyTorch's own layer names it."""
    parts = [f"{layer}.self_attn.{part}_proj" for part in "qkv"]
    names = {
        "self_attn.out_proj": "self_attn.out_proj",
        "linear1": "fc1",
        "linear2": "fc2",
        "norm1": "self_attn_layer_norm",
        "norm2": "final_layer_norm",
    }
    return {
        **{
            f"self_attn.in_proj_{kind}": torch.cat([w[f"{part}.{kind}"] for part in parts])
            for kind in ("weight", "bias")
        },
        **{
            f"{ours}.{kind}": w[f"{layer}.{theirs}.{kind}"]
            for ours, theirs in names.items()
            for kind in ("weight", "bias")
        },
    }


def test_d_beta_is_convolutions_positions_and_pytorchs_post_norm_layers(loaded, small, signals_mv):
    teacher, w = loaded("d-beta")
    s = small("d-beta")
    with torch.no_grad():
        x = projected(signals_mv, w, "ecg_encoder.")
        assert x.shape[1] == 312
        conv = "ecg_encoder.conv_pos.pos_conv.0."
        pos = nn.utils.parametrizations.weight_norm(
            nn.Conv1d(s["dim"], s["dim"], s["pos_kernel"], padding=s["pos_kernel"] // 2, groups=s["pos_groups"]), dim=2
        )
        pos.load_state_dict(
            {
                "bias": w[f"{conv}bias"],
                "parametrizations.weight.original0": w[f"{conv}weight_g"],
                "parametrizations.weight.original1": w[f"{conv}weight_v"],
            }
        )
        x = x + F.gelu(pos(x.transpose(1, 2))[..., :-1]).transpose(1, 2)
        x = torch.cat([w["class_embedding"].expand(2, 1, -1), x], dim=1)
        x = norm(x, w, "ecg_encoder.encoder.layer_norm")
        for i in range(s["layers"]):
            layer = joined(w, f"ecg_encoder.encoder.layers.{i}")
            x = torch_layer(s["dim"], s["heads"], s["feedforward"], False, layer)(x)
        x = F.linear(x[:, 0], w["multi_modal_ecg_proj.weight"], w["multi_modal_ecg_proj.bias"])
        expected = torch.tanh(F.linear(x, w["unimodal_ecg_pooler.dense.weight"], w["unimodal_ecg_pooler.dense.bias"]))
    assert torch.allclose(teacher(signals_mv), expected, atol=1e-5)
    assert float(expected.std()) > 0.05


def test_ecg_fm_is_transformers_wav2vec2_encoder(loaded, small, signals_mv):
    wav2vec2 = pytest.importorskip("transformers.models.wav2vec2.modeling_wav2vec2")
    from transformers import Wav2Vec2Config

    teacher, w = loaded("ecg-fm")
    s = small("ecg-fm")
    config = Wav2Vec2Config(
        hidden_size=s["dim"],
        num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"],
        intermediate_size=s["feedforward"],
        num_conv_pos_embeddings=s["pos_kernel"],
        num_conv_pos_embedding_groups=s["pos_groups"],
        hidden_act="gelu",
        layerdrop=0.0,
    )
    encoder = wav2vec2.Wav2Vec2Encoder(config).eval()
    names = {
        "attention.": "self_attn.",
        "feed_forward.intermediate_dense.": "fc1.",
        "feed_forward.output_dense.": "fc2.",
    }
    theirs = {}
    for name in encoder.state_dict():
        ours = name.replace("pos_conv_embed.conv.", "conv_pos.pos_conv.0.")
        if name.startswith("layers."):
            head, rest = name.split(".")[:2], ".".join(name.split(".")[2:])
            rest = rest.replace("layer_norm.", "self_attn_layer_norm.") if rest.startswith("layer_norm.") else rest
            for there, here in names.items():
                rest = rest.replace(there, here)
            ours = "encoder." + ".".join([*head, rest])
        elif name.startswith("layer_norm."):
            ours = f"encoder.{name}"
        theirs[name] = w[ours]
    encoder.load_state_dict(theirs)
    with torch.no_grad():
        spread = signals_mv.std(-1, correction=0, keepdim=True)
        standard = (signals_mv - signals_mv.mean(-1, keepdim=True)) / spread
        halves = [
            encoder(projected(half, w, "")).last_hidden_state.mean(1)
            for half in (standard[..., :2500], standard[..., 2500:])
        ]
    assert torch.allclose(teacher(signals_mv), (halves[0] + halves[1]) / 2, atol=1e-4)


def test_melp_is_attention_of_beat_queries_over_tokens(loaded, small, signals_mv):
    teacher, w = loaded("melp")
    s = small("melp")
    p, dim, heads = "ecg_encoder.attn_pool_contrast.", s["embed_dim"], s["pool_heads"]
    with torch.no_grad():
        tokens = norm(teacher.network.ecg_encoder(teacher.preprocessing.apply(signals_mv)[:, 0]), w, f"{p}ln_k")
        bias = w[f"{p}attn.in_proj_bias"].chunk(3)
        q = F.linear(norm(w[f"{p}query"], w, f"{p}ln_q"), w[f"{p}attn.q_proj_weight"], bias[0]).expand(2, -1, -1)
        k, v = (F.linear(tokens, w[f"{p}attn.{x}_proj_weight"], b) for x, b in zip("kv", bias[1:], strict=True))
        assert q.shape == (2, 14, dim)
        parts = []
        for h in range(heads):
            at = slice(h * dim // heads, (h + 1) * dim // heads)
            share = torch.softmax(q[..., at] @ k[..., at].transpose(1, 2) / (dim / heads) ** 0.5, dim=-1)
            parts.append(share @ v[..., at])
        pooled = F.linear(torch.cat(parts, -1), w[f"{p}attn.out_proj.weight"], w[f"{p}attn.out_proj.bias"])
        expected = (norm(pooled, w, "ecg_encoder.ln_contrast") @ w["ecg_encoder.proj_contrast"]).mean(1)
    assert torch.allclose(teacher(signals_mv), expected, atol=1e-5)


def same_conv(x: torch.Tensor, w: Weights, name: str, stride: int = 1, groups: int = 1) -> torch.Tensor:
    kernel = w[f"{name}.conv.weight"]
    total = max(0, (-(-x.shape[-1] // stride) - 1) * stride + kernel.shape[-1] - x.shape[-1])
    left = torch.zeros(*x.shape[:2], total // 2)
    padded = torch.cat([left, x, torch.zeros(*x.shape[:2], total - total // 2)], dim=-1)
    return F.conv1d(padded, kernel, w[f"{name}.conv.bias"], stride, groups=groups)


def test_ecgfounder_is_net1d_without_batch_norm(loaded, small, signals_mv):
    teacher, w = loaded("ecgfounder")
    assert small("ecgfounder")["width_share"] == 16
    with torch.no_grad():
        x = F.silu(same_conv(teacher.preprocessing.apply(signals_mv)[:, 0], w, "first_conv", 2))
        for stage, n_blocks in enumerate((2, 2, 2, 3, 3, 4, 4)):
            for i in range(n_blocks):
                b = f"stage_list.{stage}.block_list.{i}"
                y = same_conv(x if stage == i == 0 else F.silu(x), w, f"{b}.conv1")
                y = same_conv(F.silu(y), w, f"{b}.conv2", 1 if i else 2, y.shape[1])
                y = same_conv(F.silu(y), w, f"{b}.conv3")
                e = F.silu(F.linear(y.mean(-1), w[f"{b}.se_fc1.weight"], w[f"{b}.se_fc1.bias"]))
                y = y * torch.sigmoid(F.linear(e, w[f"{b}.se_fc2.weight"], w[f"{b}.se_fc2.bias"]))[..., None]
                if i == 0:
                    even = F.pad(x, (0, 1))[..., : -(-x.shape[-1] // 2) * 2]
                    x = torch.maximum(even[..., ::2], even[..., 1::2])
                wide = torch.zeros_like(y)
                start = (y.shape[1] - x.shape[1]) // 2
                wide[:, start : start + x.shape[1]] = x
                x = y + wide
    assert x.shape == (2, 64, 20)
    assert torch.allclose(teacher(signals_mv), x.mean(-1), atol=1e-4)


def batch_norm(x: torch.Tensor, w: Weights, name: str) -> torch.Tensor:
    mean, var, gain, shift = (
        w[f"{name}.{part}"][:, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * gain + shift


@pytest.mark.parametrize("projected", [0, 1])
def test_merl_is_a_resnet18_and_its_pooling(loaded, small, signals_mv, projected):
    teacher, w = loaded("merl", projected=projected)
    with torch.no_grad():
        x = teacher.preprocessing.apply(signals_mv)[:, 0]
        e = "ecg_encoder."
        x = F.relu(batch_norm(F.conv1d(x, w[f"{e}conv1.weight"], stride=2, padding=3), w, f"{e}bn1"))
        for stage in range(4):
            for i in range(2):
                b, stride = f"{e}layer{stage + 1}.{i}", 2 if stage and not i else 1
                y = F.conv1d(x, w[f"{b}.conv1.weight"], stride=stride, padding=1)
                y = F.conv1d(F.relu(batch_norm(y, w, f"{b}.bn1")), w[f"{b}.conv2.weight"], padding=1)
                if stride == 2:
                    x = batch_norm(F.conv1d(x, w[f"{b}.shortcut.0.weight"], stride=2), w, f"{b}.shortcut.1")
                x = F.relu(batch_norm(y, w, f"{b}.bn2") + x)
        assert x.shape[-1] == 313
        expected = x.mean(-1)
        if projected:
            p, dim = "att_pool_head.", small("merl")["embed_dim"]
            maps = F.conv1d(x, w["downconv.weight"], w["downconv.bias"]).transpose(1, 2)
            places = w[f"{p}positional_embedding"]
            first = (w[f"{p}cls_token"] + 2 * places[:, :1]).expand(2, -1, -1)
            tokens = torch.cat([first, maps + places[:, 1:]], dim=1)
            q, k, v = F.linear(tokens, w[f"{p}mhsa.in_proj_weight"], w[f"{p}mhsa.in_proj_bias"]).chunk(3, -1)
            parts = [
                torch.softmax(q[:, :1, at] @ k[..., at].transpose(1, 2) / (dim / 2) ** 0.5, -1) @ v[..., at]
                for at in (slice(0, dim // 2), slice(dim // 2, dim))
            ]
            y = F.linear(torch.cat(parts, -1)[:, 0], w[f"{p}mhsa.out_proj.weight"], w[f"{p}mhsa.out_proj.bias"])
            expected = F.linear(y, w[f"{p}c_proj.weight"], w[f"{p}c_proj.bias"])
    assert teacher.embed_dim == expected.shape[1]
    assert torch.allclose(teacher(signals_mv), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_st_mem_is_pytorchs_pre_norm_layers_over_patches_of_leads(loaded, small, signals_mv):
    teacher, w = loaded("st-mem")
    s = small("st-mem")
    short = signals_mv[..., :2500]
    kinds = ("weight", "bias")
    features = []
    with torch.no_grad():
        for crop in teacher.preprocessing.apply(short).unbind(1):
            rows = []
            for lead in range(12):
                patches = norm(crop[:, lead].reshape(2, 30, 75), w, "to_patch_embedding.1")
                patches = F.linear(patches, w["to_patch_embedding.2.weight"], w["to_patch_embedding.2.bias"])
                separator = w["sep_embedding"].expand(2, 1, -1)
                row = torch.cat([separator, norm(patches, w, "to_patch_embedding.3"), separator], dim=1)
                rows.append(row + w["pos_embedding"] + w[f"lead_embeddings.{lead}"])
            x = torch.cat(rows, dim=1)
            for i in range(s["layers"]):
                b = f"block{i}"
                layer = {f"self_attn.in_proj_{kind}": w[f"{b}.attn.fn.to_qkv.{kind}"] for kind in kinds}
                for ours, theirs in (
                    ("self_attn.out_proj", "attn.fn.to_out.0"),
                    ("linear1", "ff.fn.net.0"),
                    ("linear2", "ff.fn.net.3"),
                    ("norm1", "attn.norm"),
                    ("norm2", "ff.norm"),
                ):
                    layer |= {f"{ours}.{kind}": w[f"{b}.{theirs}.{kind}"] for kind in kinds}
                x = torch_layer(s["dim"], s["heads"], s["feedforward"], True, layer)(x)
            kept = [x[:, 32 * lead + 1 : 32 * lead + 31] for lead in range(12)]
            features.append(norm(torch.cat(kept, dim=1).mean(1), w, "norm"))
    assert torch.allclose(teacher(short), torch.stack(features).mean(0), atol=1e-5)


def test_d_beta_ignores_gain_and_offset_but_not_tiny_units(loaded, signals_mv):
    teacher, _ = loaded("d-beta")
    plain = teacher(signals_mv)
    assert (plain.abs() < 1).all()
    assert torch.allclose(teacher(3.0 * signals_mv), plain, atol=1e-3)
    assert torch.allclose(teacher(signals_mv + torch.arange(12.0).view(1, 12, 1) / 5), plain, atol=1e-3)
    assert not torch.allclose(teacher(signals_mv * 1e-3), plain, atol=1e-2), "in volts, the norm's eps outweighs it"
    assert not torch.allclose(teacher(signals_mv.flip(1)), plain, atol=1e-2), "and the check would see it"


@pytest.mark.slow
def test_d_beta_of_full_size(published, signals_mv, tmp_path):
    tree, _ = published("d-beta", {})
    torch.save(tree, tmp_path / "published.pt")
    converted = convert_teacher("d-beta", tmp_path / "published.pt", tmp_path / "t.safetensors", trust_pickle=True)
    assert converted.parameters == pytest.approx(63.2e6, rel=0.005)
    teacher = signal_teacher("d-beta", tmp_path / "t.safetensors")
    assert teacher.network.tokens(signals_mv[:1]).shape == (1, 313, 768)
    features = teacher(signals_mv[:1])
    assert features.shape == (1, 768)
    assert (features.abs() < 1).all()


@pytest.mark.parametrize(
    ("name", "millions"),
    [("d-beta", 63.2), ("melp", 62.6), ("ecgfounder", 30.6), ("ecg-fm", 90.4), ("merl", 3.85), ("st-mem", 85.2)],
)
def test_published_sizes_have_the_published_number_of_parameters(name, millions):
    design = TEACHERS[name]
    with torch.device("meta"):
        network = design.build(design.sizes)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(millions * 1e6, rel=0.002)
