"""The optimiser of everything that is trained here, and of what a loss is tried with."""

from __future__ import annotations

import inspect
from typing import Any

import torch


class LeanAdamW(torch.optim.AdamW):
    """AdamW that leaves torch's compiler where it is.

    torch's optimisers load the compiler when they are made, and at their first step, to tell it to stay away: 1.3 s
    and 150 MiB. Here both go straight to what they do. Layers and losses can be compiled as before.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _spare_the_compiler()
        super().__init__(*args, **kwargs)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update, as AdamW's; a closure is not taken."""
        with torch.no_grad():
            inspect.unwrap(torch.optim.AdamW.step)(self)


def _spare_the_compiler() -> None:
    """Tell the methods that would ask the compiler what it would answer: themselves. Others stay as they are."""
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if plain is not None and not hasattr(plain, "__dynamo_disable"):
            setattr(plain, "__dynamo_disable", plain)
