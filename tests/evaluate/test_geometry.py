"""Alignment, uniformity, modality gap and effective rank: closed forms, invariances, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate import alignment, effective_rank, modality_gap, uniformity

ONE = {"uniformity": uniformity, "effective_rank": effective_rank}
TWO = {"alignment": alignment, "modality_gap": modality_gap}


def cloud(n: int = 60, dim: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim))


def test_alignment_is_two_minus_twice_the_cosine():
    a, b = cloud(seed=0), cloud(seed=1)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert alignment(a, b) == pytest.approx((2 - 2 * cosine).mean())
    assert alignment(a, 3 * a) == pytest.approx(0, abs=1e-12)
    assert alignment(a, -a) == pytest.approx(4)


def test_uniformity_equals_a_loop_and_knows_its_ends():
    z = cloud(12)
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    pairs = [np.exp(-2 * ((unit[i] - unit[j]) ** 2).sum()) for i in range(12) for j in range(i)]
    assert uniformity(z) == pytest.approx(np.log(np.mean(pairs)))
    assert uniformity(np.ones((5, 3))) == pytest.approx(0, abs=1e-12)
    assert uniformity(cloud(400, 512)) == pytest.approx(-4, abs=0.1)
    assert uniformity(cloud(3000)) == pytest.approx(uniformity(cloud(2048)), abs=0.1)


def test_modality_gap_is_the_distance_of_the_centres():
    a, b = cloud(seed=0) + 3, cloud(seed=1) - 3
    centres = [(x / np.linalg.norm(x, axis=1, keepdims=True)).mean(0) for x in (a, b)]
    assert modality_gap(a, b) == pytest.approx(np.linalg.norm(centres[0] - centres[1]))
    assert modality_gap(a, b[::-1]) == pytest.approx(modality_gap(a, b))
    assert modality_gap(a, a[::-1]) == pytest.approx(0, abs=1e-12)


def test_effective_rank_counts_directions():
    rng = np.random.default_rng(0)
    assert effective_rank(np.concatenate([np.eye(6), -np.eye(6)])) == pytest.approx(6)
    assert effective_rank(np.outer(rng.normal(size=50), np.ones(4)) + 1e-12) == pytest.approx(1)
    assert effective_rank(np.ones((9, 4))) == 0.0
    flat = rng.normal(size=(500, 8)) * np.array([1, 1, 1, 0, 0, 0, 0, 0])
    assert effective_rank(flat) == pytest.approx(3, abs=0.05)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_rotations_and_lengths_change_nothing(seed, scale):
    a, b = cloud(20, 4, seed), cloud(20, 4, seed + 1)
    q = np.linalg.qr(cloud(4, 4, seed + 2))[0]
    lengths = np.linspace(0.5, 3, 20)[:, None] * scale
    for one in ONE.values():
        assert one((a @ q) * lengths) == pytest.approx(one(a), abs=1e-9)
    for two in TWO.values():
        assert two((a @ q) * lengths, b @ q) == pytest.approx(two(a, b), abs=1e-9)
        assert two(a, b) == pytest.approx(two(b, a))


def test_ranges():
    for seed in range(20):
        a, b = cloud(15, 4, seed), cloud(15, 4, seed + 50)
        assert 0 <= alignment(a, b) <= 4
        assert -8 <= uniformity(a) <= 0
        assert 0 <= modality_gap(a, b) <= 2
        assert 1 <= effective_rank(a) <= 4


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_bad_rows_are_named(name):
    good = cloud(4)
    for bad in (
        np.zeros((4, 5)),
        good * np.nan,
        good[0],
        np.empty((0, 5)),
        np.where(np.arange(4)[:, None] == 2, 0, good),
    ):
        with pytest.raises(ArgumentError) as refused:
            ONE[name](bad) if name in ONE else TWO[name](good, bad)
        assert refused.value.field in ("rows", "b")
    if name in TWO:
        with pytest.raises(ArgumentError, match="b is"):
            TWO[name](good, good[:, :2])


def test_uniformity_refuses_a_lone_row_and_a_bad_sharpness():
    for call, field in ((lambda: uniformity(np.ones((1, 3))), "rows"), (lambda: uniformity(cloud(), t=0), "t")):
        with pytest.raises(ArgumentError) as refused:
            call()
        assert refused.value.field == field
