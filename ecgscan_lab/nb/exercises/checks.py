"""The checks that most exercises need: value, shape, gradient, invariance; each says what it saw and what it wanted."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ecgscan_lab.nb.exercises.exercise import Check

Arguments = tuple[Any, ...]


def value_check(
    expected: Callable[..., Any],
    cases: Sequence[Arguments],
    *hints: str,
    tolerance: float = 1e-4,
    about: str = "value",
    crash: str = "",
) -> Check:
    """The answer returns what another function does, at each of several arguments.

    Args:
        expected: the library's function, or another that is right.
        cases: tuples of arguments: numbers, arrays or tensors, copied before each call.
        *hints: from a nudge to nearly everything.
        tolerance: largest difference allowed, absolute.
        about: what this value stands for.
        crash: said when the answer raises here.
    """

    def problem(answer: Callable[..., Any]) -> str | None:
        for case in cases:
            got, wanted = as_array(answer(*copied(case))), as_array(expected(*copied(case)))
            if got.shape != wanted.shape:
                return f"for {shown(case)} it returns shape {got.shape}, expected {wanted.shape}."
            if not np.allclose(got, wanted, rtol=0, atol=tolerance):  # NaN is close to nothing
                worst = int(np.argmax(np.where(np.isnan(got), np.inf, np.abs(got - wanted))))
                place = f" at index {worst}" if wanted.size > 1 else ""
                return f"for {shown(case)} it gives {got.flat[worst]:.4g}{place}, expected {wanted.flat[worst]:.4g}."
        return None

    return Check(about, problem, hints, crash)


def percent_check(expected: Callable[..., Any], cases: Sequence[Arguments], *, tolerance: float = 1e-6) -> Check:
    """The answer is not the right share of 1 in place of a percentage; whatever else it may be, other checks say.

    Args:
        expected: what returns the percentage.
        cases: tuples of arguments, as for `value_check`.
        tolerance: largest difference allowed, absolute, of the shares.
    """

    def problem(answer: Callable[..., Any]) -> str | None:
        for case in cases:
            got, wanted = as_array(answer(*copied(case))), as_array(expected(*copied(case)))
            is_share = got.shape == wanted.shape and np.allclose(got, wanted / 100, rtol=0, atol=tolerance)
            if not is_share or not wanted.any():  # nothing in a hundred is nothing as a share, too
                return None
        return f"for {shown(case)} it gives {got.flat[0]:.4g}, which is the right share: return it as percent."

    return Check("unit", problem, ("percent run from 0 to 100: multiply by 100.",))


def shape_check(arguments: Arguments, shape: tuple[int, ...], *hints: str) -> Check:
    """The answer returns an array or tensor of this shape."""

    def problem(answer: Callable[..., Any]) -> str | None:
        got = as_array(answer(*copied(arguments))).shape
        return None if got == shape else f"for {shown(arguments)} it returns shape {got}, expected {shape}."

    return Check("shape", problem, hints)


def gradient_check(
    arguments: Arguments, *hints: str, wanted: Callable[[torch.Tensor], bool] | None = None, description: str = ""
) -> Check:
    """The gradient of the summed output is finite in every argument that is a floating-point tensor.

    Args:
        arguments: where it is taken.
        *hints: from a nudge to nearly everything.
        wanted: gradient -> whether it is also otherwise as it should be.
        description: of what it should be, "never negative".
    """

    def problem(answer: Callable[..., Any]) -> str | None:
        given = copied(arguments)
        inputs = [
            item.requires_grad_() for item in given if isinstance(item, torch.Tensor) and item.is_floating_point()
        ]
        total = answer(*given).sum()
        if total.grad_fn is None:
            return "its result does not depend on its input by torch operations, so there is no gradient."
        for gradient in torch.autograd.grad(total, inputs, allow_unused=True):
            if gradient is None:
                return "an input gets no gradient at all."
            if not bool(torch.isfinite(gradient).all()):
                return f"the gradient at {shown(arguments)} is {shown((gradient,))}: not finite."
            if wanted is not None and not wanted(gradient):
                return f"the gradient at {shown(arguments)} is {shown((gradient,))}, but should be {description}."
        return None

    return Check("gradient", problem, hints)


def invariance_check(
    arguments: Arguments, changed: Arguments, change: str, *hints: str, tolerance: float = 1e-4
) -> Check:
    """The answer returns the same for both arguments.

    Args:
        arguments: before.
        changed: after.
        change: what was done, as in "the report changes sign".
        *hints: from a nudge to nearly everything.
        tolerance: largest difference allowed, absolute.
    """

    def problem(answer: Callable[..., Any]) -> str | None:
        before, after = as_array(answer(*copied(arguments))), as_array(answer(*copied(changed)))
        if before.shape == after.shape and np.allclose(before, after, rtol=0, atol=tolerance):
            return None
        difference = float(np.abs(before - after).max()) if before.shape == after.shape else math.nan
        return f"it should stay the same when {change}, but changes by {difference:.3g}."

    return Check("invariance", problem, hints)


def number_check(
    expected: float, tolerance: float, *hints: str, known: Mapping[float, str] | None = None, unit: str = ""
) -> Check:
    """The answer is a number.

    Args:
        expected: the right one.
        tolerance: largest difference allowed, absolute.
        *hints: from a nudge to nearly everything.
        known: other numbers that a reader may come to -> what they are instead.
        unit: of the number.
    """

    def problem(answer: Any) -> str | None:
        try:
            got = float(answer)
        except (TypeError, ValueError):
            return f"{answer!r} is not a number."
        if abs(got - expected) <= tolerance:
            return None
        for number, meaning in (known or {}).items():
            if abs(got - number) <= tolerance:
                return f"{got:.4g}{unit} is {meaning}."
        side = "too high" if got > expected else "too low" if got < expected else "no number"
        return f"{got:.4g}{unit} is {side}."

    return Check("value", problem, hints)


def as_array(value: Any) -> np.ndarray:
    """An answer's result as a float64 array.

    Raises:
        TypeError: it is nothing that holds numbers.
    """
    if value is None:
        raise TypeError("it returns None: a return statement is missing")
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double()
    return np.asarray(value, dtype=np.float64)


def copied(arguments: Arguments) -> Arguments:
    """The arguments, copied, so that no answer can change what the next check sees."""
    return tuple(item.detach().clone() if isinstance(item, torch.Tensor) else copy.deepcopy(item) for item in arguments)


def shown(arguments: Arguments) -> str:
    """Arguments in a sentence: small ones in full, large ones by shape."""
    return ", ".join(_shown_one(item) for item in arguments)


def _shown_one(item: Any) -> str:
    if isinstance(item, (torch.Tensor, np.ndarray)):
        array = as_array(item)
        if array.size > 4:
            return f"an array of shape {array.shape}"
        values = ", ".join(f"{number:.4g}" for number in array.ravel())
        return values if array.ndim == 0 else f"[{values}]"
    return f"{item:.4g}" if isinstance(item, float) else str(item)
