import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import symmetric_cross_entropy, unit_rows
from ecgscan_lab.losses.pmrl import pmrl_loss, principal_direction


def draw(batch: int = 5, dim: int = 7, seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(3, batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(3, 8), st.integers(0, 10_000))
def test_equals_a_singular_value_decomposition_of_each_record(batch, dim, seed):
    rows = draw(batch, dim, seed)
    spectrum, directions = 0.0, []
    for i in range(batch):
        stack = torch.stack([r[i] / r[i].norm() for r in rows], dim=1)
        u, singular, vh = torch.linalg.svd(stack, full_matrices=False)
        spectrum -= float((10 * singular).log_softmax(dim=0)[0]) / batch
        directions.append(u[:, 0] * (-1 if vh[0].sum() < 0 else 1))
    directions = torch.stack(directions)
    expected = spectrum + float(symmetric_cross_entropy(9.0 * directions @ directions.T))
    assert float(pmrl_loss(*rows, 9.0)) == pytest.approx(expected, abs=1e-5)


def test_singular_values_and_direction_of_a_coinciding_triple():
    one = draw(3, 7)[0]
    singular, direction = principal_direction(*[unit_rows(one)] * 3)
    torch.testing.assert_close(singular[:, 0], torch.full((3,), math.sqrt(3), dtype=torch.float64), atol=1e-6, rtol=0)
    assert float(singular[:, 1:].max()) < 2e-4
    torch.testing.assert_close(direction, unit_rows(one), atol=1e-6, rtol=0)


def test_symmetric_in_all_modalities_and_invariant_under_rotation_and_length():
    rows = draw()
    expected = float(pmrl_loss(*rows, 9.0))
    for order in itertools.permutations(rows):
        assert float(pmrl_loss(*order, 9.0)) == pytest.approx(expected, abs=1e-9)
    rotation = torch.linalg.qr(draw(7, 7, 1)[0]).Q
    assert float(pmrl_loss(*(5 * r @ rotation for r in rows), 9.0)) == pytest.approx(expected, abs=1e-9)


def test_the_spectrum_does_not_see_a_sign():
    image, text, signal = draw()
    spectra = [float(pmrl_loss(s * image, text, signal, 9.0, instance_weight=0.0)) for s in (1, -1)]
    assert spectra[0] == pytest.approx(spectra[1], abs=1e-12)


def test_gradcheck():
    rows = [r.requires_grad_() for r in draw(3, 5)]
    assert torch.autograd.gradcheck(lambda *r: pmrl_loss(*r, 3.0), rows)


def test_gradient_is_finite_where_a_librarys_decomposition_has_none():
    """Three orthogonal vectors have three equal singular values, and no direction that stands out."""
    for ours in (False, True):
        leaves = [row[None].clone().requires_grad_() for row in torch.eye(5)[:3]]
        if ours:
            pmrl_loss(*leaves, 14.3).backward()
        else:
            stack = torch.stack(leaves, dim=1)
            torch.linalg.eigh(stack @ stack.mT).eigenvectors[0, :, -1].square().sum().backward()
        assert all(bool(torch.isfinite(leaf.grad).all()) == ours for leaf in leaves)


@pytest.mark.parametrize(
    ("field", "change"),
    [("text", {"text": torch.zeros(4, 7)}), ("spectrum_scale", {"spectrum_scale": 0.0}),
     ("instance_weight", {"instance_weight": -1.0}), ("logit_scale", {"logit_scale": 0.0})],
)  # fmt: skip
def test_bad_arguments_are_named(field, change):
    image, text, signal = draw()
    with pytest.raises(ArgumentError) as refused:
        pmrl_loss(**({"image": image, "text": text, "signal": signal, "logit_scale": 9.0} | change))
    assert refused.value.field == field
