"""Batches ahead of the step that needs them: the same from a thread, from processes, for any rank; and no hang."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgscan_lab.batch import Fed, FrozenFeatures, PagePlan, Statements, feed, make_batch, step_indices
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import ArgumentError, FeedError, PageError
from ecgscan_lab.types import TripleBatch

N = 12
CLEAN = PagePlan(size=(48, 112))
LAYOUT = PagePlan(size=(48, 64), vary="layout", degrade="paper")
SHIFTED = PagePlan(size=(48, 112), layout_share=0.5, time_shift=True, cover=2)

STORE = """
    import os, signal, time
    import numpy as np
    from ecgscan_lab.errors import RecordError

    class Store:
        '''Recordings in a file that each process opens by itself; one of them may be wicked.'''
        name, data_sha256, fs_hz, n_samples = "store", "", 100.0, 1000
        def __init__(self, path, wicked=None):
            self.path, self.wicked = path, wicked
        def __len__(self):
            return 12
        def read_signals_mv(self, indices):
            if self.wicked and 3 in indices:
                if self.wicked == "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                if self.wicked == "stuck":
                    time.sleep(1000)
                if self.wicked == "memory":
                    raise MemoryError("no room for 3")
                if self.wicked == "typed":
                    raise RecordError("record 3 is damaged", file="3.dat", fix="fetch it again")
                raise ValueError("record 3 is odd")
            return np.load(self.path, mmap_mode="r")[indices]
