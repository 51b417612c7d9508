"""Frozen records that cross layers, and the protocols that towers follow.

Axes: signals `[lead, time]` in millivolts, batches `[batch, lead, time]`, images `[batch, channel, height, width]`.
Nothing here imports torch, so that records and pages work without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ecgscan_lab.errors import ArgumentError, LabelError

if TYPE_CHECKING:
    import torch

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class GroundTruth:
    """What a synthetic record knows about itself.

    Attributes:
        diagnosis: the one diagnosis that was drawn, a code of `data.synthetic.DIAGNOSES`.
        r_peaks_s: times of the R peaks in seconds, ascending.
        rate_bpm: mean ventricular rate in beats a minute.
        pr_ms: PR interval in milliseconds, NaN where there is no P wave to measure from.
        qrs_ms: QRS duration in milliseconds (of the conducted beats).
        qt_ms: QT interval in milliseconds.
    """

    diagnosis: str
    r_peaks_s: np.ndarray
    rate_bpm: float
    pr_ms: float
    qrs_ms: float
    qt_ms: float


@dataclass(frozen=True, eq=False)
class EcgRecord:
    """One 12-lead recording in canonical lead order (`leads.LEADS`), in millivolts.

    Attributes:
        record_id: name of the record within its source.
        signal_mv: float32 `[12, time]`; NaN marks samples that were not recorded.
        fs_hz: sampling rate in hertz.
        patient_id: pseudonymous patient, or None when the source has none.
        labels: task name -> labels, for instance `{"superclass": ("MI", "STTC")}`.
        report: the report text, empty when there is none.
        split: "train", "val" or "test", or None before a split is chosen.
        fold: stratified fold of the source (PTB-XL: 1 to 10), or None.
        provenance: where the record came from and what was repaired on the way (`repairs`: list of sentences).
        truth: what a synthetic record knows about itself, else None.
    """

    record_id: str
    signal_mv: np.ndarray = field(repr=False)
    fs_hz: float
    patient_id: str | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    report: str = field(default="", repr=False)
    split: str | None = None
    fold: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict, repr=False)
    truth: GroundTruth | None = field(default=None, repr=False)

    @property
    def leads(self) -> tuple[str, ...]:
        """Lead names in the order of `signal_mv`'s rows: always `leads.LEADS`."""
        from ecgscan_lab.leads import LEADS

        return LEADS

    @property
    def duration_s(self) -> float:
        """Length of the recording in seconds."""
        return self.signal_mv.shape[1] / self.fs_hz


@dataclass(frozen=True)
class SkippedRecord:
    """A record that could not be read, and the message of the typed error that said why."""

    record_id: str
    error: str
    message: str


@dataclass(frozen=True, eq=False)
class Cohort:
    """Records with patient-disjoint splits and named label sets: what a run is trained and judged on.

    Attributes:
        name: "synthetic", "ptbxl" or the name of a user's folder.
        records: the readable records, all at one rate and length.
        tasks: task name -> class names, in the column order of `targets`.
        skipped: records left out, each with its reason.
        repairs: sentence of a documented repair -> number of records it was applied to.
        data_sha256: hash of the signals, labels, texts and splits, so that two runs can be told apart.
        descriptions: class name -> the plain words for it, used in reports and zero-shot prompts.
    """

    name: str
    records: tuple[EcgRecord, ...] = field(repr=False)
    tasks: Mapping[str, tuple[str, ...]]
    skipped: tuple[SkippedRecord, ...] = field(default=(), repr=False)
    repairs: Mapping[str, int] = field(default_factory=dict)
    data_sha256: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def fs_hz(self) -> float:
        """Sampling rate shared by all records, in hertz."""
        return self.records[0].fs_hz

    @cached_property
    def signals_mv(self) -> np.ndarray:
        """float32 `[record, 12, time]` in millivolts."""
        return np.stack([record.signal_mv for record in self.records])

    @cached_property
    def patients(self) -> np.ndarray:
        """Patient of each record `[record]`; a record without one counts as a patient of its own."""
        return np.array([r.patient_id if r.patient_id is not None else f"record {r.record_id}" for r in self.records])

    def indices(self, split: str) -> np.ndarray:
        """Positions of the records of one split, ascending `[n]`."""
        return np.array([i for i, record in enumerate(self.records) if record.split == split], dtype=np.int64)

    def targets(self, task: str) -> np.ndarray:
        """Multi-hot labels, int8 `[record, class]`; a record without this task's labels is a row of zeros.

        Raises:
            LabelError: the cohort has no such task.
        """
        if task not in self.tasks:
            raise LabelError(f"no task {task!r}", field="task", expected=f"one of {', '.join(self.tasks)}")
        column = {name: j for j, name in enumerate(self.tasks[task])}
        targets = np.zeros((len(self.records), len(column)), dtype=np.int8)
        for i, record in enumerate(self.records):
            for label in record.labels.get(task, ()):
                if label in column:
                    targets[i, column[label]] = 1
        return targets


