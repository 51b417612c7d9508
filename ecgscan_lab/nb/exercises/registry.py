"""Finds exercises by number; a notebook whose module is not there has none."""

from __future__ import annotations

import importlib
from collections import Counter
from importlib.util import find_spec
from typing import Any

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.nb.exercises.exercise import Exercise, Verdict

# Notebook -> the module beside this one that holds its EXERCISES; one that does not exist is passed over.
MODULES = {
    "01": "rendering",
    "02": "volume",
    "03": "leads",
    "04": "pretraining",
    "05": "probing",
    "06": "embeddings",
    "07": "losses",
    "08": "paper_ecg",
}

_wrong_attempts: Counter[str] = Counter()


def check_exercise(exercise_id: str, answer: Any) -> Verdict:
    """Say whether an answer is not attempted, right, or why it is wrong, with a hint that grows with each attempt.

    An answer that raises is told where and why, and uses up no hint.

    Args:
        exercise_id: number of the exercise, "02.1".
        answer: the reader's function or value.

    Returns:
        A `Verdict`, which shows itself when it ends a cell.

    Raises:
        ArgumentError: there is no such exercise.

    >>> check_exercise("02.1", ...).status
    'not attempted'
    """
    exercise = find_exercise(exercise_id)
    verdict = exercise.verdict(answer, _wrong_attempts[exercise_id] + 1)
    if verdict.status == "wrong":
        _wrong_attempts[exercise_id] += 1
    elif verdict.status == "right":
        del _wrong_attempts[exercise_id]
    return verdict


def find_exercise(exercise_id: str) -> Exercise:
    """The exercise of this number.

    Raises:
        ArgumentError: there is none.
    """
    notebook = exercise_id.partition(".")[0]
    known = {exercise.id: exercise for exercise in _exercises_of(notebook)}
    if exercise_id not in known:
        raise ArgumentError(
            f"no exercise {exercise_id!r}",
            field="exercise_id",
            expected=f"one of {', '.join(known)}" if known else f"a notebook with exercises: {', '.join(_present())}",
        )
    return known[exercise_id]


def registered_exercises() -> tuple[Exercise, ...]:
    """All exercises of all notebooks, in order."""
    return tuple(exercise for notebook in _present() for exercise in _exercises_of(notebook))


def _present() -> list[str]:
    return [notebook for notebook, module in sorted(MODULES.items()) if find_spec(_path(module)) is not None]


def _exercises_of(notebook: str) -> tuple[Exercise, ...]:
    if notebook not in _present():
        return ()
    exercises: tuple[Exercise, ...] = importlib.import_module(_path(MODULES[notebook])).EXERCISES
    return exercises


def _path(module: str) -> str:
    return f"{__package__}.{module}"