"""


@pytest.fixture(scope="module")
def cohort():
    return synthetic_cohort(N, seed=0)


@pytest.fixture(scope="module")
def frozen():
    rng = np.random.default_rng(0)
    said = Statements(("a", "b"), np.eye(2, 3), rng.integers(0, 2, (N, 2)), np.zeros(2), np.ones(2))
    signal, text, summary = (rng.normal(size=(N, width)) for width in (4, 3, 5))
    return FrozenFeatures(signal, text, np.arange(N) // 2, said, summary)


@pytest.fixture
def store(cohort, tmp_path, monkeypatch):
    """Makes stores of a class that worker processes can import."""
    (tmp_path / "recordings_in_a_file.py").write_text(textwrap.dedent(STORE))
    np.save(tmp_path / "signals.npy", cohort.signals_mv)
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module("recordings_in_a_file").Store
    yield lambda wicked=None: made(str(tmp_path / "signals.npy"), wicked)
    sys.modules.pop("recordings_in_a_file", None)


def fed(data, frozen, plan=CLEAN, **changes) -> list[Fed]:
    choices = {"batch_size": 4, "seed": 1, "steps": range(6)} | changes
    with closing(feed(data, frozen, plan, np.arange(N), **choices)) as batches:
        return list(batches)


def same(a: TripleBatch, b: TripleBatch) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(a)]
    return all(x is y if x is None or y is None else torch.equal(x, y) for x, y in pairs)


def steps_until(error, data, frozen, **changes) -> tuple[list[int], Exception]:
    seen: list[int] = []
    choices = {"batch_size": 4, "seed": 1, "steps": range(6)} | changes
    with closing(feed(data, frozen, CLEAN, np.arange(N), **choices)) as batches, pytest.raises(error) as caught:
        seen.extend(item.step for item in batches)
    return seen, caught.value


def step_of_record_3() -> int:
    return next(step for step in range(6) if 3 in step_indices(np.arange(N), 4, 1, step)[0])


def test_a_thread_feeds_what_make_batch_makes(cohort, frozen):
    items = fed(cohort, frozen)
    assert [(item.step, item.epoch) for item in items] == [(step, step // 3) for step in range(6)]
    for item in items:
        indices, epoch = step_indices(np.arange(N), 4, 1, item.step)
        assert same(item.batch, make_batch(cohort, frozen, indices, CLEAN, seed=1, epoch=epoch))
        assert item.wait_s >= 0
        assert item.draw_s > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("workers", "on_disk", "plan"),
    [(1, True, CLEAN), (2, False, CLEAN), (2, True, LAYOUT), (2, False, SHIFTED), (2, True, SHIFTED)],
)
def test_any_number_of_workers_gives_the_same_pixels(cohort, store, frozen, workers, on_disk, plan):
    expected = fed(cohort, frozen, plan, steps=range(12))
    items = fed(store() if on_disk else cohort, frozen, plan, steps=range(12), workers=workers)
    assert [item.step for item in items] == list(range(12))
    assert all(same(a.batch, b.batch) for a, b in zip(expected, items, strict=True))
    first = items[0].batch.images.clone()
    items[-1].batch.images.zero_()
    assert torch.equal(items[0].batch.images, first), "a batch owns its memory"
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("plan", [CLEAN, LAYOUT, SHIFTED])
def test_the_parts_of_all_ranks_are_the_batch_of_one_process(cohort, frozen, plan):
    whole = fed(cohort, frozen, plan)
    ranks = [fed(cohort, frozen, plan, rank=rank, world_size=2) for rank in range(2)]
    for one, *parts in zip(whole, *ranks, strict=True):
        for field in fields(one.batch):
            joined = torch.cat([getattr(part.batch, field.name) for part in parts])
            assert torch.equal(joined, getattr(one.batch, field.name))


def test_a_run_that_goes_on_sees_what_it_would_have_seen(cohort, frozen):
    whole, rest = fed(cohort, frozen, LAYOUT), fed(cohort, frozen, LAYOUT, steps=range(4, 6))
    assert [item.step for item in rest] == [4, 5]
    assert all(same(a.batch, b.batch) for a, b in zip(whole[4:], rest, strict=True))
    assert fed(cohort, frozen, steps=range(3, 3)) == []


def test_pages_drawn_by_torch_are_those_of_the_cpu(cohort, frozen):
    from ecgscan_lab.render.tensors import TOLERANCE

    plan = PagePlan(size=(96, 224), vary="looks")
    for a, b in zip(fed(cohort, frozen, plan), fed(cohort, frozen, plan, draw_on="gpu"), strict=True):
        difference = (a.batch.images.int() - b.batch.images.int()).abs()
        assert float((difference > TOLERANCE).float().mean()) < 0.01, "but for a lead name that found another place"
        assert torch.equal(a.batch.signals_mv, b.batch.signals_mv)
        assert torch.equal(a.batch.visible, b.batch.visible)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"workers": -1}, "workers"),
        ({"workers": True}, "workers"),
        ({"draw_on": "paper"}, "draw_on"),
        ({"draw_on": "gpu", "workers": 1}, "workers"),
        ({"draw_on": "gpu", "plan": LAYOUT}, "draw_on"),
        ({"patience_s": 0}, "patience_s"),
        ({"world_size": 3}, "batch_size"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(cohort, frozen, changes, field):
    with pytest.raises(ArgumentError) as caught:
        feed(
            cohort,
            frozen,
            **{"plan": CLEAN, "indices": np.arange(N), "batch_size": 4, "seed": 0, "steps": range(3)} | changes,
        )
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("wicked", "words"), [("typed", "record 3 is damaged"), ("odd", "ValueError: record 3 is odd")]
)
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_record_that_cannot_be_read_stops_its_own_step(store, frozen, wicked, words, workers):
    seen, error = steps_until(FeedError, store(wicked), frozen, workers=workers)
    bad = step_of_record_3()
    assert seen == list(range(bad)), "what came before was fed"
    assert error.what == f"step {bad} (epoch 0) could not be drawn: {words}"
    assert "3" in error.field
    assert error.fix == ("fetch it again" if wicked == "typed" else error.fix)
    assert error.fix
    assert multiprocessing.active_children() == []


def test_a_signal_that_cannot_be_drawn_names_the_step(cohort, frozen):
    class Microvolts:
        fs_hz, n_samples = 100.0, 1000

        def read_signals_mv(self, indices):
            return 1e6 * cohort.read_signals_mv(indices)

    _, error = steps_until(FeedError, Microvolts(), frozen)
    assert "step 0" in error.what
    assert "divide microvolts" in error.fix
    assert isinstance(error.__cause__, PageError)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_an_error_that_names_the_step_and_the_remedy(store, frozen):
    started = time.monotonic()
    _, error = steps_until(FeedError, store("killed"), frozen, workers=2)
    assert "killed by signal 9" in error.what
    # Two workers: the one that has a later batch with record 3 may get to it first.
    with_it = [step for step in range(6) if 3 in step_indices(np.arange(N), 4, 1, step)[0]]
    assert any(error.what.endswith(f"drawing step {step}") for step in with_it)
    assert "fewer workers" in error.fix
    assert multiprocessing.active_children() == []
    assert time.monotonic() - started < 120


@pytest.mark.slow
def test_a_worker_that_is_stuck_or_out_of_memory_is_an_error_too(store, frozen):
    _, error = steps_until(FeedError, store("memory"), frozen, workers=1)
    assert "MemoryError: no room for 3" in error.what
    assert "fewer workers" in error.fix
    _, error = steps_until(FeedError, store("stuck"), frozen, workers=1, patience_s=10.0)
    assert "has not answered for 10 s" in error.what
    assert f"step {step_of_record_3()}" in error.what
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_records_that_cannot_travel_are_refused(cohort, frozen):
    class Local:
        fs_hz, n_samples = 100.0, 1000

        def read_signals_mv(self, indices):
            return cohort.read_signals_mv(indices)

    _, error = steps_until(FeedError, Local(), frozen, workers=1)
    assert error.field == "data"
    assert "workers=0" in error.fix
    assert multiprocessing.active_children() == []


def test_shared_memory_that_does_not_fit_is_refused(cohort, frozen, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(2**20, 2**20, 1000))
    _, error = steps_until(FeedError, cohort, frozen, workers=1)
    assert "MiB of shared memory are needed" in error.what
    assert "workers=0" in error.fix


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_stopping_early_leaves_no_thread_and_no_process(cohort, frozen, workers):
    before = threading.active_count()
    batches = feed(cohort, frozen, CLEAN, np.arange(N), batch_size=4, seed=0, steps=range(10**9), workers=workers)
    assert [next(batches).step, next(batches).step] == [0, 1]
    batches.close()
    assert threading.active_count() == before
    assert multiprocessing.active_children() == []


RUN = """
    import multiprocessing, sys, time
    import numpy as np
    from ecgscan_lab.batch import FrozenFeatures, PagePlan, feed
    from ecgscan_lab.data.synthetic import synthetic_cohort

    if __name__ == "__main__":
        data = synthetic_cohort(12, seed=0)
        frozen = FrozenFeatures(np.zeros((12, 4)), np.zeros((12, 3)), np.arange(12))
        plan = PagePlan(size=(48, 112))
        try:
            batches = feed(data, frozen, plan, np.arange(12), batch_size=4, seed=0, steps=range(10**9), workers=2)
            for item in batches:
                if item.step == 3:
                    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
                time.sleep(0.01)
        except KeyboardInterrupt:
            batches.close()
            print("interrupted", multiprocessing.active_children(), flush=True)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_a_run_that_is_interrupted_or_killed(tmp_path, number):
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(RUN))
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    run = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment)
    pids = [int(pid) for pid in run.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(is_running, pids))
    run.send_signal(number)
    rest, _ = run.communicate(timeout=120)
    assert rest == ("interrupted []\n" if number == signal.SIGINT else "")
    deadline = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_running, pids))
