"""What was computed is read again; what changed, or is damaged, is computed anew."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.errors import ArgumentError, ExportError
from ecgscan_lab.evaluate import cache as cache_module
from ecgscan_lab.evaluate.cache import cached, weights_sha256
from ecgscan_lab.evaluate.features import embed_pages


def _value():
    return np.arange(6, dtype=np.float32).reshape(2, 3), [{"note": None}, {"note": "ä"}]


def _never():
    raise AssertionError("computed although it was kept")


def test_a_second_call_only_reads(tmp_path):
    counts = Counter()
    cached({"a": 1, "b": [2]}, tmp_path, _value, counts=counts)
    array, notes = cached({"b": [2], "a": 1}, tmp_path, _never, counts=counts)
    assert array.tobytes() == _value()[0].tobytes()
    assert array.shape == (2, 3)
    assert array.flags.writeable
    assert notes == _value()[1]
    assert counts == {"miss": 1, "hit": 1}


def test_any_other_part_is_another_result(tmp_path):
    counts = Counter()
    for parts in ({"a": 1}, {"a": 2}, {"a": "1"}, {"b": 1}, {}):
        cached(parts, tmp_path, _value, counts=counts)
    assert counts == {"miss": 5}


def test_other_code_is_another_result(tmp_path, monkeypatch):
    counts = Counter()
    cached({}, tmp_path, _value, counts=counts)
    monkeypatch.setattr(cache_module, "code_sha256", lambda: "edited")
    cached({}, tmp_path, _value, counts=counts)
    assert counts == {"miss": 2}


def test_damage_anywhere_is_noticed_and_mended(tmp_path):
    cached({}, tmp_path, _value)
    (path,) = [p for p in tmp_path.rglob("*") if p.is_file()]
    whole = path.read_bytes()
    damages = [b"", whole[:10], whole[:-1], whole + b"x"]
    damages += [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 7)]
    for damaged in damages:
        path.write_bytes(damaged)
        counts = Counter()
        array, _ = cached({}, tmp_path, _value, counts=counts)
        assert counts == {"damaged": 1, "miss": 1}
        assert np.array_equal(array, _value()[0])
        assert path.read_bytes() == whole


def test_a_result_under_another_key_does_not_pass(tmp_path):
    cached({"a": 1}, tmp_path, _value)
    (first,) = tmp_path.rglob("*.features")
    cached({"a": 2}, tmp_path, _value)
    (second,) = [p for p in tmp_path.rglob("*.features") if p != first]
    second.write_bytes(first.read_bytes())
    counts = Counter()
    cached({"a": 2}, tmp_path, _value, counts=counts)
    assert counts["damaged"] == 1


def test_refusals_are_typed(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError):
        cached({}, tmp_path / "file", _value)
    with pytest.raises(ArgumentError, match="parts"):
        cached({"a": object()}, tmp_path, _value)
    assert cached({"a": object()}, None, _value)[1] == _value()[1]  # nothing kept, nothing asked


def test_one_changed_weight_is_another_hash():
    tower = TinyImageTower(width=2, size=(48, 112)).eval()
    before = weights_sha256(tower)
    assert weights_sha256(tower) == before
    with torch.no_grad():
        next(tower.parameters()).view(-1)[0] += 1e-6
    assert weights_sha256(tower) != before


def test_pages_of_a_cohort_are_encoded_once(tmp_path):
    cohort, size = synthetic_cohort(5, seed=0), (48, 112)
    tower = TinyImageTower(width=2, size=size).eval()
    calls = []
    tower.register_forward_hook(lambda *_: calls.append(1))
    first = embed_pages(tower, cohort, size, cache=tmp_path)
    n_calls = len(calls)
    assert np.array_equal(embed_pages(tower, cohort, size, cache=tmp_path), first)
    assert len(calls) == n_calls
    embed_pages(tower, cohort, size, indices=np.array([1, 0]), cache=tmp_path)
    assert len(calls) > n_calls
    with torch.no_grad():
        tower.summary.bias += 1.0
    changed = embed_pages(tower, cohort, size, cache=tmp_path) - first
    assert np.allclose(changed[:, : tower.summary_dim], 1.0, atol=0.05)  # bfloat16 where there is
    assert not changed[:, tower.summary_dim :].any()
    with pytest.raises(ArgumentError, match="cache"):
        embed_pages(lambda images: images.float(), cohort, size, cache=tmp_path)
