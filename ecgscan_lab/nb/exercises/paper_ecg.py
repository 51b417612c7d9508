"""Exercises of notebook 08: a p-value from a reference, when to say nothing, and another waiting room."""

from __future__ import annotations

import numpy as np

from ecgscan_lab.evaluate.conformal import at_prevalence, conformal_p
from ecgscan_lab.nb.exercises.checks import value_check
from ecgscan_lab.nb.exercises.exercise import Exercise, Wrong


def p_value(score: float, reference: np.ndarray) -> float:
    """The share of pages with at least this score, the page itself among them."""
    return float((1 + (reference >= score).sum()) / (len(reference) + 1))


def elsewhere(share: float, reference: float, prevalence: float) -> float:
    """The same likelihood ratio at another prevalence."""
    with_it = share * prevalence / reference
    return float(with_it / (with_it + (1 - share) * (1 - prevalence) / (1 - reference)))


_SCORES = np.arange(19.0)

_P_VALUE = Exercise(
    id="08.1",
    question="Return the conformal p-value of a score among reference scores (an array).",
    solution=p_value,
    checks=(
        value_check(
            conformal_p,
            [(99.0, _SCORES), (9.0, _SCORES), (-1.0, _SCORES), (18.0, _SCORES)],
            "which reference pages score at least as high, and does the page itself count?",
            "the page is one of n + 1, and always at least as high as itself.",
            "(1 + (reference >= score).sum()) / (len(reference) + 1)",
        ),
    ),
    wrong=(
        Wrong(lambda s, r: (r >= s).mean(), "it gives 0, expected 0.05"),
        Wrong(lambda s, r: (1 + (r > s).sum()) / (len(r) + 1), "expected"),
        Wrong(lambda s, r: (1 + (r <= s).sum()) / (len(r) + 1), "it gives 1, expected 0.05"),
    ),
)

_CASES = [(0.5, 0.5, 0.1), (0.02, 0.5, 0.1), (0.5, 0.02, 0.1), (0.02, 0.03, 0.1), (0.02, 0.5, 0.01)]


def rules_out(p_absent: float, p_present: float, alpha: float) -> np.ndarray:
    """[is "absent" ruled out, is "present" ruled out]."""
    return np.array([p_absent <= alpha, p_present <= alpha])


_RULE = Exercise(
    id="08.2",
    question='From p_absent, p_present and alpha return two booleans: is "absent" ruled out, is "present" ruled out?',
    solution=rules_out,
    checks=(
        value_check(
            rules_out,
            [*_CASES, (0.1, 0.2, 0.1)],
            "a hypothesis is ruled out when the page is unusual under it.",
            "p <= alpha rules out, and each of the two p-values speaks of its own hypothesis.",
            "np.array([p_absent <= alpha, p_present <= alpha])",
        ),
    ),
    wrong=(
        Wrong(lambda a, p, alpha: np.array([a > alpha, p > alpha]), "expected"),
        Wrong(lambda a, p, alpha: np.array([p <= alpha, a <= alpha]), "expected"),
        Wrong(lambda a, p, alpha: np.array([a < alpha, p < alpha]), "expected"),
    ),
)

_ELSEWHERE = Exercise(
    id="08.3",
    question="Carry a share found at the reference's prevalence over to another prevalence.",
    solution=elsewhere,
    checks=(
        value_check(
            at_prevalence,
            [(0.8, 0.5, 0.1), (0.3, 0.2, 0.2), (0.5, 0.25, 0.01)],
            "the score's likelihood ratio stays, the odds before looking change.",
            "weigh pages with the finding by prevalence / reference, those without by (1 - ...) / (1 - ...).",
            "a = share * prevalence / reference; a / (a + (1 - share) * (1 - prevalence) / (1 - reference))",
        ),
    ),
    wrong=(
        Wrong(lambda s, r, q: s, "it gives 0.8, expected 0.3077"),
        Wrong(lambda s, r, q: s * q / r, "it gives 0.16, expected 0.3077"),
        Wrong(lambda s, r, q: s * q, "expected 0.3077"),
    ),
)

EXERCISES = (_P_VALUE, _RULE, _ELSEWHERE)
