"""Raw pixels as features: what a linear model sees in a page without any encoder."""

from __future__ import annotations

import numpy as np
import torch

from ecgscan_lab.batch import draw_images
from ecgscan_lab.types import Cohort


def pixel_features(
    cohort: Cohort, size: tuple[int, int] = (192, 448), cell: tuple[int, int] = (8, 16), batch_size: int = 64
) -> np.ndarray:
    """Mean ink in every cell of the plain compact page.

    Args:
        cohort: the records.
        size: (height, width) of the page in pixels.
        cell: (height, width) of a cell in pixels.
        batch_size: pages drawn at a time.

    Returns:
        float32 `[record, cells]`, 0 for white paper and 1 for black.
    """
    features = []
    for start in range(0, len(cohort), batch_size):
        images = draw_images(cohort, np.arange(start, min(start + batch_size, len(cohort))), size)
        ink = 1.0 - images.float().mean(1, keepdim=True) / 255.0
        features.append(torch.nn.functional.avg_pool2d(ink, cell).flatten(1))
    return torch.cat(features).numpy()
