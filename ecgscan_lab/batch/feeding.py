"""Batches for training, drawn ahead of the step that needs them: in a thread, in processes, or on the GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from ecgscan_lab.batch.order import ahead, step_indices
from ecgscan_lab.batch.plan import PagePlan, cover_pages, draw_plan, read_signals, sample_pages, shown_by
from ecgscan_lab.batch.triples import FrozenFeatures, assemble, each_tensor
from ecgscan_lab.batch.worker import Task, bad_step
from ecgscan_lab.batch.workers import DrawingProcesses
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import TrainingData, TripleBatch

DEPTH = 2
"""Batches that lie ready on the device beside the one in use."""


@dataclass(frozen=True, eq=False)
class Fed:
    """What a training step gets.

    Attributes:
        step: number of the step, from 0.
        batch: the batch, on the device.
        epoch: pass over the data, from 0.
        wait_s: how long the step waited for it; near 0 when drawing keeps up.
        draw_s: how long it took to read and draw, wherever that was done.
    """

    step: int
    batch: TripleBatch
    epoch: int = 0
    wait_s: float = 0.0
    draw_s: float = 0.0


Made = tuple[Task, TripleBatch, float]


def feed(
    data: TrainingData,
    frozen: FrozenFeatures,
    plan: PagePlan,
    indices: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    steps: range,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 0,
    device: torch.device | str = "cpu",
    draw_on: str = "cpu",
    patience_s: float = 300.0,
) -> Generator[Fed, None, None]:
    """Batches of the given steps, in order, drawn a few steps ahead.

    Stopping early, an error and Ctrl-C all end the thread and the processes; `contextlib.closing(feed(...))` makes that
    happen at once.

    Args:
        data: the records. A `Cohort` stays in this process; anything else is pickled to the workers, which read from
            it themselves: a store on disk is cheap to pickle.
        frozen: features of the frozen towers.
        plan: how pages look.
        indices: records to draw from, usually `data.indices("train")`.
        batch_size: records a step, over all processes of the run.
        seed: seed of order and pages.
        steps: which steps, usually `range(first, last)`; a run that goes on starts at the step it had reached.
        rank, world_size: this process of the run and their number, see `step_indices`.
        workers: processes that read and draw; 0 uses one background thread (and as many threads as there are cores).
        device: where the batches go; on a GPU the copies overlap with training.
        draw_on: "cpu", or "gpu" to draw on `device` by `render.tensors` (clean pages only, within `TOLERANCE` grey
            levels of the CPU's).
        patience_s: silence of a worker, in seconds, after which it counts as stuck.

    Returns:
        An iterator of `Fed`.

    Raises:
        ArgumentError: an argument is out of range, or two do not go together.
        FeedError: a record could not be read or drawn, or a worker died or got stuck; the step is named.

    Properties: the same pixels for any number of workers and any split over ranks; a step's batch does not depend on
    where `steps` starts.

    Example:
        >>> from ecgscan_lab.data.synthetic import synthetic_cohort
        >>> data = synthetic_cohort(6, seed=0)
        >>> frozen = FrozenFeatures(np.zeros((6, 4)), np.zeros((6, 3)), np.arange(6))
        >>> plan = PagePlan(size=(96, 224))
        >>> fed = feed(data, frozen, plan, np.arange(6), batch_size=2, seed=0, steps=range(3, 5))
        >>> [(item.step, item.epoch, tuple(item.batch.images.shape)) for item in fed]
        [(3, 1, (2, 3, 96, 224)), (4, 1, (2, 3, 96, 224))]
    """
    device = torch.device(device)
    _check(plan, workers, draw_on, patience_s)
    step_indices(indices, batch_size, seed, 0, rank=rank, world_size=world_size)  # refuses now, not within a thread

    def task(step: int) -> Task:
        return Task(step, *step_indices(indices, batch_size, seed, step, rank=rank, world_size=world_size))

    if workers:
        processes = DrawingProcesses(data, plan, seed, workers, min(batch_size, len(indices)) // world_size, patience_s)
        return _from_processes(processes, frozen, task, steps, device)
    draw = _draw_on_device if draw_on == "gpu" else _draw_here
    return _timed(ahead(lambda step: _carefully(draw, data, frozen, plan, seed, task(step), device), steps, DEPTH))


def _check(plan: PagePlan, workers: int, draw_on: str, patience_s: float) -> None:
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 0:
        raise ArgumentError(f"{workers!r} workers", field="workers", expected="a number of processes, 0 for a thread")
    if draw_on not in ("cpu", "gpu"):
        raise ArgumentError(f"cannot draw on {draw_on!r}", field="draw_on", expected="cpu or gpu")
    if not patience_s > 0:
        raise ArgumentError(f"patience of {patience_s} s", field="patience_s", expected="a number above 0")
    if draw_on == "gpu" and workers:
        raise ArgumentError(
            "pages drawn on the GPU need no worker processes",
            field="workers",
            expected="workers=0",
            fix='take draw_on="cpu" with workers, or draw_on="gpu" without',
        )
    if draw_on == "gpu" and plan.degrade != "clean":
        raise ArgumentError(
            f"the degradations of {plan.degrade!r} exist on the CPU only",
            field="draw_on",
            expected='degrade="clean" for pages drawn on the GPU',
            fix='take draw_on="cpu" with as many workers as there are cores',
        )


def _carefully(
    draw: Callable[..., Made],
    data: TrainingData,
    frozen: FrozenFeatures,
    plan: PagePlan,
    seed: int,
    task: Task,
    device: torch.device,
) -> Made:
    try:
        return draw(data, frozen, plan, seed, task, device)
    except Exception as error:
        raise bad_step(task, error) from error


def _draw_here(
    data: TrainingData, frozen: FrozenFeatures, plan: PagePlan, seed: int, task: Task, device: torch.device
) -> Made:
    started = time.perf_counter()
    signals_mv = read_signals(data, plan, task.indices, seed, task.epoch)
    images, visible = draw_plan(plan, signals_mv, data.fs_hz, task.indices, seed, task.epoch)
    draw_s = time.perf_counter() - started
    batch = assemble(frozen, task.indices, torch.from_numpy(images), torch.from_numpy(signals_mv), visible)
    return task, to_device(batch, device), draw_s


def _draw_on_device(
    data: TrainingData, frozen: FrozenFeatures, plan: PagePlan, seed: int, task: Task, device: torch.device
) -> Made:
    from ecgscan_lab.render.tensors import draw_batch, prepare_pages

    started = time.perf_counter()
    signals_mv = read_signals(data, plan, task.indices, seed, task.epoch)
    pages = sample_pages(plan, task.indices, seed, task.epoch)[0]
    visible = shown_by(plan, pages, data.fs_hz, signals_mv.shape[-1])
    signals = torch.from_numpy(signals_mv)
    with _side_stream(device), torch.no_grad():
        prepared = prepare_pages(pages, plan.size, data.fs_hz, signals_mv.shape[-1], device)
        images = draw_batch(signals.to(device), data.fs_hz, prepared, dtype=torch.uint8)
        cover_pages(plan, images, task.indices, seed, task.epoch)
    draw_s = time.perf_counter() - started
    return task, to_device(assemble(frozen, task.indices, images, signals, visible), device), draw_s


def _from_processes(
    processes: DrawingProcesses,
    frozen: FrozenFeatures,
    task: Callable[[int], Task],
    steps: range,
    device: torch.device,
) -> Generator[Fed, None, None]:
    """Keep the processes busy from one background thread, which also moves what they drew to the device."""
    waiting = iter(steps)

    def top_up() -> None:
        while processes.has_room and (step := next(waiting, None)) is not None:
            processes.submit(task(step))

    def make(step: int) -> Made:
        top_up()
        done, images, signals_mv, visible, draw_s = processes.collect(step, pinned=device.type == "cuda")
        top_up()
        return done, to_device(assemble(frozen, done.indices, images, signals_mv, visible), device), draw_s

    made = ahead(make, steps, DEPTH)
    try:
        processes.start()
        yield from _timed(made)
    finally:
        processes.stop()
        made.close()
        processes.close()


def _timed(made: Generator[Made, None, None]) -> Generator[Fed, None, None]:
    """Measure how long each step waits for its batch."""
    try:
        while True:
            started = time.perf_counter()
            ready = next(made, None)
            if ready is None:
                return
            task, batch, draw_s = ready
            _claim(batch)
            yield Fed(task.step, batch, task.epoch, time.perf_counter() - started, draw_s)
    finally:
        made.close()


def to_device(batch: TripleBatch, device: torch.device) -> TripleBatch:
    """Move a batch; on CUDA from pinned memory on a stream of its own, so that it overlaps with training.

    It returns when the copy is done, which on CUDA only the calling thread waits for. `index` stays on the CPU.
    """
    if device.type != "cuda":
        return each_tensor(batch, lambda tensor: tensor.to(device), but=("index",))

    def move(tensor: torch.Tensor) -> torch.Tensor:
        source = tensor if tensor.is_cuda or tensor.is_pinned() else tensor.contiguous().pin_memory()
        return source.to(device, non_blocking=True)

    with _side_stream(device):
        moved = each_tensor(batch, move, but=("index",))
        torch.cuda.current_stream(device).synchronize()
    return moved


_STREAMS: dict[torch.device, torch.cuda.Stream] = {}


def _side_stream(device: torch.device) -> AbstractContextManager[object]:
    """The stream that copies to a device, or draws on it, beside training."""
    if device.type != "cuda":
        return nullcontext()
    if device not in _STREAMS:
        _STREAMS[device] = torch.cuda.Stream(device)
    return torch.cuda.stream(_STREAMS[device])  # type: ignore[no-any-return, unused-ignore]


def _claim(batch: TripleBatch) -> None:
    """Tell CUDA's allocator that training uses the tensors, or it would give their memory away too early."""

    def claim(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_cuda:
            tensor.record_stream(torch.cuda.current_stream(tensor.device))
        return tensor

    each_tensor(batch, claim)
