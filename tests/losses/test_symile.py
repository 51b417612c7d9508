import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.symile import symile_loss


def draw(batch: int = 5, dim: int = 7, seed: int = 0) -> list[torch.Tensor]:
    return list(torch.randn(3, batch, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))


def naive(rows, scale, smoothing, first, second) -> float:
    batch = len(rows[0])
    unit = [[[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in r.tolist()] for r in rows]
    total = 0.0
    for k in range(3):
        x, y, z = unit[k], unit[(k + 1) % 3], unit[(k + 2) % 3]
        for i in range(batch):
            partners = [(i, i) if j == i else (first[j], second[j]) for j in range(batch)]
            scores = [scale * sum(a * b * c for a, b, c in zip(x[i], y[p], z[q], strict=True)) for p, q in partners]
            partition = math.log(sum(math.exp(s) for s in scores))
            target = [smoothing / batch + (1 - smoothing) * (j == i) for j in range(batch)]
            total += sum(t * (partition - s) for t, s in zip(target, scores, strict=True)) / batch
    return total / 3


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 10_000), st.floats(0, 0.9))
def test_equals_a_naive_loop(batch, dim, seed, smoothing):
    rows = draw(batch, dim, seed)
    order = list(range(batch))
    expected = naive(rows, 30.0, smoothing, order, [(j - 1) % batch for j in order])
    assert float(symile_loss(*rows, 30.0, label_smoothing=smoothing)) == pytest.approx(expected, abs=1e-6)
    drawn = torch.Generator().manual_seed(seed)
    first, second = (torch.randperm(batch, generator=drawn).tolist() for _ in range(2))
    loss = symile_loss(*rows, 30.0, label_smoothing=smoothing, generator=torch.Generator().manual_seed(seed))
    assert float(loss) == pytest.approx(naive(rows, 30.0, smoothing, first, second), abs=1e-6)


def test_sign_multiplies_and_coordinates_matter():
    rows = draw()
    expected = float(symile_loss(*rows, 30.0))
    assert float(symile_loss(-rows[0], -rows[1], rows[2], 30.0)) == pytest.approx(expected, abs=1e-12)
    assert float(symile_loss(-rows[0], rows[1], rows[2], 30.0)) != pytest.approx(expected, abs=1e-3)
    rotation = torch.linalg.qr(draw(7, 7, 1)[0]).Q
    assert float(symile_loss(*(r @ rotation for r in rows), 30.0)) != pytest.approx(expected, abs=1e-3)


def test_finds_what_no_pair_tells():
    """Each signal is the product of image and report signs: any two modalities are independent, the three are not."""
    generator = torch.Generator().manual_seed(0)
    image, text = torch.randint(0, 2, (2, 64, 16), generator=generator).float().mul(2).sub(1)
    knows, guesses = (symile_loss(image, text, signal, 100.0) for signal in (image * text, image.roll(1, 0) * text))
    assert float(knows) < float(guesses) - 1


def test_gradcheck():
    rows = [r.requires_grad_() for r in draw(3, 4)]
    assert torch.autograd.gradcheck(lambda *r: symile_loss(*r, 9.0), rows)


@pytest.mark.parametrize(
    ("field", "change"),
    [("signal", {"signal": torch.zeros(4, 7)}), ("logit_scale", {"logit_scale": -1.0}),
     ("label_smoothing", {"label_smoothing": 1.0})],
)  # fmt: skip
def test_bad_arguments_are_named(field, change):
    image, text, signal = draw()
    with pytest.raises(ArgumentError) as refused:
        symile_loss(**({"image": image, "text": text, "signal": signal, "logit_scale": 9.0} | change))
    assert refused.value.field == field
