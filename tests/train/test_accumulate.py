"""The gradient in parts is the gradient of the whole, negatives included."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import Statements, make_batch
from ecgscan_lab.encoders.decoder import QueryDecoder, query_mask
from ecgscan_lab.encoders.image import fit_page
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.train.accumulate import backward, seeded, statistics_kept
from ecgscan_lab.train.recipes import Recipe
from ecgscan_lab.train.scoring import make_score, put_statements, statement_tensors


class CalmTower(torch.nn.Module):
    """Each page by itself: no batch norm."""

    size, embed_dim, token_dim = (24, 56), 12, 12

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 12, 8, 8)
        self.norm = torch.nn.LayerNorm(12)
        self.dropout = torch.nn.Dropout(dropout)

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.stem(fit_page(images, self.size).float() / 255)
        return self.dropout(self.norm(maps.flatten(2).transpose(1, 2)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.tokens(images).tanh().mean(1)


@pytest.fixture(scope="module")
def batch(cohort, frozen):
    return make_batch(cohort, frozen, np.arange(7), (24, 56))


@pytest.fixture(scope="module")
def said():
    rng = np.random.default_rng(4)
    text, told = rng.normal(size=(5, 8)), rng.random((60, 5)) < 0.4
    return Statements(tuple("abcde"), text.astype(np.float32), told.astype(np.uint8), -np.ones(5), np.ones(5))


def gradients(
    batch, parts, recipe, *, dropout=0.0, shared=False, loss=None, mask=True, scale=1.0, said=None, d_summary=None
):
    torch.manual_seed(0)
    decoder = QueryDecoder(1000, 16, 1, 2, 0.3, token_dim=12)
    own = None if said is None else 20.0
    model = EcgScanModel(
        CalmTower(dropout), decoder, d_text=8, d_shared=16, share_logit_scale=shared, statement_logit_scale_init=own,
        d_summary=d_summary,
    ).train()  # fmt: skip
    masked = query_mask(decoder, batch.index, seed=0, epoch=0) if mask else None

    def forward(part, mask, k):
        with seeded(torch.device("cpu"), 3, k):
            return put_statements(model, model(part, masked=mask), statement_tensors(said, torch.device("cpu")))

    scored = backward(forward, batch, masked, make_score(recipe, loss), model=model, parts=parts, scale=scale)
    assert not scored.total.requires_grad
    return float(scored.total), {name: p.grad for name, p in model.named_parameters()}


def assert_equal(first, second, tolerance=2e-5):
    assert first[0] == pytest.approx(second[0], rel=1e-6)
    for name, gradient in first[1].items():
        other = second[1][name]
        assert (gradient is None) == (other is None), name
        if gradient is not None:
            assert torch.allclose(gradient, other, rtol=1e-4, atol=tolerance * float(gradient.abs().max())), name


RECIPES = {
    "paper": Recipe("paper"),
    "cures": Recipe(
        "cures",
        weights=Weights(gram_kind="signed_plane_distance", w_violation=0.3, hidden_weight=0.25),
        multi_positive=True,
        signal_unit="record_sd",
    ),
}


@pytest.mark.parametrize("parts", [2, 3, 7])
@pytest.mark.parametrize("name", RECIPES)
def test_parts_give_the_gradient_of_the_whole_batch(batch, parts, name):
    whole = gradients(batch, 1, RECIPES[name])
    assert all(g is not None and float(g.abs().max()) > 0 for g in whole[1].values()), "and every weight has one"
    assert_equal(whole, gradients(batch, parts, RECIPES[name]))


@pytest.mark.parametrize("parts", [2, 7])
def test_statements_shared_by_all_parts_collect_the_gradient_once(cohort, frozen, said, parts):
    batch = make_batch(cohort, dataclasses.replace(frozen, statements=said), np.arange(7), (24, 56))
    recipe = Recipe("said", weights=Weights(w_statement=0.5))
    whole = gradients(batch, 1, recipe, said=said)
    assert whole[0] > gradients(batch, 1, RECIPES["paper"])[0]
    assert whole[1]["log_statement_logit_scale"].abs() > 0
    assert_equal(whole, gradients(batch, parts, recipe, said=said))


@pytest.mark.parametrize("parts", [2, 7])
def test_what_is_predicted_of_the_signal_has_the_same_gradient_in_parts(cohort, frozen, parts):
    summary = np.random.default_rng(5).normal(size=(60, 9)).astype(np.float32)
    batch = make_batch(cohort, dataclasses.replace(frozen, signal_summary=summary), np.arange(7), (24, 56))
    recipe = Recipe("distilled", weights=Weights(w_distillation=0.5))
    whole = gradients(batch, 1, recipe, d_summary=9)
    assert whole[1]["predict_summary.weight"].abs().max() > 0
    assert_equal(whole, gradients(batch, parts, recipe, d_summary=9))


def test_summing_losses_of_parts_would_not(batch):
    recipe = RECIPES["paper"]
    whole = gradients(batch, 1, recipe)
    assert gradients(make_part(batch, 4), 1, recipe)[0] != pytest.approx(whole[0], rel=1e-2)


def make_part(batch, n):
    values = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    return type(batch)(**{name: value[:n] for name, value in values.items() if value is not None})


def test_one_shared_temperature_collects_both_gradients(batch):
    recipe = RECIPES["paper"]
    assert_equal(gradients(batch, 1, recipe, shared=True), gradients(batch, 3, recipe, shared=True))


def test_a_recording_with_gaps_counts_as_much_in_parts(batch):
    signals = batch.signals_mv.clone()
    signals[0, :, 100:] = torch.nan  # a mean over parts would weigh this part's few samples up
    gaps = dataclasses.replace(batch, signals_mv=signals)
    assert_equal(gradients(gaps, 1, RECIPES["paper"]), gradients(gaps, 3, RECIPES["paper"]))


def test_any_loss_of_the_features_is_exact_and_what_it_leaves_out_gets_no_gradient(batch):
    def loss(features):
        return (features.image @ features.signal.T).square().mean()

    whole, parts = (gradients(batch, n, RECIPES["paper"], loss=loss) for n in (1, 3))
    assert_equal(whole, parts)
    assert parts[1]["decoder.queries"] is None


def test_both_passes_drop_the_same_units(batch):
    torch.manual_seed(9)
    first = gradients(batch, 3, RECIPES["paper"], dropout=0.5)
    torch.manual_seed(10)
    again = gradients(batch, 3, RECIPES["paper"], dropout=0.5)
    assert_equal(first, again, tolerance=0.0)
    assert gradients(batch, 3, RECIPES["paper"])[0] != first[0]


def test_scaling_scales_gradients_and_leaves_the_loss(batch):
    for parts in (1, 3):
        plain, scaled = (gradients(batch, parts, RECIPES["paper"], scale=s) for s in (1.0, 64.0))
        assert plain[0] == scaled[0]
        gradient = scaled[1]["decoder.queries"] / 64
        assert torch.allclose(gradient, plain[1]["decoder.queries"], rtol=1e-4, atol=1e-7)


def test_running_means_see_a_batch_once():
    norm = torch.nn.BatchNorm1d(3)
    before = {name: tensor.clone() for name, tensor in norm.state_dict().items()}
    with statistics_kept(norm):
        norm(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
        assert not torch.equal(norm.running_mean, before["running_mean"])
    assert all(torch.equal(tensor, before[name]) for name, tensor in norm.state_dict().items())


def test_draws_are_a_function_of_their_numbers_and_the_generator_stays():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    draws = []
    for numbers in ((0, 1), (0, 1), (0, 2)):
        with seeded(torch.device("cpu"), *numbers):
            draws.append(torch.rand(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
