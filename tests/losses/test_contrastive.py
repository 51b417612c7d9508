import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import (
    contrastive_loss,
    report_floor,
    report_targets,
    smoothed_floor,
    symmetric_cross_entropy,
    unit_rows,
)

few = settings(max_examples=40, deadline=None)


def draw(batch: int = 5, dim: int = 7, seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    return list(torch.randn(2, batch, dim, dtype=dtype, generator=torch.Generator().manual_seed(seed)))


def naive_cross_entropy(logits: torch.Tensor, targets: list[list[float]]) -> float:
    total = 0.0
    for row, target in zip(logits.tolist(), targets, strict=True):
        partition = math.log(sum(math.exp(x) for x in row))
        total += sum(q * (partition - x) for q, x in zip(target, row, strict=True))
    return total / len(targets)


def naive_contrastive_loss(image, text, scale, smoothing, ids=None) -> float:
    batch = len(image)
    ids = list(range(batch)) if ids is None else ids
    logits = torch.zeros(batch, batch, dtype=torch.float64)
    targets = [[0.0] * batch for _ in range(batch)]
    for i in range(batch):
        for j in range(batch):
            logits[i, j] = scale * torch.dot(image[i], text[j]) / (image[i].norm() * text[j].norm())
            targets[i][j] = (1 - smoothing) * (ids[i] == ids[j]) / ids.count(ids[i]) + smoothing / batch
    return (naive_cross_entropy(logits, targets) + naive_cross_entropy(logits.T, targets)) / 2


@few
@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 10_000), st.floats(0.1, 50), st.floats(0, 0.9))
def test_equals_a_naive_loop(batch, dim, seed, scale, smoothing):
    image, text = draw(batch, dim, seed)
    loss = contrastive_loss(image, text, scale, label_smoothing=smoothing)
    assert float(loss) == pytest.approx(naive_contrastive_loss(image, text, scale, smoothing), abs=1e-6)


@few
@given(st.lists(st.integers(0, 3), min_size=1, max_size=7), st.integers(0, 10_000))
def test_equal_reports_share_the_target(ids, seed):
    image, text = draw(len(ids), 6, seed)
    loss = contrastive_loss(image, text, 14.3, text_ids=torch.tensor(ids))
    assert float(loss) == pytest.approx(naive_contrastive_loss(image, text, 14.3, 0.1, ids), abs=1e-6)


def test_distinct_reports_give_eq_1_exactly():
    image, text = draw()
    ids = torch.tensor([5, 3, 9, 1, 4])
    assert float(contrastive_loss(image, text, 9.0, text_ids=ids)) == pytest.approx(
        float(contrastive_loss(image, text, 9.0)), abs=1e-12
    )


def test_identical_text_features_make_shared_targets_and_eq_1_the_same_loss():
    image, text = draw()
    ids = torch.tensor([0, 1, 0, 2, 1])
    image, text = image.requires_grad_(), text[ids].requires_grad_()
    plain, shared = (contrastive_loss(image, text, 14.3, text_ids=given_ids) for given_ids in (None, ids))
    assert float(shared.detach()) == pytest.approx(float(plain.detach()), abs=1e-12)
    plain_gradient, shared_gradient = (torch.autograd.grad(loss, image)[0] for loss in (plain, shared))
    torch.testing.assert_close(shared_gradient, plain_gradient, atol=1e-12, rtol=0)
    # What differs is how low the loss can get.
    assert float(report_floor(ids)) > smoothed_floor(5) + 0.4


def test_shared_targets_forgive_confusing_equal_reports_with_different_features():
    text = torch.eye(4, dtype=torch.float64)
    image = text[[1, 0, 2, 3]]  # images 0 and 1 each lie on the other's report
    ids = torch.tensor([0, 0, 1, 2])
    assert float(contrastive_loss(image, text, 14.3)) == pytest.approx(
        float(contrastive_loss(text, text, 14.3)) + 0.9 * 14.3 / 2, abs=1e-6
    )
    assert float(contrastive_loss(image, text, 14.3, text_ids=ids)) == pytest.approx(
        float(contrastive_loss(text, text, 14.3, text_ids=ids)), abs=1e-9
    )


def test_symmetric_in_image_and_text():
    image, text = draw()
    assert float(contrastive_loss(image, text, 7.0)) == pytest.approx(float(contrastive_loss(text, image, 7.0)))


