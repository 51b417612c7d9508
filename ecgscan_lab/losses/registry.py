"""`LOSSES`: every loss by name; and one shape for all of them, `Features -> scalar`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import contrastive_loss
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
from ecgscan_lab.types import Features

FeatureLoss = Callable[[Features], torch.Tensor]

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
    "rule": rule_loss,
    "violation": violation_loss,
}

# Losses whose logits are volumes or areas, which range over about 1, use the second scale; cosines range over 2.
VOLUME_SCALED = frozenset({"gram", "triangle"})


def as_feature_loss(loss: str | Callable[..., torch.Tensor], **options: Any) -> FeatureLoss:
    """Give every loss one shape: features in, scalar out.

    A loss of `LOSSES` names its inputs after the fields of `Features` (image, text, signal, logit_scale,
    reconstruction_mv, signal_mv), so each argument is filled from the field of its name. Losses on volumes take
    `gram_logit_scale` as their `logit_scale`.

    Args:
        loss: a name of `LOSSES`, one of its functions, "objective" for the whole weighted sum, or your own function
            `f(features, **options) -> scalar`.
        options: keyword arguments bound to the loss, such as `kind="plane_distance"` for "gram".

    Returns:
        A function of `Features` that returns a scalar tensor, named after the loss.

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
    if name is None and callable(loss):
        return _named(lambda features: _scalar(loss(features, **options)), getattr(loss, "__name__", "loss"))
    if name == "objective":
        _check_options("objective", objective, options)
        return _named(lambda features: objective(features, **options).total, "objective")
    if name is None or name not in LOSSES:
        known = ", ".join([*LOSSES, "objective"])
        raise ArgumentError(
            f"no loss is called {loss!r}", field="loss", expected=f"one of {known}, or a function of Features"
        )
    return _from_fields(name, LOSSES[name], options)


def _from_fields(name: str, function: Callable[..., torch.Tensor], options: Mapping[str, Any]) -> FeatureLoss:
    """The loss with each argument that is named like a field of Features taken from there."""
    parameters = inspect.signature(function).parameters
    source = {field.name: field.name for field in fields(Features) if field.name in parameters}
    if name in VOLUME_SCALED:
        source["logit_scale"] = "gram_logit_scale"
    source = {argument: field for argument, field in source.items() if argument not in options}
    _check_options(name, function, options)

    def feature_loss(features: Features) -> torch.Tensor:
        arguments = {argument: getattr(features, field) for argument, field in source.items()}
        for argument, value in arguments.items():
            if value is None:
                raise ArgumentError(
                    f"the loss {name!r} needs {argument}, and the features have none",
                    field=argument,
                    expected=f"Features(..., {argument}=...)",
                    fix="train with a decoder, or choose a loss on embeddings",
                )
        return function(**arguments, **options)

    return _named(feature_loss, name)


def _check_options(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    known = list(inspect.signature(function).parameters)
    for option in options:
        if option not in known:
            raise ArgumentError(
                f"the loss {name!r} has no option {option!r}", field=option, expected=f"one of {', '.join(known)}"
            )


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


def _named(function: FeatureLoss, name: str) -> FeatureLoss:
    function.__name__ = name
    return function
