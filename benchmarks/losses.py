"""The three-way volume of Eq. 2-3, forward and backward: closed form beside the stack of determinants and the floor.

    python benchmarks/losses.py               # about two minutes on one core; --quick leaves out the batch of 2048
    python benchmarks/losses.py --device cuda

Prints a table and, as its last line, one JSON object with `speedup` (stack / ours), `over_floor` (ours / floor) and
`memory_ratio` (stack / ours), each by batch size, at 768 features. Four ways to the same numbers:

    floor   the dot products of unit rows and their gradients alone, written by hand: nothing can do with less
    ours    `gram_volume`: normalisation, closed form, derivative by hand
    plain   the same closed form, its derivative left to autograd
    stack   `reference="gram"`: a determinant for each pair, as GRAM was published

Times are medians of interleaved passes: processor time on one CPU thread, so that other programs do not count, else
wall time. Peak memory is what a pass holds at its worst moment beyond its inputs, read from the allocator: on the CPU
by the profiler, which sees every tensor come and go, on a GPU by `torch.cuda.max_memory_allocated`. A process's
resident size would be coarser than the smaller cases. At 80 the fixed cost of some forty small operations dominates.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # before torch: the profiler's log lines would drown the table

import torch
from torch.profiler import ProfilerActivity, profile

from ecgscan_lab.losses.contrastive import unit_rows
from ecgscan_lab.losses.determinant import EPS, squared_volume
from ecgscan_lab.losses.gram import gram_volume

DIM = 768
PASSES = {80: 201, 512: 25, 2048: 5}

Pass = Callable[[list[torch.Tensor], torch.Tensor], list[torch.Tensor]]


def floor(unit: list[torch.Tensor], grad: torch.Tensor) -> list[torch.Tensor]:
    """Take x = a·t, y = a·s, z = t·s, and carry gradients of x, y (both `grad`) and z (its column sums) to the rows."""
    a, t, s = unit
    _x, _y, _z = a @ t.T, a @ s.T, (t * s).sum(dim=1)
    grad_z = grad.sum(dim=0)[:, None]
    grad_a = (grad @ t).addmm_(grad, s)
    grad_t = (grad.T @ a).addcmul_(grad_z, s)
    grad_s = (grad.T @ a).addcmul_(grad_z, t)
    return [grad_a, grad_t, grad_s]


def by_autograd(volume: Callable[..., torch.Tensor]) -> Pass:
    """Forward and backward of a volume; returns the table and the gradients."""

    def one_pass(rows: list[torch.Tensor], grad: torch.Tensor) -> list[torch.Tensor]:
        leaves = [r.detach().requires_grad_() for r in rows]
        table = volume(*leaves)
        table.backward(grad)
        return [table.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]

    return one_pass


def plain_volume(image: torch.Tensor, text: torch.Tensor, signal: torch.Tensor) -> torch.Tensor:
    """The closed form, normalisation included, with nothing written out."""
    squared = squared_volume(unit_rows(image), [unit_rows(text), unit_rows(signal)])
    return (squared.clamp_min(0) + EPS).sqrt()


WAYS: dict[str, Pass] = {
    "floor": floor,
    "ours": by_autograd(gram_volume),
    "plain": by_autograd(plain_volume),
    "stack": by_autograd(lambda *rows: gram_volume(*rows, reference="gram")),
}


def inputs(batch: int, device: str) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Three modalities that share half of their variance, and the gradient that a loss would send back."""
    generator = torch.Generator().manual_seed(0)
    shared, *own = torch.randn(4, batch, DIM, generator=generator)
    grad = torch.randn(batch, batch, generator=generator) / batch
    return [unit_rows(shared + rows).to(device) for rows in own], grad.to(device)


def seconds(ways: dict[str, Pass], rows: list[torch.Tensor], grad: torch.Tensor, passes: int) -> dict[str, float]:
    """Median time of one pass of each way, after one that is not counted."""
    alone = not rows[0].is_cuda and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(passes + 1):
        for name, one_pass in ways.items():
            _wait(rows[0])
            start = clock()
            one_pass(rows, grad)
            _wait(rows[0])
            taken[name].append(clock() - start)
    return {name: statistics.median(each[1:]) for name, each in taken.items()}


def peak_bytes(one_pass: Pass, rows: list[torch.Tensor], grad: torch.Tensor) -> int:
    """The most that one pass holds beyond its inputs."""
    if rows[0].is_cuda:
        one_pass(rows, grad)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        one_pass(rows, grad)
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        one_pass(rows, grad)
    held = peak = 0
    for change in _allocations(recorded):
        held += change
        peak = max(peak, held)
    return peak


def _allocations(recorded: profile) -> Iterator[int]:
    """Bytes of each allocation, and minus those of each release, in the order of time."""
    assert recorded.profiler is not None
    assert recorded.profiler.kineto_results is not None
    pending = list(recorded.profiler.kineto_results.experimental_event_tree())
    events = []
    while pending:
        event = pending.pop()
        pending.extend(event.children)
        if event.tag.name == "Allocation":
            events.append((event.start_time_ns, event.typed[1].alloc_size))
    for _, size in sorted(events, key=lambda event: event[0]):
        yield size


def largest_difference(rows: list[torch.Tensor], grad: torch.Tensor) -> tuple[float, float]:
    """How far ours and the stack are apart: volumes, and gradients relative to the largest."""
    (ours, *our_grads), (stack, *stack_grads) = (WAYS[name](rows, grad) for name in ("ours", "stack"))
    scale = max(float(g.abs().max()) for g in stack_grads)
    apart = max(float((g - h).abs().max()) for g, h in zip(our_grads, stack_grads, strict=True))
    return float((ours - stack).abs().max()), apart / scale


def _wait(tensor: torch.Tensor) -> None:
    if tensor.is_cuda:
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer passes, and no batch of 2048")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    batches = [80, 512] if options.quick else list(PASSES)

    results: dict[str, dict[int, float]] = {
        name: {} for name in ("speedup", "over_floor", "memory_ratio", "plain_speedup", "plain_memory_ratio")
    }
    print(f"{'forward and backward':22s}" + "".join(f"{name:>18s}" for name in WAYS) + f"{'largest difference':>30s}")
    for batch in batches:
        rows, grad = inputs(batch, options.device)
        apart, grads_apart = largest_difference(rows, grad)
        took = seconds(WAYS, rows, grad, max(PASSES[batch] // (3 if options.quick else 1), 3))
        held = {name: peak_bytes(one_pass, rows, grad) for name, one_pass in WAYS.items()}
        results["speedup"][batch] = round(took["stack"] / took["ours"], 2)
        results["over_floor"][batch] = round(took["ours"] / took["floor"], 2)
        results["memory_ratio"][batch] = round(held["stack"] / held["ours"], 2)
        results["plain_speedup"][batch] = round(took["stack"] / took["plain"], 2)
        results["plain_memory_ratio"][batch] = round(held["stack"] / held["plain"], 2)
        cells = (f"{1e3 * took[name]:8.1f} ms{held[name] / 2**20:6.1f}MB" for name in WAYS)
        differences = f"{apart:.0e}, gradient {grads_apart:.0e}"
        print(f"batch {batch:4d} x {DIM:<9d}" + "".join(f"{cell:>18s}" for cell in cells) + f"{differences:>30s}")
    where = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    print(json.dumps({"benchmark": "losses", "device": options.device, "machine": where, "dim": DIM, **results}))


if __name__ == "__main__":
    main()
