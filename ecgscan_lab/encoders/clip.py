"""CLIP's vision tower in transformers: pooled class token, patch tokens, and the file layouts it is published in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ecgscan_lab.encoders.hub import TOWERS_EXTRA, fetch_from_hub
from ecgscan_lab.encoders.positions import check_size, resize_positions
from ecgscan_lab.encoders.published import PublishedTower
from ecgscan_lab.encoders.weights import StoredTensors, load_strictly, read_config
from ecgscan_lab.errors import ArgumentError, CheckpointError, MissingExtraError

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

# What the publishers' config.json files say; `hidden_act` matters: the exact GELU gives other features.
_LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
    "hidden_act": "quick_gelu",
}
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "clip-vit-l-14": {**_LARGE, "image_size": 224},
    "clip-vit-l-14-336": {**_LARGE, "image_size": 336},
    "medsiglip-448": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "patch_size": 14,
        "hidden_act": "gelu_pytorch_tanh",
        "image_size": 448,
    },
}
# The tensors of openai's release as safetensors, in open_clip's layout; openai's own 336-pixel folder is a pickle.
_HUB = {
    "clip-vit-l-14": ("timm/vit_large_patch14_clip_224.openai", None),
    "clip-vit-l-14-336": ("timm/vit_large_patch14_clip_336.openai", "clip-vit-large-patch14-336"),
}
# open_clip's name of a part of a layer -> transformers' name; the fused query, key and value are split apart.
_LAYER_PARTS = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_OUTER_PARTS = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}


class ClipVision(nn.Module):
    """The parts of a transformers `CLIPVisionModel`, run on any grid of patches.

    Args:
        vision: the model (or the transformer inside it).
        grid: (rows, columns) of patches; the learnt positions are brought to it.
    """

    def __init__(self, vision: Any, grid: tuple[int, int]) -> None:
        super().__init__()
        self.vision = vision
        self.embed_dim = self.token_dim = int(vision.config.hidden_size)
        positions = vision.embeddings.position_embedding
        positions.weight = nn.Parameter(resize_positions(positions.weight.detach(), grid))
        positions.num_embeddings = len(positions.weight)

    def states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels -> `[batch, 1 + token, dim]` of the last layer."""
        embeddings = self.vision.embeddings
        convolution = embeddings.patch_embedding
        patches = convolution(pixels.to(convolution.weight.dtype)).flatten(2).transpose(1, 2)
        first = embeddings.class_embedding.expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches], dim=1) + embeddings.position_embedding.weight
        return self.vision.encoder(inputs_embeds=self.vision.pre_layrnorm(tokens)).last_hidden_state

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """The class token after the last norm: transformers' `pooler_output`."""
        return self.vision.post_layernorm(states[:, 0])

    def patch_tokens(self, states: torch.Tensor) -> torch.Tensor:
        """The other tokens after the same norm."""
        return self.vision.post_layernorm(states[:, 1:])

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Switch transformers' own checkpointing; it acts in training mode."""
        recompute_layers(self.vision, on)


def recompute_layers(vision: Any, on: bool) -> None:
    """Switch a transformers model's checkpointing of layers, under its new name or its old one."""
    new = hasattr(vision, "activation_checkpointing_enable")
    word = "activation_checkpointing" if new else "gradient_checkpointing"
    if on:
        # Without re-entry, frozen inputs need no gradient of their own and adapters inside still receive theirs.
        getattr(vision, f"{word}_enable")(**{f"{word}_kwargs": {"use_reentrant": False}})
    else:
        getattr(vision, f"{word}_disable")()


