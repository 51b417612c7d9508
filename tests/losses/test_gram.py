import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import symmetric_cross_entropy
from ecgscan_lab.losses.determinant import EPS, base_and_distance
from ecgscan_lab.losses.gram import gram_loss, gram_volume

few = settings(max_examples=40, deadline=None)

KINDS = ("volume", "volume_squared", "plane_distance")


def draw(modalities: int = 3, batch: int = 5, dim: int = 7, seed: int = 0, dtype=torch.float64) -> list[torch.Tensor]:
    return list(torch.randn(modalities, batch, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)))


def naive_volume(anchor: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
    """One Gram matrix and one torch.linalg.det for each pair, as Eq. 2-3 are printed."""
    batch = len(anchor)
    volume = torch.zeros(batch, batch, dtype=torch.float64)
    for i in range(batch):
        for j in range(batch):
            vectors = torch.stack([rows / rows.norm() for rows in (anchor[i], *(other[j] for other in others))])
            volume[i, j] = torch.linalg.det(vectors @ vectors.T).abs().sqrt()
    return volume


def vectors_with_cosines(a: float, b: float, c: float) -> list[torch.Tensor]:
    gram = torch.tensor([[1, a, b], [a, 1, c], [b, c, 1]], dtype=torch.float64)
    return [row[None] for row in torch.linalg.cholesky(gram)]


@few
@given(st.integers(2, 5), st.integers(1, 5), st.integers(5, 9), st.integers(0, 10_000))
def test_equals_a_naive_loop_over_determinants(modalities, batch, dim, seed):
    rows = draw(modalities, batch, dim, seed)
    expected = naive_volume(*rows)
    torch.testing.assert_close(gram_volume(*rows, kind="volume_squared"), expected.square(), atol=1e-7, rtol=0)
    # The guard under the root shifts a volume by about EPS / 2V, so tiny ones are compared by their squares only.
    sizeable = expected > 0.05
    torch.testing.assert_close(gram_volume(*rows)[sizeable], expected[sizeable], atol=1e-6, rtol=0)


def test_loss_equals_a_naive_loop():
    rows = draw()
    logits = -14.3 * naive_volume(*rows)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(5), label_smoothing=0.1)
    expected += torch.nn.functional.cross_entropy(logits.T, torch.arange(5), label_smoothing=0.1)
    assert float(gram_loss(*rows, 14.3)) == pytest.approx(float(expected) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("cosines", "volume"),
    [((0.5, 0.5, 0.5), 0.7071), ((0.9, 0.9, 0.9), 0.1673), ((0.99, 0.99, 0.99), 0.0173), ((0.0, 0.0, 0.0), 1.0)],
)
def test_closed_form_values(cosines, volume):
    vectors = vectors_with_cosines(*cosines)
    assert float(gram_volume(*vectors)) == pytest.approx(volume, abs=5e-5)
    assert float(gram_volume(*vectors, kind="volume_squared")) == pytest.approx(volume**2, abs=5e-5)


@few
@given(st.floats(-1, 1))
def test_two_modalities_give_the_sine_of_the_angle(cosine):
    anchor = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    other = torch.tensor([[cosine, (1 - cosine**2) ** 0.5]], dtype=torch.float64)
    for kind in ("volume", "plane_distance"):
        assert float(gram_volume(anchor, other, kind=kind)) == pytest.approx((1 - cosine**2) ** 0.5, abs=2e-4)


@few
@given(st.integers(1, 4), st.integers(0, 10_000))
def test_general_path_equals_the_closed_forms(others, seed):
    anchor, *rest = (rows / rows.norm(dim=1, keepdim=True) for rows in draw(1 + others, 4, 8, seed))
    base, distance = base_and_distance(anchor, rest)
    torch.testing.assert_close(base * distance, gram_volume(anchor, *rest, kind="volume_squared"), atol=1e-6, rtol=0)


@few
@given(st.integers(0, 10_000))
def test_volume_is_base_times_distance_to_the_plane(seed):
    image, text, signal = draw(3, 5, 7, seed)
    base_squared = 1 - torch.nn.functional.cosine_similarity(text, signal).square()
    distance = gram_volume(image, text, signal, kind="plane_distance")
    volume_squared = gram_volume(image, text, signal, kind="volume_squared")
    torch.testing.assert_close(volume_squared, base_squared * distance.square(), atol=1e-6, rtol=0)


