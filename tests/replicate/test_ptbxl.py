"""A replication from end to end, on a folder in PTB-XL's layout."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from ecgscan_lab.cli import main
from ecgscan_lab.errors import ArgumentError, CheckpointError
from ecgscan_lab.evaluate.cache import weights_sha256
from ecgscan_lab.evaluate.feature_table import read_features
from ecgscan_lab.replicate import judging, ptbxl
from ecgscan_lab.train.loop import load_model
from ecgscan_lab.train.recipe import recipe_differences
from ecgscan_lab.train.recipes import ptbxl_laptop

TASKS = {"super", "sub", "form", "rhythm"}
STAGES = {"prepare", "pretrain", "evaluate", "retrieval", "reconstruction", "photo", "digitised", "teacher"}


@pytest.fixture(scope="module")
def done(replicate, nine_folds, tmp_path_factory):
    out = tmp_path_factory.mktemp("replication") / "out"
    return replicate(nine_folds, out), out


def is_figure(value):
    low, high = value["ci95"]
    return 0 <= low <= high <= 100 and 0 <= value["macro_auroc"] <= 100


def test_every_promised_figure_is_there_and_the_file_is_what_was_returned(done):
    values, out = done
    assert json.loads((out / "replicate.json").read_text()) == json.loads(json.dumps(values))
    encoders = [values["linear_probe"], *(b["linear_probe"] for b in values["baselines"].values())]
    assert set(values["baselines"]) == {"random", "pixels", "digitised", "teacher"}
    for by_task in encoders[:3]:
        assert set(by_task) == TASKS
        assert all(set(by_fraction) <= {"1", "10", "100"} and "100" in by_fraction for by_fraction in by_task.values())
    assert all(is_figure(row) for tasks in encoders for task in tasks.values() for row in task.values())
    assert set(values["zero_shot"]) == TASKS
    assert all(is_figure(row) for row in values["zero_shot"].values())
    assert set(values["retrieval"]) == {"image_text", "image_signal"}
    assert set(values["reconstruction"]) == {"all", "visible", "hidden"}
    assert is_figure(values["photo"])
    assert values["photo"]["clean"]["macro_auroc"] - values["photo"]["macro_auroc"] == pytest.approx(
        values["photo"]["lost"]
    )
    assert values["photo"]["clean"]["macro_auroc"] == pytest.approx(
        values["linear_probe"]["super"]["100"]["macro_auroc"]
    )
    for name in ("seconds", "processor_seconds"):
        assert set(values[name]) == STAGES | {"load", "total"}
        parts = [value for stage, value in values[name].items() if stage != "total"]
        assert values[name]["total"] == pytest.approx(sum(parts), abs=0.02)
    assert values["peak_memory_mb"] is None or values["peak_memory_mb"] > 50
    assert values["folds"] == {"train": [1, 2, 3, 4, 5, 6, 7], "val": [8], "test": [9]}
    assert len(values["data_sha256"]) == 64
    assert values["seed"] == 0


def test_the_report_holds_the_figures_and_the_papers_line(done):
    values, out = done
    text = (out / "report.md").read_text()
    assert f"{values['linear_probe']['super']['100']['macro_auroc']:.2f} [" in text
    assert "| paper, Table 2: ECG-Scan | 90.86 | 85.34 | 84.08 | 93.31 |" in text
    assert "fold 9" in text


def test_the_lead_over_digitising_is_that_of_the_same_pages(done, replicate, nine_folds, tmp_path, monkeypatch):
    """Digitising that gives the encoder's own features is neither better nor worse than the encoder."""
    out = tmp_path / "out"
    shutil.copytree(done[1], out)
    (out / "stages" / "digitised.json").unlink()
    features = read_features(out / "evaluation" / "features.parquet").features

    def encoder_itself(tower, cohort, plan, n_test, say):
        positions = np.concatenate([cohort.indices(name) for name in ("train", "val")] + [cohort.indices("test")[::-1]])
        return positions, features[positions]

    monkeypatch.setattr(judging, "digitised_features", encoder_itself)
    values = replicate(nine_folds, out)
    lead = values["baselines"]["digitised"]["encoder_minus_digitised"]
    assert set(lead) == TASKS
    rows = [row for by_fraction in lead.values() for row in by_fraction.values()]
    assert all(row == {"points": 0.0, "ci95": [0.0, 0.0]} for row in rows)
    assert "+0.00 [+0.0, +0.0]" in (out / "report.md").read_text()


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ({"name": "ptbxl_laptop"}, []),  # another name alone is no change
        ({"lr": 0.25, "steps": 7}, ["lr: 0.25 there, 0.002 here", "steps: 7 there, 4 here"]),
    ],
)
def test_a_recipe_that_is_not_the_named_one_says_so(
    done, replicate, recipe, nine_folds, tmp_path, monkeypatch, named, told
):
    out, said = tmp_path / "out", []
    shutil.copytree(done[1], out)
    given = dataclasses.replace(recipe, **named)
    monkeypatch.setattr(ptbxl, "ptbxl_laptop", lambda profile: given)
    values = replicate(nine_folds, out, say=said.append)
    assert values["recipe_changes"] == told
    text = (out / "report.md").read_text()
    assert f"Recipe `check`{', changed' if told else ''} (profile short), seed 0." in text
    assert ('Changed from `ptbxl_laptop("short")`' in text) == bool(told)
    assert all(f"- `{line.partition(':')[0]}`:{line.partition(':')[2]}" in text.splitlines() for line in told)
    known = " (not check of profile short: it differs in lr, steps)" if told else ""
    assert any(line.endswith(f"; recipe check{known}, seed 0") for line in said)


