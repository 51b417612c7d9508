"""Training that begins on smaller pages: which batches come when, and how the tower reads them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

import numpy as np
from torch import nn

from ecgscan_lab.batch import Fed, FrozenFeatures, feed
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.types import TrainingData, TripleBatch


def feed_phases(
    data: TrainingData, frozen: FrozenFeatures, recipe: Recipe, train: np.ndarray, steps: range, **how: Any
) -> Generator[Fed, None, None]:
    """The batches of some steps, each on the pages of its phase (`Recipe.phases`).

    All phases are checked at once, lest a run be refused after its first. Nothing is drawn ahead across their border,
    and drawing processes start anew there.

    Args:
        data, frozen: as in `feed`.
        recipe: its phases, and the size of a batch.
        train: records to draw from.
        steps: which steps; they may begin or end within a phase.
        how: other arguments of `feed`.
    """
    parts = [
        (range(max(steps.start, phase.start), min(steps.stop, phase.stop)), plan) for phase, plan in recipe.phases()
    ]
    return _one_after_another(
        [
            feed(data, frozen, plan, train, batch_size=recipe.batch_size, steps=part, **how)
            for part, plan in parts
            if part
        ]
    )


def _one_after_another(feeds: list[Generator[Fed, None, None]]) -> Generator[Fed, None, None]:
    for batches in feeds:
        with closing(batches):
            yield from batches


def reading_at(tower: nn.Module, batch: TripleBatch, recipe: Recipe) -> AbstractContextManager[None]:
    """Let the tower read pages of a first phase as they are; it fits all others to its own size."""
    if recipe.first_size is None or tuple(batch.images.shape[-2:]) != recipe.first_size:
        return nullcontext()
    return tower.reading_at(recipe.first_size)  # type: ignore[operator]
