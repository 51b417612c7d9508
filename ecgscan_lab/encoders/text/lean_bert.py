"""A BERT encoder in plain torch: transformers, which brings a compiler along, costs five seconds and 250 MB more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ecgscan_lab.errors import CheckpointError


class LeanBert(nn.Module):
    """The encoder of BERT (post-norm, learned positions, one segment), frozen, with the names of published weights.

    Source: Devlin et al. (2019), arXiv 1810.04805. *Differences*: no dropout, no pooler, no second segment.

    Args:
        config: what `config.json` says.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width, eps = config["hidden_size"], config["layer_norm_eps"]
        self.config = SimpleNamespace(**config, to_dict=lambda: dict(config))
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config["vocab_size"], width),
                "position_embeddings": nn.Embedding(config["max_position_embeddings"], width),
                "token_type_embeddings": nn.Embedding(config["type_vocab_size"], width),
                "LayerNorm": nn.LayerNorm(width, eps),
            }
        )
        layers = [
            _Layer(width, config["num_attention_heads"], config["intermediate_size"], eps)
            for _ in range(config["num_hidden_layers"])
        ]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        """Token ids and mask `[text, token]` -> an object with `last_hidden_state` `[text, token, width]`."""
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        tables = self.embeddings
        states = tables["word_embeddings"](input_ids) + tables["position_embeddings"](places)
        states = tables["LayerNorm"](states + tables["token_type_embeddings"](torch.zeros_like(input_ids)))
        seen = attention_mask[:, None, None, :].bool()
        layers: Any = self.encoder["layer"]
        for layer in layers:
            states = layer(states, seen)
        return SimpleNamespace(last_hidden_state=states)


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int, inner: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        looking = {name: nn.Linear(width, width) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict({"self": nn.ModuleDict(looking), "output": _dense(width, width, eps)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = _dense(inner, width, eps)

    def forward(self, states: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        parts: Any = self.attention
        looking, joined = parts["self"], parts["output"]
        query, key, value = (
            looking[name](states).unflatten(2, (self.heads, -1)).transpose(1, 2) for name in ("query", "key", "value")
        )
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=seen).transpose(1, 2).flatten(2)
        states = joined["LayerNorm"](states + joined["dense"](mixed))
        inner = F.gelu(self.intermediate["dense"](states))
        return self.output["LayerNorm"](states + self.output["dense"](inner))


class LeanTokenizer:
    """A `tokenizer.json`, called as transformers' tokenizers are.

    Args:
        file: path of the file.
        longest: tokens that the encoder has positions for.
    """

    def __init__(self, file: Path, longest: int) -> None:
        from tokenizers import Tokenizer

        self.backend_tokenizer = Tokenizer.from_file(str(file))
        self.model_max_length = longest

    def __call__(self, texts: Sequence[str], *, max_length: int, **asked: Any) -> _Tokens:
        """Texts -> ids and mask, cut at `max_length` and padded on the right to the longest."""
        self.backend_tokenizer.enable_truncation(max_length)
        self.backend_tokenizer.enable_padding()
        rows = self.backend_tokenizer.encode_batch(list(texts))
        return _Tokens(
            input_ids=torch.tensor([row.ids for row in rows]),
            attention_mask=torch.tensor([row.attention_mask for row in rows]),
        )


class _Tokens(dict[str, torch.Tensor]):
    def to(self, device: torch.device) -> _Tokens:
        return _Tokens({name: tensor.to(device) for name, tensor in self.items()})


def _dense(inner: int, width: int, eps: float) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(inner, width), "LayerNorm": nn.LayerNorm(width, eps)})


def load_lean_bert(folder: str | PathLike[str]) -> tuple[LeanTokenizer, LeanBert]:
    """Tokenizer and encoder of a folder with a BERT of the plain kind, in `eval` mode, float32.

    Raises:
        CheckpointError: a file is missing or damaged, or the weights are of another model.
    """
    folder = Path(folder)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        # First values are drawn and thrown away; the meta device would load a compiler.
        with torch.random.fork_rng(devices=[]):
            model = LeanBert(config)
        kept = model.state_dict().keys()
        weights = {name: rows for name, rows in load_file(folder / "model.safetensors").items() if name in kept}
        model.load_state_dict(weights, assign=True)
        tokenizer = LeanTokenizer(folder / "tokenizer.json", config["max_position_embeddings"])
    except ImportError:
        raise
    except Exception as error:  # whatever is wrong with it, the folder is what has to change
        kind = "damaged" if isinstance(error, (SafetensorError, ValueError)) else "not whole"
        raise CheckpointError(
            f"the sentence encoder's folder is {kind}: {error}", file=folder, fix="install the package again"
        ) from error
    return tokenizer, model.requires_grad_(False).float().eval()
