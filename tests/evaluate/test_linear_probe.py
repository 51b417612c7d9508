"""The probe learns what is there, looks at no test record, and names what is wrong with its input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from ecgscan_lab.errors import ArgumentError, LabelError, SplitError
from ecgscan_lab.evaluate import linear_probe, macro_auroc, paired_difference_ci

SPLIT = np.array(["train"] * 240 + ["val"] * 80 + ["test"] * 80)


def _cohort(seed: int = 0, n_classes: int = 3, dim: int = 12):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(400, dim)) * np.geomspace(1.0, 100.0, dim) + 5.0
    noise = rng.normal(size=(400, n_classes))
    labels = ((features[:, :n_classes] - 5.0) / features[:, :n_classes].std(axis=0) + noise > 0.5).astype(int)
    return features, labels


def test_equals_a_plain_scikit_learn_pipeline():
    features, labels = _cohort()
    result = linear_probe(features, labels, SPLIT, c_grid=(0.1,), n_bootstrap=50)
    scaler = StandardScaler().fit(features[:240])
    expected = []
    for k in range(3):
        model = LogisticRegression(C=0.1, tol=1e-8).fit(scaler.transform(features[:240]), labels[:240, k])
        log_odds = model.decision_function(scaler.transform(features[320:]))
        np.testing.assert_allclose(result.scores[:, k], log_odds, atol=2e-3)
        expected.append(100.0 * roc_auc_score(labels[320:, k], log_odds))
    assert result.macro_auroc == pytest.approx(np.mean(expected), abs=0.1)
    assert (result.n_train, result.n_val, result.n_test, result.c) == (240, 80, 80, 0.1)
    assert result.converged


def test_equals_scikit_learn_with_fewer_labelled_records_than_features():
    features, labels = _cohort(dim=60)
    result = linear_probe(features, labels, SPLIT, c_grid=(0.1,), label_fraction=0.1, draw="permuted", n_bootstrap=20)
    train = np.sort(np.random.default_rng(0).permutation(240)[:24])
    scaler = StandardScaler().fit(features[train])
    for k in range(3):
        model = LogisticRegression(C=0.1, tol=1e-8).fit(scaler.transform(features[train]), labels[train, k])
        log_odds = model.decision_function(scaler.transform(features[320:]))
        np.testing.assert_allclose(result.scores[:, k], log_odds, atol=5e-3)


def test_c_is_the_best_on_validation():
    features, labels = _cohort(dim=100)
    grid = (1e-5, 1e-3, 0.1, 100.0)
    chosen = linear_probe(features, labels, SPLIT, c_grid=grid, n_bootstrap=20).c
    on_validation = SPLIT.copy()
    on_validation[240:320], on_validation[320:] = "test", "val"
    by_c = {c: linear_probe(features, labels, on_validation, c_grid=(c,), n_bootstrap=20).macro_auroc for c in grid}
    assert by_c[chosen] == pytest.approx(max(by_c.values()), abs=0.05)
    assert max(by_c.values()) > min(by_c.values()) + 0.5  # or the choice would mean nothing
    assert linear_probe(features, labels, SPLIT, c_grid=grid[::-1], n_bootstrap=20).c == chosen


def test_ties_go_to_the_strongest_regularisation():
    labels = np.tile([[0], [1]], (200, 1))
    assert linear_probe(labels * 2.0, labels, SPLIT, c_grid=(10.0, 0.01, 1.0), n_bootstrap=20).c == 0.01


def test_other_test_records_do_not_influence_a_score():
    features, labels = _cohort()
    reference = linear_probe(features, labels, SPLIT, n_bootstrap=20)
    changed_features, changed_labels = features.copy(), labels.copy()
    changed_features[321:] = np.random.default_rng(9).normal(size=(79, 12)) * 1e4
    changed_labels[321:] = 1 - changed_labels[321:]
    changed = linear_probe(changed_features, changed_labels, SPLIT, n_bootstrap=20)
    np.testing.assert_array_equal(changed.scores[0], reference.scores[0])
    assert changed.c == reference.c
    fewer = np.r_[:320, 320:350]
    np.testing.assert_array_equal(
        linear_probe(features[fewer], labels[fewer], SPLIT[fewer], n_bootstrap=20).scores, reference.scores[:30]
    )


def test_validation_chooses_c_and_nothing_else():
    features, labels = _cohort()
    shifted = features.copy()
    shifted[240:320] = shifted[240:320] * 3.0 - 40.0
    a = linear_probe(features, labels, SPLIT, c_grid=(0.1,), n_bootstrap=20)
    b = linear_probe(shifted, labels, SPLIT, c_grid=(0.1,), n_bootstrap=20)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_scaling_and_shifting_features_changes_nothing():
    features, labels = _cohort()
    a = linear_probe(features, labels, SPLIT, n_bootstrap=20)
    b = linear_probe(features * np.geomspace(1e-3, 1e3, 12) - 7.0, labels, SPLIT, n_bootstrap=20)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-2)
    assert a.macro_auroc == pytest.approx(b.macro_auroc, abs=0.1)


def test_constant_features_do_no_harm():
    features, labels = _cohort()
    features[:, 5] = 3.0
    assert np.isfinite(linear_probe(features, labels, SPLIT, n_bootstrap=20).macro_auroc)


def test_noise_scores_as_chance_and_signal_as_signal():
    features, labels = _cohort()
    noises = (np.random.default_rng(seed).normal(size=(400, 12)) for seed in range(101, 113))
    by_noise = [linear_probe(noise, labels, SPLIT, n_bootstrap=10).macro_auroc for noise in noises]
    assert np.mean(by_noise) == pytest.approx(50.0, abs=4.0)
    assert linear_probe(features, labels, SPLIT).ci95[0] > 60.0


def test_same_input_gives_the_same_result():
    features, labels = _cohort()
    a, b = (linear_probe(features, labels, SPLIT, seed=3, label_fraction=0.5) for _ in range(2))
    assert a == b
    assert a.train_s > 0.0
    assert a != linear_probe(features, labels, SPLIT, seed=4, label_fraction=0.5)


def test_permuted_label_fractions_are_nested_and_ignore_the_other_labels():
    features, labels = _cohort()
    few = linear_probe(features, labels, SPLIT, label_fraction=0.1, draw="permuted", n_bootstrap=20)
    assert (few.n_train, few.label_fraction) == (24, 0.1)
    order = np.random.default_rng(0).permutation(240)
    changed = labels.copy()
    changed[order[24:]] = 1 - changed[order[24:]]
    np.testing.assert_array_equal(
        linear_probe(features, changed, SPLIT, label_fraction=0.1, draw="permuted", n_bootstrap=20).scores, few.scores
    )
    assert linear_probe(features, labels, SPLIT, label_fraction=0.5, n_bootstrap=20).n_train == 120


def test_label_with_one_value_in_training_is_excluded_and_counted():
    features, labels = _cohort()
    labels[:240, 1] = 0
    result = linear_probe(features, labels, SPLIT, class_names=("MI", "HYP", "CD"), n_bootstrap=50)
    assert result.per_class["HYP"] is None
    assert (result.n_defined, result.n_classes) == (2, 3)
    assert result.macro_auroc == pytest.approx((result.per_class["MI"] + result.per_class["CD"]) / 2.0)
    assert np.isnan(result.scores[:, 1]).all()


def test_result_is_plain_json_and_its_scores_reproduce_its_figures():
    features, labels = _cohort()
    labels[320:, 2] = 0
    groups = np.arange(400) // 2
    result = linear_probe(features, labels, SPLIT, groups)
    written = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert written["per_class"]["class 2"] is None
    assert written["macro_auroc"] == result.macro_auroc == macro_auroc(result.targets, result.scores).macro
    assert written["ci95"][0] < written["macro_auroc"] < written["ci95"][1]
    np.testing.assert_array_equal(result.test_index, np.arange(320, 400))
    np.testing.assert_array_equal(result.targets, labels[320:].astype(bool))
    difference = paired_difference_ci(result.targets, result.scores, result.scores, groups[result.test_index])
    assert difference.difference == 0.0


def test_features_that_are_not_finite_are_named():
    features, labels = _cohort()
    features[[7, 31], 2] = np.nan, np.inf
    with pytest.raises(ArgumentError, match="2 of 400 rows: 7, 31") as caught:
        linear_probe(features, labels, SPLIT)
    assert caught.value.field == "features"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": np.zeros((399, 3), int)}, ArgumentError, "labels"),
        ({"labels": np.zeros(400, int)}, ArgumentError, "labels"),
        ({"labels": np.full((400, 3), -1)}, ArgumentError, "neither 0 nor 1"),
        ({"features": np.zeros(400)}, ArgumentError, "features"),
        ({"split": SPLIT[:-1]}, ArgumentError, "split"),
        ({"groups": np.arange(5)}, ArgumentError, "groups"),
        ({"split": np.where(SPLIT == "val", "train", SPLIT)}, SplitError, "the val split has no records"),
        ({"split": np.where(SPLIT == "val", "valid", SPLIT)}, SplitError, "unknown split 'valid'"),
        ({"groups": np.r_[np.arange(399), 0]}, SplitError, "1 patients are in both train and test"),
        ({"groups": np.r_[np.arange(320), np.zeros(80, int) + 999]}, SplitError, "single patient"),
        ({"labels": np.zeros((400, 3), int)}, LabelError, "training record"),
        ({"class_names": ("MI", "MI", "CD")}, ArgumentError, "class_names"),
        ({"label_fraction": 0.0}, ArgumentError, "label_fraction"),
        ({"label_fraction": 1.5}, ArgumentError, "label_fraction"),
        ({"c_grid": ()}, ArgumentError, "c_grid"),
        ({"c_grid": (0.1, -1.0)}, ArgumentError, "c_grid"),
    ],
)
def test_bad_input_is_a_typed_error(change, error, message):
    features, labels = _cohort()
    with pytest.raises(error, match=message):
        linear_probe(**{"features": features, "labels": labels, "split": SPLIT} | change)


@pytest.mark.parametrize(("rows", "name"), [(slice(240, 320), "validation"), (slice(320, 400), "test")])
def test_split_without_any_positive_is_named(rows, name):
    features, labels = _cohort()
    labels[rows] = 0
    with pytest.raises(LabelError, match=f"{name} split"):
        linear_probe(features, labels, SPLIT)
