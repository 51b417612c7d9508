from __future__ import annotations

import pytest

from ecgscan_lab.cli import absolute_data
from ecgscan_lab.data import load_cohort
from ecgscan_lab.encoders.text import text_tower
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.errors import ArgumentError, counted, nearest_name


def test_only_one_is_singular():
    assert [counted(n, "draw") for n in (0, 1, 2, 1000)] == ["0 draws", "1 draw", "2 draws", "1,000 draws"]


@pytest.mark.parametrize("name", ["", "zzz", None, 3])
def test_a_name_that_resembles_nothing_gets_no_suggestion(name):
    assert nearest_name(name, ["tiny", "paper"]) is None


@pytest.mark.parametrize(
    ("call", "near"),
    [
        (lambda: load_cohort("synthetc"), "synthetic"),
        (lambda: load_cohort("ptbx:folder"), "ptbxl"),
        (lambda: absolute_data("ptb-xl:folder"), "ptbxl"),
        (lambda: image_tower("clip-vit-l-14-33"), "clip-vit-l-14-336"),
        (lambda: text_tower("mini-lm"), "minilm"),
    ],
)
def test_a_misspelt_name_gets_the_nearest_one(call, near):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert caught.value.fix == f"did you mean {near!r}?"


def test_a_folder_that_is_missing_is_still_asked_for():
    with pytest.raises(ArgumentError) as caught:
        load_cohort("ptbxl")
    assert "after a colon" in str(caught.value.fix)
