"""A text encoder is loaded whole or refused."""

from __future__ import annotations

import json

import pytest
import torch

from ecgscan_lab.encoders.text.loading import load_encoder
from ecgscan_lab.errors import CheckpointError


def refused(folder, **options) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        load_encoder(folder, **options)
    assert caught.value.file == str(folder)
    return caught.value


def test_an_encoder_is_frozen_single_precision_and_in_eval_mode(bert):
    _, model = load_encoder(bert)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.pooler is None
    assert load_encoder(bert, pooler=True)[1].pooler is not None


def test_half_precision_on_disk_becomes_single(change):
    folder = change(lambda tensors: {name: tensor.half() for name, tensor in tensors.items()})
    facts = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**facts, "dtype": "float16"}))
    assert {parameter.dtype for parameter in load_encoder(folder)[1].parameters()} == {torch.float32}


def test_a_layer_that_the_file_lacks_is_not_made_up(change):
    name = "encoder.layer.1.output.dense.weight"
    folder = change(lambda tensors: {key: tensor for key, tensor in tensors.items() if key != name})
    error = refused(folder)
    assert error.field == name
    assert "1 missing" in error.what


def test_a_layer_that_the_configuration_does_not_mention_is_not_cut_off(bert):
    facts = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**facts, "num_hidden_layers": 1}))
    error = refused(bert)
    assert error.field.startswith("encoder.layer.1.")
    assert "16 unexpected" in error.what


def test_a_tensor_of_another_shape_is_refused(change):
    refused(change(lambda tensors: {**tensors, "encoder.layer.0.output.dense.bias": torch.zeros(3)}))


def test_heads_of_pretraining_may_lie_beside_the_encoder(change, published_bert):
    folder = change(
        lambda tensors: {
            **{f"bert.{name}": tensor for name, tensor in tensors.items()},
            "bert.embeddings.position_ids": torch.arange(512)[None],
            "cls.predictions.bias": torch.zeros(19),
        }
    )
    expected = load_encoder(published_bert)[1].state_dict()
    got = load_encoder(folder)[1].state_dict()
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_the_pooler_may_be_missing_unless_it_is_wanted(change):
    folder = change(lambda tensors: {name: tensor for name, tensor in tensors.items() if "pooler" not in name})
    load_encoder(folder)
    assert refused(folder, pooler=True).field == "pooler.dense.bias"


def test_weights_that_are_not_finite_are_refused(change):
    name = "encoder.layer.0.output.dense.bias"
    error = refused(change(lambda tensors: {**tensors, name: torch.full((16,), torch.nan)}))
    assert error.field == name


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.safetensors"])
def test_a_missing_file_is_named(bert, name):
    (bert / name).unlink()
    error = refused(bert)
    assert name in error.expected


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"\x00" * 100])
def test_a_damaged_file_is_refused(bert, name, content):
    (bert / name).write_bytes(content)
    refused(bert)


def test_a_truncated_weight_file_is_refused(bert):
    whole = (bert / "model.safetensors").read_bytes()
    (bert / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(bert)


def test_a_pickle_is_refused_with_the_way_to_convert_it(bert):
    (bert / "model.safetensors").unlink()
    (bert / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    error = refused(bert)
    assert "pickle" in error.what
    assert "save_file" in error.fix


def test_a_tokenizer_of_another_model_is_refused(bert):
    with (bert / "vocab.txt").open("a") as file:
        file.write("more\n")
    assert "20 tokens" in refused(bert).what


def test_code_that_comes_with_weights_is_not_run(bert):
    facts = json.loads((bert / "config.json").read_text())
    facts |= {"model_type": "novel", "auto_map": {"AutoConfig": "novel.Config", "AutoModel": "novel.Model"}}
    (bert / "config.json").write_text(json.dumps(facts))
    mark = bert / "ran"
    (bert / "novel.py").write_text(f"open({str(mark)!r}, 'w')\n")
    refused(bert)
    assert not mark.exists()


def test_no_such_folder_is_refused(tmp_path):
    assert refused(tmp_path / "absent").field == "weights"


def test_the_librarys_own_noise_is_switched_off_only_while_loading(bert, change, capfd):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_encoder(bert)
    refused(change(lambda tensors: dict(list(tensors.items())[:-5])))
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr().err == ""
