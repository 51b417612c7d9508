"""Whether a folder holds a corpus or checkpoint as it was published: fetched here, or put there by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from ecgscan_lab.data.checksum_lists import listed_files
from ecgscan_lab.data.cohort import existing_folder
from ecgscan_lab.data.disk import check_file, writing_to
from ecgscan_lab.data.manifest import Manifest, PublishedFile, load_manifest, safe_relative
from ecgscan_lab.errors import IntegrityError

RECEIPT = "ecgscan-fetch.json"
_SHOWN = 20


@dataclass
class Verified:
    """What `verify_data` found.

    `damaged` is wrong whatever was asked for: path -> what is wrong. `n_missing` and `counts` (pattern -> files here,
    and files published) say how much of the whole is here. Of `unlisted` files no digest is known.
    """

    checked: int = 0
    n_missing: int = 0
    first_missing: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    unlisted: list[str] = field(default_factory=list)
    counts: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    note: str = ""

    @property
    def complete(self) -> bool:
        """Nothing missing, and as many files of each pattern as were published."""
        return not self.n_missing and all(n == (wanted or max(n, 1)) for n, wanted in self.counts.values())

    @property
    def sound(self) -> bool:
        """Something is here, and nothing of it is damaged."""
        return not self.damaged and self.checked + sum(n for n, _ in self.counts.values()) > 0


def verify_data(
    source: str | Manifest, folder: str | PathLike[str], *, on_file: Callable[[], None] | None = None
) -> Verified:
    """Hold the files of a folder to what their publisher lists.

    Each file is compared with the digest in the manifest, with the publisher's SHA256SUMS.txt when it lies in the
    folder, and with what `fetch_data` recorded there. Files that none of the three know are counted, not checked.

    Args:
        source: a name that `manifest_names` lists, or a manifest.
        folder: holds the files, in the publisher's layout.
        on_file: called after each file.

    Returns:
        What is damaged, missing or not listed. A folder with some of the records is sound, but not complete.

    Raises:
        ManifestError: no such manifest.
        TableError: no such folder.
        IntegrityError: the publisher's list itself is damaged.
    """
    manifest = source if isinstance(source, Manifest) else load_manifest(source)
    root = existing_folder(folder)
    found, recorded = Verified(), read_receipt(root)["recorded"]
    known = {file.path: file for file in manifest.files if not file.unpack}
    sums = manifest.checksums.file if manifest.checksums is not None else None

    def check(file: PublishedFile) -> None:
        _check(root, file, found)
        if on_file is not None:
            on_file()

    if sums is not None and sums.path and (root / sums.path).is_file():
        check(as_recorded(sums, recorded))
        for path, sha256 in listed_files(root / sums.path):
            check(replace(known.pop(path, PublishedFile(path, "")), sha256=sha256))
    elif sums is not None and sums.path:
        found.note = f"put the publisher's {sums.path} ({sums.url}) into the folder to have each file checked"
    for file in known.values():
        check(as_recorded(file, recorded))
    for path in set(recorded) - set(known) - {sums.path if sums is not None else ""}:
        check(as_recorded(PublishedFile(path, ""), recorded))
    found.counts = {
        entry["glob"]: (sum(path.is_file() for path in root.glob(entry["glob"])), entry["count"])
        for entry in manifest.fields["expected"]
    }
    return found


def _check(root: Path, file: PublishedFile, found: Verified) -> None:
    try:
        check_file(root / file.path, file)
    except FileNotFoundError:
        found.n_missing += 1
        found.first_missing += [file.path] if len(found.first_missing) < _SHOWN else []
        return
    except (IntegrityError, OSError) as error:
        found.damaged[file.path] = getattr(error, "what", f"cannot be read ({type(error).__name__})")
    found.checked += 1
    if not (file.sha256 or file.md5):
        found.unlisted.append(file.path)


def read_receipt(folder: Path) -> dict[str, dict[str, Any]]:
    """What `fetch_data` wrote into a folder: digests `recorded` for want of published ones, and archives `unpacked`.

    Whatever is not of that form is left out, so that a damaged receipt is as good as none.
    """
    try:
        receipt = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        receipt = {}
    kept: dict[str, dict[str, Any]] = {"recorded": {}, "unpacked": {}}
    for part, entries in kept.items():
        given = receipt.get(part) if isinstance(receipt, dict) else None
        for path, entry in given.items() if isinstance(given, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("bytes"), int) and _is_sha256(entry.get("sha256")):
                entries[safe_relative(path, folder / RECEIPT)] = entry
    return kept


def write_receipt(
    folder: Path, manifest: Manifest, receipt: Mapping[str, Mapping[str, Any]], more: Mapping[str, Any]
) -> Path:
    """Keep beside the data what it is, under which licence, and the digests that the publisher does not list."""
    path, unfinished = folder / RECEIPT, folder / f".{RECEIPT}.new"
    about = {name: manifest.fields[name] for name in ("name", "version", "homepage", "licence", "citation")}
    with writing_to(path):
        unfinished.write_text(
            json.dumps({**about, **more, **receipt}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        unfinished.replace(path)
    return path


def as_recorded(file: PublishedFile, recorded: Mapping[str, Mapping[str, Any]]) -> PublishedFile:
    """A file held to the digest of its first fetch, where the publisher lists none."""
    entry = recorded.get(file.path)
    if entry is None or file.sha256 is not None:
        return file
    return replace(file, sha256=entry["sha256"], n_bytes=entry["bytes"])


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
