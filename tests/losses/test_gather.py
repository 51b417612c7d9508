"""One process with the whole batch, and two with half of it each, must learn the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import ecgscan_lab
from ecgscan_lab.losses.gather import gather_features, gather_rows
from ecgscan_lab.types import Features

PROGRAM = """
import json, sys, torch, torch.distributed as dist
from inspect import signature
from torch.nn.parallel import DistributedDataParallel
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses import LOSSES, as_feature_loss
from ecgscan_lab.losses.gather import gather_features, gather_rows
from ecgscan_lab.losses.objective import Weights, objective
from ecgscan_lab.types import Features

rank, world, meeting = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=world)

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.image = torch.nn.Linear(5, 6, dtype=torch.float64)
        self.text = torch.nn.Linear(5, 6, dtype=torch.float64)
        self.decoder = torch.nn.Linear(5, 12 * 4, dtype=torch.float64)
        self.log_scale = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, pages, reports, signal, target):
        return Features(
            self.image(pages), self.text(reports), signal, self.decoder(pages).reshape(-1, 12, 4), target,
            self.log_scale.exp(), self.log_scale.exp(),
        )

generator = torch.Generator().manual_seed(0)
def draw(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=generator)
batch = 8
data = (draw(batch, 5), draw(batch, 5), draw(batch, 6), draw(batch, 12, 4))
ids = torch.tensor([0, 1, 2, 0, 3, 1, 4, 5])
model = Model()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(draw(*parameter.shape) / 2)
parallel = DistributedDataParallel(model)
mine = slice(rank * batch // world, (rank + 1) * batch // world)
cases = {
    "objective": lambda f: objective(f, text_ids=ids[mine], gather=True).total,
    **{name: as_feature_loss(name, gather=True) for name, f in LOSSES.items() if "image" in signature(f).parameters},
    "gram plane": as_feature_loss("gram", kind="plane_distance", gather=True),
    "own": as_feature_loss(lambda f: (f.image @ f.signal.T).square().mean(), gather=True),
}
out = {}
for name, loss in cases.items():
    model.zero_grad()
    value = loss(parallel(*(part[mine] for part in data)))
    # Losses leave some parameters unused, which DistributedDataParallel wants to hear of.
    (value + 0 * sum(parameter.sum() for parameter in model.parameters())).backward()
    value = value.detach().clone()
    dist.all_reduce(value)
    value /= world
    gradients = {key: p.grad.flatten().tolist() for key, p in model.named_parameters()}
    out[name] = {"loss": float(value), "gradients": gradients}
if world > 1:
    assert gather_rows(ids[mine]).equal(ids)
    try:
        gather_rows(draw(2 + rank, 3))
        raise SystemExit("uneven rows passed")
    except ArgumentError as refused:
        assert refused.field == "rows"
if rank == 0:
    print(json.dumps(out), flush=True)
del parallel  # before the group that it holds, and no process leaves while the other still talks
dist.barrier()
dist.destroy_process_group()
"""


def start(world: int, meeting: Path) -> list[subprocess.Popen]:
    """`world` processes that meet at a file; gloo talks over the loopback interface."""
    environment = os.environ | {
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(Path(ecgscan_lab.__file__).parents[1]),
    }
    return [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), str(world), str(meeting)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]


def answer(processes: list[subprocess.Popen]) -> dict:
    """What the first process printed: the loss and every parameter gradient of each case."""
    answers = [process.communicate(timeout=300) for process in processes]
    for process, (_, complaint) in zip(processes, answers, strict=True):
        assert process.returncode == 0, complaint
    return json.loads(answers[0][0].splitlines()[-1])


@pytest.mark.slow
def test_world_sizes_1_and_2_give_the_same_loss_and_gradients(tmp_path):
    one, two = (start(world, tmp_path / f"meeting_{world}") for world in (1, 2))
    alone, together = answer(one), answer(two)
    assert set(together) == set(alone)
    assert len(alone) > 9
    for name, expected in alone.items():
        assert together[name]["loss"] == pytest.approx(expected["loss"], abs=1e-12), name
        for key, gradient in expected["gradients"].items():
            assert together[name]["gradients"][key] == pytest.approx(gradient, abs=1e-12), (name, key)


def test_one_process_gathers_nothing():
    features = Features(*torch.zeros(3, 2, 4))
    assert gather_features(features) is features
    rows = torch.zeros(2, 4)
    assert gather_rows(rows) is rows
