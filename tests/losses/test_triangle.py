import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import symmetric_cross_entropy
from ecgscan_lab.losses.triangle import triangle_area, triangle_loss


def draw(batch: int = 5, dim: int = 7, seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(3, batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def heron(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> float:
    """The area from the lengths of the sides."""
    a, b, c = (v / v.norm() for v in (a, b, c))
    sides = [float((u - v).norm()) for u, v in ((a, b), (b, c), (a, c))]
    half = sum(sides) / 2
    return math.sqrt(max(half * math.prod(half - side for side in sides), 0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(2, 8), st.integers(0, 10_000))
def test_equals_herons_formula_in_a_naive_loop(batch, dim, seed):
    rows = draw(batch, dim, seed)
    area = triangle_area(*rows)
    for i in range(batch):
        for j in range(batch):
            expected = heron(rows[0][i], rows[1][j], rows[2][j])
            # The guard under the root shifts small areas, so they are compared by their squares.
            assert float(area[i, j]) ** 2 == pytest.approx(expected**2, abs=1e-6)
            assert expected < 0.05 or float(area[i, j]) == pytest.approx(expected, abs=1e-6)


def test_largest_for_an_equilateral_triangle_around_the_origin():
    angles = torch.tensor([0, 2, 4], dtype=torch.float64) * math.pi / 3
    corners = [torch.stack([angle.cos(), angle.sin()])[None] for angle in angles]
    assert float(triangle_area(*corners)) == pytest.approx(3 * math.sqrt(3) / 4, abs=1e-6)
    assert float(triangle_area(*draw(40, 2)).max()) <= 3 * math.sqrt(3) / 4 + 1e-6


def test_loss_is_the_cross_entropy_of_the_areas():
    rows, ids = draw(), torch.tensor([0, 1, 0, 2, 3])
    expected = symmetric_cross_entropy(-9.0 * triangle_area(*rows), label_smoothing=0.2, text_ids=ids)
    assert float(triangle_loss(*rows, 9.0, label_smoothing=0.2, text_ids=ids)) == pytest.approx(float(expected))


def test_symmetric_in_text_and_signal_and_tells_a_vector_from_its_opposite():
    image, text, signal = draw()
    area = triangle_area(image, text, signal)
    torch.testing.assert_close(triangle_area(image, signal, text), area, atol=1e-9, rtol=0)
    assert float((triangle_area(-image, text, signal) - area).abs().min()) > 1e-3


def test_vanishes_for_every_image_when_report_and_signal_coincide():
    image, text, _ = draw()
    assert float(triangle_area(image, text, 2 * text).max()) < 1e-3


def test_gradcheck():
    rows = [r.requires_grad_() for r in draw(3, 4)]
    assert torch.autograd.gradcheck(lambda *r: triangle_loss(*r, 3.0), rows)


@pytest.mark.parametrize(
    ("field", "change"), [("text", {"text": torch.zeros(4, 7)}), ("logit_scale", {"logit_scale": 0.0})]
)
def test_bad_arguments_are_named(field, change):
    image, text, signal = draw()
    with pytest.raises(ArgumentError) as refused:
        triangle_loss(**({"image": image, "text": text, "signal": signal, "logit_scale": 9.0} | change))
    assert refused.value.field == field
