"""Adapters alone in a file: they come back whole, and only to where they belong."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from ecgscan_lab.encoders.lora import adapter_state, add_lora, has_adapters, load_adapters, save_adapters
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.errors import ArgumentError, CheckpointError

pytest.importorskip("peft")
pytest.importorskip("transformers")


@pytest.fixture
def build(write_clip):
    folder = write_clip()
    return lambda **keywords: image_tower("clip", weights=folder, **keywords).eval()


@pytest.fixture
def saved(build, tmp_path, pages):
    tower = build()
    add_lora(tower, rank=4, alpha=8, targets="attention+mlp")
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in adapter_state(tower).values():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.1)
        features = tower(pages)
    path = save_adapters(tower, tmp_path / "new" / "adapters.safetensors")
    return path, features


@pytest.mark.parametrize("present", [False, True])
def test_loaded_adapters_give_the_saved_features(build, saved, pages, present):
    path, features = saved
    tower = build()
    if present:
        add_lora(tower, rank=4, alpha=8, targets="attention+mlp")
    report = load_adapters(tower, path)
    assert (report.rank, report.alpha, report.n_modules) == (4, 8, 12)
    with torch.no_grad():
        assert torch.equal(tower(pages), features)
    assert {name for name, p in tower.named_parameters() if p.requires_grad} == adapter_state(tower).keys()


def test_the_file_holds_the_adapters_and_nothing_of_the_tower(saved):
    path, _ = saved
    assert path.stat().st_size < 4 * 2 * 4 * (4 * 2 * 32 + 2 * (32 + 80)) + 16_000
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"rank": 2, "alpha": 8, "targets": "attention+mlp"}, "rank"),
        ({"rank": 4, "alpha": 16, "targets": "attention+mlp"}, "alpha"),
        ({"rank": 4, "alpha": 8, "targets": "attention"}, "targets"),
    ],
)
def test_other_adapters_are_refused_naming_the_difference(build, saved, arguments, field):
    tower = build()
    add_lora(tower, **arguments)
    before = {name: tensor.clone() for name, tensor in adapter_state(tower).items()}
    with pytest.raises(CheckpointError) as caught:
        load_adapters(tower, saved[0])
    assert caught.value.field == field
    assert all(torch.equal(tensor, before[name]) for name, tensor in adapter_state(tower).items())


def test_another_base_is_refused_unless_asked_for(build, saved, write_clip):
    with pytest.raises(CheckpointError, match="sizes differ"):
        load_adapters(build(size=(28, 56)), saved[0])
    tower = build()
    with torch.no_grad():
        tower.network.vision.post_layernorm.bias += 0.1
    with pytest.raises(CheckpointError, match="base weights") as caught:
        load_adapters(tower, saved[0])
    assert caught.value.field == "base_sha256"
    assert not has_adapters(tower)
    load_adapters(tower, saved[0], any_base=True)
    with pytest.raises(CheckpointError, match="names differ"):
        load_adapters(image_tower("tiny", width=2), saved[0])
    with pytest.raises(CheckpointError, match=r"has no network\.vision"):
        load_adapters(image_tower("tiny", width=2), saved[0], any_base=True)


def test_a_tower_cast_to_half_precision_is_the_same_base(build, saved):
    load_adapters(build().bfloat16(), saved[0])


def test_damage_and_other_files_are_refused(build, saved, tmp_path):
    path, _ = saved
    tower = build()
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        load_adapters(tower, path)
    path.write_bytes(content[:-9])
    with pytest.raises(CheckpointError, match="cannot read"):
        load_adapters(tower, path)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(CheckpointError, match="no adapters of ecgscan_lab"):
        load_adapters(tower, path)
    with pytest.raises(CheckpointError, match="no such adapters"):
        load_adapters(tower, tmp_path / "absent")
    assert not has_adapters(tower)


def test_a_tower_without_adapters_has_none_to_save(build, tmp_path):
    with pytest.raises(ArgumentError, match="no adapters"):
        save_adapters(build(), tmp_path / "a.safetensors")
    assert list(tmp_path.glob("*.safetensors")) == []
