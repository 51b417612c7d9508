"""Train one loss from one seed: projections on frozen features, or a small image tower end to end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from ecgscan_lab.batch import FrozenFeatures, step_indices
from ecgscan_lab.compare.judge import Embedded
from ecgscan_lab.compare.rungs import Rung
from ecgscan_lab.compare.tables import FrozenTable
from ecgscan_lab.encoders.model import projection
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.losses.registry import FeatureLoss
from ecgscan_lab.train.loop import pretrain
from ecgscan_lab.train.schedule import adamw, learning_rate, take_step
from ecgscan_lab.types import Cohort, Features


class NotFiniteError(ArithmeticError):
    """A loss left the numbers; the message says at which step."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a run leaves for the judge: embeddings, gradient norm, seconds a step, and the loss at both ends."""

    embedded: Embedded
    gradient_norm: float
    seconds_per_step: float
    first_loss: float
    last_loss: float


class AlignmentHeads(nn.Module):
    """The trainable part of rung "heads": both projections and the two temperatures, as in `EcgScanModel`."""

    def __init__(self, d_image: int, d_text: int, d_shared: int) -> None:
        super().__init__()
        self.project_image = projection(d_image, d_shared)
        self.project_text = projection(d_text, d_shared)
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.log_gram_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, image: torch.Tensor, text: torch.Tensor, signal: torch.Tensor) -> Features:
        """Frozen features `[batch, ...]` -> what a loss sees; the signal is passed on as it is."""
        return Features(
            image=self.project_image(image),
            text=self.project_text(text),
            signal=signal,
            logit_scale=self.log_logit_scale.exp().clamp(1.0, 100.0),
            gram_logit_scale=self.log_gram_logit_scale.exp().clamp(1.0, 100.0),
        )


def fresh_heads(table: FrozenTable, rung: Rung, seed: int) -> AlignmentHeads:
    """Heads with weights drawn from `seed`, so that all losses start from the same ones."""
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.default_generator.manual_seed(seed)
        return AlignmentHeads(table.image.shape[1], table.text.shape[1], rung.d_shared)


def train_heads(table: FrozenTable, loss: FeatureLoss, rung: Rung, seed: int) -> Trained:
    """Train both projections by a loss for `rung.steps` steps, and embed all records.

    Raises:
        NotFiniteError: the loss or its gradient left the numbers.
    """
    heads = fresh_heads(table, rung, seed)
    optimizer = adamw(heads, rung.lr, rung.weight_decay)
    train = np.flatnonzero(table.cases.split == "train")
    image, text, signal = (torch.from_numpy(rows) for rows in (table.image, table.text, table.signal))
    norms, seconds, values = [], [], []
    for step in range(rung.steps):
        rows = torch.from_numpy(step_indices(train, rung.batch_size, seed, step)[0])
        started = time.perf_counter()
        value = loss(heads(image[rows], text[rows], signal[rows]))
        lr = learning_rate(step, rung.steps, rung.lr, rung.warmup_share)
        norm = take_step(optimizer, value, lr, rung.clip_norm)
        seconds.append(time.perf_counter() - started)
        values.append(float(value.detach()))
        norms.append(norm)
        if not (math.isfinite(values[-1]) and math.isfinite(norm)):
            what = "the loss" if not math.isfinite(values[-1]) else "its gradient"
            raise NotFiniteError(f"{what} is not finite at step {step + 1} of {rung.steps}")

    def project_text(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return heads.project_text(torch.from_numpy(rows)).numpy()

    with torch.no_grad():
        pages = heads.project_image(image).numpy()
    classes = table.class_embeddings(project_text)
    embedded = Embedded(pages, project_text(table.text), table.signal, classes, probed=pages)
    return Trained(embedded, _late(norms), float(np.median(seconds)), values[0], values[-1])


def train_tower(
    cohort: Cohort, table: FrozenTable, loss: FeatureLoss, rung: Rung, seed: int, *, decoder: bool = False
) -> Trained:
    """Train image tower and projections end to end by a loss, and embed all records with the best weights.

    The weights with the lowest validation loss are kept, by the loss on trial itself. The probe is fitted on the
    tower's own feature, as in the paper.

    Args:
        cohort: the records.
        table: frozen features of text and signal.
        loss: what is minimised; nothing is added to it.
        rung: its `recipe` says how.
        seed: of weights, order and pages.
        decoder: whether the loss needs the reconstruction; without, the decoder is as small as can be.

    Raises:
        NotFiniteError: the loss or its gradient left the numbers.
    """
    recipe = rung.recipe
    if not decoder:
        recipe = replace(recipe, decoder_dim=8, decoder_layers=1, decoder_heads=1)
    frozen = FrozenFeatures(table.signal, table.text, table.cases.text_ids)

    def stop_at_nan(row: Mapping[str, float | int | str]) -> None:
        for name in ("total", "gradient_norm"):
            if row["split"] == "train" and not math.isfinite(float(row[name])):
                what = "the loss" if name == "total" else "its gradient"
                raise NotFiniteError(f"{what} is not finite at step {int(row['step']) + 1} of {recipe.steps}")

    with TemporaryDirectory(prefix="ecgscan-compare-") as folder:
        run = pretrain(cohort, frozen, recipe, Path(folder), seed=seed, on_step=stop_at_nan, loss=loss)
    rows = [row for row in run.history if row["split"] == "train"]
    model = run.model.cpu()
    probed = embed_pages(model.tower, cohort, recipe.size)
    model = model.cpu()
    pages = model.project_images(probed)
    texts, classes = model.project_texts(table.text), table.class_embeddings(model.project_texts)
    embedded = Embedded(pages, texts, table.signal, classes, probed)
    seconds = np.diff([float(row["seconds"]) for row in rows]) / np.diff([int(row["step"]) for row in rows])
    return Trained(
        embedded,
        _late([float(row["gradient_norm"]) for row in rows]),
        float(np.median(seconds)) if len(seconds) else float("nan"),
        float(rows[0]["total"]),
        float(rows[-1]["total"]),
    )


def _late(norms: list[float]) -> float:
    """Median over the last fifth, when the schedule has calmed down."""
    return float(np.median(norms[-max(1, len(norms) // 5) :]))


Trainer = Callable[[FeatureLoss, int], Trained]
