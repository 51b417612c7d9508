"""What a run will cost, measured on its first steps before it begins."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import torch

from ecgscan_lab.batch import Fed, FrozenFeatures, feed
from ecgscan_lab.train.processes import Processes, join_processes
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.step import Learner, make_learner, take_training_step
from ecgscan_lab.types import TrainingData

_GIB = 2**30


@dataclass(frozen=True)
class Estimate:
    """Budget, memory and time of a run.

    Attributes:
        steps, pages, epochs: what is trained on in all; `epochs` counts passes over the training records.
        parameters, trainable: of the model.
        state_bytes: weights, gradients and AdamW's moments.
        peak_bytes: measured while rehearsing: of the GPU, else of this process; None where it cannot be told.
        device_bytes: the GPU's memory, or None.
        step_s, wait_s: seconds a step, and of them waiting for pages.
        total_s: of all steps that are left, without validations.
        precision, device, world_size: how it runs.
    """

    steps: int
    pages: int
    epochs: float
    parameters: int
    trainable: int
    state_bytes: int
    peak_bytes: int | None
    device_bytes: int | None
    step_s: float
    wait_s: float
    total_s: float
    precision: str
    device: str
    world_size: int

    def lines(self) -> Iterator[str]:
        """The estimate in words, a line each."""
        share = f"on {self.world_size} processes, " if self.world_size > 1 else ""
        yield f"budget    {self.steps:,} steps, {self.pages:,} pages, {self.epochs:.1f} passes over the records"
        yield f"model     {self.parameters / 1e6:.1f} M parameters, {self.trainable / 1e6:.1f} M of them trainable"
        peak = "" if self.peak_bytes is None else f", {self.peak_bytes / _GIB:.1f} GiB at the peak of a step"
        of = "" if self.device_bytes is None else f" of {self.device_bytes / _GIB:.0f} GiB"
        yield f"memory    {self.state_bytes / _GIB:.2f} GiB for weights, gradients and moments{peak}{of}"
        yield (
            f"time      {share}{self.device}, {self.precision}: {self.step_s:.2f} s a step "
            f"({self.wait_s:.2f} s of it waiting for pages), {_in_words(self.total_s)} in all, validations aside"
        )


def estimate_run(
    data: TrainingData,
    frozen: FrozenFeatures,
    recipe: Recipe,
    *,
    seed: int = 0,
    processes: Processes | None = None,
    workers: int = 0,
    draw_on: str = "cpu",
    rehearse: int = 3,
) -> Estimate:
    """Take a few steps with a model that is thrown away, and multiply; under torchrun every process must call.

    The first step of each phase is not counted: it compiles, allocates and fills the queue.

    Raises:
        MemoryFullError and others: what the run itself would raise.
    """
    processes = processes or join_processes()
    learner = make_learner(data, frozen, recipe, seed, processes)
    train = data.indices("train")
    if processes.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(processes.device)
    batches = partial(
        feed, data, frozen, indices=train, batch_size=recipe.batch_size, seed=seed, rank=processes.rank,
        world_size=processes.world_size, workers=workers, device=processes.device, draw_on=draw_on,
    )  # fmt: skip
    waiting_s = total_s = 0.0
    for phase, plan in recipe.phases():
        steps = range(phase.start, phase.start + max(2, rehearse))
        wait_s, step_s = _rehearse(learner, batches(plan=plan, steps=steps))
        waiting_s, total_s = waiting_s + wait_s * len(phase), total_s + step_s * len(phase)
    parameters = list(learner.model.parameters())
    trainable = [p for p in parameters if p.requires_grad]
    device = processes.device
    return Estimate(
        steps=recipe.steps,
        pages=recipe.steps * min(recipe.batch_size, len(train)),
        epochs=recipe.steps * min(recipe.batch_size, len(train)) / len(train),
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in trainable),
        state_bytes=sum(p.nbytes for p in parameters) + 3 * sum(p.nbytes for p in trainable),
        peak_bytes=_peak_bytes(device),
        device_bytes=torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None,
        step_s=total_s / recipe.steps,
        wait_s=waiting_s / recipe.steps,
        total_s=total_s,
        precision=learner.precision,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        world_size=processes.world_size,
    )


def _rehearse(learner: Learner, batches: Generator[Fed, None, None]) -> tuple[float, float]:
    """Mean seconds waiting for a batch, and a step, over all but the first."""
    waits, times = [], []
    with closing(batches):
        last = time.perf_counter()
        for fed in batches:
            take_training_step(learner, fed, exact_times=True)
            now = time.perf_counter()
            waits.append(fed.wait_s)
            times.append(now - last)
            last = now
    return sum(waits[1:]) / len(waits[1:]), sum(times[1:]) / len(times[1:])


def _peak_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86_400:.1f} days"
