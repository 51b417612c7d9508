"""The optimiser and its learning rate."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.train.schedule import adamw, learning_rate, take_step


@pytest.mark.parametrize(("steps", "warmup_share"), [(100, 0.1), (100, 0.0), (7, 0.3), (1, 0.1), (12, 1.0)])
def test_the_rate_rises_to_its_peak_and_falls_to_almost_nothing(steps, warmup_share):
    rates = np.array([learning_rate(step, steps, 2e-3, warmup_share) for step in range(steps)])
    assert rates.max() == pytest.approx(2e-3)
    assert (rates > 0).all()
    top = int(rates.argmax())
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) <= 0).all()
    if steps == 100:
        assert rates[-1] < 2e-6
        assert top == max(0, round(warmup_share * steps) - 1)


def test_half_way_down_the_cosine_is_half_the_peak():
    assert learning_rate(55, 100, 1.0, 0.1) == pytest.approx(0.5)


def test_only_matrices_and_kernels_decay():
    model = EcgScanModel(
        TinyImageTower(width=2, size=(32, 64)), QueryDecoder(16, dim=4, layers=1, heads=1), d_text=3, d_shared=4
    )
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, spared = adamw(model, 1e-3, 0.05).param_groups
    assert decayed["weight_decay"] == 0.05
    assert spared["weight_decay"] == 0.0
    decayed_names, spared_names = ({names[id(p)] for p in group["params"]} for group in (decayed, spared))
    assert decayed_names | spared_names == set(names.values())
    assert decayed_names.isdisjoint(spared_names)
    assert {"tower.stem.0.weight", "project_text.0.weight", "decoder.head.weight"} <= decayed_names
    assert "decoder.encoder.layers.0.self_attn.in_proj_weight" in decayed_names
    assert {"log_logit_scale", "log_gram_logit_scale", "decoder.queries", "decoder.positions"} <= spared_names
    assert {"decoder.mask", "tower.stem.1.weight", "decoder.encoder.norm.weight"} <= spared_names
    assert all(name in spared_names for name in names.values() if name.endswith("bias"))


def test_frozen_weights_are_not_optimised():
    decoder = QueryDecoder(8, dim=4, layers=1, heads=1).requires_grad_(False)
    decoder.head.requires_grad_(True)
    groups = adamw(decoder, 1e-3, 0.05).param_groups
    assert [[p.shape for p in group["params"]] for group in groups] == [[(96, 4)], [(96,)]]


def test_a_step_clips_and_returns_the_norm_before():
    layer = nn.Linear(2, 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=123.0)
    before = layer.weight.detach().clone()
    norm = take_step(optimizer, (layer.weight * torch.tensor([3.0, 4.0])).sum(), lr=0.5, clip_norm=1.0)
    assert norm == pytest.approx(5.0)
    assert torch.allclose(before - layer.weight.detach(), 0.5 * torch.tensor([[0.6, 0.8]]), atol=1e-5)
    before = layer.weight.detach().clone()
    norm = take_step(optimizer, (layer.weight * torch.tensor([0.3, 0.4])).sum(), lr=0.5, clip_norm=1.0)
    assert norm == pytest.approx(0.5), "gradients do not add up over steps"
    assert torch.allclose(before - layer.weight.detach(), 0.5 * torch.tensor([[0.3, 0.4]]), atol=1e-5)


def test_an_optimiser_does_not_load_the_compiler_and_takes_the_same_steps():
    code = """
import sys, torch
from ecgscan_lab.train.schedule import adamw, take_step
layer = torch.nn.Linear(2, 1, bias=False)
torch.nn.init.ones_(layer.weight)
optimizer = adamw(layer, 1e-2, 0.0)
for _ in range(3):
    take_step(optimizer, layer(torch.ones(1, 2)).square().sum(), 1e-2, 1.0)
optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules, len(optimizer.state), layer.weight[0, 0].item())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    loaded, states, weight = found.stdout.split()
    assert loaded == "False"
    assert states == "1"
    assert float(weight) == pytest.approx(0.97, abs=1e-4)  # Adam's first steps are as long as the rate


def test_the_steps_are_those_of_adamw_to_the_bit():
    layers = [nn.Linear(5, 3), nn.Linear(5, 3)]
    layers[1].load_state_dict(layers[0].state_dict())
    ours = adamw(layers[0], 1e-2, 0.1)
    theirs = torch.optim.AdamW(
        [{"params": [layers[1].weight], "weight_decay": 0.1}, {"params": [layers[1].bias], "weight_decay": 0.0}],
        lr=1e-2,
    )
    for step in range(4):
        x = torch.randn(7, 5, generator=torch.Generator().manual_seed(step))
        for layer, optimizer in zip(layers, (ours, theirs), strict=True):
            take_step(optimizer, layer(x).square().mean(), 1e-2, 1.0)
    for left, right in zip(layers[0].parameters(), layers[1].parameters(), strict=True):
        assert torch.equal(left, right)
        assert left.grad is not None
    read = adamw(layers[1], 1e-2, 0.1)
    read.load_state_dict(ours.state_dict())
    assert str(read.state_dict()) == str(ours.state_dict())
