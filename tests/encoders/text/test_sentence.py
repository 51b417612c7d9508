"""Folders of sentence encoders, as older and newer releases of sentence-transformers write them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ecgscan_lab.encoders.text import text_tower
from ecgscan_lab.encoders.text.sentence import sentence_tower
from ecgscan_lab.encoders.text.transformer import TransformerTextTower
from ecgscan_lab.errors import CheckpointError

TEXTS = ["sinus rhythm", "", "atrial fibrillation with left block", "normal ecg " * 20]
OLD = {"word_embedding_dimension": 16, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
       "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}  # fmt: skip


def write(folder: Path, pooling: dict, *, dense: bool = False, where: str = "", length: int | None = 20) -> Path:
    """The files that the library adds beside the encoder."""
    kinds = ["Transformer", "Pooling", *(["Dense"] if dense else []), "Normalize"]
    modules = [
        {
            "idx": i,
            "name": str(i),
            "path": f"{i}_{kind}" if i else where,
            "type": f"sentence_transformers.models.{kind}",
        }
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    if length is not None:
        facts = {"max_seq_length": length, "do_lower_case": False}
        (folder / where / "sentence_bert_config.json").write_text(json.dumps(facts))
    if dense:
        (folder / "2_Dense").mkdir()
        facts = {"in_features": 16, "out_features": 5, "bias": True,
                 "activation_function": "torch.nn.modules.activation.Tanh"}  # fmt: skip
        (folder / "2_Dense" / "config.json").write_text(json.dumps(facts))
        generator = torch.Generator().manual_seed(0)
        weight, bias = torch.randn(5, 16, generator=generator), torch.randn(5, generator=generator)
        save_file({"linear.weight": weight, "linear.bias": bias}, folder / "2_Dense" / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("pooling", "ways"),
    [
        (OLD, ("mean",)),
        ({**OLD, "pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, ("cls",)),
        ({**OLD, "pooling_mode_max_tokens": True}, ("max", "mean")),
        ({"embedding_dimension": 16, "pooling_mode": "mean_sqrt_len_tokens"}, ("mean_sqrt_len_tokens",)),
        ({"embedding_dimension": 16, "pooling_mode": ["cls", "max"]}, ("cls", "max")),
    ],
)
def test_pooling_and_length_are_read_from_the_folder(bert, pooling, ways):
    tower = text_tower(f"sentence:{write(bert, pooling)}")
    assert tower.max_tokens == 20
    expected = TransformerTextTower(bert, pooling=ways, max_tokens=20)
    assert np.array_equal(tower.encode_text(TEXTS), expected.encode_text(TEXTS))
    assert tower.identity == expected.identity


def test_a_dense_layer_follows_the_pooling(bert):
    from transformers import AutoTokenizer, BertModel

    tower = sentence_tower(write(bert, OLD, dense=True))
    tokens = AutoTokenizer.from_pretrained(bert)(TEXTS[2], return_tensors="pt")
    with torch.no_grad():
        pooled = BertModel.from_pretrained(bert).eval()(**tokens).last_hidden_state[0].mean(0)
    generator = torch.Generator().manual_seed(0)
    weight, bias = torch.randn(5, 16, generator=generator), torch.randn(5, generator=generator)
    expected = torch.tanh(weight @ pooled + bias)
    assert np.abs(tower.encode_text(TEXTS[2:3])[0] - (expected / expected.norm()).numpy()).max() < 1e-5
    assert tower.embed_dim == 5
    assert tower.identity != TransformerTextTower(bert, max_tokens=20).identity


@pytest.mark.parametrize("dense", [False, True])
def test_features_equal_sentence_transformers(bert, dense):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    write(bert, OLD, dense=dense)
    expected = library.SentenceTransformer(str(bert), device="cpu").encode(TEXTS, show_progress_bar=False)
    assert np.abs(sentence_tower(bert).encode_text(TEXTS) - expected).max() < 1e-5


def test_a_folder_that_sentence_transformers_saved_today_is_read(bert, tmp_path):
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    model = library.SentenceTransformer(str(write(bert, OLD, dense=True)), device="cpu")
    model.save(str(tmp_path / "saved"))
    expected = model.encode(TEXTS, show_progress_bar=False)
    tower = sentence_tower(tmp_path / "saved")
    assert tower.max_tokens == 20
    assert np.abs(tower.encode_text(TEXTS) - expected).max() < 1e-5


def test_the_encoder_may_lie_in_a_folder_of_its_own(published_bert, tmp_path):
    shutil.copytree(published_bert, tmp_path / "0_Transformer")
    tower = sentence_tower(write(tmp_path, OLD, where="0_Transformer"), max_tokens=12)
    assert tower.max_tokens == 12
    assert tower.name == "sentence"


def test_without_a_stated_length_the_encoders_positions_count(bert):
    assert sentence_tower(write(bert, OLD, length=None)).max_tokens == 512


@pytest.mark.parametrize("way", ["pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"])
def test_an_unknown_pooling_is_refused(bert, way):
    write(bert, {**OLD, "pooling_mode_mean_tokens": False, way: True})
    with pytest.raises(CheckpointError, match=way):
        sentence_tower(bert)


def test_no_pooling_at_all_is_refused(bert):
    write(bert, {**OLD, "pooling_mode_mean_tokens": False})
    with pytest.raises(CheckpointError, match="no pooling"):
        sentence_tower(bert)


def spoil(folder: Path, what: str) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    if what == "list missing":
        (folder / "modules.json").unlink()
    elif what == "list no list":
        (folder / "modules.json").write_text("7")
    elif what == "unknown part":
        modules[2]["type"] = "sentence_transformers.models.LSTM"
        (folder / "modules.json").write_text(json.dumps(modules))
    elif what == "part outside":
        modules[1]["path"] = "../elsewhere"
        (folder / "modules.json").write_text(json.dumps(modules))
    elif what == "pooling missing":
        (folder / "1_Pooling" / "config.json").unlink()
    elif what == "dense damaged":
        (folder / "2_Dense" / "model.safetensors").write_bytes(b"short")
    elif what == "dense of another size":
        save_file({"linear.weight": torch.zeros(5, 3)}, folder / "2_Dense" / "model.safetensors")


@pytest.mark.parametrize(
    "what",
    ["list missing", "list no list", "unknown part", "part outside", "pooling missing", "dense damaged",
     "dense of another size"],
)  # fmt: skip
def test_a_spoiled_folder_is_refused(bert, what):
    write(bert, OLD, dense=True)
    spoil(bert, what)
    with pytest.raises(CheckpointError):
        sentence_tower(bert)
