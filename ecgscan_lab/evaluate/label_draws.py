"""Which training records keep their labels when labels are few: stratified by patient, permuted, or MERL's draw."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ecgscan_lab.errors import ArgumentError

Draw = Literal["stratified", "permuted", "merl"]

_MERL_SEED = 42


def draw_labelled(
    labels: NDArray[np.bool_], patients: NDArray[Any], fraction: float, seed: int, draw: Draw = "stratified"
) -> NDArray[np.intp]:
    """Positions of the training records whose labels are used, ascending.

    Args:
        labels: bool `[record, class]`, of the training records only.
        patients: patient of each of them `[record]`; "stratified" takes a patient's records together.
        fraction: share of the records, above 0 and at most 1.
        seed: seed of the draw; "merl" has its own, fixed one.
        draw: "stratified" (see `stratified_draw`); "permuted", the first of one permutation, so that the 1 % set lies
            within the 10 % set; "merl", the subset that MERL's benchmark uses (see `merl_draw`).

    Raises:
        ArgumentError: the fraction is out of range, or the draw is unknown.

    >>> labels, patients = np.eye(3, dtype=bool)[np.arange(300) % 3], np.arange(300)
    >>> labels[draw_labelled(labels, patients, 0.1, seed=0)].sum(axis=0).tolist()
    [10, 10, 10]
    """
    if not 0.0 < fraction <= 1.0:
        raise ArgumentError(f"label_fraction {fraction}", field="label_fraction", expected="above 0, at most 1")
    if draw not in get_args(Draw):
        raise ArgumentError(f"unknown draw {draw!r}", field="draw", expected=f"one of {', '.join(get_args(Draw))}")
    if fraction == 1.0:
        return np.arange(len(labels))
    if draw == "merl":
        return merl_draw(len(labels), fraction)
    if draw == "permuted":
        return np.sort(np.random.default_rng(seed).permutation(len(labels))[: _n_wanted(len(labels), fraction)])
    return stratified_draw(labels, patients, fraction, seed)


def stratified_draw(labels: NDArray[np.bool_], patients: NDArray[Any], fraction: float, seed: int) -> NDArray[np.intp]:
    """A share of multi-label records in which every class keeps its share, and at least one positive where possible.

    Classes are served from the rarest to the commonest, records without any label last: each takes patients in random
    order until it has its share, counting those that came along with a rarer class; its other patients are then out, so
    that a common class does not carry in too many of a rare one.

    **Source.** Iterative stratification, K. Sechidis et al. (2011), ECML PKDD. *Differences*: two parts only, whole
    patients, and one positive of every class before anything else.

    Args:
        labels: bool `[record, class]`.
        patients: patient of each record `[record]`.
        fraction: share of the records, above 0 and below 1.
        seed: seed of the random order.

    Returns:
        Positions, ascending: ceil(fraction x records) of them, fewer by less than one patient's records where the last
        patient would not fit.

    Properties: a patient is in or out with all records; a class whose patients fit keeps a positive.
    """
    unit = np.unique(patients, return_inverse=True)[1]
    sizes = np.bincount(unit)
    columns = np.column_stack([labels, ~labels.any(axis=1)]).astype(np.int64)
    counts = np.zeros((len(sizes), columns.shape[1]), dtype=np.int64)
    np.add.at(counts, unit, columns)
    totals = counts.sum(axis=0)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sizes))
    room = _n_wanted(len(unit), fraction)
    taken, out = np.zeros(len(sizes), bool), np.zeros(len(sizes), bool)
    have = np.zeros(len(totals), dtype=np.int64)
    classes = sorted(range(labels.shape[1]), key=lambda k: (totals[k], k))
    # Three rounds: one positive of every class, then every class's share, then whoever fills the room that is left.
    rounds = [(k, 1.0, False) for k in classes]
    rounds += [(k, fraction * totals[k], True) for k in [*classes, labels.shape[1]]]
    for k, wanted, settles in rounds:
        candidates = order[(counts[order, k] > 0) & ~taken[order] & ~out[order]]
        for patient in candidates:
            if have[k] >= wanted - 0.5:
                break
            if sizes[patient] <= room:
                taken[patient] = True
                have += counts[patient]
                room -= sizes[patient]
        out[candidates] |= settles
    # In a new order: who comes early in the old one and was not taken has a class that filled early.
    for patient in rng.permutation(np.flatnonzero(~taken)):
        if not room:
            break
        if sizes[patient] <= room:
            taken[patient] = True
            room -= sizes[patient]
    return np.flatnonzero(taken[unit])


def merl_draw(n: int, fraction: float) -> NDArray[np.intp]:
    """Positions that MERL's benchmark trains on when labels are few, in a table of n records in its published order.

    **Source.** C. Liu et al., MERL (2024), arXiv 2403.06659: scikit-learn's unstratified `train_test_split` with
    `train_size=fraction` and `random_state=42`. It looks at neither labels nor patients: a rare class may be left
    without a positive.

    Raises:
        ArgumentError: the fraction leaves no record, or all of them.

    >>> [len(merl_draw(n, 0.01)) for n in (17084, 7197, 16832, 4950, 16546)]
    [170, 71, 168, 49, 165]
    """
    if not 1 <= math.floor(n * fraction) < n:
        raise ArgumentError(
            f"{fraction:g} of {n} records", field="label_fraction", expected="a share that is at least one record"
        )
    order = np.random.RandomState(_MERL_SEED).permutation(n)  # what scikit-learn draws, without loading it
    return np.sort(order[n - math.floor(n * fraction) :])


def _n_wanted(n: int, fraction: float) -> int:
    return max(1, math.ceil(fraction * n - 1e-9))
