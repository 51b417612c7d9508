"""(image, signal, report) triples: in which order, drawn on the fly, beside the features of the frozen towers.

Nothing here keeps state: what a step sees is a function of (seed, step), and how a page looks is a function of
(seed, epoch, record). A run can therefore be repeated, continued, or split over processes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgscan_lab.batch.feeding import Fed, feed
    from ecgscan_lab.batch.order import ahead, step_indices
    from ecgscan_lab.batch.plan import PagePlan, sample_pages
    from ecgscan_lab.batch.triples import FrozenFeatures, Statements, draw_images, make_batch, split_batch

__all__ = [
    "Fed",
    "FrozenFeatures",
    "PagePlan",
    "Statements",
    "ahead",
    "draw_images",
    "feed",
    "make_batch",
    "sample_pages",
    "split_batch",
    "step_indices",
]

_HOME = {
    "Fed": "feeding",
    "FrozenFeatures": "triples",
    "PagePlan": "plan",
    "Statements": "triples",
    "ahead": "order",
    "draw_images": "triples",
    "feed": "feeding",
    "make_batch": "triples",
    "sample_pages": "plan",
    "split_batch": "triples",
    "step_indices": "order",
}


def __getattr__(name: str) -> Any:  # a drawing process imports from here, and needs no torch
    if name in _HOME:
        return getattr(importlib.import_module(f"ecgscan_lab.batch.{_HOME[name]}"), name)
    raise AttributeError(f"module 'ecgscan_lab.batch' has no attribute {name!r}")
