"""Lead names and lead order: every row of a signal goes by its name, never by its position."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from ecgscan_lab.errors import LeadError

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")
LEADS = (*LIMB_LEADS, *CHEST_LEADS)
INDEPENDENT_LEADS = ("I", "II", *CHEST_LEADS)

_BY_LOWER_CASE = {name.lower(): name for name in LEADS}


def canonical_lead(name: str) -> str:
    """Spell a lead name as `LEADS` does, whatever its case and surrounding blanks.

    Args:
        name: a lead name as found in a file, for instance `"AVR"` or `" v1 "`.

    Returns:
        The name as in `LEADS`.

    Raises:
        LeadError: not one of the twelve standard leads. A leading minus (`"-aVR"`, the Cabrera layout) is refused too:
            flip the signal's sign first and then call the lead `aVR`.

    Example:
        >>> canonical_lead(" AVR ")
        'aVR'
    """
    found = _BY_LOWER_CASE.get(name.strip().lower()) if isinstance(name, str) else None
    if found is None:
        inverted = isinstance(name, str) and name.strip()[:1] in ("-", "\N{MINUS SIGN}")
        raise LeadError(
            f"unknown lead {name!r}",
            field="lead",
            expected=f"one of {', '.join(LEADS)}, in any case",
            fix="flip the sign of the signal and drop the minus" if inverted else "rename the lead, or leave it out",
        )
    return found


def canonical_order(names: Sequence[str]) -> np.ndarray:
    """Find the order that brings rows named `names` into `LEADS` order: `signal[canonical_order(names)]`.

    MIMIC-IV-ECG, for one, stores aVF before aVL, so always order by name, never by position.

    Args:
        names: the twelve lead names of a file, in the file's order.

    Returns:
        Integers `[12]`; entry k is the file's row that holds `LEADS[k]`.

    Raises:
        LeadError: a lead is unknown, duplicated or missing; the message names each of them.

    Properties: a permutation of 0..11; the identity on `LEADS`; it undoes any shuffle of the rows.

    Example:
        >>> canonical_order(["I", "II", "III", "AVR", "AVF", "AVL", "V1", "V2", "V3", "V4", "V5", "V6"])
        array([ 0,  1,  2,  3,  5,  4,  6,  7,  8,  9, 10, 11])
    """
    unknown = [str(name) for name in names if not (isinstance(name, str) and name.strip().lower() in _BY_LOWER_CASE)]
    known = [canonical_lead(name) for name in names if str(name) not in unknown]
    duplicate = [name for name, count in Counter(known).items() if count > 1]
    missing = [name for name in LEADS if name not in known]
    faults = (("unknown", unknown), ("duplicate", duplicate), ("missing", missing))
    if any(leads for _, leads in faults):
        raise LeadError(
            "; ".join(f"{fault} leads: {', '.join(leads)}" for fault, leads in faults if leads),
            field="leads",
            expected=f"each of {', '.join(LEADS)} exactly once, in any order and case",
            fix="correct the lead names, or keep only the twelve standard leads of the recording",
        )
    return np.array([known.index(name) for name in LEADS], dtype=np.int64)
