import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses import LOSSES, as_feature_loss
from ecgscan_lab.losses.contrastive import contrastive_loss
from ecgscan_lab.losses.gram import gram_loss
from ecgscan_lab.losses.objective import Weights, objective
from ecgscan_lab.types import Features


def draw(decoder: bool = True) -> Features:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3, 4, 6, generator=generator)
    signals = torch.randn(2, 4, 12, 100, generator=generator)
    return Features(
        *rows,
        reconstruction_mv=signals[0].requires_grad_() if decoder else None,
        signal_mv=signals[1] if decoder else None,
        logit_scale=10.0,
        gram_logit_scale=5.0,
    )


def test_every_name_gives_a_scalar_of_the_features():
    features = draw()
    for name in [*LOSSES, "objective"]:
        loss = as_feature_loss(name)
        assert loss.__name__ == name
        assert loss(features).shape == ()
        assert torch.isfinite(loss(features))


def test_arguments_come_from_the_fields_of_their_names():
    features = draw()
    image, text, signal = features.image, features.text, features.signal
    assert torch.equal(as_feature_loss("contrastive")(features), contrastive_loss(image, text, 10.0))
    assert torch.equal(as_feature_loss("gram")(features), gram_loss(image, text, signal, 5.0))
    assert torch.equal(as_feature_loss(gram_loss)(features), gram_loss(image, text, signal, 5.0))
    assert torch.equal(as_feature_loss("objective")(features), objective(features).total)


def test_options_are_bound():
    features = draw()
    plane = as_feature_loss("gram", kind="plane_distance", logit_scale=2.0)(features)
    assert torch.equal(plane, gram_loss(features.image, features.text, features.signal, 2.0, kind="plane_distance"))
    weights = Weights(alpha=1.0)
    assert torch.equal(as_feature_loss("objective", weights=weights)(features), objective(features, weights).total)


def test_any_function_of_the_features_is_a_loss():
    def mine(features, power=2):
        return (features.image - features.signal).abs().pow(power).mean()

    features = draw()
    loss = as_feature_loss(mine, power=1)
    assert loss.__name__ == "mine"
    assert torch.equal(loss(features), mine(features, power=1))


def test_equal_reports_reach_the_losses_that_know_them():
    features, ids = draw(), torch.tensor([0, 1, 0, 2])
    image, text, signal = features.image, features.text, features.signal
    assert torch.equal(
        as_feature_loss("gram")(features, text_ids=ids), gram_loss(image, text, signal, 5.0, text_ids=ids)
    )
    whole = as_feature_loss("objective")(features, text_ids=ids)
    assert torch.equal(whole, objective(features, text_ids=ids).total)
    assert torch.equal(as_feature_loss("mse")(features, text_ids=ids), as_feature_loss("mse")(features))

    def mine(features, text_ids=None):
        return features.image.mean() + (0 if text_ids is None else text_ids.sum())

    assert float(as_feature_loss(mine)(features, text_ids=ids)) == pytest.approx(float(features.image.mean()) + 3)


def test_volumes_and_areas_take_their_own_scale():
    features = draw()
    for name, scale in (("gram", 5.0), ("triangle", 5.0), ("pairwise", 10.0), ("pmrl", 10.0)):
        expected = LOSSES[name](features.image, features.text, features.signal, scale)
        assert torch.equal(as_feature_loss(name)(features), expected), name


def test_what_is_no_loss_is_refused():
    for bad, field in (("grm", "loss"), (3, "loss")):
        with pytest.raises(ArgumentError) as refused:
            as_feature_loss(bad)
        assert refused.value.field == field
    for name in ("gram", "objective"):
        with pytest.raises(ArgumentError) as refused:
            as_feature_loss(name, knid="volume")
        assert refused.value.field == "knid"
    for output in (1.0, torch.zeros(3)):
        with pytest.raises(ArgumentError, match="the loss returned"):
            as_feature_loss(lambda features, output=output: output)(draw())
    with pytest.raises(ArgumentError) as refused:
        as_feature_loss("mse")(draw(decoder=False))
    assert refused.value.field == "reconstruction_mv"
