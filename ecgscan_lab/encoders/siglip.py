"""SigLIP's vision tower in transformers, in the size of MedSigLIP."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from ecgscan_lab.encoders.clip import recompute_layers, vision_config
from ecgscan_lab.encoders.hub import TOWERS_EXTRA, fetch_from_hub
from ecgscan_lab.encoders.positions import check_size, resize_positions
from ecgscan_lab.encoders.published import PublishedTower
from ecgscan_lab.encoders.weights import StoredTensors, load_strictly
from ecgscan_lab.errors import ArgumentError, CheckpointError, MissingExtraError

_FIRST = "embeddings.patch_embedding.weight"


class SiglipVision(nn.Module):
    """The parts of a transformers `SiglipVisionModel`, run on any grid of patches.

    There is no class token: the pooled feature is what a learnt probe attends to among the patch tokens.

    Args:
        vision: the model (or the transformer inside it).
        grid: (rows, columns) of patches; the learnt positions are brought to it.
    """

    def __init__(self, vision: Any, grid: tuple[int, int]) -> None:
        super().__init__()
        self.vision = vision
        self.embed_dim = self.token_dim = int(vision.config.hidden_size)
        positions = vision.embeddings.position_embedding
        positions.weight = nn.Parameter(resize_positions(positions.weight.detach(), grid, n_prefix=0))
        positions.num_embeddings = len(positions.weight)

    def states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels -> `[batch, token, dim]` after the last norm."""
        embeddings = self.vision.embeddings
        convolution = embeddings.patch_embedding
        patches = convolution(pixels.to(convolution.weight.dtype)).flatten(2).transpose(1, 2)
        tokens = patches + embeddings.position_embedding.weight
        return self.vision.post_layernorm(self.vision.encoder(inputs_embeds=tokens).last_hidden_state)

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """Attention pooling: transformers' `pooler_output`."""
        return self.vision.head(states)

    def patch_tokens(self, states: torch.Tensor) -> torch.Tensor:
        """The states themselves."""
        return states

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Switch transformers' own checkpointing; it acts in training mode."""
        recompute_layers(self.vision, on)


def siglip_tower(
    name: str, *, size: tuple[int, int] | None = None, fit: str = "letterbox", weights: str | os.PathLike[str] | None
) -> PublishedTower:
    """SigLIP's vision tower: "medsiglip-448", or "siglip", whose architecture the folder says.

    Args and errors as in `towers.image_tower`.
    """
    try:
        from transformers import SiglipVisionConfig, SiglipVisionModel
    except ImportError as error:
        raise MissingExtraError("transformers is not installed", field="name", fix=TOWERS_EXTRA) from error
    path = weights
    if weights == "hub":
        if name != "medsiglip-448":
            raise ArgumentError(f"{name!r} names no published weights", field="weights", expected="medsiglip-448")
        path = fetch_from_hub("google/medsiglip-448", "model.safetensors", manifest="medsiglip-448")
    config = vision_config(SiglipVisionConfig, name, path, "siglip")
    patch = int(config.patch_size)
    size = check_size(size, (int(config.image_size),) * 2, (patch, patch))
    model = SiglipVisionModel(config)
    vision = getattr(model, "vision_model", model)
    left_out: list[str] = []
    if path is not None:
        tensors, left_out = read_siglip_vision(path)
        load_strictly(vision, tensors, path)
    network = SiglipVision(vision, (size[0] // patch, size[1] // patch))
    halves = (0.5, 0.5, 0.5)
    return PublishedTower(network, name=name, size=size, mean=halves, std=halves, fit=fit, left_out=left_out)


def read_siglip_vision(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], list[str]]:
    """The vision tower's tensors without their prefix, and the names of the file's other parts.

    Raises:
        CheckpointError: there is no SigLIP tower in the file, or more than one.
    """
    stored = StoredTensors(path)
    prefixes = [name.removesuffix(_FIRST) for name in stored.names if name == _FIRST or name.endswith("." + _FIRST)]
    if len(prefixes) != 1:
        raise CheckpointError(
            f"there are {len(prefixes)} SigLIP vision towers in the weights",
            file=path,
            field=_FIRST,
            expected="one tower under transformers' names",
        )
    (prefix,) = prefixes

    def is_vision(name: str) -> bool:
        return name.startswith(prefix) and name != f"{prefix}embeddings.position_ids"

    tensors = {name.removeprefix(prefix): tensor for name, tensor in stored.read(is_vision).items()}
    left_out = sorted({name.split(".")[0] for name in stored.names if not is_vision(name)} - {prefix.split(".")[0]})
    return tensors, left_out
