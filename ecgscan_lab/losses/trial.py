"""A loss on trial: features to try it on, from ordinary to extreme, and its value and gradients there."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ecgscan_lab.types import Features

EMBEDDINGS = ("image", "text", "signal")
MODALITIES = (*EMBEDDINGS, "reconstruction_mv")
FIELDS = (*MODALITIES, "signal_mv", "logit_scale", "gram_logit_scale")


class Broken(Exception):  # noqa: N818 - it reports a finding and is no fault of the caller
    """A property does not hold; the message says what was seen."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A loss on trial: what it reads, and which modalities its gradient is meant to reach."""

    loss: Callable[[Features], Any]
    reads: tuple[str, ...]
    claimed: tuple[str, ...]
    seed: int

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Image, text and signal, as far as the loss reads them."""
        return tuple(name for name in EMBEDDINGS if name in self.reads)

    def features(self, draw: int = 0, batch: int = 6, dim: int = 8, dtype: torch.dtype = torch.float32) -> Features:
        """Matched records: what the modalities share, and noise of each modality's own."""
        return draw_features(self.seed + draw, batch, dim, dtype)

    def value(self, features: Features) -> float:
        """The loss as a number."""
        with torch.no_grad():
            return float(self.loss(features))

    def with_gradients(
        self, features: Features, autocast: torch.dtype | None = None
    ) -> tuple[float, dict[str, torch.Tensor | None]]:
        """The loss and its gradient with respect to every claimed field, None where none arrives.

        Under `autocast` the loss is computed in that precision; its backward runs outside, as torch asks for.
        """
        leaves = {name: getattr(features, name).detach().clone().requires_grad_() for name in self.claimed}
        with torch.autocast("cpu", dtype=autocast, enabled=autocast is not None):
            value = self.loss(dataclasses.replace(features, **leaves))
        if not value.requires_grad:
            return float(value), dict.fromkeys(self.claimed)
        gradients = torch.autograd.grad(value.sum(), list(leaves.values()), allow_unused=True)
        return float(value.detach()), dict(zip(self.claimed, gradients, strict=True))


def draw_features(seed: int, batch: int, dim: int, dtype: torch.dtype = torch.float32) -> Features:
    """Random features of matched records, with a decoder's output; a function of its arguments."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(batch, dim, generator=generator, dtype=torch.float64)
    rows = (shared + 0.5 * torch.randn(batch, dim, generator=generator, dtype=torch.float64) for _ in EMBEDDINGS)
    signal_mv = torch.randn(batch, 12, 32, generator=generator, dtype=torch.float64)
    decoded = signal_mv + 0.3 * torch.randn(signal_mv.shape, generator=generator, dtype=torch.float64)
    image, text, signal = (row.to(dtype) for row in rows)
    scale = torch.tensor(14.3, dtype=dtype)
    return Features(image, text, signal, decoded.to(dtype), signal_mv.to(dtype), scale, scale.clone())


def fields_read(loss: Callable[[Features], Any], seed: int) -> tuple[str, ...]:
    """Fields of `Features` that a loss reads on its way to a value, or to a crash."""
    features = draw_features(seed, 6, 8)
    seen: set[str] = set()

    class Watched(Features):
        def __getattribute__(self, name: str) -> Any:
            if name in FIELDS:
                seen.add(name)
            return super().__getattribute__(name)

    watched = Watched(**{name: getattr(features, name) for name in FIELDS})
    seen.clear()
    with suppress(Exception):  # the first property tells of it
        loss(watched)
    return tuple(name for name in FIELDS if name in seen)


@contextmanager
def generators_kept() -> Iterator[Callable[[], bool]]:
    """Put the global generators of torch, NumPy and Python back at the end; yields whether one has moved so far."""
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    numpy_state: Any = np.random.get_state(legacy=True)  # noqa: NPY002

    def moved() -> bool:
        now: Any = np.random.get_state(legacy=True)  # noqa: NPY002
        same = np.array_equal(now[1], numpy_state[1]) and now[2:] == numpy_state[2:]
        return not (same and torch.equal(torch.get_rng_state(), torch_state) and random.getstate() == python_state)

    try:
        yield moved
    finally:
        torch.set_rng_state(torch_state)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _changed(features: Features, change: Callable[[torch.Tensor], torch.Tensor]) -> Features:
    """The features with every modality changed alike."""
    return dataclasses.replace(features, **{name: change(getattr(features, name)) for name in MODALITIES})


def modalities_equal(features: Features) -> Features:
    return dataclasses.replace(
        features, text=features.image, signal=features.image, reconstruction_mv=features.signal_mv
    )


def all_in_one_point(features: Features) -> Features:
    return _changed(modalities_equal(features), lambda rows: rows[:1].expand_as(rows))


def two_records_alike(features: Features) -> Features:
    return _changed(features, lambda rows: torch.cat([rows[:1], rows[:1], rows[2:]]))


def one_row_of_zeros(features: Features) -> Features:
    return _changed(features, lambda rows: torch.cat([torch.zeros_like(rows[:1]), rows[1:]]))


def all_zeros(features: Features) -> Features:
    return _changed(features, torch.zeros_like)


def scale_of_a_millionth(features: Features) -> Features:
    return _changed(features, lambda rows: rows * 1e-6)


def scale_of_a_million(features: Features) -> Features:
    return _changed(features, lambda rows: rows * 1e6)


def one_record(features: Features) -> Features:
    rows = {name: getattr(features, name)[:1] for name in (*MODALITIES, "signal_mv")}
    return dataclasses.replace(features, **rows)
