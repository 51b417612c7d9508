"""Where the time of a step goes, and when a device starves."""

from __future__ import annotations

import math

import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train.step_times import step_times, timed_rows


def row(step, **times):
    return {"step": step, "split": "train", "total": 1.0, **times}


def test_parts_are_means_without_the_first_row_and_make_up_the_step():
    rows = [row(0, wait_s=9.0, forward_s=9.0, step_s=20.0)]
    rows += [row(k, wait_s=0.01 * k, forward_s=0.02, backward_s=0.04, step_s=0.1) for k in (1, 2, 3)]
    rows += [{"step": 3, "split": "val", "total": 1.0, "wait_s": 50.0}, {"step": 4, "split": "train", "total": 1.0}]
    times = step_times(rows)
    assert times.n_steps == 3
    assert times.parts == pytest.approx({"waiting for data": 0.02, "forward": 0.02, "backward": 0.04, "other": 0.02})
    assert times.step_s == pytest.approx(0.1)
    assert times.waiting_share == pytest.approx(0.2)
    assert math.isnan(times.draw_s)
    assert step_times(rows, skip=0).parts["waiting for data"] > 2


@pytest.mark.parametrize(("wait_s", "starved"), [(0.0, False), (0.02, False), (0.03, True), (0.4, True)])
def test_a_device_that_waits_more_than_a_fifth_is_starved(wait_s, starved):
    times = step_times([row(0, wait_s=wait_s, forward_s=0.03, backward_s=0.07, draw_s=0.45)], skip=5)
    assert times.starved is starved
    assert f"{times.waiting_share:.0%}" in times.advice
    assert ("is starved" in times.advice) is starved
    assert ("take 5 or more" in times.advice) is starved, "450 ms of drawing for 100 ms of work"


def test_without_times_there_is_nothing_to_say():
    with pytest.raises(ArgumentError) as caught:
        step_times([row(0), {"step": 1, "split": "val", "wait_s": 1.0}])
    assert caught.value.field == "history"
    with pytest.raises(ArgumentError):
        step_times([row(0, wait_s=1.0)], skip=-1)
    assert timed_rows([row(0, wait_s=math.nan), row(1, draw_s=1.0)]) == []


def test_one_sentence_in_print():
    times = step_times([row(0, wait_s=0.001, forward_s=0.099)])
    assert str(times) == (
        "waiting for data 1.0 ms, forward 99.0 ms. 1% of a step of 100 ms is spent waiting for data: drawing keeps up."
    )
