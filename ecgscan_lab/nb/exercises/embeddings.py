"""Exercises of notebook 06: neighbours that agree, what chance gives, and what a map kept."""

from __future__ import annotations

import numpy as np

from ecgscan_lab.evaluate.neighbours import chance_share, same_label_share
from ecgscan_lab.nb.exercises.checks import percent_check, value_check
from ecgscan_lab.nb.exercises.exercise import Exercise, Wrong


def agreement(rows: np.ndarray, labels: np.ndarray) -> float:
    """Percent of rows whose nearest other row, by cosine, has their label."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return float(100 * (labels[cosine.argmax(axis=1)] == labels).mean())


def by_chance(labels: np.ndarray) -> float:
    """Percent of pairs of different rows that share a label."""
    same = labels[:, None] == labels
    n = len(labels)
    return float(100 * (same.sum() - n) / (n * (n - 1)))


def kept(full: np.ndarray, flat: np.ndarray) -> float:
    """Percent of the neighbours in `full` that are in the same row of `flat`."""
    return float(100 * np.mean([np.isin(a, b).mean() for a, b in zip(full, flat, strict=True)]))


def _with_itself(rows: np.ndarray, labels: np.ndarray) -> float:
    return float(100 * (labels[(rows @ rows.T).argmax(axis=1)] == labels).mean())


def _longest(rows: np.ndarray, labels: np.ndarray) -> float:
    cosine = rows @ rows.T
    np.fill_diagonal(cosine, -np.inf)
    return float(100 * (labels[cosine.argmax(axis=1)] == labels).mean())


_RNG = np.random.default_rng(0)
_LABELS = np.repeat([0, 1, 2], [12, 8, 4])
_ROWS = (np.eye(3)[_LABELS] + 0.6 * _RNG.normal(size=(24, 3))) * _RNG.uniform(0.2, 5.0, size=(24, 1))
_FULL = np.array([[1, 2, 3], [0, 2, 3], [3, 1, 0]])
_FLAT = np.array([[2, 1, 5], [4, 5, 6], [3, 0, 9]])

_AGREEMENT_CASES = [(_ROWS, _LABELS), (_ROWS[::2], _LABELS[::2])]
_CHANCE_CASES = [(_LABELS,), (np.array([0, 0, 1, 1]),)]


def _nearest_agrees(rows: np.ndarray, labels: np.ndarray) -> float:
    return same_label_share(rows, labels, k=1)


_AGREEMENT = Exercise(
    id="06.1",
    question="Return the percent of rows whose nearest other row, by cosine, has the same label.",
    solution=agreement,
    checks=(
        percent_check(_nearest_agrees, _AGREEMENT_CASES),
        value_check(
            _nearest_agrees,
            _AGREEMENT_CASES,
            "a cosine does not know how long a row is, and no row is its own neighbour: which did you forget?",
            "divide each row by its length; then put -inf on the diagonal of unit @ unit.T.",
            "100 * (labels[cosine.argmax(axis=1)] == labels).mean()",
        ),
    ),
    wrong=(
        Wrong(_with_itself, "expected"),
        Wrong(_longest, "expected"),
        Wrong(lambda rows, labels: agreement(rows, labels) / 100, "as percent"),
    ),
)

_CHANCE = Exercise(
    id="06.2",
    question="Return the percent of agreement that neighbours drawn by lot would have.",
    solution=by_chance,
    checks=(
        percent_check(chance_share, _CHANCE_CASES),
        value_check(
            chance_share,
            _CHANCE_CASES,
            "of all pairs of two different rows, how many share a label? One over the number of classes is not it.",
            "a row is no partner of itself: leave the diagonal of labels[:, None] == labels out, above and below.",
            "100 * (same.sum() - n) / (n * (n - 1))",
        ),
    ),
    wrong=(
        Wrong(lambda labels: 100 / len(set(labels.tolist())), "expected"),
        Wrong(lambda labels: float(100 * (labels[:, None] == labels).mean()), "expected"),
        Wrong(lambda labels: float(100 * np.bincount(labels).max() / len(labels)), "expected"),
        Wrong(lambda labels: by_chance(labels) / 100, "as percent"),
    ),
)

_KEPT = Exercise(
    id="06.3",
    question="From two tables of neighbours, return the percent of those in the first that the second has, too.",
    solution=kept,
    checks=(
        percent_check(kept, [(_FULL, _FLAT), (_FULL, _FULL)]),
        value_check(
            kept,
            [(_FULL, _FLAT), (_FULL, _FULL[:, ::-1].copy()), (_FULL, _FULL + 10)],
            "the order of neighbours does not count, and a neighbour of *another* row does not, either.",
            "row by row: np.isin(full[i], flat[i]).mean(), then the mean over rows.",
        ),
    ),
    wrong=(
        Wrong(lambda full, flat: float(100 * (full == flat).mean()), "expected"),
        Wrong(lambda full, flat: float(100 * np.isin(full, flat).mean()), "expected"),
        Wrong(lambda full, flat: 100.0, "it gives 100, expected"),
        Wrong(lambda full, flat: kept(full, flat) / 100, "as percent"),
    ),
)

EXERCISES = (_AGREEMENT, _CHANCE, _KEPT)
