"""Tiny WFDB records, written from numbers, with any part of them made wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ecgscan_lab.leads import LEADS, derive_limb_leads


def ecg_like(n_samples: int = 1000, fs_hz: float = 100.0, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Twelve lawful leads with spikes and noise, `[12, time]` in mV."""
    rng = np.random.default_rng(seed)
    beats = np.exp(-0.5 * (((np.arange(n_samples) / fs_hz) % 0.8 - 0.4) / 0.02) ** 2)
    mixed = rng.uniform(0.3, 1.5, (8, 1)) * beats + 0.02 * rng.normal(size=(8, n_samples))
    limb = derive_limb_leads(mixed[0], mixed[1])
    return scale * np.concatenate([limb, mixed[2:]])


def header_text(
    digital: np.ndarray,
    name: str = "r",
    fs: object = 100,
    leads: Sequence[str] = LEADS,
    gains: Sequence[str] | str = "1000.0(0)/mV",
    fmt: str = "16",
    data_name: str | None = None,
    record_line: str | None = None,
    comments: Sequence[str] = (),
) -> str:
    """A correct header for digital values `[time, lead]`; every part can be replaced."""
    gains = [gains] * len(leads) if isinstance(gains, str) else gains
    lines = [record_line or f"{name} {len(leads)} {fs} {len(digital)}"]
    for column, (lead, gain) in enumerate(zip(leads, gains, strict=True)):
        checksum = int(digital[:, column].astype(np.int64).sum()) & 0xFFFF
        signed = checksum - 65536 if checksum > 32767 else checksum
        lines.append(f"{data_name or name + '.dat'} {fmt} {gain} 16 0 {digital[0, column]} {signed} 0 {lead}")
    return "\n".join([*lines, *comments]) + "\n"


@pytest.fixture
def write_record(tmp_path: Path) -> Callable[..., Path]:
    """Write `r.hea` and `r.dat` for a signal in mV or for digital values; returns the header's path."""

    def write(
        signal_mv: np.ndarray | None = None,
        *,
        digital: np.ndarray | None = None,
        name: str = "r",
        folder: Path = tmp_path,
        data: bytes | None = None,
        **header: object,
    ) -> Path:
        if digital is None:
            digital = np.rint((ecg_like() if signal_mv is None else signal_mv).T * 1000).astype("<i2")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.hea"
        path.write_text(header_text(digital, name, **header), encoding="utf-8")  # type: ignore[arg-type]
        data_name = str(header.get("data_name") or f"{name}.dat")
        (folder / data_name).write_bytes(digital.astype("<i2").tobytes() if data is None else data)
        return path

    return write


@pytest.fixture
def ecg() -> Callable[..., np.ndarray]:
    """The signal generator of these tests, `ecg(n_samples=..., fs_hz=..., seed=..., scale=...)`."""
    return ecg_like
