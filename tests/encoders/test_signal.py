"""The tiny signal tower."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgscan_lab.encoders.signal import TinySignalTower
from ecgscan_lab.errors import ArgumentError


@pytest.fixture(scope="module")
def tower() -> TinySignalTower:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TinySignalTower(embed_dim=8, width=16).eval()


@pytest.fixture
def signals_mv(rng) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(3, 12, 200)).astype(np.float32))


def test_one_finite_row_a_signal_that_repeats(tower, signals_mv):
    with torch.no_grad():
        features = tower(signals_mv)
        assert features.shape == (3, 8)
        assert features.dtype == torch.float32
        assert torch.isfinite(features).all()
        assert torch.equal(features, tower(signals_mv))
        assert torch.allclose(features[1:2], tower(signals_mv[1:2]), atol=1e-5), "whatever stands beside it"
        assert not torch.allclose(features[0], features[1], atol=1e-3)


@pytest.mark.parametrize(("n_samples", "n_tokens"), [(1, 1), (8, 1), (9, 2), (1000, 125), (999, 125), (1001, 126)])
def test_eight_samples_are_one_token(tower, n_samples, n_tokens):
    with torch.no_grad():
        tokens = tower.tokens(torch.zeros(2, 12, n_samples))
        assert tokens.shape == (2, n_tokens, tower.width)
        assert tower.pool(tokens).shape == (2, tower.embed_dim)


def test_the_summary_is_the_feature_and_three_moments_of_the_tokens(tower, signals_mv):
    with torch.no_grad():
        summary, tokens = tower.summarise(signals_mv), tower.tokens(signals_mv)
        assert summary.shape == (3, tower.d_summary)
        assert tower.d_summary == 8 + 3 * 16
        assert torch.equal(summary[:, :8], tower(signals_mv))
        mean, largest, spread = summary[:, 8:].split(16, dim=1)
    values = tokens.numpy()
    assert np.allclose(mean, values.mean(1), atol=1e-5)
    assert np.allclose(largest, values.max(1))
    assert np.allclose(spread, values.std(1), atol=1e-5)


def test_samples_that_were_not_recorded_count_as_baseline(tower, signals_mv):
    gap, flat = signals_mv.clone(), signals_mv.clone()
    gap[0, 3, 50:90], flat[0, 3, 50:90] = torch.nan, 0.0
    gap[1], flat[1] = torch.nan, 0.0
    with torch.no_grad():
        assert torch.equal(tower(gap), tower(flat))


def test_an_artefact_counts_as_five_millivolts_at_most(tower, signals_mv):
    huge, bounded = signals_mv.clone(), signals_mv.clone()
    huge[0, 0, 20], bounded[0, 0, 20] = 1e6, 5.0
    huge[1, 2, 30], bounded[1, 2, 30] = -torch.inf, -5.0
    with torch.no_grad():
        features = tower(huge)
        assert torch.equal(features, tower(bounded))
        assert (features.abs() < 1).all()


@pytest.mark.parametrize("shape", [(12, 100), (2, 11, 100), (2, 100, 12), (1, 1, 12, 100)])
def test_what_is_no_batch_of_twelve_leads_is_refused(tower, shape):
    with pytest.raises(ArgumentError, match=r"\[batch, 12, time\]") as caught:
        tower(torch.zeros(shape))
    assert caught.value.field == "signals_mv"


def test_gradient_reaches_every_weight(signals_mv):
    tower = TinySignalTower(embed_dim=8, width=16)
    tower(signals_mv).square().sum().backward()
    assert [name for name, p in tower.named_parameters() if p.grad is None or not p.grad.any()] == []
