import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import (
    INDEPENDENT_LEADS,
    LEADS,
    LIMB_LEADS,
    LIMB_PROJECTOR,
    derive_limb_leads,
    derive_twelve_leads,
    einthoven_projection,
    goldberger_equations,
    limb_law_residuals,
    project_limb_leads,
    zero_sum_projection,
)

few = settings(max_examples=40, deadline=None)

METHODS = ("paper", "paper_raw", "zero_sum", "orthogonal")

millivolts = st.floats(-10, 10, allow_subnormal=False, width=32)
limb_signals = hnp.arrays(np.float64, (6, 3), elements=millivolts)


def lawful_signal(seed: int = 0, time: int = 50) -> np.ndarray:
    rng = np.random.default_rng(seed)
    limb = derive_limb_leads(rng.normal(size=time), rng.normal(size=time))
    return np.concatenate([limb, rng.normal(size=(6, time))])


# laws and projections -------------------------------------------------------------------------------------------------


def test_projector_is_the_orthogonal_projector_of_rank_two():
    np.testing.assert_allclose(LIMB_PROJECTOR, LIMB_PROJECTOR.T, atol=0)
    np.testing.assert_allclose(LIMB_PROJECTOR @ LIMB_PROJECTOR, LIMB_PROJECTOR, atol=1e-15)
    assert np.trace(LIMB_PROJECTOR) == pytest.approx(2, abs=1e-15)
    assert np.linalg.matrix_rank(LIMB_PROJECTOR) == 2


def test_projector_is_exact_in_integers():
    integers = np.rint(LIMB_PROJECTOR * 21).astype(int)
    np.testing.assert_array_equal(integers / 21.0, LIMB_PROJECTOR)
    np.testing.assert_array_equal(integers @ integers, 21 * integers)


def test_projector_cannot_be_overwritten():
    with pytest.raises(ValueError, match="read-only"):
        LIMB_PROJECTOR[0, 0] = 1


