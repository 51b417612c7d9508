"""What a replication asks besides probes and prompts."""

from __future__ import annotations

import numpy as np

from ecgscan_lab.batch import PagePlan
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.replicate import judging


def test_pages_that_are_digitised_in_processes_are_those_that_one_process_reads(monkeypatch):
    cohort = synthetic_cohort(40, seed=2)
    monkeypatch.setattr(
        judging, "encode_signals", lambda tower, signals_mv, fs_hz: np.nan_to_num(signals_mv).mean(axis=2)
    )
    monkeypatch.setattr(judging, "usable_cores", lambda: 2)
    alone = judging.digitised_features(None, cohort, PagePlan(), 4)
    monkeypatch.setattr(judging, "_PAGES_A_PROCESS", 2)
    together = judging.digitised_features(None, cohort, PagePlan(), 4)
    np.testing.assert_array_equal(together[0], alone[0])
    np.testing.assert_allclose(together[1], alone[1], atol=1e-6)
    assert np.abs(alone[1][-4:]).max(axis=1).min() > 0
