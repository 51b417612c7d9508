"""The trained layer is PyTorch's, finds what is there, and shows what choosing the epoch on the test set adds."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ecgscan_lab.errors import ArgumentError, LabelError, SplitError
from ecgscan_lab.evaluate import linear_probe, macro_auroc
from ecgscan_lab.evaluate.epoch_kernel import new_layer, train_epoch
from ecgscan_lab.evaluate.epoch_probe import MERL, PAPER, EpochSettings, epoch_probe, learning_rates

SPLIT = np.array(["train"] * 240 + ["val"] * 80 + ["test"] * 80)
QUICK = replace(PAPER, epochs=8, learning_rate=0.02)


def _cohort(seed: int = 0, *, n_classes: int = 3, dim: int = 12, signal: float = 1.0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(400, dim))
    labels = (signal * features[:, :n_classes] + rng.normal(size=(400, n_classes)) > 0.5).astype(int)
    return features, labels


@pytest.mark.parametrize(
    ("how", "optimiser"),
    [
        (replace(PAPER, schedule="cosine"), lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=1e-2)),
        (MERL, lambda p: torch.optim.Adam(p, lr=1e-3, weight_decay=1e-4)),
    ],
)
def test_each_step_is_pytorchs(how, optimiser):
    how = replace(how, epochs=4, milestone=20)
    rng = np.random.default_rng(0)
    n, dim, n_classes = 150, 9, 4  # ten steps an epoch, the last of 6 records
    x = np.column_stack([3.0 * rng.normal(size=(n, dim)), np.ones(n)]).astype(np.float32)
    y = (rng.random((n, n_classes)) < 0.3).astype(np.float32)
    layer = new_layer(n_classes, dim, seed=1)
    linear = torch.nn.Linear(dim, n_classes)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(layer.weights[:, :-1]))
        linear.bias.copy_(torch.from_numpy(layer.weights[:, -1]))
    optimizer = optimiser(linear.parameters())
    if how.schedule == "cosine":
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10 * how.epochs)
    else:
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[how.milestone], gamma=0.1)
    done = 0
    for epoch in range(how.epochs):
        order = rng.permutation(n)
        rates = learning_rates(how, done, epoch, 10)
        done = train_epoch(
            layer, x, y, order, rates, batch_size=16, steps_before=done,
            weight_decay=how.weight_decay, decoupled=how.decoupled,
        )  # fmt: skip
        for number, start in enumerate(range(0, n, 16)):
            assert optimizer.param_groups[0]["lr"] == pytest.approx(rates[number], rel=1e-9)
            part = order[start : start + 16]
            optimizer.zero_grad()
            logits = linear(torch.from_numpy(x[part, :-1]))
            torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(y[part])).backward()
            optimizer.step()
            schedule.step()
        if how.schedule == "step":
            schedule.step()  # MERL's code steps it once more after every epoch
    assert done == 40
    np.testing.assert_allclose(layer.weights[:, :-1], linear.weight.detach().numpy(), rtol=2e-3, atol=2e-6)
    np.testing.assert_allclose(layer.weights[:, -1], linear.bias.detach().numpy(), rtol=2e-3, atol=2e-6)


def test_recovers_a_planted_linear_signal():
    features, labels = _cohort(signal=3.0)
    result = epoch_probe(features, labels, SPLIT, settings=replace(QUICK, epochs=30))
    ideal = macro_auroc(labels[320:], features[320:, :3]).macro
    assert result.validation_selected > ideal - 2.0
    assert ideal > 90.0


def test_choosing_on_the_test_set_makes_noise_look_like_signal():
    figures = {"sound": [], "honest": [], "merl": [], "merl, wandering on": []}
    for seed in range(8):
        rng = np.random.default_rng([seed, 7])
        noise, labels = rng.normal(size=(400, 32)), (rng.random((400, 2)) < 0.1).astype(int)
        # Test features of the other sign are noise as well, and turn every AUROC a into 100 - a: what has not looked at
        # the test labels is at 50 on the mean of the two, exactly.
        for features in (noise, np.where((SPLIT == "test")[:, None], -noise, noise)):
            sound = linear_probe(features, labels, SPLIT, n_bootstrap=1)
            merl = epoch_probe(features, labels, SPLIT, protocol="merl", n_bootstrap=1)
            # The published rate falls after 40 steps, and the layer moves little from there.
            how = replace(MERL, schedule="constant")
            wandering = epoch_probe(features, labels, SPLIT, protocol="merl", settings=how, n_bootstrap=1)
            figures["sound"].append(sound.macro_auroc)
            figures["honest"].append(merl.validation_selected)
            figures["merl"].append(merl.macro_auroc)
            figures["merl, wandering on"].append(wandering.macro_auroc)
    mean = {name: float(np.mean(values)) for name, values in figures.items()}
    assert mean["sound"] == pytest.approx(50.0, abs=1e-6)
    assert mean["honest"] == pytest.approx(50.0, abs=0.1)
    assert mean["merl"] > 51.0
    assert mean["merl, wandering on"] > 53.0


def test_the_three_choices_of_epoch_agree_with_the_curves():
    features, labels = _cohort()
    for protocol in ("paper", "merl"):
        result = epoch_probe(features, labels, SPLIT, protocol=protocol, n_bootstrap=20)
        val, test = np.array(result.val_curve), np.array(result.test_curve)
        assert len(val) == len(test) == 100
        assert result.validation_selected == test[val.argmax()]
        assert result.test_selected == test.max()
        assert result.last_epoch == test[-1]
        assert result.inflation == test.max() - test[val.argmax()] >= 0.0
        assert macro_auroc(result.targets, result.scores).macro == result.validation_selected
        if protocol == "merl":
            assert (result.selected_on, result.macro_auroc, result.epoch) == ("test", test.max(), 1 + test.argmax())
        else:
            assert result.selected_on == "validation"
            assert (result.macro_auroc, result.epoch) == (result.validation_selected, 1 + val.argmax())


def test_test_records_influence_the_test_selected_figure_only():
    features, labels = _cohort(signal=0.3)
    a = epoch_probe(features, labels, SPLIT, settings=QUICK, n_bootstrap=20)
    changed = labels.copy()
    changed[320:] = 1 - changed[320:]
    b = epoch_probe(features, changed, SPLIT, settings=QUICK, n_bootstrap=20)
    np.testing.assert_array_equal(a.scores, b.scores)
    assert b.validation_selected == pytest.approx(100.0 - a.validation_selected)
    assert b.test_selected != pytest.approx(100.0 - a.test_selected)


def test_merl_keeps_a_label_that_training_never_saw_and_counts_it():
    features, labels = _cohort()
    labels[:240, 1] = 0
    trained = epoch_probe(features, labels, SPLIT, protocol="merl", settings=replace(MERL, epochs=3), n_bootstrap=20)
    assert (trained.n_defined, trained.n_unseen, trained.n_classes) == (3, 1, 3)
    assert trained.per_class["class 1"] is not None
    labels[320:, 1] = 0
    judged = epoch_probe(features, labels, SPLIT, protocol="merl", settings=replace(MERL, epochs=3), n_bootstrap=20)
    assert (judged.n_defined, judged.n_unseen) == (2, 0)
    assert judged.per_class["class 1"] is None


def test_merl_trains_on_merls_subset():
    features, labels = _cohort()
    order = np.random.RandomState(42).permutation(240)
    outside = np.setdiff1d(np.arange(240), order[-24:])
    how = replace(MERL, epochs=3)
    a = epoch_probe(features, labels, SPLIT, protocol="merl", label_fraction=0.1, settings=how, n_bootstrap=20)
    features[outside] = 1e6
    b = epoch_probe(features, labels, SPLIT, protocol="merl", label_fraction=0.1, settings=how, n_bootstrap=20)
    assert a.n_train == 24
    np.testing.assert_array_equal(a.scores, b.scores)


def test_scaling_is_that_of_the_labelled_training_records():
    features, labels = _cohort()
    how = replace(QUICK, scaling="standardise")
    a = epoch_probe(features, labels, SPLIT, settings=how, n_bootstrap=20)
    b = epoch_probe(features * np.geomspace(1e-3, 1e3, 12) - 7.0, labels, SPLIT, settings=how, n_bootstrap=20)
    np.testing.assert_allclose(a.scores, b.scores, atol=0.02)
    plain = epoch_probe(features * 50.0, labels, SPLIT, settings=QUICK, n_bootstrap=20)
    assert abs(plain.scores).max() > 5.0 * abs(a.scores).max()


def test_same_input_gives_the_same_result_and_plain_json():
    features, labels = _cohort()
    a, b, c = (epoch_probe(features, labels, SPLIT, settings=QUICK, seed=seed, n_bootstrap=20) for seed in (3, 3, 4))
    assert a == b
    assert a != c
    written = json.loads(json.dumps(a.as_dict(), allow_nan=False))
    assert written["settings"]["batch_size"] == 16
    assert written["validation_selected"] == a.validation_selected
    assert len(written["test_curve"]) == 8
    assert "scores" not in written


def test_linear_probe_hands_over_by_protocol():
    features, labels = _cohort()
    for protocol in ("paper", "merl"):
        direct = epoch_probe(features, labels, SPLIT, protocol=protocol, label_fraction=0.5, seed=2, n_bootstrap=20)
        assert direct == linear_probe(
            features, labels, SPLIT, protocol=protocol, label_fraction=0.5, seed=2, n_bootstrap=20
        )
    for wrong in (
        {"protocol": "both"},
        {"protocol": "merl", "c_grid": (1.0,)},
        {"protocol": "merl", "draw": "stratified"},
        {"settings": PAPER},
    ):
        with pytest.raises(ArgumentError):
            linear_probe(features, labels, SPLIT, **wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"milestone": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"weight_decay": -0.1},
        {"schedule": "linear"},
        {"scaling": "minmax"},
        {"draw": "random"},
        {"selected_on": "train"},
    ],
)
def test_bad_settings_are_typed_errors(change):
    with pytest.raises(ArgumentError) as caught:
        EpochSettings(**change)
    assert caught.value.field == next(iter(change))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"features": np.full((400, 12), np.nan)}, ArgumentError, "not finite"),
        ({"groups": np.r_[np.arange(399), 0]}, SplitError, "both train and test"),
        ({"labels": np.zeros((400, 3), int)}, LabelError, "training record"),
        ({"labels": np.eye(400, 3, dtype=int)}, LabelError, "validation split"),
        ({"protocol": "sound"}, ArgumentError, "protocol"),
    ],
)
def test_bad_input_is_a_typed_error(change, error, message):
    features, labels = _cohort()
    with pytest.raises(error, match=message):
        epoch_probe(**{"features": features, "labels": labels, "split": SPLIT, "settings": QUICK} | change)