def clip_tower(
    name: str, *, size: tuple[int, int] | None = None, fit: str = "letterbox", weights: str | os.PathLike[str] | None
) -> PublishedTower:
    """CLIP's vision tower: "clip-vit-l-14", "clip-vit-l-14-336", or "clip", whose architecture the folder says.

    Args and errors as in `towers.image_tower`.
    """
    config_class, model_class = _transformers()
    path = weights
    if weights == "hub":
        if name not in _HUB:
            raise ArgumentError(f"{name!r} names no published weights", field="weights", expected=", ".join(_HUB))
        repository, manifest = _HUB[name]
        path = fetch_from_hub(repository, "open_clip_model.safetensors", manifest=manifest)
    config = vision_config(config_class, name, path, "clip")
    patch = int(config.patch_size)
    own = (int(config.image_size),) * 2
    size = check_size(size, own, (patch, patch))  # before the work of building
    model = model_class(config)
    vision = getattr(model, "vision_model", model)  # one level deeper in some releases
    left_out: list[str] = []
    if path is not None:
        tensors, left_out = read_clip_vision(path)
        load_strictly(vision, tensors, path)
    network = ClipVision(vision, (size[0] // patch, size[1] // patch))
    return PublishedTower(network, name=name, size=size, mean=MEAN, std=STD, fit=fit, left_out=left_out)


def vision_config(config_class: Any, name: str, path: str | os.PathLike[str] | None, family: str) -> Any:
    """The architecture: the one published under `name`, held against the folder's `config.json` where there is one.

    Raises:
        ArgumentError: `name` is the family's and there is no folder that says more.
        CheckpointError: the folder describes another architecture than `name`.
    """
    expected = PUBLISHED.get(name)
    stored = None if path is None else read_config(path)
    if stored is not None:  # a language model that carries the tower describes itself, not the tower
        whole = str(stored.get("model_type", "")).endswith("vision_model")
        stored = stored.get("vision_config", stored if whole else None)
    if expected is None:
        if stored is None:
            raise ArgumentError(
                f"{name!r} takes its architecture from a folder",
                field="weights",
                expected="a folder with config.json and model.safetensors",
                fix=f"pass one, or name a published tower: {', '.join(PUBLISHED)}",
            )
        return config_class(**_plain(stored, config_class))
    if stored is not None:
        said = config_class(**_plain(stored, config_class))
        for key, value in expected.items():
            if getattr(said, key) != value:
                raise CheckpointError(
                    f"the folder describes another tower than {name}: {key} is {getattr(said, key)}",
                    file=Path(path or "") / "config.json",
                    field=key,
                    expected=str(value),
                    fix=f'name the tower "{family}" to take the architecture from the folder',
                )
    return config_class(**expected)


def read_clip_vision(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The vision tower's tensors, under transformers' names without a prefix, from any layout that CLIP is shipped in.

    Layouts: transformers' `CLIPModel` or `CLIPVisionModel`; open_clip's (`visual.`); and models that carry the tower
    inside, under any prefix (LLaVA, hence PULSE-7B; released ECG-Scan towers with merged adapters).

    Returns:
        The tensors, and the names of the file's other parts, which no tower uses.

    Raises:
        CheckpointError: there is no CLIP tower in the file, or more than one.
    """
    stored = StoredTensors(path)
    for mark in ("embeddings.class_embedding", "class_embedding"):
        prefixes = [n.removesuffix(mark) for n in stored.names if n == mark or n.endswith("." + mark)]
        if len(prefixes) > 1:
            raise CheckpointError(
                f"the file holds {len(prefixes)} towers", file=path, field=", ".join(prefixes), expected="one"
            )
        if prefixes:
            (prefix,) = prefixes
            break
    else:
        raise CheckpointError(
            "there is no CLIP vision tower in the weights",
            file=path,
            field="class_embedding",
            expected="the names of transformers (vision_model.embeddings.class_embedding) or open_clip "
            "(visual.class_embedding)",
        )
    # Older files store the row numbers of the positions, and open_clip its projection: no weights of the tower.
    skipped = {f"{prefix}embeddings.position_ids", f"{prefix}proj"}
    # With no prefix the file may still be a whole model: its other half is known by name.
    others = ("text_model.", "text_projection", "visual_projection.", "logit_scale", "logit_bias") if not prefix else ()

    def is_vision(name: str) -> bool:
        return name.startswith(prefix) and name not in skipped and not name.startswith(others)

    tensors = {name.removeprefix(prefix): tensor for name, tensor in stored.read(is_vision).items()}
    unused = {name for name in stored.names if not is_vision(name)} - skipped
    left_out = sorted({name.split(".")[0] for name in unused} - {prefix.split(".")[0]})
    return tensors if mark.startswith("embeddings") else from_open_clip(tensors), left_out


def from_open_clip(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """open_clip's `visual` tensors under transformers' names; names it does not know are kept, for the strict load.

    Properties: features agree to 1e-4 when both use the same activation.
    """
    renamed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if name in _OUTER_PARTS:
            renamed[_OUTER_PARTS[name]] = tensor
            continue
        _, _, rest = name.partition("transformer.resblocks.")
        number, _, part = rest.partition(".")
        layer = f"encoder.layers.{number}"
        body, _, kind = part.rpartition(".")
        if part in ("attn.in_proj_weight", "attn.in_proj_bias"):
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                renamed[f"{layer}.self_attn.{letter}_proj.{part.rpartition('_')[2]}"] = third
        elif body in _LAYER_PARTS:
            renamed[f"{layer}.{_LAYER_PARTS[body]}.{kind}"] = tensor
        else:
            renamed[name] = tensor
    return renamed


def _plain(stored: Mapping[str, Any], config_class: Any) -> dict[str, Any]:
    """The fields of a stored configuration that shape the tower."""
    default = config_class()
    keys = {*_LARGE, "image_size", "layer_norm_eps", "attention_dropout", "vision_use_head"}
    return {key: value for key, value in stored.items() if key in keys and hasattr(default, key)}


def _transformers() -> tuple[Any, Any]:
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModel
    except ImportError as error:
        raise MissingExtraError("transformers is not installed", field="name", fix=TOWERS_EXTRA) from error
    return CLIPVisionConfig, CLIPVisionModel
