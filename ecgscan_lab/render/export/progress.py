"""How far a long run is, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

LINE_EVERY_S = 10.0


class Progress:
    """Counts pages and shows the count.

    Args:
        total: pages to draw.
        shown: show anything at all.
    """

    def __init__(self, total: int, shown: bool) -> None:
        self.total = total
        self._shown = shown
        self._start = self._last = time.perf_counter()
        self._end: float | None = None
        self._bar: Any = None
        if shown and sys.stderr.isatty() and os.environ.get("ECGSCAN_PROGRESS") != "plain":
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit=" pages", dynamic_ncols=True)

    @property
    def seconds(self) -> float:
        """Seconds since the start, until `close`."""
        return (time.perf_counter() if self._end is None else self._end) - self._start

    def advance(self, drawn: int, skipped: int) -> None:
        """So many were drawn, and skipped, so far."""
        if self._bar is not None:
            self._bar.update(drawn + skipped - self._bar.n)
            self._bar.set_postfix(skipped=skipped, refresh=False)
        elif self._shown and time.perf_counter() - self._last >= LINE_EVERY_S:
            self._last = time.perf_counter()
            per_s = drawn / max(self.seconds, 1e-9)
            sys.stderr.write(f"{drawn} of at most {self.total} pages, {per_s:.0f} a second, {skipped} skipped\n")

    def close(self) -> None:
        """Stop the clock and leave the last state standing."""
        self._end = time.perf_counter()
        if self._bar is not None:
            self._bar.close()
