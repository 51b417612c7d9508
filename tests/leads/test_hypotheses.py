"""Stories about leads, and what the laws can and cannot tell apart."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ecgscan_lab.leads import LIMB_PROJECTOR, derive_limb_leads, project_limb_leads
from ecgscan_lab.leads.hypotheses import (
    CEILING_DB,
    VIOLATION,
    _orders,
    _signed_orders,
    best_gains,
    best_order,
    best_order_and_gains,
    law_snr_db,
    limb_moments,
    recompute,
    snr_without_db,
    window_snr_db,
)
from ecgscan_lab.leads.names import LIMB_LEADS

# Electrode exchange -> the limb leads it leaves, from the electrodes' potentials.
ELECTRODES = list(itertools.permutations(range(3)))


def walk(seed: int = 0, time: int = 1000, noise: float = 1e-4) -> np.ndarray:
    """Six lawful limb leads of two smooth signals, with a little noise."""
    rng = np.random.default_rng(seed)
    i, ii = rng.normal(size=(2, time)).cumsum(axis=1) / 20
    return derive_limb_leads(i, ii) + noise * rng.normal(size=(6, time))


def from_electrodes(order: tuple[int, ...], seed: int = 0) -> np.ndarray:
    right, left, leg = np.random.default_rng(seed).normal(size=(3, 1000))[list(order)]
    return derive_limb_leads(left - right, leg - right)


def test_the_score_is_the_power_over_the_part_that_breaks_a_law():
    limb = np.random.default_rng(0).normal(size=(6, 300))
    centred = limb - limb.mean(axis=1, keepdims=True)
    broken = centred - LIMB_PROJECTOR @ centred
    expected = 10 * np.log10((centred**2).sum() / (broken**2).sum())
    assert law_snr_db(limb_moments(limb, 1)) == pytest.approx(expected, abs=1e-9)


def test_one_spoilt_window_does_not_move_the_score():
    limb = walk()
    before = law_snr_db(limb_moments(limb, 10))
    limb[0, 250:280] += 3.0
    moments = limb_moments(limb, 10)
    assert law_snr_db(moments) == pytest.approx(before, abs=3)
    assert int(np.argmin(window_snr_db(moments))) == 2
    assert window_snr_db(moments)[2] < 15


def test_lawful_and_flat_leads_have_defined_scores():
    assert law_snr_db(limb_moments(walk(noise=0), 10)) == pytest.approx(CEILING_DB, abs=1)
    assert np.isnan(law_snr_db(limb_moments(np.zeros((6, 100)), 4)))


def test_there_are_3840_classes_of_orders_with_signs_and_120_of_orders():
    stories = _signed_orders()
    assert len(stories.takes) == 46080 // 12
    assert len(_orders()) == 720 // 6
    assert len(np.unique(np.rint(21 * stories.forms), axis=0)) == 3840


@pytest.mark.parametrize("order", ELECTRODES)
@pytest.mark.parametrize("sign", [1, -1])
def test_exchanged_electrodes_and_a_turned_record_are_invisible(order, sign):
    limb = sign * from_electrodes(order)
    assert law_snr_db(limb_moments(limb, 10)) > 100
    story, _ = best_order(limb_moments(limb, 10))
    assert story.take == tuple(range(6))
    np.testing.assert_array_equal(story.gain, 1)


def test_every_exchange_of_two_leads_that_no_electrode_makes_is_undone():
    limb = walk()
    for i, j in itertools.combinations(range(6), 2):
        rows = np.arange(6)
        rows[[i, j]] = [j, i]
        story, next_db = best_order(limb_moments(limb[rows], 10))
        np.testing.assert_allclose(story.gain[:, None] * limb[rows][list(story.take)], limb, err_msg=f"{i} {j}")
        assert story.snr_db > next_db + 10


@pytest.mark.parametrize("k", range(6))
def test_every_lead_upside_down_is_undone(k):
    limb = walk(k)
    turned = limb * np.where(np.arange(6) == k, -1.0, 1.0)[:, None]
    story, _ = best_order(limb_moments(turned, 10))
    assert story.take == tuple(range(6))
    np.testing.assert_array_equal(np.flatnonzero(story.gain < 0), [k])
    assert story.alternatives == 0


def test_any_order_and_signs_are_undone_up_to_what_electrodes_do():
    rng = np.random.default_rng(3)
    limb = walk()
    for _ in range(20):
        mixed = rng.choice([-1.0, 1.0], size=(6, 1)) * limb[rng.permutation(6)]
        story, _ = best_order(limb_moments(mixed, 10))
        undone = story.gain[:, None] * mixed[list(story.take)]
        np.testing.assert_allclose(undone, project_limb_leads(undone, LIMB_LEADS, method="orthogonal"), atol=1e-3)


def test_gains_come_back_up_to_one_common_to_all():
    limb = walk()
    gains = np.array([1.0, 1.0, 1e-3, 1.0, -2.0, 1.0])
    story = best_gains(limb_moments(limb * gains[:, None], 10))
    np.testing.assert_allclose(story.gain, 1 / gains, rtol=2e-3)
    assert story.snr_db > 50
    all_differ = best_gains(limb_moments(limb / limb.std(axis=1, keepdims=True), 10))
    ratios = all_differ.gain / limb.std(axis=1)
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-2)


def test_gains_withstand_a_burst():
    limb = walk() * np.array([1.0, 1.0, 1.0, 0.5, 1.0, 1.0])[:, None]
    limb[2, 100:190] += 4 * np.random.default_rng(0).normal(size=90)
    np.testing.assert_allclose(best_gains(limb_moments(limb, 10)).gain, [1, 1, 1, 2, 1, 1], rtol=5e-3)


def test_order_and_gains_come_back_together():
    limb = walk()
    scaled = (limb / limb.std(axis=1, keepdims=True))[[0, 1, 2, 3, 5, 4]]
    story = best_order_and_gains(limb_moments(scaled, 10))
    assert story.take == (0, 1, 2, 3, 5, 4)
    assert story.snr_db > 50
    assert best_gains(limb_moments(scaled, 10)).snr_db < 25


def test_leaving_the_odd_lead_out_restores_the_laws():
    limb = walk()
    limb[3] = np.random.default_rng(1).normal(size=1000)
    scores = [snr_without_db(limb_moments(limb, 10), k) for k in range(6)]
    assert int(np.argmax(scores)) == 3
    assert scores[3] > 50
    assert max(scores[:3] + scores[4:]) < 15


@pytest.mark.parametrize("left_out", [(0,), (4,), (1, 5), (0, 3, 5), (2, 3, 4, 5)])
def test_recomputed_leads_are_those_that_were_left_out(left_out):
    limb = walk(noise=0)
    spoilt = limb.copy()
    spoilt[list(left_out)] = np.nan
    np.testing.assert_allclose(recompute(spoilt, left_out), limb, atol=1e-9)


def test_violation_is_one_minus_the_projector():
    np.testing.assert_allclose(VIOLATION @ VIOLATION, VIOLATION, atol=1e-15)
    np.testing.assert_allclose(VIOLATION @ LIMB_PROJECTOR, 0, atol=1e-15)
