from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from ecgscan_lab.baselines.pixels import pixel_features
from ecgscan_lab.cli import main
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.errors import LabelError
from ecgscan_lab.evaluate.embedding import embed_images
from ecgscan_lab.evaluate.feature_table import read_features
from ecgscan_lab.evaluate.full_evaluation import ENCODER, RANDOM, evaluate_encoders
from ecgscan_lab.evaluate.probe_table import probe_fractions
from ecgscan_lab.evaluate.rivals import PIXELS, SideBySide, fresh_weights
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint


@pytest.fixture(scope="module")
def cohort():
    return synthetic_cohort(80, seed=1)


@pytest.fixture(scope="module")
def found(cohort, tiny_checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")
    return evaluate_encoders(
        cohort, tiny_checkpoint, out=out, tasks=["superclass"], fractions=[10, 100], draws=2, n_bootstrap=20
    ), out


def test_the_table_is_that_of_the_checkpoints_own_features_with_both_rivals(found, cohort, tiny_checkpoint):
    evaluation, _ = found
    own = embed_images(cohort, tiny_checkpoint)
    np.testing.assert_allclose(evaluation.features.features, own.features, atol=1e-4)
    assert evaluation.features.provenance["weights_sha256"] == own.provenance["weights_sha256"]
    rows = evaluation.probes["superclass"].rows
    assert [(row.encoder, row.percent) for row in rows] == [
        (name, percent) for name in (ENCODER, RANDOM, PIXELS) for percent in (10.0, 100.0)
    ]
    labels, split = cohort.targets("superclass"), np.array([r.split for r in cohort.records])
    some = labels.any(axis=1)
    alone = probe_fractions(
        evaluation.features.features[some], labels[some], split[some], cohort.patients[some], fractions=[100], seeds=2,
        n_bootstrap=20,
    )  # fmt: skip
    assert rows[1].macro_auroc == pytest.approx(alone.rows[0].macro_auroc)
    assert rows[1].ci95 == pytest.approx(alone.rows[0].ci95)


def test_records_are_drawn_on_the_page_of_the_checkpoints_recipe(cohort, tiny_checkpoint, tmp_path):
    tensors, facts = load_checkpoint(tiny_checkpoint)
    save_checkpoint(
        tmp_path / "other.safetensors", tensors, {**facts, "recipe": {**facts["recipe"], "page": "standard"}}
    )
    few = dataclasses.replace(cohort, records=cohort.records[:70])
    own = embed_images(few, tmp_path / "other.safetensors")
    assert np.abs(own.features - embed_images(few, tiny_checkpoint).features).max() > 1e-2
    found = evaluate_encoders(
        few, tmp_path / "other.safetensors", tasks=["superclass"], fractions=[100], n_bootstrap=5
    )  # fmt: skip
    np.testing.assert_allclose(found.features.features, own.features, atol=1e-4)


def test_everything_is_written_and_the_written_figures_are_the_found_ones(found):
    evaluation, out = found
    assert {path.name for path in out.iterdir()} == {
        "features.parquet", "evaluation.json", "report.csv", "report.md", "report.tex", "report.svg",
    }  # fmt: skip
    kept = json.loads((out / "evaluation.json").read_text())
    assert kept["probes"] == {"superclass": json.loads(json.dumps(evaluation.probes["superclass"].as_dict()))}
    assert set(kept["zero_shot"]) == {"superclass"}
    assert list(kept["seconds"]) == ["load", "embed", "probe superclass", "zero-shot", "report"]
    assert read_features(out / "features.parquet").ids == evaluation.features.ids
    ours = [row for row in evaluation.report.rows if row.source == "this run"]
    assert len(ours) == 6 + 1


def test_it_says_what_it_cost(found):
    lines = "\n".join(found[0].lines())
    assert "superclass, linear probe (sound)" in lines
    assert "zero-shot" in lines
    assert "seconds: load" in lines


def test_what_cannot_be_judged_is_noted_and_the_rest_is_not_lost(cohort):
    one = dataclasses.replace(cohort, records=tuple(cohort.records))
    found = evaluate_encoders(one, tasks=["superclass"], fractions=[100, 1e-3], draws=1, n_bootstrap=5)
    assert [row.percent for row in found.probes["superclass"].rows] == [100.0, 100.0]
    assert len(found.notes) == 1
    assert "superclass at 0.001 % of labels is left out" in found.notes[0]
    assert found.encoders == (RANDOM, PIXELS)
    assert found.zero_shot == {}


def test_a_figure_that_test_has_chosen_carries_no_interval_into_the_report(cohort):
    found = evaluate_encoders(cohort, tasks=["superclass"], fractions=[100], draws=1, protocol="merl", n_bootstrap=5)
    rows = found.probes["superclass"].rows
    assert [(row.encoder, row.auroc, row.low, row.high) for row in found.report.rows] == [
        (row.encoder, row.macro_auroc, None, None) for row in rows
    ]
    assert all(row.macro_auroc >= row.honest for row in rows)


def test_an_unknown_task_is_refused_before_anything_is_embedded(cohort, monkeypatch):
    monkeypatch.setattr("ecgscan_lab.evaluate.full_evaluation.embed_images", lambda *a, **k: pytest.fail("embedded"))
    with pytest.raises(LabelError, match="no task 'shoe size'"):
        evaluate_encoders(cohort, tasks=["shoe size"])


def test_raw_pixels_are_those_of_the_baseline(cohort):
    tower = TinyImageTower(width=2, size=(96, 224)).eval()
    together = SideBySide({"tower": tower})
    table = embed_images(cohort, together)
    expected = pixel_features(cohort, (96, 224))
    np.testing.assert_allclose(table.features[:, together.parts[PIXELS]], expected, atol=1e-5)


def test_fresh_weights_are_others_of_the_same_shape_and_repeatable():
    class Tower(nn.Module):
        def __init__(self):
            super().__init__()
            self.token = nn.Parameter(torch.ones(4))
            self.layer = nn.Linear(3, 2)
            self.norm = nn.BatchNorm1d(2)

    tower = Tower()
    tower.norm.running_mean += 5.0
    state = torch.random.get_rng_state()
    first, again, other = fresh_weights(tower, 1), fresh_weights(tower, 1), fresh_weights(tower, 2)
    assert torch.equal(state, torch.random.get_rng_state())
    for name in ("token", "layer.weight"):
        trained, drawn = tower.state_dict()[name], first.state_dict()[name]
        assert not torch.equal(trained, drawn), name
        assert torch.equal(drawn, again.state_dict()[name])
        assert not torch.equal(drawn, other.state_dict()[name])
    assert not first.norm.running_mean.any()


def test_the_command_answers_and_a_second_run_reads_the_cache(tmp_path, capsys):
    words = ["evaluate", "synthetic", "--limit", "60", "--tasks", "superclass", "--fractions", "100"]
    words += ["--out", str(tmp_path / "out"), "--bootstrap", "5", "--cache", str(tmp_path / "cache")]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert "raw pixels" in first
    assert (tmp_path / "out" / "report.md").is_file()
    kept = sorted((tmp_path / "cache").rglob("*.features"))
    before = [path.stat().st_mtime_ns for path in kept]
    assert main(words) == 0
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "cache").rglob("*.features"))] == before
    figures = [line for line in first.splitlines() if "100 %" in line and "interval" not in line]
    again = capsys.readouterr().out.splitlines()
    assert figures
    assert set(figures) <= set(again)
