"""Recipes, the signal teacher, the training loop and its checkpoints."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["paper", "paper_plus", "ptbxl_laptop", "quick", "tiny"]


def __getattr__(name: str) -> Any:
    """Recipes when they are asked for: they load torch, which the command line's help must not wait for."""
    if name in __all__:
        return getattr(importlib.import_module("ecgscan_lab.train.recipes"), name)
    raise AttributeError(f"module 'ecgscan_lab.train' has no attribute {name!r}")
