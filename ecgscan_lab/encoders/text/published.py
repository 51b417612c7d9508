"""Published text encoders: where they are, and which of the choices that the paper leaves open is the default."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch

from ecgscan_lab.encoders.hub import fetch_folder_from_hub
from ecgscan_lab.encoders.text.loading import TEXT_EXTRA
from ecgscan_lab.encoders.text.transformer import TransformerTextTower
from ecgscan_lab.errors import ArgumentError

# Never a pickle: the folder of the hub's cache then lacks the weights, and loading says how to convert them.
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


@dataclass(frozen=True)
class PublishedText:
    """A published encoder.

    Attributes:
        repository: "owner/name" on the hub.
        pooling, max_tokens: what is used unless the caller says otherwise.
        manifest: of `data_manifests/`: source, licence and traps.
    """

    repository: str
    pooling: str
    max_tokens: int
    manifest: str


# The paper says "Bio-Med-CPT": neither which of the two towers, nor pooling, nor length. MERL, which it follows, takes
# the query tower, 256 tokens and the pooler; the publisher takes the first token, which is what it was trained for.
PUBLISHED = {
    "medcpt": PublishedText("ncbi/MedCPT-Query-Encoder", "cls", 256, "medcpt-query-encoder"),
    "medcpt-article": PublishedText("ncbi/MedCPT-Article-Encoder", "cls", 512, "medcpt-article-encoder"),
    # Trained to fill gaps in notes, not to compare texts, so that no token of it was made to stand for the whole.
    "bioclinicalbert": PublishedText("emilyalsentzer/Bio_ClinicalBERT", "mean", 256, "bio-clinicalbert"),
}


def published_tower(
    name: str,
    weights: str | PathLike[str] | None,
    *,
    pooling: str | None = None,
    max_tokens: int | None = None,
    device: torch.device | str = "cpu",
) -> TransformerTextTower:
    """A published encoder from a folder on disk, or from the hub when `weights` is "hub".

    Raises:
        ArgumentError: no weights were named: a frozen encoder is worth nothing without.
        FetchError, LicenceError, MissingExtraError: the hub cannot be reached, asks for something, or has no client.
        CheckpointError: the folder is not such an encoder, or holds a pickle.
    """
    encoder = PUBLISHED[name]
    if weights is None:
        raise ArgumentError(
            f"the weights of {name} are not part of this package",
            field="weights",
            expected=f'"hub" ({encoder.repository}), or a folder that holds config.json, vocabulary and weights',
            fix=f'text_tower("{name}", "hub"), or text_tower("minilm"), whose weights come with a package',
        )
    folder = Path(weights)
    if weights == "hub":
        folder = fetch_folder_from_hub(encoder.repository, _FILES, manifest=encoder.manifest, extra=TEXT_EXTRA)
    return TransformerTextTower(
        folder,
        name=name,
        pooling=encoder.pooling if pooling is None else pooling,
        max_tokens=encoder.max_tokens if max_tokens is None else max_tokens,
        device=device,
    )