def test_plane_distance_closes_the_shortcut_of_parallel_report_and_signal():
    image, text, _ = draw(3, 6, 7)
    assert float(gram_volume(image, text, 3 * text).max()) == pytest.approx(EPS**0.5, rel=0.1)
    distance = gram_volume(image, text, 3 * text, kind="plane_distance")
    torch.testing.assert_close(distance, gram_volume(image, text), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_the_others_does_not_matter(kind):
    image, text, signal, fourth = draw(4)
    forward = gram_volume(image, text, signal, fourth, kind=kind)
    torch.testing.assert_close(gram_volume(image, fourth, text, signal, kind=kind), forward, atol=1e-6, rtol=0)
    loss = gram_loss(image, text, signal, 9.0, kind=kind)
    torch.testing.assert_close(gram_loss(image, signal, text, 9.0, kind=kind), loss, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_invariant_under_rotation_sign_and_length(kind):
    rows = draw()
    expected = gram_volume(*rows, kind=kind)
    rotation = torch.linalg.qr(draw(1, 7, 7, 1)[0]).Q
    factors = torch.tensor([[0.1], [-2.0], [30.0], [-1.0], [5.0]], dtype=torch.float64)
    torch.testing.assert_close(gram_volume(*(r @ rotation for r in rows), kind=kind), expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(gram_volume(*(r * factors for r in rows), kind=kind), expected, atol=1e-9, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_shuffling_the_batch_shuffles_rows_and_columns(kind):
    rows, shuffle = draw(), torch.tensor([3, 1, 4, 0, 2])
    shuffled = gram_volume(*(r[shuffle] for r in rows), kind=kind)
    torch.testing.assert_close(shuffled, gram_volume(*rows, kind=kind)[shuffle][:, shuffle], atol=1e-12, rtol=0)
    before, after = gram_loss(*rows, 9.0, kind=kind), gram_loss(*(r[shuffle] for r in rows), 9.0, kind=kind)
    assert float(after) == pytest.approx(float(before), abs=1e-12)


def test_rows_are_anchors_and_columns_are_pairs():
    image, text, signal = draw()
    volume = gram_volume(image, text, signal)
    other_image = image.clone()
    other_image[2] = draw(seed=9)[0][2]
    changed = (gram_volume(other_image, text, signal) - volume).abs() > 1e-9
    assert changed[2].all()
    assert int(changed.sum()) == 5
    # Another anchor keeps the matched triples on the diagonal and compares other mismatches.
    by_text = gram_volume(text, image, signal)
    torch.testing.assert_close(by_text.diagonal(), volume.diagonal(), atol=1e-9, rtol=0)
    assert float((by_text - volume).abs().max()) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_range_is_zero_to_one(kind):
    for dim in (1, 2, 3, 50):
        volume = gram_volume(*draw(3, 6, dim, dtype=torch.float32), kind=kind)
        assert float(volume.min()) >= 0
        assert float(volume.max()) <= 1 + 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modalities", [2, 3, 4])
def test_gradcheck(kind, modalities):
    rows = [r.requires_grad_() for r in draw(modalities, 3, 5)]
    assert torch.autograd.gradcheck(lambda *r: gram_volume(*r, kind=kind), rows)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_gradcheck(kind):
    rows = [r.requires_grad_() for r in draw(3, 3, 4)]
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *arguments: gram_loss(*arguments, kind=kind), (*rows, scale))


@pytest.mark.parametrize("modalities", [2, 3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_finite_gradients_at_exact_collapse(kind, modalities):
    one = draw(1, 4, 6, dtype=torch.float32)[0]
    rows = [one.clone().requires_grad_() for _ in range(modalities)]
    volume = gram_volume(*rows, kind=kind)
    assert float(volume.detach().diagonal().max()) < 2e-3
    volume.sum().backward()
    for r in rows:
        assert torch.isfinite(r.grad).all()
        assert float(r.grad.abs().max()) < 1e4


def test_the_printed_formula_breaks_where_ours_does_not():
    """Why the guard exists: |det| of a collapsed triple has an infinite slope times zero."""
    flat = torch.zeros((), dtype=torch.float32, requires_grad=True)
    flat.abs().sqrt().backward()
    assert torch.isnan(flat.grad)


def test_repeated_reports_share_the_target():
    rows, ids = draw(), torch.tensor([0, 1, 0, 2, 1])
    expected = symmetric_cross_entropy(-9.0 * gram_volume(*rows), text_ids=ids)
    assert float(gram_loss(*rows, 9.0, text_ids=ids)) == pytest.approx(float(expected), abs=1e-12)
    assert float(gram_loss(*rows, 9.0, text_ids=torch.arange(5))) == pytest.approx(
        float(gram_loss(*rows, 9.0)), abs=1e-12
    )


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("text", {"text": torch.zeros(4, 7)}),
        ("signal", {"signal": torch.zeros(5, 6)}),
        ("signal", {"signal": torch.full((5, 7), torch.inf)}),
        ("image", {"image": torch.zeros(5, 7, dtype=torch.int32)}),
        ("logit_scale", {"logit_scale": -1.0}),
        ("kind", {"kind": "area"}),
        ("text_ids", {"text_ids": torch.zeros(5)}),
    ],
)
def test_bad_arguments_are_named(field, change):
    image, text, signal = draw()
    with pytest.raises(ArgumentError) as refused:
        gram_loss(**({"image": image, "text": text, "signal": signal, "logit_scale": 14.3} | change))
    assert refused.value.field == field


def test_volume_needs_at_least_one_other_modality():
    with pytest.raises(ArgumentError, match="at least one other"):
        gram_volume(draw()[0])
    with pytest.raises(ArgumentError) as refused:
        gram_volume(draw()[0], *draw(1), torch.zeros(3, 7).double())
    assert refused.value.field == "others[1]"
    with pytest.raises(ArgumentError, match="as the others"):
        gram_volume(draw()[0], torch.zeros(5, 7))
