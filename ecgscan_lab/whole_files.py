"""Write a file whole or not at all: beside its place, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ecgscan_lab.errors import EcgScanLabError, ExportError

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


def write_whole(
    path: str | os.PathLike[str],
    content: bytes | Iterable[bytes],
    *,
    error: Callable[..., EcgScanLabError] = ExportError,
    field: str = "out",
    durable: bool = True,
) -> Path:
    """Write a file so that a reader sees the old one or the new one, never a half.

    Args:
        path: the file; its folder is made when it is missing.
        content: its bytes, or pieces of them.
        error: the typed error raised where the system refuses.
        field: what that error says the file belongs to.
        durable: flush to the disk before the rename, so that a power cut leaves the old file or the new one; without,
            thousands of small files are written faster.

    Returns:
        `path`.

    Raises:
        ExportError: (or `error`) the disk is full or the folder refuses; nothing half-written is left.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     write_whole(Path(folder) / "new" / "a.txt", b"whole").read_bytes()
        b'whole'
    """
    path = Path(path)
    with unfinished_file(path, error=error, field=field, durable=durable) as unfinished, unfinished.open("wb") as file:
        file.writelines([content] if isinstance(content, bytes) else content)
    return path


def write_json(path: str | os.PathLike[str], values: Any) -> Path:
    """Write plain values as indented JSON, whole or not at all.

    Raises:
        ValueError: a number is not finite, since JSON has no NaN.
        ExportError: as `write_whole`.
    """
    return write_whole(path, (json.dumps(values, indent=2, allow_nan=False) + "\n").encode())


@contextmanager
def unfinished_file(
    path: Path,
    *,
    error: Callable[..., EcgScanLabError] = ExportError,
    field: str = "out",
    durable: bool = True,
) -> Iterator[Path]:
    """A name beside `path` to write to by any means; it becomes `path` when the block ends well, else it is removed.

    Args and errors as in `write_whole`.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield unfinished
            if durable:
                _flush(unfinished)
            unfinished.replace(path)
            if durable:
                with suppress(OSError):  # not every file system lets a folder be flushed
                    _flush(path.parent)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    except OSError as refused:
        raise error(
            f"cannot write the file ({refused.strerror or type(refused).__name__})",
            file=path,
            field=field,
            fix="make room on the disk, then run again"
            if refused.errno in _FULL
            else "check the folder and its permissions",
        ) from refused


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
