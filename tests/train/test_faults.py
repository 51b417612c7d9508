"""What goes wrong in a run is named, counted and survived; nothing is half-written."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import signal
import threading

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import FrozenFeatures, step_indices
from ecgscan_lab.errors import CheckpointError, MemoryFullError, SplitError, TrainingError
from ecgscan_lab.train import loop, step
from ecgscan_lab.train.checkpoint import load_checkpoint
from ecgscan_lab.train.interrupts import StoppedError, deferred_signals, sigterm_stops
from ecgscan_lab.train.loop import pretrain
from ecgscan_lab.train.run_folder import claimed


def poisoned(steps, value=math.nan):
    """A loss that is not finite at these calls, and near the objective's image-text part at the others."""
    calls = iter(range(10_000))

    def loss(features):
        total = (features.image - features.signal).square().mean()
        return total * value if next(calls) in steps else total

    return loss


@pytest.fixture
def only_training_calls(monkeypatch):
    """Validation says 1, so that calls of the loss are steps."""
    monkeypatch.setattr(loop, "validation_loss", lambda *args, **kwargs: {"total": 1.0})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_not_finite_changes_nothing_and_is_written_down(
    cohort, frozen, short, tmp_path, only_training_calls, value
):
    states = []

    def watch(row):
        states.append((row["step"], row["total"]))

    once = dataclasses.replace(short, steps=6, validations=1)
    run = pretrain(cohort, frozen, once, tmp_path / "bad", seed=0, loss=poisoned({2, 4}, value), on_step=watch)
    lines = [json.loads(line) for line in (tmp_path / "bad" / "bad_batches.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    for line in lines:
        wanted, _ = step_indices(cohort.indices("train"), once.batch_size, 0, line["step"])
        assert line["positions"] == wanted.tolist()
        assert set(line) == {"step", "epoch", "reason", "positions", "parts"}
        assert line["reason"] == "the loss is not finite"
    assert [s for s, total in states if not math.isfinite(total)] == [2, 4], "and shown as they happen"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in run.model.state_dict().values())
    assert load_checkpoint(tmp_path / "bad" / "last.safetensors")[1]["run"]["bad"] == lines


def test_weights_optimiser_and_running_means_stay_as_they_were(cohort, frozen, short, tmp_path, monkeypatch):
    taken, seen = loop.take_training_step, {}

    def watch(learner, fed, **kwargs):
        before = {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
        moments = [{k: v.clone() for k, v in part.items()} for part in learner.optimizer.state.values()]
        result = taken(learner, fed, **kwargs)
        seen[fed.step] = [name for name, t in learner.model.state_dict().items() if not torch.equal(t, before[name])]
        after = list(learner.optimizer.state.values())
        if moments and all(torch.equal(v, after[i][k]) for i, part in enumerate(moments) for k, v in part.items()):
            seen[fed.step].append("moments kept")
        return result

    monkeypatch.setattr(loop, "take_training_step", watch)
    once = dataclasses.replace(short, steps=4, validations=1)
    pretrain(cohort, frozen, once, tmp_path, seed=0, loss=poisoned({2}))
    assert seen[2] == ["moments kept"]
    assert "tower.stem.1.running_mean" in seen[1]
    assert "moments kept" not in seen[3]


def test_a_gradient_that_is_not_finite_is_skipped_too(cohort, frozen, short, tmp_path, only_training_calls):
    calls = iter(range(100))

    def loss(features):
        total = (features.image - features.signal).square().mean()
        rooted = (features.image.sum() * 0).abs().sqrt()  # 0, with an infinite slope
        return total + rooted if next(calls) == 1 else total

    once = dataclasses.replace(short, steps=3, validations=1)
    pretrain(cohort, frozen, once, tmp_path, seed=0, loss=loss)
    (line,) = (tmp_path / "bad_batches.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == "a gradient is not finite"


def test_too_many_bad_steps_end_the_run_with_advice(cohort, frozen, short, tmp_path, only_training_calls):
    limited = dataclasses.replace(short, max_bad_steps=3)
    with pytest.raises(TrainingError, match="3 steps were skipped") as caught:
        pretrain(cohort, frozen, limited, tmp_path, seed=0, loss=poisoned(range(1, 100)))
    assert caught.value.file == str(tmp_path / "bad_batches.jsonl")
    assert "lr" in caught.value.fix
    assert load_checkpoint(tmp_path / "last.safetensors")[1]["step"] == 3


def test_a_bad_record_in_the_features_is_found(cohort, frozen, short, tmp_path):
    text = frozen.text.copy()
    record = cohort.indices("train")[0]
    text[record] = np.nan
    once = dataclasses.replace(short, steps=5, validations=1)
    pretrain(cohort, FrozenFeatures(frozen.signal, text, frozen.text_ids), once, tmp_path, seed=0)
    lines = [json.loads(line) for line in (tmp_path / "bad_batches.jsonl").read_text().splitlines()]
    assert lines
    assert all(int(record) in line["positions"] for line in lines)


def test_a_bad_record_in_the_summary_is_a_bad_step_too(cohort, frozen, short, tmp_path):
    summary = np.ones((len(cohort), 3), np.float32)
    summary[cohort.indices("train")[0]] = np.nan
    weights = dataclasses.replace(short.weights, w_distillation=1.0)
    once = dataclasses.replace(short, steps=5, validations=1, weights=weights)
    pretrain(cohort, dataclasses.replace(frozen, signal_summary=summary), once, tmp_path, seed=0)
    assert (tmp_path / "bad_batches.jsonl").read_text().splitlines()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        MemoryError("no"),
    ],
    ids=["gpu", "cpu", "numpy"],
)
def test_full_memory_is_an_error_with_advice_and_changes_nothing(cohort, frozen, short, tmp_path, monkeypatch, error):
    real, calls = step.backward, []

    def full(*args, **kwargs):
        calls.append(kwargs["parts"])
        if len(calls) == 6:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(step, "backward", full)
    with pytest.raises(MemoryFullError) as caught:
        pretrain(cohort, frozen, short, tmp_path, seed=0)
    assert caught.value.__cause__ is error
    for remedy in ("micro_batch=4", "checkpointing=True", "precision"):
        assert remedy in caught.value.fix
    assert load_checkpoint(tmp_path / "last.safetensors")[1]["step"] == 3, "what was saved stays"
    assert len(calls) == 6, "and nothing was tried again behind the reader's back"


def test_another_runtime_error_stays_what_it_is(cohort, frozen, short, tmp_path):
    def loss(features):
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ") as caught:
        pretrain(cohort, frozen, short, tmp_path, seed=0, loss=loss)
    assert not isinstance(caught.value, TrainingError)


def test_a_full_disk_leaves_the_last_good_checkpoint(cohort, frozen, short, tmp_path, monkeypatch):
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(1)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(CheckpointError, match="No space") as caught:
            pretrain(cohort, frozen, short, tmp_path, seed=0, save_every=1)
    assert "make room" in caught.value.fix
    assert load_checkpoint(tmp_path / "last.safetensors")[1]["step"] >= 0
    assert {path.name for path in tmp_path.iterdir()} <= {"last.safetensors", "best.safetensors"}
    run = pretrain(cohort, frozen, short, tmp_path, seed=0, resume=True)
    assert run.history.rows[-1]["step"] == short.steps - 1


def test_a_patient_in_two_splits_is_refused_unless_the_recipe_says_so(cohort, frozen, short, tmp_path):
    train, val = cohort.indices("train")[0], cohort.indices("val")[0]
    records = list(cohort.records)
    records[val] = dataclasses.replace(records[val], patient_id=cohort.patients[train])
    shared = dataclasses.replace(cohort, records=tuple(records))
    with pytest.raises(SplitError, match="1 patients have records in both") as caught:
        pretrain(shared, frozen, short, tmp_path / "a", seed=0)
    assert caught.value.field == "split_by"
    by_record = dataclasses.replace(short, steps=1, validations=1, split_by="record")
    pretrain(shared, frozen, by_record, tmp_path / "b", seed=0)


def test_a_judges_numbers_join_the_row_and_trackers_are_closed(cohort, frozen, short, tmp_path):
    class Tracker:
        def __init__(self):
            self.rows, self.closed = [], False

        def __call__(self, row):
            self.rows.append(row)

        def close(self):
            self.closed = True

    def judge(model, at):
        assert not model.training
        return {"rank": float(at)}

    tracker = Tracker()
    run = pretrain(cohort, frozen, short, tmp_path, seed=0, judge=judge, trackers=[tracker])
    assert [row["rank"] for row in run.history if row["split"] == "val"] == [3.0, 7.0]
    assert tuple(tracker.rows) == run.history.rows
    assert tracker.closed
    plain = pretrain(cohort, frozen, short, tmp_path, seed=0)
    assert plain.history.rows[-1]["total"] == run.history.rows[-1]["total"], "and a judge changes nothing"


def test_rows_say_where_the_time_went(cohort, frozen, short, tmp_path):
    run = pretrain(cohort, frozen, short, tmp_path, seed=0)
    row = next(row for row in run.history if row["split"] == "train")
    for name in ("wait_s", "draw_s", "forward_s", "backward_s", "optimizer_s", "images_per_s"):
        assert row[name] > 0 if name != "wait_s" else row[name] >= 0


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_signals_wait_for_the_end_of_the_step_and_handlers_come_back(cohort, frozen, short, tmp_path, kind):
    before = signal.getsignal(kind)

    def ask(row):
        if row["step"] == 0:
            os.kill(os.getpid(), kind)

    with pytest.raises(KeyboardInterrupt if kind == signal.SIGINT else StoppedError) as caught:
        pretrain(cohort, frozen, short, tmp_path, seed=0, on_step=ask)
    assert signal.getsignal(kind) is before
    assert load_checkpoint(tmp_path / "last.safetensors")[1]["step"] == 0
    if kind == signal.SIGTERM:
        assert caught.value.code == 143


def test_other_threads_leave_handlers_alone():
    found = []

    def inside():
        with deferred_signals():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_folder_is_held_once_and_let_go_of(tmp_path):
    with claimed(tmp_path), pytest.raises(CheckpointError, match="another run"), claimed(tmp_path):
        pytest.fail("held twice")
    with claimed(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError) as caught, claimed(tmp_path / "file" / "run"):
        pass
    assert caught.value.file == str(tmp_path / "file" / "run")


def test_sigterm_between_trainings_stops_at_once_and_the_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError) as caught, sigterm_stops():
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    with sigterm_stops(), deferred_signals() as asked:
        signal.raise_signal(signal.SIGTERM)
        assert asked.signal == signal.SIGTERM
