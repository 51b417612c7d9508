import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.siglip import siglip_loss


def draw(batch: int = 5, dim: int = 7, seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(2, batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.integers(0, 10_000), st.floats(-10, 5), st.booleans())
def test_equals_a_naive_loop(ids, seed, bias, shared):
    batch = len(ids)
    image, text = draw(batch, 6, seed)
    total = 0.0
    for i in range(batch):
        for j in range(batch):
            cosine = float(image[i] @ text[j] / (image[i].norm() * text[j].norm()))
            matched = ids[i] == ids[j] if shared else i == j
            total += math.log1p(math.exp(-(1 if matched else -1) * (9.0 * cosine + bias)))
    loss = siglip_loss(image, text, 9.0, logit_bias=bias, text_ids=torch.tensor(ids) if shared else None)
    assert float(loss) == pytest.approx(total / batch, abs=1e-6)


def test_symmetric_and_invariant_under_rotation_shuffle_and_length():
    image, text = draw()
    expected = float(siglip_loss(image, text, 9.0))
    rotation, shuffle = torch.linalg.qr(draw(7, 7, 1)[0]).Q, torch.tensor([3, 1, 4, 0, 2])
    for other in (
        (text, image),
        (image @ rotation, text @ rotation),
        (image[shuffle], text[shuffle]),
        (9 * image, text),
    ):
        assert float(siglip_loss(*other, 9.0)) == pytest.approx(expected, abs=1e-12)


def test_gradcheck_with_a_learnable_bias():
    image, text = (rows.requires_grad_() for rows in draw(3, 4))
    scale, bias = (torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (3.0, -1.0))
    assert torch.autograd.gradcheck(lambda i, t, s, b: siglip_loss(i, t, s, logit_bias=b), (image, text, scale, bias))


@pytest.mark.parametrize(
    ("field", "change"),
    [("text", {"text": torch.zeros(4, 7)}), ("logit_scale", {"logit_scale": 0.0}),
     ("text_ids", {"text_ids": torch.arange(4)})],
)  # fmt: skip
def test_bad_arguments_are_named(field, change):
    image, text = draw()
    with pytest.raises(ArgumentError) as refused:
        siglip_loss(**({"image": image, "text": text, "logit_scale": 9.0} | change))
    assert refused.value.field == field
