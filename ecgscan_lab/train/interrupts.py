"""Ctrl-C and SIGTERM wait for the end of the step, so that what is saved is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any


@dataclass
class Asked:
    """Which signal asked the run to stop: 0 for none."""

    signal: int = 0


class StoppedError(SystemExit):
    """The run was asked to end by SIGTERM and saved its state; the exit status is 143, as a shell expects."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)


@contextmanager
def deferred_signals() -> Iterator[Asked]:
    """Note SIGINT and SIGTERM in place of acting on them; a second one of a kind acts at once.

    Handlers exist in the main thread only, so that elsewhere nothing changes; those from before come back at the end.
    """
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        asked.signal = number
        signal.signal(number, before[number])

    try:
        for kind in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(kind)
            # One that C code installed (None) could not be put back; one that is ignored stays ignored.
            if handler is not None and handler is not signal.SIG_IGN:
                before[kind] = handler
                signal.signal(kind, note)
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def sigterm_stops() -> Iterator[None]:
    """Raise `StoppedError` on SIGTERM, at once, where nothing defers it: a command can then say what it leaves behind.

    Where `deferred_signals`, which may be used inside, leaves SIGTERM alone, so does this.
    """
    untouched = signal.getsignal(signal.SIGTERM) in (None, signal.SIG_IGN)
    if untouched or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def stop_error(number: int) -> BaseException:
    """What a run raises once it has saved: KeyboardInterrupt for Ctrl-C, `StoppedError` for SIGTERM."""
    return StoppedError() if number == signal.SIGTERM else KeyboardInterrupt()
