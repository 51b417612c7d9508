"""How pages look: one plan, JSON and back, and a page for (seed, epoch, record)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ecgscan_lab.batch import PagePlan, sample_pages
from ecgscan_lab.batch.plan import cover_pages, draw_plan, shift_signals
from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.segments import visible_samples


@pytest.mark.parametrize(
    "plan",
    [
        PagePlan(),
        PagePlan.paper(),
        PagePlan(size=[224, 224], page="mac", vary="layout", degrade="mixture", strength=0.5),
        PagePlan(degrade="scan", degrade_share=0.25, layout_share=0.1, time_shift=True, cover=3),
        PagePlan(page=PageSpec(layout="6x2", rhythm=(), grid="blue"), first_strength=0, growing_epochs=3),
    ],
)
def test_json_round_trip(plan):
    assert PagePlan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan
    assert hash(plan) == hash(PagePlan.from_dict(plan.as_dict()))


def test_the_papers_pages_are_the_papers():
    plan = PagePlan.paper()
    assert (plan.vary, plan.degrade, plan.strength_at(0)) == ("looks", "paper", 1.0)
    assert (plan.spec.layout, plan.spec.rhythm) == ("3x4", ("II",))
    assert (plan.spec.paper_speed_mm_per_s, plan.spec.gain_mm_per_mv) == (25.0, 10.0)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"vary": "colours"}, "vary"),
        ({"degrade": "rain"}, "degrade"),
        ({"page": "papyrus"}, "page"),
        ({"page": "my.json"}, "page"),
        ({"page": 3}, "page"),
        ({"size": (192, 448, 3)}, "size"),
        ({"size": (192.5, 448)}, "size"),
        ({"strength": 1.5}, "strength"),
        ({"degrade_share": 1.5}, "degrade_share"),
        ({"layout_share": -0.1}, "layout_share"),
        ({"cover": -1}, "cover"),
        ({"cover": True}, "cover"),
        ({"strength": float("nan")}, "strength"),
        ({"first_strength": 0.1}, "growing_epochs"),
        ({"growing_epochs": 2}, "growing_epochs"),
        ({"first_strength": 0.1, "growing_epochs": -1}, "growing_epochs"),
    ],
)
def test_bad_plans_are_refused_by_name(changes, field):
    with pytest.raises(ArgumentError) as caught:
        PagePlan(**changes)
    assert caught.value.field == field


def test_absurd_pages_and_unknown_fields_are_refused():
    with pytest.raises(PageError):
        PagePlan(size=(1, 1))
    with pytest.raises(ArgumentError) as caught:
        PagePlan.from_dict({"size": [96, 224], "colour": "red"})
    assert caught.value.field == "colour"


@pytest.mark.parametrize(("vary", "degrade"), [("looks", "paper"), ("layout", "mixture"), ("none", "photo")])
def test_a_page_depends_on_seed_epoch_and_record_alone(vary, degrade):
    plan = PagePlan(vary=vary, degrade=degrade)

    def page(seed, epoch, indices, place):
        pages, params = sample_pages(plan, indices, seed, epoch)
        return pages[place], params[place]

    first = page(5, 2, [3], 0)
    assert first == page(5, 2, [0, 3, 1], 1) == page(5, 2, np.array([3, 3]), 1)
    assert all(first != other for other in (page(6, 2, [3], 0), page(5, 1, [3], 0), page(5, 2, [4], 0)))


def test_degrading_leaves_the_looks_as_they_were():
    clean, paper = (sample_pages(PagePlan(degrade=name), range(9), 1)[0] for name in ("clean", "paper"))
    assert clean == paper
    assert len(set(clean)) == 9


@pytest.mark.parametrize("plan", [PagePlan.paper((96, 128)), PagePlan(vary="layout", degrade="photo")])
def test_plain_pages_are_neither_varied_nor_degraded(plan):
    for pages, params in (sample_pages(plan, range(5), None), sample_pages(plan.plain(), range(5), 3, 2)):
        assert set(pages) == {plan.spec}
        assert set(params) == {None}
    assert plan.plain().size == plan.size


def test_strength_grows_by_epoch_and_scales_what_befalls_a_page():
    plan = PagePlan(degrade="photo", first_strength=0.0, growing_epochs=2)
    assert [plan.strength_at(epoch) for epoch in range(4)] == [0.0, 0.5, 1.0, 1.0]
    untouched = sample_pages(plan, range(3), 0, epoch=0)[1]
    assert all(params.active == () for params in untouched)
    grown, full = (sample_pages(p, range(3), 0, epoch=2)[1] for p in (plan, PagePlan(degrade="photo")))
    assert grown == full
    assert all(params.active for params in full)


@pytest.mark.parametrize("vary", ["looks", "layout"])
def test_the_mask_says_what_each_page_shows(vary, rng):
    plan = PagePlan(size=(96, 224), vary=vary)
    signals = rng.normal(0, 0.2, (5, 12, 600)).astype(np.float32)
    pictures, visible = draw_plan(plan, signals, 100.0, np.arange(5), 4, 1)
    assert pictures.shape == (5, 3, 96, 224)
    pages = sample_pages(plan, np.arange(5), 4, 1)[0]
    assert np.array_equal(visible, [visible_samples(page, 100.0, 600) for page in pages])
    hidden = signals + np.where(visible, 0.0, 3.0).astype(np.float32)
    assert np.array_equal(draw_plan(plan, hidden, 100.0, np.arange(5), 4, 1)[0], pictures), (
        "hidden samples leave no ink"
    )


def test_a_recording_begins_anew_with_all_leads_together_and_nothing_is_lost():
    rows = np.arange(4)
    signals = np.random.default_rng(0).normal(size=(4, 12, 50)).astype(np.float32)
    plan = PagePlan(time_shift=True)
    moved = shift_signals(plan, signals, rows, 7, 0)
    assert np.array_equal(np.sort(moved, axis=-1), np.sort(signals, axis=-1))
    assert not np.array_equal(moved, signals)
    for before, after in zip(signals, moved, strict=True):
        start = int(np.flatnonzero(before[0] == after[0, 0])[0])
        assert np.array_equal(after, np.roll(before, -start, axis=-1))
    assert np.array_equal(moved[2:], shift_signals(plan, signals[2:], rows[2:], 7, 0)), "whatever else is in the batch"
    assert not np.array_equal(moved, shift_signals(plan, signals, rows, 7, 1))
    assert shift_signals(plan, signals, rows, None, 0) is signals
    assert shift_signals(PagePlan(), signals, rows, 7, 0) is signals


def test_covered_pages_turn_white_within_bounds():
    plan = PagePlan(size=(96, 224), cover=3)
    pages = np.zeros((3, 3, 96, 224), np.uint8)
    cover_pages(plan, pages, [0, 1, 2], 5, 0)
    share = (pages == 255).mean((1, 2, 3))
    assert set(np.unique(pages)) == {0, 255}
    assert (share > 0.02).all()
    assert (share < 0.36).all()
    assert len(set(share)) == 3
    untouched = np.zeros((1, 3, 96, 224), np.uint8)
    cover_pages(plan, untouched, [0], None, 0)
    cover_pages(PagePlan(size=(96, 224)), untouched, [0], 5, 0)
    assert not untouched.any()


def test_a_share_of_the_pages_is_degraded_or_of_another_kind():
    rows = np.arange(400)
    pages, params = sample_pages(PagePlan(degrade="scan", degrade_share=0.25, layout_share=0.1), rows, 0)
    assert 0.17 < np.mean([one is not None for one in params]) < 0.33
    other = np.mean([page.layout != "3x4" for page in pages])
    assert 0.02 < other < 0.1, "a tenth, less those that turn out 3x4 again"
    every = sample_pages(PagePlan(degrade="scan"), rows[:20], 0)[1]
    assert all(one is not None for one in every)


def test_pages_of_several_kinds_have_a_mask_each():
    plan = PagePlan(size=(96, 224), layout_share=0.5)
    signals = np.zeros((12, 12, 1000), np.float32)
    pages = sample_pages(plan, np.arange(12), 0)[0]
    shown = draw_plan(plan, signals, 100.0, np.arange(12), 0, 0)[1]
    for page, mask in zip(pages, shown, strict=True):
        assert np.array_equal(mask, visible_samples(page, 100.0, 1000))
