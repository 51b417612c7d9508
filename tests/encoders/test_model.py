"""The trainable model: what is embedded, and where gradients go."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.errors import ArgumentError
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


def test_projections_read_the_summary_of_the_feature_alone(model, batch):
    model.eval()
    with torch.no_grad():
        features = model.tower(batch.images).numpy()
        projected = model.image_embeddings(batch.images).numpy()
    np.testing.assert_allclose(model.project_images(features), projected, atol=1e-6)
    beyond = features.copy()
    beyond[:, model.tower.summary_dim :] += 7.0
    np.testing.assert_array_equal(model.project_images(beyond), model.project_images(features))
    assert model.tower.summary_dim < features.shape[1] == model.tower.embed_dim


def test_a_generator_masks_the_decoder_alone(model, batch):
    model.eval()
    with torch.no_grad():
        torch.nn.init.normal_(model.decoder.mask)
        plain, masked = model(batch), model(batch, torch.Generator().manual_seed(0))
    assert torch.equal(plain.image, masked.image)
    assert not torch.equal(plain.reconstruction_mv, masked.reconstruction_mv)


class Reader(torch.nn.Module):
    """A tower with a frozen body, a dropout, a norm that keeps statistics, and an adapter that may be trained."""

    size, embed_dim, token_dim = SIZE, 6, 3

    def __init__(self, adapted: bool) -> None:
        super().__init__()
        self.body = torch.nn.Conv2d(3, 3, 8, 8).requires_grad_(False)
        self.norm = torch.nn.BatchNorm2d(3).requires_grad_(False)
        self.dropout = torch.nn.Dropout(0.1)
        self.adapter = torch.nn.Conv2d(3, 3, 1).requires_grad_(adapted)
        self.summary = torch.nn.Linear(3, 6).requires_grad_(False)
        self.passes = 0

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        maps = self.norm(self.body(images.float() / 255))
        return self.dropout(maps + self.adapter(maps)).flatten(2).transpose(1, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.summary(self.tokens(images).mean(1))


class OnePassReader(Reader):
    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        tokens = self.tokens(images)
        return self.summary(tokens.mean(1)), tokens


def read(tower: Reader, token_dim: int | None = 3, **options) -> EcgScanModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        decoder = QueryDecoder(40, dim=8, layers=1, heads=2, token_dim=token_dim)
        return EcgScanModel(tower, decoder, d_text=6, d_shared=5, **options)


def test_without_a_decoder_the_rest_is_as_before(batch):
    model = EcgScanModel(TinyImageTower(width=4, size=SIZE), None, d_text=6, d_shared=5)
    features = model(batch, torch.Generator().manual_seed(0))
    assert features.reconstruction_mv is None
    assert features.image.shape == (4, 5)
    objective(features, Weights(beta=0.0)).total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    with pytest.raises(ArgumentError) as caught:
        model.reconstruct(batch.images)
    assert caught.value.field == "decoder"


def test_only_adapters_of_a_frozen_tower_are_trained(batch):
    tower = Reader(adapted=True)
    model = read(tower).train()
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    model.decoder.checkpointing = True
    objective(model(batch, torch.Generator().manual_seed(0)), Weights()).total.backward()
    assert {n for n, p in tower.named_parameters() if p.grad is not None} == {"adapter.weight", "adapter.bias"}
    assert all(p.grad.any() for p in tower.adapter.parameters())
    after = tower.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before), "no running statistic drifts"
    assert tower.dropout.training
    assert tower.adapter.training
    assert not tower.norm.training


def test_a_frozen_tower_stays_in_eval_and_builds_no_graph(batch):
    tower = Reader(adapted=False)
    model = read(tower).train()
    assert model.training
    assert model.decoder.training
    assert not any(module.training for module in tower.modules())
    seen = []
    tower.register_forward_hook(lambda *call: seen.append(torch.is_grad_enabled()))
    objective(model(batch), Weights()).total.backward()
    model.image_embeddings(batch.images)
    read(tower, token_dim=None)(batch)
    assert seen == [False] * 3
    trained = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()]
    assert "decoder.queries" in trained
    assert "project_contrastive.0.weight" in trained
    assert not any(name.startswith("tower") for name in trained)
    assert not model.eval().training


@pytest.mark.parametrize(("kind", "passes"), [(Reader, 2), (OnePassReader, 1)])
def test_the_towers_tokens_reach_the_decoder(batch, kind, passes):
    tower = kind(adapted=True)
    model = read(tower).eval()
    with torch.no_grad():
        features = model(batch)
        assert tower.passes == passes
        tokens = tower.tokens(batch.images)
        expected = model.decoder(model.project_reconstruction(tower(batch.images)), tokens=tokens)
        assert torch.allclose(features.reconstruction_mv, expected, atol=1e-6)
        assert torch.equal(model.reconstruct(batch.images), features.reconstruction_mv)
        tower.passes = 0
        model.image_embeddings(batch.images)
    assert tower.passes == 1, "an embedding needs no tokens"
    features = model.train()(batch)
    features.reconstruction_mv.square().sum().backward()
    assert tower.adapter.weight.grad.any()


def test_tokens_that_the_tower_does_not_give_are_refused():
    with pytest.raises(ArgumentError) as caught:
        read(Reader(adapted=True), token_dim=4)
    assert caught.value.field == "token_dim"


def test_the_towers_columns_reach_the_decoder(batch):
    tower = TinyImageTower(width=4, size=SIZE)
    decoder = QueryDecoder(40, dim=8, layers=1, heads=2, column_dim=tower.column_dim)
    torch.nn.init.normal_(decoder.direct.weight)
    model = EcgScanModel(tower, decoder, d_text=6, d_shared=5).eval()
    with torch.no_grad():
        feature, _, columns = tower.encode_columns(batch.images)
        latent = model.project_reconstruction(feature[:, : tower.summary_dim])
        assert torch.allclose(model(batch).reconstruction_mv, decoder(latent, columns=columns), atol=1e-6)
        assert torch.allclose(model.reconstruct(batch.images), decoder(latent, columns=columns), atol=1e-6)
    model.train()(batch).reconstruction_mv.square().sum().backward()
    assert tower.stem[0].weight.grad.any()


@pytest.mark.parametrize(("tower", "size"), [(TinyImageTower(width=4, size=SIZE), 7), (Reader(adapted=True), 6)])
def test_columns_that_the_tower_does_not_give_are_refused(tower, size):
    with pytest.raises(ArgumentError) as caught:
        EcgScanModel(tower, QueryDecoder(40, 8, 1, 2, column_dim=size), d_text=6, d_shared=5)
    assert caught.value.field == "column_dim"


def test_a_given_mask_reaches_the_decoder(model, batch):
    model.eval()
    torch.nn.init.normal_(model.decoder.mask)
    masked = torch.zeros(4, 5, dtype=torch.bool)
    masked[2] = True
    with torch.no_grad():
        plain, some = model(batch).reconstruction_mv, model(batch, masked=masked).reconstruction_mv
    assert torch.equal(plain[[0, 1, 3]], some[[0, 1, 3]])
    assert not torch.equal(plain[2], some[2])


def test_one_temperature_can_serve_both_losses(batch):
    tower = TinyImageTower(width=4, size=SIZE)
    model = EcgScanModel(tower, None, d_text=6, d_shared=5, share_logit_scale=True, logit_scale_init=5.0)
    features = model(batch)
    assert features.logit_scale is features.gram_logit_scale
    assert float(features.logit_scale.detach()) == pytest.approx(5.0)
    assert [name for name in model.state_dict() if "scale" in name] == ["log_logit_scale"]


def test_a_temperature_that_left_its_limits_can_come_back(batch):
    tower = TinyImageTower(width=4, size=SIZE)
    model = EcgScanModel(tower, None, d_text=6, d_shared=5, logit_scale_limits=(2.0, 30.0))
    with torch.no_grad():
        model.log_logit_scale.fill_(9.0)
        model.log_gram_logit_scale.fill_(-9.0)
    features = model(batch)
    (features.logit_scale + features.gram_logit_scale).backward()
    assert model.log_logit_scale.grad == model.log_gram_logit_scale.grad == 0, "beyond the limits there is no slope"
    model.zero_grad()
    model.limit_logit_scales()
    features = model(batch)
    (features.logit_scale + features.gram_logit_scale).backward()
    assert float(features.logit_scale.detach()) == pytest.approx(30)
    assert float(features.gram_logit_scale.detach()) == pytest.approx(2)
    assert model.log_logit_scale.grad > 0
    assert model.log_gram_logit_scale.grad > 0


def test_the_projection_is_the_papers_unless_linear_is_asked_for(batch):
    tower = TinyImageTower(width=4, size=SIZE)
    bounded, linear = (EcgScanModel(tower, None, d_text=6, d_shared=5, project=kind) for kind in ("tanh", "linear"))
    linear.load_state_dict(bounded.state_dict())
    with torch.no_grad():
        assert torch.allclose(bounded.eval()(batch).image, linear.eval()(batch).image.tanh())
        assert torch.allclose(bounded(batch).text, linear(batch).text.tanh())


def test_statements_have_a_temperature_only_where_asked_for(batch):
    tower = TinyImageTower(width=4, size=SIZE)
    own = EcgScanModel(tower, None, d_text=6, d_shared=5, statement_logit_scale_init=20.0)
    assert own.statement_logit_scale().item() == pytest.approx(20)
    with torch.no_grad():
        own.log_statement_logit_scale.fill_(9.0)
    own.limit_logit_scales()
    assert own.statement_logit_scale().item() == pytest.approx(100)
    none = EcgScanModel(tower, None, d_text=6, d_shared=5, logit_scale_init=7.0)
    assert none.statement_logit_scale().item() == pytest.approx(7), "the contrast's serves, then"
    assert "log_statement_logit_scale" not in none.state_dict()


@pytest.mark.parametrize("start", [0.5, 101.0])
def test_a_temperature_that_starts_outside_its_limits_is_refused(start):
    with pytest.raises(ArgumentError) as caught:
        EcgScanModel(TinyImageTower(width=4, size=SIZE), None, d_text=6, d_shared=5, logit_scale_init=start)
    assert caught.value.field == "logit_scale_init"
    with pytest.raises(ArgumentError) as caught:
        EcgScanModel(TinyImageTower(width=4, size=SIZE), None, d_text=6, d_shared=5, statement_logit_scale_init=start)
    assert caught.value.field == "statement_logit_scale_init"


def test_features_stay_in_single_precision_under_autocast(model, batch):
    with torch.autocast("cpu", torch.bfloat16):
        features = model(batch, torch.Generator().manual_seed(0))
    assert features.image.dtype == features.text.dtype == features.reconstruction_mv.dtype == torch.float32
    objective(features, Weights()).total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_tower_that_keeps_its_layers_says_so(model):
    with pytest.raises(ArgumentError, match="tiny tower"):
        model.set_gradient_checkpointing()
    model.tower.requires_grad_(False)
    model.set_gradient_checkpointing()
    assert model.decoder.checkpointing
    with pytest.raises(ArgumentError, match="this tower"):
        read(Reader(adapted=True)).set_gradient_checkpointing()
