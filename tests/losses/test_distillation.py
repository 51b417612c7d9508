import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.distillation import distillation_loss
from ecgscan_lab.losses.objective import Weights, objective
from ecgscan_lab.types import Features


def draw(batch=4, dim=6, seed=0):
    return torch.randn(2, batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).unbind()


def test_equals_a_naive_loop():
    predicted, summary = draw()
    total = sum(float(predicted[i, d] - summary[i, d]) ** 2 for i in range(4) for d in range(6))
    assert float(distillation_loss(predicted, summary)) == pytest.approx(total / 24)


def test_zero_where_equal_and_the_mean_of_two_halves():
    predicted, summary = draw()
    assert float(distillation_loss(summary, summary)) == 0.0
    halves = [distillation_loss(predicted[rows], summary[rows]) for rows in (slice(0, 2), slice(2, 4))]
    assert float(sum(halves) / 2) == pytest.approx(float(distillation_loss(predicted, summary)))


def test_gradients_are_right():
    predicted, summary = draw()
    assert torch.autograd.gradcheck(lambda rows: distillation_loss(rows, summary), (predicted.requires_grad_(),))


@pytest.mark.parametrize("shape", [(4, 5), (3, 6), (6,)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ArgumentError):
        distillation_loss(draw()[0], torch.zeros(shape, dtype=torch.float64))


def test_the_objective_counts_it_by_its_weight_and_asks_for_it():
    predicted, summary = draw()
    rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(3)).double()
    features = Features(*rows, signal_summary=summary, predicted_summary=predicted)
    plain = objective(features)
    output = objective(features, Weights(w_distillation=0.5))
    assert float(output.total) == pytest.approx(float(plain.total + 0.5 * distillation_loss(predicted, summary)))
    assert "distillation" not in plain.parts
    assert "distillation" in output.parts
    with pytest.raises(ArgumentError, match="no summary"):
        objective(Features(*rows), Weights(w_distillation=0.5))