def test_projector_equals_the_pseudo_inverse_of_the_lead_matrix():
    leads_from_i_and_ii = derive_limb_leads(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(LIMB_PROJECTOR, leads_from_i_and_ii @ np.linalg.pinv(leads_from_i_and_ii), atol=1e-15)


@few
@given(limb_signals)
def test_orthogonal_method_is_the_projector(limb):
    projected = project_limb_leads(limb, LIMB_LEADS, method="orthogonal")
    np.testing.assert_allclose(projected, LIMB_PROJECTOR @ limb, atol=1e-13)


@few
@given(hnp.arrays(np.float64, (3, 4), elements=millivolts))
def test_eq_6_is_the_orthogonal_projection_onto_einthovens_law(leads):
    normal = np.array([1.0, -1.0, 1.0])
    expected = leads - np.outer(normal, normal) @ leads / 3
    refined = np.stack(einthoven_projection(*leads))
    np.testing.assert_allclose(refined, expected, atol=1e-13)
    i, ii, iii = leads
    printed_i, printed_iii = (2 * i + ii - iii) / 3, (-i + ii + 2 * iii) / 3
    np.testing.assert_allclose(refined, [printed_i, printed_i + printed_iii, printed_iii], atol=1e-13)


@few
@given(hnp.arrays(np.float64, (3, 4), elements=millivolts))
def test_zero_sum_is_an_orthogonal_projection(leads):
    refined = np.stack(zero_sum_projection(*leads))
    np.testing.assert_allclose(refined.sum(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(np.stack(zero_sum_projection(*refined)), refined, atol=1e-13)
    np.testing.assert_allclose(leads - refined, np.broadcast_to(leads.mean(axis=0), (3, 4)), atol=1e-13)


def test_goldberger_leads_sum_to_zero():
    rng = np.random.default_rng(1)
    np.testing.assert_allclose(sum(goldberger_equations(rng.normal(size=9), rng.normal(size=9))), 0, atol=1e-15)


@pytest.mark.parametrize("method", METHODS)
def test_projections_leave_lawful_signals_alone(method):
    signal = lawful_signal()
    np.testing.assert_allclose(project_limb_leads(signal, method=method), signal, atol=1e-14)


@pytest.mark.parametrize("method", METHODS)
@few
@given(limb=limb_signals)
def test_projections_give_the_laws_that_they_promise(method, limb):
    projected = project_limb_leads(limb, LIMB_LEADS, method=method)
    residuals = limb_law_residuals(projected, LIMB_LEADS)
    promised = ("II - (I + III)", "aVR + aVL + aVF") if method in ("paper_raw", "zero_sum") else tuple(residuals)
    for law in promised:
        np.testing.assert_allclose(residuals[law], 0, atol=1e-12, err_msg=law)
    if method != "paper_raw":
        again = project_limb_leads(projected, LIMB_LEADS, method=method)
        np.testing.assert_allclose(again, projected, atol=1e-12)


def test_raw_and_refined_goldberger_differ_when_einthoven_is_broken():
    limb = np.array([[1.0], [1.0], [1.0], [0.0], [0.0], [0.0]])
    raw, refined = (project_limb_leads(limb, LIMB_LEADS, method=m)[3:, 0] for m in ("paper_raw", "paper"))
    np.testing.assert_allclose(raw, [-1.0, 0.5, 0.5])
    np.testing.assert_allclose(refined, [-1.0, 0.0, 1.0], atol=1e-15)


@pytest.mark.parametrize("method", METHODS)
@few
@given(order=st.permutations(range(12)))
def test_projection_goes_by_name_and_keeps_the_chest(method, order):
    signal = np.random.default_rng(5).normal(size=(2, 12, 7))
    names = [LEADS[k] for k in order]
    expected = project_limb_leads(signal, method=method)
    np.testing.assert_array_equal(project_limb_leads(signal[:, list(order)], names, method=method), expected[:, order])
    np.testing.assert_array_equal(expected[:, 6:], signal[:, 6:])


def test_residuals_are_linear_and_see_a_lead_swap_and_an_offset():
    signal = lawful_signal(2)
    for law, residual in limb_law_residuals(signal).items():
        np.testing.assert_allclose(residual, 0, atol=1e-14, err_msg=law)
    swapped = limb_law_residuals(signal[[0, 1, 2, 3, 5, 4, *range(6, 12)]])
    seen = {law for law, residual in swapped.items() if np.abs(residual).max() > 0.1}
    assert seen == {"aVL - (I - III)/2", "aVF - (II + III)/2"}
    offset = limb_law_residuals(signal + 1.0)
    assert {law for law, residual in offset.items() if np.abs(residual).max() > 0.1} == set(swapped) - {
        "aVF - (II + III)/2"
    }
    np.testing.assert_allclose(offset["aVR + aVL + aVF"], 3)


def test_min_max_scaling_breaks_the_laws_by_a_known_amount():
    signal = lawful_signal(3)
    low, extent = signal.min(), np.ptp(signal)
    residuals = limb_law_residuals((signal - low) / extent)
    np.testing.assert_allclose(residuals["II - (I + III)"], low / extent)
    np.testing.assert_allclose(residuals["aVR + aVL + aVF"], -3 * low / extent)


def test_projector_equals_eq_6_on_leads_that_obey_goldberger_and_differs_elsewhere():
    """P x is Eq. 6 on I, II, III when aVR, aVL, aVF follow from the refined three; otherwise P listens to them too."""
    rng = np.random.default_rng(6)
    three = rng.normal(size=(3, 20))
    refined = np.stack(einthoven_projection(*three))
    limb = np.concatenate([three, np.stack(goldberger_equations(*refined[:2]))])
    np.testing.assert_allclose((LIMB_PROJECTOR @ limb)[:3], refined, atol=1e-13)
    np.testing.assert_allclose(project_limb_leads(limb, LIMB_LEADS), LIMB_PROJECTOR @ limb, atol=1e-13)
    limb[3:] = rng.normal(size=(3, 20))
    assert np.abs((LIMB_PROJECTOR @ limb)[:3] - refined).max() > 0.1


def test_eq_6_is_the_same_projector_restricted_to_what_three_leads_can_span():
    """The 3 x 3 matrix of Eq. 6 is symmetric, idempotent, of trace 2, and fixes I + III = II, as P does for all six."""
    eq_6 = np.stack(einthoven_projection(*np.eye(3)))
    np.testing.assert_allclose(3 * eq_6, [[2, 1, -1], [1, 2, 1], [-1, 1, 2]], atol=1e-15)
    np.testing.assert_allclose(eq_6 @ eq_6, eq_6, atol=1e-15)
    assert np.trace(eq_6) == pytest.approx(2)
    valid = derive_limb_leads(np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(eq_6 @ valid[:3], valid[:3], atol=1e-15)
    np.testing.assert_allclose(LIMB_PROJECTOR @ valid, valid, atol=1e-15)


# eight leads, twelve leads --------------------------------------------------------------------------------------------


@few
@given(hnp.arrays(np.float64, (2, 8, 3), elements=millivolts))
def test_twelve_leads_from_eight_obey_every_law_and_keep_the_eight(eight):
    twelve = derive_twelve_leads(eight)
    assert twelve.shape == (2, 12, 3)
    for law, residual in limb_law_residuals(twelve).items():
        np.testing.assert_allclose(residual, 0, atol=1e-14, err_msg=law)
    np.testing.assert_array_equal(twelve[:, [LEADS.index(lead) for lead in INDEPENDENT_LEADS]], eight)


def test_a_lawful_signal_is_its_eight_independent_leads():
    signal = lawful_signal(8)
    np.testing.assert_allclose(derive_twelve_leads(signal[[0, 1, *range(6, 12)]]), signal, atol=1e-15)


@few
@given(st.permutations(range(8)))
def test_eight_leads_go_by_name(order):
    eight = np.random.default_rng(9).normal(size=(8, 4)).astype(np.float32)
    shuffled = derive_twelve_leads(eight[list(order)], [INDEPENDENT_LEADS[k].upper() for k in order])
    np.testing.assert_array_equal(shuffled, derive_twelve_leads(eight))
    tensor = derive_twelve_leads(torch.from_numpy(eight)[None])
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor[0].numpy(), shuffled, atol=1e-6)


def test_the_gradient_of_twelve_leads_reaches_all_eight():
    eight = torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(derive_twelve_leads, (eight,))
    gradient = torch.autograd.grad(derive_twelve_leads(eight).square().sum(), eight)[0]
    assert bool((gradient != 0).all())


@pytest.mark.parametrize(
    ("leads", "error", "field"),
    [
        (INDEPENDENT_LEADS[:7], ArgumentError, "independent_mv"),
        (("I", "III", *INDEPENDENT_LEADS[2:]), LeadError, "leads"),
        (("I", "I", *INDEPENDENT_LEADS[2:]), LeadError, "leads"),
        (("I", "lead 2", *INDEPENDENT_LEADS[2:]), LeadError, "lead"),
    ],
)
def test_only_the_eight_independent_leads_make_twelve(leads, error, field):
    with pytest.raises(error) as refused:
        derive_twelve_leads(np.zeros((8, 4)), leads)
    assert refused.value.field == field


# tensors, NaN, and what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_tensors_and_arrays_agree_with_any_leading_axes(method):
    signal = np.random.default_rng(4).normal(size=(2, 3, 12, 5)).astype(np.float32)
    array = project_limb_leads(signal, method=method)
    tensor = project_limb_leads(torch.from_numpy(signal), method=method)
    assert array.dtype == np.float32
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), array, atol=1e-6)
    np.testing.assert_array_equal(project_limb_leads(signal[1, 2], method=method), array[1, 2])
    for law, residual in limb_law_residuals(torch.from_numpy(signal)).items():
        np.testing.assert_allclose(residual.numpy(), limb_law_residuals(signal)[law], atol=1e-6, err_msg=law)


def test_tensors_carry_gradients():
    i, ii = torch.randn(2, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: project_limb_leads(derive_limb_leads(a, b), LIMB_LEADS), (i, ii))


def test_missing_samples_spread_only_in_time_and_to_limb_leads():
    signal = lawful_signal()
    signal[0, 3] = np.nan
    projected = project_limb_leads(signal, method="orthogonal")
    assert np.isnan(projected[:, 3]).tolist() == [True] * 6 + [False] * 6
    assert not np.isnan(np.delete(projected, 3, axis=1)).any()


@pytest.mark.parametrize("signal", [np.zeros((12, 4), dtype=np.int16), [[0.0]] * 12, torch.zeros(12, 4).long()])
def test_raw_counts_are_not_millivolts(signal):
    with pytest.raises(ArgumentError, match="not millivolts") as refused:
        project_limb_leads(signal)
    assert refused.value.field == "signal_mv"


@pytest.mark.parametrize("shape", [(12,), (4, 12), (2, 11, 4)])
def test_a_wrong_number_of_rows_is_refused(shape):
    with pytest.raises(ArgumentError, match=r"one row for each of 12 leads"):
        limb_law_residuals(np.zeros(shape))


def test_missing_and_duplicate_limb_leads_are_named():
    with pytest.raises(LeadError, match=r"limb lead II is missing; limb lead aVR is duplicate"):
        project_limb_leads(np.zeros((6, 4)), ["I", "AVR", "III", "aVR", "aVL", "aVF"])


def test_an_unknown_method_is_refused():
    with pytest.raises(ArgumentError, match="paper_raw"):
        project_limb_leads(np.zeros((12, 4)), method="einthoven")


def test_leads_of_different_length_are_refused():
    with pytest.raises(ArgumentError, match=r"\(3,\) and \(4,\)"):
        derive_limb_leads(np.zeros(3), np.zeros(4))


@pytest.mark.contracts
def test_lead_algebra_needs_no_torch():
    script = (
        "import sys, numpy as np; from ecgscan_lab import leads; "
        "leads.project_limb_leads(np.zeros((12, 4)), method='orthogonal'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
