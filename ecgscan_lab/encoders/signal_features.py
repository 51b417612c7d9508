"""Features of many recordings by a frozen signal tower, tiny or published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from ecgscan_lab.data.resampling import standardize
from ecgscan_lab.encoders.teachers.teacher import SignalTeacher
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.types import EcgRecord


class SignalTower(Protocol):
    """What `encode_signals` needs: a module with a sampling rate."""

    fs_hz: float
    embed_dim: int

    def __call__(self, signals_mv: torch.Tensor, /) -> torch.Tensor:
        """`[batch, 12, time]` in mV -> `[batch, embed_dim]`."""
        ...


def encode_signals(
    tower: SignalTower,
    signals_mv: np.ndarray,
    fs_hz: float | None = None,
    batch_size: int | None = None,
    on_batch: Callable[[int, int], None] | None = None,
    *,
    summary: bool = False,
) -> np.ndarray:
    """Encode recordings by a frozen tower, on the GPU when there is one.

    Signals at another rate are resampled by `data.resampling.standardize`, a batch at a time; for a teacher with a
    fixed length they are also cut on the right, or filled up with gaps, which the teacher bridges.

    Args:
        tower: a `TinySignalTower` or a `SignalTeacher`; it ends in `eval` mode on the device it was on.
        signals_mv: float32 `[record, 12, time]` in mV, canonical lead order, NaN where nothing was recorded; a memory
            map stays on disk but for the batch at hand.
        fs_hz: sampling rate of the signals; None says that it is the tower's.
        batch_size: records at a time; None is 128, or 16 for a teacher.
        on_batch: called after each batch with (records done, records in all).
        summary: what `tower.summarise` gives in place of the feature; a `TinySignalTower` has it.

    Returns:
        float32 `[record, embed_dim]`, or `[record, d_summary]`.

    Raises:
        ArgumentError: the signals have another shape, the tower has no summary, or `batch_size` is below 1.
        LeadError: a lead holds nothing within the teacher's length.
    """
    if signals_mv.ndim != 3 or signals_mv.shape[1] != 12:
        raise ArgumentError(
            f"got signals of shape {signals_mv.shape}", field="signals_mv", expected="[record, 12, time]"
        )
    module = tower
    if not isinstance(module, torch.nn.Module):
        raise ArgumentError(
            "the tower is no torch module", field="tower", expected="a TinySignalTower or SignalTeacher"
        )
    if batch_size is None:
        batch_size = 16 if isinstance(tower, SignalTeacher) else 128
    if batch_size < 1:
        raise ArgumentError(f"batch_size is {batch_size}", field="batch_size", expected="1 or more")
    if summary and not hasattr(tower, "summarise"):
        raise ArgumentError(
            "this tower has no summary", field="summary", expected="a TinySignalTower, or summary=False"
        )
    encode, width = (tower.summarise, tower.d_summary) if summary else (tower, tower.embed_dim)  # type: ignore[attr-defined]
    rate = tower.fs_hz if fs_hz is None else fs_hz
    home = next(module.parameters()).device
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    module.to(device).eval()
    features = np.empty((len(signals_mv), width), dtype=np.float32)
    try:
        with torch.no_grad():
            for start in range(0, len(signals_mv), batch_size):
                batch = _at_tower(tower, signals_mv[start : start + batch_size], rate)
                features[start : start + len(batch)] = encode(torch.from_numpy(batch).to(device)).cpu().numpy()
                if on_batch is not None:
                    on_batch(start + len(batch), len(signals_mv))
    finally:
        module.to(home)
    return features


def _at_tower(tower: SignalTower, signals_mv: np.ndarray, fs_hz: float) -> np.ndarray:
    """A batch at the tower's rate and, if it has one, length."""
    n_samples = getattr(tower, "n_samples", None)
    if fs_hz == tower.fs_hz and n_samples in (None, signals_mv.shape[2]):
        return np.array(signals_mv, dtype=np.float32)  # a copy, which may be written to unlike a memory map
    duration_s = None if n_samples is None else n_samples / tower.fs_hz
    records = (EcgRecord("signal", np.asarray(signal, dtype=np.float32), fs_hz) for signal in signals_mv)
    return np.stack([standardize(record, tower.fs_hz, duration_s).signal_mv for record in records])
