"""The same tower trained with labels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ecgscan_lab.baselines.supervised import fit_supervised
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import LabelError
from ecgscan_lab.train.loop import build_model
from ecgscan_lab.train.recipes import Recipe
from ecgscan_lab.types import Cohort, EcgRecord

RECIPE = Recipe("tiny", size=(48, 112), tower_width=4, batch_size=16, lr=5e-3, supervised_steps=41)
SHORT = dataclasses.replace(RECIPE, supervised_steps=3)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return synthetic_cohort(60, seed=0)


def changed(cohort: Cohort, chosen: object, **changes: object) -> Cohort:
    records = tuple(dataclasses.replace(r, **changes) if chosen(r) else r for r in cohort.records)
    return dataclasses.replace(cohort, records=records)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_the_loss_falls(cohort):
    rows: list[dict[str, float]] = []
    tower = fit_supervised(cohort, "superclass", RECIPE, on_step=rows.append)
    assert [row["step"] for row in rows] == [0, 10, 20, 30, 40]
    assert rows[-1]["total"] < 0.8 * rows[0]["total"]
    assert not tower.training
    assert next(tower.parameters()).device.type == "cpu"


def test_training_starts_from_the_weights_that_pretraining_starts_from(cohort):
    tower = fit_supervised(cohort, "superclass", dataclasses.replace(RECIPE, supervised_steps=0), seed=4)
    assert same_weights(tower, build_model(RECIPE, d_text=3, n_samples=1000, seed=4).tower)


def test_same_seed_same_tower_and_the_global_generator_stays(cohort):
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = fit_supervised(cohort, "superclass", SHORT, seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert same_weights(first, fit_supervised(cohort, "superclass", SHORT, seed=2))
    assert not same_weights(first, fit_supervised(cohort, "superclass", SHORT, seed=3))


def test_its_pages_are_drawn_as_those_of_pretraining(cohort):
    # Among few records a page that begins at a random moment is worth points; a rival without it would look weak.
    shifted = dataclasses.replace(SHORT, time_shift=True)
    plain, moved = (fit_supervised(cohort, "superclass", recipe) for recipe in (SHORT, shifted))
    assert not same_weights(plain, moved)


def test_only_labelled_training_records_are_used(cohort):
    first = fit_supervised(cohort, "superclass", SHORT)
    unlabelled = [r for r in cohort.records if r.split == "train" and not r.labels["superclass"]]
    assert unlabelled, "rhythms alone have no superclass"

    def unused(record: EcgRecord) -> bool:
        return record.split != "train" or not record.labels["superclass"]

    flat = np.zeros_like(cohort.records[0].signal_mv)
    assert same_weights(first, fit_supervised(changed(cohort, unused, signal_mv=flat), "superclass", SHORT))
    elsewhere = changed(cohort, lambda r: r.split != "train", labels={"superclass": ("MI",)})
    assert same_weights(first, fit_supervised(elsewhere, "superclass", SHORT))
    taught = changed(cohort, lambda r: r.split == "train", labels={"superclass": ("MI",)})
    assert not same_weights(first, fit_supervised(taught, "superclass", SHORT)), "and the check would see it"


def test_a_task_without_labels_is_refused(cohort):
    with pytest.raises(LabelError, match="no task"):
        fit_supervised(cohort, "form", SHORT)
    with pytest.raises(LabelError, match="no training record"):
        fit_supervised(changed(cohort, lambda r: r.split == "train", labels={}), "superclass", SHORT)
