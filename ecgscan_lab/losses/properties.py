"""What `check_loss` looks at: one function a property, which returns what it saw or raises `Broken`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import torch

from ecgscan_lab.lean_adamw import LeanAdamW
from ecgscan_lab.losses.trial import (
    EMBEDDINGS,
    FIELDS,
    MODALITIES,
    Broken,
    Subject,
    all_in_one_point,
    all_zeros,
    generators_kept,
    modalities_equal,
    one_record,
    one_row_of_zeros,
    scale_of_a_million,
    scale_of_a_millionth,
    two_records_alike,
)
from ecgscan_lab.types import Features

_HALF_TOLERANCE = 0.05
_DRAWS = 5


class Property(NamedTuple):
    """A property by name, what it means when it is missing, and how to look for it.

    `look` returns what it saw, or None where the property does not apply, and raises `Broken` where it does not hold.
    Without an `essential` property the ones after it are not tried.
    """

    name: str
    required: bool
    meaning: str
    look: Callable[[Subject], str | None]
    essential: bool = False


def _scalar(subject: Subject) -> str:
    value = subject.loss(subject.features())
    if not isinstance(value, torch.Tensor):
        raise Broken(f"it returns a {type(value).__name__}, not a tensor")
    if value.numel() != 1 or not value.is_floating_point():
        raise Broken(f"it returns shape {tuple(value.shape)} of {value.dtype}")
    if not bool(torch.isfinite(value)):
        raise Broken(f"it is {float(value)} on ordinary features")
    return f"{float(value.detach()):.4g} on random matched features"


def _differentiable(subject: Subject) -> str:
    if not subject.claimed:
        raise Broken("it reads none of image, text, signal and reconstruction_mv")
    gradients = subject.with_gradients(subject.features())[1]
    arrived = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    if not arrived:
        raise Broken("no gradient arrives: look for .item(), float(), .detach(), NumPy or a comparison")
    for name, gradient in arrived.items():
        if not bool(torch.isfinite(gradient).all()):
            raise Broken(f"the gradient of {name} is not finite on ordinary features")
    return "backward works"


def _reaches(subject: Subject) -> str:
    gradients = subject.with_gradients(subject.features())[1]
    norms = {name: 0.0 if gradient is None else float(gradient.norm()) for name, gradient in gradients.items()}
    lost = [name for name, norm in norms.items() if norm < 1e-8]
    if lost:
        raise Broken(f"none reaches {', '.join(lost)}")
    return ", ".join(f"{name} {norm:.2g}" for name, norm in norms.items())


def _finite(*cases: Callable[[Features], Features]) -> Callable[[Subject], str]:
    def look(subject: Subject) -> str:
        for case in cases:
            value, gradients = subject.with_gradients(case(subject.features()))
            where = case.__name__.strip("_").replace("_", " ")
            if not np.isfinite(value):
                raise Broken(f"the value is {value}: {where}")
            for name, gradient in gradients.items():
                if gradient is not None and not bool(torch.isfinite(gradient).all()):
                    raise Broken(f"the value is {value:.3g} and the gradient of {name} is not finite: {where}")
        return ", ".join(case.__name__.strip("_").replace("_", " ") for case in cases)

    return look


def _gradcheck(subject: Subject) -> str:
    features = subject.features(batch=3, dim=4, dtype=torch.float64)
    many = "reconstruction_mv" in subject.claimed  # then along random directions, not one input at a time
    leaves = [getattr(features, name).clone().requires_grad_() for name in subject.claimed]

    def function(*rows: torch.Tensor) -> Any:
        return subject.loss(dataclasses.replace(features, **dict(zip(subject.claimed, rows, strict=True)))).reshape(())

    if function(*leaves).dtype == torch.float64:
        try:
            torch.autograd.gradcheck(function, leaves, eps=1e-6, atol=1e-5, rtol=1e-3, fast_mode=many)
        except RuntimeError as error:  # GradcheckError is one
            raise Broken("in float64 it differs from finite differences") from error
        return "equals finite differences in float64"
    generator = torch.Generator().manual_seed(subject.seed)
    direction = [torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype) for leaf in leaves]
    gradients = torch.autograd.grad(function(*leaves), leaves, allow_unused=True)
    slope = sum(float((g * u).sum()) for g, u in zip(gradients, direction, strict=True) if g is not None)
    ends = [
        float(function(*(leaf.detach() + sign * 1e-2 * u for leaf, u in zip(leaves, direction, strict=True))))
        for sign in (1, -1)
    ]
    measured = (ends[0] - ends[1]) / 2e-2
    if abs(slope - measured) > 0.05 * max(abs(slope), abs(measured)) + 1e-3:
        raise Broken(f"along a random direction it is {slope:.4g}, and finite differences give {measured:.4g}")
    return "equals finite differences, in float32 only: it leaves float64"


def _order(subject: Subject) -> str:
    features = subject.features(dtype=torch.float64)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    rows = {name: getattr(features, name)[order] for name in (*MODALITIES, "signal_mv")}
    return _same(subject, features, dataclasses.replace(features, **rows), "when the records are shuffled")


def _half(subject: Subject) -> str:
    seen = []
    for dtype, name in ((torch.bfloat16, "bfloat16"), (torch.float16, "float16")):
        rounded = {n: getattr(subject.features(), n).to(dtype) for n in MODALITIES}
        features = dataclasses.replace(subject.features(), **rounded)
        value, gradients = subject.with_gradients(features, autocast=dtype)
        exact = subject.value(dataclasses.replace(features, **{n: rows.float() for n, rows in rounded.items()}))
        bad = [n for n, g in gradients.items() if g is not None and not bool(torch.isfinite(g).all())]
        if bad or not abs(value - exact) <= _HALF_TOLERANCE * (1 + abs(exact)):
            what = f"the gradient of {bad[0]} is not finite" if bad else f"it is {value:.4g}, not {exact:.4g}"
            raise Broken(f"under {name} autocast {what}")
        seen.append(f"{name} off by {abs(value - exact):.1g}")
    return ", ".join(seen)


def _pure(subject: Subject) -> str:
    with generators_kept() as moved:
        values = [subject.value(subject.features()) for _ in range(2)]
        if values[0] != values[1]:
            raise Broken(f"{values[0]:.6g}, then {values[1]:.6g} for the same features")
        if moved():
            raise Broken("it draws from a global random generator")
    return "same value twice, no global generator moved"


def _keeps_input(subject: Subject) -> str:
    features = subject.features()
    before = {name: getattr(features, name).clone() for name in FIELDS}
    subject.value(features)
    changed = [name for name in FIELDS if not torch.equal(getattr(features, name), before[name])]
    if changed:
        raise Broken(f"it overwrites {', '.join(changed)}")
    return "features are as they were"


def _matched(subject: Subject) -> str | None:
    anchor = _anchor(subject)
    if anchor is None:
        return None
    lost = 0
    # A product of three, for instance, tells partners from strangers only where entries do not cancel.
    for condition in ("", ", when no entry is negative"):
        gaps = []
        for draw in range(_DRAWS):
            features = subject.features(draw)
            if condition:
                positive = {name: getattr(features, name).abs() for name in EMBEDDINGS}
                features = dataclasses.replace(features, **positive)
            strangers = dataclasses.replace(features, **{anchor: getattr(features, anchor).roll(1, 0)})
            gaps.append(subject.value(strangers) - subject.value(features))
        if min(gaps) > 0:
            return f"strangers cost {np.mean(gaps):.3g} more than partners{condition}"
        lost = lost or sum(not gap > 0 for gap in gaps)
    raise Broken(f"in {lost} of {_DRAWS} draws strangers cost no more than partners")


def _descends(subject: Subject) -> str:
    strangers = subject.features(batch=8)
    shuffled = {name: getattr(strangers, name).roll(k, 0) for k, name in enumerate(subject.claimed)}
    leaves = {name: rows.clone().requires_grad_() for name, rows in shuffled.items()}
    features = dataclasses.replace(strangers, **leaves)
    optimizer = LeanAdamW(list(leaves.values()), lr=0.05, weight_decay=0.0)  # without decay it is Adam
    first = subject.value(features)
    for _ in range(40):
        optimizer.zero_grad()
        subject.loss(features).sum().backward()
        optimizer.step()
    last = subject.value(features)
    if not last < first - 1e-3 * abs(first):
        raise Broken(f"40 steps of Adam take it from {first:.4g} to {last:.4g}")
    return f"40 steps of Adam take it from {first:.4g} to {last:.4g}"


def _rotation(subject: Subject) -> str | None:
    if not subject.embeddings:
        return None
    features = subject.features(dtype=torch.float64)
    q = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64))[0]
    turned = {name: getattr(features, name) @ q for name in EMBEDDINGS}
    return _same(subject, features, dataclasses.replace(features, **turned), "when all modalities are rotated alike")


def _length(subject: Subject) -> str | None:
    if not subject.embeddings:
        return None
    features = subject.features(dtype=torch.float64)
    factors = torch.linspace(0.5, 4.0, 6, dtype=torch.float64)[:, None]
    scaled = {name: getattr(features, name) * factors for name in EMBEDDINGS}
    return _same(subject, features, dataclasses.replace(features, **scaled), "when rows get longer or shorter")


def _sign(subject: Subject) -> str | None:
    names = subject.embeddings
    if len(names) < 2:
        return None
    blind = []
    for n_flipped in range(1, len(names)):
        for flipped in combinations(names, n_flipped):
            pairs = []
            for draw in range(_DRAWS):
                features = subject.features(draw, dtype=torch.float64)
                opposite = dataclasses.replace(features, **{name: -getattr(features, name) for name in flipped})
                pairs.append((subject.value(features), subject.value(opposite)))
            if not all(after > before + 1e-6 * abs(before) for before, after in pairs):
                blind.append(" and ".join(flipped))
    if blind:
        raise Broken(f"no worse when these turn into their opposite: {'; '.join(blind)}")
    return "worse when a modality turns into its opposite"


def _anchor(subject: Subject) -> str | None:
    """The field to mismatch: an embedding with a partner to miss, or the reconstruction with its target."""
    if len(subject.embeddings) > 1:
        return subject.embeddings[0]
    return "reconstruction_mv" if {"reconstruction_mv", "signal_mv"} <= set(subject.reads) else None


def _same(subject: Subject, features: Features, changed: Features, when: str) -> str:
    before, after = subject.value(features), subject.value(changed)
    if not abs(after - before) <= 1e-5 * (1 + abs(before)):
        raise Broken(f"{before:.5g} becomes {after:.5g} {when}")
    return f"unchanged {when}"


PROPERTIES = (
    Property("one finite number", True, "There is nothing to minimise.", _scalar, essential=True),
    Property("leaves its input alone", True, "The next loss in the sum sees other features.", _keeps_input),
    Property("differentiable", True, "The optimiser gets no direction and nothing is learned.", _differentiable, True),
    Property(
        "gradient reaches all it reads",
        True,
        "That modality's projection is never trained. A gradient stopped on purpose is declared: uses=(...).",
        _reaches,
    ),
    Property(
        "gradient is the derivative",
        True,
        "Steps do not go downhill: a stopped gradient, a rounding operation, or a wrong backward.",
        _gradcheck,
    ),
    Property(
        "finite at collapse",
        True,
        "Training ends in NaN when embeddings meet: clamp at zero and add a little inside the root or divisor.",
        _finite(modalities_equal, all_in_one_point),
    ),
    Property(
        "finite for duplicates",
        True,
        "Records with equal reports are common in a batch; one such pair would end the run.",
        _finite(two_records_alike),
    ),
    Property(
        "finite for zero rows",
        True,
        "A dead row ends the run: normalise with a guard, as losses.contrastive.unit_rows does.",
        _finite(one_row_of_zeros, all_zeros),
    ),
    Property(
        "finite at 1e-6 and 1e6",
        True,
        "Fresh or fast-growing projections overflow or divide by nothing: normalise first.",
        _finite(scale_of_a_millionth, scale_of_a_million),
    ),
    Property(
        "finite for a batch of one", True, "The last batch of an epoch may hold a single record.", _finite(one_record)
    ),
    Property(
        "agrees in half precision",
        True,
        "Rounding changes it under autocast: compute in float32 within torch.autocast(..., enabled=False).",
        _half,
    ),
    Property(
        "pure", True, "Two runs from one seed differ, and comparisons with other losses are no longer paired.", _pure
    ),
    Property("matched below mismatched", True, "Nothing in it pulls partners together.", _matched),
    Property("descent lowers it", True, "The optimiser follows the gradient and gets nowhere.", _descends),
    Property(
        "tells z from -z",
        False,
        "An image opposite to its report counts as aligned; retrieval by cosine then looks at the wrong end.",
        _sign,
    ),
    Property(
        "order of the batch is free",
        False,
        "Its value depends on where records stand in the batch, as with negatives taken from the next place.",
        _order,
    ),
    Property(
        "rotation invariant",
        False,
        "It prefers some axes: features may align with coordinates rather than with partners.",
        _rotation,
    ),
    Property(
        "row length is free",
        False,
        "It can be lowered by growing or shrinking embeddings, which cosine retrieval does not see.",
        _length,
    ),
)
