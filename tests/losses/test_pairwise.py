import itertools

import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import contrastive_loss
from ecgscan_lab.losses.pairwise import pairwise_loss


def draw(batch: int = 5, dim: int = 7) -> list[torch.Tensor]:
    return list(torch.randn(3, batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))


def test_is_the_mean_of_the_three_pairs():
    image, text, signal = draw()
    ids = torch.tensor([0, 1, 0, 2, 3])
    expected = (
        contrastive_loss(image, text, 9.0, label_smoothing=0.2, text_ids=ids)
        + contrastive_loss(image, signal, 9.0, label_smoothing=0.2)
        + contrastive_loss(text, signal, 9.0, label_smoothing=0.2, text_ids=ids)
    ) / 3
    loss = pairwise_loss(image, text, signal, 9.0, label_smoothing=0.2, text_ids=ids)
    assert float(loss) == pytest.approx(float(expected), abs=1e-12)


def test_symmetric_in_all_modalities_and_sensitive_to_sign():
    rows = draw()
    expected = float(pairwise_loss(*rows, 9.0))
    for order in itertools.permutations(rows):
        assert float(pairwise_loss(*order, 9.0)) == pytest.approx(expected, abs=1e-12)
    assert float(pairwise_loss(-rows[0], rows[1], rows[2], 9.0)) != pytest.approx(expected, abs=1e-3)


def test_gradcheck():
    rows = [r.requires_grad_() for r in draw(3, 4)]
    assert torch.autograd.gradcheck(lambda *r: pairwise_loss(*r, 3.0), rows)


def test_bad_arguments_are_named():
    image, text, _ = draw()
    with pytest.raises(ArgumentError, match="shape"):
        pairwise_loss(image, text, torch.zeros(4, 7, dtype=torch.float64), 9.0)
