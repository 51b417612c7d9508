"""Opening files that a table or a header names: inside their folder, of bounded size, with typed errors."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from ecgscan_lab.errors import RecordError


def local_path(path: str | PathLike[str]) -> Path:
    """Turn what a caller or a table wrote into a path on this machine.

    Args:
        path: a path, relative or absolute.

    Returns:
        The same path.

    Raises:
        RecordError: it is an address (`https://...`) or holds a NUL character.

    Example:
        >>> local_path("records100/00000/00001_lr").name
        '00001_lr'
    """
    text = os.fspath(path)
    if "://" in text or "\0" in text or not text:
        raise RecordError(
            f"{text[:80]!r} is not a path on this machine",
            field="path",
            expected="a local file",
            fix="download the record first",
        )
    return Path(text)


def inside(folder: Path, path: Path) -> bool:
    """Whether `path`, with links followed, lies inside `folder`.

    Example:
        >>> inside(Path("data"), Path("data/a")), inside(Path("data"), Path("data/../secret"))
        (True, False)
    """
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Read a regular file of 1 to `max_bytes` bytes.

    Args:
        path: the file.
        max_bytes: the largest size that makes sense for it.

    Returns:
        Its content.

    Raises:
        RecordError: it is missing, unreadable, no regular file, empty, or larger than `max_bytes`.
    """
    with open_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if not 0 < n_bytes <= max_bytes:
            raise RecordError(
                f"a file of {n_bytes} bytes",
                file=path,
                expected=f"1 to {max_bytes} bytes",
                fix="an empty or oversized file is a failed download or another format; fetch it again",
            )
        return file.read(n_bytes)


def read_span(path: Path, start: int, n_bytes: int) -> tuple[bytes, int]:
    """Read `n_bytes` of a file from byte `start`, without taking memory for bytes that it lacks.

    Args:
        path: the file.
        start: first byte wanted.
        n_bytes: number of bytes wanted.

    Returns:
        The bytes, and the number of bytes that follow them.

    Raises:
        RecordError: the file is missing, unreadable, no regular file, or too short.
    """
    with open_regular(path) as file:
        available = os.fstat(file.fileno()).st_size - start
        if available < n_bytes:
            raise RecordError(
                f"the signal file is truncated: {max(available, 0)} bytes of samples",
                file=path,
                expected=f"{n_bytes} bytes, as the header's length says",
                fix="fetch the signal file again",
            )
        file.seek(start)
        content = file.read(n_bytes)
    if len(content) < n_bytes:
        raise RecordError("the signal file shrank while it was read", file=path, fix="read it again")
    return content, available - n_bytes


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file open for reading.

    Raises:
        RecordError: it is missing, unreadable or no regular file; whatever the system says while it is read.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise RecordError("not a regular file", file=path, expected="a file on disk")
            yield file
    except FileNotFoundError as error:
        raise RecordError("no such file", file=path, fix="check the path, or fetch the file again") from error
    except (OSError, UnicodeError) as error:
        raise RecordError(f"cannot read the file ({type(error).__name__})", file=path) from error


def _open_without_waiting(path: str, flags: int) -> int:
    """Open so that a named pipe answers at once instead of waiting for a writer."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
