from __future__ import annotations

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import PagePlan
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.image import darkness, fit_page
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.robustness import (
    Condition,
    conditions,
    embed_condition,
    other_layouts,
    robustness,
)

SIZE = (48, 112)
PLAN = PagePlan(size=SIZE)


@pytest.fixture(scope="module")
def cohort():
    return synthetic_cohort(150, seed=0)


def pooled_ink(images):
    """Darkness of the page on a coarse raster: enough to tell some diagnoses apart, spoilt by degradation."""
    page = darkness(fit_page(images, SIZE)).float()
    return torch.nn.functional.avg_pool2d(page, 8).flatten(1)


def test_the_clean_point_loses_nothing_and_every_condition_is_judged_once(cohort):
    wanted = conditions(PLAN, presets=["fax"], strengths=[0.5, 1.0], layouts={"6x2": other_layouts()["standard 6x2"]},
                        resolutions=[0.5], effects=["rotation"])  # fmt: skip
    found = robustness(pooled_ink, cohort, "superclass", PLAN, wanted, n_bootstrap=20)
    assert [(p.family, p.name, p.amount) for p in found.points[:5]] == [
        ("clean", "clean", 0.0), ("preset", "fax", 0.5), ("preset", "fax", 1.0),
        ("effect", "rotation", 0.5), ("effect", "rotation", 1.0),
    ]  # fmt: skip
    assert [p.family for p in found.points[5:]] == ["layout", "resolution"]
    clean = found.points[0]
    assert (clean.lost, clean.lost_ci95) == (0.0, (0.0, 0.0))
    for point in found.points:
        assert point.lost == pytest.approx(clean.macro_auroc - point.macro_auroc)
        assert point.ci95[0] <= point.macro_auroc <= point.ci95[1]
    assert found.rows()[5]["amount"] is None


def test_an_encoder_that_sees_nothing_of_a_layout_falls_to_chance(cohort):
    blank = Condition("layout", "blank", float("nan"), PLAN.plain())

    def blind(images):
        return torch.zeros(len(images), 2)

    features = {"clean": pooled_ink}
    calls = []

    def encode(images):
        calls.append(len(images))
        seen = sum(calls) <= len(cohort)  # the clean pages come first
        return features["clean"](images)[:, :2] if seen else blind(images)

    found = robustness(encode, cohort, "superclass", PLAN, [blank], n_bootstrap=5)
    assert found.points[1].macro_auroc == pytest.approx(50.0)


def test_a_degraded_test_page_never_reaches_the_probe(cohort):
    wanted = conditions(PLAN, presets=["photo"], strengths=[1.0], layouts={}, resolutions=[])
    alone = robustness(pooled_ink, cohort, "superclass", PLAN, [], n_bootstrap=5)
    together = robustness(pooled_ink, cohort, "superclass", PLAN, wanted, n_bootstrap=5)
    assert alone.points[0].macro_auroc == together.points[0].macro_auroc


def test_the_same_seed_draws_the_same_pages_and_strength_changes_them(cohort):
    rows = np.arange(4)
    half, full = conditions(PLAN, presets=["photo"], strengths=[0.5, 1.0], layouts={}, resolutions=[])
    again = embed_condition(pooled_ink, cohort, rows, full, seed=3)
    assert np.array_equal(embed_condition(pooled_ink, cohort, rows, full, seed=3, batch_size=3), again)
    assert not np.allclose(embed_condition(pooled_ink, cohort, rows, half, seed=3), again)
    assert not np.allclose(embed_condition(pooled_ink, cohort, rows, full, seed=4), again)


def test_other_layouts_are_other_pages():
    pages = list(other_layouts().values())
    assert len(pages) >= 8
    assert len({str(page) for page in pages}) == len(pages)


@pytest.mark.parametrize(
    ("given", "field"),
    [({"effects": ["soot"]}, "effects"), ({"strengths": [0.0]}, "strengths"), ({"resolutions": [9.0]}, "resolutions"),
     ({"presets": ["soot"]}, "degrade")],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(given, field):
    with pytest.raises(ArgumentError) as caught:
        conditions(PLAN, **given)
    assert caught.value.field == field
