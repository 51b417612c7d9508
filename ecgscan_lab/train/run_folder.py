"""One run in a folder at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ecgscan_lab.errors import CheckpointError

BEST, LAST, BAD_BATCHES = "best.safetensors", "last.safetensors", "bad_batches.jsonl"
_LOCK = ".run.lock"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a folder for this run; the system lets go of it however the run ends, kill included.

    Raises:
        CheckpointError: another run is writing there, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _open_locked(folder / _LOCK)
    except BlockingIOError as error:
        raise CheckpointError(
            "another run is writing to this folder",
            file=folder,
            field="out",
            expected="a folder of its own for every run",
            fix="wait for that run to end, or choose another folder",
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"cannot write here ({error.strerror})",
            file=folder,
            field="out",
            fix="check the folder and its permissions",
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no open file, and leaves it
            (folder / _LOCK).unlink(missing_ok=True)  # while it is held, so that nobody else's goes
        os.close(descriptor)


def forget_run(folder: Path) -> None:
    """Remove what an earlier run left, so that a new one cannot be mistaken for it."""
    for name in (BEST, LAST, BAD_BATCHES):
        (folder / name).unlink(missing_ok=True)


def _open_locked(path: Path) -> int:
    """A descriptor that holds the lock on the file that lies at `path` now."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the run before removed it between our two lines


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
