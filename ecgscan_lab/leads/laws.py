"""The algebra that ties the six limb leads together.

Two electrode differences determine all six limb leads, so four linear laws hold at every instant:

    II = I + III                                    (Einthoven)
    aVR = -(I + II)/2,  aVL = (I - III)/2,  aVF = (II + III)/2      (Goldberger; their sum is zero)

The laws survive one gain common to all leads. They do not survive an offset, a gain that differs between leads, or
min-max scaling, so everything here expects millivolts. Functions take NumPy arrays and torch tensors alike, with any
leading axes: `[..., lead, time]`. NaN marks samples that were not recorded and spreads to every lead computed from
them.

Sources: W. Einthoven (1912); E. Goldberger (1942); ECG-Scan (2026), arXiv 2604.01526, section 4.3, Eq. 6-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Literal, TypeVar, get_args

import numpy as np

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads.names import INDEPENDENT_LEADS, LEADS, LIMB_LEADS, canonical_lead

if TYPE_CHECKING:
    import torch

LimbProjection = Literal["paper", "paper_raw", "zero_sum", "orthogonal"]

# Rows and columns in LIMB_LEADS order; the integers are exact, so P P = P holds up to one rounding per entry.
LIMB_PROJECTOR = (
    np.array(
        [
            [8, 4, -4, -6, 6, 0],
            [4, 8, 4, -6, 0, 6],
            [-4, 4, 8, 0, -6, 6],
            [-6, -6, 0, 6, -3, -3],
            [6, 0, -6, -3, 6, -3],
            [0, 6, 6, -3, -3, 6],
        ]
    )
    / 21.0
)
LIMB_PROJECTOR.setflags(write=False)

Array = TypeVar("Array", np.ndarray, "torch.Tensor")


def einthoven_projection(i: Array, ii: Array, iii: Array) -> tuple[Array, Array, Array]:
    """Project leads I, II and III onto Einthoven's law, the nearest triple with I + III = II.

    Equation: with r = I - II + III,
        I_ref = I - r/3 = (2 I + II - III)/3,  II_ref = II + r/3 = (I + 2 II + III)/3,
        III_ref = III - r/3 = (-I + II + 2 III)/3.

    Source: ECG-Scan, arXiv 2604.01526, Eq. 6. *Differences*: none; the paper writes II_ref = I_ref + III_ref, which is
    the same number.

    Args:
        i: lead I, an array or tensor, in mV.
        ii: lead II, same shape.
        iii: lead III, same shape.

    Returns:
        `(i_ref, ii_ref, iii_ref)`, of the inputs' shape, in mV.

    Properties: orthogonal projection onto I - II + III = 0; idempotent; leaves a lawful triple alone.

    Example:
        >>> tuple(float(x) for x in einthoven_projection(np.array(1.0), np.array(3.0), np.array(5.0)))
        (0.0, 4.0, 4.0)
    """
    correction = (i - ii + iii) / 3
    return i - correction, ii + correction, iii - correction


def goldberger_equations(i: Array, ii: Array) -> tuple[Array, Array, Array]:
    """Compute the augmented leads from leads I and II.

    Equation: aVR = -(I + II)/2,  aVL = I - II/2,  aVF = II - I/2.

    Source: E. Goldberger (1942).

    Args:
        i: lead I, an array or tensor, in mV.
        ii: lead II, same shape.

    Returns:
        `(avr, avl, avf)`, of the inputs' shape, in mV.

    Properties: the three sum to zero.

    Example:
        >>> tuple(float(x) for x in goldberger_equations(np.array(1.0), np.array(2.0)))
        (-1.5, 0.0, 1.5)
    """
    return -(i + ii) / 2, i - ii / 2, ii - i / 2


def zero_sum_projection(avr: Array, avl: Array, avf: Array) -> tuple[Array, Array, Array]:
    """Project the augmented leads onto aVR + aVL + aVF = 0, the exact analogue of Eq. 6 for these three.

    Equation: aVx_ref = aVx - (aVR + aVL + aVF)/3.

    Source: our reading of "projecting the reconstructed limb leads onto the corresponding constraint manifold"
    (ECG-Scan, arXiv 2604.01526, section 4.3), which spells out leads I, II and III only.

    Args:
        avr: lead aVR, an array or tensor, in mV.
        avl: lead aVL, same shape.
        avf: lead aVF, same shape.

    Returns:
        `(avr_ref, avl_ref, avf_ref)`, of the inputs' shape, in mV.

    Properties: orthogonal projection; idempotent; leaves a zero-sum triple alone.

    Example:
        >>> tuple(float(x) for x in zero_sum_projection(np.array(1.0), np.array(2.0), np.array(6.0)))
        (-2.0, -1.0, 3.0)
    """
    mean = (avr + avl + avf) / 3
    return avr - mean, avl - mean, avf - mean


def derive_limb_leads(i: Array, ii: Array) -> Array:
    """Compute all six limb leads from leads I and II.

    Equation: III = II - I, and `goldberger_equations` for aVR, aVL, aVF.

    Args:
        i: lead I `[..., time]`, in mV.
        ii: lead II, same shape.

    Returns:
        `[..., 6, time]` in `LIMB_LEADS` order, in mV.

    Raises:
        ArgumentError: the shapes differ, or the values are not floating-point millivolts.

    Properties: obeys every limb law; `LIMB_PROJECTOR` leaves it alone.

    Example:
        >>> derive_limb_leads(np.array([1.0]), np.array([3.0]))[:, 0]
        array([ 1. ,  3. ,  2. , -2. , -0.5,  2.5])
    """
    _check_float(i, "i")
    _check_float(ii, "ii")
    if i.ndim == 0 or i.shape != ii.shape:
        raise ArgumentError(
            f"leads I and II have shapes {tuple(i.shape)} and {tuple(ii.shape)}",
            field="ii",
            expected="one shape [..., time]",
        )
    avr, avl, avf = goldberger_equations(i, ii)
    return _stack([i, ii, ii - i, avr, avl, avf])


def derive_twelve_leads(independent_mv: Array, leads: Sequence[str] = INDEPENDENT_LEADS) -> Array:
    """Compute all twelve leads from the eight that are measured independently: I, II and V1 to V6.

    Equation: III = II - I, and `goldberger_equations` for aVR, aVL, aVF; the other eight are passed on.

    Source: ours, in place of Eq. 7 of ECG-Scan, arXiv 2604.01526: a decoder of eight leads cannot break a law.

    Args:
        independent_mv: `[..., 8, time]`, in mV.
        leads: the name of each row; the eight of `INDEPENDENT_LEADS` in any order.

    Returns:
        `[..., 12, time]` in `LEADS` order, in mV.

    Raises:
        ArgumentError: `independent_mv` is not floating point or has other rows than `leads`.
        LeadError: a lead is unknown, missing, given twice, or not one of the eight.

    Properties: obeys every limb law; picking the eight rows again gives the input back; the gradient reaches all eight.

    Example:
        >>> derive_twelve_leads(np.arange(1.0, 9.0)[:, None])[:, 0]
        array([ 1. ,  2. ,  1. , -1.5,  0. ,  1.5,  3. ,  4. ,  5. ,  6. ,  7. ,  8. ])
    """
    _check_rows(independent_mv, "independent_mv", leads)
    names = [canonical_lead(name) for name in leads]
    if sorted(names) != sorted(INDEPENDENT_LEADS):
        raise LeadError(
            f"cannot compute twelve leads from {', '.join(names)}",
            field="leads",
            expected=f"each of {', '.join(INDEPENDENT_LEADS)} exactly once, in any order",
            fix="leave out III, aVR, aVL and aVF: they are computed",
        )
    i, ii, *chest = (independent_mv[..., names.index(lead), :] for lead in INDEPENDENT_LEADS)
    avr, avl, avf = goldberger_equations(i, ii)
    return _stack([i, ii, ii - i, avr, avl, avf, *chest])


def project_limb_leads(signal_mv: Array, leads: Sequence[str] = LEADS, *, method: LimbProjection = "paper") -> Array:
    """Replace the six limb leads by their refined versions and leave the chest leads as they are.

    Equation, by `method`:
        "paper"       Einthoven projection (Eq. 6); aVR, aVL, aVF by Goldberger's equations from the *refined* I, II
        "paper_raw"   Einthoven projection (Eq. 6); aVR, aVL, aVF by Goldberger's equations from the *given* I, II
        "zero_sum"    Einthoven projection (Eq. 6); aVR, aVL, aVF projected onto aVR + aVL + aVF = 0
        "orthogonal"  P x with P = `LIMB_PROJECTOR`: the nearest six leads that obey all four laws at once

    Source: ECG-Scan, arXiv 2604.01526, section 4.3. *Differences*: the paper prints Eq. 6 and leaves the formula of the
    augmented leads open, so both readings are offered; "orthogonal" is ours.

    Args:
        signal_mv: `[..., lead, time]`, in mV.
        leads: the name of each row; the six limb leads in any order, with or without chest leads.
        method: which projection.

    Returns:
        `[..., lead, time]`, in mV, rows in the order of `leads`.

    Raises:
        ArgumentError: `signal_mv` is not floating point or has other rows than `leads`, or `method` is unknown.
        LeadError: a limb lead is missing, or a lead is unknown or given twice.

    Properties: every method leaves a lawful signal alone; "paper" and "orthogonal" yield signals that obey all four
    laws; "paper_raw" and "zero_sum" obey Einthoven's law and the zero sum, each on its own three leads.

    Example:
        >>> limb = np.array([[1.0], [3.0], [5.0], [0.0], [0.0], [0.0]])
        >>> project_limb_leads(limb, LIMB_LEADS)[:, 0]
        array([ 0.,  4.,  4., -2., -2.,  4.])
    """
    if method not in get_args(LimbProjection):
        raise ArgumentError(
            f"unknown projection {method!r}", field="method", expected=f"one of {', '.join(get_args(LimbProjection))}"
        )
    rows = _limb_rows(signal_mv, leads)
    given = [signal_mv[..., row, :] for row in rows]
    if method == "orthogonal":
        refined = derive_limb_leads(*_least_squares_i_ii(*given))
    else:
        i, ii, iii = einthoven_projection(given[0], given[1], given[2])
        if method == "zero_sum":
            avr, avl, avf = zero_sum_projection(given[3], given[4], given[5])
        elif method == "paper_raw":
            avr, avl, avf = goldberger_equations(given[0], given[1])
        else:
            avr, avl, avf = goldberger_equations(i, ii)
        refined = _stack([i, ii, iii, avr, avl, avf])
    place = {row: k for k, row in enumerate(rows)}
    return _stack(
        [refined[..., place[k], :] if k in place else signal_mv[..., k, :] for k in range(signal_mv.shape[-2])]
    )


LIMB_LAWS: dict[str, dict[str, float]] = {
    "II - (I + III)": {"I": -1.0, "II": 1.0, "III": -1.0},
    "aVR + (I + II)/2": {"I": 0.5, "II": 0.5, "aVR": 1.0},
    "aVL - (I - III)/2": {"I": -0.5, "III": 0.5, "aVL": 1.0},
    "aVF - (II + III)/2": {"II": -0.5, "III": -0.5, "aVF": 1.0},
    "aVR + aVL + aVF": {"aVR": 1.0, "aVL": 1.0, "aVF": 1.0},
}
"""Law -> weight of each lead it ties; the weighted sum is zero."""


def limb_law_residuals(signal_mv: Array, leads: Sequence[str] = LEADS) -> dict[str, Array]:
    """Measure how far a signal is from each limb-lead law, sample by sample.

    Equation: the left-hand side minus the right-hand side of each law; the keys spell them out.

    Args:
        signal_mv: `[..., lead, time]`, in mV.
        leads: the name of each row; the six limb leads in any order, with or without chest leads.

    Returns:
        Law -> residual `[..., time]`, in mV: `"II - (I + III)"`, `"aVR + (I + II)/2"`, `"aVL - (I - III)/2"`,
        `"aVF - (II + III)/2"`, `"aVR + aVL + aVF"`.

    Raises:
        ArgumentError: `signal_mv` is not floating point or has other rows than `leads`.
        LeadError: a limb lead is missing, or a lead is unknown or given twice.

    Properties: all zero on lawful leads; all scale with a common gain; swapping aVL and aVF shows in exactly their own
    two laws; an offset common to all leads shows in every law except aVF's.

    Example:
        >>> residuals = limb_law_residuals(np.array([[1.0], [3.0], [1.5], [-2.0], [-0.5], [2.5]]), LIMB_LEADS)
        >>> float(residuals["II - (I + III)"][0]), float(residuals["aVR + aVL + aVF"][0])
        (0.5, 0.0)
    """
    limb = {lead: signal_mv[..., row, :] for lead, row in zip(LIMB_LEADS, _limb_rows(signal_mv, leads), strict=True)}
    return {
        law: reduce(add, (weight * limb[lead] for lead, weight in weights.items()))
        for law, weights in LIMB_LAWS.items()
    }


def _limb_rows(signal_mv: Array, leads: Sequence[str]) -> list[int]:
    """Rows of the six limb leads, in `LIMB_LEADS` order."""
    _check_rows(signal_mv, "signal_mv", leads)
    names = [canonical_lead(name) for name in leads]
    faults = [(lead, names.count(lead)) for lead in LIMB_LEADS if names.count(lead) != 1]
    if faults:
        raise LeadError(
            "; ".join(f"limb lead {lead} is {'duplicate' if count else 'missing'}" for lead, count in faults),
            field="leads",
            expected=f"each of {', '.join(LIMB_LEADS)} exactly once",
        )
    return [names.index(lead) for lead in LIMB_LEADS]


def _check_rows(signal_mv: Array, name: str, leads: Sequence[str]) -> None:
    _check_float(signal_mv, name)
    if signal_mv.ndim < 2 or signal_mv.shape[-2] != len(leads):
        raise ArgumentError(
            f"signal of shape {tuple(signal_mv.shape)} does not have one row for each of {len(leads)} leads",
            field=name,
            expected=f"[..., {len(leads)}, time]",
            fix="pass `leads` with the name of each row, or transpose the signal",
        )


def _check_float(signal_mv: Array, name: str) -> None:
    if isinstance(signal_mv, np.ndarray):
        floating = np.issubdtype(signal_mv.dtype, np.floating)
    else:
        floating = getattr(getattr(signal_mv, "dtype", None), "is_floating_point", False)
    if not floating:
        raise ArgumentError(
            f"{name} holds {getattr(signal_mv, 'dtype', type(signal_mv).__name__)}, not millivolts",
            field=name,
            expected="a floating-point NumPy array or torch tensor, in mV",
            fix="convert raw counts first: signal_mv = (counts - baseline) / gain_per_mv",
        )


def _stack(rows: list[Array]) -> Array:
    """Rows `[..., time]` -> `[..., row, time]`."""
    if isinstance(rows[0], np.ndarray):
        return np.stack(rows, axis=-2)
    import torch  # only reached with tensors in hand, so records and pages work without torch

    return torch.stack(rows, dim=-2)


def _least_squares_i_ii(i: Array, ii: Array, iii: Array, avr: Array, avl: Array, avf: Array) -> tuple[Array, Array]:
    """The I and II that explain six given limb leads best: the first two rows of `LIMB_PROJECTOR`.

    Written out lead by lead rather than as a matrix product, which autocast would round to bfloat16.
    """
    return (8 * i + 4 * ii - 4 * iii - 6 * avr + 6 * avl) / 21, (4 * i + 8 * ii + 4 * iii - 6 * avr + 6 * avf) / 21
