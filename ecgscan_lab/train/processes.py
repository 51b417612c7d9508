"""One process or many: who we are, and what the processes tell each other.

Gradients are averaged here and not by DistributedDataParallel: with negatives gathered across processes, features
cached over chunks, and losses that leave out parts of the model, plain sums over `.grad` stay exact where its hooks
would have to be told of every case.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist

from ecgscan_lab.errors import TrainingError
from ecgscan_lab.train.precision import pick_device

_BUCKET = 2**24  # numbers sent at a time


@dataclass(frozen=True)
class Processes:
    """This process among those of a run.

    Attributes:
        device: where this process computes.
        rank: its number, from 0; 0 writes files and logs.
        world_size: how many there are.
    """

    device: torch.device
    rank: int = 0
    world_size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this one writes files and logs."""
        return self.rank == 0

    def average(self, tensors: Iterable[torch.Tensor]) -> None:
        """Replace tensors by their means over all processes, in place."""
        if self.world_size == 1:
            return
        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            flat /= self.world_size
            for tensor, mean in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
                tensor.copy_(mean.view_as(tensor))

    def average_parts(self, parts: Mapping[str, float]) -> dict[str, float]:
        """Mean of every number over all processes."""
        if self.world_size == 1:
            return dict(parts)
        values = torch.tensor(list(parts.values()), dtype=torch.float32, device=self.device)
        self.average([values])
        return dict(zip(parts, values.tolist(), strict=True))

    def largest(self, *numbers: float) -> list[float]:
        """The largest of each number over all processes."""
        if self.world_size == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float32, device=self.device)
        dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return values.tolist()

    def share_first(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give everyone the first process's tensors, in place."""
        if self.world_size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.world_size > 1:
            dist.barrier()


def join_processes(expected: int | None = None) -> Processes:
    """Find out whether a launcher started several processes, and join them.

    Alone, nothing has to be launched. Under torchrun (or `accelerate launch`) accelerate sets up the group: NCCL on
    GPUs, gloo on CPUs.

    Args:
        expected: processes that must have been started; None takes what there is.

    Raises:
        TrainingError: the launcher promised another number of processes than came, which would train on part of each
            batch without a word.
    """
    promised = int(os.environ.get("WORLD_SIZE", "1"))
    if promised > 1 or (dist.is_available() and dist.is_initialized()):
        from accelerate import PartialState

        # Without GPUs it must be told, or it sets up no group at all.
        state = PartialState(cpu=not torch.cuda.is_available())
        processes = Processes(state.device, state.process_index, state.num_processes)
    else:
        processes = Processes(pick_device())
    for wanted in (promised if promised > 1 else None, expected):
        if wanted is not None and processes.world_size != wanted:
            raise TrainingError(
                f"{wanted} processes were asked for, {processes.world_size} came",
                field="world_size",
                expected=f"{wanted} processes",
                fix="start them with: torchrun --nproc_per_node N -m ecgscan_lab.cli pretrain ...",
            )
    return processes


def _buckets(tensors: Iterable[torch.Tensor]) -> Iterable[list[torch.Tensor]]:
    """Tensors of one dtype each, about `_BUCKET` numbers at a time."""
    by_dtype: dict[torch.dtype, list[torch.Tensor]] = {}
    for tensor in tensors:
        bucket = by_dtype.setdefault(tensor.dtype, [])
        bucket.append(tensor)
        if sum(t.numel() for t in bucket) >= _BUCKET:
            yield by_dtype.pop(tensor.dtype)
    yield from by_dtype.values()
