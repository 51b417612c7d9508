"""Cached text features: each text is encoded once a tower, and nothing on disk can spoil a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import ecgscan_lab
from ecgscan_lab.encoders.text import HashedTextTower, TransformerTextTower, cached_text_features
from ecgscan_lab.encoders.text import cache as module
from ecgscan_lab.errors import ArgumentError, ExportError

REPORTS = ["sinus rhythm.", "old infarct", "sinus rhythm.", "", "normal ecg", "old infarct", "Déjà vu 心電図"]


class Counting(HashedTextTower):
    """Says what it was asked to encode."""

    def __init__(self, identity: str = "a") -> None:
        self.identity = identity
        self.asked: list[list[str]] = []

    def encode_text(self, texts):
        self.asked.append(list(texts))
        return super().encode_text(texts)


def files(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_features_are_those_of_the_tower_and_ids_say_whose(tmp_path):
    for cache in (None, tmp_path, str(tmp_path)):
        features, ids = cached_text_features(HashedTextTower(), REPORTS, cache)
        assert features.dtype == np.float32
        assert ids.dtype == np.int64
        assert ids.tolist() == [0, 1, 0, 2, 3, 1, 4]
        assert features.shape == (5, 384)
        assert np.array_equal(features[ids], HashedTextTower().encode_text(REPORTS))


def test_a_text_is_encoded_once(tmp_path):
    tower = Counting()
    cached_text_features(tower, REPORTS, tmp_path)
    assert tower.asked == [["sinus rhythm.", "old infarct", "", "normal ecg", "Déjà vu 心電図"]]
    features, _ = cached_text_features(tower, REPORTS[::-1], tmp_path)
    assert len(tower.asked) == 1
    assert np.array_equal(features[0], HashedTextTower().encode_text(REPORTS[-1:])[0])
    features, ids = cached_text_features(tower, [*REPORTS, "new", "new"], tmp_path)
    assert tower.asked[1:] == [["new"]]
    assert np.array_equal(features[ids[-1]], HashedTextTower().encode_text(["new"])[0])
    again = Counting()
    cached_text_features(again, ["new", *REPORTS], tmp_path)
    assert again.asked == []


def test_towers_with_other_weights_share_nothing(tmp_path, bert, change):
    first = TransformerTextTower(bert)
    before, _ = cached_text_features(first, REPORTS, tmp_path / "cache")
    name = "encoder.layer.1.output.dense.bias"
    change(lambda tensors: {**tensors, name: tensors[name] + torch.arange(16.0)})
    after, _ = cached_text_features(TransformerTextTower(bert), REPORTS, tmp_path / "cache")
    assert np.abs(before - after).max() > 0.01
    assert len(list((tmp_path / "cache").iterdir())) == 2
    cls, _ = cached_text_features(TransformerTextTower(bert, pooling="cls"), REPORTS, tmp_path / "cache")
    assert np.abs(cls - after).max() > 0.01
    one, other = Counting("a"), Counting("b")
    cached_text_features(one, REPORTS, tmp_path / "counting")
    cached_text_features(other, REPORTS, tmp_path / "counting")
    assert len(other.asked) == 1


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "foreign"])
def test_a_damaged_file_is_reported_and_made_again(tmp_path, damage):
    expected, _ = cached_text_features(Counting(), REPORTS, tmp_path)
    (file,) = files(tmp_path)
    content = bytearray(file.read_bytes())
    if damage == "flipped":
        content[-20] ^= 1
    file.write_bytes(
        {"empty": b"", "half": content[: len(content) // 2], "foreign": b"text", "flipped": content}[damage]
    )
    tower = Counting()
    with pytest.warns(RuntimeWarning, match="damaged"):
        features, _ = cached_text_features(tower, REPORTS, tmp_path)
    assert np.array_equal(features, expected)
    assert len(tower.asked) == 1
    cached_text_features(tower, REPORTS, tmp_path)
    assert len(tower.asked) == 1, "the new file is whole"
    assert files(tmp_path) == [file]


def test_a_file_of_another_width_is_damaged(tmp_path):
    cached_text_features(Counting(), REPORTS, tmp_path)

    class Narrow(Counting):
        embed_dim = 8

    with pytest.warns(RuntimeWarning, match="damaged"):
        features, _ = cached_text_features(Narrow(), REPORTS, tmp_path)
    assert features.shape == (5, 8)


def test_no_text_is_on_disk(tmp_path):
    secret = "patient johanna example with atrial fibrillation"
    cached_text_features(Counting(), [secret, "unremarkable"], tmp_path)
    for file in files(tmp_path):
        content = file.read_bytes() + str(file).encode()
        for word in (*secret.split(), "unremarkable"):
            if len(word) > 4:
                assert word.encode() not in content


def test_a_run_that_is_cut_off_loses_the_last_file_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_PER_FILE", 2)
    texts = [f"report {i}" for i in range(7)]

    class Failing(Counting):
        def encode_text(self, batch):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().encode_text(batch)

    with pytest.raises(KeyboardInterrupt):
        cached_text_features(Failing(), texts, tmp_path)
    tower = Counting()
    features, _ = cached_text_features(tower, texts, tmp_path)
    assert [text for batch in tower.asked for text in batch] == texts[4:]
    assert np.array_equal(features, HashedTextTower().encode_text(texts))
    assert len(files(tmp_path)) == 4


def test_processes_may_share_a_cache(tmp_path):
    program = """
import sys, hashlib
from ecgscan_lab.encoders.text import HashedTextTower, cached_text_features
from ecgscan_lab.encoders.text import cache
cache._PER_FILE = 3
texts = [f"report {i}" for i in range(int(sys.argv[2]), 40)]
features, ids = cached_text_features(HashedTextTower(), texts, sys.argv[1])
assert (features[ids] == HashedTextTower().encode_text(texts)).all()
"""
    root = Path(ecgscan_lab.__file__).parents[1]
    runs = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(start)], cwd=root, env={**os.environ})
        for start in (0, 0, 5)
    ]
    assert [run.wait(timeout=120) for run in runs] == [0, 0, 0]
    tower = Counting(HashedTextTower.identity)
    cached_text_features(tower, [f"report {i}" for i in range(40)], tmp_path)
    assert tower.asked == []


def test_a_cache_that_cannot_be_written_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError) as caught:
        cached_text_features(Counting(), REPORTS, tmp_path / "file")
    assert caught.value.field == "cache"


def test_a_tower_without_an_identity_is_not_cached(tmp_path):
    class Anonymous:
        name, embed_dim = "mine", 384
        encode_text = HashedTextTower().encode_text

    with pytest.raises(ArgumentError) as caught:
        cached_text_features(Anonymous(), REPORTS, tmp_path)
    assert caught.value.field == "tower"
    assert cached_text_features(Anonymous(), REPORTS)[0].shape == (5, 384)


def test_what_is_not_a_text_is_refused_by_its_place(tmp_path):
    with pytest.raises(ArgumentError, match="text 1 is a float") as caught:
        cached_text_features(Counting(), ["fine", float("nan")], tmp_path)
    assert caught.value.field == "texts"


def test_no_texts_are_no_features(tmp_path):
    features, ids = cached_text_features(Counting(), [], tmp_path)
    assert features.shape == (0, 384)
    assert ids.shape == (0,)
    assert ids.dtype == np.int64
