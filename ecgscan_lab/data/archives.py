"""Unpacking a zip archive from elsewhere: only plain files, only inside the folder, only as much as agreed."""

from __future__ import annotations

import hashlib
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from ecgscan_lab.data.disk import check_room, writing_to
from ecgscan_lab.data.manifest import safe_relative
from ecgscan_lab.errors import ArchiveError, IntegrityError, ManifestError

MAX_FILES = 2_000_000
MAX_RATIO = 200.0  # recordings shrink to a half or a third; long runs of zeros, somewhat more
_SMALL_BYTES = 10_000_000  # below this size no ratio is worth refusing
_MAX_DEPTH = 12
_CHUNK = 1 << 20


def extract_zip(
    archive: Path,
    folder: Path,
    *,
    max_bytes: int,
    strip: int = 0,
    max_files: int = MAX_FILES,
    digests: Mapping[str, str] | None = None,
    skip: Collection[str] = (),
    on_bytes: Callable[[int], None] | None = None,
) -> list[str]:
    """Unpack an archive after a look at all of its members; nothing is written before every one has passed.

    Args:
        archive: a zip file.
        folder: where the members go.
        max_bytes: the most that they may hold together, unpacked.
        strip: leading folders to leave away, 1 for an archive that holds everything in one folder.
        max_files: the most members that make sense.
        digests: path -> SHA-256 that a member must have; members without one are held to the archive's own checksum.
        skip: paths below `folder` that stay as they are, whatever the archive holds under that name.
        on_bytes: told how many bytes have just been unpacked.

    Returns:
        Paths of the unpacked files, relative to `folder`.

    Raises:
        ArchiveError: damaged, encrypted, too large, or with a member that is a link, a device, a bomb, twice there, or
            outside of the folder.
        IntegrityError: a member has another digest than `digests` says.
        DiskFullError: no room for what it holds.

    Properties:
        nothing outside: no member name leads out of the folder, on any system.
        no half files: each member appears under its name once its checksum has been verified.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            wanted = [m for m in _examine(opened, archive, max_bytes, strip, max_files) if m[1] not in skip]
            with writing_to(folder / archive.name):
                folder.mkdir(parents=True, exist_ok=True)
                check_room(folder, sum(info.file_size for info, _ in wanted), what=archive.name)
                with TemporaryDirectory(prefix=".unpacking-", dir=folder) as scratch:
                    for info, path in wanted:
                        _unpack(opened, info, Path(scratch) / "member", folder / path, (digests or {}).get(path))
                        if on_bytes is not None:
                            on_bytes(info.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ArchiveError(
            f"the archive is damaged or of an unknown kind ({type(error).__name__}: {error})",
            file=archive,
            fix="delete it and fetch it again",
        ) from error
    return [path for _, path in wanted]


def _examine(
    opened: zipfile.ZipFile, archive: Path, max_bytes: int, strip: int, max_files: int
) -> list[tuple[zipfile.ZipInfo, str]]:
    """Members to unpack and where each goes."""
    members = opened.infolist()
    if len(members) > max_files:
        raise ArchiveError(f"{len(members)} members", file=archive, expected=f"at most {max_files}")
    total = sum(info.file_size for info in members)
    packed = sum(info.compress_size for info in members)
    if total > max_bytes:
        raise ArchiveError(f"unpacks to {total} bytes", file=archive, expected=f"at most {max_bytes}")
    if total > _SMALL_BYTES and total > MAX_RATIO * max(packed, 1):
        raise ArchiveError(f"unpacks {packed} bytes to {total}, as a bomb does", file=archive)
    end = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise ArchiveError(f"member {info.filename[:80]!r} overlaps another one, as in a bomb", file=archive)
        end = info.header_offset + info.compress_size
    wanted: dict[str, tuple[zipfile.ZipInfo, str]] = {}
    for info in members:
        path = _destination(info, archive, strip)
        if path is None:
            continue
        if path.casefold() in wanted:
            raise ArchiveError(f"member {path!r} is there twice", file=archive)
        wanted[path.casefold()] = (info, path)
    return list(wanted.values())


def _destination(info: zipfile.ZipInfo, archive: Path, strip: int) -> str | None:
    """Where a member goes below the folder; None for a folder, or for what `strip` leaves nothing of."""
    name, mode = info.orig_filename, info.external_attr >> 16
    if "\0" in name or "\\" in name:
        raise ArchiveError(f"member {name[:80]!r} has a name of two meanings", file=archive)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"member {name[:80]!r} is a link or a device", file=archive, expected="plain files")
    if info.flag_bits & 0x1:
        raise ArchiveError(f"member {name[:80]!r} is encrypted", file=archive, expected="plain files")
    try:
        safe_relative(name.removesuffix("/"))
    except ManifestError as error:
        raise ArchiveError(
            f"member {name[:80]!r} leads out of the folder", file=archive, expected="a path inside it"
        ) from error
    parts = name.removesuffix("/").split("/")
    if len(parts) > _MAX_DEPTH or any(len(part.encode()) > 200 for part in parts):
        raise ArchiveError(f"member {name[:80]!r} has an absurd path", file=archive)
    inner = "/".join(parts[strip:])
    return None if info.is_dir() or not inner else inner


def _unpack(opened: zipfile.ZipFile, info: zipfile.ZipInfo, scratch: Path, target: Path, sha256: str | None) -> None:
    digest = hashlib.sha256()
    with opened.open(info) as packed, scratch.open("wb") as out:  # reading to the end verifies the member's CRC
        written = 0
        while chunk := packed.read(_CHUNK):
            written += len(chunk)
            if written > info.file_size:
                raise ArchiveError(f"member {info.filename[:80]!r} holds more than it declares", file=opened.filename)
            digest.update(chunk)
            out.write(chunk)
    if sha256 is not None and digest.hexdigest() != sha256:
        raise IntegrityError(
            f"{target.name} in the archive has sha256 {digest.hexdigest()}",
            file=opened.filename,
            field="sha256",
            expected=sha256,
            fix="delete the archive and fetch it again",
        )
    if written != info.file_size:
        raise ArchiveError(f"member {info.filename[:80]!r} holds less than it declares", file=opened.filename)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch.replace(target)
