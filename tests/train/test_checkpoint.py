"""Checkpoints: written whole or not at all, and read back or refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ecgscan_lab.errors import CheckpointError
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint

METADATA = {"recipe": {"name": "tiny", "size": [48, 112]}, "step": 7, "note": '0 °, "quoted"', "none": None}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, generator=generator)
    return {
        "weight": weight,
        "turned": weight.T,
        "shared": weight[1:],
        "half": weight.bfloat16(),
        "count": torch.tensor(5),
        "empty": torch.empty(0, 2),
        "flags": torch.tensor([True, False]),
    }


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def saved(tmp_path) -> Path:
    return save_checkpoint(tmp_path / "run" / "best.safetensors", tensors(), METADATA)


def test_what_was_saved_comes_back_bit_for_bit(saved):
    read, metadata = load_checkpoint(saved)
    assert metadata == METADATA
    assert read.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)
    assert names_in(saved.parent) == ["best.safetensors"]


def test_weights_that_learn_are_saved_without_their_graph(tmp_path):
    weight = torch.nn.Parameter(torch.ones(2))
    read, _ = load_checkpoint(save_checkpoint(tmp_path / "a.safetensors", {"weight": weight}, {}))
    assert torch.equal(read["weight"], torch.ones(2))
    assert not read["weight"].requires_grad


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("problem", [OSError("disk full"), KeyboardInterrupt()], ids=["OSError", "KeyboardInterrupt"])
def test_a_failed_write_leaves_the_old_file_and_no_litter(saved, monkeypatch, call, problem):
    before = saved.read_bytes()

    def fail(*args: object, **kwargs: object) -> None:
        raise problem

    owner = os if call == "fsync" else Path
    with monkeypatch.context() as patch:
        patch.setattr(owner, call, fail)
        with pytest.raises(CheckpointError if isinstance(problem, OSError) else KeyboardInterrupt):
            save_checkpoint(saved, {"weight": torch.zeros(9)}, {})
    assert saved.read_bytes() == before
    assert names_in(saved.parent) == ["best.safetensors"]
    save_checkpoint(saved, {"weight": torch.zeros(9)}, {})
    assert load_checkpoint(saved)[0]["weight"].shape == (9,)


def test_metadata_that_json_cannot_hold_leaves_the_old_file(saved):
    before = saved.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(saved, {}, {"step": object()})
    assert saved.read_bytes() == before
    assert names_in(saved.parent) == ["best.safetensors"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="no such checkpoint") as caught:
        load_checkpoint(tmp_path / "gone.safetensors")
    assert caught.value.file == str(tmp_path / "gone.safetensors")
    assert caught.value.fix
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path)


def refuse(path: Path, blob: bytes) -> CheckpointError:
    path.write_bytes(blob)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    assert caught.value.file == str(path)
    return caught.value


def test_a_truncated_file_is_refused(saved):
    whole = saved.read_bytes()
    for length in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        refuse(saved, whole[:length])
    refuse(saved, whole + b"\0")


def test_one_flipped_bit_anywhere_is_refused(saved, rng):
    whole = np.frombuffer(saved.read_bytes(), np.uint8)
    # Every byte once (at random which of its bits), the header's length with all its bits.
    flips = [*((i, int(rng.integers(8))) for i in range(len(whole))), *((i, b) for i in range(8) for b in range(8))]
    for position, bit in flips:
        damaged = whole.copy()
        damaged[position] ^= 1 << bit
        refuse(saved, damaged.tobytes())


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_safetensors_file_is_refused(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"weight": torch.zeros(2)}, path, metadata)
    with pytest.raises(CheckpointError, match="another program") as caught:
        load_checkpoint(path)
    assert caught.value.file == str(path)


def test_no_pickle_is_ever_opened(tmp_path):
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return pytest.fail, ("a pickle was loaded",)

    refuse(tmp_path / "a.safetensors", pickle.dumps(Trap()))
    torch.save({"weight": torch.zeros(2)}, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "b.safetensors")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    path = save_checkpoint(tmp_path / "a.safetensors", {"good": torch.zeros(2), "bad": torch.tensor([1.0, value])}, {})
    with pytest.raises(CheckpointError, match="not finite") as caught:
        load_checkpoint(path)
    assert (caught.value.file, caught.value.field) == (str(path), "bad")
