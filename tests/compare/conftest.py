"""A small world for comparisons: few records, small towers, features made once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ecgscan_lab.compare import Rung, rung_for
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.types import Cohort


@pytest.fixture(scope="session")
def cohort() -> Cohort:
    return synthetic_cohort(90, seed=0)


@pytest.fixture(scope="session")
def small() -> Rung:
    """Rung "heads", as small as it works."""
    rung = rung_for("heads", "smoke")
    recipe = dataclasses.replace(rung.recipe, teacher_steps=2, d_shared=16, size=(48, 112), tower_width=4)
    return dataclasses.replace(rung, steps=4, tower_steps=2, batch_size=16, d_shared=16, n_bootstrap=20, recipe=recipe)


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("features")
