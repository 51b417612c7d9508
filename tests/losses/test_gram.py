import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import symmetric_cross_entropy, unit_rows
from ecgscan_lab.losses.determinant import EPS, _VolumeOfThree, base_and_distance, squared_volume
from ecgscan_lab.losses.gram import LOG_EPS, gram_loss, gram_volume

few = settings(max_examples=40, deadline=None)

UNSIGNED = ("volume", "volume_squared", "log_volume", "plane_distance")
SIGNED = ("signed_volume", "signed_plane_distance")
KINDS = UNSIGNED + SIGNED
RANGES = {"log_volume": (0.5 * math.log(LOG_EPS), 0.0), "signed_volume": (0, 2), "signed_plane_distance": (0, 2)}


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
def test_invariant_under_rotation_length_and_unless_signed_sign(kind):
    rows = draw()
    expected = gram_volume(*rows, kind=kind)
    rotation = torch.linalg.qr(draw(1, 7, 7, 1)[0]).Q
    factors = torch.tensor([[0.1], [-2.0], [30.0], [-1.0], [5.0]], dtype=torch.float64)
    if kind in SIGNED:
        assert not torch.allclose(gram_volume(*(r * factors for r in rows), kind=kind), expected, atol=0.1)
        factors = factors.abs()
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
def test_range(kind):
    for dim in (1, 2, 3, 50):
        volume = gram_volume(*draw(3, 6, dim, dtype=torch.float32), kind=kind)
        least, most = RANGES.get(kind, (0, 1))
        assert float(volume.min()) >= least - 1e-6
        assert float(volume.max()) <= most + 1e-6


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
    at_zero = 0.5 * math.log(LOG_EPS) + 0.5 if kind == "log_volume" else 2e-3
    assert float(volume.detach().diagonal().max()) < at_zero
    volume.sum().backward()
    for r in rows:
        assert torch.isfinite(r.grad).all()
        assert float(r.grad.abs().max()) < 1e4


@pytest.mark.parametrize("kind", SIGNED)
def test_signed_kinds_tell_a_vector_from_its_opposite(kind):
    shared, *noises = draw(4, 5, 7)
    image, text, signal = (shared + 0.3 * noise for noise in noises)
    plain = kind.removeprefix("signed_")
    unsigned, signed = (gram_volume(image, text, signal, kind=each).diagonal() for each in (plain, kind))
    for rows, least in (
        ((-image, text, signal), 1.0),
        ((image, -text, -signal), 1.0),
        ((image, -text, signal), 0.3),
        ((image, text, -signal), 0.3),
    ):
        torch.testing.assert_close(gram_volume(*rows, kind=plain).diagonal(), unsigned, atol=1e-9, rtol=0)
        assert float((gram_volume(*rows, kind=kind).diagonal() - signed).min()) > least
    one, other = draw(2, 1, 7)
    other = other - (other * one).sum() / (one * one).sum() * one
    for anchor, distance in ((one, 0), (other, math.sqrt(2) if "plane" in kind else 1), (-one, 2)):
        assert float(gram_volume(anchor, one, 3 * one, kind=kind)) == pytest.approx(distance, abs=1e-3)
    assert float(gram_volume(one, one, -one, kind=kind)) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", SIGNED)
def test_signed_kinds_let_the_anchor_move_within_the_span_near_alignment(kind):
    """Leaving the mean direction by an angle costs its fourth power; leaving the span costs its square."""
    angle = torch.tensor([0.05, 0.1, 0.2], dtype=torch.float64)
    anchors = torch.stack([angle.cos(), angle.sin(), 0 * angle], dim=1)
    first, second = (torch.tensor([[0.9, y, 0.0]], dtype=torch.float64).expand(3, 3) for y in (0.44, -0.44))
    squared = gram_volume(anchors, first, second, kind=kind)[:, 0].square()
    torch.testing.assert_close(squared, angle**4 / 4, atol=2e-8, rtol=0.02)


@pytest.mark.parametrize("kind", SIGNED)
def test_signed_distance_grows_with_the_angle_all_the_way_round(kind):
    angle = torch.linspace(0, math.pi, 50, dtype=torch.float64)
    anchors = torch.stack([angle.cos(), angle.sin()], dim=1)
    other = torch.tensor([[1.0, 0.0]], dtype=torch.float64).expand(50, 2)
    distance = gram_volume(anchors, other, kind=kind)[:, 0]
    torch.testing.assert_close(distance, (anchors - other).norm(dim=1), atol=2e-4, rtol=0)
    assert (distance.diff() > 0).all()


