"""Where the time of a step goes."""

from __future__ import annotations

import time

import torch


class Stopwatch:
    """Seconds between laps, by name.

    A GPU works on while Python goes ahead; to time it one must wait for it, which costs speed. So laps are exact only
    where asked for.

    Args:
        device: what is timed.
        exact: wait for the GPU at each lap; without, laps are not kept at all.

    Example:
        >>> watch = Stopwatch(torch.device("cpu"), exact=True)
        >>> watch.lap("forward")
        >>> list(watch.seconds)
        ['forward_s']
    """

    def __init__(self, device: torch.device, exact: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._device, self._exact = device, exact
        self._last = self._now()

    def lap(self, name: str) -> None:
        """End a lap."""
        if self._exact:
            now = self._now()
            self.seconds[f"{name}_s"] = now - self._last
            self._last = now

    def _now(self) -> float:
        if self._exact and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
