"""Text features on disk: each distinct text is encoded once for each tower, ever."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import TextTower
from ecgscan_lab.whole_files import write_whole

_PER_FILE = 4096  # a killed run repeats no more than these
_KEY_BYTES = 16


def cached_text_features(
    tower: TextTower, texts: Sequence[str], cache: Path | str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Features of every distinct text, and which text each record has.

    A folder of the cache belongs to one tower: its name is a hash of weights, vocabulary and options. Files in it are
    added, never changed, so several processes may share it; what one of them is cut off in is not lost but for the last
    file. The texts themselves are not written: a file holds hashes of them and their features.

    Args:
        tower: a text tower; to be cached it needs an `identity` that changes with its weights.
        texts: one a record; many may be equal.
        cache: the folder; None keeps nothing.

    Returns:
        Features float32 `[distinct, embed_dim]`, unit rows, in the order in which the texts first appear; and ids int64
        `[record]`, so that `features[ids]` is one row a record and equal texts have equal ids.

    Raises:
        ArgumentError: a text is not a string, or the tower has no `identity`.
        ExportError: the cache cannot be written.

    Properties: a text that is in the cache is not encoded again; a damaged file is reported, removed, and its texts are
        encoded again.

    Example:
        >>> from ecgscan_lab.encoders.text import HashedTextTower
        >>> features, ids = cached_text_features(HashedTextTower(), ["normal ecg", "old infarct", "normal ecg"])
        >>> features.shape, ids.tolist()
        ((2, 384), [0, 1, 0])
    """
    wrong = next((i for i, text in enumerate(texts) if not isinstance(text, str)), None)
    if wrong is not None:
        raise ArgumentError(
            f"text {wrong} is a {type(texts[wrong]).__name__}", field="texts", expected="strings, empty where none is"
        )
    id_of: dict[str, int] = {}
    ids = np.array([id_of.setdefault(text, len(id_of)) for text in texts], dtype=np.int64)
    distinct = list(id_of)
    if cache is None:
        return tower.encode_text(distinct), ids
    identity = getattr(tower, "identity", None)
    if not isinstance(identity, str):
        raise ArgumentError(
            "features of a tower without an identity cannot be told from another's",
            field="tower",
            expected="an attribute `identity`, a string that changes with the weights",
            fix="add one, or pass cache=None",
        )
    folder = Path(cache) / f"text-{hashlib.sha256(identity.encode()).hexdigest()[:32]}"
    keys = [_key(identity, text) for text in distinct]
    row_of = {key: row for row, key in enumerate(keys)}
    features = np.empty((len(distinct), tower.embed_dim), dtype=np.float32)
    known = np.zeros(len(distinct), dtype=bool)
    for file in sorted(folder.glob("*.safetensors")):
        _take(file, row_of, features, known)
    new = np.flatnonzero(~known)
    for start in range(0, len(new), _PER_FILE):
        rows = new[start : start + _PER_FILE]
        features[rows] = tower.encode_text([distinct[row] for row in rows])
        _put(folder, [keys[row] for row in rows], features[rows], tower.name)
    return features, ids


def _key(identity: str, text: str) -> bytes:
    """Hash of a text, keyed by the tower: a folder tells nothing about the texts of another."""
    secret = hashlib.sha256(identity.encode()).digest()
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES, key=secret).digest()


def _put(folder: Path, keys: list[bytes], features: np.ndarray, name: str) -> None:
    stacked = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), _KEY_BYTES)
    facts = {"sha256": _sha256(stacked, features), "ecgscan_lab": json.dumps({"tower": name, "texts": len(keys)})}
    file = folder / f"{hashlib.sha256(stacked.tobytes()).hexdigest()[:32]}.safetensors"
    write_whole(file, save({"keys": stacked.copy(), "features": features}, facts), field="cache")


def _take(file: Path, row_of: dict[bytes, int], features: np.ndarray, known: np.ndarray) -> None:
    """Fill the rows whose texts a file knows; a file that is not whole is removed."""
    from safetensors import safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            keys, rows = opened.get_tensor("keys"), opened.get_tensor("features")
            stated = (opened.metadata() or {}).get("sha256")
        if rows.shape != (len(keys), features.shape[1]) or stated != _sha256(keys, rows):
            raise ValueError("the hash differs")
    except FileNotFoundError:  # another process found it damaged first
        return
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        warnings.warn(f"text features in {file.name} are damaged and made again: {error}", RuntimeWarning, stacklevel=3)
        file.unlink(missing_ok=True)
        return
    for key, features_of_text in zip(keys, rows, strict=True):
        row = row_of.get(key.tobytes())
        if row is not None:
            features[row], known[row] = features_of_text, True


def _sha256(keys: np.ndarray, features: np.ndarray) -> str:
    digest = hashlib.sha256(f"{keys.shape} {features.shape} {features.dtype}".encode())
    digest.update(np.ascontiguousarray(keys).data)
    digest.update(np.ascontiguousarray(features).data)
    return digest.hexdigest()
