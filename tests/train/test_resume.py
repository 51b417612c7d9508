"""A run that was stopped, anywhere and however, ends with the very weights of one that was not."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import FrozenFeatures
from ecgscan_lab.errors import ArgumentError, CheckpointError, EcgScanLabError
from ecgscan_lab.train import loop
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint
from ecgscan_lab.train.loop import Pretrained, load_model, pretrain


class StopError(Exception):
    """Stands in for a power cut: nothing is saved on the way out."""


def untimed(rows: object) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if k != "seconds" and not k.endswith("_s")} for row in rows]


def assert_same_run(folder: Path, other: Path, first: Pretrained | None = None, second: Pretrained | None = None):
    """Weights, optimiser and history, to the bit."""
    for name in ("last.safetensors", "best.safetensors"):
        (ours, facts), (theirs, there) = load_checkpoint(folder / name), load_checkpoint(other / name)
        assert ours.keys() == theirs.keys()
        assert [k for k in ours if not torch.equal(ours[k], theirs[k])] == []
        assert (facts["step"], facts["validation_loss"]) == (there["step"], there["validation_loss"])
        if name.startswith("last"):
            assert any("optimizer" in k for k in ours)
            assert untimed(facts["run"]["rows"]) == untimed(there["run"]["rows"])
    if first is not None:
        assert first.best_step == second.best_step
        assert untimed(first.history) == untimed(second.history)


def stop_at(step: int, split: str, error: BaseException):
    def on_step(row: object) -> None:
        if (row["step"], row["split"]) == (step, split):
            raise error

    return on_step


@pytest.fixture(scope="module")
def whole(cohort, frozen, short, tmp_path_factory) -> tuple[Path, Pretrained]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, pretrain(cohort, frozen, short, folder, seed=0)


@pytest.mark.parametrize(("step", "split"), [(0, "train"), (3, "train"), (3, "val"), (7, "train"), (7, "val")])
@pytest.mark.parametrize("error", [KeyboardInterrupt, StopError])
def test_a_stopped_run_goes_on_to_the_same_bits(whole, cohort, frozen, short, tmp_path, step, split, error):
    with pytest.raises(error):
        pretrain(cohort, frozen, short, tmp_path, seed=0, on_step=stop_at(step, split, error()), save_every=2)
    torch.manual_seed(5)  # and nothing depends on it
    run = pretrain(cohort, frozen, short, tmp_path, seed=0, resume=True)
    assert_same_run(whole[0], tmp_path, whole[1], run)


def test_a_run_stopped_at_every_step_goes_on_to_the_same_bits(whole, cohort, frozen, short, tmp_path, monkeypatch):
    taken = loop.take_training_step
    with monkeypatch.context() as patch:
        for step in range(short.steps):

            def cut(learner, fed, *, last=step, **kwargs):
                if fed.step > last:
                    raise StopError
                return taken(learner, fed, **kwargs)

            patch.setattr(loop, "take_training_step", cut)
            if step < short.steps - 1:
                with pytest.raises(StopError):
                    pretrain(cohort, frozen, short, tmp_path, seed=0, resume=True, save_every=1)
                assert load_checkpoint(tmp_path / "last.safetensors")[1]["step"] == step
    run = pretrain(cohort, frozen, short, tmp_path, seed=0, resume=True)
    assert_same_run(whole[0], tmp_path, whole[1], run)


@pytest.mark.parametrize("nth", range(1, 6))
@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_cut_in_the_midst_of_writing_leaves_the_checkpoint_before(
    whole, cohort, frozen, short, tmp_path, monkeypatch, nth, moment
):
    owner = os if moment == "fsync" else Path
    real, calls = getattr(owner, moment), []

    def cut(*args, **kwargs):
        calls.append(1)
        if len(calls) == nth:
            raise StopError
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, moment, cut)
        with pytest.raises(StopError):
            pretrain(cohort, frozen, short, tmp_path, seed=0, save_every=2)
    for path in tmp_path.glob("*.safetensors"):
        load_checkpoint(path)  # whole, whichever it is
    run = pretrain(cohort, frozen, short, tmp_path, seed=0, resume=True)
    assert_same_run(whole[0], tmp_path, whole[1], run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors", "last.safetensors"]


def test_dropout_averages_and_parts_go_on_to_the_same_bits_too(cohort, frozen, short, tmp_path, monkeypatch):
    built = loop.make_learner

    def with_dropout(*args, **kwargs):
        learner = built(*args, **kwargs)
        learner.model.project_contrastive.append(torch.nn.Dropout(0.3))
        return learner

    monkeypatch.setattr(loop, "make_learner", with_dropout)
    recipe = dataclasses.replace(short, weight_average=0.9, micro_batch=3)
    first = pretrain(cohort, frozen, recipe, tmp_path / "a", seed=0)
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            cohort, frozen, recipe, tmp_path / "b", seed=0, on_step=stop_at(3, "train", KeyboardInterrupt()), workers=0
        )
    second = pretrain(cohort, frozen, recipe, tmp_path / "b", seed=0, resume=True)
    assert_same_run(tmp_path / "a", tmp_path / "b", first, second)


def test_the_average_of_the_weights_is_what_is_judged_and_kept(cohort, frozen, short, tmp_path):
    once = dataclasses.replace(short, validations=1)
    plain = pretrain(cohort, frozen, once, tmp_path / "plain", seed=0)
    averaged = pretrain(cohort, frozen, dataclasses.replace(once, weight_average=0.9), tmp_path / "a", seed=0)
    train = [[row["total"] for row in run.history if row["split"] == "train"] for run in (plain, averaged)]
    val = [[row["total"] for row in run.history if row["split"] == "val"] for run in (plain, averaged)]
    assert train[0] == train[1], "training itself is the same"
    assert val[0] != val[1]
    weights = load_model(averaged.checkpoint)[0].state_dict()
    last = load_checkpoint(tmp_path / "a" / "last.safetensors")[0]
    assert torch.equal(weights["project_text.0.weight"], last["run/average/project_text.0.weight"])
    assert not torch.equal(weights["project_text.0.weight"], last["project_text.0.weight"])


def test_a_finished_run_is_not_trained_again(whole, cohort, frozen, short, tmp_path, monkeypatch):
    folder, first = whole
    monkeypatch.setattr(loop, "take_training_step", lambda *args, **kwargs: pytest.fail("trained again"))
    again = pretrain(cohort, frozen, short, folder, seed=0, resume=True)
    assert untimed(again.history) == untimed(first.history)


def test_resume_without_anything_to_resume_begins(whole, cohort, frozen, short, tmp_path):
    run = pretrain(cohort, frozen, short, tmp_path / "new", seed=0, resume=True)
    assert_same_run(whole[0], tmp_path / "new", whole[1], run)


def test_a_run_that_begins_anew_forgets_the_one_before(cohort, frozen, short, tmp_path):
    pretrain(cohort, frozen, short, tmp_path, seed=0)
    with pytest.raises(StopError):
        pretrain(cohort, frozen, short, tmp_path, seed=1, on_step=stop_at(0, "train", StopError()))
    assert not (tmp_path / "best.safetensors").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda r, c, f: (dataclasses.replace(r, lr=1e-3), c, f, 0), "lr: 0.005 there, 0.001 here"),
        (lambda r, c, f: (dataclasses.replace(r, lora_rank=4), c, f, 0), "lora_rank: 16 there, 4 here"),
        (lambda r, c, f: (r, c, f, 1), "seed: 0 there, 1 here"),
        (lambda r, c, f: (r, dataclasses.replace(c, data_sha256="0" * 64), f, 0), "data_sha256"),
        (lambda r, c, f: (r, c, FrozenFeatures(f.signal + 1, f.text, f.text_ids), 0), "features_sha256"),
        (lambda r, c, f: (r, c, FrozenFeatures(f.signal, f.text, f.text_ids + 1), 0), "features_sha256"),
        (lambda r, c, f: (r, c, dataclasses.replace(f, signal_summary=f.signal), 0), "features_sha256"),
        (
            lambda r, c, f: (dataclasses.replace(r, weights=dataclasses.replace(r.weights, theta=0.2)), c, f, 0),
            "weights.theta: 0.05 there, 0.2 here",
        ),
    ],
    ids=["lr", "lora", "seed", "data", "signal", "text", "summary", "weights"],
)
def test_another_run_is_refused_by_name(whole, cohort, frozen, short, change, named):
    folder, before = whole[0], (whole[0] / "last.safetensors").read_bytes()
    recipe, data, features, seed = change(short, cohort, frozen)
    with pytest.raises(CheckpointError, match="another run") as caught:
        pretrain(data, features, recipe, folder, seed=seed, resume=True)
    assert named in str(caught.value)
    assert (folder / "last.safetensors").read_bytes() == before


def test_a_run_written_before_a_field_was_known_goes_on(whole):
    from ecgscan_lab.train.state import refuse_other_run

    facts = load_checkpoint(whole[0] / "last.safetensors")[1]
    weights = {name: value for name, value in facts["recipe"]["weights"].items() if name != "w_distillation"}
    refuse_other_run(whole[0], facts, {**facts, "recipe": {**facts["recipe"], "weights": weights}})
    other = {**facts["recipe"], "weights": {**weights, "colour": "red"}}
    with pytest.raises(CheckpointError, match="colour"):
        refuse_other_run(whole[0], facts, {**facts, "recipe": other})


def test_a_distilled_run_that_was_stopped_ends_where_it_would_have(cohort, frozen, short, tmp_path):
    summary = np.random.default_rng(2).normal(size=(len(cohort), 5)).astype(np.float32)
    features = dataclasses.replace(frozen, signal_summary=summary)
    recipe = dataclasses.replace(short, weights=dataclasses.replace(short.weights, w_distillation=1.0))
    whole = pretrain(cohort, features, recipe, tmp_path / "whole", seed=0).model
    with pytest.raises(StopError):
        pretrain(cohort, features, recipe, tmp_path / "parts", seed=0, on_step=stop_at(3, "val", StopError()))
    again = pretrain(cohort, features, recipe, tmp_path / "parts", seed=0, resume=True).model
    assert torch.equal(whole.predict_summary.weight, again.predict_summary.weight)


def test_distillation_without_a_summary_is_refused_before_anything_is_removed(cohort, frozen, short, tmp_path):
    recipe = dataclasses.replace(short, weights=dataclasses.replace(short.weights, w_distillation=1.0))
    (tmp_path / "best.safetensors").write_bytes(b"an earlier run")
    with pytest.raises(ArgumentError, match="no summary"):
        pretrain(cohort, frozen, recipe, tmp_path, seed=0)
    assert (tmp_path / "best.safetensors").exists()


def test_every_difference_is_named_at_once(whole, cohort, frozen, short):
    with pytest.raises(CheckpointError) as caught:
        pretrain(cohort, frozen, dataclasses.replace(short, lr=1e-3, steps=9), whole[0], seed=1, resume=True)
    for name in ("lr:", "steps:", "seed:"):
        assert name in str(caught.value)


def test_another_number_of_processes_matters_where_norms_see_the_batch(whole):
    from ecgscan_lab.train.state import refuse_other_run

    facts = load_checkpoint(whole[0] / "last.safetensors")[1]
    assert facts["batch_norms"]
    with pytest.raises(CheckpointError, match="world_size: 2 there, 1 here"):
        refuse_other_run(Path("last"), facts, {**facts, "world_size": 2})
    calm = {**facts, "batch_norms": False}
    refuse_other_run(Path("last"), calm, {**calm, "world_size": 2})


def test_weights_without_a_state_cannot_be_resumed(whole, cohort, frozen, short, tmp_path):
    tensors, facts = load_checkpoint(whole[0] / "best.safetensors")
    save_checkpoint(tmp_path / "last.safetensors", tensors, facts)
    with pytest.raises(CheckpointError, match="without the state"):
        pretrain(cohort, frozen, short, tmp_path, seed=0, resume=True)


def test_a_damaged_checkpoint_is_refused_and_left_alone(whole, cohort, frozen, short, tmp_path):
    damaged = (whole[0] / "last.safetensors").read_bytes()[:-1]
    (tmp_path / "last.safetensors").write_bytes(damaged)
    with pytest.raises(CheckpointError):
        pretrain(cohort, frozen, short, tmp_path, seed=0, resume=True)
    assert (tmp_path / "last.safetensors").read_bytes() == damaged


RUN = """
import dataclasses, sys
sys.path[:0] = sys.argv[3:]
from conftest import TINY, stand_ins
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.train.loop import pretrain
from ecgscan_lab.train.recipes import Recipe
cohort = synthetic_cohort(60, seed=0)
recipe = Recipe("killed", **{**TINY, "steps": int(sys.argv[2]), "validations": 8})
print("ready", flush=True)
pretrain(cohort, stand_ins(cohort), recipe, sys.argv[1], seed=0, resume=True, save_every=3)
"""


def start(folder: Path, steps: int) -> subprocess.Popen[str]:
    here = Path(__file__).parent
    command = [sys.executable, "-c", RUN, str(folder), str(steps), str(here), str(here.parents[1])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


KILLS = """
import json, os, signal, sys, time
import numpy as np
sys.path[:0] = sys.argv[3:]
from conftest import TINY, stand_ins
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import EcgScanLabError
from ecgscan_lab.train.checkpoint import load_checkpoint
from ecgscan_lab.train.loop import load_model, pretrain
from ecgscan_lab.train.recipes import Recipe

