"""A signal tower for a model whose own teacher is not at hand: taught by the page tower, the paper's way reversed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import normalize

from ecgscan_lab.batch import step_indices
from ecgscan_lab.encoders.signal import TinySignalTower
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train.schedule import adamw, learning_rate, take_step
from ecgscan_lab.types import TrainingData


def fit_signal_reader(
    cohort: TrainingData,
    image_embeddings: NDArray[np.float32],
    *,
    steps: int = 150,
    batch_size: int = 32,
    lr: float = 2e-3,
    seed: int = 0,
) -> TinySignalTower:
    """Train a small signal tower to say of a signal what the frozen page tower says of its page.

    **Equation**: minimise the mean of 1 − cos(s(signal), image) over the training split.

    **Source**: none; *differences* from the paper: there the signal teacher is frozen and pages follow it. A checkpoint
    holds no teacher, so that here the signal follows the page. Its closeness to pages is taught, and no evidence that
    the model aligned anything; what is left to see is whether *other* records land near their pages.

    Args:
        cohort: records; only the training split is used.
        image_embeddings: of all records, float32 `[record, d_shared]`.
        steps, batch_size, lr: of its training.
        seed: of weights and order.

    Returns:
        The tower in `eval` mode, for `encode_signals`.

    Raises:
        ArgumentError: embeddings that do not match the records.
    """
    if image_embeddings.ndim != 2 or len(image_embeddings) != len(cohort):
        raise ArgumentError(
            f"embeddings of shape {image_embeddings.shape}", field="image_embeddings", expected=f"[{len(cohort)}, dim]"
        )
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.default_generator.manual_seed(seed)
        tower = TinySignalTower(embed_dim=image_embeddings.shape[1], width=64, fs_hz=cohort.fs_hz)
    optimizer = adamw(tower.train(), lr, 0.05)
    train = cohort.indices("train")
    for step in range(steps):
        rows, _ = step_indices(train, min(batch_size, len(train)), seed, step)
        signal = tower(torch.from_numpy(cohort.read_signals_mv(rows)))
        page = torch.from_numpy(np.asarray(image_embeddings[rows], dtype=np.float32))
        loss = 1 - (normalize(signal) * normalize(page)).sum(1).mean()
        take_step(optimizer, loss, learning_rate(step, steps, lr, 0.1), 1.0)
    return tower.eval().requires_grad_(False)
