from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.neighbours import (
    chance_share,
    class_medoids,
    map_trustworthiness,
    neighbour_indices,
    neighbour_overlap,
    same_label_share,
)

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(60, 6))
FLAT = ROWS[:, :2]


def test_trustworthiness_is_scikit_learns():
    ours = map_trustworthiness(ROWS, FLAT, k=5)
    assert ours == pytest.approx(trustworthiness(ROWS, FLAT, n_neighbors=5, metric="cosine"))


def test_no_row_is_its_own_neighbour_and_length_does_not_count():
    found = neighbour_indices(ROWS, 5)
    assert not (found == np.arange(60)[:, None]).any()
    assert (neighbour_indices(ROWS * RNG.uniform(0.1, 9, size=(60, 1)), 5) == found).all()


def test_overlap_is_unchanged_by_turning_and_scaling_the_map():
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    assert neighbour_overlap(ROWS, FLAT, 5) == pytest.approx(neighbour_overlap(ROWS, 3 * FLAT @ turn + 7, 5))
    assert neighbour_overlap(ROWS, FLAT, 5) < 100


def test_labels_drawn_by_lot_agree_as_chance_says():
    labels = RNG.choice(["a", "b"], size=60, p=[0.8, 0.2])
    shares = [same_label_share(ROWS, RNG.permutation(labels), 5) for _ in range(200)]
    assert np.mean(shares) == pytest.approx(chance_share(labels), abs=1.5)


def test_bad_arguments_are_named():
    for call, name in (
        (lambda: neighbour_indices(ROWS, 60), "k"),
        (lambda: neighbour_indices(ROWS * 0, 3), "rows"),
        (lambda: neighbour_indices(ROWS, 3, "city"), "metric"),
        (lambda: same_label_share(ROWS, ["a"], 3), "labels"),
        (lambda: neighbour_overlap(ROWS, FLAT[:5], 3), "points"),
    ):
        with pytest.raises(ArgumentError) as caught:
            call()
        assert caught.value.field == name


def test_the_middle_of_a_class_is_its_most_central_row_and_no_other_class_matters():
    angles = np.array([0.0, 0.2, 0.35, 1.5, 1.6, 1.9])
    rows, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), list("aaabbb")
    assert class_medoids(rows, labels) == {"a": 1, "b": 4}
    turned = rows @ np.array([[0.6, -0.8], [0.8, 0.6]]) * np.arange(1, 7)[:, None]
    assert class_medoids(turned, labels) == {"a": 1, "b": 4}
    assert class_medoids(rows[:4], labels[:4]) == {"a": 1, "b": 3}
    with pytest.raises(ArgumentError, match="one a row"):
        class_medoids(rows, labels[:5])
    with pytest.raises(ArgumentError, match="zero"):
        class_medoids(np.zeros((6, 2)), labels)
