"""Croissant: a corpus described so that other programs find and read it.

Source: M. Akhtar et al. (2024), "Croissant: A Metadata Format for ML-Ready Datasets", arXiv 2403.19546; version 1.0.
"""

from __future__ import annotations

from typing import Any

from ecgscan_lab.data.manifest import Manifest, PublishedFile
from ecgscan_lab.errors import ArgumentError

_FORMATS = {
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".zip": "application/zip",
    ".json": "application/json",
    ".hdf5": "application/x-hdf5",
}
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "containedIn": "cr:containedIn",
    "conformsTo": "dct:conformsTo",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "includes": "cr:includes",
    "md5": "cr:md5",
    "recordSet": "cr:recordSet",
}


def to_croissant(manifest: Manifest) -> dict[str, Any]:
    """Describe a corpus in Croissant's JSON-LD.

    A digest appears only where the publisher lists one, so that a file without one stands without; Croissant's own
    validator warns of those. Records that the publisher serves one by one become a file set of their own.

    Args:
        manifest: a corpus.

    Returns:
        JSON-LD as a dictionary, for `json.dumps`.

    Raises:
        ArgumentError: the manifest is of a checkpoint.

    Example:
        >>> from ecgscan_lab.data.manifest import load_manifest
        >>> described = to_croissant(load_manifest("code-test"))
        >>> described["name"], [part["@id"] for part in described["distribution"]]
        ('code-test', ['data.zip', 'inside-data.zip'])
    """
    if manifest.kind != "corpus":
        raise ArgumentError("Croissant describes data sets", field="manifest", expected="a corpus, not a checkpoint")
    fields = manifest.fields
    listed = [*manifest.files, *([manifest.archive] if manifest.archive else [])]
    if manifest.checksums is not None and manifest.checksums.file.path:
        listed.append(manifest.checksums.file)
    distribution = [_file_object(file) for file in listed]
    if manifest.archive is not None:
        inside = [entry["glob"] for entry in fields["expected"]]
        distribution.append(_file_set(f"inside-{manifest.archive.path}", manifest.archive.path, inside))
    else:
        distribution += [
            _file_set(name, None, [chosen.match + suffix for suffix in chosen.suffixes])
            for name, chosen in manifest.record_sets.items()
        ]
    citation = fields["citation"]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": manifest.name,
        "alternateName": manifest.title,
        "description": fields["description"],
        "version": manifest.version,
        "license": fields["licence"]["url"],
        "url": fields["homepage"],
        "citeAs": citation["text"],
        "sameAs": [f"https://doi.org/{doi}" for doi in dict.fromkeys((citation["data_doi"], citation["doi"])) if doi],
        "isAccessibleForFree": fields["access"]["level"] == "open",
        "distribution": distribution,
    }


def _file_object(file: PublishedFile) -> dict[str, Any]:
    described = {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.url,
        "encodingFormat": _format(file.path),
        "contentSize": None if file.n_bytes is None else f"{file.n_bytes} B",
        "sha256": file.sha256,
        "md5": file.md5,
    }
    return {name: value for name, value in described.items() if value is not None}


def _file_set(name: str, within: str | None, patterns: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        **({} if within is None else {"containedIn": {"@id": within}}),
        "encodingFormat": "application/octet-stream",
        "includes": patterns,
    }


def _format(path: str) -> str:
    return next((kind for ending, kind in _FORMATS.items() if path.endswith(ending)), "application/octet-stream")
