"""(image, signal, report) triples: pages drawn on the fly, beside the features of the frozen towers."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ecgscan_lab.batch.plan import PagePlan, draw_plan, read_signals
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import TrainingData, TripleBatch


@dataclass(frozen=True, eq=False)
class Statements:
    """What may be said of a record, and of which it is said: labels as texts, for `losses.statements`.

    Attributes:
        texts: the statements in words.
        text: float32 `[statement, d_txt]`, their features.
        told: uint8 `[record, statement]`, 1 where it is said of the record.
        log_odds: float32 `[statement]`, how common it is among the training records.
        weight: float32 `[statement]`; several phrases of one label share the weight 1.
    """

    texts: tuple[str, ...]
    text: np.ndarray
    told: np.ndarray
    log_odds: np.ndarray
    weight: np.ndarray


@dataclass(frozen=True, eq=False)
class FrozenFeatures:
    """Features of the frozen towers, computed once for a whole cohort; arrays, or memory maps of files.

    Attributes:
        signal: `[record, d_sig]` of the signal teacher.
        text: `[record, d_txt]` of the text tower.
        text_ids: integer `[record]`, equal for equal texts.
        statements: labels as texts, or None.
        signal_summary: float32 `[record, d_summary]`, how the teacher's tokens are distributed over the recording, each
            entry in units of its spread over the training records; or None.
    """

    signal: np.ndarray
    text: np.ndarray
    text_ids: np.ndarray
    statements: Statements | None = None
    signal_summary: np.ndarray | None = None


def draw_images(
    data: TrainingData,
    indices: np.ndarray,
    plan: PagePlan | tuple[int, int],
    *,
    seed: int | None = None,
    epoch: int = 0,
) -> torch.Tensor:
    """Draw the pages of some records.

    Args:
        data: the records.
        indices: which of them `[batch]`.
        plan: how pages look; a (height, width) alone means compact pages of that size.
        seed: varies each page by (seed, epoch, record); None draws the plain page.
        epoch: pass over the data.

    Returns:
        uint8 `[batch, 3, height, width]`.
    """
    plan = as_plan(plan)
    signals_mv = read_signals(data, plan, indices, seed, epoch)
    return torch.from_numpy(draw_plan(plan, signals_mv, data.fs_hz, indices, seed, epoch)[0])


def make_batch(
    data: TrainingData,
    frozen: FrozenFeatures,
    indices: np.ndarray,
    plan: PagePlan | tuple[int, int],
    *,
    seed: int | None = None,
    epoch: int = 0,
    device: torch.device | str = "cpu",
) -> TripleBatch:
    """Draw the pages of some records and put signal, teacher and text features beside them.

    Args and sizes as in `draw_images`; `device` is where the tensors go.
    """
    plan = as_plan(plan)
    signals_mv = read_signals(data, plan, indices, seed, epoch)
    images, visible = draw_plan(plan, signals_mv, data.fs_hz, indices, seed, epoch)
    batch = assemble(frozen, indices, torch.from_numpy(images), torch.from_numpy(signals_mv), visible)
    return each_tensor(batch, lambda tensor: tensor.to(device), but=("index",))


def as_plan(plan: PagePlan | tuple[int, int]) -> PagePlan:
    """A plan as given, or compact pages of a size."""
    return plan if isinstance(plan, PagePlan) else PagePlan(size=plan)


def assemble(
    frozen: FrozenFeatures, indices: np.ndarray, images: torch.Tensor, signals_mv: torch.Tensor, visible: np.ndarray
) -> TripleBatch:
    """Pages and signals of some records, with their frozen features beside them, on the CPU."""
    indices = np.asarray(indices, dtype=np.int64)

    def rows(features: np.ndarray, dtype: type) -> torch.Tensor:
        return torch.from_numpy(np.asarray(features[indices], dtype=dtype))

    one_mask = visible.strides[0] == 0  # pages that differ in looks alone
    mask = torch.from_numpy(np.array(visible[0] if one_mask else visible))
    return TripleBatch(
        images=images,
        signals_mv=signals_mv,
        signal_features=rows(frozen.signal, np.float32),
        text_features=rows(frozen.text, np.float32),
        index=torch.from_numpy(indices.copy()),
        text_ids=rows(frozen.text_ids, np.int64),
        visible=mask.expand(len(indices), -1, -1) if one_mask else mask,
        told=None if frozen.statements is None else rows(frozen.statements.told, np.float32),
        signal_summary=None if frozen.signal_summary is None else rows(frozen.signal_summary, np.float32),
    )


def split_batch(batch: TripleBatch, parts: int) -> list[TripleBatch]:
    """Cut a batch into parts of nearly equal size, in order: views, nothing is copied.

    Args:
        batch: the batch.
        parts: how many; no more than it has rows.

    Returns:
        Batches whose rows, one after another, are those of `batch`; the first ones are longer where it does not split
        evenly.

    Raises:
        ArgumentError: no parts, or more than there are rows.

    Properties: put together again the parts are the batch.

    Example:
        >>> rows = torch.arange(5)
        >>> [part.index.tolist() for part in split_batch(TripleBatch(rows, rows, rows, rows, rows), 2)]
        [[0, 1, 2], [3, 4]]
    """
    if not 1 <= parts <= len(batch):
        raise ArgumentError(f"{parts} parts of {len(batch)} rows", field="parts", expected=f"from 1 to {len(batch)}")
    cut = {name: torch.tensor_split(tensor, parts) for name, tensor in _tensors(batch).items()}
    return [TripleBatch(**{name: pieces[k] for name, pieces in cut.items()}) for k in range(parts)]


def each_tensor(
    batch: TripleBatch, change: Callable[[torch.Tensor], torch.Tensor], but: tuple[str, ...] = ()
) -> TripleBatch:
    """The batch with every tensor changed, those named in `but` left as they are."""
    tensors = {name: tensor if name in but else change(tensor) for name, tensor in _tensors(batch).items()}
    return TripleBatch(**tensors)


def _tensors(batch: TripleBatch) -> dict[str, Any]:
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return {name: tensor for name, tensor in values.items() if tensor is not None}
