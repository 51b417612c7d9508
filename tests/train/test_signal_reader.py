from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.signal_features import encode_signals
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train.signal_reader import fit_signal_reader


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_reader_comes_closer_to_the_pages_it_follows():
    cohort = synthetic_cohort(60, seed=1)
    pages = np.tanh(cohort.signals_mv[:, :, ::50].reshape(60, -1)[:, :32] + 0.1).astype(np.float32)
    cosines = []
    for steps in (1, 40):
        found = encode_signals(fit_signal_reader(cohort, pages, steps=steps), cohort.signals_mv)
        cosines.append((unit(found) * unit(pages)).sum(1)[cohort.indices("train")].mean())
    assert cosines[1] > cosines[0] + 0.1


def test_embeddings_of_other_records_are_refused():
    with pytest.raises(ArgumentError, match="embeddings"):
        fit_signal_reader(synthetic_cohort(10), np.zeros((9, 4), np.float32))
