"""Published text encoders: where they are, and which of the choices that the paper leaves open is the default."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch

from ecgscan_lab.encoders.text.loading import TEXT_EXTRA
from ecgscan_lab.encoders.text.transformer import TransformerTextTower
from ecgscan_lab.errors import (
    ArgumentError,
    CheckpointError,
    EcgScanLabError,
    FetchError,
    LicenceError,
    MissingExtraError,
)

# Never a pickle: the folder of the hub's cache then lacks the weights, and loading says how to convert them.
_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


@dataclass(frozen=True)
class PublishedText:
    """A published encoder.

    Attributes:
        repository: "owner/name" on the hub.
        pooling, max_tokens: what is used unless the caller says otherwise.
        manifest: of `data_manifests/`, where there is one: source and licence.
    """

    repository: str
    pooling: str
    max_tokens: int
    manifest: str | None = None


# The paper says "Bio-Med-CPT": neither which of the two towers, nor pooling, nor length. MERL, which it follows, takes
# the query tower, 256 tokens and the pooler; the publisher takes the first token, which is what it was trained for.
PUBLISHED = {
    "medcpt": PublishedText("ncbi/MedCPT-Query-Encoder", "cls", 256, "medcpt-query-encoder"),
    "medcpt-article": PublishedText("ncbi/MedCPT-Article-Encoder", "cls", 512),
    # Trained to fill gaps in notes, not to compare texts, so that no token of it was made to stand for the whole.
    "bioclinicalbert": PublishedText("emilyalsentzer/Bio_ClinicalBERT", "mean", 256),
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
    folder = fetch_encoder(encoder) if weights == "hub" else Path(weights)
    return TransformerTextTower(
        folder,
        name=name,
        pooling=encoder.pooling if pooling is None else pooling,
        max_tokens=encoder.max_tokens if max_tokens is None else max_tokens,
        device=device,
    )


def fetch_encoder(encoder: PublishedText) -> Path:
    """Download an encoder's folder into the hub's own cache, or find it there.

    Raises:
        FetchError: no connection, or offline mode, and nothing in the cache.
        LicenceError: the publisher asks for an account or an agreement.
        CheckpointError: the hub shows no such repository.
        MissingExtraError: the hub's client is not installed.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError("the hub's client is not installed", field="weights", fix=TEXT_EXTRA) from error
    try:
        return Path(huggingface_hub.snapshot_download(encoder.repository, allow_patterns=list(_FILES)))
    except Exception as error:
        raise _explained(error, encoder) from error


def _explained(error: Exception, encoder: PublishedText) -> EcgScanLabError:
    from huggingface_hub import errors as hub

    terms = "" if encoder.manifest is None else f"; see data_manifests/{encoder.manifest}.json"
    by_hand = f"or download the folder elsewhere and pass its path as `weights`{terms}"
    what = {"file": encoder.repository, "field": "weights"}
    if isinstance(error, hub.GatedRepoError):
        fix = f"agree on the repository's page, log in with `hf auth login`, then run again, {by_hand}"
        return LicenceError("the publisher asks for an account and an agreement", fix=fix, **what)
    if isinstance(error, hub.RepositoryNotFoundError):
        return CheckpointError("the hub shows no such repository", fix=f"check its name, {by_hand}", **what)
    if isinstance(error, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled)):
        fix = f"connect (and unset HF_HUB_OFFLINE) and run again, {by_hand}"
        return FetchError("the hub cannot be reached and the encoder is not in its cache", fix=fix, **what)
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return FetchError(f"the download failed: {reason}", fix=f"run again: it resumes; {by_hand}", **what)
