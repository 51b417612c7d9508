"""Raw pixels as features."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ecgscan_lab.baselines.pixels import pixel_features
from ecgscan_lab.batch import draw_images
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.types import Cohort


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic_cohort(5, seed=0)


def test_a_feature_is_the_mean_darkness_of_a_cell(cohort):
    features = pixel_features(cohort, size=(48, 112), cell=(8, 16))
    assert features.shape == (5, 6 * 7)
    assert features.dtype == np.float32
    page = draw_images(cohort, np.array([3]), (48, 112))[0].numpy().astype(float)
    for row in range(6):
        for column in range(7):
            cell = page[:, 8 * row : 8 * row + 8, 16 * column : 16 * column + 16]
            assert features[3, 7 * row + column] == pytest.approx(1 - cell.max(axis=0).mean() / 255, abs=1e-5)


def test_the_default_is_a_modest_number_of_cells_between_white_and_black(cohort):
    features = pixel_features(cohort)
    assert features.shape == (5, 24 * 28)
    assert 0 <= features.min() < features.max() <= 1


def test_features_depend_on_the_record_alone(cohort):
    features = pixel_features(cohort, (48, 112))
    assert np.array_equal(features, pixel_features(cohort, (48, 112), batch_size=2))
    turned = dataclasses.replace(cohort, records=cohort.records[::-1])
    assert np.array_equal(features[::-1], pixel_features(turned, (48, 112)))
    assert len(np.unique(features, axis=0)) == 5
