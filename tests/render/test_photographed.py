from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab import LEADS, draw_page, fit_page, synthetic_records
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.reading.photographed import read_photograph


@pytest.fixture(scope="module")
def photographed():
    record = synthetic_records(1, seed=3, fs_hz=100.0)[0]
    pixels = draw_page(record, dpi=150, degrade="photo", seed=0).pixels
    return record, pixels, fit_page(pixels)


def test_leads_follow_the_truth_where_they_are_shown_and_are_nan_elsewhere(photographed):
    record, pixels, fit = photographed
    read = read_photograph(pixels, fit)
    for k, lead in enumerate(LEADS):
        shown = np.isfinite(read.leads_mv[k])
        assert shown.sum() == (1000 if lead == "II" else 250)
        truth = record.signal_mv[k, shown]
        assert np.corrcoef(read.leads_mv[k, shown], truth)[0, 1] > 0.7
        assert np.abs(read.leads_mv[k, shown]).max() < np.abs(truth).max() + 0.3  # no spike where a stretch ends


def test_a_rate_that_is_none_is_refused(photographed):
    _, pixels, fit = photographed
    with pytest.raises(ArgumentError, match="fs_hz"):
        read_photograph(pixels, fit, fs_hz=0.0)
