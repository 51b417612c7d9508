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

    Args:
        data, frozen: as in `feed`.
        recipe: its phases, and the size of a batch.
        train: records to draw from.
        steps: which steps; they may begin or end within a phase.
        how: other arguments of `feed`.
    """
    for phase, plan in recipe.phases():
        part = range(max(steps.start, phase.start), min(steps.stop, phase.stop))
        if part:
            with closing(feed(data, frozen, plan, train, batch_size=recipe.batch_size, steps=part, **how)) as batches:
                yield from batches


def reading_at(tower: nn.Module, batch: TripleBatch, recipe: Recipe) -> AbstractContextManager[None]:
    """Let the tower read the pages of a first phase as they are; other towers fit every page to their own size."""
    size = batch.images.shape[-2:]
    if recipe.first_size is None or size == recipe.size:
        return nullcontext()
    return tower.reading_at(tuple(size))  # type: ignore[operator]
