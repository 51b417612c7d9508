import itertools

import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.redundancy import barlow_twins_loss, vicreg_loss

BOTH = {"vicreg": vicreg_loss, "barlow_twins": barlow_twins_loss}


def draw(batch: int = 6, dim: int = 4, seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(3, batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def test_vicreg_equals_a_naive_loop():
    rows = draw()
    batch, dim = rows[0].shape
    apart = narrow = alike = 0.0
    for a, b in itertools.combinations(rows, 2):
        apart += sum(float((a[i, d] - b[i, d]) ** 2) for i in range(batch) for d in range(dim)) / (batch * dim) / 3
    for r in rows:
        table = torch.cov(r.T)
        narrow += sum(max(0.0, 1 - float(table[d, d] + 1e-4) ** 0.5) for d in range(dim)) / dim / 3
        alike += sum(float(table[d, e]) ** 2 for d in range(dim) for e in range(dim) if d != e) / dim / 3
    loss = vicreg_loss(*rows, invariance=2.0, variance=3.0, covariance=5.0)
    assert float(loss) == pytest.approx(2 * apart + 3 * narrow + 5 * alike, abs=1e-9)


def test_barlow_twins_equals_a_naive_loop():
    rows = draw()
    dim, total = rows[0].shape[1], 0.0
    for a, b in itertools.combinations(rows, 2):
        for d in range(dim):
            for e in range(dim):
                u, v = a[:, d] - a[:, d].mean(), b[:, e] - b[:, e].mean()
                spread = ((u.square().mean() + 1e-5) * (v.square().mean() + 1e-5)).sqrt()
                correlation = float((u * v).mean() / spread)
                total += (1 - correlation) ** 2 / 3 if d == e else 0.1 * correlation**2 / 3
    assert float(barlow_twins_loss(*rows, redundancy=0.1)) == pytest.approx(total, abs=1e-9)


@pytest.mark.parametrize("name", list(BOTH))
def test_symmetric_in_the_modalities_and_blind_to_the_order_of_the_batch(name):
    rows, shuffle = draw(), torch.tensor([3, 1, 5, 0, 2, 4])
    expected = float(BOTH[name](*rows))
    for order in itertools.permutations(rows):
        assert float(BOTH[name](*order)) == pytest.approx(expected, abs=1e-9)
    assert float(BOTH[name](*(r[shuffle] for r in rows))) == pytest.approx(expected, abs=1e-9)


def test_collapse_has_a_known_price():
    point = torch.ones(5, 8)
    assert float(vicreg_loss(point, point, point)) == pytest.approx(25 * 0.99, abs=1e-4)
    assert float(barlow_twins_loss(point, point, point)) == pytest.approx(8, abs=1e-5)


@pytest.mark.parametrize("name", list(BOTH))
def test_gradcheck(name):
    rows = [r.requires_grad_() for r in draw(4, 3)]
    assert torch.autograd.gradcheck(BOTH[name], rows)


def test_bad_arguments_are_named():
    rows = draw()
    for loss, option in ((vicreg_loss, "variance"), (vicreg_loss, "invariance"), (barlow_twins_loss, "redundancy")):
        with pytest.raises(ArgumentError) as refused:
            loss(*rows, **{option: -1.0})
        assert refused.value.field == option
    for loss in BOTH.values():
        with pytest.raises(ArgumentError) as refused:
            loss(rows[0], rows[1], rows[2][:4])
        assert refused.value.field == "signal"
