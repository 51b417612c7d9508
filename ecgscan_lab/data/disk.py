"""Files from elsewhere on disk: their size and digests, room for them, and what the disk says against them."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ecgscan_lab.data.manifest import PublishedFile
from ecgscan_lab.errors import DiskFullError, FetchError, IntegrityError

AGAIN = "run the same command again: it goes on where it stopped"
_CHUNK = 1 << 20
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def file_digests(path: Path, algorithms: tuple[str, ...] = ("sha256",)) -> dict[str, str]:
    """Hexadecimal digests of a file, read once.

    Args:
        path: the file.
        algorithms: names that `hashlib` knows.
    """
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in algorithms}
    with path.open("rb") as content:
        while chunk := content.read(_CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    return {name: digest.hexdigest() for name, digest in digests.items()}


def check_file(path: Path, file: PublishedFile) -> str:
    """Hold a file on disk to its published size and digests.

    Returns:
        Its SHA-256.

    Raises:
        IntegrityError: it differs; the message shows both.
    """
    n_bytes = path.stat().st_size
    if file.n_bytes is not None and n_bytes != file.n_bytes:
        raise IntegrityError(
            f"{file.path} has {n_bytes} bytes",
            file=path,
            field="bytes",
            expected=f"{file.n_bytes}",
            fix=how_to_mend(file),
        )
    digests = file_digests(path, ("sha256", "md5") if file.md5 else ("sha256",))
    for name, expected in (("sha256", file.sha256), ("md5", file.md5)):
        if expected is not None and digests[name] != expected:
            raise IntegrityError(
                f"{file.path} has {name} {digests[name]}",
                file=path,
                field=name,
                expected=expected,
                fix=how_to_mend(file),
            )
    return digests["sha256"]


def check_room(folder: Path, n_bytes: int, what: str) -> None:
    """See that a folder's disk has room.

    Raises:
        DiskFullError: it has not; the message says how much is needed and free.
    """
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise DiskFullError(
            f"{what} needs {n_bytes / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free",
            file=folder,
            field="folder",
            fix="free some space or choose another folder; what has arrived is kept",
        )


@contextmanager
def writing_to(target: Path) -> Iterator[None]:
    """Whatever the disk says against writing a file becomes a `DiskFullError` or a `FetchError`."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFullError(
                f"the disk is full while {target.name} is written", file=target, field="folder", fix=AGAIN
            ) from error
        raise FetchError(
            f"cannot write {target.name} ({type(error).__name__}: {error.strerror})", file=target, field="folder"
        ) from error


def how_to_mend(file: PublishedFile) -> str:
    """What a reader can do about a file that is not as published."""
    return file.note or "another version or a damaged copy: compare with the publisher's page, then fetch it again"
