from dataclasses import FrozenInstanceError, replace

import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses import Weights, objective
from ecgscan_lab.losses.contrastive import contrastive_loss, report_floor, smoothed_floor
from ecgscan_lab.losses.gram import gram_loss
from ecgscan_lab.losses.lead_consistency import rule_loss, violation_loss
from ecgscan_lab.losses.reconstruction import mse_loss, visibility_weights
from ecgscan_lab.losses.waveform import correlation_loss, spectral_loss
from ecgscan_lab.types import Features

ALIGNMENT = {"contrastive", "contrastive_above_floor", "gram", "gram_above_floor"}
RECONSTRUCTION = {"mse", "rule", "violation", "reconstruction"}


def draw(decoder: bool = True) -> Features:
    generator = torch.Generator().manual_seed(0)
    image, text, signal = torch.randn(3, 4, 6, dtype=torch.float64, generator=generator).requires_grad_()
    reconstruction, target = torch.randn(2, 4, 12, 5, dtype=torch.float64, generator=generator)
    return Features(
        image=image.detach().requires_grad_(),
        text=text.detach().requires_grad_(),
        signal=signal.detach().requires_grad_(),
        reconstruction_mv=reconstruction.requires_grad_() if decoder else None,
        signal_mv=target if decoder else None,
        logit_scale=torch.tensor(10.0, dtype=torch.float64, requires_grad=True),
        gram_logit_scale=torch.tensor(5.0, dtype=torch.float64, requires_grad=True),
    )


def test_defaults_are_the_papers():
    assert Weights() == Weights(alpha=0.1, theta=0.05, beta=1.0, w_rule=0.1, w_violation=0.0, label_smoothing=0.1)
    assert Weights() == Weights.paper()
    assert (Weights().gram_kind, Weights().goldberger) == ("volume", "equations")
    assert (Weights().w_correlation, Weights().w_spectral, Weights().hidden_weight) == (0, 0, 1)
    with pytest.raises(FrozenInstanceError):
        Weights().alpha = 1.0


def test_parts_are_the_losses_and_the_total_is_their_weighted_sum():
    features = draw()
    output = objective(features)
    expected = {
        "contrastive": contrastive_loss(features.image, features.text, 10.0),
        "gram": gram_loss(features.image, features.text, features.signal, 5.0),
        "mse": mse_loss(features.reconstruction_mv, features.signal_mv),
        "rule": rule_loss(features.reconstruction_mv, features.signal_mv),
        "violation": violation_loss(features.reconstruction_mv),
    }
    assert set(output.parts) == ALIGNMENT | RECONSTRUCTION
    parts = {name: float(part.detach()) for name, part in output.parts.items()}
    for name, part in expected.items():
        assert parts[name] == pytest.approx(float(part.detach()), abs=1e-12), name
    assert parts["reconstruction"] == pytest.approx(parts["mse"] + 0.1 * parts["rule"])
    total = 0.1 * parts["contrastive"] + 0.05 * parts["gram"] + parts["reconstruction"]
    assert float(output.total.detach()) == pytest.approx(total, abs=1e-12)


def test_every_weight_and_option_is_used():
    weights = Weights(
        alpha=2.0,
        theta=3.0,
        beta=0.5,
        w_rule=0.7,
        w_violation=0.9,
        label_smoothing=0.2,
        gram_kind="plane_distance",
        goldberger="zero_sum",
        w_correlation=0.3,
        w_spectral=0.4,
        hidden_weight=0.25,
    )
    features, ids = draw(), torch.tensor([0, 1, 0, 2])
    sample_weights = torch.arange(5.0)
    visible = torch.rand(12, 5, generator=torch.Generator().manual_seed(1)) < 0.5
    both = sample_weights * visibility_weights(visible, 0.25)
    image, text, signal = features.image, features.text, features.signal
    recon = (features.reconstruction_mv, features.signal_mv)
    expected = (
        2.0 * contrastive_loss(image, text, 10.0, label_smoothing=0.2, text_ids=ids)
        + 3.0 * gram_loss(image, text, signal, 5.0, label_smoothing=0.2, kind="plane_distance", text_ids=ids)
        + 0.5 * mse_loss(*recon, weights=both)
        + 0.5 * 0.7 * rule_loss(*recon, goldberger="zero_sum")
        + 0.5 * 0.9 * violation_loss(recon[0])
        + 0.5 * 0.3 * correlation_loss(*recon, weights=both)
        + 0.5 * 0.4 * spectral_loss(*recon)
    )
    output = objective(features, weights, text_ids=ids, sample_weights=sample_weights, visible=visible)
    assert float(output.total.detach()) == pytest.approx(float(expected.detach()), abs=1e-12)


