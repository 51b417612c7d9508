"""The result of a comparison: means, verdicts, another baseline, JSON and back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ecgscan_lab.compare import Comparison, Run
from ecgscan_lab.compare.result import NO_DIFFERENCE, paired_differences
from ecgscan_lab.errors import ArgumentError


def run(loss, seed, draws=None, **metrics):
    return Run(loss, seed, "ok", metrics, 1.0, 0.5, draws or {})


def compared(runs, losses=("base", "new"), seeds=(0, 1, 2)):
    return Comparison("toy", "toy", "", losses, seeds, tuple(runs), paired_differences(runs, losses))


RUNS = [
    *(run("base", s, probe_auroc=80.0 + s, text_median_rank=10.0, uniformity=-1.0) for s in range(3)),
    *(run("new", s, probe_auroc=82.0 + s, text_median_rank=12.0 + s / 9, uniformity=-1.5 + s / 9) for s in range(3)),
]


def test_differences_are_paired_by_seed_and_named_by_what_is_better():
    found = {d.metric: d for d in compared(RUNS).found if d.n_seeds}
    assert (found["probe_auroc"].difference, found["probe_auroc"].low, found["probe_auroc"].verdict) == (
        2.0,
        2.0,
        "better",
    )
    assert found["text_median_rank"].verdict == "worse"
    assert found["uniformity"].verdict == "lower"


def test_an_interval_over_zero_is_no_clear_difference():
    runs = [
        run(loss, s, probe_auroc=80.0 + jump)
        for loss, jumps in (("base", (0, 0, 0)), ("new", (1, -1, 2)))
        for s, jump in enumerate(jumps)
    ]
    (found,) = [d for d in compared(runs).found if d.n_seeds]
    assert found.verdict == NO_DIFFERENCE
    assert found.low < 0 < found.high
    assert NO_DIFFERENCE in str(compared(runs))
    assert NO_DIFFERENCE in compared(runs)._repr_html_()


def test_luck_with_patients_counts_where_every_run_knows_it():
    rng = np.random.default_rng(0)
    noise = {s: rng.normal(0, 3, 200) for s in range(3)}
    base = [run("base", s, {"probe_auroc": 80 + noise[s]}, probe_auroc=80.0) for s in range(3)]
    sure = [run("new", s, {"probe_auroc": 82 + noise[s]}, probe_auroc=82.0) for s in range(3)]
    shared = rng.normal(0, 3, 200)
    unsure = [run("new", s, {"probe_auroc": 82 + noise[s] + shared}, probe_auroc=82.0) for s in range(3)]
    verdicts = [next(d for d in compared([*base, *new]).found if d.n_seeds).verdict for new in (sure, unsure)]
    assert verdicts == ["better", NO_DIFFERENCE]
    partial = [*base[:2], run("base", 2, probe_auroc=80.0), *unsure]
    assert next(d for d in compared(partial).found if d.n_seeds).verdict == "better", "seeds alone"


def test_a_seed_counts_only_where_both_went_well():
    runs = [*RUNS[:3], *RUNS[3:5], Run("new", 2, status="the loss is not finite at step 1 of 8")]
    comparison = compared(runs)
    found = next(d for d in comparison.found if d.metric == "probe_auroc")
    assert found.n_seeds == 2
    assert comparison.table().loc["new", "runs"] == 2
    assert "new, seed 2: the loss is not finite at step 1 of 8." in comparison.notes


def test_another_baseline_turns_differences_round():
    comparison = compared(RUNS)
    turned = comparison.against("new")
    assert turned.losses == ("new", "base")
    before = next(d for d in comparison.found if d.metric == "text_median_rank")
    after = next(d for d in turned.found if d.metric == "text_median_rank")
    assert after.difference == pytest.approx(-before.difference)
    assert (after.low, after.high) == pytest.approx((-before.high, -before.low))
    assert after.verdict == "better"
    with pytest.raises(ArgumentError) as refused:
        comparison.against("other")
    assert refused.value.field == "baseline"


def test_every_run_can_be_seen_by_seed():
    table = compared([*RUNS[:5], Run("new", 2, status="broke")]).by_seed("probe_auroc")
    assert table.loc["base"].to_list() == [80.0, 81.0, 82.0]
    assert table.loc["new"].to_list()[:2] == [82.0, 83.0]
    assert math.isnan(table.loc["new", 2])
    with pytest.raises(ArgumentError) as refused:
        compared(RUNS).by_seed("beauty")
    assert refused.value.field == "metric"


def test_json_there_and_back():
    odd = [*RUNS, Run("new", 3, "ok", {"probe_auroc": math.nan, "uniformity": -1.0}, math.inf, math.nan)]
    comparison = compared(odd, seeds=(0, 1, 2, 3))
    text = comparison.to_json()
    assert "NaN" not in text
    assert "\n" not in text
    back = Comparison.from_json(text)
    assert back.to_json() == text
    assert back.runs[:6] == comparison.runs[:6]
    assert back.differences().equals(comparison.differences())
    for bad in ("", "{}", "[1]", text[:-20], '{"runs": 3}'):
        with pytest.raises(ArgumentError) as refused:
            Comparison.from_json(bad)
        assert refused.value.field == "text"


def test_it_shows_itself_in_full_and_escaped():
    comparison = compared(
        [run(loss, s, probe_auroc=80.0 + s * k) for k, loss in enumerate(("base", "<b>new</b>")) for s in range(3)],
        ("base", "<b>new</b>"),
    )
    html = comparison._repr_html_()
    assert "&lt;b&gt;new" in html
    assert "<b>new" not in html
    assert "modality gap" not in html, "figures that no run has are left out"
    assert repr(comparison) == str(comparison)
    with pytest.raises(AttributeError):
        comparison.rung = "quick"


def test_it_says_how_many_findings_luck_would_make():
    note = compared(RUNS).notes[-1]
    assert note == "3 of 3 intervals exclude zero; about 1 would by luck alone."
