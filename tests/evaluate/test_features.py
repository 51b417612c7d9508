"""A frozen model over the plain pages of a cohort."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import draw_images
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.train import precision
from ecgscan_lab.types import Cohort

SIZE = (48, 112)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic_cohort(7, seed=0)


@pytest.fixture(scope="module")
def tower() -> TinyImageTower:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TinyImageTower(width=2, size=SIZE).eval()


def test_features_are_the_towers_own(cohort, tower):
    features = embed_pages(tower, cohort, SIZE, batch_size=3)
    assert features.shape == (7, tower.embed_dim)
    assert features.dtype == np.float32
    pages = draw_images(cohort, np.arange(7), SIZE)
    with torch.no_grad(), precision.autocast(torch.device("cpu")):
        assert np.allclose(features, tower(pages).numpy(), atol=1e-5)
    assert np.array_equal(features, embed_pages(tower, cohort, SIZE, batch_size=3))


def test_a_choice_of_records_keeps_its_order(cohort, tower):
    chosen = embed_pages(tower, cohort, SIZE, indices=np.array([5, 0, 5]))
    assert np.allclose(chosen, embed_pages(tower, cohort, SIZE)[[5, 0, 5]], atol=1e-5)


def test_anything_that_reads_pages_will_do(cohort):
    def encode(images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        assert not torch.is_grad_enabled()
        return images[:, :, :2, :5].to(torch.float64)

    features = embed_pages(encode, cohort, SIZE, batch_size=4)
    assert features.shape == (7, 3, 2, 5)
    assert features.dtype == np.float32
    assert np.array_equal(features, draw_images(cohort, np.arange(7), SIZE)[:, :, :2, :5].numpy())