whole, killed = sys.argv[1:3]
cohort = synthetic_cohort(60, seed=0)
recipe, frozen = Recipe("killed", **{**TINY, "steps": 200, "validations": 8}), stand_ins(cohort)

def start(folder):
    child = os.fork()  # everything is imported, and no thread runs yet
    if child == 0:
        pretrain(cohort, frozen, recipe, folder, seed=0, resume=True, save_every=2)
        os._exit(0)
    return child

began = time.perf_counter()
assert os.waitpid(start(whole), 0)[1] == 0
lasted, rng, reached, kills = time.perf_counter() - began, np.random.default_rng(), [], 0
while kills < 20:
    last, child, begun = f"{killed}/last.safetensors", start(killed), time.monotonic()
    old = os.stat(last).st_mtime_ns if os.path.exists(last) else None
    if kills % 4:  # wait for something new, so that the run gets on; every fourth time not even that
        while not os.path.exists(last) or os.stat(last).st_mtime_ns == old:
            assert time.monotonic() - begun < 60, "no checkpoint"
            time.sleep(0.002)
    time.sleep(float(rng.uniform(0, 0.03)) * lasted)
    os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] != signal.SIGKILL:
        break
    kills += 1
    for name in ("last", "best"):
        path = f"{killed}/{name}.safetensors"
        if os.path.exists(path):
            step = load_checkpoint(path)[1]["step"]
            if name == "last":
                reached.append(step)
            load_model(path)
