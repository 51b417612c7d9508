"""The hub: every way it refuses becomes an error that says what to do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ecgscan_lab.encoders.hub import fetch_from_hub
from ecgscan_lab.encoders.towers import image_tower
from ecgscan_lab.errors import ArgumentError, CheckpointError, FetchError, LicenceError

huggingface_hub = pytest.importorskip("huggingface_hub")
pytest.importorskip("transformers")


def refuse(monkeypatch, error: Exception) -> list[tuple[str, str]]:
    asked: list[tuple[str, str]] = []

    def download(repository: str, filename: str) -> str:
        asked.append((repository, filename))
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def hub_error(name: str) -> Exception:
    errors = huggingface_hub.errors
    kind = getattr(errors, name)
    if issubclass(kind, errors.HfHubHTTPError):
        return kind("refused", response=SimpleNamespace(headers={}, request=None, status_code=403))
    return kind("refused")


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("GatedRepoError", LicenceError, "agree on the repository's page"),
        ("RepositoryNotFoundError", CheckpointError, "check the name"),
        ("RemoteEntryNotFoundError", CheckpointError, "list of files"),
        ("LocalEntryNotFoundError", FetchError, "unset HF_HUB_OFFLINE"),
        ("OfflineModeIsEnabled", FetchError, "unset HF_HUB_OFFLINE"),
        ("HfHubHTTPError", FetchError, "run again"),
    ],
)
def test_every_refusal_is_typed_and_names_the_manifest(monkeypatch, name, kind, remedy):
    refuse(monkeypatch, hub_error(name))
    with pytest.raises(kind) as caught:
        fetch_from_hub("google/medsiglip-448", "model.safetensors", manifest="medsiglip-448")
    assert type(caught.value) is kind
    assert remedy in (caught.value.fix or "")
    assert "data_manifests/medsiglip-448.json" in (caught.value.fix or "")


def test_a_full_disk_or_a_broken_line_says_so(monkeypatch):
    refuse(monkeypatch, OSError(28, "No space left on device"))
    with pytest.raises(FetchError, match="No space left"):
        fetch_from_hub("a/b", "model.safetensors")


def test_offline_the_published_towers_are_a_typed_error(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for name in ("clip-vit-l-14-336", "medsiglip-448"):
        with pytest.raises(FetchError, match="cannot be reached"):
            image_tower(name, weights="hub")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_each_tower_asks_for_its_own_file(monkeypatch):
    asked = refuse(monkeypatch, hub_error("LocalEntryNotFoundError"))
    names = ["clip-vit-l-14", "clip-vit-l-14-336", "medsiglip-448", "timm:vit_tiny_patch16_224.augreg_in21k"]
    for name in [*names, "open_clip:ViT-L-14-336-quickgelu"]:
        with pytest.raises(FetchError):
            image_tower(name, weights="hub")
    assert asked == [
        ("timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors"),
        ("timm/vit_large_patch14_clip_336.openai", "open_clip_model.safetensors"),
        ("google/medsiglip-448", "model.safetensors"),
        ("timm/vit_tiny_patch16_224.augreg_in21k", "model.safetensors"),
        ("timm/vit_large_patch14_clip_336.openai", "open_clip_model.safetensors"),
    ]


def test_the_activation_must_be_that_of_the_weights():
    with pytest.raises(ArgumentError, match="quick GELU") as caught:
        image_tower("open_clip:ViT-L-14-336", weights="hub:openai")
    assert caught.value.fix == "name ViT-L-14-336-quickgelu"
    with pytest.raises(ArgumentError, match="no published weights 'laion9'") as caught:
        image_tower("open_clip:ViT-L-14-336-quickgelu", weights="hub:laion9")
    assert "hub:openai" in (caught.value.expected or "")


def test_a_pickle_is_refused_before_it_is_downloaded(monkeypatch):
    asked = refuse(monkeypatch, OSError())
    with pytest.raises(CheckpointError, match="pickle only"):
        fetch_from_hub("a/b", "pytorch_model.bin")
    assert asked == []
