"""Exercises of notebook 01: paper arithmetic, the ink of a pixel, and finding a lead on a page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ecgscan_lab.nb.exercises.checks import invariance_check, number_check, shape_check, value_check
from ecgscan_lab.nb.exercises.exercise import Check, Exercise, Wrong


def place_on_paper(t_s: float, u_mv: float, x0_mm: float, y0_mm: float) -> tuple[float, float]:
    """Where a sample lies: 25 mm a second to the right, 10 mm a millivolt upwards, and y points down."""
    return x0_mm + 25 * t_s, y0_mm - 10 * u_mv


def pixel_coverage(low: np.ndarray, high: np.ndarray, row: int) -> np.ndarray:
    """Overlap of the stroke's interval [low, high] with the pixel [row, row + 1]."""
    return np.clip(high - row, 0, 1) - np.clip(low - row, 0, 1)


def nearest_trace(polylines: Mapping[str, np.ndarray], x: float, y: float) -> str:
    """The trace with a sample nearest to a pixel."""
    return min(polylines, key=lambda name: float(np.min((polylines[name] - (x, y)) ** 2 @ (1, 1))))


def _lines() -> dict[str, np.ndarray]:
    x = np.arange(0.0, 100.0)
    tall = 100 - 60 * np.exp(-(((x - 50) / 3) ** 2))  # reaches up into the row above
    return {"I": np.column_stack([x, np.full(100, 50.0)]), "II": np.column_stack([x, tall])}


_LOW, _HIGH = np.array([2.25, 3.5, 3.1, 0.0, 4.2]), np.array([3.75, 3.9, 6.0, 9.0, 5.0])
_LINES = _lines()

_PAPER = Exercise(
    id="01.1",
    question="Return the place (x, y) in mm of a sample of u mV, t seconds into a trace that starts at (x0, y0).",
    solution=place_on_paper,
    checks=(
        value_check(
            place_on_paper,
            [(0.0, 0.0, 19.0, 46.0), (1.0, 0.0, 19.0, 46.0)],
            "paper moves 25 mm in a second: where is it after one?",
        ),
        value_check(
            place_on_paper,
            [(0.0, 1.0, 19.0, 46.0), (2.5, -0.5, 81.5, 89.0)],
            "a millivolt is 10 mm high; which way does y point on a page?",
            "y grows downwards, so a positive voltage makes it smaller: y0 - 10 u.",
        ),
    ),
    wrong=(
        Wrong(lambda t, u, x0, y0: (x0 + 25 * t, y0 + 10 * u), "expected 36"),
        Wrong(lambda t, u, x0, y0: (25 * t, y0 - 10 * u), "expected 19"),
        Wrong(lambda t, u, x0, y0: (x0 + 10 * t, y0 - 25 * u), "expected 44"),
    ),
)

_INK = Exercise(
    id="01.2",
    question="Return how much of the pixel [row, row + 1] a stroke covers that reaches from `low` to `high`.",
    solution=pixel_coverage,
    checks=(
        shape_check((_LOW, _HIGH, 3), (5,), "arrays in, one share for each stroke out: np.clip works on arrays."),
        value_check(
            pixel_coverage,
            [(_LOW, _HIGH, 3), (_LOW, _HIGH, 5), (np.array([3.5]), np.array([3.75]), 3)],
            "cut both ends of the stroke to the pixel, then subtract.",
            "clip(high - row, 0, 1) - clip(low - row, 0, 1)",
        ),
        invariance_check(
            (_LOW, _HIGH, 3), (_LOW + 7, _HIGH + 7, 10), "stroke and pixel move together", "only high - row counts."
        ),
    ),
    wrong=(
        Wrong(lambda low, high, row: high - low, "expected"),
        Wrong(lambda low, high, row: np.clip(high - row, 0, 1), "expected"),
        Wrong(lambda low, high, row: ((low < row + 0.5) & (high > row + 0.5)).astype(float), "expected"),
        Wrong(lambda low, high, row: float(np.mean(np.clip(high - row, 0, 1))), "shape (), expected (5,)"),
    ),
)


def _finds(x: float, y: float, wanted: str, *hints: str) -> Check:
    def problem(answer: object) -> str | None:
        got = answer(dict(_LINES), x, y)  # type: ignore[operator]
        return None if got == wanted else f"at ({x:g}, {y:g}) it says {got!r}, but the ink there is of {wanted!r}."

    return Check("lead", problem, hints)


_FIND = Exercise(
    id="01.4",
    question="Find the lead: return the name of the trace whose polyline passes nearest to the pixel (x, y).",
    solution=nearest_trace,
    checks=(
        _finds(20.0, 52.0, "I", "compare distances to every sample of every trace, and take the least."),
        _finds(20.0, 97.0, "II", "compare distances to every sample of every trace, and take the least."),
        _finds(
            50.0,
            43.0,
            "II",
            "a tall QRS reaches into the row above: neither the nearest baseline nor a box can tell.",
            "min over traces of the minimum over samples of (x - xi)² + (y - yi)².",
        ),
    ),
    wrong=(
        Wrong(lambda lines, x, y: min(lines, key=lambda k: abs(float(np.median(lines[k][:, 1])) - y)), "'II'"),
        Wrong(lambda lines, x, y: "I", "'II'"),
        Wrong(lambda lines, x, y: min(lines, key=lambda k: float(np.abs(lines[k].mean(0) - (x, y)).sum())), "'II'"),
    ),
)

_WIDTH = Exercise(
    id="01.3",
    question="How many pixels wide is one second of a 25 mm/s page that is 279.4 mm wide and drawn 336 pixels wide?",
    solution=25 * 336 / 279.4,
    checks=(
        number_check(
            25 * 336 / 279.4,
            0.3,
            "how many pixels is a millimetre?",
            "336 / 279.4 pixels a millimetre, and 25 mm a second.",
            known={33.6: "336 px over ten seconds: but the margins take their share", 336 / 279.4: "one millimetre"},
            unit=" px",
        ),
    ),
    wrong=(Wrong(33.6, "margins"), Wrong(336 / 279.4, "one millimetre"), Wrong(196.85, "too high")),
)

EXERCISES = (_PAPER, _INK, _WIDTH, _FIND)
