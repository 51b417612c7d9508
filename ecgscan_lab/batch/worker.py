"""What a drawing process does: take a task, read and draw it into shared memory, say so. It needs no torch."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ecgscan_lab.batch.plan import PagePlan, draw_plan, read_signals
from ecgscan_lab.errors import EcgScanLabError, FeedError
from ecgscan_lab.types import TrainingData


@dataclass(frozen=True, eq=False)
class Task:
    """The records of one step `[batch]`, and the epoch."""

    step: int
    indices: np.ndarray
    epoch: int


@dataclass(frozen=True)
class Slots:
    """Pieces of shared memory for a batch each: pages, signals, and which samples a page shows.

    Attributes:
        count: how many batches fit.
        batch: rows a batch.
        size: (height, width) of a page.
        n_samples: samples a lead.
        masks: a mask a page; without, all pages show the same.
    """

    count: int
    batch: int
    size: tuple[int, int]
    n_samples: int
    masks: bool

    @property
    def parts(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of the three arrays of a slot."""
        traces = (self.batch, 12, self.n_samples)
        return (self.batch, 3, *self.size), traces, traces if self.masks else (0, 12, self.n_samples)

    @property
    def slot_bytes(self) -> int:
        """Bytes a batch, in whole pages of memory."""
        images, signals, masks = (int(np.prod(shape)) for shape in self.parts)
        return -(-(_aligned(images) + 4 * signals + masks) // 4096) * 4096

    def arrays(self, memory: Any, slot: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pages uint8, signals float32 and masks bool of a slot, as views of the memory."""
        images, signals, masks = self.parts
        start = slot * self.slot_bytes
        second = start + _aligned(int(np.prod(images)))
        third = second + 4 * int(np.prod(signals))
        return (
            np.ndarray(images, np.uint8, memory, start),
            np.ndarray(signals, np.float32, memory, second),
            np.ndarray(masks, np.bool_, memory, third),
        )


def _aligned(n: int) -> int:
    return -(-n // 64) * 64


@dataclass(frozen=True, eq=False)
class Job:
    """What a process needs to know once. `data` is None when the signals lie in the slots already."""

    data: TrainingData | None
    plan: PagePlan
    seed: int
    fs_hz: float
    slots: Slots
    memory: Any


def work(connection: Connection, job: Job) -> None:
    """Draw tasks until the other end closes, which it does also when it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    if job.plan.degrade != "clean":
        import cv2

        cv2.setNumThreads(1)
    memory = memoryview(job.memory).cast("B")
    try:
        while (message := connection.recv()) is not None:
            task, slot = message
            started = time.perf_counter()
            try:
                _draw_into_slot(job, memory, task, slot)
            except Exception as error:
                connection.send((task.step, time.perf_counter() - started, _portable(error)))
            else:
                connection.send((task.step, time.perf_counter() - started, None))
    except (EOFError, ConnectionError):
        return


def _draw_into_slot(job: Job, memory: memoryview, task: Task, slot: int) -> None:
    images, signals_mv, masks = job.slots.arrays(memory, slot)
    if job.data is not None:
        signals_mv[:] = read_signals(job.data, job.plan, task.indices, job.seed, task.epoch)
    _, visible = draw_plan(job.plan, signals_mv, job.fs_hz, task.indices, job.seed, task.epoch, out=images, n_threads=1)
    if job.slots.masks:
        masks[:] = visible


def _portable(error: Exception) -> Exception:
    """The error itself where it is one of ours, which survive the way to the parent, else its name and words."""
    if isinstance(error, EcgScanLabError):
        return error
    kind = MemoryError if isinstance(error, MemoryError) else RuntimeError
    return kind(f"{type(error).__name__}: {error}")


def bad_step(task: Task, error: BaseException) -> FeedError:
    """The error of a step that could not be read or drawn."""
    shown = ", ".join(str(i) for i in task.indices[:8]) + (", ..." if len(task.indices) > 8 else "")
    head = f"step {task.step} (epoch {task.epoch}) could not be drawn: "
    fix = "draw these records one by one with batch.draw_images to find the bad one; leave it out, or repair it"
    if not isinstance(error, EcgScanLabError):
        what = str(error) if type(error) is RuntimeError else f"{type(error).__name__}: {error}"
        if isinstance(error, MemoryError):
            fix = "take fewer workers, or smaller batches or pages"
        return FeedError(head + what, field=f"records {shown}", fix=fix)
    return FeedError(
        head + error.what, file=error.file, field=f"records {shown}", expected=error.expected, fix=error.fix or fix
    )
