"""The trainable model: what is embedded, and where gradients go."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.losses.objective import Weights, objective
from ecgscan_lab.types import TripleBatch

SIZE = (32, 64)


@pytest.fixture
def model() -> EcgScanModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = QueryDecoder(40, dim=8, layers=1, heads=2)
        return EcgScanModel(TinyImageTower(width=4, size=SIZE), decoder, d_text=6, d_shared=5)


@pytest.fixture
def batch() -> TripleBatch:
    generator = torch.Generator().manual_seed(0)
    return TripleBatch(
        images=torch.randint(0, 256, (4, 3, *SIZE), dtype=torch.uint8, generator=generator),
        signals_mv=torch.randn(4, 12, 40, generator=generator),
        signal_features=torch.randn(4, 5, generator=generator),
        text_features=torch.randn(4, 6, generator=generator),
        index=torch.arange(4),
    )


def test_features_are_what_the_objective_wants(model, batch):
    features = model(batch)
    assert features.image.shape == features.text.shape == features.signal.shape == (4, 5)
    assert features.reconstruction_mv.shape == features.signal_mv.shape == (4, 12, 40)
    assert features.signal is batch.signal_features
    assert features.signal_mv is batch.signals_mv
    assert features.image.abs().max() <= 1, "a tanh ends the projection"
    assert features.text.abs().max() <= 1
    assert float(features.logit_scale.detach()) == pytest.approx(1 / 0.07)
    assert float(features.gram_logit_scale.detach()) == pytest.approx(1 / 0.07)


def test_gradient_reaches_every_weight_and_no_frozen_feature(model, batch):
    objective(model(batch, torch.Generator().manual_seed(0)), Weights()).total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    frozen = (batch.images, batch.signals_mv, batch.signal_features, batch.text_features)
    assert not any(tensor.requires_grad or tensor.grad is not None for tensor in frozen)


def test_a_part_of_weight_zero_moves_nothing(model, batch):
    objective(model(batch), Weights(beta=0.0)).total.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.decoder.parameters())
    assert model.log_logit_scale.grad != 0
    model.zero_grad()
    objective(model(batch), Weights(alpha=0.0, theta=0.0)).total.backward()
    assert all(p.grad is None or not p.grad.any() for p in model.project_text.parameters())
    assert model.log_logit_scale.grad is None or model.log_logit_scale.grad == 0


def test_the_temperatures_are_separate_and_bounded(model, batch):
    with torch.no_grad():
        model.log_logit_scale.fill_(50.0)
        model.log_gram_logit_scale.fill_(-50.0)
        features = model(batch)
    assert float(features.logit_scale) == pytest.approx(100)
    assert float(features.gram_logit_scale) == pytest.approx(1)


def test_parts_agree_with_the_whole(model, batch):
    model.eval()
    with torch.no_grad():
        features = model(batch)
        assert torch.equal(model.image_embeddings(batch.images), features.image)
        assert torch.equal(model.reconstruct(batch.images), features.reconstruction_mv)
    texts = model.project_texts(batch.text_features.numpy())
    assert isinstance(texts, np.ndarray)
    assert texts.dtype == np.float32
    assert np.array_equal(texts, features.text.numpy())


def test_a_generator_masks_the_decoder_alone(model, batch):
    model.eval()
    with torch.no_grad():
        torch.nn.init.normal_(model.decoder.mask)
        plain, masked = model(batch), model(batch, torch.Generator().manual_seed(0))
    assert torch.equal(plain.image, masked.image)
    assert not torch.equal(plain.reconstruction_mv, masked.reconstruction_mv)
