"""Raw pixels as features: what a linear model sees in a page without any encoder."""

from __future__ import annotations

import numpy as np
import torch

from ecgscan_lab.batch import draw_images
from ecgscan_lab.encoders.image import darkness
from ecgscan_lab.types import Cohort


def pixel_features(
    cohort: Cohort, size: tuple[int, int] = (192, 448), cell: tuple[int, int] = (8, 16), batch_size: int = 32
) -> np.ndarray:
    """Mean darkness in every cell of the plain compact page.

    Args:
        cohort: the records.
        size: (height, width) of the page in pixels.
        cell: (height, width) of a cell in pixels.
        batch_size: pages drawn at a time.

    Returns:
        float32 `[record, cells]`, 0 for white paper and 1 for black.
    """
    n_cells = (size[0] // cell[0]) * (size[1] // cell[1])
    # Filled in place: small results kept between large passing ones would fragment the memory of a small machine.
    features = np.empty((len(cohort), n_cells), dtype=np.float32)
    for start in range(0, len(cohort), batch_size):
        images = draw_images(cohort, np.arange(start, min(start + batch_size, len(cohort))), size)
        ink = torch.nn.functional.avg_pool2d(darkness(images) / 255.0, cell)
        features[start : start + len(images)] = ink.flatten(1).numpy()
    return features
