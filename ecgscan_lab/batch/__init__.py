"""(image, signal, report) triples: in which order, drawn on the fly, beside the features of the frozen towers.

Nothing here keeps state: what a step sees is a function of (seed, step), and how a page looks is a function of
(seed, epoch, record). A run can therefore be repeated, continued, or split over processes.
"""

from __future__ import annotations

from ecgscan_lab.batch.order import ahead, step_indices
from ecgscan_lab.batch.triples import FrozenFeatures, draw_images, make_batch

__all__ = ["FrozenFeatures", "ahead", "draw_images", "make_batch", "step_indices"]
