"""Files as their publishers name and shape them, small where the real ones are big, with random weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ecgscan_lab.encoders.teachers import TEACHERS

Weights = dict[str, torch.Tensor]
WAVE = {"layers": 2, "dim": 32, "heads": 4, "feedforward": 48, "conv_dim": 16, "pos_kernel": 8, "pos_groups": 4}
SMALL = {
    "d-beta": WAVE,
    "ecg-fm": WAVE,
    "melp": {**WAVE, "embed_dim": 24, "pool_heads": 2},
    "ecgfounder": {"width_share": 16, "kernel": 16, "group_width": 1},
    "merl": {"width": 4, "embed_dim": 8, "pool_heads": 2},
    "st-mem": {"layers": 2, "dim": 24, "heads": 3, "feedforward": 40},
}


class Writer:
    """Collects random weights under the names and shapes that it is told."""

    def __init__(self) -> None:
        self.weights: Weights = {}
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, name: str, *shape: int, scale: float = 0.3) -> None:
        self.weights[name] = torch.randn(shape, generator=self.generator) * scale

    def linear(self, name: str, n_in: int, n_out: int, bias: bool = True) -> None:
        self(f"{name}.weight", n_out, n_in, scale=n_in**-0.5)
        if bias:
            self(f"{name}.bias", n_out)

    def norm(self, name: str, dim: int, batch: bool = False) -> None:
        self(f"{name}.weight", dim)
        self.weights[f"{name}.weight"] += 1.0
        self(f"{name}.bias", dim)
        if batch:
            self(f"{name}.running_mean", dim)
            self.weights[f"{name}.running_var"] = torch.rand(dim, generator=self.generator) + 0.5
            self.weights[f"{name}.num_batches_tracked"] = torch.tensor(7)


def write_wave(write: Writer, prefix: str, s: dict[str, int], parametrised: bool = False) -> None:
    for i in range(4):
        write(f"{prefix}feature_extractor.conv_layers.{i}.0.weight", s["conv_dim"], s["conv_dim"] if i else 12, 2)
    write.norm(f"{prefix}feature_extractor.conv_layers.0.2", s["conv_dim"])
    write.linear(f"{prefix}post_extract_proj", s["conv_dim"], s["dim"])
    gain, value = (
        ("parametrizations.weight.original0", "parametrizations.weight.original1")
        if parametrised
        else ("weight_g", "weight_v")
    )
    write(f"{prefix}conv_pos.pos_conv.0.{gain}", 1, 1, s["pos_kernel"])
    write(f"{prefix}conv_pos.pos_conv.0.{value}", s["dim"], s["dim"] // s["pos_groups"], s["pos_kernel"])
    write(f"{prefix}conv_pos.pos_conv.0.bias", s["dim"])
    write.norm(f"{prefix}layer_norm", s["conv_dim"])
    write.norm(f"{prefix}encoder.layer_norm", s["dim"])
    for i in range(s["layers"]):
        layer = f"{prefix}encoder.layers.{i}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            write.linear(f"{layer}.self_attn.{part}", s["dim"], s["dim"])
        write.norm(f"{layer}.self_attn_layer_norm", s["dim"])
        write.linear(f"{layer}.fc1", s["dim"], s["feedforward"])
        write.linear(f"{layer}.fc2", s["feedforward"], s["dim"])
        write.norm(f"{layer}.final_layer_norm", s["dim"])


def write_quantiser(write: Writer, prefix: str, s: dict[str, int]) -> None:
    write(f"{prefix}mask_emb", s["dim"])
    write(f"{prefix}quantizer.vars", 1, 640, 8)
    write.linear(f"{prefix}quantizer.weight_proj", s["conv_dim"], 640)
    write.linear(f"{prefix}project_q", 16, 16)
    write.linear(f"{prefix}final_proj", s["dim"], 16)


def published_d_beta(write: Writer, s: dict[str, int]) -> dict[str, object]:
    write("class_embedding", s["dim"])
    write("ecg_encoder.mask_emb", s["dim"])
    write_wave(write, "ecg_encoder.", s)
    write.linear("multi_modal_ecg_proj", s["dim"], s["dim"])
    write.linear("unimodal_ecg_pooler.dense", s["dim"], s["dim"])
    write.linear("unimodal_language_pooler.dense", s["dim"], s["dim"])
    write.linear("multi_modal_language_proj", s["dim"], s["dim"])
    write.linear("multi_modal_ecg_pooler.dense", s["dim"], s["dim"])
    write.linear("multi_modal_language_pooler.dense", s["dim"], s["dim"])
    write.linear("multi_modal_ecg_layers.0.attention.self.query", s["dim"], s["dim"])
    write.linear("multi_modal_language_layers.0.attention.self.query", s["dim"], s["dim"])
    write("language_encoder.shared.weight", 20, s["dim"])
    write("modality_type_embeddings.weight", 2, s["dim"])
    write("mlm_head.bias", 20)
    write("mim_head.mask_token", 1, 1, 8)
    write.linear("itm_head.fc", 2 * s["dim"], 2)
    return {"model": write.weights}


def published_ecg_fm(write: Writer, s: dict[str, int]) -> dict[str, object]:
    write_wave(write, "", s, parametrised=True)
    write_quantiser(write, "", s)
    return {"model": write.weights}


def published_melp(write: Writer, s: dict[str, int]) -> dict[str, object]:
    write_wave(write, "ecg_encoder.ecg_encoder.", s, parametrised=True)
    write_quantiser(write, "ecg_encoder.ecg_encoder.", s)
    for part, dim, queries in (("contrast", s["embed_dim"], s["beat_queries"]), ("caption", s["dim"], 6)):
        pool = f"ecg_encoder.attn_pool_{part}"
        write(f"{pool}.query", queries, dim)
        if dim == s["dim"]:
            write(f"{pool}.attn.in_proj_weight", 3 * dim, dim)
        else:
            write(f"{pool}.attn.q_proj_weight", dim, dim)
            write(f"{pool}.attn.k_proj_weight", dim, s["dim"])
            write(f"{pool}.attn.v_proj_weight", dim, s["dim"])
        write(f"{pool}.attn.in_proj_bias", 3 * dim)
        write.linear(f"{pool}.attn.out_proj", dim, dim)
        write.norm(f"{pool}.ln_q", dim)
        write.norm(f"{pool}.ln_k", s["dim"])
        write.norm(f"ecg_encoder.ln_{part}", dim)
    write("ecg_encoder.proj_contrast", s["embed_dim"], s["embed_dim"])
    write("ecg_encoder.logit_scale")
    return dict(write.weights)


def published_ecgfounder(write: Writer, s: dict[str, int]) -> dict[str, object]:
    widths = [width // s["width_share"] for width in (64, 160, 160, 400, 400, 1024, 1024)]
    write("first_conv.conv.weight", widths[0], 12, s["kernel"], scale=0.1)
    write("first_conv.conv.bias", widths[0])
    write.norm("first_bn", widths[0], batch=True)
    c_in = widths[0]
    for stage, (width, blocks) in enumerate(zip(widths, (2, 2, 2, 3, 3, 4, 4), strict=True)):
        for i in range(blocks):
            block = f"stage_list.{stage}.block_list.{i}"
            for k, (into, kernel) in enumerate(((c_in, 1), (s["group_width"], s["kernel"]), (width, 1)), 1):
                write(f"{block}.conv{k}.conv.weight", width, into, kernel, scale=(into * kernel) ** -0.5)
                write(f"{block}.conv{k}.conv.bias", width)
                write.norm(f"{block}.bn{k}", c_in if k == 1 else width, batch=True)
            write.linear(f"{block}.se_fc1", width, width // 2)
            write.linear(f"{block}.se_fc2", width // 2, width)
            c_in = width
    write.linear("dense", c_in, 150)
    return {"state_dict": write.weights}


def published_merl(write: Writer, s: dict[str, int]) -> dict[str, object]:
    """The `_ckpt` file."""
    e, width = "ecg_encoder.", s["width"]
    write(f"{e}conv1.weight", width, 12, 7)
    write.norm(f"{e}bn1", width, batch=True)
    for stage in range(4):
        for i in range(2):
            block, c_out = f"{e}layer{stage + 1}.{i}", width * 2**stage
            c_in = width * 2 ** max(stage - 1, 0) if i == 0 else c_out
            write(f"{block}.conv1.weight", c_out, c_in, 3)
            write.norm(f"{block}.bn1", c_out, batch=True)
            write(f"{block}.conv2.weight", c_out, c_out, 3)
            write.norm(f"{block}.bn2", c_out, batch=True)
            if stage and i == 0:
                write(f"{block}.shortcut.0.weight", c_out, c_in, 1)
                write.norm(f"{block}.shortcut.1", c_out, batch=True)
    write.linear(f"{e}linear", 8 * width, 10)
    dim = s["embed_dim"]
    write("downconv.weight", dim, 8 * width, 1)
    write("downconv.bias", dim)
    write("att_pool_head.positional_embedding", 1, s["columns"] + 1, dim)
    write("att_pool_head.cls_token", 1, 1, dim)
    write("att_pool_head.mhsa.in_proj_weight", 3 * dim, dim)
    write("att_pool_head.mhsa.in_proj_bias", 3 * dim)
    write.linear("att_pool_head.mhsa.out_proj", dim, dim)
    write.linear("att_pool_head.c_proj", dim, dim)
    write.linear("linear1", dim, dim, bias=False)
    write.linear("linear2", dim, dim, bias=False)
    write("lm_model.embeddings.word_embeddings.weight", 5, 6)
    write.linear("proj_t.0", 6, dim)
    return dict(write.weights)


def published_st_mem(write: Writer, s: dict[str, int]) -> dict[str, object]:
    dim = s["dim"]
    write.norm("to_patch_embedding.1", 75)
    write.linear("to_patch_embedding.2", 75, dim)
    write.norm("to_patch_embedding.3", dim)
    write("pos_embedding", 1, 32, dim)
    write("sep_embedding", dim)
    for i in range(12):
        write(f"lead_embeddings.{i}", dim)
    for i in range(s["layers"]):
        write.norm(f"block{i}.attn.norm", dim)
        write.linear(f"block{i}.attn.fn.to_qkv", dim, 3 * dim)
        write.linear(f"block{i}.attn.fn.to_out.0", dim, dim)
        write.norm(f"block{i}.ff.norm", dim)
        write.linear(f"block{i}.ff.fn.net.0", dim, s["feedforward"])
        write.linear(f"block{i}.ff.fn.net.3", s["feedforward"], dim)
    write.norm("norm", dim)
    return {"model": write.weights, "epoch": 3, "optimizer": None, "config": {"seed": 0}}


_PUBLISHED = {
    "d-beta": published_d_beta,
    "ecg-fm": published_ecg_fm,
    "melp": published_melp,
    "ecgfounder": published_ecgfounder,
    "merl": published_merl,
    "st-mem": published_st_mem,
}


@pytest.fixture
def small() -> Callable[[str], dict[str, int]]:
    """Sizes for a test, by teacher."""
    return lambda name: dict(SMALL[name])


@pytest.fixture
def published() -> Callable[..., tuple[dict[str, object], Weights]]:
    """A publisher's file before it is saved, and the weights in it; sizes are small unless given."""

    def make(name: str, sizes: dict[str, int] | None = None) -> tuple[dict[str, object], Weights]:
        write = Writer()
        tree = _PUBLISHED[name](write, {**TEACHERS[name].sizes, **(SMALL[name] if sizes is None else sizes)})
        return tree, write.weights

    return make
