"""Intervals of paired differences: Student's where only seeds differ, and honest coverage where patients do, too."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ecgscan_lab.errors import ArgumentError, LabelError, SplitError
from ecgscan_lab.evaluate import (
    bootstrap_average,
    bootstrap_macro_auroc,
    macro_auroc,
    paired_difference_ci,
    probe_difference,
    seed_interval,
)
from ecgscan_lab.evaluate.intervals import resampled_weights


def test_without_resamples_it_is_students_interval():
    rng = np.random.default_rng(0)
    for n in (2, 3, 8):
        d = rng.normal(1, 2, size=n)
        expected = stats.ttest_1samp(d, 0).confidence_interval(0.95)
        interval = seed_interval(d)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))
        assert interval.difference == pytest.approx(d.mean())
        assert interval.covers_zero == (expected.low <= 0 <= expected.high)


def test_patients_widen_it_and_swapping_turns_it_round():
    rng = np.random.default_rng(1)
    d = rng.normal(1.0, 0.5, size=5)
    draws = d.mean() + rng.normal(0, 1.0, size=1000)
    seeds, both = seed_interval(d), seed_interval(d, draws)
    assert both.high - both.low > seeds.high - seeds.low
    turned = seed_interval(-d, -draws)
    assert (turned.low, turned.high) == pytest.approx((-both.high, -both.low))
    assert seed_interval([0.0, 0.0, 0.0]) == (0.0, 0.0, 0.0)
    assert seed_interval([0.0, 0.0, 0.0]).covers_zero


def test_many_degrees_of_freedom_come_from_the_larger_source():
    draws = np.random.default_rng(2).normal(size=2000)
    interval = seed_interval([1.0, 1.0, 1.0], draws)
    assert interval.high - 1.0 == pytest.approx(1.96 * draws.std(ddof=1), rel=0.01)


def test_it_holds_the_truth_as_often_as_it_says():
    """Seeds with spread 1, patients with spread 0.7: 95 of 100 intervals hold the difference."""
    rng = np.random.default_rng(3)
    held = []
    for _ in range(1500):
        patients = rng.normal(0, 0.7)
        d = 2.0 + patients + rng.normal(0, 1.0, size=4)
        draws = d.mean() + rng.normal(0, 0.7, size=60)
        interval = seed_interval(d, draws)
        held.append(interval.low <= 2.0 <= interval.high)
    assert 0.93 < np.mean(held) < 0.975


def test_one_seed_knows_nothing_of_seeds():
    alone = seed_interval([1.0])
    assert np.isnan(alone.low)
    assert alone.covers_zero
    assert np.isfinite(seed_interval([1.0], np.array([0.5, 1.0, 1.5])).low)


def test_averages_are_taken_over_resampled_patients():
    rng = np.random.default_rng(4)
    values, groups = rng.normal(size=30), rng.integers(9, size=30)
    weights = resampled_weights(groups, 30, 40, seed=7)
    repeated = [np.repeat(values, w) for w in weights.T]
    mean = bootstrap_average(values, groups, n_bootstrap=40, seed=7)
    assert mean == pytest.approx([r.mean() for r in repeated])
    median = bootstrap_average(values, groups, kind="median", n_bootstrap=40, seed=7)
    assert median == pytest.approx([np.sort(r)[(len(r) - 1) // 2] for r in repeated])


def test_the_same_patients_are_drawn_as_for_auroc():
    """With one positive record per patient, resamples that lose it are NaN in both."""
    targets = np.array([1, 0, 0, 0, 0])[:, None]
    auroc = bootstrap_macro_auroc(targets, np.arange(5.0)[:, None], n_bootstrap=600, seed=5)
    share = bootstrap_average(targets[:, 0], n_bootstrap=600, seed=5)
    assert np.array_equal(np.isnan(auroc), (share == 0) | (share == 1))


def test_bad_arguments_are_named():
    for call, error, field in (
        (lambda: seed_interval([]), ArgumentError, "differences"),
        (lambda: seed_interval([[1.0]]), ArgumentError, "differences"),
        (lambda: seed_interval([1.0, 2.0], level=1.0), ArgumentError, "level"),
        (lambda: bootstrap_average([1.0, np.nan]), ArgumentError, "values"),
        (lambda: bootstrap_average([1.0, 2.0], kind="mode"), ArgumentError, "kind"),
        (lambda: bootstrap_average([1.0, 2.0], n_bootstrap=0), ArgumentError, "n_bootstrap"),
        (lambda: bootstrap_average([1.0, 2.0], [1]), ArgumentError, "groups"),
        (lambda: bootstrap_average([1.0, 2.0], [1, 1]), SplitError, "groups"),
    ):
        with pytest.raises(error) as refused:
            call()
        assert refused.value.field == field


def _two_encoders(n_draws=3, n=400):
    """Two probes a draw that agree on which patients are hard; A is a little better."""
    rng = np.random.default_rng(8)
    targets = rng.integers(2, size=(n, 2))
    hard = targets + rng.normal(0, 1.2, size=(n, 2))
    a, b = (hard + rng.normal(0, noise, size=(n_draws, n, 2)) for noise in (0.1, 0.5))
    return targets, a, b, rng.integers(n // 2, size=n)


def test_what_is_hard_for_both_encoders_cancels():
    targets, a, b, patients = _two_encoders()
    found = probe_difference(targets, a, b, patients, n_bootstrap=300)
    alone = [bootstrap_macro_auroc(targets, x[0], patients, n_bootstrap=300).std() for x in (a, b)]
    assert found.low > 0, "their own intervals overlap"
    assert 3.92 * min(alone) > 2 * found.difference
    assert found.difference == pytest.approx(
        np.mean([macro_auroc(targets, p).macro - macro_auroc(targets, q).macro for p, q in zip(a, b, strict=True)])
    )
    turned = probe_difference(targets, b, a, patients, n_bootstrap=300)
    assert turned == pytest.approx((-found.difference, -found.high, -found.low))
    assert probe_difference(targets, a, a, patients, n_bootstrap=20) == (0.0, 0.0, 0.0)


def test_one_draw_of_labels_is_the_paired_interval_of_patients():
    targets, a, b, patients = _two_encoders(n_draws=1)
    found = probe_difference(targets, a, b, patients, n_bootstrap=50, seed=3)
    assert tuple(found) == tuple(paired_difference_ci(targets, a[0], b[0], patients, n_bootstrap=50, seed=3))
    assert probe_difference(targets, a[0], b[0], patients, n_bootstrap=50, seed=3) == found


def test_a_label_that_one_of_them_never_learned_counts_for_neither():
    targets, a, b, _ = _two_encoders(n_draws=2)
    b[:, :, 1] = np.nan
    assert probe_difference(targets, a, b, n_bootstrap=10) == probe_difference(
        targets[:, :1], a[:, :, :1], b[:, :, :1], n_bootstrap=10
    )
    b[:, :, 0] = np.nan
    with pytest.raises(LabelError):
        probe_difference(targets, a, b, n_bootstrap=10)


@pytest.mark.parametrize("broken", ["draws", "records", "one draw", "some missing"])
def test_scores_that_do_not_belong_together_are_refused(broken):
    targets, a, b, _ = _two_encoders(n_draws=2)
    b = {"draws": b[:1], "records": b[:, :-1], "one draw": b[0][:-1], "some missing": b.copy()}[broken]
    if broken == "some missing":
        b[0, 3, 1] = np.nan
    with pytest.raises(ArgumentError):
        probe_difference(targets, a, b, n_bootstrap=10)