def test_visible_and_hidden_errors_are_reported_apart_without_changing_the_total():
    features = draw()
    visible = torch.zeros(4, 12, 5, dtype=torch.bool)
    visible[:, :, :2] = True
    output = objective(features, visible=visible)
    error = (features.reconstruction_mv - features.signal_mv).detach().square()
    assert float(output.parts["mse_visible"]) == pytest.approx(float(error[visible].mean()), abs=1e-12)
    assert float(output.parts["mse_hidden"]) == pytest.approx(float(error[~visible].mean()), abs=1e-12)
    assert float(output.total.detach()) == pytest.approx(float(objective(features).total.detach()), abs=1e-12)


def test_a_weight_for_hidden_samples_needs_to_know_them():
    with pytest.raises(ArgumentError) as refused:
        objective(draw(), Weights(hidden_weight=0.5))
    assert refused.value.field == "visible"


def test_gathering_with_one_process_changes_nothing():
    ids = torch.tensor([0, 1, 0, 2])
    plain, gathered = (objective(draw(), text_ids=ids, gather=gather).total for gather in (False, True))
    assert float(plain.detach()) == float(gathered.detach())


def test_parts_above_the_floor_start_from_zero():
    features = draw(decoder=False)
    ids = torch.tensor([0, 1, 0, 2])
    for text_ids, floor in ((None, smoothed_floor(4, 0.1)), (ids, float(report_floor(ids, 0.1)))):
        parts = objective(features, text_ids=text_ids).parts
        for name in ("contrastive", "gram"):
            above = float(parts[f"{name}_above_floor"].detach())
            assert above == pytest.approx(float(parts[name].detach()) - floor, abs=1e-6)
            assert above >= 0


def test_without_a_decoder_the_reconstruction_parts_are_absent():
    output = objective(draw(decoder=False))
    assert set(output.parts) == ALIGNMENT
    total = 0.1 * output.parts["contrastive"] + 0.05 * output.parts["gram"]
    assert float(output.total.detach()) == pytest.approx(float(total.detach()), abs=1e-12)


def test_gradient_reaches_every_trainable_input():
    features = draw()
    objective(features).total.backward()
    for name in ("image", "text", "signal", "reconstruction_mv", "logit_scale", "gram_logit_scale"):
        gradient = getattr(features, name).grad
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        assert gradient.any(), name


@pytest.mark.parametrize(
    ("switched_off", "untouched"),
    [({"theta": 0.0}, "signal"), ({"beta": 0.0}, "reconstruction_mv"), ({"alpha": 0.0}, "logit_scale")],
)
def test_a_part_of_weight_zero_is_reported_but_sends_no_gradient(switched_off, untouched):
    features = draw()
    output = objective(features, replace(Weights(), **switched_off))
    output.total.backward()
    assert getattr(features, untouched).grad is None
    assert set(output.parts) == ALIGNMENT | RECONSTRUCTION


def test_nothing_to_minimise_is_refused():
    with pytest.raises(ArgumentError, match="nothing to minimise"):
        objective(draw(decoder=False), Weights(alpha=0.0, theta=0.0))


def test_a_reconstruction_without_its_target_is_refused():
    with pytest.raises(ArgumentError) as refused:
        objective(replace(draw(), signal_mv=None))
    assert refused.value.field == "signal_mv"


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": -0.1},
        {"theta": float("nan")},
        {"beta": float("inf")},
        {"w_rule": -1.0},
        {"w_violation": -1.0},
        {"w_correlation": -1.0},
        {"w_spectral": float("nan")},
        {"hidden_weight": -0.5},
        {"label_smoothing": 1.0},
        {"gram_kind": "area"},
        {"goldberger": "orthogonal"},
    ],
)
def test_bad_weights_are_named(change):
    with pytest.raises(ArgumentError) as refused:
        Weights(**change)
    assert refused.value.field == next(iter(change))


def _three(seed: int = 0) -> Features:
    return Features(*torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("anchor", ["image", "text", "signal"])
def test_the_anchor_is_the_modality_that_stays(anchor):
    features = _three()
    others = [name for name in ("image", "text", "signal") if name != anchor]
    wanted = gram_loss(
        getattr(features, anchor), *(getattr(features, name) for name in others), 14.3, label_smoothing=0.1
    )
    assert torch.equal(objective(features, Weights(gram_anchor=anchor)).parts["gram"], wanted)
    if anchor != "image":
        assert not torch.isclose(wanted, objective(features).parts["gram"])


def test_the_gram_loss_may_be_smoothed_otherwise():
    features = _three()
    plain, other = objective(features), objective(features, Weights(gram_label_smoothing=0.3))
    assert torch.equal(plain.parts["contrastive"], other.parts["contrastive"])
    alike = objective(features, Weights(label_smoothing=0.3))
    for name in ("gram", "gram_above_floor"):
        assert torch.equal(other.parts[name], alike.parts[name])
        assert not torch.isclose(other.parts[name], plain.parts[name])


@pytest.mark.parametrize("change", [{"gram_anchor": "report"}, {"gram_label_smoothing": 1.5}])
def test_an_unknown_anchor_or_smoothing_is_refused(change):
    with pytest.raises(ArgumentError):
        Weights(**change)
