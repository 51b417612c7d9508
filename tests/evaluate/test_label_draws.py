"""Few labels: each class keeps its share, patients stay whole, and MERL's subset is the published one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.label_draws import draw_labelled, merl_draw, stratified_draw


def _cohort(n: int = 4000, seed: int = 0, *, records_a_patient: int = 1):
    """Labels as uneven as PTB-XL's: half of the records with the commonest, a handful with the rarest."""
    rng = np.random.default_rng(seed)
    labels = rng.random((n, 12)) < np.geomspace(0.5, 0.001, 12)
    labels[:3, 11] = True  # the rarest occurs
    return labels, rng.integers(n // records_a_patient, size=n)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5])
def test_every_class_keeps_its_share_and_a_positive(fraction):
    labels, _ = _cohort()
    patients = np.arange(len(labels))
    for seed in range(5):
        drawn = stratified_draw(labels, patients, fraction, seed)
        assert len(drawn) == np.ceil(fraction * len(labels))
        kept, wanted = labels[drawn].sum(axis=0), fraction * labels.sum(axis=0)
        assert (kept >= 1).all()
        assert (np.abs(kept - wanted) <= np.maximum(1.5, 0.12 * wanted)).all()


def test_is_nearer_to_the_shares_than_a_plain_draw():
    labels, _ = _cohort()
    patients, wanted = np.arange(len(labels)), 0.1 * labels.sum(axis=0)
    error = {
        draw: np.mean(
            [np.abs(labels[draw_labelled(labels, patients, 0.1, s, draw)].sum(axis=0) - wanted) for s in range(10)]
        )
        for draw in ("stratified", "permuted")
    }
    assert error["stratified"] < 0.3 * error["permuted"]


def test_patients_are_in_or_out_with_all_their_records():
    labels, patients = _cohort(records_a_patient=3)
    drawn = stratified_draw(labels, patients, 0.1, seed=0)
    inside = np.zeros(len(labels), bool)
    inside[drawn] = True
    for patient in np.unique(patients[drawn]):
        assert inside[patients == patient].all()
    assert 400 - np.bincount(patients).max() < len(drawn) <= 400
    assert labels[drawn].any(axis=0).all()


def test_every_record_has_its_chance():
    labels = np.eye(2, dtype=bool)[np.arange(200) % 2]
    chosen = np.zeros(200)
    for seed in range(400):
        chosen[stratified_draw(labels, np.arange(200), 0.2, seed)] += 1
    assert chosen.mean() == 80.0
    assert chosen.min() > 45
    assert chosen.max() < 120


def test_seeds_decide_and_labels_without_positives_do_not_matter():
    labels, patients = _cohort(records_a_patient=2)
    a, b, c = (stratified_draw(labels, patients, 0.05, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(a, b)
    assert len(np.setdiff1d(a, c)) > 0
    with_empty = np.column_stack([labels, np.zeros(len(labels), bool)])
    np.testing.assert_array_equal(stratified_draw(with_empty, patients, 0.05, 3), a)


def test_a_subset_too_small_for_all_classes_serves_the_rarest_first():
    labels = np.zeros((100, 3), bool)
    labels[:60, 0], labels[60:95, 1], labels[95:, 2] = True, True, True
    drawn = stratified_draw(labels, np.arange(100), 0.02, seed=0)
    assert labels[drawn].sum(axis=0).tolist() == [0, 1, 1]


def test_merls_subset_is_scikit_learns_split_of_its_table():
    table = np.array([f"record {i}" for i in range(7197)])
    theirs, _ = train_test_split(table, train_size=0.1, random_state=42)
    assert set(theirs) == set(table[merl_draw(7197, 0.1)])
    # By hand: the last floor(share x n) of one permutation of the old generator.
    by_hand = np.random.RandomState(42).permutation(7197)[-719:]
    np.testing.assert_array_equal(merl_draw(7197, 0.1), np.sort(by_hand))


@pytest.mark.parametrize(
    ("task", "n", "expected"),
    [("superclass", 17084, 170), ("form", 7197, 71), ("rhythm", 16832, 168), ("cpsc", 4950, 49), ("csn", 16546, 165)],
)
def test_merls_one_percent_has_the_published_size(task, n, expected):
    assert len(merl_draw(n, 0.01)) == expected


def test_merls_subset_ignores_seed_and_labels():
    labels, patients = _cohort()
    a = draw_labelled(labels, patients, 0.01, 0, "merl")
    np.testing.assert_array_equal(a, draw_labelled(~labels, patients, 0.01, 9, "merl"))
    assert not labels[a].any(axis=0).all()  # a rare class is left without a positive


@pytest.mark.parametrize(
    ("fraction", "draw", "field"),
    [
        (0.0, "stratified", "label_fraction"),
        (1.1, "stratified", "label_fraction"),
        (0.5, "random", "draw"),
        (0.0001, "merl", "label_fraction"),
    ],
)
def test_bad_draws_are_typed_errors(fraction, draw, field):
    with pytest.raises(ArgumentError) as caught:
        draw_labelled(np.ones((100, 1), bool), np.arange(100), fraction, 0, draw)
    assert caught.value.field == field


def test_all_labels_are_all_labels():
    for draw in ("stratified", "permuted", "merl"):
        assert len(draw_labelled(np.ones((5, 1), bool), np.zeros(5), 1.0, 0, draw)) == 5
