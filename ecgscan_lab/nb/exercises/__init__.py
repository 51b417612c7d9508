"""Exercises of the notebooks: `check_exercise("02.1", answer)` says not attempted, right, or why it is wrong.

One module a notebook holds `EXERCISES`, a tuple of `Exercise`; `registry.MODULES` says which. A module is imported when
one of its exercises is first asked for.
"""

from __future__ import annotations

from ecgscan_lab.nb.exercises.exercise import Check, Exercise, Verdict, Wrong
from ecgscan_lab.nb.exercises.registry import check_exercise, find_exercise, registered_exercises

__all__ = ["Check", "Exercise", "Verdict", "Wrong", "check_exercise", "find_exercise", "registered_exercises"]
