import math

import numpy as np
import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.objective import Weights, objective
from ecgscan_lab.losses.statements import statement_loss
from ecgscan_lab.types import Features


def draw(batch=5, n=7, dim=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    image, statements = (torch.randn(k, dim, dtype=torch.float64, generator=generator) for k in (batch, n))
    told = (torch.rand(batch, n, generator=generator) < 0.4).double()
    return image, statements, told


def test_equals_a_naive_loop():
    image, statements, told = draw()
    odds, weight = torch.linspace(-3, 1, 7).double(), torch.linspace(0.5, 2, 7).double()
    total = 0.0
    for i in range(5):
        for s in range(7):
            cosine = float(image[i] @ statements[s] / image[i].norm() / statements[s].norm())
            sign = 1 if told[i, s] else -1
            total += float(weight[s]) * math.log1p(math.exp(-sign * (9 * cosine + float(odds[s]))))
    loss = statement_loss(image, statements, told, 9.0, log_odds=odds, weight=weight)
    assert float(loss) == pytest.approx(total / 5, abs=1e-9)


def test_the_length_of_a_row_does_not_matter_and_gradients_are_right():
    image, statements, told = draw()
    assert float(statement_loss(3 * image, 0.1 * statements, told, 9.0)) == pytest.approx(
        float(statement_loss(image, statements, told, 9.0))
    )
    image, statements = image.requires_grad_(), statements.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: statement_loss(a, b, told, 5.0), (image, statements))


def test_at_cosine_zero_the_log_odds_leave_nothing_to_learn_about_how_common_a_statement_is():
    told = torch.tensor([[1.0], [0.0], [0.0], [0.0]], dtype=torch.float64)
    odds = torch.tensor([math.log(0.25 / 0.75)], dtype=torch.float64, requires_grad=True)
    image = torch.eye(2, dtype=torch.float64)[[0, 0, 0, 0]]
    statement_loss(image, torch.eye(2, dtype=torch.float64)[[1]], told, 9.0, log_odds=odds).backward()
    assert float(odds.grad.abs().max()) < 1e-12


@pytest.mark.parametrize("shape", [(5, 6), (4, 7), (5,)])
def test_told_of_another_shape_is_refused(shape):
    image, statements, _ = draw()
    with pytest.raises(ArgumentError, match="told"):
        statement_loss(image, statements, torch.zeros(shape), 9.0)


def test_the_objective_counts_statements_by_their_weight_and_asks_for_them():
    image, statements, told = draw(dim=8)
    rows = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(3)).double()
    features = Features(image=image, text=rows[0], signal=rows[1], statements=statements)
    plain = objective(features).total
    output = objective(features, Weights(w_statement=0.5), told=told)
    assert float(output.total) == pytest.approx(float(plain + 0.5 * statement_loss(image, statements, told, 14.3)))
    assert "statement" not in objective(features, told=told).parts
    with pytest.raises(ArgumentError, match="no statements"):
        objective(features, Weights(w_statement=0.5))
    assert np.isfinite(float(output.parts["statement"]))


def test_statements_may_have_a_temperature_of_their_own():
    image, statements, told = draw(dim=8)
    rows = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(3)).double()
    own = torch.tensor(40.0, dtype=torch.float64, requires_grad=True)
    shared = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    features = Features(
        image.requires_grad_(), *rows, logit_scale=shared, statements=statements, statement_logit_scale=own
    )
    output = objective(features, Weights(alpha=0, theta=0, w_statement=1), told=told)
    assert output.total.item() == pytest.approx(statement_loss(image, statements, told, 40.0).item())
    output.total.backward()
    assert own.grad.abs() > 0
    assert shared.grad is None
