"""Options of the decoder: norms, widths, lengths, patch tokens, checkpointing, and masks of single records."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecgscan_lab.encoders import decoder as module
from ecgscan_lab.encoders.decoder import QueryDecoder, query_mask, sinusoids
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import limb_law_residuals

VARIANTS = {
    "pre": {},
    "post": {"norm": "post"},
    "relu": {"activation": "relu"},
    "narrow": {"feedforward": 6},
    "five samples a query": {"samples_per_query": 5},
    "eight leads": {"independent_leads": True},
    "tokens": {"token_dim": 7},
    "tokens, all options": {
        "token_dim": 7, "norm": "post", "activation": "relu", "samples_per_query": 3, "independent_leads": True,
        "feedforward": 6,
    },
}  # fmt: skip


def build(seed: int = 0, n_samples: int = 52, **options) -> QueryDecoder:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        decoder = QueryDecoder(n_samples, dim=8, layers=2, heads=2, mask_share=0.4, **options)
        torch.nn.init.normal_(decoder.mask)
    return decoder


def inputs(decoder: QueryDecoder, batch: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    given = {"latent": torch.randn(batch, 8, generator=generator, requires_grad=True)}
    if decoder.token_dim is not None:
        given["tokens"] = torch.randn(batch, 11, decoder.token_dim, generator=generator, requires_grad=True)
    return given


@pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_variant_speaks_twelve_leads_and_trains_every_weight(options, checkpointing):
    decoder = build(checkpointing=checkpointing, **options)
    given = inputs(decoder)
    signal = decoder(**given, generator=torch.Generator().manual_seed(0))
    assert signal.shape == (3, 12, 52)
    assert signal.dtype == torch.float32
    # A sum of squares would be blind to what the last norm of a post-norm layer cannot change.
    weights = torch.randn(signal.shape, generator=torch.Generator().manual_seed(2))
    (signal * weights).sum().backward()
    assert [name for name, p in decoder.named_parameters() if p.grad is None or not p.grad.any()] == []
    for name, tensor in given.items():
        assert tensor.grad.flatten(1).any(dim=1).all(), name


@pytest.mark.parametrize("options", [VARIANTS["eight leads"], VARIANTS["tokens, all options"]])
def test_derived_leads_obey_the_laws_in_every_variant(options):
    decoder = build(**options)
    signal = decoder(**inputs(decoder)).detach()
    assert signal.std() > 0.01
    for law, residual in limb_law_residuals(signal).items():
        assert float(residual.abs().max()) < 1e-6, law


@pytest.mark.parametrize("options", VARIANTS.values(), ids=list(VARIANTS))
def test_checkpointing_changes_no_value_and_no_gradient(options):
    plain, thrifty = build(**options), build(checkpointing=True, **options)
    gradients = []
    for decoder in (plain, thrifty):
        signal = decoder(**inputs(decoder), generator=torch.Generator().manual_seed(0))
        signal.square().mean().backward()
        gradients.append([signal.detach(), *(p.grad for p in decoder.parameters())])
    for first, second in zip(*gradients, strict=True):
        assert torch.equal(first, second)


def test_checkpointing_keeps_what_enters_a_layer_alone(monkeypatch):
    kept = {}
    for checkpointing in (False, True):
        decoder, sizes = build(checkpointing=checkpointing), []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            decoder(**inputs(decoder))
        kept[checkpointing] = sum(sizes)
    assert kept[True] < 0.5 * kept[False]
    calls = []
    monkeypatch.setattr(module, "checkpoint", lambda *a, **k: calls.append(1))
    with torch.no_grad():
        decoder(**inputs(decoder))
    assert calls == [], "nothing is kept without gradients, so nothing is saved"


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
def test_a_layer_equals_its_formula(norm, activation):
    decoder = QueryDecoder(16, dim=8, layers=1, heads=2, norm=norm, activation=activation, feedforward=12)
    layer = decoder.encoder.layers[0]
    x = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))

    def attend(x: torch.Tensor) -> torch.Tensor:
        q, k, v = F.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias).chunk(3, dim=-1)
        heads = []
        for h in range(2):
            part = slice(4 * h, 4 * h + 4)
            heads.append(torch.softmax(q[..., part] @ k[..., part].transpose(1, 2) / 2, dim=-1) @ v[..., part])
        return layer.self_attn.out_proj(torch.cat(heads, dim=-1))

    def feed(x: torch.Tensor) -> torch.Tensor:
        return layer.linear2(getattr(F, activation)(layer.linear1(x)))

    if norm == "pre":
        expected = x + attend(layer.norm1(x))
        expected = decoder.encoder.norm(expected + feed(layer.norm2(expected)))
    else:
        expected = layer.norm1(x + attend(x))
        expected = layer.norm2(expected + feed(expected))
        assert decoder.encoder.norm is None
    assert torch.allclose(decoder.encoder(x), expected, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(decoder.eval().encoder(x), expected, atol=1e-5)


def test_tokens_are_read_one_record_at_a_time_and_in_their_order():
    decoder = build(token_dim=7)
    given = inputs(decoder)
    with torch.no_grad():
        base = decoder(**given)
        changed = given["tokens"].clone()
        changed[1, 4] += torch.arange(7.0)  # a constant would be lost in the norm
        other = decoder(given["latent"], tokens=changed)
        turned = decoder(given["latent"], tokens=given["tokens"].flip(1))
    assert torch.equal(other[[0, 2]], base[[0, 2]])
    assert float((other[1] - base[1]).abs().max()) > 1e-4
    assert float((turned - base).abs().max()) > 1e-4, "a token knows its place"


def test_any_number_of_tokens_is_read():
    decoder = build(token_dim=7)
    for n_tokens in (1, 577):
        assert decoder(torch.zeros(2, 8), tokens=torch.zeros(2, n_tokens, 7)).shape == (2, 12, 52)


@pytest.mark.parametrize("tokens", [None, torch.zeros(3, 4, 6), torch.zeros(2, 4, 7), torch.zeros(3, 7)])
def test_missing_or_foreign_tokens_are_refused(tokens):
    with pytest.raises(ArgumentError) as caught:
        build(token_dim=7)(torch.zeros(3, 8), tokens=tokens)
    assert caught.value.field == "tokens"
    with pytest.raises(ArgumentError):
        build()(torch.zeros(3, 8), tokens=torch.zeros(3, 4, 7))


def test_size_with_tokens_at_the_papers_scale():
    with torch.device("meta"):
        decoder = QueryDecoder(5000, dim=768, layers=12, heads=12, token_dim=1024)
        plain = QueryDecoder(5000, dim=768, layers=12, heads=12, norm="post", feedforward=3072)
    d = 768
    layer = 12 * d**2 + 13 * d
    expected = 12 * layer + 2 * 625 * d + d + (d + 1) * 96
    assert sum(p.numel() for p in plain.parameters()) == expected == 86_089_056
    cross = 4 * d**2 + 4 * d + 2 * d  # attention and its norm, a layer
    added = 12 * cross + 2 * d + 2 * 1024 + 1025 * d  # last norm; norm and projection of the tokens
    assert sum(p.numel() for p in decoder.parameters()) == expected + added


def test_positions_of_tokens_are_the_sines_and_cosines_of_the_transformer():
    got = sinusoids(9, 6)
    for n in range(9):
        for k in range(3):
            angle = n / 10_000 ** (k / 3)
            assert float(got[n, k]) == pytest.approx(np.sin(angle), abs=1e-5)
            assert float(got[n, 3 + k]) == pytest.approx(np.cos(angle), abs=1e-5)
    assert sinusoids(4, 5).shape == (4, 5)


def test_a_mask_of_single_records_is_the_same_however_the_batch_is_split():
    decoder = build(n_samples=8000)
    records = np.array([7, 3, 100_000, 4])
    whole = query_mask(decoder, records, seed=1, epoch=2)
    assert whole.shape == (4, 1000)
    assert whole.dtype == torch.bool
    assert abs(float(whole.float().mean()) - 0.4) < 0.04
    for rank in range(2):
        part = torch.from_numpy(records[2 * rank : 2 * rank + 2])
        assert torch.equal(query_mask(decoder, part, seed=1, epoch=2), whole[2 * rank : 2 * rank + 2])
    for seed, epoch in ((2, 2), (1, 3)):
        assert not torch.equal(query_mask(decoder, records, seed=seed, epoch=epoch), whole)
    assert not torch.equal(whole[0], whole[1])
    assert query_mask(decoder, records[:0], seed=1, epoch=2).shape == (0, 1000)


def test_a_given_mask_masks_these_queries_and_wins_over_a_generator():
    decoder = build()
    given = inputs(decoder)
    masked = torch.zeros(3, 7, dtype=torch.bool)
    masked[1, 2] = True
    with torch.no_grad():
        base = decoder(**given)
        one = decoder(**given, masked=masked)
        both = decoder(**given, generator=torch.Generator().manual_seed(0), masked=masked)
        none = decoder(**given, masked=torch.zeros_like(masked))
    assert torch.equal(one[[0, 2]], base[[0, 2]])
    assert float((one[1] - base[1]).abs().max()) > 1e-4
    assert torch.equal(both, one)
    assert torch.equal(none, base)


@pytest.mark.parametrize("masked", [torch.zeros(3, 6, dtype=torch.bool), torch.zeros(3, 7)])
def test_a_mask_of_another_shape_or_type_is_refused(masked):
    decoder = build()
    with pytest.raises(ArgumentError) as caught:
        decoder(torch.zeros(3, 8), masked=masked)
    assert caught.value.field == "masked"


def test_a_mask_that_is_never_drawn_asks_for_no_gradient():
    decoder = QueryDecoder(16, dim=8, layers=1, heads=2, mask_share=0.0)
    decoder(torch.zeros(2, 8), torch.Generator().manual_seed(0)).square().sum().backward()
    assert [name for name, p in decoder.named_parameters() if p.requires_grad and p.grad is None] == []
    assert "mask" in decoder.state_dict()
