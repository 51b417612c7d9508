"""A loss table that grows while the model learns."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from ecgscan_lab.train.step_times import step_times, timed_rows

Row = Mapping[str, float | int | str]

_RECENT = 30
"""Rows from which the words about waiting are taken."""


def live_losses(steps: int, title: str, lines: int = 8) -> Callable[[Row], None]:
    """A callback for `on_step` that shows how far a training run is, and its losses at about `lines` moments.

    In a notebook one output is rewritten in place; elsewhere each moment is a line on stderr. Rows of a validation are
    always shown, and where the time of a step goes as soon as the device starves. The time to go counts from the first
    row's step, which in a resumed run is not 0.

    Args:
        steps: steps of the whole run.
        title: what is being trained.
        lines: training rows to keep in the table.
    """
    started, display = time.perf_counter(), _display()
    shown: list[Row] = []
    timed: list[Row] = []
    first: list[int] = []

    def on_step(row: Row) -> None:
        step = int(row["step"]) + 1
        first[:] = first or [step - 1]
        timed[:] = [*timed[-_RECENT:], row]
        n_shown = sum(past["split"] == "train" for past in shown)
        moment = row["split"] == "val" or step >= steps or step - 1 >= n_shown * steps / lines
        if moment:
            shown.append(row)
        seconds = time.perf_counter() - started
        left = seconds / (step - first[0]) * (steps - step)
        head = f"{title}: step {step} of {steps}, {seconds:.0f} s gone, about {left:.0f} s to go{_starving(timed)}"
        if display is not None:
            display.update({"text/plain": _table(head, shown)}, raw=True)
        elif moment:
            sys.stderr.write(f"{head}  {_cells(row)}\n")

    return on_step


def _starving(rows: list[Row]) -> str:
    """A few words when the device waits for data more than it should, else nothing."""
    if not timed_rows(rows):
        return ""
    times = step_times(rows)
    return f", {times.waiting_share:.0%} of the time spent waiting for data" if times.starved else ""


def _display() -> Any:
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        return None
    from IPython.display import display

    return display({"text/plain": ""}, raw=True, display_id=True)


def _names(row: Row) -> list[str]:
    hidden = ("step", "split", "lr", "seconds", "gradient_norm")
    return [name for name in row if name not in hidden and not name.endswith(("_above_floor", "_s"))]


def _cells(row: Row) -> str:
    return "  ".join(f"{name} {float(row[name]):.4f}" for name in _names(row))


def _table(head: str, rows: list[Row]) -> str:
    """Plain text, aligned: the same in a browser, in an executed notebook and in a terminal."""
    names = _names(rows[-1]) if rows else []
    widths = [max(len(name), 8) for name in names]
    lines = [head, "", " ".join(["  step", "split", *(n.rjust(w) for n, w in zip(names, widths, strict=True))])]
    for row in rows:
        values = [f"{float(row[n]):.4f}".rjust(w) if n in row else " " * w for n, w in zip(names, widths, strict=True)]
        lines.append(" ".join([f"{int(row['step']) + 1:6d}", f"{row['split']:<5}", *values]))
    return "\n".join(lines)
