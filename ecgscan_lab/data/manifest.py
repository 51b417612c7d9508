"""Manifests: where each corpus and checkpoint is published, under which licence, and how to tell that it arrived whole.

A manifest is one JSON file of `data_manifests/`, transcribed from its publisher. A digest that the publisher does not
list is null, never guessed; `fetch` records it the first time and holds later copies to it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ecgscan_lab.data.json_schema import schema_violations
from ecgscan_lab.errors import ManifestError

SCHEMA, PAPER_RESULTS = "schema.json", "paper_results.csv"
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class PublishedFile:
    """One file at its publisher: where it goes, where it comes from, and what it must look like once it is here.

    `path` is relative to the folder of the corpus, with forward slashes. `n_bytes`, `sha256` and `md5` are None where
    the publisher lists none.
    """

    path: str
    url: str
    n_bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    unpack: bool = False
    strip: int = 0
    max_unpacked_bytes: int = 0
    about: str = ""
    note: str = ""


@dataclass(frozen=True)
class RecordSet:
    """Records that the publisher serves one by one: `match` is a pattern of their paths without suffix."""

    name: str
    base_url: str
    match: str
    suffixes: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class ChecksumList:
    """The publisher's own list of digests: `SHA256SUMS.txt`, or what Zenodo or the Hugging Face hub answers."""

    format: str
    file: PublishedFile


@dataclass(frozen=True)
class Manifest:
    """A corpus or a checkpoint. `fields` is the JSON as it stands; the rest is what code works with."""

    name: str
    kind: str
    title: str
    version: str
    fields: Mapping[str, Any]
    files: tuple[PublishedFile, ...]
    archive: PublishedFile | None
    checksums: ChecksumList | None
    record_sets: Mapping[str, RecordSet]

    @property
    def access(self) -> str:
        """`open` (fetched for you), `manual`, `gated` (an account) or `credentialed` (an account and an agreement)."""
        return str(self.fields["access"]["level"])

    @property
    def must_accept(self) -> bool:
        """Whether the licence binds its reader to more than naming the source."""
        return bool(self.fields["licence"]["must_accept"])

    def croissant(self) -> dict[str, Any]:
        """The manifest of a corpus as Croissant metadata (see `croissant.to_croissant`)."""
        from ecgscan_lab.data.croissant import to_croissant

        return to_croissant(self)


