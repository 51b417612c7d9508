"""Processes that draw batches into shared memory: started once, kept busy, watched, and always ended."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import tempfile
import threading
import time
from ctypes import c_uint8
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ecgscan_lab.batch.plan import PagePlan, read_signals
from ecgscan_lab.batch.worker import Job, Slots, Task, bad_step, work
from ecgscan_lab.errors import FeedError
from ecgscan_lab.render.segments import visible_samples
from ecgscan_lab.types import Cohort, TrainingData

AHEAD = 2
"""Tasks a process may have: one at hand, one waiting."""

GRACE_S = 3.0
"""How long processes may take to end by themselves."""


class DrawingProcesses:
    """Some processes that draw the batches of one run; used by `feed`.

    Args:
        data: the records.
        plan: how pages look.
        seed: of the run.
        workers: number of processes.
        batch: rows a batch.
        patience_s: silence after which a process counts as stuck.
    """

    def __init__(
        self, data: TrainingData, plan: PagePlan, seed: int, workers: int, batch: int, patience_s: float
    ) -> None:
        self._local = data if isinstance(data, Cohort) else None  # in memory already: one copy, here
        self._mask = visible_samples(plan.spec, data.fs_hz, data.n_samples) if plan.one_layout else None
        self._slots = Slots(AHEAD * workers, batch, plan.size, data.n_samples, masks=self._mask is None)
        self._facts = (None if self._local is not None else data, plan, seed, float(data.fs_hz))
        self._workers, self._patience_s = workers, patience_s
        self._stopped = threading.Event()
        self._processes: list[Any] = []
        self._connections: list[Connection] = []
        self._queues: list[dict[int, tuple[Task, int, float]]] = []
        self._done: dict[int, tuple[Task, int, float, Exception | None]] = {}
        self._free = list(range(self._slots.count))
        self._signals: dict[int, np.ndarray] = {}

    def start(self) -> None:
        """Start the processes.

        Raises:
            FeedError: `data` cannot be pickled, there is no room for the shared memory, or the system refuses.
        """
        context: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
        if sys.platform != "win32":
            context.set_forkserver_preload(["ecgscan_lab.batch.worker"])
        raw = _shared_memory(context, self._slots.count * self._slots.slot_bytes)
        self._memory = memoryview(raw).cast("B")
        job = Job(*self._facts, self._slots, raw)
        for number in range(self._workers):
            here, there = context.Pipe()
            process = context.Process(target=work, args=(there, job), name=f"draw-{number}", daemon=True)
            self._connections.append(here)
            self._processes.append(process)
            self._queues.append({})
            try:
                process.start()
            except (OSError, EOFError) as error:
                raise FeedError(f"a process could not be started ({error})", field="workers", fix=_FIX) from error
            except Exception as error:  # pickle raises nearly anything
                raise FeedError(
                    f"the records cannot be sent to another process ({type(error).__name__}: {error})",
                    field="data",
                    expected="a Cohort, or an object that can be pickled",
                    fix="take workers=0",
                ) from error
            finally:
                there.close()

    @property
    def has_room(self) -> bool:
        """Whether another task can be handed out."""
        return bool(self._free)

    def submit(self, task: Task) -> None:
        """Hand a task to the process with the fewest."""
        number = min(range(self._workers), key=lambda k: len(self._queues[k]))
        slot = self._free.pop()
        if self._local is not None:
            _, plan, seed, _ = self._facts
            self._signals[task.step] = read_signals(self._local, plan, task.indices, seed, task.epoch)
            self._slots.arrays(self._memory, slot)[1][:] = self._signals[task.step]
        self._queues[number][task.step] = (task, slot, time.monotonic())
        try:
            self._connections[number].send((task, slot))
        except OSError as error:
            raise self._death(number) from error

    def collect(self, step: int, *, pinned: bool = False) -> tuple[Task, torch.Tensor, torch.Tensor, np.ndarray, float]:
        """Wait for a step that was handed out.

        Returns:
            The task, its pages and signals as tensors of their own, the masks, and the seconds it took.

        Raises:
            FeedError: the step could not be drawn, or a process died or got stuck.
        """
        while step not in self._done:
            self._receive()
        task, slot, draw_s, error = self._done.pop(step)
        if error is not None:
            raise bad_step(task, error) from error
        images, signals_mv, masks = self._slots.arrays(self._memory, slot)
        pictures = torch.empty(images.shape, dtype=torch.uint8, pin_memory=pinned)
        pictures.numpy()[...] = images
        own = self._signals.pop(step, None)
        signals = torch.from_numpy(signals_mv.copy() if own is None else own)
        visible = masks.copy() if self._mask is None else np.broadcast_to(self._mask, signals_mv.shape)
        self._free.append(slot)
        return task, pictures, signals, visible, draw_s

    def _receive(self) -> None:
        """Take in what has arrived; look at the processes when nothing has."""
        if self._stopped.is_set():
            raise FeedError("the feed was closed", field="workers")
        ends = [process.sentinel for process in self._processes]
        ready = wait([*self._connections, *ends], timeout=0.2)
        for number, connection in enumerate(self._connections):
            if connection not in ready:
                continue
            try:
                step, draw_s, error = connection.recv()
            except (EOFError, OSError) as broken:
                raise self._death(number) from broken
            task, slot, _ = self._queues[number].pop(step)
            self._done[step] = (task, slot, draw_s, error)
            self._queues[number] = {s: (t, k, time.monotonic()) for s, (t, k, _) in self._queues[number].items()}
        for number, process in enumerate(self._processes):
            if process.sentinel in ready and not self._connections[number].poll():
                raise self._death(number)
            oldest = min((since for _, _, since in self._queues[number].values()), default=time.monotonic())
            if time.monotonic() - oldest > self._patience_s:
                raise FeedError(
                    f"a worker has not answered for {self._patience_s:g} s; {self._at_hand(number)}",
                    field="workers",
                    fix="look whether the disk or the network drive answers; a larger patience_s waits longer",
                )

    def _at_hand(self, number: int) -> str:
        steps = list(self._queues[number])
        return f"it was drawing step {steps[0]}" if steps else "it had nothing to draw"

    def _death(self, number: int) -> FeedError:
        process = self._processes[number]
        process.join(1.0)
        code = process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        fix = _FIX if code is not None and code >= 0 else _FIX_MEMORY
        return FeedError(f"a worker process {how}; {self._at_hand(number)}", field="workers", fix=fix)

    def stop(self) -> None:
        """Make a thread that waits for a step give up."""
        self._stopped.set()

    def close(self) -> None:
        """End every process: by asking, then by force."""
        for connection in self._connections:
            connection.close()
        deadline = time.monotonic() + GRACE_S
        started = [process for process in self._processes if process.pid is not None]
        for process in started:
            process.join(max(0.0, deadline - time.monotonic()))
        for process in started:
            if process.is_alive():
                process.kill()
            process.join()
            process.close()
        self._processes, self._connections = [], []


_FIX_MEMORY = (
    "most often memory ran out: take fewer workers or smaller batches, or workers=0; a run that was saved goes on from "
    "its checkpoint"
)
_FIX = (
    "a script that calls this needs `if __name__ == '__main__':` around what it runs; in doubt take workers=0, which "
    "shows the error itself"
)


def _shared_memory(context: Any, n_bytes: int) -> Any:
    """Memory that processes share, anonymous, so that nothing is left behind whoever is killed."""
    places = {Path(tempfile.gettempdir()), *({Path("/dev/shm")} if Path("/dev/shm").is_dir() else ())}
    room = max(shutil.disk_usage(place).free for place in places)
    if room < n_bytes:
        raise FeedError(
            f"{n_bytes / 2**20:.0f} MiB of shared memory are needed, {room / 2**20:.0f} MiB are free",
            field="workers",
            expected=f"room in {' or '.join(sorted(str(place) for place in places))}",
            fix="take fewer workers, smaller batches or smaller pages, or workers=0; containers have an option such as "
            "--shm-size",
        )
    return context.RawArray(c_uint8, n_bytes)
