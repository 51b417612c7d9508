"""The gradient of one step: of the whole batch at once, or of its parts one after another, with the same result.

A contrastive loss compares every page with every report of the batch, so it cannot be summed over parts as a
classification loss can: fewer rows would mean fewer negatives. Features are small, though, and activations large. So
the parts go through the model once without a graph; the loss of all features together gives a gradient for each
feature; and the parts go through again, each with a graph of its own that takes its features' gradients on.

**Source**: gradient caching, Gao et al. (2021), arXiv 2101.06983. *Differences*: the reconstruction is cached as well,
so that any loss of the features is exact; the price is a second forward pass of the decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from ecgscan_lab.batch import split_batch
from ecgscan_lab.train.stopwatch import Stopwatch
from ecgscan_lab.types import Features, LossOutput, TripleBatch

Score = Callable[[Features, TripleBatch], LossOutput]
Forward = Callable[[TripleBatch, torch.Tensor | None, int], Features]
"""A batch, its query mask and the number of its part -> features; equal calls give equal features, dropout included."""

_SHARED = ("logit_scale", "gram_logit_scale", "statement_logit_scale", "statements")
"""The same in every part of a batch: their gradient is passed on once, with the last part."""
_TENSORS = ("image", "text", "reconstruction_mv", "predicted_summary", *_SHARED)


def backward(
    forward: Forward,
    batch: TripleBatch,
    masked: torch.Tensor | None,
    score: Score,
    *,
    model: nn.Module,
    parts: int = 1,
    scale: float | torch.Tensor = 1.0,
    watch: Stopwatch | None = None,
) -> LossOutput:
    """Add the gradient of the loss of one batch to the parameters.

    Args:
        forward: runs the model.
        batch: the batch of this process.
        masked: queries to mask, bool `[batch, query]`, or None.
        score: features of the whole batch -> loss.
        model: whose running statistics the first pass must leave alone.
        parts: how many parts go through the model one after another.
        scale: multiplies the gradient (loss scaling of float16).
        watch: told when forward and backward are over.

    Returns:
        The loss, detached.

    Properties: the same gradient for any number of parts, as long as the model treats rows one by one. Batch norms do
    not: in training they see a part, not the batch, so a tower with batch norms learns something else in parts.
    """
    watch = watch if watch is not None else Stopwatch(torch.device("cpu"))
    if parts == 1:
        scored = score(forward(batch, masked, 0), batch)
        watch.lap("forward")
        (scored.total * scale).backward()
        watch.lap("backward")
        return _detached(scored)
    pieces = split_batch(batch, parts)
    masks: Sequence[torch.Tensor | None] = [None] * parts if masked is None else masked.tensor_split(parts)
    with torch.no_grad(), statistics_kept(model):
        seen = [forward(piece, mask, k) for k, (piece, mask) in enumerate(zip(pieces, masks, strict=True))]
    leaves = _joined(seen, batch)
    scored = score(leaves, batch)
    watch.lap("forward")
    (scored.total * scale).backward()
    del seen
    start = 0
    for k, (piece, mask) in enumerate(zip(pieces, masks, strict=True)):
        features = forward(piece, mask, k)
        _pass_on(features, leaves, slice(start, start + len(piece)), scales=k == parts - 1)
        start += len(piece)
    watch.lap("backward")
    return _detached(scored)


def _joined(seen: Sequence[Features], batch: TripleBatch) -> Features:
    """Features of the whole batch as leaves that collect gradients."""

    def leaf(name: str) -> torch.Tensor | float | None:
        values = [getattr(features, name) for features in seen]
        if not isinstance(values[0], torch.Tensor):
            return values[0]
        joined = values[0].clone() if name in _SHARED else torch.cat(values)
        return joined.detach().requires_grad_()

    return Features(
        signal=batch.signal_features,
        signal_mv=batch.signals_mv,
        signal_summary=batch.signal_summary,
        statement_log_odds=seen[0].statement_log_odds,
        statement_weight=seen[0].statement_weight,
        **{name: leaf(name) for name in _TENSORS},  # type: ignore[arg-type]
    )


def _pass_on(features: Features, leaves: Features, rows: slice, *, scales: bool) -> None:
    """Send the leaves' gradients for these rows back through one part; the temperatures' go with the last part."""
    outputs, gradients = [], []
    for name in _TENSORS:
        output, leaf = getattr(features, name), getattr(leaves, name)
        if not isinstance(output, torch.Tensor) or not output.requires_grad or leaf.grad is None:
            continue
        if name not in _SHARED:
            outputs.append(output)
            gradients.append(leaf.grad[rows].to(output.dtype))
        elif scales:
            outputs.append(output)
            gradients.append(leaf.grad)
    torch.autograd.backward(outputs, gradients)


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Put every buffer back as it was: a pass that is done twice must not count twice in running means."""
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    with torch.no_grad():
        for buffer, value in kept:
            buffer.copy_(value)


@contextmanager
def seeded(device: torch.device, *numbers: int) -> Iterator[None]:
    """Make what draws from torch's global generators (dropout) a function of these numbers; they stay where they were.

    The same numbers give the same draws in the first pass and the second, and in a run that was continued.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        seed = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def _detached(scored: LossOutput) -> LossOutput:
    parts = {name: part.detach() for name, part in scored.parts.items()}
    return replace(scored, total=scored.total.detach(), parts=parts)