def manifest_folder() -> Path:
    """The folder of manifests: the copy inside an installed package, else the one of the source checkout.

    Raises:
        ManifestError: neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_data_manifests", package.parent / "data_manifests"):
        if (folder / SCHEMA).is_file():
            return folder
    raise ManifestError("the manifests are missing", file=package, fix="install ecgscan_lab again")


def manifest_names(kind: str | None = None) -> list[str]:
    """Names of all manifests, or of one kind: "corpus" or "checkpoint".

    Example:
        >>> [name for name in manifest_names("corpus") if name.startswith("c")]
        ['challenge-2021', 'code-15', 'code-test', 'cpsc2018', 'csn']
    """
    names = sorted(path.stem for path in manifest_folder().glob("*.json") if path.name != SCHEMA)
    return [name for name in names if kind is None or load_manifest(name).kind == kind]


def load_manifest(source: str | Path) -> Manifest:
    """Load a manifest by its name, or one of your own by its path.

    Args:
        source: a name that `manifest_names` lists, or the path of a `.json` file that follows the schema.

    Returns:
        The manifest, checked against the schema.

    Raises:
        ManifestError: unknown, unreadable, or not as the schema says; the message lists every violation.

    Example:
        >>> manifest = load_manifest("ptb-xl")
        >>> manifest.version, manifest.fields["records"]["count"], manifest.access
        ('1.0.3', 21799, 'open')
    """
    text = str(source)
    if not text.endswith(".json"):
        known = {path.stem for path in manifest_folder().glob("*.json")} - {Path(SCHEMA).stem}
        if text not in known:
            raise ManifestError(
                f"no manifest {text!r}", field="name", expected=", ".join(sorted(known)), fix="ecgscan-lab data list"
            )
        source = manifest_folder() / f"{text}.json"
    return parse_manifest(_read_json(Path(source)), Path(source))


def parse_manifest(fields: Any, file: Path | None = None) -> Manifest:
    """Check parsed JSON against the schema and turn it into a manifest.

    Raises:
        ManifestError: it does not follow the schema, or a path in it leaves the folder.
    """
    violations = list(schema_violations(fields, _schema()))
    if violations:
        raise ManifestError(
            "the manifest does not follow the schema: " + "; ".join(violations[:8]),
            file=file,
            field=violations[0].split(":")[0],
            expected="the fields of data_manifests/schema.json",
        )
    files = tuple(_published_file(entry) for entry in fields["files"])
    archive = _published_file(fields["archive"]) if "archive" in fields else None
    checksums = fields.get("checksums")
    if checksums is not None and (checksums["format"] == "sha256sums") != (checksums["path"] is not None):
        raise ManifestError("only a SHA256SUMS list is kept as a file", file=file, field="checksums.path")
    chosen = fields["default_record_set"]
    if (chosen is None) != (not fields["record_sets"]) or (chosen is not None and chosen not in fields["record_sets"]):
        raise ManifestError("default_record_set names no record set", file=file, field="default_record_set")
    inside = [*files, *([archive] if archive is not None else [])]
    for path in [*(entry.path for entry in inside), *(entry["glob"] for entry in fields["expected"])]:
        safe_relative(path, file)
    return Manifest(
        name=fields["name"],
        kind=fields["kind"],
        title=fields["title"],
        version=fields["version"],
        fields=fields,
        files=files,
        archive=archive,
        checksums=None if checksums is None else ChecksumList(checksums["format"], _published_file(checksums)),
        record_sets={
            name: RecordSet(name, entry["base_url"], entry["match"], tuple(entry["suffixes"]), entry["count"])
            for name, entry in fields["record_sets"].items()
        },
    )


def safe_relative(path: str, file: Path | None = None) -> str:
    """The path itself, if it stays inside the folder that it is relative to on every system.

    Raises:
        ManifestError: it is absolute, climbs up, names a drive or an address, or holds a control character.

    Example:
        >>> safe_relative("records100/00000/00001_lr.hea")
        'records100/00000/00001_lr.hea'
    """
    # Windows drops dots and blanks at the end of a name, so that ".. " climbs there; "" is a root or an empty name.
    odd = any(not part or part != part.rstrip(". ") for part in path.split("/"))
    if odd or any(mark in path for mark in "\\:") or not path.isprintable():
        raise ManifestError(f"{path[:80]!r} leaves the folder", file=file, field="path", expected="a path inside it")
    return path


def overlaps(left: Iterable[str], right: Iterable[str]) -> list[str]:
    """Say which corpora of two lists share recordings, so that nobody tests on what was trained on.

    A checkpoint stands for the corpora that it was trained on. Corpora of which nothing is known share nothing here:
    an empty answer is no proof, and `find_duplicate_signals` looks at the signals themselves.

    Args:
        left: names of manifests, for instance what a model was trained on.
        right: names of manifests, for instance what it will be tested on.

    Returns:
        A sentence for each pair that shares recordings.

    Raises:
        ManifestError: a name is unknown.

    Example:
        >>> overlaps(["challenge-2021"], ["ptb-xl", "mimic-iv-ecg"])
        ['challenge-2021 holds 21,837 records of ptb-xl']
    """
    found = [
        sentence for a in _as_corpora(left) for b in _as_corpora(right) for sentence in (_shared(a, b) or _shared(b, a))
    ]
    return list(dict.fromkeys(found))


def paper_results() -> list[dict[str, Any]]:
    """The numbers that the paper prints, one a row, with the place they were read.

    Returns:
        Rows with `table`, `task`, `method`, `group` (signal, image, human), `dataset`, `fraction` of labels in percent
        or None, `auc` in percent, `source`, `note`. Table 2 is not one protocol: `note` says which rows differ.

    Example:
        >>> rows = paper_results()
        >>> [row["auc"] for row in rows if row["method"] == "ECG-Scan" and row["dataset"] == "CODE-test"]
        [94.78]
    """
    with (manifest_folder() / PAPER_RESULTS).open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = [dict(row) for row in csv.DictReader(file)]
    for row in rows:
        row["table"], row["auc"] = int(row["table"]), float(row["auc"])
        row["fraction"] = int(row["fraction"]) if row["fraction"] else None
    return rows


def _as_corpora(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        manifest = load_manifest(name)
        yield from [name] if manifest.kind == "corpus" else manifest.fields.get("trained_on", ())


def _shared(outer: str, inner: str) -> list[str]:
    if outer == inner:
        return [f"{outer} is on both sides"]
    return [
        f"{outer} holds {'' if entry['records'] is None else format(entry['records'], ',') + ' '}records of {inner}"
        for entry in load_manifest(outer).fields["contains"]
        if entry["name"] == inner
    ]


def _published_file(entry: Mapping[str, Any]) -> PublishedFile:
    return PublishedFile(
        path=entry["path"] or "",
        url=entry["url"],
        n_bytes=entry["bytes"],
        sha256=entry["sha256"],
        md5=entry.get("md5"),
        unpack=entry.get("unpack", False),
        strip=entry.get("strip", 0),
        max_unpacked_bytes=entry.get("max_unpacked_bytes", 0),
        about=entry.get("about", ""),
        note=entry.get("note", ""),
    )


@cache
def _schema() -> Mapping[str, Any]:
    schema = _read_json(manifest_folder() / SCHEMA)
    assert isinstance(schema, dict)
    return schema


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ManifestError("a manifest of more than 1 MB", file=path, expected="a small JSON file")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ManifestError(f"cannot read the manifest ({type(error).__name__})", file=path) from error
