"""Exercises of notebook 04: count an adapter, follow the learning rate, tell how long the paper's run takes."""

from __future__ import annotations

import math

from ecgscan_lab.nb.exercises.checks import number_check, value_check
from ecgscan_lab.nb.exercises.exercise import Exercise, Wrong
from ecgscan_lab.train.schedule import learning_rate

_PAPER_FLOP = 1.13e12 * 80 * 50_000
_CHIP_FLOP_S = 769e12

_ADAPTER = Exercise(
    id="04.1",
    question="How many numbers does LoRA of rank 16 train on q_proj and v_proj of 24 blocks, 1,024 wide?",
    solution=24 * 2 * 16 * (1024 + 1024),
    checks=(
        number_check(
            24 * 2 * 16 * (1024 + 1024),
            0.5,
            "an adapter is two thin matrices, A [rank, in] and B [out, rank].",
            "one layer has 16 x 1,024 numbers in A and as many in B.",
            "24 blocks x 2 layers x 16 x (1,024 + 1,024).",
            known={
                24 * 2 * 16 * 1024: "one of the two thin matrices alone, A or B",
                24 * 4 * 16 * 2048: "the number for q, k, v and o, four layers a block",
                2 * 16 * 2048: "one block alone",
                24 * 2 * 1024 * 1024: "what the two layers hold themselves: the adapters are 32 times smaller",
            },
        ),
    ),
    wrong=(
        Wrong(786_432, "A or B"),
        Wrong(3_145_728, "q, k, v and o"),
        Wrong(65_536, "one block alone"),
        Wrong(50_331_648, "32 times smaller"),
        Wrong("many", "not a number"),
    ),
)


def rate_at(step: int, steps: int, peak: float, warmup_share: float) -> float:
    """Linear warm-up to the peak, then a half cosine to zero."""
    warmup = math.ceil(warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def _from_zero(step: int, steps: int, peak: float, warmup_share: float) -> float:
    warmup = math.ceil(warmup_share * steps)
    return peak * step / warmup if step < warmup else rate_at(step, steps, peak, warmup_share)


def _cosine_over_all(step: int, steps: int, peak: float, warmup_share: float) -> float:
    if step < math.ceil(warmup_share * steps):
        return rate_at(step, steps, peak, warmup_share)
    return peak * 0.5 * (1 + math.cos(math.pi * step / steps))


def _straight(step: int, steps: int, peak: float, warmup_share: float) -> float:
    warmup = math.ceil(warmup_share * steps)
    if step < warmup:
        return rate_at(step, steps, peak, warmup_share)
    return peak * (1 - (step - warmup) / (steps - warmup))


_RATE = Exercise(
    id="04.2",
    question="Return the learning rate of a step: a straight warm-up to the peak, then a half cosine to zero.",
    solution=rate_at,
    checks=(
        value_check(
            learning_rate,
            [(0, 10, 1.0, 0.2), (1, 10, 1.0, 0.2)],
            "look at the first steps: no step is wasted on a rate of zero.",
            "the first of w warm-up steps has peak / w, the last one the peak.",
            "peak * (step + 1) / warmup while step < warmup.",
            tolerance=1e-6,
            about="warm-up",
        ),
        value_check(
            learning_rate,
            [(2, 10, 1.0, 0.2), (4, 10, 1.0, 0.2), (6, 10, 1.0, 0.2), (27_500, 50_000, 5e-4, 0.1)],
            "where does the cosine begin, and how many steps are left for it?",
            "the cosine runs from 0 to pi over the steps that are left after the warm-up.",
            "peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))).",
            tolerance=1e-7,
            about="cosine",
        ),
    ),
    wrong=(
        Wrong(_from_zero, "for 0, 10, 1, 0.2 it gives 0, expected 0.5"),
        Wrong(lambda step, steps, peak, share: peak, "it gives 1, expected 0.5"),
        Wrong(_cosine_over_all, "it gives 0.9045, expected 1"),
        Wrong(_straight, "for 4, 10, 1, 0.2 it gives 0.75, expected 0.8536"),
    ),
)

_HOURS = Exercise(
    id="04.3",
    question="How many hours do 50,000 steps of 80 images take at 40 % of 769 TFLOP/s, at 1.13 TFLOP an image?",
    solution=_PAPER_FLOP / (0.4 * _CHIP_FLOP_S) / 3600,
    checks=(
        number_check(
            _PAPER_FLOP / (0.4 * _CHIP_FLOP_S) / 3600,
            0.05,
            "operations in all, over operations a second; then seconds into hours.",
            "1.13e12 x 80 x 50,000 operations; 0.4 x 769e12 of them a second.",
            "1.13e12 * 80 * 50_000 / (0.4 * 769e12) / 3600.",
            known={
                _PAPER_FLOP / _CHIP_FLOP_S / 3600: "the floor: what the chip would need at its full rate",
                _PAPER_FLOP * 0.4 / _CHIP_FLOP_S / 3600: "less than the floor: a chip that idles needs longer",
                _PAPER_FLOP / (0.4 * _CHIP_FLOP_S): "the number of seconds",
                _PAPER_FLOP / 80 / (0.4 * _CHIP_FLOP_S) / 3600: "the time of 50,000 images, not of 50,000 steps",
            },
            unit=" h",
        ),
    ),
    wrong=(
        Wrong(1.633, "the floor"),
        Wrong(0.653, "less than the floor"),
        Wrong(14_694.4, "the number of seconds"),
        Wrong(0.051, "not of 50,000 steps"),
        Wrong(10.2, "too high"),
    ),
)

EXERCISES = (_ADAPTER, _RATE, _HOURS)
