"""Recordings that the lead doctor is asked about."""

from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.types import EcgRecord


@pytest.fixture(scope="session")
def records() -> list[EcgRecord]:
    """Twelve synthetic recordings at 100 Hz, with noise."""
    return synthetic_records(12, seed=11, fs_hz=100.0)


@pytest.fixture
def record(records: list[EcgRecord]) -> EcgRecord:
    return records[0]


@pytest.fixture
def signal(record: EcgRecord) -> np.ndarray:
    """float64 `[12, 1000]` in mV."""
    return record.signal_mv.astype(np.float64)