def test_the_checkpoint_is_accepted_by_embed(done, nine_folds, tmp_path):
    values, out = done
    _, facts = load_model(out / values["checkpoint"])
    assert facts["recipe"]["name"] == "check"
    words = ["embed", f"ptbxl:{nine_folds}", "--checkpoint", str(out / values["checkpoint"])]
    assert main([*words, "--out", str(tmp_path / "features.parquet")]) == 0


def test_a_second_call_does_nothing_again_and_gives_the_same(done, replicate, nine_folds, tmp_path, monkeypatch):
    values, before = done
    out = tmp_path / "out"
    shutil.copytree(before, out)
    for name in ("pretrain", "evaluate_encoders"):
        monkeypatch.setattr(ptbxl, name, lambda *a, **k: pytest.fail("ran again"))
    again = replicate(nine_folds, out)
    for name in set(values) - {"seconds", "processor_seconds", "peak_memory_mb"}:
        assert again[name] == values[name], name


def test_the_folder_may_be_named_from_where_one_stands(done, replicate, nine_folds, tmp_path, monkeypatch):
    values, before = done
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ptbxl, "pretrain", lambda *a, **k: pytest.fail("trained again"))
    shutil.copytree(before, "here")
    (tmp_path / "here" / "stages" / "prepare.json").unlink()  # so that this stage names its files anew
    assert replicate(nine_folds, "here")["linear_probe"] == values["linear_probe"]


