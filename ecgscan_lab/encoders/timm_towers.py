"""Any image tower of timm: vision transformers of any size, and convolutional ones."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn

from ecgscan_lab.encoders.hub import TOWERS_EXTRA, fetch_from_hub
from ecgscan_lab.encoders.positions import check_size
from ecgscan_lab.encoders.published import PublishedTower
from ecgscan_lab.encoders.weights import StoredTensors, load_strictly
from ecgscan_lab.errors import ArgumentError, CheckpointError, MissingExtraError


class TimmVision(nn.Module):
    """A timm model without its classifier.

    Args:
        model: as `timm.create_model(..., num_classes=0)` gives it.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.embed_dim = int(getattr(model, "head_hidden_size", None) or model.num_features)
        self.token_dim = int(model.num_features)
        self._n_prefix = int(getattr(model, "num_prefix_tokens", 0))
        self._channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels -> the model's unpooled features: tokens, or a map."""
        return self.model.forward_features(pixels)

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """The model's own pooling, as its classifier would receive it."""
        return self.model.forward_head(states, pre_logits=True)

    def patch_tokens(self, states: torch.Tensor) -> torch.Tensor:
        """Tokens without the class and register tokens; a map is read row by row."""
        if states.ndim == 3:
            return states[:, self._n_prefix :]
        return states.flatten(1, 2) if self._channels_last else states.flatten(2).transpose(1, 2)

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Switch timm's own checkpointing.

        Raises:
            ArgumentError: the model does not offer it.
        """
        try:
            self.model.set_grad_checkpointing(on)
        except (AttributeError, AssertionError, TypeError) as error:
            raise ArgumentError(
                f"{type(self.model).__name__} does not offer gradient checkpointing",
                field="on",
                fix="leave gradient checkpointing off, or name a vision transformer",
            ) from error


def timm_tower(
    model: str, *, size: tuple[int, int] | None = None, fit: str = "letterbox", weights: str | os.PathLike[str] | None
) -> PublishedTower:
    """The tower of that name in timm, for instance "vit_small_patch16_224.augreg_in21k".

    Args and errors as in `towers.image_tower`. Positions are brought to other sizes by timm's interpolation, which is
    bicubic and antialiased as well.
    """
    try:
        import timm
    except ImportError as error:
        raise MissingExtraError("timm is not installed", field="name", fix=TOWERS_EXTRA) from error
    if not timm.is_model(model):
        raise ArgumentError(f"timm knows no model {model!r}", field="name", expected="a name of timm.list_models()")
    network: Any = timm.create_model(model, pretrained=False, num_classes=0)
    facts = network.pretrained_cfg
    own = tuple(facts["input_size"][1:])
    patches = getattr(getattr(network, "patch_embed", None), "patch_size", (1, 1))
    size = check_size(size, own, tuple(patches))
    left_out: list[str] = []
    path = _from_hub(model, facts) if weights == "hub" else weights
    if path is not None:
        classifiers = facts.get("classifier") or ()
        heads = tuple(f"{head}." for head in ([classifiers] if isinstance(classifiers, str) else classifiers))
        stored = StoredTensors(path)
        tensors = stored.read(lambda name: not name.startswith(heads or ("\0",)))
        left_out = sorted({name.split(".")[0] for name in stored.names} - {name.split(".")[0] for name in tensors})
        load_strictly(network, tensors, path)
    if size != own:
        _resize(network, model, size)
    return PublishedTower(
        TimmVision(network),
        name=f"timm:{model}",
        size=size,
        mean=facts["mean"],
        std=facts["std"],
        fit=fit,
        left_out=left_out,
    )


def _resize(network: Any, model: str, size: tuple[int, int]) -> None:
    if not hasattr(network, "set_input_size"):
        if getattr(network, "pos_embed", None) is None:
            return  # convolutions read any size
        raise ArgumentError(
            f"timm offers no other size for {model}", field="size", fix="leave `size` out, or name another tower"
        )
    network.set_input_size(img_size=size)


def _from_hub(model: str, facts: dict[str, Any]) -> Any:
    repository = facts.get("hf_hub_id")
    if repository and repository.endswith("/"):
        repository += model
    if not repository:
        raise CheckpointError(
            f"timm publishes no weights for {model} on the hub",
            field="weights",
            expected="a path, or a name with a tag from timm.list_pretrained()",
        )
    return fetch_from_hub(repository, facts.get("hf_hub_filename") or "model.safetensors")
