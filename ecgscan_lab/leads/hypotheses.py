"""What could have happened to six limb leads that break their laws, and how well each story explains them.

A story is an order, signs and gains of the leads. Its score is the limb-law SNR of the leads once the story is undone:
the median over short windows of 10 log10(|x|^2 / |(1 - P) x|^2) with P = `LIMB_PROJECTOR`, each window's mean removed.
The median keeps one burst of saturation from spoiling a recording, and only the 6 x 6 second moments of the windows are
needed, so that thousands of stories cost a millisecond.

What exchanging electrodes does (six permutations of RA, LA and LL), and turning all leads upside down, are themselves
symmetries of the laws. The 46,080 orders with signs fall into 3,840 classes of twelve that no law can tell apart.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ecgscan_lab.leads.laws import LIMB_PROJECTOR

FloatArray = NDArray[np.float64]

N_LIMB = 6
VIOLATION = np.eye(N_LIMB) - LIMB_PROJECTOR  # 1 - P, itself a projector: onto all that breaks a law
CEILING_DB = 120.0  # lawful to rounding; a finite number, so that differences stay defined
SAME_GAIN = 0.03  # gains this close to 1 count as untouched


@dataclass(frozen=True)
class Moments:
    """Second moments of the six limb leads, window by window.

    Attributes:
        second: `[window, 6, 6]`, mean of x x^T with the window's mean removed.
        mean: `[window, 6]`.
    """

    second: FloatArray
    mean: FloatArray

    @property
    def spread(self) -> FloatArray:
        """Typical standard deviation of each lead `[6]`: the median over windows."""
        return np.sqrt(np.median(np.diagonal(self.second, axis1=1, axis2=2), axis=0))


@dataclass(frozen=True)
class Story:
    """Undo it by `y[i] = gain[i] * x[take[i]]`; its score is the limb-law SNR of y."""

    take: tuple[int, ...]
    gain: FloatArray
    snr_db: float
    alternatives: int = 0  # other stories of the same score that change as few leads


def limb_moments(limb: FloatArray, n_windows: int) -> Moments:
    """Moments of `limb` `[6, time]` over `n_windows` windows of equal length; all samples finite."""
    length = limb.shape[1] // n_windows
    windows = limb[:, : length * n_windows].reshape(N_LIMB, n_windows, length).transpose(1, 0, 2)
    mean = windows.mean(axis=2)
    centred = windows - mean[:, :, None]
    return Moments(centred @ centred.transpose(0, 2, 1) / length, mean)


def window_snr_db(moments: Moments, story: Story | None = None) -> FloatArray:
    """Limb-law SNR of each window `[window]`, after undoing `story`; NaN where the window is flat."""
    second = moments.second
    if story is not None:
        take, gain = list(story.take), story.gain
        second = second[:, take][:, :, take] * np.outer(gain, gain)
    return _ratio_db(np.einsum("ij,wij->w", VIOLATION, second), np.trace(second, axis1=1, axis2=2))


def law_snr_db(moments: Moments, story: Story | None = None) -> float:
    """The score of a story, or of the leads as they are; NaN when every window is flat."""
    return _median(window_snr_db(moments, story))


def best_order(moments: Moments) -> tuple[Story, float]:
    """The order with signs that obeys the laws best, and the score of the best one outside its class.

    Of each class of twelve the member that changes fewest leads stands for all; of equals, the one that turns fewest
    upside down, then the one that leaves I, II and III alone.
    """
    stories = _signed_orders()
    n_windows = len(moments.second)
    flat = moments.second.reshape(n_windows, -1).T
    power = np.trace(moments.second, axis1=1, axis2=2)
    scores = np.median(_ratio_db(stories.forms @ flat, power[None]), axis=1)
    first, second = np.argsort(scores)[::-1][:2]
    signs = stories.signs[first].astype(np.float64)
    take = tuple(int(k) for k in stories.takes[first])
    return Story(take, signs, float(scores[first]), int(stories.ties[first])), float(scores[second])


def best_gains(moments: Moments, take: tuple[int, ...] = tuple(range(N_LIMB))) -> Story:
    """The gain of each lead that obeys the laws best in a given order, up to one gain common to all.

    Equation: minimise d^T H d over unit d with H = (1 - P) * C, C the second moments of the leads at unit spread (* is
    elementwise): the eigenvector of the smallest eigenvalue, which is |(1 - P) y|^2 / |y|^2. It is fitted twice, the
    second time on the half of the windows that it explains better.

    The common gain is chosen so that as many leads as possible keep theirs. No lead of the result is at gain 1 when
    they all differ: then the median of the absolute gains is 1.
    """
    spread = moments.spread[list(take)]
    if not np.all(spread > 0):
        return Story(take, np.ones(N_LIMB), float("-inf"))
    second = moments.second[:, list(take)][:, :, list(take)] / np.outer(spread, spread)
    power = np.maximum(np.trace(second, axis1=1, axis2=2), np.finfo(float).tiny)
    forms = VIOLATION * second / power[:, None, None]
    weights = np.ones(len(forms), dtype=bool)
    for _ in range(2):
        direction = np.linalg.eigh(forms[weights].mean(axis=0))[1][:, 0]
        misfit = np.einsum("i,wij,j->w", direction, forms, direction)
        weights = misfit <= np.median(misfit)
    gains = _anchored(direction / spread)
    story = Story(take, gains, float("-inf"))
    return Story(take, gains, law_snr_db(moments, story))


def best_order_and_gains(moments: Moments) -> Story:
    """`best_gains` of every order: the 120 classes of orders, since signs are gains."""
    return max((best_gains(moments, take) for take in _orders()), key=lambda story: story.snr_db)


def snr_without_db(moments: Moments, left_out: int | tuple[int, ...]) -> float:
    """Limb-law SNR of the other leads among themselves, whatever the leads `left_out` hold."""
    out = (left_out,) if isinstance(left_out, int) else left_out
    kept = [k for k in range(N_LIMB) if k not in out]
    second = moments.second[:, kept][:, :, kept]
    return _median(_ratio_db(np.einsum("ij,wij->w", _violation_of(tuple(kept)), second), np.trace(second, 0, 1, 2)))


def recompute(limb: FloatArray, left_out: tuple[int, ...]) -> FloatArray:
    """All six limb leads `[6, time]` by least squares from those not left out."""
    kept = [k for k in range(N_LIMB) if k not in left_out]
    lead_matrix = _lead_matrix()
    return np.asarray(lead_matrix @ (np.linalg.pinv(lead_matrix[kept]) @ limb[kept]))


@dataclass(frozen=True)
class _SignedOrders:
    takes: NDArray[np.int64]  # [class, 6]
    signs: NDArray[np.int64]  # [class, 6]
    forms: FloatArray  # [class, 36], (1 - P) in the given leads: x^T form x = |(1 - P) y|^2
    ties: NDArray[np.int64]  # [class], other members that change as few leads


@lru_cache(maxsize=1)
def _signed_orders() -> _SignedOrders:
    takes = np.array(list(itertools.permutations(range(N_LIMB))))
    signs = np.array(list(itertools.product((1, -1), repeat=N_LIMB)))
    takes, signs = np.repeat(takes, len(signs), axis=0), np.tile(signs, (len(takes), 1))
    changed = ((takes != np.arange(N_LIMB)) | (signs < 0)).sum(axis=1)
    turned = (signs < 0).sum(axis=1)
    bipolar = ((takes != np.arange(N_LIMB)) | (signs < 0))[:, :3].sum(axis=1)
    order = np.lexsort((bipolar, turned, changed))
    takes, signs, changed = takes[order], signs[order], changed[order]
    # The form of a member, in units of 1/21: one row of 36 integers names its class.
    place = np.argsort(takes, axis=1)
    sign_of_row = np.take_along_axis(signs, place, axis=1)
    integers = np.rint(21 * VIOLATION).astype(np.int64)
    forms = integers[place[:, :, None], place[:, None, :]] * sign_of_row[:, :, None] * sign_of_row[:, None, :]
    flat = np.ascontiguousarray(forms.reshape(len(forms), -1).astype(np.int8))
    names = flat.view(np.dtype((np.void, flat.shape[1]))).ravel()
    _, first, belongs = np.unique(names, return_index=True, return_inverse=True)
    as_few = changed == changed[first][belongs]
    ties = np.bincount(belongs[as_few], minlength=len(first)) - 1
    return _SignedOrders(takes[first], signs[first], flat[first] / 21.0, ties)


@lru_cache(maxsize=1)
def _orders() -> tuple[tuple[int, ...], ...]:
    """One order of each class that differs by signs and electrode exchanges only, the one that moves fewest leads."""
    stories = _signed_orders()
    seen: dict[bytes, tuple[int, tuple[int, ...]]] = {}
    for take, form in zip(stories.takes, stories.forms, strict=True):
        name = np.rint(21 * np.abs(form)).astype(np.int8).tobytes()
        moved = int((take != np.arange(N_LIMB)).sum())
        if name not in seen or moved < seen[name][0]:
            seen[name] = (moved, tuple(int(k) for k in take))
    return tuple(take for _, take in sorted(seen.values()))


@lru_cache(maxsize=64)
def _violation_of(kept: tuple[int, ...]) -> FloatArray:
    rows = _lead_matrix()[list(kept)]
    return np.asarray(np.eye(len(kept)) - rows @ np.linalg.pinv(rows))


def _lead_matrix() -> FloatArray:
    """The six limb leads of I and II `[6, 2]`."""
    return np.array([[1, 0], [0, 1], [-1, 1], [-0.5, -0.5], [1, -0.5], [-0.5, 1]])


def _anchored(gains: FloatArray) -> FloatArray:
    """Gains divided by the one that most of the others agree with, or by their median size."""
    if not np.all(np.isfinite(gains)) or np.abs(gains).min() == 0:
        return gains
    relative = gains[None, :] / gains[:, None]
    agree = (np.abs(relative - 1) < SAME_GAIN).sum(axis=1)
    if agree.max() < 2:
        negative = np.sign(gains).sum() < 0
        return np.asarray((-gains if negative else gains) / np.median(np.abs(gains)))
    together = np.abs(relative[int(agree.argmax())] - 1) < SAME_GAIN
    return np.asarray(gains / np.median(gains[together]))


def _ratio_db(violation: FloatArray, power: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.maximum(violation, 0.0) / power
        return np.asarray(-10.0 * np.log10(np.maximum(ratio, 10 ** (-CEILING_DB / 10.0))))


def _median(values: FloatArray) -> float:
    values = values[~np.isnan(values)]
    return float(np.median(values)) if len(values) else float("nan")
