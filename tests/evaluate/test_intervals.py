"""Macro AUROC against scikit-learn and closed forms; intervals against scipy and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import roc_auc_score

from ecgscan_lab.errors import ArgumentError, LabelError, SplitError
from ecgscan_lab.evaluate import bootstrap_ci, bootstrap_macro_auroc, macro_auroc, paired_difference_ci
from ecgscan_lab.evaluate.intervals import _patient_weights, _weighted_auroc


def _problem(n: int, n_classes: int, seed: int = 0, gap: float = 1.0, decimals: int | None = None):
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, n_classes)) < np.linspace(0.2, 0.5, n_classes)).astype(int)
    scores = rng.normal(size=(n, n_classes)) + gap * targets
    return targets, scores if decimals is None else scores.round(decimals)


@pytest.mark.parametrize("decimals", [None, 1, 0])
def test_equals_scikit_learn_with_and_without_ties(decimals):
    targets, scores = _problem(300, 6, decimals=decimals)
    expected = 100.0 * roc_auc_score(targets, scores, average=None)
    result = macro_auroc(targets, scores)
    np.testing.assert_allclose(result.per_class, expected, rtol=1e-12)
    assert result.macro == pytest.approx(expected.mean(), rel=1e-12)
    assert result.n_defined == 6


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.int8, st.tuples(st.integers(2, 30)), elements=st.integers(0, 1)),
    st.integers(0, 5),
    st.integers(0, 2**32 - 1),
)
def test_equals_the_mean_over_all_pairs(truth, n_values, seed):
    scores = np.random.default_rng(seed).integers(n_values + 1, size=len(truth)).astype(float)
    positive, negative = scores[truth == 1], scores[truth == 0]
    if not len(positive) or not len(negative):
        with pytest.raises(LabelError):
            macro_auroc(truth[:, None], scores[:, None])
        return
    gap = np.sign(positive[:, None] - negative[None, :])
    assert macro_auroc(truth[:, None], scores[:, None]).macro == pytest.approx(50.0 * (gap + 1.0).mean(), abs=1e-9)


def test_closed_forms():
    truth = np.array([[1], [1], [0], [0]])
    assert macro_auroc(truth, [[4.0], [3.0], [2.0], [1.0]]).macro == 100.0
    assert macro_auroc(truth, [[1.0], [2.0], [3.0], [4.0]]).macro == 0.0
    assert macro_auroc(truth, np.ones((4, 1))).macro == 50.0
    assert macro_auroc(truth, [[4.0], [2.0], [3.0], [1.0]]).macro == 75.0
    assert macro_auroc(truth, [[np.inf], [2.0], [2.0], [-np.inf]]).macro == 87.5


def test_unchanged_by_a_monotone_transform_and_mirrored_by_a_sign_flip():
    targets, scores = _problem(200, 4, decimals=1)
    reference = macro_auroc(targets, scores)
    np.testing.assert_array_equal(macro_auroc(targets, np.exp(scores / 3.0)).per_class, reference.per_class)
    np.testing.assert_allclose(macro_auroc(targets, -scores).per_class, 100.0 - reference.per_class, rtol=1e-12)


def test_order_of_records_does_not_matter():
    targets, scores = _problem(200, 4, decimals=1)
    order = np.random.default_rng(1).permutation(200)
    np.testing.assert_array_equal(
        macro_auroc(targets[order], scores[order]).per_class, macro_auroc(targets, scores).per_class
    )


def test_undefined_labels_are_left_out_and_counted():
    targets, scores = _problem(50, 4)
    targets[:, 1], targets[:, 2] = 0, 1
    result = macro_auroc(targets, scores)
    assert np.isnan(result.per_class[[1, 2]]).all()
    assert result.n_defined == 2
    assert result.macro == pytest.approx(result.per_class[[0, 3]].mean())


def test_a_label_without_a_model_is_undefined():
    targets, scores = _problem(50, 2)
    scores[:, 0] = np.nan
    result = macro_auroc(targets, scores)
    assert result.n_defined == 1
    assert np.isnan(result.per_class[0])
    low, high = bootstrap_ci(targets, scores)
    assert low <= result.macro <= high


@pytest.mark.parametrize(
    ("targets", "scores", "field"),
    [
        ([[1], [0]], [[1.0]], "scores"),
        ([1, 0], [1.0, 0.0], "scores"),
        (np.empty((0, 2)), np.empty((0, 2)), "scores"),
        ([[2], [0]], [[1.0], [0.0]], "targets"),
        ([[np.nan], [0]], [[1.0], [0.0]], "targets"),
        ([[1], [0]], [[np.nan], [0.0]], "scores"),
    ],
)
def test_bad_input_is_a_typed_error(targets, scores, field):
    with pytest.raises(ArgumentError) as caught:
        macro_auroc(targets, scores)
    assert caught.value.field == field


def test_weights_mean_repeated_records():
    """A record of weight 3 counts as three equal records, one of weight 0 as none."""
    rng = np.random.default_rng(5)
    truth = rng.random(60) < 0.4
    scores = rng.normal(size=60).round(1)
    weights = rng.integers(4, size=(60, 7)).astype(np.int32)
    found = _weighted_auroc(truth, scores, weights)
    for j in range(7):
        index = np.repeat(np.arange(60), weights[:, j])
        assert found[j] == pytest.approx(100.0 * roc_auc_score(truth[index], scores[index]), rel=1e-12)


def test_a_resample_that_loses_all_positives_is_undefined_there():
    truth, scores = np.array([True, False, False]), np.array([1.0, 0.0, 2.0])
    weights = np.array([[0, 1], [2, 1], [1, 1]], dtype=np.int32)
    found = _weighted_auroc(truth, scores, weights)
    assert np.isnan(found[0])
    assert found[1] == 50.0
    targets = np.zeros((8, 2), dtype=int)
    targets[0, 0], targets[:4, 1] = 1, 1  # the first label has one positive: a third of the resamples lose it
    draws = bootstrap_macro_auroc(targets, np.arange(16.0).reshape(8, 2), n_bootstrap=300)
    assert np.isfinite(draws).mean() > 0.95


def test_records_of_a_patient_are_drawn_together():
    patient = np.array([0, 0, 0, 1, 2, 2])
    weights = _patient_weights(patient, 50, np.random.default_rng(0))
    assert (weights[0] == weights[1]).all()
    assert (weights[1] == weights[2]).all()
    assert (weights[4] == weights[5]).all()
    np.testing.assert_array_equal(weights[[0, 3, 4]].sum(axis=0), 3)  # three patients in every resample


def test_repeating_every_record_of_a_patient_changes_nothing():
    targets, scores = _problem(80, 3)
    once = bootstrap_ci(targets, scores, np.arange(80), n_bootstrap=200)
    twice = bootstrap_ci(
        np.repeat(targets, 3, axis=0), np.repeat(scores, 3, axis=0), np.repeat(np.arange(80), 3), n_bootstrap=200
    )
    assert once == twice
    as_independent = bootstrap_ci(np.repeat(targets, 3, axis=0), np.repeat(scores, 3, axis=0), n_bootstrap=200)
    assert as_independent[1] - as_independent[0] < 0.75 * (once[1] - once[0])  # the mistake that groups prevent


def test_interval_matches_scipy_on_independent_records():
    targets, scores = _problem(250, 1, seed=3)

    def auroc(index):
        truth, ranks = targets[index, 0], stats.rankdata(scores[index, 0])
        n, n_positive = len(index), truth.sum()
        return 100.0 * (ranks[truth == 1].sum() / n_positive - (n_positive + 1) / 2.0) / (n - n_positive)

    reference = stats.bootstrap(
        (np.arange(250),),
        auroc,
        vectorized=False,
        n_resamples=2000,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = bootstrap_ci(targets, scores, n_bootstrap=4000)
    assert low == pytest.approx(reference.low, abs=0.8)
    assert high == pytest.approx(reference.high, abs=0.8)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    """Normal scores one standard deviation apart have AUROC Phi(1 / sqrt 2); patients bring one to four records."""
    truth = 100.0 * stats.norm.cdf(1.0 / np.sqrt(2.0))
    rng = np.random.default_rng(11)
    covered = 0
    for trial in range(200):
        patient = np.repeat(np.arange(60), rng.integers(1, 5, size=60))
        sick = rng.random(60) < 0.4
        shared = rng.normal(size=60) * np.sqrt(0.7)
        scores = shared[patient] + rng.normal(size=len(patient)) * np.sqrt(0.3) + sick[patient]
        low, high = bootstrap_ci(sick[patient][:, None], scores[:, None], patient, n_bootstrap=300, seed=trial)
        covered += low <= truth <= high
    assert 0.89 <= covered / 200 <= 0.985


@pytest.mark.slow
def test_patient_level_interval_of_the_macro_holds_what_it_promises_and_a_record_level_one_does_not():
    """Three labels of 40, 25 and 15 %, two to ten alike records a patient, 150 patients: 92 to 98 of 100 hold."""
    truth = 100.0 * stats.norm.cdf(1.0 / np.sqrt(2.0 * 1.25))
    rng = np.random.default_rng(0)
    held = {"patients": [], "records": []}
    for trial in range(600):
        patient = np.repeat(np.arange(150), 1 + rng.geometric(0.35, size=150))
        sick = rng.random((150, 3)) < (0.4, 0.25, 0.15)
        level = sick + rng.normal(size=(150, 3))
        scores = level[patient] + 0.5 * rng.normal(size=(len(patient), 3))
        for name, groups in (("patients", patient), ("records", None))[: 2 if trial < 150 else 1]:
            low, high = bootstrap_ci(sick[patient], scores, groups, n_bootstrap=300, seed=trial)
            held[name].append(low <= truth <= high)
    assert 0.92 <= np.mean(held["patients"]) <= 0.98  # 0.95 +- 2 standard errors of 0.9 points, and the bootstrap's own
    assert np.mean(held["records"]) < 0.80


def test_same_seed_same_interval_and_other_seed_another():
    targets, scores = _problem(100, 2)
    assert bootstrap_ci(targets, scores, seed=4) == bootstrap_ci(targets, scores, seed=4)
    assert bootstrap_ci(targets, scores, seed=4) != bootstrap_ci(targets, scores, seed=5)


def test_wider_level_gives_wider_interval():
    targets, scores = _problem(100, 2)
    low_80, high_80 = bootstrap_ci(targets, scores, level=0.8)
    low_99, high_99 = bootstrap_ci(targets, scores, level=0.99)
    assert low_99 < low_80 < high_80 < high_99


def test_paired_difference_flips_with_the_models_and_is_narrower_than_two_intervals():
    targets, scores = _problem(300, 3)
    better = scores + 0.3 * targets
    ab = paired_difference_ci(targets, better, scores)
    ba = paired_difference_ci(targets, scores, better)
    assert ab.difference == pytest.approx(macro_auroc(targets, better).macro - macro_auroc(targets, scores).macro)
    assert (ab.difference, ab.low, ab.high) == pytest.approx((-ba.difference, -ba.high, -ba.low))
    assert 0.0 < ab.low < ab.difference < ab.high
    low, high = bootstrap_ci(targets, scores)
    assert ab.high - ab.low < 0.5 * (high - low)
    assert tuple(paired_difference_ci(targets, scores, scores)) == (0.0, 0.0, 0.0)


def test_paired_difference_judges_both_on_the_labels_that_both_have():
    targets, scores = _problem(100, 2)
    partial = scores.copy()
    partial[:, 0] = np.nan
    assert tuple(paired_difference_ci(targets, scores, partial)) == (0.0, 0.0, 0.0)
    with pytest.raises(LabelError):
        paired_difference_ci(targets[:, :1], scores[:, :1], partial[:, :1])


def test_bootstrap_refuses_what_cannot_be_resampled():
    targets, scores = _problem(20, 1)
    with pytest.raises(SplitError):
        bootstrap_ci(targets, scores, ["one"] * 20)
    with pytest.raises(ArgumentError, match="groups"):
        bootstrap_ci(targets, scores, ["a", "b"])
    with pytest.raises(ArgumentError, match="level"):
        bootstrap_ci(targets, scores, level=95.0)
    with pytest.raises(ArgumentError, match="n_bootstrap"):
        bootstrap_ci(targets, scores, n_bootstrap=0)
    with pytest.raises(LabelError):
        bootstrap_ci(np.zeros((20, 1), dtype=int), scores)
