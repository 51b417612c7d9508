"""Whatever the bytes: a record, or an error of the family, in bounded time and memory."""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import scipy.signal  # noqa: F401  before memory is measured, as is wfdb
import wfdb  # noqa: F401
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecgscan_lab.data.wfdb_records import read_record
from ecgscan_lab.errors import EcgScanLabError
from ecgscan_lab.leads import LEADS

N_SAMPLES = 60
DIGITAL = np.random.default_rng(3).integers(-900, 900, (N_SAMPLES, 12)).astype("<i2")
PEAK_BYTES = 16 * 1024 * 1024

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])

hostile_words = st.one_of(
    st.sampled_from(
        "0 -1 1e999 nan inf 99999999999999999999 16x9999 212 16+4096 16:4096 ../x /etc/passwd ~ 0/0 1/2 1(0)/NU 1e-30 "
        "-32768 V7 -aVR \u0661 \u00b5V . .. # r.dat r.hea 310 80 24 32".split(" ")
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.floats().map(str),
    st.text(max_size=12),
)


def sound_header() -> list[list[str]]:
    lines = [["r", "12", "100", str(N_SAMPLES)]]
    for k, lead in enumerate(LEADS):
        checksum = int(DIGITAL[:, k].sum(dtype=np.int64)) % 65536
        lines.append(["r.dat", "16", "1000(0)/mV", "16", "0", str(DIGITAL[0, k]), str(checksum), "0", lead])
    return lines


def read_bytes(header: bytes, data: bytes) -> str:
    """Say "read", or the name of the typed error; anything else escapes and fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "r.hea").write_bytes(header)
        Path(folder, "r.dat").write_bytes(data)
        tracemalloc.start()
        started = time.process_time()
        try:
            record = read_record(Path(folder, "r"), fs_hz=100.0, duration_s=1.0, allow_flat=True)
        except EcgScanLabError as error:
            return type(error).__name__
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert time.process_time() - started < 2.0
            assert peak < PEAK_BYTES, f"{peak} bytes for a file of {len(data)}"
    assert record.signal_mv.shape == (12, 100)
    assert not np.isinf(record.signal_mv).any()
    return "read"


def test_the_sound_record_is_read():
    assert read_bytes("\n".join(" ".join(line) for line in sound_header()).encode(), DIGITAL.tobytes()) == "read"


@quick
@given(header=st.binary(max_size=2000), data=st.binary(max_size=3000))
def test_random_bytes(header, data):
    assert read_bytes(header, data) in {"RecordError", "LeadError", "read"}


@quick
@given(header=st.text(max_size=200), data=st.binary(max_size=200))
def test_random_text(header, data):
    assert read_bytes(header.encode("utf-8", "surrogatepass"), data) in {"RecordError", "LeadError"}


@quick
@given(
    changes=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 8), hostile_words), min_size=1, max_size=4),
    cut=st.integers(0, DIGITAL.nbytes),
)
def test_a_sound_header_with_hostile_fields(changes, cut):
    lines = sound_header()
    for row, column, word in changes:
        lines[row][column % len(lines[row])] = word
    header = "\n".join(" ".join(line) for line in lines).encode("utf-8", "surrogatepass")
    assert read_bytes(header, DIGITAL.tobytes()[: cut or None]) in {"RecordError", "LeadError", "read"}


@quick
@given(
    fmt=st.sampled_from(["80", "212", "310", "311", "61", "160", "24", "32"]),
    n_samples=st.integers(1, 200),
    data=st.binary(max_size=2000),
)
def test_random_samples_in_every_format(fmt, n_samples, data):
    lines = sound_header()
    lines[0][3] = str(n_samples)
    for line in lines[1:]:
        line[1] = fmt
    assert read_bytes("\n".join(" ".join(line) for line in lines).encode(), data) in {"RecordError", "LeadError"}


@quick
@given(position=st.integers(0, DIGITAL.nbytes - 1), bit=st.integers(0, 7))
def test_every_single_bit_flip_of_the_samples_is_seen(position, bit):
    data = bytearray(DIGITAL.tobytes())
    data[position] ^= 1 << bit
    header = "\n".join(" ".join(line) for line in sound_header()).encode()
    assert read_bytes(header, bytes(data)) == "RecordError"


@pytest.mark.parametrize("line", ["r 12 100 " + "9" * 5000, "r 12 " + "1" * 5000 + " 60", "(" * 10_000, "/" * 200_000])
def test_very_long_words(line):
    assert read_bytes(line.encode(), b"") == "RecordError"
