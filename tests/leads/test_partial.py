from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import LEADS, LIMB_LEADS, derive_limb_leads, limb_law_residuals
from ecgscan_lab.leads.partial import LAWS, check_laws_in_part, law_difference

FS = 100.0
HEART = np.random.default_rng(0).normal(size=(2, 1000)).cumsum(axis=1) / 20
LIMB = derive_limb_leads(*HEART)


def columns(limb, strip=True):
    """As a 3 x 4 page shows six limb leads: two columns of 2.5 s, and beneath them a strip of II."""
    shown = np.full_like(limb, np.nan)
    shown[:3, :250] = limb[:3, :250]
    shown[3:, 250:500] = limb[3:, 250:500]
    if strip:
        shown[1] = limb[1]
    return shown


def by_law(signal, **kwargs):
    return {check.law: check for check in check_laws_in_part(signal, FS, LIMB_LEADS, **kwargs)}


@pytest.mark.parametrize("law", LAWS)
def test_every_law_is_zero_on_lawful_leads_and_agrees_with_its_full_form(law):
    assert np.abs(law_difference(LIMB, law, LIMB_LEADS)).max() < 1e-12
    broken = LIMB + np.random.default_rng(1).normal(size=LIMB.shape)
    full = limb_law_residuals(broken, LIMB_LEADS)
    if law in full:
        assert np.allclose(law_difference(broken, law, LIMB_LEADS), full[law])
    assert np.allclose(law_difference(2 * broken, law, LIMB_LEADS), 2 * law_difference(broken, law, LIMB_LEADS))


def test_columns_of_a_page_try_the_laws_of_their_own_leads_and_say_that_it_is_in_part():
    checks = by_law(columns(LIMB))
    assert checks["II - (I + III)"].verdict == "holds (partial: 2.5 of 10.0 s)"
    assert checks["aVR + aVL + aVF"].verdict == "holds"
    assert checks["II - 2/3 (aVF - aVR)"].verdict.startswith("holds (partial: 2.5")
    assert checks["aVR + (I + II)/2"].verdict == "not tried: its leads overlap for 0.0 s"
    assert np.isnan(checks["aVR + (I + II)/2"].residual_mv)
    assert checks["II - (I + III)"].residual_mv < 1e-12
    without = by_law(columns(LIMB, strip=False))
    assert without["II - 2/3 (aVF - aVR)"].verdict.startswith("not tried")
    assert all(check.verdict == "holds" for check in by_law(LIMB).values())


def test_leads_exchanged_within_a_column_break_its_law_and_no_other():
    swapped = LIMB[[1, 0, 2, 3, 4, 5]]
    checks = by_law(columns(swapped, strip=False))
    assert checks["II - (I + III)"].verdict == "broken"
    assert checks["aVR + aVL + aVF"].verdict == "holds"


def test_a_gain_changes_no_verdict_and_an_offset_shows_as_one():
    noisy = columns(LIMB + 0.05 * np.random.default_rng(1).normal(size=LIMB.shape))
    assert [c.verdict for c in by_law(noisy).values()] == [c.verdict for c in by_law(7 * noisy).values()]
    moved = columns(LIMB, strip=False)
    moved[4] += 0.3
    check = by_law(moved)["aVR + aVL + aVF"]
    assert check.offset_mv == pytest.approx(0.3)
    assert (check.residual_mv < 1e-12, check.verdict) == (True, "holds")
    strict = by_law(noisy, tolerance=1e-3)
    assert strict["aVR + aVL + aVF"].verdict == "broken"


def test_a_table_has_units_and_leaves_untried_numbers_out():
    rows = [check.row() for check in check_laws_in_part(columns(LIMB), FS, LIMB_LEADS)]
    assert rows[0]["tried on (s)"] == "2.5 of 10.0"
    assert rows[3]["residual (mV)"] == ""
    assert len(rows) == len(LAWS)


@pytest.mark.parametrize(
    ("call", "error", "field"),
    [
        (lambda: check_laws_in_part(LIMB, 0.0, LIMB_LEADS), ArgumentError, "fs_hz"),
        (lambda: check_laws_in_part(LIMB, FS, LEADS), ArgumentError, "signal_mv"),
        (lambda: check_laws_in_part(LIMB[:5], FS, LIMB_LEADS[:5]), LeadError, "leads"),
        (lambda: law_difference(LIMB, "I = I", LIMB_LEADS), ArgumentError, "law"),
    ],
)
def test_what_cannot_be_tried_is_refused_by_name(call, error, field):
    with pytest.raises(error) as caught:
        call()
    assert caught.value.field == field
