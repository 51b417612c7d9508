"""Exercises of notebook 02: the Gram volume, its gradient, its hubs and the floor of the loss."""

from __future__ import annotations

import math

import torch

from ecgscan_lab.losses.contrastive import smoothed_floor, unit_rows
from ecgscan_lab.losses.gram import gram_volume
from ecgscan_lab.nb.exercises.checks import (
    gradient_check,
    invariance_check,
    number_check,
    shape_check,
    value_check,
)
from ecgscan_lab.nb.exercises.exercise import Exercise, Wrong


def gram_determinant(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """Determinant of the Gram matrix of three unit vectors, from their cosines."""
    return 1 + 2 * a * b * c - a**2 - b**2 - c**2


def distances_from_planes(image: torch.Tensor, text: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    """Divide the volume by what depends on the column alone."""
    x, y, z = image @ text.T, image @ signal.T, (text * signal).sum(1)
    return (gram_determinant(x, y, z) / (1 - z**2)).clamp_min(0).sqrt()


def safe_volume(determinant: torch.Tensor) -> torch.Tensor:
    """A root whose slope is bounded, of a determinant that rounding has not turned round."""
    return (determinant.clamp_min(0) + 1e-8).sqrt()


def _library_determinant(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    a, b, c = torch.broadcast_tensors(*(torch.as_tensor(item, dtype=torch.float64) for item in (a, b, c)))
    one = torch.ones_like(a)
    rows = (torch.stack((one, a, b), -1), torch.stack((a, one, c), -1), torch.stack((b, c, one), -1))
    return torch.linalg.det(torch.stack(rows, -2))


def _library_distance(image: torch.Tensor, text: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    return gram_volume(image, text, signal, kind="plane_distance")


def _rows(seed: int) -> tuple[torch.Tensor, ...]:
    drawn = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return tuple(unit_rows(rows) for rows in drawn)


_COSINES = tuple(
    torch.tensor(values, dtype=torch.float64) for values in ([0.9, -0.2, 0.3], [0.8, 0.1, 0.3], [0.7, 0.4, 0.3])
)
_IMAGE, _TEXT, _SIGNAL = _rows(seed=2)
_BENT = unit_rows(_TEXT + 3 * _SIGNAL)  # in the same plane as before, but nearly parallel to the signal
_TINY = torch.tensor([0.0, 1e-14], dtype=torch.float64)
_NEGATIVE = torch.tensor([-1e-7, -1e-3], dtype=torch.float64)
_BATCH = 256

_TENSORS_TOO = "it has to work for tensors too, element by element: use * and **, not math functions."

_DETERMINANT = Exercise(
    id="02.1",
    question="Write det G of three unit vectors as a function of their cosines a, b and c.",
    solution=gram_determinant,
    checks=(
        value_check(
            _library_determinant,
            [(0.0, 0.0, 0.0), (0.6, 0.0, 0.0), (0.5, 0.5, 0.5), (0.9, 0.9, 0.9), (-0.5, 0.5, 0.5)],
            "expand the determinant of [[1, a, b], [a, 1, c], [b, c, 1]] along its first row.",
            "three products carry a square with a minus sign, and two equal ones carry all three cosines.",
            "1 + 2abc - a² - b² - c².",
        ),
        value_check(
            _library_determinant,
            [_COSINES],
            _TENSORS_TOO,
            about="shape",
            crash=_TENSORS_TOO,
        ),
    ),
    wrong=(
        Wrong(lambda a, b, c: 1 - a**2 - b**2 - c**2, "for 0.5, 0.5, 0.5 it gives 0.25, expected 0.5"),
        Wrong(lambda a, b, c: 1 + a * b * c - a**2 - b**2 - c**2, "for 0.5, 0.5, 0.5 it gives 0.375, expected 0.5"),
        Wrong(lambda a, b, c: math.sqrt(1 + 2 * a * b * c - a**2 - b**2 - c**2), "it gives 0.8, expected 0.64"),
        Wrong(lambda a, b, c: float(1 + 2 * a * b * c - a**2 - b**2 - c**2), "only one element"),
    ),
)

_GRADIENT = Exercise(
    id="02.2",
    question="Take the root of a determinant so that value and gradient stay finite at zero and below.",
    solution=safe_volume,
    checks=(
        value_check(
            torch.sqrt,
            [(torch.tensor([1.0, 0.25, 0.01], dtype=torch.float64),)],
            "an ordinary determinant must keep its root: whatever you add has to be small.",
            tolerance=1e-3,
        ),
        gradient_check(
            (_TINY,),
            "the slope of √u is 1 / (2√u): what happens at u = 0, and what would keep u away from it?",
            "add 1e-8 under the root: repairing the value afterwards does not repair its gradient.",
            wanted=lambda gradient: bool((gradient.abs() < 1e5).all()),
            description="below 100,000, or one such triple outweighs all others",
        ),
        gradient_check(
            (_NEGATIVE,),
            "rounding can make a determinant negative; what is the slope of |u| there?",
            "a negative determinant means 'as small as can be': clamp it at zero instead of mirroring it.",
            "(determinant.clamp_min(0) + 1e-8).sqrt()",
            wanted=lambda gradient: bool((gradient >= 0).all()),
            description="never negative, or descending would make the determinant more negative",
        ),
    ),
    wrong=(
        Wrong(lambda u: u.abs().sqrt(), "not finite"),
        Wrong(
            lambda u: u.clamp_min(0).sqrt(), "the gradient at [0, 1e-14]"
        ),  # infinite at 0 with some versions of torch
        Wrong(lambda u: torch.nan_to_num(u.sqrt()), "not finite"),
        Wrong(lambda u: (u.abs() + 1e-8).sqrt(), "never negative"),
        Wrong(lambda u: (u.clamp_min(0) + 0.1).sqrt(), "expected 0.1"),
    ),
)

_PLANES = Exercise(
    id="02.3",
    question="Return the distance of every image i from the plane of every (report, signal) pair j, as [batch, batch].",
    solution=distances_from_planes,
    checks=(
        shape_check(
            (_IMAGE, _TEXT, _SIGNAL),
            (5, 5),
            "two of the three cosines come as tables, image @ text.T and image @ signal.T; the third is one a pair.",
        ),
        value_check(
            _library_distance,
            [(_IMAGE, _TEXT, _SIGNAL)],
            "V² = (1 - c²) d², so divide V by what the pair contributes.",
            "c belongs to column j: as a vector [batch] it is broadcast along the rows, as it should be.",
            "(det / (1 - c**2)).clamp_min(0).sqrt() with det from exercise 02.1.",
        ),
        invariance_check(
            (_IMAGE, _TEXT, _SIGNAL),
            (_IMAGE, _BENT, _SIGNAL),
            "the report turns within its plane, towards the signal",
            "only the plane counts, not the angle between the two vectors that span it.",
        ),
    ),
    wrong=(
        Wrong(lambda image, text, signal: gram_volume(image, text, signal), "expected"),
        Wrong(lambda i, t, s: gram_volume(i, t, s) / (1 - (t * s).sum(1) ** 2), "expected"),
        Wrong(lambda i, t, s: gram_volume(i, t, s) / (1 - (t * s).sum(1, keepdim=True) ** 2).sqrt(), "expected"),
        Wrong(lambda i, t, s: distances_from_planes(i, t, s).diagonal(), "shape (5,), expected (5, 5)"),
    ),
)

_FLOOR = Exercise(
    id="02.4",
    question=f"Predict, to three decimals, the lowest loss in nats of a batch of {_BATCH} with label smoothing 0.1.",
    solution=smoothed_floor(_BATCH),
    checks=(
        number_check(
            smoothed_floor(_BATCH),
            2e-3,
            "the best prediction is the smoothed target itself; what is its cross-entropy with itself?",
            "the target is p = 1 - ε + ε/B once and q = ε/B for the other B - 1: sum -p ln p and -q ln q.",
            known={
                0.0: "the floor without label smoothing",
                math.log(_BATCH): f"ln {_BATCH}, the loss of guessing: the ceiling, not the floor",
                -math.log(0.9): "-ln 0.9, the cost of the right candidate alone: the others have a share too",
                smoothed_floor(80): "the floor of a batch of 80",
                -0.9 * math.log(0.9) - 0.1 * math.log(0.1 / _BATCH): "close: the right candidate gets ε/B as well",
            },
            unit=" nats",
        ),
    ),
    wrong=(
        Wrong(0.0, "without label smoothing"),
        Wrong(math.log(_BATCH), "the loss of guessing"),
        Wrong(0.8797, "gets ε/B as well"),
        Wrong(0.1054, "the right candidate alone"),
        Wrong("low", "not a number"),
    ),
)

EXERCISES = (_DETERMINANT, _GRADIENT, _PLANES, _FLOOR)
