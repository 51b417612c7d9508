"""What leads are called, and in which order they come."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import LeadError
from ecgscan_lab.leads import CHEST_LEADS, INDEPENDENT_LEADS, LEADS, LIMB_LEADS, canonical_lead, canonical_order

few = settings(max_examples=40, deadline=None)

MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")


def test_twelve_leads_in_the_clinical_order():
    assert LEADS == ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    assert LIMB_LEADS + CHEST_LEADS == LEADS
    assert INDEPENDENT_LEADS == ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


@few
@given(st.sampled_from(LEADS), st.sampled_from(["upper", "lower", "title"]), st.sampled_from(["", " ", "\t", "  "]))
def test_lead_names_ignore_case_and_blanks(name, case, blank):
    assert canonical_lead(blank + getattr(name, case)() + blank) == name


@pytest.mark.parametrize("name", ["", "aV", "V7", "MLII", "-aVR", "Vl", "I I", None, 3])
def test_an_unknown_lead_is_refused_by_name(name):
    with pytest.raises(LeadError, match=re.escape(repr(name))) as refused:
        canonical_lead(name)
    assert refused.value.field == "lead"


def test_an_inverted_lead_is_told_to_flip_its_sign():
    with pytest.raises(LeadError, match="flip the sign"):
        canonical_lead("-aVR")


@few
@given(st.permutations(range(12)))
def test_order_undoes_any_shuffle(shuffle):
    signal = np.arange(12)[:, None]
    order = canonical_order([LEADS[k].upper() for k in shuffle])
    assert order.dtype.kind == "i"
    np.testing.assert_array_equal(signal[list(shuffle)][order], signal)


def test_order_of_a_mimic_record_swaps_two_leads():
    np.testing.assert_array_equal(canonical_order(MIMIC_LEADS), [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11])


def test_order_names_every_fault_at_once():
    names = ["I", "i", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "Vx"]
    with pytest.raises(LeadError) as refused:
        canonical_order(names)
    for fault in ("unknown leads: Vx", "duplicate leads: I", "missing leads: II, V6"):
        assert fault in refused.value.what
