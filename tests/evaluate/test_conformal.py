from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.conformal import at_prevalence, conformal_p, frequency_near, verdict_of


def test_p_values_of_exchangeable_pages_are_valid_and_not_idle():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(4000, 40)).round(1)  # rounded: ties occur
    p = np.array([conformal_p(row[0], row[1:]) for row in draws])
    for alpha in (0.05, 0.1, 0.3):
        assert (p <= alpha).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / len(p))
        assert (p <= alpha).mean() > 0.6 * alpha


def test_p_falls_as_the_score_rises_and_is_never_zero():
    reference = np.random.default_rng(1).normal(size=50)
    p = [conformal_p(score, reference) for score in np.linspace(-5, 5, 200)]
    assert (np.diff(p) <= 0).all()
    assert p[-1] == pytest.approx(1 / 51)


def test_false_alarms_and_misses_stay_below_alpha():
    rng = np.random.default_rng(2)
    said = {0: [], 1: []}
    for _ in range(2000):
        without, having = rng.normal(size=60), rng.normal(1.5, 1, size=60)
        for label in said:
            score = rng.normal(1.5 * label)
            said[label].append(verdict_of((score, score), without, having, alpha=0.1))
    assert np.isin(said[0], ["seen", "like neither"]).mean() <= 0.12
    assert np.isin(said[1], ["not seen", "like neither"]).mean() <= 0.12
    assert np.mean(np.array(said[1]) == "seen") > 0.2


def test_a_wide_interval_or_a_small_reference_abstains():
    without, having = np.linspace(-1, 1, 40), np.linspace(1, 3, 40)
    assert verdict_of((2.5, 2.5), without, having) == "seen"
    assert verdict_of((-0.8, -0.8), without, having) == "not seen"
    assert verdict_of((-0.8, 2.5), without, having) == "cannot be told"
    assert verdict_of((9.0, 9.0), without[:8], having[:8]) == "cannot be told"
    assert verdict_of((1.5, 1.5), np.linspace(-1, 1, 40), np.linspace(2, 3, 40)) == "like neither"


def test_frequencies_never_fall_and_are_calibrated():
    rng = np.random.default_rng(3)
    scores = rng.uniform(-3, 3, size=4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-scores))
    found = [frequency_near(score, scores, labels) for score in np.linspace(-3.5, 3.5, 60)]
    assert (np.diff([f.share for f in found]) >= 0).all()
    assert frequency_near(0.0, scores, labels).share == pytest.approx(0.5, abs=0.08)
    assert all(f.low <= f.share <= f.high and f.n >= 1 for f in found)


def test_prevalence_moves_odds_by_bayes_rule():
    assert at_prevalence(0.3, 0.2, 0.2) == pytest.approx(0.3)
    assert at_prevalence(0.8, 0.5, 0.1) == pytest.approx(4 / 13)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: conformal_p(1.0, []), "reference"),
        (lambda: conformal_p(np.nan, [1.0]), "score"),
        (lambda: verdict_of((0, 1), [0.0], [1.0], alpha=1.0), "alpha"),
        (lambda: verdict_of((2, 1), [0.0], [1.0]), "interval"),
        (lambda: frequency_near(0.0, [1.0], []), "scores"),
        (lambda: at_prevalence(0.5, 0.0, 0.5), "reference"),
        (lambda: at_prevalence(2.0, 0.5, 0.5), "share"),
    ],
)
def test_bad_input_names_the_argument(call, field):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert caught.value.field == field
