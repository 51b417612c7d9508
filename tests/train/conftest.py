"""A tiny cohort, stand-ins for its frozen features, and a recipe of seconds."""

from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.batch import FrozenFeatures
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.train.recipes import Recipe
from ecgscan_lab.types import Cohort

TINY = {
    "size": (48, 112),
    "d_shared": 16,
    "tower_width": 4,
    "decoder_dim": 16,
    "decoder_layers": 1,
    "steps": 8,
    "batch_size": 8,
    "lr": 5e-3,
    "validations": 2,
    "precision": "fp32",
}


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    return synthetic_cohort(60, seed=0)


@pytest.fixture(scope="session")
def frozen(cohort) -> FrozenFeatures:
    """The diagnosis in place of a text, and a random projection of the signal."""
    return stand_ins(cohort)


@pytest.fixture(scope="session")
def short() -> Recipe:
    """Eight steps of eight, two validations, two queries in three unmasked."""
    return Recipe("short", **TINY)


def stand_ins(cohort: Cohort) -> FrozenFeatures:
    rng = np.random.default_rng(0)
    diagnosis = cohort.targets("diagnosis").astype(np.float32)
    text = diagnosis @ rng.normal(size=(diagnosis.shape[1], 8)).astype(np.float32)
    flat = cohort.signals_mv.reshape(len(cohort), -1)
    signal = np.tanh(flat @ rng.normal(size=(flat.shape[1], TINY["d_shared"])) / 20).astype(np.float32)
    return FrozenFeatures(signal, text, diagnosis.argmax(axis=1))
