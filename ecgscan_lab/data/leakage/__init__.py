"""Leakage: patients, recordings and corpora that sit on both sides of a split."""

from __future__ import annotations

from ecgscan_lab.data.leakage.gate import leakage_gate
from ecgscan_lab.data.leakage.report import CopyPair, LeakageReport, Place

__all__ = ["CopyPair", "LeakageReport", "Place", "leakage_gate"]
