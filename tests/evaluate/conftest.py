"""What the tests of embedding and zero-shot share: a small model and its checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ecgscan_lab.batch import FrozenFeatures
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.text import HashedTextTower
from ecgscan_lab.train.loop import pretrain
from ecgscan_lab.train.recipes import Recipe


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of two real steps on synthetic records, text by hashed words."""
    cohort = synthetic_cohort(24, seed=0)
    texts = HashedTextTower().encode_text([f"text {i % 5}" for i in range(24)])
    signal = np.random.default_rng(0).normal(size=(24, 16)).astype(np.float32)
    recipe = Recipe(
        "test", size=(96, 224), text_tower="hashed", d_shared=16, tower_width=4, decoder_dim=8, decoder_layers=1,
        decoder_heads=1, steps=2, batch_size=8, validations=1, n_bootstrap=20,
    )  # fmt: skip
    frozen = FrozenFeatures(signal=signal, text=texts, text_ids=np.arange(24) % 5)
    return pretrain(cohort, frozen, recipe, tmp_path_factory.mktemp("tiny")).checkpoint