assert os.waitpid(start(killed), 0)[1] == 0
print(json.dumps({"kills": kills, "reached": reached, "seconds": lasted}))
"""


@pytest.mark.slow
def test_twenty_kills_at_random_points_and_the_same_bits(tmp_path):
    here = Path(__file__).parent
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-c", KILLS, str(whole), str(killed), str(here), str(here.parents[1])]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=550, env=environment)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    print(told)
    assert told["kills"] == 20
    assert told["reached"] == sorted(told["reached"])
    assert len(set(told["reached"])) > 3, "and it got on between the kills"
    assert_same_run(whole, killed)


def test_a_terminated_run_saves_and_goes_on(tmp_path):
    process = start(tmp_path / "stopped", 300)
    process.stdout.readline()
    while not (tmp_path / "stopped" / "last.safetensors").exists():
        time.sleep(0.05)
        assert process.poll() is None, process.stderr.read()
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, errors
    facts = load_checkpoint(tmp_path / "stopped" / "last.safetensors")[1]
    assert 0 < facts["step"] < 299
    assert not [path.name for path in (tmp_path / "stopped").iterdir() if "lock" in path.name]


def test_two_runs_in_one_folder_are_refused(cohort, frozen, short, tmp_path):
    def second(row: object) -> None:
        with pytest.raises(EcgScanLabError, match="another run is writing") as caught:
            pretrain(cohort, frozen, short, tmp_path, seed=1)
        assert caught.value.file == str(tmp_path)

    pretrain(cohort, frozen, dataclasses.replace(short, steps=1, validations=1), tmp_path, seed=0, on_step=second)
    assert json.dumps(load_checkpoint(tmp_path / "last.safetensors")[1]["seed"]) == "0"
