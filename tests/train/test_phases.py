"""A run that begins on smaller, clean pages: which batch a step gets, how it is read, and that it can be stopped."""

from __future__ import annotations

import dataclasses
from contextlib import closing

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import feed, make_batch
from ecgscan_lab.errors import ArgumentError, CheckpointError
from ecgscan_lab.train import loop, step
from ecgscan_lab.train.estimate import estimate_run
from ecgscan_lab.train.loop import load_model, pretrain
from ecgscan_lab.train.phases import feed_phases, reading_at
from ecgscan_lab.train.scoring import validation_loss

SMALL = (32, 80)


@pytest.fixture(scope="module")
def growing(short):
    return dataclasses.replace(
        short, degrade="photo", column_queries=True, time_shift=True, first_size=SMALL, first_share=0.5
    )


def fed(cohort, frozen, recipe, steps):
    return list(feed_phases(cohort, frozen, recipe, cohort.indices("train"), steps, seed=3))


def test_each_step_gets_the_pages_of_its_phase(cohort, frozen, growing):
    batches = fed(cohort, frozen, growing, range(8))
    assert [item.step for item in batches] == list(range(8))
    assert [tuple(item.batch.images.shape[2:]) for item in batches] == [SMALL] * 4 + [growing.size] * 4
    plain = feed(
        cohort, frozen, growing.plan(), cohort.indices("train"), batch_size=growing.batch_size, seed=3, steps=range(8)
    )
    for ours, theirs in zip(batches, plain, strict=True):  # the same records begin at the same moments
        assert torch.equal(ours.batch.index, theirs.batch.index)
        assert torch.equal(ours.batch.signals_mv, theirs.batch.signals_mv)
        assert torch.equal(ours.batch.images, theirs.batch.images) == (ours.step >= 4)


@pytest.mark.parametrize("steps", [range(2), range(3, 5), range(4, 8), range(6, 6)])
def test_where_the_steps_begin_changes_no_batch(cohort, frozen, growing, steps):
    whole, part = fed(cohort, frozen, growing, range(8)), fed(cohort, frozen, growing, steps)
    assert [item.step for item in part] == list(steps)
    for item in part:
        assert torch.equal(item.batch.images, whole[item.step].batch.images)


def test_small_pages_are_read_as_drawn_and_all_others_at_the_towers_size(cohort, frozen, growing, short):
    model = step.make_learner(cohort, frozen, growing, 0, loop.join_processes()).model.eval()
    seen = []
    model.tower.stem.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[2:])))
    for plan in (growing.phases()[0][1], growing.plan()):
        batch = make_batch(cohort, frozen, np.arange(2), plan)
        for recipe in (growing, short):
            with torch.no_grad(), reading_at(model.tower, batch, recipe):
                model(batch)
    assert seen == [(8, 20), (12, 28), (12, 28), (12, 28)]


@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_a_run_stopped_in_either_phase_goes_on_to_the_same_bits(cohort, frozen, growing, tmp_path, monkeypatch, at):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    whole = pretrain(cohort, frozen, growing, tmp_path / "whole", seed=0)

    def stop(row):
        if row["step"] == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(cohort, frozen, growing, tmp_path / "cut", seed=0, on_step=stop)
    again = pretrain(cohort, frozen, growing, tmp_path / "cut", seed=0, resume=True)
    ours, theirs = again.model.state_dict(), whole.model.state_dict()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_validation_sees_the_phases_pages_and_only_the_last_phase_chooses(
    cohort, frozen, growing, tmp_path, monkeypatch
):
    sizes, losses = [], iter([0.5, 0.25, 2.0, 3.0])

    def loss(model, data, frozen, recipe, val, score, *, precision, plan):
        sizes.append(plan.size)
        return {"total": next(losses)}

    monkeypatch.setattr(loop, "validation_loss", loss)
    run = pretrain(cohort, frozen, dataclasses.replace(growing, validations=4), tmp_path, seed=0)
    assert sizes == [SMALL, SMALL, growing.size, growing.size]
    assert run.best_step == 5


def test_small_pages_are_validated_as_they_are_read_in_training(cohort, frozen, growing):
    model = step.make_learner(cohort, frozen, growing, 0, loop.join_processes()).model
    seen = []
    model.tower.stem.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[2:])))
    found = [
        validation_loss(model, cohort, frozen, growing, cohort.indices("val"), plan=plan)["total"]
        for plan in (growing.phase_at(0)[1], growing.phase_at(7)[1], None)
    ]
    assert set(seen) == {(8, 20), (12, 28)}
    assert found[1] == found[2] != found[0]


def test_a_last_phase_without_a_finite_loss_keeps_no_weights_of_the_first(
    cohort, frozen, growing, tmp_path, monkeypatch
):
    losses = iter([0.5, float("nan")])
    monkeypatch.setattr(loop, "validation_loss", lambda *given, **more: {"total": next(losses)})
    with pytest.raises(CheckpointError, match="never finite"):
        pretrain(cohort, frozen, growing, tmp_path, seed=0)


def test_what_the_last_phase_cannot_do_is_refused_before_the_first(cohort, frozen, growing, tmp_path):
    rows = []
    with pytest.raises(ArgumentError, match="on the CPU only"):
        pretrain(cohort, frozen, growing, tmp_path, seed=0, draw_on="gpu", on_step=rows.append)
    assert rows == []


def test_what_is_kept_reads_pages_of_the_last_size(cohort, frozen, growing, tmp_path):
    run = pretrain(cohort, frozen, growing, tmp_path, seed=0)
    model, facts = load_model(run.checkpoint)
    assert model.tower.size == growing.size
    assert facts["recipe"]["first_size"] == list(SMALL)
    small = make_batch(cohort, frozen, np.arange(2), growing.phases()[0][1]).images
    with torch.no_grad():
        assert model.tower(small).shape == (2, model.tower.embed_dim)


def test_an_estimate_counts_each_phase_at_its_own_pace(cohort, frozen, growing, monkeypatch):
    paces, seen = iter([(0.25, 1.0), (0.5, 3.0)]), []

    def rehearse(learner, batches):
        with closing(batches):
            seen.extend((fed.step, tuple(fed.batch.images.shape[2:])) for fed in batches)
        return next(paces)

    monkeypatch.setattr("ecgscan_lab.train.estimate._rehearse", rehearse)
    found = estimate_run(cohort, frozen, dataclasses.replace(growing, first_share=0.75), rehearse=2)
    assert seen == [(0, SMALL), (1, SMALL), (6, growing.size), (7, growing.size)]
    assert (found.total_s, found.step_s, found.wait_s) == (6 * 1.0 + 2 * 3.0, 1.5, 2.5 / 8)