@pytest.mark.parametrize("stage", ["evaluate_encoders", "pretrain"])
def test_a_call_that_was_stopped_goes_on_to_the_same_figures(done, replicate, nine_folds, tmp_path, monkeypatch, stage):
    values, _ = done
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(ptbxl, stage, lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            replicate(nine_folds, out)
    assert not (out / "replicate.json").exists()
    prepared = {path: path.stat().st_mtime_ns for path in (out / "frozen").rglob("*.npy")}
    assert prepared
    again = replicate(nine_folds, out)
    assert {path: path.stat().st_mtime_ns for path in (out / "frozen").rglob("*.npy")} == prepared
    assert again["linear_probe"] == values["linear_probe"]
    first, second = (load_model(folder / values["checkpoint"])[0] for folder in (done[1], out))
    assert weights_sha256(first) == weights_sha256(second)


@pytest.mark.parametrize("change", ["seed", "recipe", "data"])
def test_a_folder_of_something_else_is_refused_and_left_as_it_is(
    done, replicate, recipe, nine_folds, ten_folds, change
):
    _, out = done
    before = (out / "replicate.json").read_bytes()
    more = {"seed": {"seed": 1}, "recipe": {"recipe": dataclasses.replace(recipe, lr=0.5)}, "data": {}}[change]
    with pytest.raises(CheckpointError, match="another replication's") as caught:
        replicate(ten_folds if change == "data" else nine_folds, out, **more)
    assert caught.value.field == "out"
    assert (out / "replicate.json").read_bytes() == before


def test_a_folder_with_a_run_that_nobody_claims_is_refused(replicate, nine_folds, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(CheckpointError, match="nothing says of what"):
        replicate(nine_folds, tmp_path)


def test_changed_weights_are_never_trained_over(done, replicate, nine_folds, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[1], out)
    weights = out / "run" / "best.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(CheckpointError, match="changed since"):
        replicate(nine_folds, out)


def test_a_damaged_result_is_made_again(done, replicate, nine_folds, tmp_path):
    values, before = done
    out = tmp_path / "out"
    shutil.copytree(before, out)
    path = out / "stages" / "retrieval.json"
    path.write_text(path.read_text().replace('"n": 12', '"n": 13', 1))
    assert replicate(nine_folds, out)["retrieval"] == values["retrieval"]


def test_fold_10_is_judged_on_where_it_is_there_and_never_trained_on(ten_folds, nine_folds):
    whole, folds = ptbxl.load_split(str(ten_folds), None, None, 0)
    assert folds == {"train": [1, 2, 3, 4, 5, 6, 7, 8], "val": [9], "test": [10]}
    assert ptbxl.load_split(str(ten_folds), 10, None, 0)[1] == folds
    nine, folds = ptbxl.load_split(str(ten_folds), 9, None, 0)
    assert folds == {"train": [1, 2, 3, 4, 5, 6, 7], "val": [8], "test": [9]}
    assert len(nine) == len(whole) - 12
    assert len({whole.data_sha256, nine.data_sha256}) == 2
    assert ptbxl.load_split(str(nine_folds), 9, None, 0)[1] == folds


@pytest.mark.slow
def test_a_whole_replication_on_fold_10(replicate, ten_folds, tmp_path):
    values = replicate(ten_folds, tmp_path / "out", test_fold=10)
    assert values["folds"]["test"] == [10]
    assert values["folds"]["val"] == [9]
    assert "fold 10" in (tmp_path / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("options", "field"), [({"profile": "fast"}, "profile"), ({"test_fold": 4}, "test_fold")]
)  # fmt: skip
def test_unknown_choices_are_refused_by_name(replicate, nine_folds, tmp_path, options, field):
    with pytest.raises(ArgumentError) as caught:
        replicate(nine_folds, tmp_path / "out", **options)
    assert caught.value.field == field


def test_the_command_ends_in_the_same_files(nine_folds, recipe, tmp_path, capsys):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(recipe.as_dict()))
    words = ["replicate", "ptbxl", "--data", str(nine_folds), "--recipe", str(path), "--out", str(tmp_path / "out")]
    assert main([*words, "--seed", "3"]) in (0, 1)
    assert json.loads((tmp_path / "out" / "replicate.json").read_text())["seed"] == 3
    assert "linear probe, super" in capsys.readouterr().out
    assert main([*words, "--seed", "4"]) == 2


@pytest.mark.real
@pytest.mark.slow
def test_real_recordings_go_through(replicate, ptbxl_dir, tmp_path):
    values = replicate(ptbxl_dir, tmp_path / "out", n_records=500)
    assert 9 not in values["folds"]["train"]
    assert set(values["linear_probe"]) == TASKS


def test_the_short_profile_costs_an_eighth_of_the_full_one():
    short, full = (ptbxl_laptop(profile) for profile in ("short", "full"))

    def pixels(recipe):
        return recipe.batch_size * sum(len(steps) * plan.size[0] * plan.size[1] for steps, plan in recipe.phases())

    assert pixels(short) < pixels(full) / 8
    assert short.teacher_steps < full.teacher_steps / 2
    assert ptbxl.JUDGED["short"].n_digitised <= ptbxl.JUDGED["full"].n_digitised / 2
    assert short.weights == full.weights


def test_the_long_profile_is_the_full_one_with_more_steps():
    long, full = (ptbxl_laptop(profile) for profile in ("long", "full"))
    assert [(steps, plan.size) for steps, plan in long.phases()] == [
        (range(2_000), (128, 304)),
        (range(2_000, 6_000), (192, 448)),
    ]
    changed = {line.partition(":")[0] for line in recipe_differences(long.as_dict(), full.as_dict())}
    assert changed == {"steps", "first_share", "validations", "teacher_steps", "teachers"}
    assert ptbxl.JUDGED["long"] == ptbxl.JUDGED["full"]


@pytest.mark.parametrize(("precision", "profile"), [("bf16", "long"), ("fp32", "full"), ("fp16", "full")])
def test_full_is_long_where_bfloat16_is_native(monkeypatch, replicate, nine_folds, tmp_path, precision, profile):
    monkeypatch.setattr(ptbxl, "pick_precision", lambda device: precision)
    assert ptbxl.profile_here("full") == profile
    assert ptbxl.profile_here("short") == "short"
    said = []
    monkeypatch.setattr(ptbxl, "ptbxl_laptop", lambda name: pytest.fail(f"profile {name}"))
    with pytest.raises(pytest.fail.Exception, match=f"profile {profile}"):
        replicate(nine_folds, tmp_path / "out", profile="full", say=said.append)
    assert [line for line in said if "bfloat16" in line] == said[: profile == "long"]
