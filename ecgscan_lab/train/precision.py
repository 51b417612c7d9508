"""Where to compute, and in which precision."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch


def pick_device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 autocast where the hardware has it; else float32.

    A T4 says that it supports bfloat16 but emulates it, and a CPU without the instructions is slower with it than
    without, so both are asked for the real thing.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        asks = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private, so it may move
        native = device.type == "cpu" and asks is not None and asks()
    return torch.autocast(device.type, torch.bfloat16) if native else contextlib.nullcontext()
