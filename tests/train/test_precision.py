"""Where to compute, and in which precision."""

from __future__ import annotations

import contextlib

import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train.precision import autocast, loss_scaler, pick_device, pick_precision

ASKS = "_is_avx512_bf16_supported"


@pytest.mark.parametrize(("there", "kind"), [(True, "cuda"), (False, "cpu")])
def test_the_gpu_is_picked_when_there_is_one(there, kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert pick_device().type == kind


def test_a_cpu_with_bfloat16_computes_in_it(monkeypatch):
    monkeypatch.setattr(torch.cpu, ASKS, lambda: True, raising=False)
    with autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_a_cpu_without_bfloat16_stays_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, ASKS, lambda: False, raising=False)
    context = autocast(torch.device("cpu"))
    assert isinstance(context, contextlib.nullcontext)
    with context:
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_a_torch_that_does_not_tell_stays_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, ASKS, raising=False)
    assert isinstance(autocast(torch.device("cpu")), contextlib.nullcontext)


def test_a_gpu_that_emulates_bfloat16_stays_in_float32(monkeypatch):
    # A T4: "supported", unless one asks for the real thing.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert isinstance(autocast(torch.device("cuda")), contextlib.nullcontext)


def test_another_device_stays_in_float32():
    assert isinstance(autocast(torch.device("mps")), contextlib.nullcontext)


@pytest.mark.parametrize(
    ("native", "picked"), [(True, "bf16"), (False, "fp16")], ids=["A100", "T4, which says yes and emulates"]
)
def test_a_gpu_trains_in_what_it_has(monkeypatch, native, picked):
    def supported(including_emulation=True):
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert pick_precision(torch.device("cuda")) == picked
    assert pick_precision(torch.device("cuda"), "fp32") == "fp32"


def test_float16_needs_a_gpu():
    with pytest.raises(ArgumentError) as caught:
        pick_precision(torch.device("cpu"), "fp16")
    assert caught.value.field == "precision"


def test_only_float16_scales_its_loss(monkeypatch):
    made = []
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device: made.append(device) or "scaler")
    assert [loss_scaler(precision) for precision in ("fp32", "bf16", "fp16")] == [None, None, "scaler"]
    assert made == ["cuda"]