@pytest.mark.parametrize(("kind", "turned"), [("plane_distance", False), ("signed_plane_distance", True)])
def test_images_that_start_opposite_turn_round_only_with_a_sign(kind, turned):
    _, text, signal = draw(3, 6, 16)
    signal = text + 0.3 * signal
    image = (-text + 0.1 * draw(1, 6, 16, seed=3)[0]).requires_grad_()
    optimiser = torch.optim.Adam([image], lr=0.1)
    for _ in range(150):
        optimiser.zero_grad()
        gram_loss(image, text, signal, 14.3, kind=kind).backward()
        optimiser.step()
    cosines = unit_rows(image.detach()) @ unit_rows(text).T
    nearest, farthest = cosines.argmax(dim=1), cosines.argmin(dim=1)
    assert torch.equal(nearest if turned else farthest, torch.arange(6))


def test_hub_columns_of_the_volume_are_gone_from_the_plane_distance():
    """Images that know nothing of the pairs: half of the pairs are nearly parallel, and the volume prefers those."""
    image, text, signal = draw(3, 200, 64)
    signal[:100] = text[:100] + 0.4 * signal[:100]
    share = {
        kind: float((gram_volume(image, text, signal, kind=kind).argmin(dim=1) < 100).float().mean())
        for kind in ("volume", "plane_distance")
    }
    assert share["volume"] == 1.0
    assert 0.35 < share["plane_distance"] < 0.65  # two standard errors around one half


def test_the_text_projection_has_a_shortcut_past_the_image_unless_the_plane_distance_is_used():
    image, text, _ = draw(3, 8, 32)
    matched = text + 0.4 * image  # good images, and a report that merely repeats its signal
    for kind, images_count in (("volume", False), ("plane_distance", True)):
        rows = matched.clone().requires_grad_()
        loss = gram_loss(rows, text, text, 14.3, kind=kind, label_smoothing=0.0)
        (gradient,) = torch.autograd.grad(loss, rows)
        assert (float(loss.detach()) < 0.1) == images_count
        assert (float(loss.detach()) == pytest.approx(math.log(8), abs=1e-3)) != images_count
        assert (float(gradient.abs().max()) > 1e-7) == images_count
    # And the volume invites it: it falls when the report moves towards the signal, whatever the images are.
    signal = draw(1, 8, 32, seed=5)[0]
    volumes = [float(gram_volume(image, text + k * signal, signal).mean()) for k in (0, 1, 3, 10)]
    assert volumes == sorted(volumes, reverse=True)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_accurate_in_value_and_gradient(kind):
    rows = [r.float() for r in draw(3, 24, 96)]
    rows = [rows[0], rows[0] + rows[1], rows[0] + rows[2]]
    tables, gradients = [], []
    for dtype in (torch.float32, torch.float64):
        leaves = [r.to(dtype).requires_grad_() for r in rows]
        table = gram_volume(*leaves, kind=kind)
        gradients.append(torch.cat(torch.autograd.grad(table.sum(), leaves)).double())
        tables.append(table.detach().double())
    torch.testing.assert_close(tables[0], tables[1], atol=2e-6, rtol=0)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5 * float(gradients[1].abs().max()), rtol=0)


def test_the_derivative_by_hand_is_that_of_the_closed_form():
    for rows in (draw(3, 6, 9, dtype=torch.float32), draw(3, 6, 9)):
        rows[0][1] = 0  # a zero row
        rows[2][3] = rows[1][3]  # a clamped column
        results = []
        for by_hand in (True, False):
            leaves = [(5 * r).requires_grad_() for r in rows]
            if by_hand:
                table = gram_volume(*leaves)
            else:
                a, t, s = (unit_rows(leaf) for leaf in leaves)
                table = (squared_volume(a, [t, s]).clamp_min(0) + EPS).sqrt()
            weight = torch.arange(36, dtype=rows[0].dtype).reshape(6, 6).sin()
            weight[:, 3] = 0  # rounding decides there
            results.append((table.detach(), *torch.autograd.grad((table * weight).sum(), leaves)))
        for ours, plain in zip(*results, strict=True):
            tolerance = 2e-3 if rows[0].dtype == torch.float32 else 1e-7
            torch.testing.assert_close(ours, plain, atol=tolerance, rtol=0)


