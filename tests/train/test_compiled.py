from __future__ import annotations

import pytest
import torch
from torch import nn

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.train.compiled import compile_blocks


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # torch's own, while it traces
def test_each_repeated_layer_is_compiled_once_and_the_result_is_the_same():
    torch.manual_seed(0)
    decoder = QueryDecoder(40, 8, 3, 2)
    latent = torch.randn(2, 8)
    plain = decoder(latent)
    names = list(decoder.state_dict())
    assert compile_blocks(decoder, backend="eager") == 3
    assert torch.allclose(decoder(latent), plain, atol=1e-6)
    assert list(decoder.state_dict()) == names
    assert all(layer._compiled_call_impl is not None for layer in decoder.encoder.layers)


def test_layers_within_layers_are_left_to_the_outer_one():
    def layer():
        return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))

    model = nn.Module()
    model.layers = nn.ModuleList([layer(), layer(), layer()])
    assert compile_blocks(model, backend="eager") == 3
    assert model.layers[0][0]._compiled_call_impl is None


def test_a_model_without_repeated_layers_is_compiled_whole():
    model = nn.Sequential(nn.Linear(2, 3), nn.GELU())
    assert compile_blocks(model, backend="eager") == 1
    assert model._compiled_call_impl is not None
