"""WFDB headers, read with every number bounded before anything is allocated or opened.

wfdb accepts gains of zero, absent lengths, repeated names and lengths of 10^13 samples; here each of them is a
`RecordError` that names the file and the field. Comments may carry a patient's age, sex or name: the only comment
that is kept is the list of SNOMED CT codes of PhysioNet/CinC headers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ecgscan_lab.data.paths import read_bounded
from ecgscan_lab.errors import RecordError

MAX_HEADER_BYTES = 256 * 1024
MAX_SIGNALS = 64
MAX_SAMPLES = 24 * 3600 * 1000  # a Holter day at 1000 Hz
FS_RANGE_HZ = (50.0, 2000.0)
GAIN_RANGE_PER_MV = (1.0, 1e7)

# Bits a sample and the value that marks a sample as not recorded, by WFDB storage format.
FORMATS = {
    "80": (8, -128),
    "212": (12, -2048),
    "310": (32 / 3, -512),
    "311": (32 / 3, -512),
    "16": (16, -32768),
    "61": (16, -32768),
    "160": (16, -32768),
    "24": (24, -(1 << 23)),
    "32": (32, -(1 << 31)),
}

_MV_PER_UNIT = {"mv": 1.0, "millivolt": 1.0, "millivolts": 1.0, "v": 1e3, "volt": 1e3, "volts": 1e3}
_MV_PER_UNIT |= dict.fromkeys(("uv", "\u00b5v", "\u03bcv", "microvolt", "microvolts"), 1e-3)  # micro sign, Greek mu

_INTEGER = re.compile(r"[-+]?[0-9]{1,12}")
_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,20})(?:[eE][-+]?[0-9]{1,3})?")
_FORMAT = re.compile(r"([0-9]{1,4})(?:x([0-9]{1,9}))?(?::([0-9]{1,9}))?(?:\+([0-9]{1,9}))?")
_GAIN = re.compile(r"([^()/]{1,40})(?:\(([^()/]{1,20})\))?(?:/(.{1,40}))?")
_FILE_NAME = re.compile(r"[^\x00-\x1f\x7f/\\:]{1,200}")
_SNOMED = re.compile(r"#\s*Dx\s*:(.*)", re.IGNORECASE)
_SNOMED_CODE = re.compile(r"[0-9]{6,18}")


@dataclass(frozen=True)
class SignalLine:
    """One lead of a header: where its samples lie and what they mean.

    Attributes:
        file_name: the signal file, a plain name in the header's own folder.
        fmt: WFDB storage format, a key of `FORMATS`.
        byte_offset: bytes before the first sample.
        gain_per_mv: converter steps a millivolt.
        baseline: converter value of 0 mV.
        initial_value, checksum: first sample and sum of the samples mod 2^16, signed or not.
        name: the lead's name as written.
    """

    file_name: str
    fmt: str
    byte_offset: int
    gain_per_mv: float
    baseline: int
    initial_value: int
    checksum: int
    name: str


@dataclass(frozen=True)
class WfdbHeader:
    """A validated header; `repairs` says in sentences what had to be assumed or put right."""

    path: Path
    fs_hz: float
    n_samples: int
    signals: tuple[SignalLine, ...]
    snomed: tuple[str, ...]
    repairs: tuple[str, ...]


def read_header(path: Path) -> WfdbHeader:
    """Read and validate one WFDB header.

    Args:
        path: the `.hea` file.

    Returns:
        The header, every number within the bounds above.

    Raises:
        RecordError: the header is missing, describes several segments or rates, or holds a number outside its bounds;
            the message names the field and what would have been accepted.
    """
    lines, snomed = _split_lines(path, read_bounded(path, MAX_HEADER_BYTES))
    repairs: list[str] = []
    n_signals, fs_hz, n_samples = _parse_record_line(path, lines[0], repairs)
    if len(lines) - 1 != n_signals:
        raise RecordError(
            f"{n_signals} signals announced, {len(lines) - 1} signal lines found",
            file=path,
            field="number of signals",
            expected="one line a signal",
            fix="restore the header from its publisher; it is truncated or merged",
        )
    signals = tuple(_parse_signal_line(path, line) for line in lines[1:])
    return WfdbHeader(path, fs_hz, n_samples, signals, snomed, tuple(repairs))


def _split_lines(path: Path, content: bytes) -> tuple[list[str], tuple[str, ...]]:
    """Header lines without comments, and the SNOMED codes of a CinC `#Dx:` comment."""
    if b"\0" in content:
        raise RecordError("the header holds NUL bytes", file=path, expected="text", fix="is this the signal file?")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines: list[str] = []
    snomed: list[str] = []
    for line in re.split(r"\r\n|\r|\n", text):
        line = line.strip()
        if line.startswith("#"):
            match = _SNOMED.match(line)
            snomed += match[1].replace(" ", "").split(",") if match else []
        elif line:
            lines.append(line)
    if not lines:
        raise RecordError("the header is empty", file=path, expected="a record line", fix="download the record again")
    return lines, tuple(dict.fromkeys(code for code in snomed if _SNOMED_CODE.fullmatch(code)))


def _parse_record_line(path: Path, line: str, repairs: list[str]) -> tuple[int, float, int]:
    """Number of signals, sampling rate in hertz, number of samples."""
    fields = line.split(maxsplit=4)
    if len(fields) < 4:
        raise RecordError(
            "the record line is incomplete; without a length a truncated signal file would pass unnoticed",
            file=path,
            field="record line",
            expected="name, number of signals, sampling rate, number of samples",
            fix="add the missing numbers to the first line of the header",
        )
    name, n_signals, fs, n_samples = fields[:4]
    if "/" in name:
        raise RecordError(
            "multi-segment records are not supported",
            file=path,
            field="record name",
            expected="a single-segment record",
            fix="read one of its segments, or convert it with wfdb's `multi_to_single`",
        )
    if name.endswith((".mat", ".dat")):
        repairs.append("the record line named a signal file instead of the record")
    low, high = FS_RANGE_HZ
    rate = fs.split("/", 1)[0].split("(", 1)[0]  # a counter frequency may follow; nothing here uses it
    return (
        _integer(path, "number of signals", n_signals, 1, MAX_SIGNALS),
        _number(path, "sampling rate in hertz", rate, low, high),
        _integer(path, "number of samples", n_samples, 1, MAX_SAMPLES),
    )


def _parse_signal_line(path: Path, line: str) -> SignalLine:
    """One signal line: file, format, gain, resolution, zero, initial value, checksum, block size, name."""
    fields = line.split(maxsplit=8)
    if len(fields) < 9:
        raise RecordError(
            f"a signal line has {len(fields)} fields; the lead's name comes last",
            file=path,
            field="signal line",
            expected="file, format, gain, resolution, zero, initial value, checksum, block size, name",
            fix="write the record again with wfdb's `wrsamp`, which fills every field",
        )
    name = fields[8]
    lead = f"lead {name[:20]!r}"
    fmt, byte_offset = _parse_format(path, lead, fields[1])
    zero = _integer(path, f"ADC zero of {lead}", fields[4], -(1 << 31), 1 << 31)
    gain_per_mv, baseline = _parse_gain(path, lead, fields[2], zero)
    initial = _integer(path, f"initial value of {lead}", fields[5], -(1 << 31), 1 << 31)
    checksum = _integer(path, f"checksum of {lead}", fields[6], -(1 << 31), 1 << 31)
    if not _FILE_NAME.fullmatch(fields[0]) or fields[0] in (".", ".."):
        raise RecordError(
            f"the signal file {fields[0][:80]!r} is not a plain file name",
            file=path,
            field="signal file",
            expected="a file in the header's own folder",
            fix="put the signal file beside its header and name it there without a path",
        )
    return SignalLine(fields[0], fmt, byte_offset, gain_per_mv, baseline, initial, checksum, name)


@lru_cache(maxsize=64)
def _match_format(text: str) -> tuple[str, int, int, int] | None:
    match = _FORMAT.fullmatch(text)
    return None if match is None else (match[1], int(match[2] or 1), int(match[3] or 0), int(match[4] or 0))


def _parse_format(path: Path, lead: str, text: str) -> tuple[str, int]:
    """Storage format and byte offset; one sample a frame and no skew."""
    parsed = _match_format(text)
    if parsed is None or parsed[0] not in FORMATS:
        raise RecordError(
            f"unknown storage format {text[:40]!r}",
            file=path,
            field=f"format of {lead}",
            expected=f"one of {', '.join(FORMATS)}",
            fix="convert the record to format 16 with wfdb's `wrsamp`",
        )
    fmt, samples_per_frame, skew, byte_offset = parsed
    if samples_per_frame != 1 or skew:
        raise RecordError(
            f"{samples_per_frame} samples a frame, skew {skew}: multi-frequency and skewed records are not supported",
            file=path,
            field=f"format of {lead}",
            expected="one sample a frame and no skew",
            fix="resample all leads to one rate and write the record again",
        )
    return fmt, byte_offset


def _parse_gain(path: Path, lead: str, text: str, adc_zero: int) -> tuple[float, int]:
    """Converter steps a millivolt, and the converter's value at 0 mV; without a unit the gain is per millivolt."""
    match = _GAIN.fullmatch(text)
    if match is None:
        raise RecordError(f"cannot read the gain {text[:40]!r}", file=path, field=f"gain of {lead}", expected="1000/mV")
    number, baseline, unit = match.groups()
    if unit is not None and unit.lower() not in _MV_PER_UNIT:
        raise RecordError(
            f"unknown unit {unit!r}",
            file=path,
            field=f"unit of {lead}",
            expected="mV, uV or V",
            fix="write the physical unit into the header if you know it; 'NU' means that nobody calibrated the lead",
        )
    mv_per_unit = _MV_PER_UNIT[(unit or "mV").lower()]
    low, high = GAIN_RANGE_PER_MV
    gain = _number(path, f"gain of {lead}", number, low * mv_per_unit, high * mv_per_unit) / mv_per_unit
    zero = adc_zero if baseline is None else _integer(path, f"baseline of {lead}", baseline, -(1 << 31), 1 << 31)
    return gain, zero


def _integer(path: Path, name: str, text: str, low: int, high: int) -> int:
    value = int(text) if _INTEGER.fullmatch(text) else None
    if value is None or not low <= value <= high:
        raise RecordError(
            f"{name} is {text[:40]!r}", file=path, field=name, expected=f"a whole number, {low} to {high}"
        )
    return value


def _number(path: Path, name: str, text: str, low: float, high: float) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else float("nan")
    if not low <= value <= high:
        raise RecordError(f"{name} is {text[:40]!r}", file=path, field=name, expected=f"a number, {low:g} to {high:g}")
    return value
