"""Exercises of notebook 03: where Eq. 6 leaves a dragged lead, the projection, and a loss that sees a broken law."""

from __future__ import annotations

import numpy as np
import torch

from ecgscan_lab.leads import LIMB_LEADS, derive_limb_leads, einthoven_projection, project_limb_leads
from ecgscan_lab.losses.lead_consistency import rule_loss, violation_loss
from ecgscan_lab.nb.exercises.checks import as_array, invariance_check, number_check, value_check
from ecgscan_lab.nb.exercises.exercise import Check, Exercise, Wrong

_DRAG_MV = 0.6


def return_to_einthoven(i: np.ndarray, ii: np.ndarray, iii: np.ndarray) -> np.ndarray:
    """Share what is missing in I + III = II evenly among the three leads."""
    r = i - ii + iii
    return np.stack([i - r / 3, ii + r / 3, iii - r / 3])


def broken_laws(signal_mv: torch.Tensor) -> torch.Tensor:
    """Mean square of what four independent laws leave over."""
    i, ii, iii, avr, avl, avf = signal_mv[:, :6].unbind(1)
    left = (i - ii + iii, avr + (i + ii) / 2, avl - i + ii / 2, avf - ii + i / 2)
    return torch.stack(left).square().mean()


def _lawful(seed: int) -> torch.Tensor:
    drawn = torch.randn(2, 12, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.cat([derive_limb_leads(drawn[:, 0], drawn[:, 1]), drawn[:, 6:]], dim=1)


def _dragged(lead: int) -> torch.Tensor:
    signal = _lawful(0)
    signal[:, lead] += 0.5
    return signal


_TRIPLES = tuple(tuple(np.random.default_rng(seed).normal(size=(3, 4))) for seed in range(2))
_OTHER_CHEST = torch.cat([_dragged(1)[:, :6], 2 * _lawful(3)[:, 6:]], dim=1)


def _obeys_the_law(answer: object) -> str | None:
    returned = as_array(answer(*_TRIPLES[0]))  # type: ignore[operator]
    if returned.shape != (3, 4):
        return f"for leads of shape (4,) it returns shape {returned.shape}, expected (3, 4): I, II, III."
    left = float(np.abs(returned[0] - returned[1] + returned[2]).max())
    return None if left < 1e-9 else f"I + III still differs from II by up to {left:.3g} mV."


def _zero_when_lawful(answer: object) -> str | None:
    value = float(as_array(answer(_lawful(0))))  # type: ignore[operator]
    return None if abs(value) < 1e-9 else f"for a signal that obeys every law it is {value:.3g}, expected 0."


def _sees_every_lead(answer: object) -> str | None:
    for k, lead in enumerate(LIMB_LEADS):
        value = float(as_array(answer(_dragged(k))))  # type: ignore[operator]
        if not value > 1e-6:
            return f"with {lead} dragged off by 0.5 mV it is {value:.3g}, expected more than 0."
    return None


def _heals(answer: object) -> str | None:
    broken = _dragged(1).requires_grad_()
    total = answer(broken)  # type: ignore[operator]
    if not isinstance(total, torch.Tensor) or total.grad_fn is None:
        return "its result does not depend on the signal by torch operations, so there is no gradient."
    (gradient,) = torch.autograd.grad(total, broken)
    limb = gradient[:, :6]
    along = project_limb_leads(limb, LIMB_LEADS, method="orthogonal")
    if not float(limb.abs().max()) > 0:
        return "its gradient is zero although a law is broken."
    share = float(along.norm() / limb.norm())
    if share > 1e-6:
        return f"{100 * share:.0f} % of its gradient moves the signal within the lawful plane, where nothing is broken."
    return None


_DRAGGED = Exercise(
    id="03.1",
    question=f"Predict how far off lead II is after Eq. 6, in mV, when it was dragged up by {_DRAG_MV} mV before.",
    solution=2 / 3 * _DRAG_MV,
    checks=(
        number_check(
            2 / 3 * _DRAG_MV,
            0.01,
            "what is r = I - II + III when only II is wrong, and what does Eq. 6 add to II?",
            f"r = -{_DRAG_MV}, and II_ref = II + r/3: a third of the drag is taken back.",
            known={
                0.0: "what it would be if Eq. 6 knew which lead to blame",
                _DRAG_MV / 3: "how far I, II and III each moved, not how far II is still off",
                _DRAG_MV: "the drag before Eq. 6",
                8 / 21 * _DRAG_MV: "what the projection onto all four laws leaves; Eq. 6 listens to I and III only",
            },
            unit=" mV",
        ),
    ),
    wrong=(
        Wrong(0.0, "which lead to blame"),
        Wrong(0.2, "how far I, II and III each moved"),
        Wrong(0.6, "before Eq. 6"),
        Wrong(0.229, "all four laws"),
        Wrong("most of it", "not a number"),
    ),
)

_PROJECTION = Exercise(
    id="03.2",
    question="Write Eq. 6: return I, II and III moved onto I + III = II by the shortest way, stacked.",
    solution=return_to_einthoven,
    checks=(
        Check("law", _obeys_the_law, ("r = I - II + III is what is left over; the three must share it until r is 0.",)),
        value_check(
            lambda *leads: np.stack(einthoven_projection(*leads)),
            _TRIPLES,
            "the law holds now, but the leads moved further than they had to: let each take the same share.",
            "I - r/3, II + r/3, III - r/3, stacked with np.stack.",
            tolerance=1e-9,
        ),
    ),
    wrong=(
        Wrong(lambda i, ii, iii: np.stack([i, i + iii, iii]), "expected"),
        Wrong(lambda i, ii, iii: np.stack([i, ii, ii - i]), "expected"),
        Wrong(lambda i, ii, iii: np.stack([i, ii, iii]) - (i - ii + iii) / 3, "still differs"),
        Wrong(lambda i, ii, iii: (i, ii), "shape (2, 4)"),
    ),
)

_PENALTY = Exercise(
    id="03.3",
    question="Write a loss of a signal [batch, 12, time]: 0 when every limb-lead law holds, more when any is broken.",
    solution=broken_laws,
    checks=(
        Check("value", _zero_when_lawful, ("take what a law leaves over, II - I - III for one: 0 when it holds.",)),
        Check(
            "value",
            _sees_every_lead,
            (
                "which laws does that lead appear in? Squares do not cancel; sums of signed leftovers do.",
                "four leftovers: I - II + III, aVR + (I + II)/2, aVL - I + II/2, aVF - II + I/2; square, then mean.",
            ),
        ),
        Check("gradient", _heals, ("use the given signal alone, and only what the laws leave over.",)),
        invariance_check((_dragged(1),), (_OTHER_CHEST,), "the chest leads change", "rows 0 to 5 are the limb leads."),
    ),
    wrong=(
        Wrong(lambda x: (x[:, 0] - x[:, 1] + x[:, 2]).square().mean(), "with aVR dragged off"),
        Wrong(lambda x: (x[:, 0] - x[:, 1] + x[:, 2] + x[:, 3:6].sum(1)).mean(), "with II dragged off"),
        Wrong(lambda x: rule_loss(x, _lawful(0)), "with aVR dragged off"),
        Wrong(lambda x: x[:, :6].square().mean(), "obeys every law"),
        Wrong(lambda x: violation_loss(x).detach(), "no gradient"),
        Wrong(lambda x: (x[:, :6] - _lawful(0)[:, :6]).square().mean(), "within the lawful plane"),
    ),
)

EXERCISES = (_DRAGGED, _PROJECTION, _PENALTY)
