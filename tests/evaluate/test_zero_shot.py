"""Prompts, cosine ranking and retrieval, against hand-made embeddings with known answers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError, LabelError
from ecgscan_lab.evaluate import class_embeddings, retrieval, zero_shot

VECTORS = {"x": [2.0, 0.0, 0.0], "y": [0.0, 0.5, 0.0], "z": [0.0, 0.0, 1.0]}


def _encode(texts):
    return np.array([VECTORS[text] for text in texts])


def test_class_embedding_is_the_normalised_mean_of_normalised_prompts():
    found = class_embeddings({"both": ["x", "y"], "one": ["z"]}, _encode)
    np.testing.assert_allclose(found, [[np.sqrt(0.5), np.sqrt(0.5), 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
    np.testing.assert_allclose(class_embeddings({"both": ["y", "x"]}, _encode)[0], found[0])


def test_all_prompts_are_encoded_in_one_call():
    calls = []
    class_embeddings({"a": ["x", "y"], "b": ["z"]}, lambda texts: calls.append(texts) or _encode(texts))
    assert calls == [["x", "y", "z"]]


@pytest.mark.parametrize("prompts", [{}, {"a": []}, {"a": "x"}])
def test_class_without_prompts_is_refused(prompts):
    with pytest.raises(LabelError):
        class_embeddings(prompts, _encode)


def test_encoder_that_returns_rubbish_is_named():
    with pytest.raises(ArgumentError, match="encode"):
        class_embeddings({"a": ["x", "y"]}, lambda texts: np.ones((1, 3)))
    with pytest.raises(ArgumentError, match="zero or not finite"):
        class_embeddings({"a": ["x", "y"]}, lambda texts: np.zeros((2, 3)))
    with pytest.raises(ArgumentError, match="prompts"):  # prompts that cancel each other
        class_embeddings({"a": ["x", "y"]}, lambda texts: np.array([[1.0, 0.0], [-1.0, 0.0]]))


def _aligned(n=120, seed=0):
    rng = np.random.default_rng(seed)
    classes = rng.normal(size=(3, 8))
    labels = (rng.random((n, 3)) < 0.4).astype(int)
    return labels @ classes + rng.normal(size=(n, 8)), classes, labels


def test_scores_are_cosines_and_aligned_embeddings_beat_chance():
    images, classes, labels = _aligned()
    result = zero_shot(images, classes, labels, class_names=("MI", "HYP", "CD"))
    cosine = images @ classes.T / np.linalg.norm(images, axis=1)[:, None] / np.linalg.norm(classes, axis=1)
    np.testing.assert_allclose(result.scores, cosine, atol=1e-12)
    assert result.ci95[0] > 55.0
    assert list(result.per_class) == ["MI", "HYP", "CD"]
    assert result.n_test == 120


def test_unchanged_by_scale_and_by_a_common_rotation():
    images, classes, labels = _aligned()
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 8)))[0]
    reference = zero_shot(images, classes, labels)
    lengths = np.random.default_rng(2).uniform(0.1, 10.0, size=(120, 1))
    assert zero_shot(images * lengths, classes * 5.0, labels).macro_auroc == pytest.approx(reference.macro_auroc)
    assert zero_shot(images @ rotation, classes @ rotation, labels).macro_auroc == pytest.approx(reference.macro_auroc)


def test_equal_images_get_equal_scores():
    images, classes, labels = _aligned(n=37)
    images[20:] = images[3]
    scores = zero_shot(images, classes, labels).scores
    assert (scores[20:] == scores[3]).all()


def test_undefined_label_is_excluded_and_written_as_null():
    images, classes, labels = _aligned()
    labels[:, 1] = 0
    result = zero_shot(images, classes, labels, np.arange(120) // 2)
    written = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert written["per_class"]["class 1"] is None
    assert (written["n_defined"], written["n_classes"]) == (2, 3)
    assert result == zero_shot(images, classes, labels, np.arange(120) // 2)


def test_zero_shot_refuses_what_does_not_fit():
    images, classes, labels = _aligned()
    with pytest.raises(ArgumentError, match="class_embeddings"):
        zero_shot(images, classes[:, :5], labels)
    with pytest.raises(ArgumentError, match="labels"):
        zero_shot(images, classes, labels[:, :2])
    with pytest.raises(ArgumentError, match="row 4"):
        zero_shot(np.where(np.arange(120)[:, None] == 4, np.nan, images), classes, labels)
    with pytest.raises(LabelError):
        zero_shot(images, classes, np.zeros_like(labels))


def test_identical_embeddings_are_found_first():
    points = np.random.default_rng(0).normal(size=(40, 6))
    result = retrieval(points, 3.0 * points)
    assert result.recall_image_to_other == {1: 100.0, 5: 100.0, 10: 100.0}
    assert result.median_rank_other_to_image == 1.0


def test_ranks_by_hand():
    images = np.eye(3)
    others = np.array([[1.0, 0.0, 0.0], [0.9, 0.1, 0.0], [0.0, 0.8, 0.6]])
    # image 0 finds its own first, image 1 finds other 2 before other 1, image 2 finds its own first
    result = retrieval(images, others, ks=(1, 2))
    assert result.recall_image_to_other == pytest.approx({1: 200.0 / 3.0, 2: 100.0})
    # other 1 is nearer to image 0 and other 2 nearer to image 1 than to their own
    assert result.recall_other_to_image == pytest.approx({1: 100.0 / 3.0, 2: 100.0})
    assert (result.median_rank_image_to_other, result.median_rank_other_to_image) == (1.0, 2.0)


def test_equal_texts_count_as_hits():
    rng = np.random.default_rng(3)
    texts = np.array(["sinus rhythm"] * 30 + [f"rare {k}" for k in range(10)])
    points = rng.normal(size=(40, 6))
    points[:30] = points[0]
    images = points + 1e-3 * rng.normal(size=points.shape)
    strict, lenient = retrieval(images, points), retrieval(images, points, text_ids=texts)
    assert lenient.recall_image_to_other[1] == 100.0
    assert lenient.recall_other_to_image[1] == 100.0
    assert strict.recall_image_to_other[1] < 50.0


def test_collapsed_embeddings_score_as_chance():
    result = retrieval(np.ones((101, 4)), np.ones((101, 4)), ks=(1, 100))
    assert result.recall_image_to_other == {1: 0.0, 100: 100.0}
    assert result.median_rank_image_to_other == 51.0


def test_directions_swap_with_the_sets_and_recall_grows_with_k():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(1100, 5))  # more than are compared at once
    b = a + rng.normal(size=a.shape)
    forward, backward = retrieval(a, b), retrieval(b, a)
    assert forward.recall_image_to_other == backward.recall_other_to_image
    assert forward.median_rank_other_to_image == backward.median_rank_image_to_other
    recall = list(forward.recall_image_to_other.values())
    assert recall == sorted(recall)
    assert json.loads(json.dumps(forward.as_dict()))["recall_image_to_other"]["5"] == recall[1]


@pytest.mark.parametrize(
    "arguments",
    [
        (np.ones((3, 2)), np.ones((4, 2))),
        (np.ones((3, 2)), np.ones((3, 2)), (0,)),
        (np.ones((3, 2)), np.ones((3, 2)), ()),
        (np.ones((3, 2)), np.ones((3, 2)), (1,), ["a"]),
        (np.zeros((3, 2)), np.ones((3, 2))),
    ],
)
def test_retrieval_refuses_what_does_not_fit(arguments):
    with pytest.raises(ArgumentError):
        retrieval(*arguments)


def test_dot_products_count_length_and_cosines_do_not():
    found = class_embeddings({"both": ["x", "y"], "one": ["z"]}, _encode, similarity="dot")
    np.testing.assert_allclose(found, [[1.0, 0.25, 0.0], [0.0, 0.0, 1.0]])
    images, labels = np.array([[1.0, 0.0], [10.0, 10.0], [0.0, 1.0]]), np.array([[1], [0], [0]])
    cosine, dot = (zero_shot(images, [[1.0, 0.0]], labels, similarity=name) for name in ("cosine", "dot"))
    assert (cosine.macro_auroc, dot.macro_auroc) == (100.0, 50.0)
    np.testing.assert_allclose(dot.scores, [[1.0], [10.0], [0.0]])
    with pytest.raises(ArgumentError, match="similarity"):
        zero_shot(images, [[1.0, 0.0]], labels, similarity="euclid")
    with pytest.raises(ArgumentError, match="zero or not finite"):
        zero_shot(images * np.nan, [[1.0, 0.0]], labels, similarity="dot")
