from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.duration import duration_table, shorten


def test_the_start_keeps_the_first_seconds_of_all_leads():
    signals = np.random.default_rng(0).normal(size=(2, 12, 100)).astype(np.float32)
    kept = shorten(signals, 10.0, 2.5)
    assert np.array_equal(kept[..., :25], signals[..., :25])
    assert not kept[..., 25:].any()


def test_the_page_keeps_of_each_lead_the_column_it_is_printed_in():
    kept = shorten(np.ones((1, 12, 1000)), 100.0, 2.5, "page")[0]
    assert (kept.sum(axis=1) == 250).all()
    first = kept.argmax(axis=1)
    assert first.tolist() == [0, 0, 0, 250, 250, 250, 500, 500, 500, 750, 750, 750]


def test_nothing_is_changed_in_place_and_the_whole_is_the_whole():
    signals = np.ones((1, 12, 100), np.float32)
    assert np.array_equal(shorten(signals, 10.0, 10.0), signals)
    assert shorten(signals, 10.0, 1.0) is not signals
    assert signals.all()


@pytest.mark.parametrize(("given", "field"), [((0.0, "start"), "duration_s"), ((11.0, "start"), "duration_s"),
                                              ((2.5, "end"), "window")])  # fmt: skip
def test_windows_that_keep_nothing_are_refused(given, field):
    with pytest.raises(ArgumentError) as caught:
        shorten(np.ones((1, 12, 100)), 10.0, *given)
    assert caught.value.field == field


def test_an_encoder_of_the_last_second_learns_nothing_from_a_short_start():
    cohort = synthetic_cohort(150, seed=0)

    def last_second(signals_mv):
        return np.abs(signals_mv[..., -100:]).reshape(len(signals_mv), 12, 10, 10).mean(-1).reshape(len(signals_mv), -1)

    points = duration_table(last_second, cohort, "superclass", durations_s=[2.5, 10.0], n_bootstrap=20)
    assert [(p.duration_s, p.window) for p in points] == [
        (10.0, "whole"), (2.5, "start"), (10.0, "start"), (2.5, "page")
    ]  # fmt: skip
    whole, short, same, page = points
    assert short.macro_auroc == pytest.approx(50.0)
    assert same.macro_auroc == whole.macro_auroc
    assert short.lost == pytest.approx(whole.macro_auroc - 50.0)
    assert page.macro_auroc > 50.0  # the last column is there
    assert short.as_dict()["window"] == "start"
