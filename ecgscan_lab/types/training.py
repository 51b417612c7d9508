"""What training passes along: batches, features, losses, histories, and the protocols that towers follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class TripleBatch:
    """A batch of (image, signal, report) triples.

    Attributes:
        images: uint8 `[batch, 3, height, width]`.
        signals_mv: float32 `[batch, 12, time]`, the reconstruction target.
        signal_features: float32 `[batch, d_sig]` of the frozen signal teacher.
        text_features: float32 `[batch, d_txt]` of the frozen text tower.
        index: int64 `[batch]`, positions in the cohort.
        text_ids: int64 `[batch]`, equal for equal reports, or None.
        visible: bool `[batch, 12, time]`, True where the page shows the sample, or None.
        told: float32 `[batch, statement]`, 1 where a statement is said of the record, or None.
        signal_summary: float32 `[batch, d_summary]`, the teacher's summary of the recording, or None.
    """

    images: torch.Tensor
    signals_mv: torch.Tensor
    signal_features: torch.Tensor
    text_features: torch.Tensor
    index: torch.Tensor
    text_ids: torch.Tensor | None = None
    visible: torch.Tensor | None = None
    told: torch.Tensor | None = None
    signal_summary: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)


@dataclass(frozen=True, eq=False)
class Features:
    """What the objective sees: embeddings before normalisation, the reconstruction, and its target.

    Attributes:
        image: `[batch, d]`, Proj_ctr(z_img).
        text: `[batch, d]`, Proj_txt(z_txt).
        signal: `[batch, d]`, z_sig of the frozen teacher.
        reconstruction_mv: `[batch, 12, time]` or None when the decoder is off.
        signal_mv: `[batch, 12, time]`, the recorded signal, or None.
        logit_scale: scalar > 0 multiplying similarities (the paper's tau, which multiplies).
        gram_logit_scale: scalar > 0 multiplying volumes.
        statements: `[statement, d]`, Proj_txt of the statements, or None.
        statement_log_odds, statement_weight: `[statement]`, how common each is, and what it counts.
        statement_logit_scale: scalar > 0 multiplying cosines of pages and statements; None takes `logit_scale`.
        signal_summary: `[batch, d_summary]`, the teacher's summary of the recording, or None.
        predicted_summary: the same as the page tells it, or None.
    """

    image: torch.Tensor
    text: torch.Tensor
    signal: torch.Tensor
    reconstruction_mv: torch.Tensor | None = None
    signal_mv: torch.Tensor | None = None
    logit_scale: torch.Tensor | float = 14.3
    gram_logit_scale: torch.Tensor | float = 14.3
    statements: torch.Tensor | None = None
    statement_log_odds: torch.Tensor | None = None
    statement_weight: torch.Tensor | None = None
    statement_logit_scale: torch.Tensor | float | None = None
    signal_summary: torch.Tensor | None = None
    predicted_summary: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class LossOutput:
    """The scalar to minimise and every part of it by name (detached when logged)."""

    total: torch.Tensor
    parts: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class History:
    """One row a logged step: `{"step": int, "split": "train" | "val", "total": float, ...parts}`."""

    rows: tuple[Mapping[str, float | int | str], ...] = ()

    def __iter__(self) -> Iterator[Mapping[str, float | int | str]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class TrainingData(Protocol):
    """What the loop and the judges ask of recordings: a `Cohort` in memory, or a store on disk.

    Attributes:
        name: of the cohort or store.
        fs_hz: sampling rate shared by all records.
        data_sha256: hash of signals, labels, texts and splits.
        tasks: task name -> class names.
        patients: patient of each record `[record]`.
    """

    @property
    def name(self) -> str: ...
    @property
    def fs_hz(self) -> float: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def data_sha256(self) -> str: ...
    @property
    def tasks(self) -> Mapping[str, tuple[str, ...]]: ...
    @property
    def patients(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def indices(self, split: str) -> np.ndarray:
        """Positions of the records of one split, ascending `[n]`."""

    def targets(self, task: str) -> np.ndarray:
        """Multi-hot labels, int8 `[record, class]`."""

    def read_signals_mv(self, indices: np.ndarray) -> np.ndarray:
        """float32 `[n, 12, time]` in millivolts, canonical lead order; NaN marks what was not recorded."""


class ImageTower(Protocol):
    """Pages in, pooled features out."""

    size: tuple[int, int]
    embed_dim: int

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[batch, 3, height, width]` -> float32 `[batch, embed_dim]`; scaling is the tower's own."""


class SignalTower(Protocol):
    """Signals in millivolts in, pooled features out."""

    fs_hz: float
    embed_dim: int

    def __call__(self, signals_mv: torch.Tensor) -> torch.Tensor:
        """float32 `[batch, 12, time]` in mV at `fs_hz` -> float32 `[batch, embed_dim]`."""


class TextTower(Protocol):
    """Texts in, features out; always frozen."""

    name: str
    embed_dim: int

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> float32 `[text, embed_dim]`, unit rows."""
