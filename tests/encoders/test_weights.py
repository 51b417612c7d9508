"""Weights on disk: what is read, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ecgscan_lab.encoders.weights import StoredTensors, load_strictly, read_config
from ecgscan_lab.errors import CheckpointError


def test_only_what_is_wanted_is_read(tmp_path):
    save_file({"a.x": torch.ones(2), "b.y": torch.zeros(3)}, tmp_path / "w.safetensors")
    stored = StoredTensors(tmp_path / "w.safetensors")
    assert stored.names == ["a.x", "b.y"]
    assert list(stored.read(lambda name: name.startswith("a."))) == ["a.x"]
    assert StoredTensors(tmp_path).names == stored.names, "the only safetensors file of the folder"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt"])
def test_pickles_are_refused_with_the_remedy(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(CheckpointError, match="pickle") as caught:
            StoredTensors(path)
        assert "weights_only=True" in (caught.value.fix or "")


def test_the_remedy_for_a_pickle_works(tmp_path):
    import subprocess
    import sys

    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as caught:
        StoredTensors(tmp_path)
    code = (caught.value.fix or "").partition('python -c "')[2].rstrip('"')
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert StoredTensors(tmp_path).names == ["bias", "weight"]


def test_folders_without_one_clear_file_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="0 safetensors"):
        StoredTensors(tmp_path)
    for name in "ab":
        save_file({"x": torch.ones(1)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(CheckpointError, match="2 safetensors"):
        StoredTensors(tmp_path)
    with pytest.raises(CheckpointError, match="no such weights"):
        StoredTensors(tmp_path / "absent")


def test_damage_is_an_error(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"x": torch.ones(100)}, file)
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(CheckpointError, match="cannot read the weights"):
        StoredTensors(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="not a JSON object"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="cannot read the configuration"):
        read_config(file)


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/outside.safetensors"])
def test_shards_stay_in_their_folder(tmp_path, shard):
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": shard}}))
    with pytest.raises(CheckpointError, match="outside the folder"):
        StoredTensors(tmp_path)


def test_a_refused_load_leaves_the_module_as_it_was():
    module = nn.Linear(2, 2)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    good = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    for wrong in ({"weight": good["weight"]}, {**good, "extra": good["bias"]}, {**good, "bias": torch.ones(3)}):
        with pytest.raises(CheckpointError):
            load_strictly(module, wrong, "w.safetensors")
        assert all(torch.equal(module.state_dict()[name], tensor) for name, tensor in before.items())
    load_strictly(module, good, "w.safetensors")
    assert module.weight.eq(1).all()