class Bend(Protocol):
    """How a sheet departs from a plane: where each of its points appears on the flat plane, in millimetres."""

    def displace(self, points_mm: np.ndarray) -> np.ndarray:
        """`[n, 2]` on the sheet -> `[n, 2]` on the plane."""

    def restore(self, points_mm: np.ndarray) -> np.ndarray:
        """`[n, 2]` on the plane -> `[n, 2]` on the sheet: the inverse of `displace`."""


@dataclass(frozen=True, eq=False)
class PageMap:
    """Millimetres on the sheet to pixels of the picture and back: the sheet's bend, then a homography.

    Attributes:
        homography: float64 `[3, 3]`, (x_mm, y_mm, 1) -> pixels, where the centre of the top left pixel is (0.5, 0.5).
        bend: page curl, folds and creases that move ink; None for a flat sheet.

    Example:
        >>> page_map = PageMap(np.diag([2.0, 2.0, 1.0]))
        >>> page_map.to_px([[10.0, 5.0]]).tolist(), page_map.to_mm([[20.0, 10.0]]).tolist()
        ([[20.0, 10.0]], [[10.0, 5.0]])
    """

    homography: np.ndarray
    bend: Bend | None = None

    def to_px(self, points_mm: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """`[n, 2]` millimetres -> `[n, 2]` pixels."""
        points = np.asarray(points_mm, np.float64).reshape(-1, 2)
        return _project(self.homography, points if self.bend is None else self.bend.displace(points))

    def to_mm(self, points_px: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """`[n, 2]` pixels -> `[n, 2]` millimetres."""
        points = _project(np.linalg.inv(self.homography), np.asarray(points_px, np.float64).reshape(-1, 2))
        return points if self.bend is None else self.bend.restore(points)


def _project(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    moved = points @ homography[:, :2].T + homography[:, 2]
    return moved[:, :2] / moved[:, 2:]


@dataclass(frozen=True, eq=False)
class EcgImage:
    """A drawn ECG page with its ground truth, which follows the page through every geometric degradation.

    Traces are named by their lead ("I", "V4"), rhythm strips "II rhythm".

    Attributes:
        pixels: uint8 `[height, width, 3]`, RGB.
        page_map: millimetres on the sheet to pixels, and back.
        polylines: trace -> float `[n, 2]`, (x, y) of each shown sample in pixels.
        boxes: trace, "text ...", "pulse ..." -> (x0, y0, x1, y1) in pixels, cut at the picture's edge.
        windows: trace -> (first, last + 1) sample of the record that is shown.
        origins_mm: trace -> (x_mm, y_mm, t_s): where on the page 0 mV at time t_s of the record lies.
        gains_mm_per_mv: trace -> paper gain; negative where the lead is drawn upside down (Cabrera's -aVR).
        paper_speed_mm_per_s: paper speed.
        fs_hz: rate of the drawn signal.
        seed: seed of every random choice of the page.
        page: the `render.PageSpec` that made it.
        degradation: the `render.degrade.DegradeParams` that were applied, None for a clean page.
        clipped: trace -> number of recorded samples whose place lies beyond the sheet or outside the picture.
        painter: makes the ink coverage of one trace; `coverage` and `mask` call it.
    """

    pixels: np.ndarray = field(repr=False)
    page_map: PageMap = field(repr=False)
    polylines: Mapping[str, np.ndarray] = field(repr=False)
    boxes: Mapping[str, tuple[float, float, float, float]] = field(repr=False)
    windows: Mapping[str, tuple[int, int]] = field(repr=False)
    origins_mm: Mapping[str, tuple[float, float, float]] = field(repr=False)
    gains_mm_per_mv: Mapping[str, float] = field(repr=False)
    paper_speed_mm_per_s: float
    fs_hz: float
    seed: int
    page: Any = field(default=None, repr=False)
    degradation: Any = field(default=None, repr=False)
    clipped: Mapping[str, int] = field(default_factory=dict)
    painter: Callable[[str], np.ndarray] | None = field(default=None, repr=False)

    @property
    def mm_to_px(self) -> np.ndarray:
        """The homography `[3, 3]` of `page_map`: the whole map where the sheet is flat."""
        return self.page_map.homography

    @property
    def grid_spacing_px(self) -> tuple[float, float]:
        """Pixels per millimetre along the paper's time axis and its voltage axis, amid the traces."""
        middle = np.mean([origin[:2] for origin in self.origins_mm.values()] or [(0.0, 0.0)], axis=0)
        here, right, down = self.page_map.to_px(middle + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        return float(np.linalg.norm(right - here)), float(np.linalg.norm(down - here))

    def to_mv(self, lead: str, points_px: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """Read pixels of one trace as time and voltage, the inverse of `polylines`.

        **Equation**: t = t0 + (x_mm - x0) / v and u = (y0 - y_mm) / g, with (x_mm, y_mm) the point sent back through
        `page_map`, v the paper speed and g the gain.

        Args:
            lead: a key of `polylines`.
            points_px: `[n, 2]` pixel coordinates (x, y), the centre of the top left pixel being (0.5, 0.5).

        Returns:
            float64 `[n, 2]`: seconds from the start of the recording, millivolts.

        Raises:
            ArgumentError: the page does not show that lead.
        """
        x0_mm, y0_mm, t0_s = self._known(self.origins_mm, lead)
        x_mm, y_mm = self.page_map.to_mm(points_px).T
        seconds = t0_s + (x_mm - x0_mm) / self.paper_speed_mm_per_s
        return np.column_stack([seconds, (y0_mm - y_mm) / self.gains_mm_per_mv[lead]])

    def to_px(self, lead: str, seconds_mv: np.ndarray | Sequence[Sequence[float]]) -> np.ndarray:
        """Where on the picture a lead would put (seconds, millivolts) `[n, 2]`: pixels `[n, 2]`, inverse of `to_mv`."""
        x0_mm, y0_mm, t0_s = self._known(self.origins_mm, lead)
        seconds, mv = np.asarray(seconds_mv, np.float64).reshape(-1, 2).T
        x_mm = x0_mm + (seconds - t0_s) * self.paper_speed_mm_per_s
        return self.page_map.to_px(np.column_stack([x_mm, y0_mm - mv * self.gains_mm_per_mv[lead]]))

    def coverage(self, lead: str) -> np.ndarray:
        """Share of each pixel that one trace's ink covers, uint8 `[height, width]`: 0 none, 255 all.

        It is drawn by the same kernel and bent by the same map as the picture, so it follows the ink exactly.

        Raises:
            ArgumentError: the page does not show that lead, or the picture was not drawn by this package.
        """
        self._known(self.origins_mm, lead)
        if self.painter is None:
            raise ArgumentError("this picture has no masks", field="lead", expected="a page drawn by draw_page")
        return self.painter(lead)

    def mask(self, lead: str, threshold: float = 0.25) -> np.ndarray:
        """Pixels that one trace inks by at least `threshold` of their area, bool `[height, width]`; see `coverage`."""
        return self.coverage(lead) >= max(1, round(255 * threshold))

    def _known(self, table: Mapping[str, Any], lead: str) -> Any:
        if lead not in table:
            known = ", ".join(table)
            raise ArgumentError(f"the page does not show {lead!r}", field="lead", expected=f"one of {known}")
        return table[lead]


@dataclass(frozen=True, eq=False)
class TripleBatch:
    """A batch of (image, signal, report) triples.

    Attributes:
        images: uint8 `[batch, 3, height, width]`.
        signals_mv: float32 `[batch, 12, time]`, the reconstruction target.
        signal_features: float32 `[batch, d_sig]` of the frozen signal teacher.
        text_features: float32 `[batch, d_txt]` of the frozen text tower.
        index: int64 `[batch]`, positions in the cohort.
    """

    images: torch.Tensor
    signals_mv: torch.Tensor
    signal_features: torch.Tensor
    text_features: torch.Tensor
    index: torch.Tensor

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
    """

    image: torch.Tensor
    text: torch.Tensor
    signal: torch.Tensor
    reconstruction_mv: torch.Tensor | None = None
    signal_mv: torch.Tensor | None = None
    logit_scale: torch.Tensor | float = 14.3
    gram_logit_scale: torch.Tensor | float = 14.3


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
