"""One way to encode many recordings, for the tiny tower and for published teachers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgscan_lab.encoders.signal import TinySignalTower
from ecgscan_lab.encoders.signal_features import encode_signals
from ecgscan_lab.encoders.teachers import signal_teacher
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train import teacher as stage_one

WAVE = {"layers": 1, "dim": 32, "heads": 4, "feedforward": 32, "conv_dim": 16, "pos_kernel": 8, "pos_groups": 4}


@pytest.fixture(scope="module")
def d_beta():
    return signal_teacher("d-beta", sizes=WAVE)


def waves(fs_hz: float, duration_s: float = 10.0) -> np.ndarray:
    """Three recordings of slow sines, which any rate above 40 Hz holds."""
    time = np.arange(round(fs_hz * duration_s)) / fs_hz
    hertz = 1.0 + np.arange(36).reshape(3, 12, 1) / 4
    return np.sin(2 * np.pi * hertz * time).astype(np.float32)


def test_the_first_stage_re_exports_it():
    assert stage_one.encode_signals is encode_signals


def test_encoding_in_batches_is_encoding_and_tells_how_far_it_is(d_beta):
    told: list[tuple[int, int]] = []
    features = encode_signals(d_beta, waves(500.0), 500.0, 2, lambda done, total: told.append((done, total)))
    assert features.shape == (3, 32)
    assert features.dtype == np.float32
    assert np.allclose(features, d_beta(torch.from_numpy(waves(500.0))).numpy(), atol=1e-5)
    assert told == [(2, 3), (3, 3)]


def test_signals_at_another_rate_are_brought_to_the_teachers(d_beta):
    at_500 = encode_signals(d_beta, waves(500.0))
    assert np.abs(encode_signals(d_beta, waves(250.0), 250.0) - at_500).max() < 0.1 * at_500.std()
    assert np.abs(encode_signals(d_beta, waves(100.0), 100.0) - at_500).max() < 0.5 * at_500.std()


def test_longer_recordings_are_cut_and_shorter_ones_filled_up(d_beta):
    long = waves(500.0, 12.0)
    assert np.allclose(encode_signals(d_beta, long), encode_signals(d_beta, long[..., :5000]), atol=1e-6)
    short = waves(500.0, 8.0)
    held = np.concatenate([short, np.repeat(short[..., -1:], 1000, axis=-1)], axis=-1)
    assert np.allclose(encode_signals(d_beta, short), encode_signals(d_beta, held), atol=1e-6)


def test_the_tiny_tower_takes_any_length_and_its_own_rate():
    tower = TinySignalTower(embed_dim=8, width=16)
    signals_mv = waves(100.0, 4.0)
    features = encode_signals(tower, signals_mv, batch_size=2)
    with torch.no_grad():
        assert np.allclose(features, tower(torch.from_numpy(signals_mv)).numpy(), atol=1e-5)
    assert np.abs(encode_signals(tower, waves(500.0, 4.0), 500.0) - features).max() < 0.2
    assert not tower.training


def test_a_read_only_memory_map_is_encoded_and_left_alone(d_beta, tmp_path):
    np.save(tmp_path / "signals.npy", waves(500.0))
    mapped = np.load(tmp_path / "signals.npy", mmap_mode="r")
    assert np.array_equal(encode_signals(d_beta, mapped), encode_signals(d_beta, waves(500.0)))


def test_what_is_no_batch_of_recordings_is_refused(d_beta):
    for signals_mv, batch_size, field in ((waves(500.0)[0], 2, "signals_mv"), (waves(500.0), 0, "batch_size")):
        with pytest.raises(ArgumentError) as caught:
            encode_signals(d_beta, signals_mv, batch_size=batch_size)
        assert caught.value.field == field
    assert encode_signals(d_beta, waves(500.0)[:0]).shape == (0, 32)
