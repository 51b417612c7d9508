"""What every test shares: no network, the recordings, a seeded generator."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before numba or matplotlib is imported: caches and backends that need neither a home folder nor a display.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".pytest_cache" / "numba"))
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", ECGSCAN_PROGRESS="plain")

# A shell's background job is born with Ctrl-C ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import numpy as np  # noqa: E402


class NetworkBlockedError(RuntimeError):
    """A test tried to leave this machine."""


def _is_local(family: int, address: Any) -> bool:
    if family == getattr(socket, "AF_UNIX", None):
        return True
    host = str(address[0]) if isinstance(address, tuple) else ""
    return host in {"localhost", "::1", ""} or host.startswith("127.")


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Connections to other machines, and look-ups of their names, raise; loopback and Unix sockets work."""
    connect, connect_ex, getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if not _is_local(self.family, address):
            raise NetworkBlockedError(f"tests run without a network, but one connects to {address!r}")
        return connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        if not _is_local(self.family, address):
            raise NetworkBlockedError(f"tests run without a network, but one connects to {address!r}")
        return connect_ex(self, address)

    def guarded_getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not _is_local(-1, (name,)):
            raise NetworkBlockedError(f"tests run without a network, but one looks up {name!r}")
        return getaddrinfo(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_getaddrinfo)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with the same seed in every test."""
    return np.random.default_rng(20260401)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of public recordings: `ECGSCAN_DATA`, else `../shared/data` beside the checkout."""
    named = os.environ.get("ECGSCAN_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        if named:
            pytest.fail(f"ECGSCAN_DATA names {folder}, which is not a folder")
        pytest.skip("the public recordings are not here: set ECGSCAN_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def ptbxl_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PTB-XL with records at 100 and 500 Hz: `ECGSCAN_PTBXL`, else unpacked once a session from `real_data`."""
    named = os.environ.get("ECGSCAN_PTBXL")
    if named:
        if not (Path(named) / "ptbxl_database.csv").is_file():
            pytest.fail(f"ECGSCAN_PTBXL names {named}, which holds no ptbxl_database.csv")
        return Path(named)
    unpack = request.getfixturevalue("real_data") / "unpack.py"
    if not unpack.is_file():
        pytest.skip(f"{unpack} is not here, so there is nothing to unpack PTB-XL with")
    return _unpack_once(unpack, tmp_path_factory)


def _unpack_once(unpack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack into a folder that all workers of this session share; the first one in does the work."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    target, done = shared / "ptbxl", shared / "ptbxl.done"
    with FileLock(shared / "ptbxl.lock"):
        if not done.exists():
            command = [sys.executable, str(unpack), str(target)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            done.touch()
    return target


@pytest.fixture(scope="session")
def ptbxl_statements() -> str:
    """A small `scp_statements.csv`, in PTB-XL's own columns: eight statements of all tasks."""
    return """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal ECG,1.0,,,NORM,NORM
IMI,inferior myocardial infarction,1.0,,,MI,IMI
NST_,non-specific ST changes,1.0,1.0,,STTC,NST_
1AVB,first degree AV block,1.0,,,CD,_AVB
LVH,left ventricular hypertrophy,1.0,,,HYP,LVH
STD_,non-specific ST depression,,1.0,,,
SR,sinus rhythm,,,1.0,,
AFIB,atrial fibrillation,,,1.0,,
"""
