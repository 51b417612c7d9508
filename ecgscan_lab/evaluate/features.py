"""Run a frozen model over the plain pages of a whole cohort."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import numpy as np
import torch

from ecgscan_lab.batch import ahead, draw_images
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.cache import arrays_sha256, cached, weights_sha256
from ecgscan_lab.train.precision import autocast, pick_device
from ecgscan_lab.types import Cohort


def embed_pages(
    encode: Callable[[torch.Tensor], torch.Tensor],
    cohort: Cohort,
    size: tuple[int, int],
    *,
    indices: np.ndarray | None = None,
    batch_size: int = 32,
    cache: str | PathLike[str] | None = None,
) -> np.ndarray:
    """Encode the plain compact page of each record.

    Args:
        encode: uint8 pages `[batch, 3, height, width]` -> `[batch, ...]`: an image tower in `eval` mode,
            `model.image_embeddings`, or `model.reconstruct`. A module is moved to the GPU when there is one.
        cohort: the records.
        size: (height, width) of the pages in pixels.
        indices: which records; all when None.
        batch_size: pages at a time.
        cache: folder in which features are kept by content, so that the same weights and records are encoded once;
            `encode` must then be a module, or a method of one.

    Returns:
        float32 `[record, ...]`.

    Raises:
        ArgumentError: no records; or a cache for a function, whose weights nobody can tell.
        ExportError: the cache cannot be written.
    """
    indices = np.arange(len(cohort)) if indices is None else indices
    if cache is not None:
        key = _key_parts(encode, cohort, size, indices)
        wanted: dict[str, Any] = {"indices": indices, "batch_size": batch_size}
        return cached(key, cache, lambda: (embed_pages(encode, cohort, size, **wanted), None))[0]
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


def _key_parts(
    encode: Callable[[torch.Tensor], torch.Tensor], cohort: Cohort, size: tuple[int, int], indices: np.ndarray
) -> dict[str, Any]:
    """Everything that the features of a cohort's plain pages depend on."""
    module = encode if isinstance(encode, torch.nn.Module) else getattr(encode, "__self__", None)
    if not isinstance(module, torch.nn.Module):
        raise ArgumentError(
            f"cannot tell the weights of {getattr(encode, '__name__', encode)!r}",
            field="cache",
            expected="a module, or a method of one such as model.image_embeddings",
            fix="pass the module itself, or no cache",
        )
    starts = range(0, len(indices), 1024)
    return {
        "pages": "plain compact",
        "encode": "forward" if module is encode else encode.__name__,
        "weights": weights_sha256(module),
        "size": list(size),
        "fs_hz": cohort.fs_hz,
        "signals": arrays_sha256(cohort.read_signals_mv(indices[start : start + 1024]) for start in starts),
        "device": pick_device().type,
    }
