"""Recordings: one record, what a synthetic one knows about itself, and a cohort of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ecgscan_lab.errors import LabelError

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

    @property
    def n_samples(self) -> int:
        """Samples a lead, shared by all records."""
        return self.records[0].signal_mv.shape[1]

    def read_signals_mv(self, indices: np.ndarray) -> np.ndarray:
        """float32 `[n, 12, time]` in millivolts of some records, as `TrainingData` promises."""
        return self.signals_mv[indices]

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
