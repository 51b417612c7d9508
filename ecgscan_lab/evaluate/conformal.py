"""What a score is worth beside reference pages of known label: valid p-values, frequencies, and when to say nothing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ecgscan_lab.errors import ArgumentError


class Frequency(NamedTuple):
    """Of `n` reference pages with about this score, `share` carried the finding; 95 % interval `low` to `high`."""

    share: float
    low: float
    high: float
    n: int


def conformal_p(score: float, reference: ArrayLike) -> float:
    """How unusual so high a score is among reference scores.

    **Equation.** `p = (1 + #{j: s_j >= s}) / (n + 1)`.

    **Source.** Vovk, Gammerman and Shafer (2005), split conformal prediction. *Differences*: none; ties count against
    the page, so that p is never too small.

    Args:
        score: the page's.
        reference: those of pages that the page would be one of, if the hypothesis held.

    Returns:
        p, from 1 / (n + 1) to 1.

    Raises:
        ArgumentError: no reference, or a score that is not finite.

    Properties: if page and reference are exchangeable, P(p <= alpha) <= alpha; falls as the score rises.

    >>> conformal_p(3.0, [0.0, 1.0, 2.0, 3.0])
    0.4
    """
    others = np.asarray(reference, np.float64).ravel()
    if not len(others):
        raise ArgumentError("no reference scores", field="reference", expected="at least one page of known label")
    if not (np.isfinite(score) and np.isfinite(others).all()):
        raise ArgumentError("a score is not finite", field="score", expected="finite numbers")
    return float((1 + (others >= score).sum()) / (len(others) + 1))


def verdict_of(interval: tuple[float, float], without: ArrayLike, having: ArrayLike, alpha: float = 0.1) -> str:
    """What can be said of a finding: "seen", "not seen", "cannot be told", or "like neither".

    Label-conditional conformal sets: "absent" is ruled out where even the lowest score of the page's views is unusually
    high among pages without the finding, "present" where even the highest is unusually low among pages with it.

    Args:
        interval: lowest and highest score over the page's views.
        without, having: scores of reference pages without and with the finding.
        alpha: how often a page with a label may lose it.

    Raises:
        ArgumentError: as `conformal_p`; `alpha` is not between 0 and 1; the interval is not in order.

    Properties: a page exchangeable with those without a finding gets "seen" at most in a share `alpha`; a wider
        interval never says more; fewer than 1 / alpha - 1 reference pages rule nothing out.

    >>> verdict_of((2.0, 3.0), without=np.linspace(-1, 1, 40), having=np.linspace(1, 4, 40))
    'seen'
    """
    if not 0 < alpha < 1:
        raise ArgumentError(f"alpha is {alpha}", field="alpha", expected="between 0 and 1")
    low, high = interval
    if not low <= high:
        raise ArgumentError(f"an interval from {low} to {high}", field="interval", expected="low <= high")
    absent = conformal_p(low, without) > alpha
    present = conformal_p(-high, -np.asarray(having, np.float64)) > alpha
    if absent and present:
        return "cannot be told"
    return "not seen" if absent else "seen" if present else "like neither"


def frequency_near(score: float, scores: ArrayLike, labels: ArrayLike) -> Frequency:
    """Of reference pages with about this score, how many carried the finding.

    **Equation.** Isotonic regression of the labels on the scores; the interval is Wilson's, of the block of pages that
    share the fitted value.

    **Source.** Zadrozny and Elkan (2002) for isotonic calibration; Wilson (1927).

    Args:
        score: the page's.
        scores, labels: of the reference pages; labels 0 or 1.

    Raises:
        ArgumentError: nothing to compare with, or lengths differ.

    Properties: never falls as the score rises; it holds for the reference's own prevalence, see `at_prevalence`.
    """
    x, y = np.asarray(scores, np.float64).ravel(), np.asarray(labels, np.float64).ravel()
    if not len(x) or len(x) != len(y):
        raise ArgumentError(f"{len(x)} scores, {len(y)} labels", field="scores", expected="one label a score")
    order = np.lexsort((-y, x))  # pages with equal scores fall into one block
    blocks: list[list[float]] = []  # sum, count
    for value in y[order]:
        blocks.append([value, 1.0])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            above = blocks.pop()
            blocks[-1][0] += above[0]
            blocks[-1][1] += above[1]
    ends = np.cumsum([count for _, count in blocks]).astype(int)
    rank = int(np.searchsorted(x[order], score, side="right"))
    positives, n = blocks[int(np.searchsorted(ends, max(rank, 1)))]
    share, z2 = float(positives / n), 1.96**2
    middle, half = (
        (share + z2 / (2 * n)) / (1 + z2 / n),
        1.96 * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))),
    )
    half /= 1 + z2 / n
    return Frequency(share, min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half)), int(n))


def at_prevalence(share: float, reference: float, prevalence: float) -> float:
    """The same score in another waiting room: a frequency carried over to another prevalence by Bayes' rule.

    **Equation.** `odds' = odds * (q / (1 - q)) / (r / (1 - r))`, r the reference's prevalence and q the new one.

    Args:
        share: frequency at the reference's prevalence, 0 to 1.
        reference, prevalence: between 0 and 1, exclusive.

    Raises:
        ArgumentError: out of range.

    >>> round(at_prevalence(0.5, reference=0.5, prevalence=0.01), 3)
    0.01
    """
    for name, value in (("reference", reference), ("prevalence", prevalence)):
        if not 0 < value < 1:
            raise ArgumentError(f"{name} is {value}", field=name, expected="between 0 and 1")
    if not 0 <= share <= 1:
        raise ArgumentError(f"share is {share}", field="share", expected="0 to 1")
    with_it = share * prevalence / reference
    without = (1 - share) * (1 - prevalence) / (1 - reference)
    return float(with_it / (with_it + without))