def test_a_determinant_that_was_clamped_sends_no_gradient():
    """Coarse dot products (TF32) make determinants negative by more than rounding: those pairs must stay silent."""
    a, t, s = (unit_rows(r) for r in draw(3, 4, 6))
    ones, x = torch.ones(4, 1, dtype=torch.float64), torch.full((4, 4), 0.9, dtype=torch.float64)
    volume = torch.full((4, 4), EPS, dtype=torch.float64).sqrt()
    volume[0, 1] = 0.5
    saved = SimpleNamespace(saved_tensors=(a, t, s, ones, ones, ones, x, -x, x[0], volume))
    grad_a, grad_t, grad_s = _VolumeOfThree.backward(saved, torch.ones(4, 4, dtype=torch.float64))
    assert [bool(row.any()) for row in grad_a] == [True, False, False, False]
    assert [bool(row.any()) for row in grad_t] == [bool(row.any()) for row in grad_s] == [False, True, False, False]


def test_reference_equals_ours_where_both_are_defined():
    rows = draw(3, 6, 32, dtype=torch.float32)
    torch.testing.assert_close(gram_volume(*rows, reference="gram"), gram_volume(*rows), atol=2e-6, rtol=0)
    ours, theirs = gram_loss(*rows, 14.3), gram_loss(*rows, 14.3, reference="gram")
    assert float(theirs) == pytest.approx(float(ours), abs=1e-5)
    four = draw(4, 4, 9)
    assert gram_volume(*four, reference="gram").dtype == torch.float32  # whatever the features are
    torch.testing.assert_close(gram_volume(*four, reference="gram").double(), gram_volume(*four), atol=1e-5, rtol=0)


def test_reference_has_a_nan_gradient_at_duplicates_where_ours_is_finite():
    one = draw(1, 4, 16, dtype=torch.float32)[0]
    for reference in ("gram", None):
        leaves = [one.clone().requires_grad_() for _ in range(3)]
        loss = gram_loss(*leaves, 14.3, reference=reference)
        loss.backward()
        assert torch.isfinite(loss)
        assert all(bool(torch.isfinite(leaf.grad).all()) != (reference == "gram") for leaf in leaves)


def test_reference_rounds_its_dot_products_under_autocast_and_ours_does_not():
    rows = draw(3, 8, 64, dtype=torch.float32)
    rows = [rows[0], rows[0] + 0.2 * rows[1], rows[0] + 0.2 * rows[2]]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, published = gram_volume(*rows), gram_volume(*rows, reference="gram")
    exact = gram_volume(*(r.double() for r in rows)).float()
    assert float((ours - exact).abs().max()) < 1e-5
    assert float((published - exact).abs().max()) > 1e-3


@pytest.mark.parametrize("reference", ["gram", None])
def test_the_loss_climbs_back_to_log_b_once_modalities_coincide(reference):
    """All three modalities of a record within `noise` of each other: better alignment, worse loss."""
    shared, *noises = draw(4, 8, 64, dtype=torch.float32)

    def loss(noise: float, **options) -> float:
        rows = [shared + noise * own for own in noises]
        return float(gram_loss(*rows, 1 / 0.07, label_smoothing=0.0, **options))

    volume = [loss(noise, reference=reference) for noise in (0.3, 1e-2, 1e-4)]
    assert volume[0] < 0.3 < volume[1] < volume[2]
    assert volume[2] == pytest.approx(math.log(8), abs=0.02)
    assert all(loss(noise, kind="plane_distance") < 0.05 for noise in (0.3, 1e-2, 1e-4))


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
        ("reference", {"reference": "paper"}),
        ("reference", {"reference": "gram", "kind": "plane_distance"}),
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


def test_backward_inside_autocast_gives_the_same_gradient():
    rows = torch.randn(3, 6, 16, generator=torch.Generator().manual_seed(3))
    gradients = []
    for enabled in (False, True):
        leaves = [x.clone().requires_grad_() for x in rows]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            gram_volume(*leaves).sum().backward()
        gradients.append(torch.stack([leaf.grad for leaf in leaves]))
    torch.testing.assert_close(*gradients)