def test_invariant_under_rotation_shuffle_and_row_length():
    image, text = draw()
    expected = float(contrastive_loss(image, text, 7.0))
    rotation = torch.linalg.qr(draw(7, 7, 1)[0]).Q
    shuffle = torch.tensor([3, 1, 4, 0, 2])
    lengths = torch.tensor([[0.1], [2.0], [30.0], [1.0], [5.0]], dtype=torch.float64)
    for other in (
        contrastive_loss(image @ rotation, text @ rotation, 7.0),
        contrastive_loss(image[shuffle], text[shuffle], 7.0),
        contrastive_loss(image * lengths, text / lengths, 7.0),
    ):
        assert float(other) == pytest.approx(expected, abs=1e-12)


def test_gradcheck():
    image, text = (rows.requires_grad_() for rows in draw(3, 4))
    scale = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(contrastive_loss, (image, text, scale))


def test_matched_pairs_reach_the_floor_and_nothing_does_better():
    batch, gap = 80, 6.58
    best = symmetric_cross_entropy(gap * torch.eye(batch, dtype=torch.float64))
    assert float(best) == pytest.approx(smoothed_floor(batch, 0.1), abs=1e-5)
    for other_gap in (3.0, 6.0, 7.2, 30.0):
        assert float(symmetric_cross_entropy(other_gap * torch.eye(batch))) > float(best)


@pytest.mark.parametrize(("batch", "floor"), [(1, 0.0), (80, 0.7538), (128, 0.804), (256, 0.876)])
def test_smoothed_floor_numbers(batch, floor):
    assert smoothed_floor(batch, 0.1) == pytest.approx(floor, abs=5e-4)
    assert smoothed_floor(batch, 0.0) == 0


@few
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.floats(0, 0.9), st.integers(0, 10_000))
def test_no_logits_fall_below_the_report_floor(ids, smoothing, seed):
    text_ids = torch.tensor(ids)
    logits = 10 * torch.randn(len(ids), len(ids), generator=torch.Generator().manual_seed(seed))
    loss = symmetric_cross_entropy(logits, label_smoothing=smoothing, text_ids=text_ids)
    floor = float(report_floor(text_ids, smoothing))
    assert float(loss) >= floor - 1e-5
    target = (1 - smoothing) * report_targets(text_ids) + smoothing / len(ids)
    reached = symmetric_cross_entropy(target.clamp_min(1e-30).log(), label_smoothing=smoothing, text_ids=text_ids)
    assert float(reached) == pytest.approx(floor, abs=1e-5)


def test_report_floor_reduces_to_the_two_extremes():
    assert float(report_floor(torch.arange(80))) == pytest.approx(smoothed_floor(80), abs=1e-6)
    assert float(report_floor(torch.zeros(80, dtype=torch.long))) == pytest.approx(math.log(80), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_features_are_compared_in_float32(dtype):
    image, text = (rows.to(dtype) for rows in draw())
    loss = contrastive_loss(image, text, 20.0)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(contrastive_loss(image.double(), text.double(), 20.0)), abs=1e-5)


def test_unit_rows_survive_any_scale():
    rows = draw(3, 4)[0].float()
    for scale in (1e-30, 1e-6, 1.0, 1e6, 1e30):
        torch.testing.assert_close(unit_rows(rows * scale), unit_rows(rows), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("image", {"image": torch.zeros(5)}),
        ("image", {"image": torch.zeros(0, 7), "text": torch.zeros(0, 7)}),
        ("image", {"image": torch.zeros(5, 7, dtype=torch.long)}),
        ("image", {"image": [[0.0] * 7] * 5}),
        ("text", {"text": torch.zeros(4, 7)}),
        ("text", {"text": torch.zeros(5, 6)}),
        ("text", {"text": torch.full((5, 7), torch.nan)}),
        ("logit_scale", {"logit_scale": 0.0}),
        ("logit_scale", {"logit_scale": torch.tensor(-1.0)}),
        ("logit_scale", {"logit_scale": torch.ones(5)}),
        ("logit_scale", {"logit_scale": float("nan")}),
        ("label_smoothing", {"label_smoothing": 1.0}),
        ("label_smoothing", {"label_smoothing": -0.1}),
        ("text_ids", {"text_ids": torch.arange(4)}),
        ("text_ids", {"text_ids": torch.zeros(5)}),
        ("text_ids", {"text_ids": torch.zeros(5, dtype=torch.bool)}),
    ],
)
def test_bad_arguments_are_named(field, change):
    image, text = draw()
    with pytest.raises(ArgumentError) as refused:
        contrastive_loss(**({"image": image, "text": text, "logit_scale": 14.3} | change))
    assert refused.value.field == field
    assert refused.value.expected


def test_floor_and_table_refuse_what_they_cannot_use():
    with pytest.raises(ArgumentError, match="at least 1"):
        smoothed_floor(0)
    with pytest.raises(ArgumentError, match=r"\[batch, batch\]"):
        symmetric_cross_entropy(torch.zeros(3, 4))
