"""A CLIP of the published names and a few thousand parameters, as tensors and as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

# Four patches a side of 14 pixels, like the published towers' but for the numbers.
CLIP_CONFIG = {
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "patch_size": 14,
    "image_size": 56,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


def _clip_shapes() -> dict[str, tuple[int, ...]]:
    """Every tensor of the vision half of transformers' `CLIPModel`, written out by hand."""
    dim, mlp = 32, 80
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.class_embedding": (dim,),
        "embeddings.patch_embedding.weight": (dim, 3, 14, 14),
        "embeddings.position_embedding.weight": (17, dim),
        "pre_layrnorm.weight": (dim,),
        "pre_layrnorm.bias": (dim,),
        "post_layernorm.weight": (dim,),
        "post_layernorm.bias": (dim,),
    }
    for layer in ("encoder.layers.0", "encoder.layers.1"):
        for name, out, into in (
            ("self_attn.q_proj", dim, dim),
            ("self_attn.k_proj", dim, dim),
            ("self_attn.v_proj", dim, dim),
            ("self_attn.out_proj", dim, dim),
            ("mlp.fc1", mlp, dim),
            ("mlp.fc2", dim, mlp),
        ):
            shapes[f"{layer}.{name}.weight"], shapes[f"{layer}.{name}.bias"] = (out, into), (out,)
        for name in ("layer_norm1", "layer_norm2"):
            shapes[f"{layer}.{name}.weight"] = shapes[f"{layer}.{name}.bias"] = (dim,)
    return shapes


@pytest.fixture(scope="session")
def clip_tensors() -> dict[str, torch.Tensor]:
    """Random weights of the tiny CLIP, large enough that every part of the formula shows."""
    generator = torch.Generator().manual_seed(7)
    tensors = {name: torch.randn(shape, generator=generator) * 0.3 for name, shape in _clip_shapes().items()}
    for name in tensors:
        if "norm" in name and name.endswith(".weight"):
            tensors[name] += 1
    return tensors


@pytest.fixture
def write_clip(tmp_path: Path, clip_tensors: dict[str, torch.Tensor]) -> Callable[..., Path]:
    """Write the tiny CLIP as a folder in transformers' own layout; keywords replace tensors (None leaves one out)."""

    def write(
        prefix: str = "vision_model.",
        others: bool = True,
        config: dict[str, object] | None = None,
        **changes: torch.Tensor | None,
    ) -> Path:
        folder = tmp_path / "clip"
        folder.mkdir(exist_ok=True)
        tensors = {**clip_tensors, **{name.replace("__", "."): value for name, value in changes.items()}}
        stored = {f"{prefix}{name}": tensor.clone() for name, tensor in tensors.items() if tensor is not None}
        stored[f"{prefix}embeddings.position_ids"] = torch.arange(17)[None]
        if others:
            stored["text_model.embeddings.token_embedding.weight"] = torch.zeros(5, 8)
            stored["visual_projection.weight"] = torch.zeros(16, 32)
            stored["text_projection.weight"] = torch.zeros(16, 8)
            stored["logit_scale"] = torch.tensor(4.6)
        save_file(stored, folder / "model.safetensors")
        full = {"model_type": "clip", "vision_config": {**CLIP_CONFIG, **(config or {})}, "projection_dim": 16}
        (folder / "config.json").write_text(json.dumps(full))
        return folder

    return write


@pytest.fixture
def pages() -> torch.Tensor:
    """Two uint8 pages of noise, wider than high."""
    return torch.randint(0, 256, (2, 3, 60, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
