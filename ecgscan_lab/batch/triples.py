"""(image, signal, report) triples: pages drawn on the fly, beside the features of the frozen towers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_pages
from ecgscan_lab.render.variation import sample_page
from ecgscan_lab.types import TrainingData, TripleBatch


@dataclass(frozen=True, eq=False)
class FrozenFeatures:
    """Features of the frozen towers, computed once for a whole cohort.

    Attributes:
        signal: float32 `[record, d_sig]` of the signal teacher.
        text: float32 `[record, d_txt]` of the text tower.
        text_ids: int64 `[record]`, equal for equal texts.
    """

    signal: np.ndarray
    text: np.ndarray
    text_ids: np.ndarray


def draw_images(
    data: TrainingData, indices: np.ndarray, size: tuple[int, int], *, seed: int | None = None, epoch: int = 0
) -> torch.Tensor:
    """Draw the compact page of some records.

    Args:
        data: the records.
        indices: which of them `[batch]`.
        size: (height, width) in pixels.
        seed: varies colour, pen and placing of each page by (seed, epoch, record); None draws the plain page.
        epoch: pass over the data.

    Returns:
        uint8 `[batch, 3, height, width]`.
    """
    base = PageSpec.compact()
    pages = base if seed is None else [sample_page(np.random.default_rng([seed, epoch, int(i)]), base) for i in indices]
    signals_mv = data.read_signals_mv(indices)
    return torch.from_numpy(draw_pages(signals_mv, data.fs_hz, pages, size, channels_first=True))


def make_batch(
    data: TrainingData,
    frozen: FrozenFeatures,
    indices: np.ndarray,
    size: tuple[int, int],
    *,
    seed: int | None = None,
    epoch: int = 0,
    device: torch.device | str = "cpu",
) -> TripleBatch:
    """Draw the pages of some records and put signal, teacher and text features beside them.

    Args and sizes as in `draw_images`; `device` is where the tensors go.
    """
    return TripleBatch(
        images=draw_images(data, indices, size, seed=seed, epoch=epoch).to(device),
        signals_mv=torch.from_numpy(data.read_signals_mv(indices)).to(device),
        signal_features=torch.from_numpy(frozen.signal[indices]).to(device),
        text_features=torch.from_numpy(frozen.text[indices]).to(device),
        index=torch.from_numpy(np.asarray(indices, dtype=np.int64)),
    )
