"""Two processes learn what one learns from the same global batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ecgscan_lab.errors import TrainingError
from ecgscan_lab.train.processes import Processes, join_processes

RUN = """
import dataclasses, json, os, sys
import torch
sys.path[:0] = sys.argv[3:]
from conftest import TINY, stand_ins
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.train import loop, processes, step
from ecgscan_lab.train.loop import pretrain
from ecgscan_lab.train.recipes import Recipe

kind, out = sys.argv[1], sys.argv[2]
told = processes.join_processes(int(os.environ.get("WORLD_SIZE", "1")))
options = {"steps": 50, "validations": 5, "image_tower": "timm:test_vit", "tower_size": (48, 112), "lr": 1e-3}
if kind == "parts":
    options |= {"micro_batch": 2, "weight_average": 0.9, "multi_positive": True, "weights": Weights(w_distillation=0.5)}
loop.LOG_EVERY = 1
cohort = synthetic_cohort(60, seed=0)
frozen = stand_ins(cohort)
if kind == "parts":
    frozen = dataclasses.replace(frozen, signal_summary=frozen.signal)
if kind == "bad":
    options["max_bad_steps"] = 3
    frozen.text[cohort.indices("train")[0]] = float("nan")
try:
    run = pretrain(cohort, frozen, Recipe("two", **{**TINY, **options}), out, seed=0)
    rows = [dict(row) for row in run.history]
except Exception as error:
    rows = [{"error": type(error).__name__, "text": str(error)}]
if told.leads:
    weight = None if "error" in rows[0] else run.model.project_text[0].weight.tolist()
    print(json.dumps({"world_size": told.world_size, "rows": rows, "weight": weight}))
"""


def launch(n: int, kind: str, out: Path) -> dict[str, object]:
    here = Path(__file__).parent
    script = out.parent / f"run-{kind}-{n}.py"
    script.write_text(RUN)
    arguments = [str(script), kind, str(out), str(here), str(here.parents[1])]
    start = [sys.executable]
    if n > 1:
        start += ["-m", "torch.distributed.run", "--nproc_per_node", str(n), "--master_addr", "127.0.0.1"]
        start += ["--master_port", "0", "--rdzv_backend", "c10d", "--rdzv_endpoint", "127.0.0.1:0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*start, *arguments], capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "parts"])
def test_two_processes_lose_what_one_loses(tmp_path, kind):
    pytest.importorskip("timm")
    one, two = launch(1, kind, tmp_path / "one"), launch(2, kind, tmp_path / "two")
    assert (one["world_size"], two["world_size"]) == (1, 2)
    assert len(one["rows"]) == len(two["rows"]) == 55
    worst = 0.0
    for ours, theirs in zip(one["rows"], two["rows"], strict=True):
        assert (ours["step"], ours["split"]) == (theirs["step"], theirs["split"])
        for name in ("total", "contrastive", "gram", "mse", "rule"):
            worst = max(worst, abs(ours[name] - theirs[name]))
    print(f"{kind}: largest difference of a loss over 50 steps {worst:.1e}")
    assert worst < 1e-5
    assert one["rows"][-2]["total"] < 0.9 * one["rows"][0]["total"], "and something was learnt"
    assert torch.allclose(torch.tensor(one["weight"]), torch.tensor(two["weight"]), atol=1e-4)


@pytest.mark.slow
def test_a_bad_record_stops_both_processes_together(tmp_path):
    pytest.importorskip("timm")
    told = launch(2, "bad", tmp_path / "bad")
    assert told["rows"][0]["error"] == "TrainingError", told
    assert len((tmp_path / "bad" / "bad_batches.jsonl").read_text().splitlines()) == 3


def test_alone_nothing_has_to_be_launched(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = join_processes()
    assert (alone.rank, alone.world_size, alone.leads) == (0, 1, True)
    assert not torch.distributed.is_initialized()


def test_fewer_processes_than_promised_are_an_error(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(TrainingError, match="2 processes were asked for, 1 came") as caught:
        join_processes(2)
    assert "torchrun" in caught.value.fix


def test_one_process_talks_to_nobody():
    one = Processes(torch.device("cpu"))
    tensor = torch.ones(2)
    one.average([tensor])
    one.share_first([tensor])
    one.wait()
    assert one.largest(1.0, 2.0) == [1.0, 2.0]
    assert one.average_parts({"total": 3.0}) == {"total": 3.0}
    assert torch.equal(tensor, torch.ones(2))
