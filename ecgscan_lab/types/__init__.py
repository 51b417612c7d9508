"""Frozen records that cross layers, and the protocols that towers follow.

Axes: signals `[lead, time]` in millivolts, batches `[batch, lead, time]`, images `[batch, channel, height, width]`.
Nothing here imports torch, so that records and pages work without it.
"""

from ecgscan_lab.types.pages import Bend, EcgImage, PageMap
from ecgscan_lab.types.records import SPLITS, Cohort, EcgRecord, GroundTruth, SkippedRecord
from ecgscan_lab.types.training import (
    Features,
    History,
    ImageTower,
    LossOutput,
    SignalTower,
    TextTower,
    TrainingData,
    TripleBatch,
)

__all__ = [
    "SPLITS",
    "Bend",
    "Cohort",
    "EcgImage",
    "EcgRecord",
    "Features",
    "GroundTruth",
    "History",
    "ImageTower",
    "LossOutput",
    "PageMap",
    "SignalTower",
    "SkippedRecord",
    "TextTower",
    "TrainingData",
    "TripleBatch",
]
