"""Run one notebook over a grid of parameters, and collect what each run recorded in one table."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.nb.run_all import Job, Outcome, run_notebooks
from ecgscan_lab.whole_files import write_whole

Rows = list[dict[str, Any]]


def sweep_jobs(
    notebook: str | Path, grid: Mapping[str, Sequence[Any]], parameters: Mapping[str, Any] | None = None
) -> list[Job]:
    """One job for each point of a grid, the last name of the grid varying fastest.

    Args:
        notebook: path of an .ipynb file.
        grid: parameter -> the values it takes.
        parameters: values that all points share.

    Raises:
        ArgumentError: the grid is empty, a name has no or equal values, or is also among the shared ones.

    >>> [dict(job.parameters) for job in sweep_jobs("02_a.ipynb", {"seed": [0, 1], "profile": ["smoke"]})]
    [{'seed': 0, 'profile': 'smoke'}, {'seed': 1, 'profile': 'smoke'}]
    """
    shared = dict(parameters or {})
    if not grid:
        raise ArgumentError("an empty grid", field="grid", expected="at least one parameter with its values")
    for name, values in grid.items():
        if not values or len({repr(value) for value in values}) != len(values) or name in shared:
            fix = "give it in one place only" if name in shared else None
            raise ArgumentError(f"values {list(values)} of {name!r}", field=name, expected="different values", fix=fix)
    path, points = Path(notebook), list(itertools.product(*grid.values()))
    width = len(str(len(points)))
    return [
        Job(f"{number:0{width}d}/{path.stem}", path, {**shared, **dict(zip(grid, point, strict=True))}, tuple(grid))
        for number, point in enumerate(points, start=1)
    ]


def sweep_notebook(
    notebook: str | Path,
    grid: Mapping[str, Sequence[Any]],
    out: str | Path,
    parameters: Mapping[str, Any] | None = None,
    *,
    workers: int | None = None,
    timeout_s: float | None = None,
    max_memory_mb: float | None = None,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> tuple[Rows, list[Outcome]]:
    """Run a notebook at every point of a grid and write `sweep.csv`: the point, its outcome and cost, what it recorded.

    A notebook records with `ecgscan_lab.nb.results.record_result(name=value)`. A point that fails keeps what it had
    recorded by then, and the others go on.

    Args:
        notebook, grid, parameters: as in `sweep_jobs`.
        out: folder for the table and the executed copies.
        workers, timeout_s, max_memory_mb, on_outcome: as in `run_notebooks`.

    Returns:
        The rows of the table, and the outcomes they come from.

    Raises:
        ArgumentError, NotebookError: as in `sweep_jobs` and `run_notebooks`; nothing ran.
    """
    jobs = sweep_jobs(notebook, grid, parameters)
    outcomes = run_notebooks(
        jobs, out, workers=workers, timeout_s=timeout_s, max_memory_mb=max_memory_mb, on_outcome=on_outcome
    )
    rows = sweep_rows(outcomes)
    write_whole(Path(out, "sweep.csv"), csv_text(rows).encode(), error=NotebookError)
    return rows, outcomes


def sweep_rows(outcomes: Sequence[Outcome]) -> Rows:
    """One row per outcome: the varied parameters, outcome, what was recorded, then seconds and peak memory.

    All rows have the same columns; a value that a run did not record is None. A result of the same name as another
    column is called `result NAME`.
    """
    varied = list(dict.fromkeys(name for outcome in outcomes for name in outcome.varied))
    recorded = list(dict.fromkeys(name for outcome in outcomes for name in outcome.results))
    taken = {*varied, "status", "seconds", "peak_memory_mb"}
    columns = {name: f"result {name}" if name in taken else name for name in recorded}
    return [
        {
            **{name: outcome.parameters.get(name) for name in varied},
            "status": outcome.status,
            **{column: outcome.results.get(name) for name, column in columns.items()},
            "seconds": None if math.isnan(outcome.seconds) else round(outcome.seconds, 2),
            "peak_memory_mb": None if math.isnan(outcome.peak_memory_mb) else round(outcome.peak_memory_mb, 1),
        }
        for outcome in outcomes
    ]


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header; None is an empty field.

    >>> print(csv_text([{"seed": 0, "loss": 0.5}, {"seed": 1, "loss": None}]), end="")
    seed,loss
    0,0.5
    1,
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
