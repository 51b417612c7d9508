"""Where the time of a training step goes, so that a starved GPU is seen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ecgscan_lab.errors import ArgumentError

STEP_PARTS = {
    "wait_s": "waiting for data",
    "forward_s": "forward",
    "backward_s": "backward",
    "optimizer_s": "optimiser",
}
"""Keys of a row that make up a step, in their order, and what they are called. `draw_s` runs beside them."""

STARVED = 0.2
"""Share of a step spent waiting for data above which the device counts as starved."""


@dataclass(frozen=True)
class StepTimes:
    """Where the time of a step goes, on average.

    Attributes:
        n_steps: rows that were averaged.
        parts: seconds of each part of a step by its name; "other" is the rest of `step_s` where rows have it.
        draw_s: seconds that drawing a batch takes beside the step, NaN where it was not logged.
    """

    n_steps: int
    parts: Mapping[str, float]
    draw_s: float = math.nan

    @property
    def step_s(self) -> float:
        """Seconds a step."""
        return sum(self.parts.values())

    @property
    def waiting_share(self) -> float:
        """Share of a step, 0 to 1, in which the device waits for data."""
        return self.parts.get("waiting for data", 0.0) / self.step_s if self.step_s else 0.0

    @property
    def starved(self) -> bool:
        """Whether the device waits for data more than a fifth of the time."""
        return self.waiting_share > STARVED

    @property
    def advice(self) -> str:
        """What the numbers say, in a sentence or two."""
        waited = f"{self.waiting_share:.0%} of a step of {1000 * self.step_s:.0f} ms is spent waiting for data"
        if not self.starved:
            return f"{waited}: drawing keeps up."
        busy = self.step_s - self.parts["waiting for data"]
        enough = ""
        if math.isfinite(self.draw_s) and busy > 0:
            enough = (
                f"; a batch takes {1000 * self.draw_s:.0f} ms to draw, so take {math.ceil(self.draw_s / busy)} or more"
            )
        return (
            f"{waited}: the device is starved. Draw with more workers{enough}; or draw smaller or cleaner pages, "
            'or clean ones on the GPU with draw_on="gpu".'
        )

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in self.parts.items())
        return f"{parts}. {self.advice}"


def step_times(history: Iterable[Mapping[str, float | int | str]], *, skip: int = 1) -> StepTimes:
    """Average where the time of a step goes.

    Args:
        history: rows of a run; those of the training split that have times count.
        skip: first rows to leave out, in which workers start and kernels are compiled.

    Returns:
        Mean seconds of each part: means, because it is the stalls that cost.

    Raises:
        ArgumentError: no row has a time, or `skip` is negative.

    Example:
        >>> row = {"split": "train", "wait_s": 0.03, "forward_s": 0.03, "backward_s": 0.06}
        >>> step_times([{"step": step, **row} for step in range(3)]).advice
        '25% of a step of 120 ms is spent waiting for data: the device is starved. ...'
    """
    if skip < 0:
        raise ArgumentError(f"skip is {skip}", field="skip", expected="a number of rows from 0")
    timed = timed_rows(history)
    if not timed:
        raise ArgumentError(
            "no row says where its time went",
            field="history",
            expected=f"training rows with some of {', '.join(STEP_PARTS)}",
        )
    timed = timed[skip:] or timed[-1:]
    means = {name: _mean([row[name] for row in timed if name in row]) for name in ("draw_s", "step_s", *STEP_PARTS)}
    parts = {word: means[name] for name, word in STEP_PARTS.items() if math.isfinite(means[name])}
    rest = means["step_s"] - sum(parts.values())
    if rest > 0:
        parts["other"] = rest
    return StepTimes(len(timed), parts, means["draw_s"])


def timed_rows(history: Iterable[Mapping[str, float | int | str]]) -> list[dict[str, float]]:
    """Step and finite times of the training rows that have any."""
    names = ("draw_s", "step_s", *STEP_PARTS)
    rows = []
    for row in history:
        times = {name: float(row[name]) for name in names if isinstance(row.get(name), (int, float))}
        times = {name: seconds for name, seconds in times.items() if math.isfinite(seconds)}
        if row.get("split", "train") == "train" and times.keys() & STEP_PARTS.keys():
            rows.append({"step": float(row["step"]), **times})
    return rows


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
