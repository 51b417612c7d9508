"""Folders of text encoders in the form in which publishers share them, tiny and with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = "sinus rhythm atrial fibrillation normal ecg old infarct left ##s ##ed . with block"
VOCABULARY = [*_SPECIAL, *_WORDS.split()]


@pytest.fixture(scope="session")
def published_bert(tmp_path_factory) -> Path:
    """What `save_pretrained` of a BERT writes, beside the vocabulary file of the first BERT; every weight is random."""
    transformers = pytest.importorskip("transformers", reason="the text extra is not installed")
    folder = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=512,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    facts = {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(facts), encoding="utf-8")
    assert {path.name for path in folder.iterdir()} == {
        "config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json",
    }  # fmt: skip
    return folder


@pytest.fixture
def bert(published_bert, tmp_path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(published_bert, tmp_path / "bert"))


@pytest.fixture
def change(bert):
    """Change the tensors of the copy: a function from name -> tensor to name -> tensor."""
    from safetensors.torch import load_file, save_file

    def changed(edit) -> Path:
        tensors = load_file(bert / "model.safetensors")
        save_file(edit(tensors), bert / "model.safetensors", {"format": "pt"})
        return bert

    return changed
