"""What a store says about itself: its plan, written first, and its manifest, written last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ecgscan_lab.data.disk import file_digests
from ecgscan_lab.data.paths import read_bounded
from ecgscan_lab.data.store.shards import STORE_VERSION
from ecgscan_lab.errors import EcgScanLabError, StoreError
from ecgscan_lab.whole_files import write_whole

MANIFEST = "store.json"
PLAN = "plan.json"
_MAX_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True)
class StorePlan:
    """What fixes every byte of a store, known before the first recording is read.

    Attributes:
        name: name of the corpus.
        fs_hz: rate in hertz.
        n_samples: samples a lead.
        n_listed: recordings to read.
        shard_size: of them a shard.
        items_sha256: digest of the list of recordings, with their splits, labels and reports.
        version: of the store's format.
    """

    name: str
    fs_hz: float
    n_samples: int
    n_listed: int
    shard_size: int
    items_sha256: str
    version: int = STORE_VERSION

    @property
    def n_shards(self) -> int:
        """Shards of the finished store."""
        return -(-self.n_listed // self.shard_size)


@dataclass(frozen=True)
class ShardNote:
    """What was written down about a finished shard.

    Attributes:
        file: its name.
        records: recordings in it.
        n_bytes: its size.
        sha256: its digest.
        skipped: recordings that could not be read: name, error, message.
        repairs: sentence -> recordings it was applied to.
    """

    file: str
    records: int
    n_bytes: int
    sha256: str
    skipped: tuple[tuple[str, str, str], ...] = field(default=(), repr=False)
    repairs: Mapping[str, int] = field(default_factory=dict, repr=False)


def shard_file(number: int) -> str:
    """Name of a shard's file.

    Example:
        >>> shard_file(12)
        'shard-00012.arrow'
    """
    return f"shard-{number:05d}.arrow"


def note_of(path: Path) -> ShardNote | None:
    """What was written down about a shard, or None where it is not finished or not as it was."""
    try:
        fields = json.loads(read_bounded(path.with_suffix(".json"), _MAX_BYTES))
        note = ShardNote(**{**fields, "skipped": tuple(tuple(entry) for entry in fields["skipped"])})
        return note if is_sound(path, note) else None
    except (EcgScanLabError, OSError, ValueError, TypeError, KeyError):
        return None


def write_note(path: Path, note: ShardNote) -> None:
    """Write down what a finished shard holds, beside it."""
    write_whole(path.with_suffix(".json"), json.dumps(asdict(note)).encode(), error=StoreError)


def is_sound(path: Path, note: ShardNote) -> bool:
    """Whether a shard has the size and digest that were written down."""
    try:
        return path.stat().st_size == note.n_bytes and file_digests(path)["sha256"] == note.sha256
    except OSError:
        return False


def write_plan(folder: Path, plan: StorePlan) -> None:
    """Write the plan, or see that the folder holds the same one.

    Raises:
        StoreError: the folder holds, or was begun for, another store; the difference is named.
    """
    found = _read(folder / PLAN)
    if found is None:
        write_whole(folder / PLAN, json.dumps(asdict(plan), indent=1).encode(), error=StoreError)
        return
    wanted = asdict(plan)
    differing = [name for name in wanted if found.get(name) != wanted[name]]
    if differing:
        what = "; ".join(f"{name} is {str(found.get(name))[:20]}, now {str(wanted[name])[:20]}" for name in differing)
        raise StoreError(
            f"the folder holds another store ({what})",
            file=folder,
            field=differing[0],
            expected="the same source and settings as before",
            fix="name another folder, or remove this one",
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a finished store.

    Raises:
        StoreError: there is none, it is unreadable, or of another version.
    """
    fields = _read(folder / MANIFEST)
    if fields is None:
        begun = (folder / PLAN).is_file()
        raise StoreError(
            "the store is not finished" if begun else "no store in the folder",
            file=folder,
            field=MANIFEST,
            expected="a folder that `ecgscan-lab data prepare` has finished",
            fix="run `ecgscan-lab data prepare` again; it goes on where it stopped" if begun else "check the path",
        )
    if fields.get("version") != STORE_VERSION:
        raise StoreError(
            f"the store has version {str(fields.get('version'))[:20]}",
            file=folder / MANIFEST,
            field="version",
            expected=f"{STORE_VERSION}",
            fix="prepare it again with this version of ecgscan_lab",
        )
    missing = [name for name in _FIELDS if name not in fields]
    if missing:
        raise StoreError(f"{missing[0]} is missing", file=folder / MANIFEST, field=missing[0], fix="prepare it again")
    return fields


_FIELDS = "name fs_hz n_samples tasks descriptions shards left_out skipped repairs data_sha256".split()


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        fields = json.loads(read_bounded(path, _MAX_BYTES))
    except (EcgScanLabError, OSError, ValueError) as error:
        raise StoreError("not readable", file=path, expected="JSON", fix="prepare the store again") from error
    if not isinstance(fields, dict):
        raise StoreError("not readable", file=path, expected="a JSON object", fix="prepare the store again")
    return fields
