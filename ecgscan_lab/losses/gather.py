"""Let every process see the whole global batch: features gathered with their gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import Features


def gather_features(features: Features) -> Features:
    """Join image, text and signal features of all processes, so that in-batch losses have all negatives.

    Every process then computes the same loss over the same global batch. Reconstructions, summaries and logit scales
    stay as they are: their losses are means over the local batch, and equal batches make the mean of means the global
    mean (unless the share of samples that were not recorded differs between processes).

    **Gradients**: what flows back is the gradient of the *sum* of all processes' losses, `world_size` times that of
    one. Distributed data parallel *averages* gradients over processes, which takes the factor out again: parameters
    get exactly the gradient that one process with the whole batch would give them. Do not divide by `world_size`
    yourself.

    Args:
        features: the local batch; the same number of rows on every process.

    Returns:
        The features with image, text and signal of `world_size · batch` rows, in the order of ranks. The same object
        where torch.distributed is not initialised, or there is one process.

    Raises:
        ArgumentError: processes hold different numbers of rows (checked on the CPU).

    **Properties**: world size 1 and 2 give the same loss and the same parameter gradients for one global batch.

    Example:
        >>> features = Features(*torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0)))
        >>> gather_features(features) is features  # one process
        True
    """
    if _world_size() == 1:
        return features
    return replace(
        features,
        image=gather_rows(features.image),
        text=gather_rows(features.text),
        signal=gather_rows(features.signal),
    )


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """Join the rows of all processes in the order of ranks; floating-point rows carry gradients back.

    Args:
        rows: `[batch, ...]`, the same shape and dtype on every process; every process must call.

    Returns:
        `[world_size · batch, ...]`; `rows` itself with one process.

    Raises:
        ArgumentError: row counts differ between processes (checked on the CPU only, where it does not make a GPU wait).

    Example:
        >>> gather_rows(torch.tensor([3, 1]))
        tensor([3, 1])
    """
    if _world_size() == 1:
        return rows
    if rows.device.type == "cpu":
        _check_equal_counts(rows)
    return _GatherRows.apply(rows)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(_world_size())]
        dist.all_gather(parts, rows.contiguous())
        ctx.batch = len(rows)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)  # sum over the processes' losses, each of which saw these rows
        return total[dist.get_rank() * ctx.batch :][: ctx.batch]


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _check_equal_counts(rows: torch.Tensor) -> None:
    """Compare row counts by their largest and smallest, so that a mismatch is an error instead of a hang."""
    counts = torch.tensor([len(rows), -len(rows)])
    dist.all_reduce(counts, op=dist.ReduceOp.MAX)
    most, least = int(counts[0]), -int(counts[1])
    if most != least:
        raise ArgumentError(
            f"this process holds {len(rows)} rows, others between {least} and {most}",
            field="rows",
            expected="as many rows on every process",
            fix="drop the last, smaller batch",
        )
