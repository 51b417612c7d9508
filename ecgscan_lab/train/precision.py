"""Where to compute, and in which precision."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch

from ecgscan_lab.errors import ArgumentError

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_precision(device: torch.device, wanted: str = "auto") -> str:
    """The precision to train in: "bf16", "fp16" or "fp32".

    "auto" is bfloat16 where the hardware has it, else float16 with loss scaling on a GPU, else float32. A T4 says that
    it supports bfloat16 but emulates it, and a CPU without the instructions is slower with it than without, so both are
    asked for the real thing.

    Raises:
        ArgumentError: float16 on a CPU, which has no loss scaling to train with it.
    """
    if wanted == "fp16" and device.type != "cuda":
        raise ArgumentError(
            "float16 trains on a GPU only", field="precision", expected="auto, fp32 or bf16 on this machine"
        )
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    asks = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # private, so it may move
    return "bf16" if device.type == "cpu" and asks is not None and asks() else "fp32"


def autocast(device: torch.device, precision: str | None = None) -> AbstractContextManager[object]:
    """Autocast of a precision of `pick_precision`; without one, bfloat16 where it is native, else float32."""
    if precision is None:
        precision = pick_precision(device)
        precision = "fp32" if precision == "fp16" else precision  # which trains with loss scaling only
    return contextlib.nullcontext() if precision == "fp32" else torch.autocast(device.type, _TYPES[precision])


def loss_scaler(precision: str) -> torch.amp.GradScaler | None:
    """What keeps small gradients of float16 from vanishing; None where it is not needed."""
    return torch.amp.GradScaler("cuda") if precision == "fp16" else None
