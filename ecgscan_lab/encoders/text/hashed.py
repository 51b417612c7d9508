"""Hashed words: a text tower that needs nothing but NumPy."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np


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
    identity = "hashed words and pairs, 384, 1"

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
