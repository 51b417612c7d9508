"""The table's figures are those of its draws, its interval covers what it says, and encoders stand on equal terms."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ecgscan_lab.errors import ArgumentError, SplitError
from ecgscan_lab.evaluate import linear_probe, probe_table, seed_interval
from ecgscan_lab.evaluate.epoch_probe import MERL, PAPER, epoch_probe
from ecgscan_lab.evaluate.intervals import bootstrap_ci, bootstrap_macro_auroc
from ecgscan_lab.evaluate.probe_table import probe_fractions

SPLIT = np.array(["train"] * 400 + ["val"] * 100 + ["test"] * 100)
PATIENTS = np.arange(600) // 2


def _cohort(seed: int = 0, signal: float = 1.0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(600, 10))
    labels = (signal * features[:, :3] + rng.normal(size=(600, 3)) > 0.8).astype(int)
    return features, labels


def test_rows_are_the_means_of_single_probes():
    features, labels = _cohort()
    table = probe_fractions(features, labels, SPLIT, PATIENTS, fractions=(5, 100), seeds=(3, 8), n_bootstrap=50)
    few, all_labels = table.rows
    single = [
        linear_probe(features, labels, SPLIT, PATIENTS, label_fraction=0.05, fraction_seed=seed, n_bootstrap=50)
        for seed in (3, 8)
    ]
    assert few.draws == tuple(single)
    assert few.macro_auroc == few.honest == pytest.approx(np.mean([r.macro_auroc for r in single]))
    assert few.spread == pytest.approx(np.std([r.macro_auroc for r in single], ddof=1))
    assert few.per_class["class 1"] == pytest.approx(np.mean([r.per_class["class 1"] for r in single]))
    assert (few.n_train, few.n_draws, few.n_defined, few.n_classes) == ((20, 20), 2, (3, 3), 3)
    whole = linear_probe(features, labels, SPLIT, PATIENTS, n_bootstrap=50)
    assert (all_labels.macro_auroc, all_labels.ci95, all_labels.spread) == (whole.macro_auroc, whole.ci95, None)
    assert (table.n_val, table.n_test) == (100, 100)


def test_interval_counts_draws_and_patients():
    features, labels = _cohort()
    row = probe_fractions(features, labels, SPLIT, PATIENTS, fractions=(3,), seeds=6, n_bootstrap=200).rows[0]
    macros = [draw.macro_auroc for draw in row.draws]
    resampled = [bootstrap_macro_auroc(d.targets, d.scores, PATIENTS[d.test_index], n_bootstrap=200) for d in row.draws]
    expected = seed_interval(macros, np.mean(resampled, axis=0))
    assert row.ci95 == pytest.approx((max(0.0, expected.low), min(100.0, expected.high)))
    patients_only = seed_interval([np.mean(macros)], np.mean(resampled, axis=0))
    assert row.ci95[1] - row.ci95[0] > patients_only.high - patients_only.low
    assert "which records are labelled" in row.covers
    assert "test patients" in row.covers
    for draw in row.draws:
        assert draw.ci95 == bootstrap_ci(draw.targets, draw.scores, PATIENTS[draw.test_index], n_bootstrap=200)


@pytest.mark.slow
def test_the_interval_holds_the_mean_over_draws_and_patients_about_as_often_as_it_says():
    """New test patients and new label draws from one training pool, each time: nominal 95 %."""
    rng = np.random.default_rng(5)
    pool, n_test, held = 2000, 120, []
    direction = rng.normal(size=(6, 2))

    def people(n):
        x = rng.normal(size=(n, 6))
        return x, (x @ direction / 2 + rng.normal(size=(n, 2)) > 1.0).astype(int)

    train, val, many = people(pool), people(300), people(20_000)
    split = np.array(["train"] * pool + ["val"] * 300 + ["test"] * len(many[0]))
    x, y = (np.concatenate([a, b, c]) for a, b, c in zip(train, val, many, strict=True))
    truth = np.mean(
        [
            linear_probe(x, y, split, label_fraction=0.02, fraction_seed=s, c_grid=(0.1,), n_bootstrap=1).macro_auroc
            for s in range(1000, 1060)
        ]
    )
    for trial in range(200):
        test = people(n_test)
        x, y = (np.concatenate([a, b, c]) for a, b, c in zip(train, val, test, strict=True))
        split = np.array(["train"] * pool + ["val"] * 300 + ["test"] * n_test)
        row = probe_fractions(
            x, y, split, fractions=(2,), seeds=range(5 * trial, 5 * trial + 5), c_grid=(0.1,), n_bootstrap=200
        ).rows[0]
        held.append(row.ci95[0] <= truth <= row.ci95[1])
    assert 0.90 <= np.mean(held) <= 0.99


def test_encoders_see_the_same_labels_and_patients():
    features, labels = _cohort()
    random = np.random.default_rng(9).normal(size=features.shape)
    table = probe_fractions(
        {"trained": features, "random": random, "copy": features}, labels, SPLIT, PATIENTS,
        fractions=(10,), seeds=2, n_bootstrap=50,
    )  # fmt: skip
    trained, chance, copy = table.rows
    assert replace(copy, encoder="trained") == trained
    assert trained.ci95[0] > chance.ci95[1]
    assert chance.ci95[0] < 50.0 < chance.ci95[1]


def test_merl_is_marked_and_stands_beside_the_honest_figure():
    features, labels = _cohort(signal=0.3)
    how = replace(MERL, epochs=20, schedule="constant", learning_rate=0.02)
    table = probe_fractions(
        features, labels, SPLIT, PATIENTS, protocol="merl", settings=how, fractions=(10, 100), seeds=2, n_bootstrap=50
    )
    for row in table.rows:
        assert row.selected_on == "test"
        assert row.n_draws == 2
        assert row.inflation == row.macro_auroc - row.honest > 0.0
        assert row.macro_auroc == np.mean([draw.test_selected for draw in row.draws])
        assert row.honest == np.mean([draw.validation_selected for draw in row.draws])
        assert "which records are labelled" not in row.covers  # MERL's subset is one
        assert "start" in row.covers
    lines = list(table.lines())
    assert "test-selected" in lines[0]
    assert "honest" in lines[0]
    assert any("has seen the test set" in line for line in lines)


def test_paper_selects_on_validation_and_covers_the_draws_it_makes():
    features, labels = _cohort()
    how = replace(PAPER, epochs=3, draw="stratified")
    row = probe_fractions(
        features, labels, SPLIT, PATIENTS, protocol="paper", settings=how, fractions=(10,), seeds=2, n_bootstrap=50
    ).rows[0]
    assert (row.selected_on, row.inflation) == ("validation", 0.0)
    assert "which records are labelled" in row.covers
    assert row.last_epoch == np.mean([draw.last_epoch for draw in row.draws])
    first = epoch_probe(features, labels, SPLIT, PATIENTS, settings=how, label_fraction=0.1, seed=0, n_bootstrap=50)
    assert row.draws[0].scores.tolist() == first.scores.tolist()


def test_labels_without_positives_are_left_out_and_counted():
    features, labels = _cohort()
    labels[SPLIT == "test", 2] = 0
    row = probe_fractions(features, labels, SPLIT, fractions=(100,), seeds=1, n_bootstrap=20).rows[0]
    assert (row.n_defined, row.n_classes, row.per_class["class 2"]) == ((2, 2), 3, None)
    labels[SPLIT == "train", 1] = 0
    row = probe_fractions(features, labels, SPLIT, fractions=(10,), seeds=2, n_bootstrap=20).rows[0]
    assert (row.n_defined, row.per_class["class 1"]) == ((1, 1), None)


def test_lines_and_json_say_the_same():
    features, labels = _cohort()
    table = probe_fractions({"a tower": features}, labels, SPLIT, fractions=(10, 100), seeds=2, n_bootstrap=20)
    lines, written = list(table.lines()), json.loads(json.dumps(table.as_dict(), allow_nan=False))
    assert len({len(line) for line in lines[:3]}) == 1
    for line, row in zip(lines[1:3], written["rows"], strict=True):
        assert line.startswith("a tower")
        assert f"{row['macro_auroc']:.2f}" in line
        assert f"{row['ci95'][0]:.2f} to {row['ci95'][1]:.2f}" in line
    assert len(written["rows"][0]["draws"]) == 2
    assert written["protocol"] == "sound"


def test_probes_side_by_side_find_what_they_find_one_after_another(monkeypatch):
    features, labels = _cohort()
    encoders = {"a tower": features, "noise": np.random.default_rng(1).normal(size=features.shape)}
    threads, probe = [], probe_table._probe

    def watched(*args):
        blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        threads.append((threading.current_thread().name.partition("_")[0], blas))
        return probe(*args)

    monkeypatch.setattr(probe_table, "_probe", watched)
    tables = []
    with threadpool_limits(2, user_api="blas"):
        before = threadpool_info()
        for cores in (1, 3):
            monkeypatch.setattr(probe_table, "usable_cores", lambda cores=cores: cores)
            tables.append(
                probe_fractions(encoders, labels, SPLIT, PATIENTS, fractions=(5, 100), seeds=3, n_bootstrap=20)
            )
        assert threadpool_info() == before
    assert [name for name, _ in threads] == ["MainThread"] * 8 + ["probe"] * 8
    assert all(blas == {1} for _, blas in threads[8:])
    alone, together = tables
    assert [(row.encoder, row.percent) for row in together.rows] == [
        (encoder, percent) for encoder in encoders for percent in (5, 100)
    ]
    for one, other in zip(alone.rows, together.rows, strict=True):
        assert other.macro_auroc == pytest.approx(one.macro_auroc)
        assert other.ci95 == pytest.approx(one.ci95)
        assert [draw.macro_auroc for draw in other.draws] == pytest.approx([draw.macro_auroc for draw in one.draws])


def test_probes_whose_copies_would_not_fit_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(probe_table, "usable_cores", lambda: 16)
    assert probe_table._at_once([np.zeros((600, 10))]) == 4
    monkeypatch.setattr(probe_table, "_COPIES_BYTES", 20 * 6000 * 2)
    assert probe_table._at_once([np.zeros((600, 10)), np.zeros((600, 2))]) == 2
    monkeypatch.setattr(probe_table, "_COPIES_BYTES", 1)
    assert probe_table._at_once([np.zeros((600, 10))]) == 1


def test_rows_are_told_as_they_come():
    features, labels = _cohort()
    told = []
    table = probe_fractions(features, labels, SPLIT, fractions=(10, 100), seeds=1, n_bootstrap=20, on_row=told.append)
    assert tuple(told) == table.rows


@pytest.mark.parametrize(
    ("change", "error", "field"),
    [
        ({"fractions": (0,)}, ArgumentError, "fractions"),
        ({"fractions": (101,)}, ArgumentError, "fractions"),
        ({"fractions": ()}, ArgumentError, "fractions"),
        ({"seeds": 0}, ArgumentError, "seeds"),
        ({"seeds": (1, 1)}, ArgumentError, "seeds"),
        ({"seeds": (-1,)}, ArgumentError, "seeds"),
        ({"protocol": "other"}, ArgumentError, "protocol"),
        ({"features": {}}, ArgumentError, "features"),
        ({"settings": PAPER}, ArgumentError, "settings"),
        ({"n_bootstrap": 0}, ArgumentError, "n_bootstrap"),
        ({"groups": np.zeros(600)}, SplitError, "groups"),
    ],
)
def test_bad_input_is_a_typed_error(change, error, field):
    features, labels = _cohort()
    with pytest.raises(error) as caught:
        probe_fractions(**{"features": features, "labels": labels, "split": SPLIT} | change)
    assert caught.value.field == field
