"""Towers of trained encoders: the numbers are those of the library's own class and of the formula."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ecgscan_lab.encoders.text import text_tower
from ecgscan_lab.encoders.text.transformer import POOLINGS, TransformerTextTower
from ecgscan_lab.errors import ArgumentError, CheckpointError

TEXTS = ["Sinus rhythm.", "", "old infarct", "atrial fibrillation with left block", "normal ecg " * 12, "?"]


def unit(rows: torch.Tensor) -> np.ndarray:
    return (rows / rows.norm(dim=1, keepdim=True)).detach().numpy()


def by_hand(folder, text: str, pooling: str, max_tokens: int = 512) -> torch.Tensor:
    """BERT written out: word, place and kind of token; attention and feed-forward, each followed by its norm."""
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    w = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}
    ids = torch.tensor(AutoTokenizer.from_pretrained(folder)(text, truncation=True, max_length=max_tokens)["input_ids"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        scaled = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-12).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    words, places = w["embeddings.word_embeddings.weight"][ids], w["embeddings.position_embeddings.weight"]
    x = norm(words + places[: len(ids)] + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for k in range(2):
        layer = f"encoder.layer.{k}"
        q, k_, v = (
            linear(x, f"{layer}.attention.self.{part}").view(-1, 2, 8).transpose(0, 1)
            for part in ("query", "key", "value")
        )
        mixed = (torch.softmax(q @ k_.transpose(1, 2) / 8**0.5, -1) @ v).transpose(0, 1).reshape(-1, 16)
        x = norm(x + linear(mixed, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        wide = F.gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(x + linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    ways = {"cls": x[0], "mean": x.mean(0), "max": x.amax(0), "mean_sqrt_len_tokens": x.sum(0) / len(x) ** 0.5}
    return ways[pooling] if pooling != "pooler" else torch.tanh(linear(x[0], "pooler.dense"))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_features_equal_the_formula(published_bert, pooling):
    tower = TransformerTextTower(published_bert, pooling=pooling)
    expected = unit(torch.stack([by_hand(published_bert, text, pooling) for text in TEXTS]))
    features = tower.encode_text(TEXTS)
    assert features.dtype == np.float32
    assert features.shape == (len(TEXTS), tower.embed_dim) == (6, 16)
    assert np.abs(features - expected).max() < 1e-5
    assert np.abs(expected[0] - expected[2]).max() > 0.02, "or the test could not fail"


def test_features_equal_the_librarys_own_class(published_bert):
    from transformers import AutoTokenizer, BertModel

    tokenizer, model = AutoTokenizer.from_pretrained(published_bert), BertModel.from_pretrained(published_bert).eval()
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**batch)
    for pooling, expected in (("cls", output.last_hidden_state[:, 0]), ("pooler", output.pooler_output)):
        got = TransformerTextTower(published_bert, pooling=pooling).encode_text(TEXTS)
        assert np.abs(got - unit(expected)).max() < 1e-5


def test_two_poolings_are_joined(published_bert):
    tower = TransformerTextTower(published_bert, pooling=("mean", "max"))
    expected = torch.stack(
        [torch.cat([by_hand(published_bert, text, way) for way in ("mean", "max")]) for text in TEXTS]
    )
    assert tower.embed_dim == 32
    assert np.abs(tower.encode_text(TEXTS) - unit(expected)).max() < 1e-5


def test_rows_do_not_depend_on_the_texts_beside_them(published_bert, rng):
    tower = TransformerTextTower(published_bert, max_tokens=64)
    texts = [" ".join(rng.choice(["sinus", "rhythm", "old", "infarct", "."], size=n)) for n in range(70)]
    features = tower.encode_text(texts)
    order = rng.permutation(len(texts))
    assert np.abs(tower.encode_text([texts[i] for i in order]) - features[order]).max() < 1e-5
    assert np.abs(tower.encode_text(texts[3:4]) - features[3]).max() < 1e-5
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)
    assert tower.encode_text([]).shape == (0, 16)


def test_long_texts_are_cut_at_the_stated_token(published_bert):
    tower = TransformerTextTower(published_bert, pooling="mean", max_tokens=6)
    cut, longer, shorter = tower.encode_text(["normal ecg normal ecg old", "normal ecg " * 9, "normal ecg normal"])
    assert np.abs(cut - longer).max() < 1e-6
    assert np.abs(cut - shorter).max() > 1e-3
    expected = unit(by_hand(published_bert, "normal ecg " * 9, "mean", max_tokens=6)[None])
    assert np.abs(longer - expected).max() < 1e-5
    assert TransformerTextTower(published_bert).max_tokens == 512


@pytest.mark.parametrize("max_tokens", [2, 513])
def test_more_tokens_than_positions_are_refused(published_bert, max_tokens):
    with pytest.raises(ArgumentError) as caught:
        TransformerTextTower(published_bert, max_tokens=max_tokens)
    assert caught.value.field == "max_tokens"


def test_an_encoder_that_counts_behind_its_padding_has_fewer_positions(tmp_path, published_bert):
    from transformers import AutoTokenizer, RobertaConfig, RobertaModel

    config = RobertaConfig(
        vocab_size=19, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
        max_position_embeddings=34, pad_token_id=0,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(published_bert).save_pretrained(tmp_path)
    tower = TransformerTextTower(tmp_path)
    assert tower.max_tokens == 33
    assert np.isfinite(tower.encode_text(["normal " * 100])).all()


def test_the_encoder_half_of_an_encoder_decoder_is_used(tmp_path, published_bert):
    from transformers import AutoTokenizer, T5Config, T5EncoderModel, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=19, d_model=8, d_kv=4, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0, pad_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(published_bert)
    tokenizer.save_pretrained(tmp_path)
    batch = {key: tokenizer(TEXTS[3], return_tensors="pt")[key] for key in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = T5EncoderModel.from_pretrained(tmp_path).eval()(**batch).last_hidden_state.mean(1)
    facts = json.loads((tmp_path / "tokenizer_config.json").read_text())
    facts |= {"model_input_names": ["input_ids", "attention_mask"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(facts))
    assert np.abs(TransformerTextTower(tmp_path).encode_text(TEXTS[3:4]) - unit(expected)).max() < 1e-5


def test_an_encoder_without_a_pooler_says_so(tmp_path, published_bert):
    from transformers import AutoTokenizer, DistilBertConfig, DistilBertModel

    config = DistilBertConfig(vocab_size=19, dim=8, n_layers=1, n_heads=1, hidden_dim=8)
    DistilBertModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(published_bert).save_pretrained(tmp_path)
    facts = json.loads((tmp_path / "tokenizer_config.json").read_text())
    facts |= {"model_input_names": ["input_ids", "attention_mask"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(facts))
    assert TransformerTextTower(tmp_path, pooling="cls").embed_dim == 8
    with pytest.raises(CheckpointError, match="no pooler"):
        TransformerTextTower(tmp_path, pooling="pooler")


@pytest.mark.parametrize("pooling", ["first", (), ("mean", "first")])
def test_an_unknown_pooling_is_refused(published_bert, pooling):
    with pytest.raises(ArgumentError) as caught:
        TransformerTextTower(published_bert, pooling=pooling)
    assert caught.value.field == "pooling"


def test_autocast_around_it_changes_nothing(published_bert):
    tower = TransformerTextTower(published_bert)
    expected = tower.encode_text(TEXTS)
    with torch.autocast("cpu", torch.bfloat16):
        assert np.array_equal(tower.encode_text(TEXTS), expected)


def test_equal_towers_have_one_identity_wherever_they_lie(published_bert, bert):
    here, there = (TransformerTextTower(folder) for folder in (published_bert, bert))
    before = here.identity
    there.encode_text(["what was encoded before does not matter"])
    assert there.identity == before
    assert len(before) == 64


def test_another_weight_vocabulary_or_option_is_another_identity(bert, change):
    identities = {
        TransformerTextTower(bert, **options).identity
        for options in ({}, {"pooling": "cls"}, {"pooling": "pooler"}, {"max_tokens": 8})
    }
    lines = (bert / "vocab.txt").read_text().split("\n")
    (bert / "vocab.txt").write_text("\n".join([*lines[:5], lines[6], lines[5], *lines[7:]]))
    identities.add(TransformerTextTower(bert).identity)
    facts = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**facts, "hidden_act": "relu"}))
    identities.add(TransformerTextTower(bert).identity)
    name = "encoder.layer.1.output.dense.bias"
    change(lambda tensors: {**tensors, name: tensors[name] + 1e-6})
    identities.add(TransformerTextTower(bert).identity)
    assert len(identities) == 7


def test_a_folder_is_a_tower_by_name(published_bert):
    tower = text_tower(f"transformers:{published_bert}", pooling="cls", max_tokens=32)
    assert (tower.pooling, tower.max_tokens) == (("cls",), 32)
    assert text_tower(f"transformers:{published_bert}").pooling == ("mean",)
