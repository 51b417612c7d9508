"""`LOSSES`: every loss by name; and one shape for all of them, `Features -> scalar`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Protocol

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import contrastive_loss
from ecgscan_lab.losses.gather import gather_features, gather_rows
from ecgscan_lab.losses.gram import gram_loss
from ecgscan_lab.losses.lead_consistency import rule_loss, violation_loss
from ecgscan_lab.losses.objective import objective
from ecgscan_lab.losses.pairwise import pairwise_loss
from ecgscan_lab.losses.pmrl import pmrl_loss
from ecgscan_lab.losses.reconstruction import mse_loss
from ecgscan_lab.losses.redundancy import barlow_twins_loss, vicreg_loss
from ecgscan_lab.losses.siglip import siglip_loss
from ecgscan_lab.losses.symile import symile_loss
from ecgscan_lab.losses.triangle import triangle_loss
from ecgscan_lab.losses.waveform import correlation_loss, spectral_loss
from ecgscan_lab.types import Features


class FeatureLoss(Protocol):
    """What `as_feature_loss` returns: features in, scalar out."""

    __name__: str

    def __call__(self, features: Features, *, text_ids: torch.Tensor | None = None) -> torch.Tensor:
        """The loss; `text_ids` (equal for equal reports) goes to losses that know it, and is ignored by others."""


LOSSES: Mapping[str, Callable[..., torch.Tensor]] = {
    "contrastive": contrastive_loss,
    "gram": gram_loss,
    "pairwise": pairwise_loss,
    "triangle": triangle_loss,
    "symile": symile_loss,
    "pmrl": pmrl_loss,
    "siglip": siglip_loss,
    "vicreg": vicreg_loss,
    "barlow_twins": barlow_twins_loss,
    "mse": mse_loss,
    "correlation": correlation_loss,
    "spectral": spectral_loss,
    "rule": rule_loss,
    "violation": violation_loss,
}

# Losses whose logits are volumes or areas, which range over about 1, use the second scale; cosines range over 2.
VOLUME_SCALED = frozenset({"gram", "triangle"})


def as_feature_loss(loss: str | Callable[..., torch.Tensor], *, gather: bool = False, **options: Any) -> FeatureLoss:
    """Give every loss one shape: features in, scalar out.

    A loss of `LOSSES` names its inputs after the fields of `Features` (image, text, signal, logit_scale,
    reconstruction_mv, signal_mv), so each argument is filled from the field of its name. Losses on volumes take
    `gram_logit_scale` as their `logit_scale`.

    Args:
        loss: a name of `LOSSES`, one of its functions, "objective" for the whole weighted sum, or your own function
            `f(features, **options) -> scalar`.
        gather: let the loss see the features of all processes, see `gather.gather_features`.
        options: keyword arguments bound to the loss, such as `kind="plane_distance"` for "gram".

    Returns:
        A function of `Features` that returns a scalar tensor, named after the loss. It also takes `text_ids`, integers
        `[batch]` that are equal for equal reports, and hands them to losses that know what to do with them.

    Raises:
        ArgumentError: the name or an option is unknown; when called: a field that the loss needs is None, or your
            function returned something else than a scalar tensor.

    **Properties**: the same value and gradient as the loss itself.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
        >>> features = Features(image=rows[0], text=rows[1], signal=rows[2])
        >>> mine = as_feature_loss(lambda features: (features.image - features.signal).square().mean())
        >>> [as_feature_loss("gram", kind="volume_squared")(features).shape, mine(features).shape]
        [torch.Size([]), torch.Size([])]
    """
    name = loss if isinstance(loss, str) else next((known for known, f in LOSSES.items() if f is loss), None)
    function: Callable[..., Any]
    call: Callable[..., torch.Tensor]
    if name == "objective":
        function, call = objective, _call_objective
    elif name is not None and name in LOSSES:
        function, call = LOSSES[name], _call_with_fields(name, options)
    elif callable(loss):
        name, function, call = getattr(loss, "__name__", type(loss).__name__), loss, loss
    else:
        known = ", ".join([*LOSSES, "objective"])
        raise ArgumentError(
            f"no loss is called {loss!r}", field="loss", expected=f"one of {known}, or a function of Features"
        )
    parameters = _check_options(name, function, options)

    def feature_loss(features: Features, *, text_ids: torch.Tensor | None = None) -> torch.Tensor:
        if gather:
            features = gather_features(features)
            text_ids = None if text_ids is None else gather_rows(text_ids)
        more = {"text_ids": text_ids} if text_ids is not None and "text_ids" in parameters else {}
        return _scalar(call(features, **(options | more)))

    feature_loss.__name__ = name
    return feature_loss


def _call_objective(features: Features, **options: Any) -> torch.Tensor:
    return objective(features, **options).total


def _call_with_fields(name: str, options: Mapping[str, Any]) -> Callable[..., torch.Tensor]:
    """The loss with each argument that is named like a field of Features, and not given, taken from there."""
    function = LOSSES[name]
    arguments = [argument for argument in inspect.signature(function).parameters if argument not in options]
    source = {field.name: field.name for field in fields(Features) if field.name in arguments}
    if name in VOLUME_SCALED and "logit_scale" in source:
        source["logit_scale"] = "gram_logit_scale"

    def call(features: Features, **options: Any) -> torch.Tensor:
        taken = {argument: getattr(features, field) for argument, field in source.items()}
        for argument, value in taken.items():
            if value is None:
                raise ArgumentError(
                    f"the loss {name!r} needs {argument}, and the features have none",
                    field=argument,
                    expected=f"Features(..., {argument}=...)",
                    fix="train with a decoder, or choose a loss on embeddings",
                )
        return function(**taken, **options)

    return call


def _check_options(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> frozenset[str]:
    """Refuse options that the loss does not have; returns the names of all that it has."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # a callable that does not tell
        return frozenset()
    open_ended = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    for option in options:
        if option not in parameters and not open_ended:
            raise ArgumentError(
                f"the loss {name!r} has no option {option!r}",
                field=option,
                expected=f"one of {', '.join(parameters)}",
            )
    return frozenset(parameters)


def _scalar(value: Any) -> torch.Tensor:
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        shown = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
        raise ArgumentError(
            f"the loss returned {shown}",
            field="loss",
            expected="one number, as a tensor that gradients flow through",
            fix="end with .mean() or .sum(), and do not call .item() or float()",
        )
    return value.reshape(())
