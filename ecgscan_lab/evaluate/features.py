"""Run a frozen model over the plain pages of a whole cohort."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ecgscan_lab.batch import ahead, draw_images
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train.precision import autocast, pick_device
from ecgscan_lab.types import Cohort


def embed_pages(
    encode: Callable[[torch.Tensor], torch.Tensor],
    cohort: Cohort,
    size: tuple[int, int],
    *,
    indices: np.ndarray | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Encode the plain compact page of each record.

    Args:
        encode: uint8 pages `[batch, 3, height, width]` -> `[batch, ...]`: an image tower in `eval` mode,
            `model.image_embeddings`, or `model.reconstruct`. A module is moved to the GPU when there is one.
        cohort: the records.
        size: (height, width) of the pages in pixels.
        indices: which records; all when None.
        batch_size: pages at a time.

    Returns:
        float32 `[record, ...]`.
    """
    indices = np.arange(len(cohort)) if indices is None else indices
    device = pick_device()
    if isinstance(encode, torch.nn.Module):
        encode = encode.to(device)
    parts = [indices[start : start + batch_size] for start in range(0, len(indices), batch_size)]
    features: np.ndarray | None = None
    done = 0
    for images in ahead(lambda part: draw_images(cohort, part, size), parts):
        with torch.no_grad(), autocast(device):
            encoded = encode(images.to(device)).float().cpu().numpy()
        if features is None:  # filled in place: keeping the parts apart would fragment the memory of a small machine
            features = np.empty((len(indices), *encoded.shape[1:]), dtype=np.float32)
        features[done : done + len(encoded)] = encoded
        done += len(encoded)
    if features is None:
        raise ArgumentError("no records to encode", field="indices", expected="at least one record")
    return features
