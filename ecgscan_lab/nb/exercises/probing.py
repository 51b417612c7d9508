"""Exercises of notebook 05: what AUROC counts, which epoch may be reported, and who is resampled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ecgscan_lab.evaluate.intervals import macro_auroc
from ecgscan_lab.nb.exercises.checks import as_array, percent_check, value_check
from ecgscan_lab.nb.exercises.exercise import Check, Exercise, Wrong


def auroc(targets: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a positive record outscores a negative one, in percent; a tie counts half."""
    pairs = scores[targets == 1][:, None] - scores[targets == 0]
    return float(100 * ((pairs > 0).mean() + (pairs == 0).mean() / 2))


def reported(validation: np.ndarray, test: np.ndarray) -> float:
    """The test figure at the epoch that validation chooses."""
    return float(test[validation.argmax()])


def resampled_rows(patients: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of one resample: as many patients as there are, drawn with replacement, with all their records."""
    names = np.unique(patients)
    drawn = rng.choice(names, size=len(names))
    return np.concatenate([np.flatnonzero(patients == name) for name in drawn])


def _library_auroc(targets: np.ndarray, scores: np.ndarray) -> float:
    return macro_auroc(targets[:, None], scores[:, None]).macro


def _resample_problem(wanted: Callable[[np.ndarray, np.ndarray], str | None]) -> Callable[[Any], str | None]:
    """A check of several resamples of a small study."""

    def problem(answer: Any) -> str | None:
        for seed in range(8):
            rows = as_array(answer(_PATIENTS.copy(), np.random.default_rng(seed)))
            if rows.ndim != 1 or not len(rows):
                return f"it returns shape {rows.shape}, expected positions of rows, [n]."
            if not np.isin(rows, np.arange(len(_PATIENTS))).all():
                return f"it returns {rows[0]:g} ..., which are no positions among {len(_PATIENTS)} rows."
            said = wanted(rows.astype(int), np.bincount(rows.astype(int), minlength=len(_PATIENTS)))
            if said is not None:
                return said
        return None

    return problem


def _whole_patients(rows: np.ndarray, counts: np.ndarray) -> str | None:
    for name in np.unique(_PATIENTS):
        times = counts[name == _PATIENTS]
        if len(set(times.tolist())) > 1:
            return f"the records of patient {name} come {times.tolist()} times: a patient is in with all or with none."
    return None


def _as_many(rows: np.ndarray, counts: np.ndarray) -> str | None:
    names = np.unique(_PATIENTS)
    drawn = sum(int(counts[name == _PATIENTS][0]) for name in names)
    return None if drawn == len(names) else f"it draws {drawn} patients, expected as many as there are, {len(names)}."


def _is_random(answer: Any) -> str | None:
    drawn = [sorted(as_array(answer(_PATIENTS.copy(), np.random.default_rng(seed))).tolist()) for seed in range(8)]
    if all(rows == drawn[0] for rows in drawn):
        return "every resample holds the same rows: draw with replacement, from the generator that is given."
    again = sorted(as_array(answer(_PATIENTS.copy(), np.random.default_rng(0))).tolist())
    return (
        None if again == drawn[0] else "the same generator gives another resample: draw from it, and from nothing else."
    )


_PATIENTS = np.array(["c", "a", "a", "b", "a", "c", "d", "e", "e"])
_RNG = np.random.default_rng(0)
_TRUTH = np.tile([1, 0, 0, 1, 0], 8)
_SCORES = _RNG.normal(size=40) + 0.8 * _TRUTH
_VALIDATION = np.array([60.0, 71.0, 74.0, 73.0, 70.0])
_TEST = np.array([58.0, 75.0, 72.0, 70.0, 69.0])

_AUROC = Exercise(
    id="05.1",
    question="Return the AUROC of scores in percent, from the pairs of a positive and a negative record.",
    solution=auroc,
    checks=(
        percent_check(_library_auroc, [(_TRUTH, _SCORES), (_TRUTH, -_SCORES)]),
        value_check(
            _library_auroc,
            [(_TRUTH, _SCORES), (_TRUTH, -_SCORES)],
            "of all pairs of a positive and a negative record, in what share does the positive score higher?",
            "scores[targets == 1][:, None] - scores[targets == 0] holds all pairs; count those above zero.",
            "100 * (pairs > 0).mean()",
        ),
        value_check(
            _library_auroc,
            [(_TRUTH, np.zeros(40)), (_TRUTH, _SCORES.round())],
            "what about two records with the same score? A constant score knows nothing and should give 50.",
            "a tie counts half: add (pairs == 0).mean() / 2.",
            about="ties",
        ),
    ),
    wrong=(
        Wrong(lambda t, s: 100 * (s[t == 1][:, None] > s[t == 0]).mean(), "it gives 0, expected 50"),
        Wrong(lambda t, s: 100 * ((s > 0) == t).mean(), "expected"),
        Wrong(lambda t, s: (s[t == 1][:, None] > s[t == 0]).mean(), "as percent"),
        Wrong(lambda t, s: 100 * (s[t == 1][:, None] >= s[t == 0]).mean(), "it gives 100, expected 50"),
    ),
)

_REPORTED = Exercise(
    id="05.2",
    question="From validation and test AUROC after every epoch, return the figure that may be reported.",
    solution=reported,
    checks=(
        value_check(
            reported,
            [(_VALIDATION, _TEST), (_TEST, _VALIDATION), (_VALIDATION[::-1].copy(), _TEST)],
            "which of the two curves may choose the epoch, and from which of them is the figure?",
            "validation chooses, test is read once: at validation.argmax().",
            "test[validation.argmax()]",
        ),
        value_check(
            reported,
            [(np.array([70.0, 75.0, 75.0]), np.array([60.0, 65.0, 80.0]))],
            "two epochs tie on validation: take the first of them, not the one that suits you.",
            about="ties",
        ),
    ),
    wrong=(
        Wrong(lambda validation, test: test.max(), "it gives 75, expected 72"),
        Wrong(lambda validation, test: test[-1], "it gives 69, expected 72"),
        Wrong(lambda validation, test: validation.max(), "it gives 74, expected 72"),
        Wrong(lambda validation, test: test[validation == validation.max()].max(), "it gives 80, expected 65"),
    ),
)

_RESAMPLED = Exercise(
    id="05.3",
    question="Return the rows of one bootstrap resample of the patients, drawn from the given generator.",
    solution=resampled_rows,
    checks=(
        Check(
            "whole patients",
            _resample_problem(_whole_patients),
            (
                "draw patients, not records; what comes along with a drawn patient?",
                "np.unique(patients) are the patients; each drawn one brings np.flatnonzero(patients == name).",
                "np.concatenate([np.flatnonzero(patients == name) for name in drawn])",
            ),
        ),
        Check(
            "number of patients",
            _resample_problem(_as_many),
            (
                "a resample is as large as the study: how many patients were in it?",
                "rng.choice(names, size=len(names)), and a patient drawn twice counts twice.",
            ),
        ),
        Check(
            "randomness",
            _is_random,
            ("with replacement, and by the generator: rng.choice(names, size=len(names)).",),
        ),
    ),
    wrong=(
        Wrong(lambda patients, rng: rng.integers(len(patients), size=len(patients)), "with all or with none"),
        Wrong(lambda patients, rng: np.arange(len(patients)), "every resample holds the same rows"),
        Wrong(
            lambda patients, rng: np.flatnonzero(np.isin(patients, rng.choice(np.unique(patients), size=5))),
            "expected as many as there are",
        ),
        Wrong(lambda patients, rng: rng.choice(np.unique(patients), size=5), "ValueError"),
    ),
)

EXERCISES = (_AUROC, _REPORTED, _RESAMPLED)
