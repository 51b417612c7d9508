"""Work in processes: tasks handed out a little ahead, results in whatever order they are finished."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait as wait_for_end
from typing import Any, TypeVar

from ecgscan_lab.errors import EcgScanLabError, ExportError

Result = TypeVar("Result")


def in_processes(
    work: Callable[..., Result],
    tasks: Iterator[tuple[Any, ...]],
    workers: int,
    *,
    ahead: int,
    start: Callable[..., object],
    given: tuple[Any, ...],
    error: Callable[..., EcgScanLabError] = ExportError,
    kept: str = "",
) -> Generator[Result, None, None]:
    """Call `work(*task)` for every task in processes of their own, and yield each result when it is there.

    Interrupts are the caller's affair; a caller that is killed takes its processes along.

    Args:
        work: a function that processes can import.
        tasks: its arguments, drawn a little before they are needed.
        workers: processes.
        ahead: tasks under way at a time.
        start: called once in each process, with `given`.
        given: what `start` needs.
        error: the typed error of a process that died.
        kept: what is not lost then, for the remedy: "finished shards are kept; ".

    Raises:
        ExportError: (or `error`) a process died, most often for want of memory.
        Exception: as `work` does.
    """
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (start, given))
    pending: set[Future[Result]] = set()
    try:
        while True:
            pending |= {pool.submit(work, *task) for task in islice(tasks, ahead - len(pending))}
            if not pending:
                return
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool as broken:
        raise error(
            "a worker process died",
            field="workers",
            fix=f"take fewer workers if memory ran out; {kept}"
            "a script that calls this needs `if __name__ == '__main__':`",
        ) from broken
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start(start: Callable[..., object], given: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    start(*given)


def _end_with(sentinel: int) -> None:
    """End this process when its parent was killed: else it would wait for work for ever."""
    wait_for_end([sentinel])
    os._exit(1)
