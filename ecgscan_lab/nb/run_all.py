"""Run many notebooks, several at a time; each has a kernel process of its own, and none stops the others."""

from __future__ import annotations

import contextvars
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ecgscan_lab.cores import usable_cores
from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.nb.execute import ExecutedNotebook, interrupts_passed_on, read_notebook, run_notebook
from ecgscan_lab.nb.parameters import check_parameters, declared_parameters
from ecgscan_lab.nb.results import recorded_results

PASSED, FAILED, INTERRUPTED, NOT_RUN = "passed", "failed", "interrupted", "not run"


@dataclass(frozen=True)
class Job:
    """One notebook to run.

    Attributes:
        name: what it is called, and its files below the output folder: the notebook's own name, after folders of your
            choice ("02_gram_volume", "solutions/02_gram_volume").
        notebook: path of the .ipynb file.
        parameters: values for names that its `parameters` cell declares.
        varied: the parameters that set it apart from other runs of the same notebook; only for showing.
    """

    name: str
    notebook: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    varied: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        name: the job's name.
        status: "passed", "failed", "interrupted" or "not run".
        notebook: the executed copy, partly executed where a cell failed; None when not run.
        seconds, processor_s, peak_memory_mb: what it cost, see `ExecutedNotebook`; NaN when not known.
        parameters: the values it ran with, defaults included.
        results: the scalars it recorded with `record_result`.
        error: what failed, in one sentence; empty when it passed.
        cell: the first line of the failing cell.
        varied: as in the job.
    """

    name: str
    status: str
    notebook: Path | None = None
    seconds: float = math.nan
    processor_s: float = math.nan
    peak_memory_mb: float = math.nan
    parameters: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    cell: str = ""
    varied: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        """The outcome as one row of `results.json`."""
        costs = {
            name: round(getattr(self, name), 2) for name in ("seconds", "processor_s", "peak_memory_mb")
        }  # NaN rounds to NaN
        row = {"name": self.name, "status": self.status, **costs, "parameters": dict(self.parameters)}
        failed = {"error": self.error, "cell": self.cell} if self.error else {}
        return {**row, "results": dict(self.results), **failed}


def run_notebooks(
    jobs: Sequence[Job],
    out: str | Path,
    *,
    workers: int | None = None,
    timeout_s: float | None = None,
    max_memory_mb: float | None = None,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> list[Outcome]:
    """Run notebooks in parallel; a failing one leaves its partly executed copy, and the others go on.

    All are read and their parameters checked before the first one starts. Each runs in a kernel process with its share
    of the cores (unless OMP_NUM_THREADS is set), so sums over floats may differ in the last digits from one number of
    workers to another where libraries add in another order. The executed copies go to `out/executed`; a notebook that
    declares `out`, and is given none, gets a folder of its own below `out/files`.

    After an interrupt (Ctrl-C or SIGTERM) the running cells end, and the remaining jobs are "not run".

    Args:
        jobs: what to run; their names differ.
        out: folder for all that is left behind.
        workers: notebooks at a time; None: as many as there are cores.
        timeout_s: limit on each notebook in seconds.
        max_memory_mb: limit on each notebook's memory in MiB, see `run_notebook`.
        on_outcome: called with each outcome as it comes, one at a time.

    Returns:
        One outcome per job, in the order of the jobs.

    Raises:
        NotebookError: a notebook cannot be read, has no `parameters` cell, or does not take a parameter. Nothing ran.
        ArgumentError: no jobs, two of one name, a name that is not its notebook's, `workers` below 1,
            `timeout_s` or `max_memory_mb` not above 0, or `out` is a file.
        MissingExtraError: papermill is not installed.
    """
    folder = Path(out).resolve()
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("the output is a file", file=folder, field="out", expected="a folder")
    _check(jobs, workers, timeout_s, max_memory_mb)
    limits = {"timeout_s": timeout_s, "max_memory_mb": max_memory_mb}
    jobs = [_with_own_folder(job, folder) for job in jobs]
    n_workers = min(workers or usable_cores(), len(jobs))
    env = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(1, usable_cores() // n_workers))}
    stopped: list[bool] = []

    def run(job: Job) -> Outcome:
        outcome = (
            Outcome(job.name, NOT_RUN, parameters=job.parameters, varied=job.varied)
            if stopped
            else _run_job(job, folder, limits, env)
        )
        if outcome.status == INTERRUPTED:
            stopped.append(True)
        return outcome

    done: list[Outcome] = []
    with interrupts_passed_on(), ThreadPoolExecutor(n_workers, thread_name_prefix="notebook") as pool:
        # An empty context: the event loop of one thread must never be another's.
        futures = [pool.submit(contextvars.Context().run, _with_closed_loop, run, job) for job in jobs]
        waiting = dict.fromkeys(futures)
        try:
            while waiting:
                try:
                    finished = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED).done
                except KeyboardInterrupt:
                    stopped.append(True)
                    continue
                for future in [future for future in futures if future in finished]:
                    waiting.pop(future)
                    done.append(future.result())
                    if on_outcome is not None:
                        on_outcome(done[-1])
        finally:
            stopped.extend([True] if waiting else [])
    order = {job.name: number for number, job in enumerate(jobs)}
    return sorted(done, key=lambda outcome: order[outcome.name])


def run_status(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """How a run ended as a whole: the first lines of its `results.json`.

    Returns:
        `ok`: whether every notebook passed; `counts`: how many there are of each status.

    Example:
        >>> run_status([Outcome("01_a", "passed"), Outcome("02_b", "failed")])
        {'ok': False, 'counts': {'passed': 1, 'failed': 1, 'interrupted': 0, 'not run': 0}}
    """
    counts = {status: sum(o.status == status for o in outcomes) for status in (PASSED, FAILED, INTERRUPTED, NOT_RUN)}
    return {"ok": 0 < counts[PASSED] == len(outcomes), "counts": counts}


def _check(jobs: Sequence[Job], workers: int | None, timeout_s: float | None, max_memory_mb: float | None) -> None:
    names = [job.name for job in jobs]
    if not names or len(set(names)) != len(names):
        raise ArgumentError("jobs need names of their own", field="jobs", expected="at least one job, no name twice")
    for job in jobs:
        if Path(job.name).name != job.notebook.stem or Path(job.name).is_absolute() or ".." in Path(job.name).parts:
            raise ArgumentError(f"a job called {job.name!r}", field="name", expected=f"FOLDER/{job.notebook.stem}")
    if workers is not None and workers < 1:
        raise ArgumentError(f"{workers} notebooks at a time", field="workers", expected="1 or more")
    if timeout_s is not None and not timeout_s > 0:
        raise ArgumentError(f"a time limit of {timeout_s} s", field="timeout", expected="more than 0 s")
    if max_memory_mb is not None and not max_memory_mb > 0:
        raise ArgumentError(f"at most {max_memory_mb} MiB", field="max_memory_mb", expected="more than 0 MiB")
    for job in jobs:
        check_parameters(job.parameters, declared_parameters(read_notebook(job.notebook), job.notebook), job.notebook)
    import papermill  # noqa: F401 - once, before threads ask for it together


def _with_own_folder(job: Job, folder: Path) -> Job:
    """The job, with a folder of its own as the notebook's `out`, where it has such a parameter and none is given."""
    declared = declared_parameters(read_notebook(job.notebook), job.notebook)
    if not isinstance(declared.get("out"), str) or "out" in job.parameters:
        return job
    return replace(job, parameters={**job.parameters, "out": str(folder / "files" / job.name)})


