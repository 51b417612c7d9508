"""The publisher's own list of digests, in the three forms in which it comes."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fnmatch import translate
from pathlib import Path
from typing import Any

from ecgscan_lab.data.download import open_url
from ecgscan_lab.data.manifest import ChecksumList, PublishedFile, RecordSet, safe_relative
from ecgscan_lab.errors import FetchError, IntegrityError

_SUM_LINE = re.compile(r"^([0-9a-f]{64}) [ *](.+)$")
_MAX_ANSWER_BYTES = 20_000_000


def ask_publisher(checksums: ChecksumList) -> tuple[dict[str, PublishedFile], str]:
    """Ask Zenodo or the Hugging Face hub for sizes and digests.

    Args:
        checksums: a list that is an answer, not a file.

    Returns:
        Path -> what is listed of it, and the commit that a moving branch stands at now ("" on Zenodo).

    Raises:
        FetchError: no answer, or one of another form.
    """
    try:
        with open_url(checksums.file.url) as response:
            answer = json.loads(response.read(_MAX_ANSWER_BYTES))
        if checksums.format == "zenodo":
            return _from_zenodo(answer), ""
        return _from_hub(answer), str(answer["sha"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FetchError(
            f"the publisher's list of digests cannot be read ({type(error).__name__}: {error})"[:300],
            field="checksums",
            file=checksums.file.url,
            fix="try again later",
        ) from error


def listed_files(path: Path) -> Iterator[tuple[str, str]]:
    """Read a SHA256SUMS.txt line by line, in any length.

    Yields:
        A path, with forward slashes and inside of the folder, and its SHA-256.

    Raises:
        IntegrityError: a line is no digest and path; a list that was cut off ends so.
        ManifestError: a path leaves the folder.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            found = _SUM_LINE.match(line.rstrip("\r\n"))
            if found is None or not line.endswith("\n"):
                raise IntegrityError(
                    f"line {number} is no digest and path: {line[:80]!r}",
                    file=path,
                    expected="64 hexadecimal digits, two spaces, a path",
                    fix="the list was cut off: delete it and fetch it again",
                )
            yield safe_relative(found[2].removeprefix("./"), path), found[1]


def record_files(path: Path, chosen: RecordSet, limit: int | None) -> list[PublishedFile]:
    """Files of the first records of a set, in the order of the publisher's list.

    Args:
        path: the SHA256SUMS.txt.
        chosen: the set.
        limit: how many records; None takes all.

    Returns:
        All files of each record, with their digests.

    Raises:
        IntegrityError: the list holds fewer records than asked for, or a record without one of its files.
    """
    is_record, records = re.compile(translate(chosen.match)), dict[str, dict[str, PublishedFile]]()
    for name, sha256 in listed_files(path):
        stem, dot, ending = name.rpartition(".")
        if dot + ending not in chosen.suffixes or not is_record.match(stem):
            continue
        if stem not in records and limit is not None and len(records) >= limit:
            if all(len(files) == len(chosen.suffixes) for files in records.values()):
                break
            continue
        records.setdefault(stem, {})[dot + ending] = PublishedFile(name, chosen.base_url + name, sha256=sha256)
    wanted = chosen.count if limit is None else min(limit, chosen.count)
    if len(records) < wanted:
        raise IntegrityError(f"the list holds {len(records)} records of {chosen.name}", file=path, expected=f"{wanted}")
    for stem, files in records.items():
        if len(files) < len(chosen.suffixes):
            missing = ", ".join(sorted(set(chosen.suffixes) - set(files)))
            raise IntegrityError(f"record {stem} lacks {missing}", file=path, expected="all files of a record")
    return [file for files in records.values() for file in files.values()]


def with_digests(file: PublishedFile, listed: Mapping[str, PublishedFile]) -> PublishedFile:
    """A file of the manifest, completed by what the publisher lists today.

    Raises:
        IntegrityError: the publisher lists another digest or size than the manifest: the file was replaced.
    """
    today = listed.get(file.path)
    if today is None:
        return file
    for field in ("n_bytes", "sha256", "md5"):
        known, now = getattr(file, field), getattr(today, field)
        if known is not None and now is not None and known != now:
            raise IntegrityError(
                f"the publisher now lists {field} {now} for {file.path}",
                field=field,
                expected=str(known),
                fix="the file was replaced since the manifest was written: read the publisher's page",
            )
        file = replace(file, **{field: known if known is not None else now})
    return file


def _from_zenodo(answer: Any) -> dict[str, PublishedFile]:
    found = {}
    for entry in answer["files"]:
        algorithm, _, digest = entry["checksum"].partition(":")
        digests = {algorithm: digest} if algorithm in ("md5", "sha256") else {}
        found[entry["key"]] = PublishedFile(safe_relative(entry["key"]), "", n_bytes=int(entry["size"]), **digests)
    return found


def _from_hub(answer: Any) -> dict[str, PublishedFile]:
    return {
        entry["rfilename"]: PublishedFile(
            safe_relative(entry["rfilename"]),
            "",
            n_bytes=int(entry["size"]) if entry.get("size") is not None else None,
            sha256=(entry.get("lfs") or {}).get("sha256"),
        )
        for entry in answer["siblings"]
    }
