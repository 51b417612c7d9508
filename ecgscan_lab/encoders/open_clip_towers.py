"""open_clip's own vision transformers, whose attention is fused."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from ecgscan_lab.encoders.hub import TOWERS_EXTRA, fetch_from_hub
from ecgscan_lab.encoders.positions import check_size, resize_positions
from ecgscan_lab.encoders.published import PublishedTower
from ecgscan_lab.encoders.weights import StoredTensors, load_strictly
from ecgscan_lab.errors import ArgumentError, CheckpointError, MissingExtraError

# Only the vision half is used, so the text half is made as small as the library allows.
_NO_TEXT = {"context_length": 2, "vocab_size": 2, "width": 8, "heads": 1, "layers": 1}


class OpenClipVision(nn.Module):
    """The parts of an open_clip `VisionTransformer` with a class token, run on any grid of patches.

    Args:
        visual: the transformer; its projection is dropped.
        grid: (rows, columns) of patches; the learnt positions are brought to it.
    """

    def __init__(self, visual: Any, grid: tuple[int, int]) -> None:
        super().__init__()
        self.visual = visual
        positions = visual.positional_embedding
        self.embed_dim = self.token_dim = int(positions.shape[1])
        visual.positional_embedding = nn.Parameter(resize_positions(positions.detach(), grid))
        visual.grid_size = grid
        visual.image_size = tuple(side * step for side, step in zip(grid, visual.patch_size, strict=True))

    def states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels -> `[batch, 1 + token, dim]` of the last layer."""
        visual = self.visual
        patches = visual.conv1(pixels.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        first = visual.class_embedding.expand(len(patches), 1, -1)
        tokens = torch.cat([first, patches], dim=1) + visual.positional_embedding
        return visual.transformer(visual.ln_pre(visual.patch_dropout(tokens)))

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """The class token after the last norm, before open_clip's projection."""
        return self.visual.ln_post(states[:, 0])

    def patch_tokens(self, states: torch.Tensor) -> torch.Tensor:
        """The other tokens after the same norm."""
        return self.visual.ln_post(states[:, 1:])

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Switch open_clip's own checkpointing."""
        self.visual.set_grad_checkpointing(on)


def open_clip_tower(
    model: str, *, size: tuple[int, int] | None = None, fit: str = "letterbox", weights: str | os.PathLike[str] | None
) -> PublishedTower:
    """The vision tower of an open_clip model, for instance "ViT-L-14-336-quickgelu".

    Args and errors as in `towers.image_tower`; `weights` may also be "hub:TAG", one of the model's published tags.
    """
    try:
        import open_clip
    except ImportError as error:
        raise MissingExtraError("open_clip is not installed", field="name", fix=TOWERS_EXTRA) from error
    config = open_clip.get_model_config(model)
    if config is None:
        raise ArgumentError(
            f"open_clip knows no model {model!r}",
            field="name",
            expected=f"one of the {len(open_clip.list_models())} of open_clip.list_models()",
        )
    path = weights
    if isinstance(weights, str) and weights.partition(":")[0] == "hub":
        path = _from_hub(open_clip, model, config, weights.partition(":")[2])
    visual = _visual(open_clip, model, config)
    size = check_size(size, tuple(visual.image_size), tuple(visual.patch_size))
    left_out: list[str] = []
    if path is not None:
        tensors, left_out = _read_visual(path)
        load_strictly(visual, tensors, path)
    grid = (size[0] // visual.patch_size[0], size[1] // visual.patch_size[1])
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    return PublishedTower(
        OpenClipVision(visual, grid),
        name=f"open_clip:{model}",
        size=size,
        mean=mean,
        std=std,
        fit=fit,
        left_out=left_out,
    )


def _visual(open_clip: Any, model: str, config: dict[str, Any]) -> Any:
    vision = config["vision_cfg"]
    plain = not vision.get("timm_model_name") and isinstance(vision.get("layers"), int)
    if plain:
        quick = bool(config.get("quick_gelu", False))
        visual = open_clip.CLIP(config["embed_dim"], vision, _NO_TEXT, quick_gelu=quick).visual
        plain = visual.attn_pool is None and visual.pool_type == "tok" and not visual.final_ln_after_pool
    if not plain:
        raise ArgumentError(
            f"the image tower of {model!r} is no plain vision transformer with a class token",
            field="name",
            expected="for instance open_clip:ViT-L-14-336-quickgelu",
            fix='towers that open_clip takes from timm are named "timm:NAME" here',
        )
    visual.proj = None
    return visual


def _from_hub(open_clip: Any, model: str, config: dict[str, Any], tag: str) -> Any:
    from open_clip.pretrained import get_pretrained_cfg

    tags = open_clip.list_pretrained_tags_by_model(model)
    tag = tag or "openai"
    published = get_pretrained_cfg(model, tag)
    if not published:
        raise ArgumentError(
            f"{model} has no published weights {tag!r}",
            field="weights",
            expected=", ".join(f"hub:{known}" for known in tags) or "a path",
        )
    if bool(published.get("quick_gelu", False)) != bool(config.get("quick_gelu", False)):
        with_quick = bool(published.get("quick_gelu", False))
        raise ArgumentError(
            f"{tag!r} was trained with the {'quick' if with_quick else 'exact'} GELU and {model} uses the other one",
            field="name",
            fix=f"name {model}-quickgelu" if with_quick else f"name {model.removesuffix('-quickgelu')}",
        )
    repository, _, filename = published.get("hf_hub", "").rpartition("/")
    manifest = "clip-vit-large-patch14-336" if model.startswith("ViT-L-14-336") and tag == "openai" else None
    safe = filename.replace(".bin", ".safetensors") or "open_clip_model.safetensors"
    if not repository:
        raise CheckpointError(
            "these weights are not on the hub", field="weights", expected="a path", file=f"{model}:{tag}"
        )
    return fetch_from_hub(repository, safe, manifest=manifest)


def _read_visual(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The tensors under `visual.`, or all where there is no such part; and the names of the other parts."""
    stored = StoredTensors(path)
    prefix = "visual." if any(name.startswith("visual.") for name in stored.names) else ""

    def is_vision(name: str) -> bool:
        return name.startswith(prefix) and name != f"{prefix}proj"

    tensors = {name.removeprefix(prefix): tensor for name, tensor in stored.read(is_vision).items()}
    left_out = sorted({name.split(".")[0] for name in stored.names if not is_vision(name)} - {prefix.rstrip(".")})
    return tensors, left_out
