"""The query-token decoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import limb_law_residuals
from ecgscan_lab.losses import violation_loss


def transparent(n_samples: int, mask_share: float = 0.25) -> QueryDecoder:
    """A decoder whose Transformer and head pass tokens on, with queries that tell their own place."""
    decoder = QueryDecoder(n_samples, dim=96, layers=1, heads=2, mask_share=mask_share)
    decoder.encoder = decoder.head = nn.Identity()
    with torch.no_grad():
        decoder.positions.zero_()
        decoder.queries.copy_(1000.0 * torch.arange(len(decoder.queries))[:, None] + torch.arange(96.0))
    return decoder


@pytest.mark.parametrize(("n_samples", "n_queries"), [(1, 1), (8, 1), (9, 2), (1000, 125), (5000, 625)])
def test_eight_samples_are_one_query(n_samples, n_queries):
    decoder = QueryDecoder(n_samples, dim=8, layers=1, heads=2)
    assert decoder.queries.shape == decoder.positions.shape == (n_queries, 8)
    with torch.no_grad():
        assert decoder(torch.zeros(2, 8)).shape == (2, 12, n_samples)


def test_query_q_speaks_lead_l_sample_k_at_time_8q_plus_k():
    with torch.no_grad():
        signal = transparent(20)(torch.zeros(2, 96))
    assert signal.shape == (2, 12, 20)
    for q in range(3):
        for lead in range(12):
            for k in range(8 if q < 2 else 4):
                assert signal[1, lead, 8 * q + k] == 1000 * q + 8 * lead + k


def test_latent_and_position_are_added_to_every_query():
    decoder = transparent(16)
    latent = torch.zeros(2, 96)
    latent[1] = 0.5
    with torch.no_grad():
        decoder.positions[1] = 0.25
        base = transparent(16)(torch.zeros(1, 96))[0]
        signal = decoder(latent)
    assert torch.equal(signal[0, :, :8], base[:, :8])
    assert torch.equal(signal[0, :, 8:], base[:, 8:] + 0.25)
    assert torch.equal(signal[1], signal[0] + 0.5)


def test_masked_queries_forget_the_latent_but_keep_their_position():
    decoder = transparent(8000, mask_share=0.25)
    with torch.no_grad():
        decoder.queries.fill_(1.0)
        decoder.mask.fill_(-7.0)
        decoder.positions.fill_(0.5)
        signal = decoder(torch.full((2, 96), 2.0), torch.Generator().manual_seed(0))
    assert set(signal.unique().tolist()) == {-6.5, 3.5}
    masked = signal[:, 0, ::8] == -6.5
    assert abs(float(masked.float().mean()) - 0.25) < 0.04
    assert not torch.equal(masked[0], masked[1]), "every record has a mask of its own"


def test_only_a_generator_masks_and_it_repeats():
    decoder = QueryDecoder(100, dim=8, layers=1, heads=2, mask_share=0.5)
    nn.init.normal_(decoder.mask)
    latent = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))

    def decode(seed: int | None) -> torch.Tensor:
        return decoder(latent, None if seed is None else torch.Generator().manual_seed(seed))

    assert torch.equal(decode(None), decode(None))
    assert torch.equal(decode(3), decode(3))
    assert not torch.allclose(decode(3), decode(4))
    assert not torch.allclose(decode(3), decode(None))
    decoder.mask_share = 0.0
    assert torch.equal(decode(3), decode(None))


def test_size_at_the_papers_scale():
    with torch.device("meta"):
        decoder = QueryDecoder(5000, dim=768, layers=12, heads=12)
    d, queries = 768, 625
    layer = 12 * d**2 + 13 * d  # attention 4 d² + 4 d, feed-forward 8 d² + 5 d, two norms 4 d
    expected = 12 * layer + 2 * d + 2 * queries * d + d + (d + 1) * 96
    assert sum(p.numel() for p in decoder.parameters()) == expected
    assert round(expected / 1e6, 1) == 86.1


def test_gradient_reaches_every_weight():
    decoder = QueryDecoder(64, dim=8, layers=2, heads=2, mask_share=0.5)
    latent = torch.randn(3, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    decoder(latent, torch.Generator().manual_seed(0)).square().sum().backward()
    assert latent.grad is not None
    assert latent.grad.any()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_eight_decoded_leads_make_twelve_that_obey_every_law():
    torch.manual_seed(0)
    decoder = QueryDecoder(100, dim=16, layers=1, heads=2, independent_leads=True)
    free = QueryDecoder(100, dim=16, layers=1, heads=2)
    assert decoder.head.out_features == 64
    assert free.head.out_features == 96
    latent = torch.randn(2, 16)
    signal = decoder(latent)
    assert signal.shape == (2, 12, 100)
    for law, residual in limb_law_residuals(signal.detach()).items():
        assert float(residual.abs().max()) < 1e-6, law
    assert float(violation_loss(signal).detach()) < 1e-12 < float(violation_loss(free(latent)).detach())
    signal.square().sum().backward()
    assert decoder.head.weight.grad.abs().sum(dim=1).min() > 0, "every decoded lead is trained"


@pytest.mark.parametrize(("n_samples", "heads", "field"), [(0, 2, "n_samples"), (8, 3, "heads")])
def test_an_impossible_decoder_is_refused(n_samples, heads, field):
    with pytest.raises(ArgumentError) as caught:
        QueryDecoder(n_samples, dim=8, layers=1, heads=heads)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"norm": "both"}, "norm"),
        ({"activation": "tanh"}, "activation"),
        ({"samples_per_query": 0}, "samples_per_query"),
        ({"mask_share": 1.0}, "mask_share"),
    ],
)
def test_an_unknown_option_is_refused(options, field):
    with pytest.raises(ArgumentError) as caught:
        QueryDecoder(8, dim=8, layers=1, heads=2, **options)
    assert caught.value.field == field