def _with_closed_loop(run: Callable[[Job], Outcome], job: Job) -> Outcome:
    """Run a job on an event loop that is this job's, and closed after it."""
    from jupyter_core.utils import ensure_event_loop

    loop = ensure_event_loop()
    try:
        return run(job)
    finally:
        loop.close()


def _run_job(job: Job, folder: Path, limits: Mapping[str, float | None], env: Mapping[str, str]) -> Outcome:
    cost: list[ExecutedNotebook] = []
    status, error, cell = PASSED, "", ""
    try:
        run_notebook(
            job.notebook,
            (folder / "executed" / job.name).parent,
            job.parameters,
            timeout_s=limits["timeout_s"],
            max_memory_mb=limits["max_memory_mb"],
            kernel_env=env,
            on_end=cost.append,
        )
    except NotebookError as failed:
        status, error, cell = FAILED, failed.what, failed.field or ""
    except KeyboardInterrupt:
        status, error = INTERRUPTED, "interrupted"
    except Exception as failed:  # one notebook's trouble, a full disk say, is no reason to stop the others
        status, error = FAILED, f"{type(failed).__name__}: {failed}"
    outcome = Outcome(job.name, status, error=error, cell=cell, parameters=job.parameters, varied=job.varied)
    if not cost:
        return outcome
    run = cost[0]
    left = run.path if run.path.is_file() else None
    return replace(
        outcome,
        notebook=left,
        results=recorded_results(read_notebook(left)) if left else {},
        **{name: getattr(run, name) for name in ("seconds", "processor_s", "peak_memory_mb", "parameters")},
    )
