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


def with_columns(n_samples: int = 80, **options) -> QueryDecoder:
    """One query for each of ten columns; its layers speak, as they do once trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = QueryDecoder(n_samples, dim=8, layers=1, heads=2, column_dim=6, **options)
        for layer in (decoder.head, decoder.direct, decoder.mask):
            nn.init.normal_(getattr(layer, "weight", layer))
    return decoder.eval()


def test_a_decoder_of_columns_begins_with_a_flat_line():
    decoder = QueryDecoder(80, dim=8, layers=1, heads=2, column_dim=6)
    assert not decoder(torch.randn(3, 8), columns=torch.randn(3, 6, 10)).any()


def test_a_column_speaks_at_its_moment():
    decoder = with_columns()
    nn.init.zeros_(decoder.head.weight)  # the Transformer may carry it anywhere
    columns = torch.randn(1, 6, 10, generator=torch.Generator().manual_seed(1))
    changed = columns.clone()
    changed[:, :, 4] += 1.0
    with torch.no_grad():
        moved = decoder(torch.zeros(1, 8), columns=columns) - decoder(torch.zeros(1, 8), columns=changed)
    by_query = moved.abs().amax(1).view(10, 8).amax(1)
    assert by_query.nonzero().flatten().tolist() == [3, 4, 5], "the column and its neighbours"


@pytest.mark.parametrize("n_columns", [10, 7, 23])
def test_columns_of_any_number_are_spread_over_the_queries(n_columns):
    decoder = with_columns()
    nn.init.zeros_(decoder.head.weight)
    columns = torch.zeros(2, 6, n_columns)
    columns[1, :, : n_columns // 2] = 5.0
    with torch.no_grad():
        signal = decoder(torch.zeros(2, 8), columns=columns)
    assert signal.shape == (2, 12, 80)
    moved = (signal[1] - signal[0]).abs().amax(0)
    assert moved[:16].min() > 0
    assert not moved[64:].any()


@pytest.mark.parametrize(("n_samples", "n_columns"), [(80, 10), (75, 10), (1000, 56), (80, 23)])
def test_without_a_span_columns_are_spread_from_edge_to_edge(n_samples, n_columns):
    decoder = QueryDecoder(n_samples, 8, 1, 2, column_dim=6)
    x = torch.randn(2, 8, n_columns, generator=torch.Generator().manual_seed(0))
    wanted = torch.nn.functional.interpolate(x, size=len(decoder.queries), mode="linear")
    assert torch.allclose(x @ decoder._between(n_columns).float(), wanted, atol=1e-5)


def test_with_a_span_every_query_reads_where_its_samples_are_printed():
    decoder = QueryDecoder(1000, 8, 1, 2, samples_per_query=18, column_dim=6, column_span=(0.1, 0.9))
    place = torch.arange(50.0, dtype=torch.float64) @ decoder._between(50)
    middles_s = (torch.arange(56) * 0.18 + 0.09).clamp(max=10.0)
    assert torch.allclose(place, (5.0 + 40.0 * middles_s.double() / 10.0 - 0.5), atol=0.05)
    assert torch.allclose(decoder._between(50).sum(0), torch.ones(56, dtype=torch.float64))


def test_masked_queries_forget_their_columns():
    decoder = with_columns()
    masked = torch.zeros(2, 10, dtype=torch.bool)
    masked[:, 3:5] = True
    columns = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(1))
    decoder.encoder = nn.Identity()  # or the neighbours tell
    decoder.positions.data.zero_()
    with torch.no_grad():
        signal = decoder(torch.randn(2, 8), columns=columns, masked=masked)
    assert torch.equal(signal[0, :, 24:40], signal[1, :, 24:40])
    assert not torch.equal(signal[0, :, :24], signal[1, :, :24])


def test_one_strip_of_columns_becomes_another_lead_at_another_moment():
    """As on a page of three rows: the same place shows one lead early and another one late."""
    torch.manual_seed(0)
    decoder = QueryDecoder(80, dim=16, layers=1, heads=2, column_dim=2)
    optimizer = torch.optim.Adam(decoder.parameters(), 0.02)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        columns = torch.randn(32, 2, 10, generator=generator)
        shown = columns[:, 0].repeat_interleave(8, 1)
        target = torch.zeros(32, 12, 80)
        target[:, 0, :40], target[:, 1, 40:] = shown[:, :40], shown[:, 40:]
        error = (decoder(torch.zeros(32, 16), columns=columns) - target).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert float(error.detach()) < 0.05 * float(target.square().mean())


def test_gradient_reaches_every_weight_of_a_decoder_of_columns():
    decoder = with_columns(token_dim=5, mask_share=0.5).train()
    inputs = {"tokens": torch.randn(3, 4, 5), "columns": torch.randn(3, 6, 10, requires_grad=True)}
    decoder(torch.randn(3, 8), torch.Generator().manual_seed(0), **inputs).square().sum().backward()
    assert inputs["columns"].grad.any()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("columns", [None, torch.zeros(2, 5, 10), torch.zeros(1, 6, 10), torch.zeros(2, 6)])
def test_columns_of_another_size_are_refused(columns):
    with pytest.raises(ArgumentError) as caught:
        with_columns()(torch.zeros(2, 8), columns=columns)
    assert caught.value.field == "columns"
    with pytest.raises(ArgumentError, match="reads no columns"):
        QueryDecoder(8, dim=8, layers=1, heads=2)(torch.zeros(2, 8), columns=torch.zeros(2, 6, 10))
