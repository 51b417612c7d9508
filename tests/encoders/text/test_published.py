"""Published text encoders: their defaults, folders on disk, and a hub that does not answer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ecgscan_lab.encoders.text import text_tower
from ecgscan_lab.encoders.text.published import PUBLISHED
from ecgscan_lab.encoders.text.transformer import TransformerTextTower
from ecgscan_lab.errors import ArgumentError, CheckpointError, FetchError, LicenceError, MissingExtraError

TEXTS = ["sinus rhythm", "old infarct."]
DEFAULTS = {"medcpt": ("cls", 256), "medcpt-article": ("cls", 512), "bioclinicalbert": ("mean", 256)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_defaults_are_the_documented_ones_and_can_be_changed(published_bert, name):
    pooling, max_tokens = DEFAULTS[name]
    tower = text_tower(name, published_bert)
    assert (tower.name, tower.pooling, tower.max_tokens) == (name, (pooling,), max_tokens)
    row = next(line.split() for line in text_tower.__doc__.splitlines() if line.split()[:1] == [name])
    assert row[1:3] == [pooling, str(max_tokens)], "the table in the docstring"
    plain = TransformerTextTower(published_bert, pooling=pooling, max_tokens=max_tokens)
    assert np.array_equal(tower.encode_text(TEXTS), plain.encode_text(TEXTS))
    merl = text_tower(name, published_bert, pooling="pooler", max_tokens=64)
    assert (merl.pooling, merl.max_tokens) == (("pooler",), 64)
    assert np.abs(merl.encode_text(TEXTS) - plain.encode_text(TEXTS)).max() > 0.01


@pytest.mark.parametrize("name", PUBLISHED)
def test_weights_have_to_be_named(name):
    with pytest.raises(ArgumentError) as caught:
        text_tower(name)
    assert caught.value.field == "weights"
    assert PUBLISHED[name].repository in caught.value.expected


def test_the_hub_is_asked_for_no_pickle(published_bert, monkeypatch):
    import huggingface_hub

    asked = {}

    def answer(repository: str, allow_patterns: list[str]) -> str:
        asked[repository] = allow_patterns
        return str(published_bert)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", answer)
    tower = text_tower("medcpt", "hub")
    assert np.array_equal(tower.encode_text(TEXTS), text_tower("medcpt", published_bert).encode_text(TEXTS))
    (patterns,) = asked.values()
    assert list(asked) == ["ncbi/MedCPT-Query-Encoder"]
    assert not any(pattern.endswith(("bin", "pt", "h5", "*", "msgpack")) for pattern in patterns)


def failures() -> list:
    try:
        from huggingface_hub import errors as hub
    except ImportError:
        return []
    response = SimpleNamespace(headers={}, request=None)  # all that the errors look at, whichever client sent it
    return [
        (hub.GatedRepoError("gated", response=response), LicenceError, "log in"),
        (hub.RepositoryNotFoundError("none", response=response), CheckpointError, "check the name"),
        (hub.LocalEntryNotFoundError("offline"), FetchError, "HF_HUB_OFFLINE"),
        (hub.OfflineModeIsEnabled("offline"), FetchError, "HF_HUB_OFFLINE"),
        (ConnectionError("cut"), FetchError, "it resumes"),
        (OSError(28, "No space left on device"), FetchError, "it resumes"),
    ]


@pytest.mark.parametrize(("failure", "kind", "advice"), failures(), ids=lambda value: type(value).__name__)
def test_a_hub_that_refuses_is_a_typed_error_with_a_remedy(monkeypatch, failure, kind, advice):
    import huggingface_hub

    def refuse(*_args, **_options):
        raise failure

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(kind) as caught:
        text_tower("medcpt", "hub")
    assert caught.value.field == "weights"
    assert caught.value.file == "ncbi/MedCPT-Query-Encoder"
    assert advice in caught.value.fix
    assert "data_manifests/medcpt-query-encoder.json" in caught.value.fix


def test_without_a_connection_the_real_client_ends_in_the_same_error(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FetchError, match="cannot be reached"):
        text_tower("bioclinicalbert", "hub")


def test_without_the_hubs_client_the_install_command_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError) as caught:
        text_tower("medcpt", "hub")
    assert caught.value.fix == 'pip install "ecgscan-lab[text]"'


def test_manifests_that_are_named_exist():
    from ecgscan_lab.data.manifest import manifest_names

    assert {encoder.manifest for encoder in PUBLISHED.values()} <= set(manifest_names("checkpoint"))
