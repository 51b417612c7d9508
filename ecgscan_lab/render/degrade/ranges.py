"""Numbers that know their limits: the fields of an effect, checked when it is made."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from ecgscan_lab.errors import ArgumentError

MAX_SEED = 2**31 - 1


def number(low: float, high: float, default: float) -> Any:
    """A float between two limits."""
    return dataclasses.field(default=default, metadata={"range": (low, high)})


def whole(low: int, high: int, default: int) -> Any:
    """An integer between two limits."""
    return dataclasses.field(default=default, metadata={"range": (low, high), "whole": True})


def seed() -> Any:
    """The integer from which the effect's noise fields or small shapes are drawn."""
    return whole(0, MAX_SEED, 0)


def word(*words: str) -> Any:
    """One of a few names; the first is the default."""
    return dataclasses.field(default=words[0], metadata={"words": words})


@dataclass(frozen=True)
class Effect:
    """Checks every field of an effect against the range that it declares."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            value, name = getattr(self, spec.name), f"{type(self).__name__}.{spec.name}"
            words = spec.metadata.get("words")
            if words is not None:
                if value not in words:
                    raise ArgumentError(f"{name} cannot be {value!r}", field=name, expected=f"one of {words}")
                continue
            low, high = spec.metadata["range"]
            integer = bool(spec.metadata.get("whole"))
            fits = isinstance(value, Integral if integer else Real) and not isinstance(value, bool)
            if not fits or not low <= float(value) <= high:
                noun = "an integer" if integer else "a number"
                raise ArgumentError(f"{name} cannot be {value!r}", field=name, expected=f"{noun} from {low} to {high}")
            object.__setattr__(self, spec.name, int(value) if integer else float(value))

    @property
    def neutral(self) -> bool:
        """Whether the effect leaves the page as it is: its first number has its neutral value."""
        first = dataclasses.fields(self)[0]
        return bool(getattr(self, first.name) == first.default)
