"""Validated WFDB records: the one place where lead order, unit and axis are settled.

wfdb reads flipped bits, absent lengths, zero gains and repeated lead names without a word. Here a record is either
right, or repaired with a sentence in `provenance["repairs"]`, or refused with a typed error. Format 16, which nearly
every 12-lead corpus uses, is decoded in place, because wfdb spends 2.5 ms a record on its header; every other format
is handed to `wfdb.rdrecord` together with a header that holds validated numbers only.
"""

from __future__ import annotations

import math
import tempfile
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ecgscan_lab.data.amplitudes import check_amplitudes
from ecgscan_lab.data.paths import inside, local_path, read_span
from ecgscan_lab.data.resampling import check_rate_and_length
from ecgscan_lab.data.resampling import standardize as standardize
from ecgscan_lab.data.wfdb_header import FORMATS, SignalLine, WfdbHeader, read_header
from ecgscan_lab.errors import ArgumentError, LeadError, RecordError
from ecgscan_lab.leads import LEADS, LIMB_LEADS, canonical_order, derive_limb_leads, limb_law_residuals
from ecgscan_lab.types import EcgRecord

OnMissing = Literal["error", "derive"]

# Leads that some 12-lead carts add (Frank, right-sided and posterior leads); they are dropped by name.
EXTRA_LEADS = frozenset("vx vy vz x y z v7 v8 v9 v3r v4r v5r v6r v7r".split())
OTHER_SUFFIXES = (".h5", ".hdf5")
DERIVED_LEADS = LIMB_LEADS[2:]

COMMON_GAIN_PER_MV = 1000.0  # what LUDB's digital values were before its header normalised each lead


def read_record(
    path: str | PathLike[str],
    *,
    fs_hz: float | None = None,
    duration_s: float | None = None,
    on_missing: OnMissing = "error",
    allow_flat: bool = False,
    member: int | None = None,
    unit_mv: float | None = None,
) -> EcgRecord:
    """Read a record into `EcgRecord`: twelve leads in `LEADS` order, millivolts, every check made.

    WFDB records are read here; a `.mat` file without a header, `.h5` and `.hdf5` by `other_formats.read_other`.

    Equation: mV = (digital - baseline) / gain; the header's checksum is the sum of a lead's digital values mod 2^16.

    Source: WFDB header and signal formats (G. Moody, PhysioNet). *Differences*: leads are found by name, never by
    position; a length is required; comments are dropped, except SNOMED CT codes (`#Dx:`).

    Args:
        path: the record, with or without `.hea`, `.dat` or `.mat`; or a MATLAB or HDF5 file.
        fs_hz, duration_s: standardise to this rate in hertz and this length in seconds; None keeps the record's own.
        on_missing: "derive" computes III, aVR, aVL and aVF from leads I and II when they are missing; "error" refuses.
        allow_flat: keep leads that never move (an electrode off) and note them, instead of refusing the record.
        member: the row of an HDF5 file that holds many recordings, from 0.
        unit_mv: millivolts a stored unit of a MATLAB or HDF5 file; None takes what its layout is documented to hold.

    Returns:
        The record. `signal_mv` is float32 `[12, time]` with NaN where the file marks a sample as not recorded;
        `provenance` holds `source`, `format`, `native_fs_hz`, `native_n_samples` and `repairs`, a list of sentences.
        `labels["snomed"]` holds the codes of a CinC header.

    Raises:
        RecordError: a file is missing, truncated or damaged, or a number in the header makes no sense.
        LeadError: a lead is missing, unknown, duplicated, empty or flat; `fix` says what to do.
        ArgumentError: an argument is outside its range.

    Properties: agrees with `wfdb.rdrecord` on every sound record; one flipped bit is an error; never anything but an
    `EcgScanLabError`, whatever the bytes.

    Example:
        >>> import tempfile, wfdb
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     noise = np.random.default_rng(0).integers(-500, 500, (1000, 12))
        ...     wfdb.wrsamp("r", 100, ["mV"] * 12, list(LEADS), d_signal=noise, fmt=["16"] * 12,
        ...                 adc_gain=[1000.0] * 12, baseline=[0] * 12, write_dir=folder)
        ...     read_record(f"{folder}/r").signal_mv.shape
        (12, 1000)
    """
    if on_missing not in get_args(OnMissing):
        raise ArgumentError(f"unknown choice {on_missing!r}", field="on_missing", expected="'error' or 'derive'")
    check_rate_and_length(1.0 if fs_hz is None else fs_hz, duration_s)
    header_path = _header_path(path)
    given = local_path(path)
    if given.suffix.lower() in OTHER_SUFFIXES or (given.suffix == ".mat" and not header_path.exists()):
        from ecgscan_lab.data.other_formats import read_other

        wanted = {"fs_hz": fs_hz, "duration_s": duration_s}
        return read_other(given, **wanted, allow_flat=allow_flat, member=member, unit_mv=unit_mv)
    if member is not None or unit_mv is not None:
        raise ArgumentError(
            "a WFDB header says both", field="member" if member is not None else "unit_mv", expected="None"
        )
    header = read_header(header_path)
    repairs = list(header.repairs)
    digital = _read_digital(header, repairs)
    _verify_checksums(header, digital)
    rows = _lead_rows(header, on_missing, repairs)
    if duration_s is not None:
        digital = digital[: math.ceil((duration_s + 1.0) * header.fs_hz)]
    signal_mv = _to_millivolts(header, digital, rows, repairs)
    step_mv = 1.0 / min(header.signals[row].gain_per_mv for row in rows if row is not None)
    check_amplitudes(header.path, signal_mv, step_mv, allow_flat, repairs)
    record = EcgRecord(
        record_id=header_path.stem,
        signal_mv=signal_mv,
        fs_hz=header.fs_hz,
        labels={"snomed": header.snomed} if header.snomed else {},
        provenance={
            "source": header_path.name,
            "format": "wfdb",
            "native_fs_hz": header.fs_hz,
            "native_n_samples": header.n_samples,
            "repairs": repairs,
        },
    )
    if fs_hz is None and duration_s is None:
        return record
    return standardize(record, header.fs_hz if fs_hz is None else fs_hz, duration_s)


def _header_path(path: str | PathLike[str]) -> Path:
    """The `.hea` file of a record given with or without a suffix."""
    found = local_path(path)
    stem = found.name.removesuffix(".hea").removesuffix(".dat").removesuffix(".mat")
    return found.parent / f"{stem}.hea"


def _read_digital(header: WfdbHeader, repairs: list[str]) -> np.ndarray:
    """Digital values `[time, signal]` from the one or more signal files, in the header's order."""
    files: dict[str, list[int]] = {}
    for row, line in enumerate(header.signals):
        files.setdefault(line.file_name, []).append(row)
    blocks = [_decode_file(header, [header.signals[row] for row in rows], repairs) for rows in files.values()]
    if len(blocks) == 1:
        return blocks[0]
    digital = np.concatenate(blocks, axis=1)
    return digital[:, np.argsort(np.concatenate(list(files.values())))]


def _decode_file(header: WfdbHeader, lines: list[SignalLine], repairs: list[str]) -> np.ndarray:
    """Digital values `[time, signal]` of the leads that one signal file interleaves."""
    first = lines[0]
    folder = header.path.parent
    path = folder / first.file_name
    if any((line.fmt, line.byte_offset) != (first.fmt, first.byte_offset) for line in lines):
        raise RecordError("one signal file, several formats", file=header.path, field="format", expected="one format")
    if path.is_symlink() and not inside(folder, path):
        raise RecordError(
            "the signal file is a link out of its folder",
            file=path,
            field="signal file",
            expected="a file in the header's own folder",
            fix="copy the file there",
        )
    n_values = header.n_samples * len(lines)
    bits, _ = FORMATS[first.fmt]
    content, n_extra = read_span(path, first.byte_offset, math.ceil(n_values * bits / 8))
    if n_extra:
        repairs.append("the signal file goes on beyond the header's length; the rest was ignored")
    if first.fmt == "16":
        return np.frombuffer(content, dtype="<i2").reshape(header.n_samples, len(lines))
    return _decode_with_wfdb(header, lines, content)


def _decode_with_wfdb(header: WfdbHeader, lines: list[SignalLine], content: bytes) -> np.ndarray:
    """Hand the samples to wfdb under a header written from validated numbers, so that it sees nothing else."""
    import wfdb

    clean = [f"clean {len(lines)} {header.fs_hz:.6f} {header.n_samples}"]
    clean += [f"clean.dat {line.fmt} 1(0)/mV 0 0 0 0 0 {row}" for row, line in enumerate(lines)]
    try:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "clean.hea").write_text("\n".join(clean) + "\n", encoding="ascii")
            Path(folder, "clean.dat").write_bytes(content)
            return np.asarray(wfdb.rdrecord(str(Path(folder, "clean")), physical=False).d_signal)
    except (ValueError, IndexError, TypeError, OSError) as error:
        raise RecordError(
            f"wfdb cannot decode the samples ({type(error).__name__})",
            file=header.path.parent / lines[0].file_name,
            field=f"format {lines[0].fmt}",
            fix="fetch the record again",
        ) from error


def _verify_checksums(header: WfdbHeader, digital: np.ndarray) -> None:
    """Hold every lead to its 16-bit checksum and its initial value."""
    sums = digital.sum(axis=0, dtype=np.int64).tolist()
    for line, first, total in zip(header.signals, digital[0].tolist(), sums, strict=True):
        wrong_sum = (line.checksum - total) & 0xFFFF
        if wrong_sum or line.initial_value != first:
            raise RecordError(
                f"the samples of lead {line.name[:20]!r} do not match the header's "
                + ("checksum" if wrong_sum else "initial value"),
                file=header.path.parent / line.file_name,
                field="checksum" if wrong_sum else "initial value",
                expected=str(line.checksum if wrong_sum else line.initial_value),
                fix="the signal file is damaged or belongs to another header; fetch both again",
            )


def _lead_rows(header: WfdbHeader, on_missing: OnMissing, repairs: list[str]) -> tuple[int | None, ...]:
    """The header's row of each of `LEADS`; None for a lead that is to be computed."""
    try:
        rows, dropped = _match_leads(tuple(line.name for line in header.signals), on_missing)
    except LeadError as error:
        raise LeadError(
            error.what, file=header.path, field=error.field, expected=error.expected, fix=error.fix
        ) from error
    computed = [lead for lead, row in zip(LEADS, rows, strict=True) if row is None]
    if dropped:
        repairs.append(f"extra leads dropped: {', '.join(dropped)}")
    if computed:
        repairs.append(f"leads computed from I and II by Einthoven's and Goldberger's laws: {', '.join(computed)}")
    return rows


@lru_cache(maxsize=256)
def _match_leads(names: tuple[str, ...], on_missing: OnMissing) -> tuple[tuple[int | None, ...], tuple[str, ...]]:
    """The row of each of `LEADS` (None: to be computed), and the names of extra leads that are dropped."""
    folded = [name.strip().lower() for name in names]
    kept = [row for row, name in enumerate(folded) if name not in EXTRA_LEADS]
    dropped = tuple(names[row] for row, name in enumerate(folded) if name in EXTRA_LEADS)
    absent = [lead for lead in DERIVED_LEADS if lead.lower() not in folded]
    derivable = absent if {"i", "ii"} <= set(folded) else []
    try:
        stand_ins = derivable if on_missing == "derive" else []
        order = canonical_order([*(names[row] for row in kept), *stand_ins])
    except LeadError as error:
        only_derivable = derivable and len(kept) == len({folded[row] for row in kept}) == len(LEADS) - len(absent)
        fix = 'pass on_missing="derive" to compute them from leads I and II' if only_derivable else error.fix
        raise LeadError(error.what, field=error.field, expected=error.expected, fix=fix) from error
    return tuple(kept[k] if k < len(kept) else None for k in order.tolist()), dropped


def _to_millivolts(
    header: WfdbHeader, digital: np.ndarray, rows: tuple[int | None, ...], repairs: list[str]
) -> np.ndarray:
    """Millivolts `[12, time]` in float32; samples that carry the format's invalid mark become NaN."""
    recorded = [k for k, row in enumerate(rows) if row is not None]
    lines = [header.signals[row] for row in rows if row is not None]
    values = digital.T[[row for row in rows if row is not None]]
    gains = np.array([line.gain_per_mv for line in lines])
    baselines = np.array([line.baseline for line in lines])
    recorded_mv = (values - baselines[:, None]) / gains[:, None]
    missing = values == np.array([[FORMATS[line.fmt][1]] for line in lines])
    if missing.any():
        recorded_mv[missing] = np.nan
        empty = [LEADS[recorded[k]] for k in np.flatnonzero(missing.all(axis=1))]
        if empty:
            raise LeadError(
                f"{', '.join(empty)}: every sample is marked as not recorded",
                file=header.path,
                field=", ".join(empty),
                expected="a recorded sample in every lead",
                fix="leave the record out, or a longer `duration_s` if the lead starts later",
            )
        repairs.append(f"samples marked as not recorded became gaps (NaN): {int(missing.sum())}")
    if len(set(gains.tolist())) > 1 and len(recorded) == len(LEADS) and _each_lead_normalised(values, recorded_mv):
        recorded_mv = np.where(missing, np.nan, values / COMMON_GAIN_PER_MV)
        repairs.append(
            f"the header scales each lead to a span of 1; the limb-lead laws hold for the digital values, so the "
            f"common gain of {COMMON_GAIN_PER_MV:g} steps/mV was used"
        )
    if len(recorded) == len(LEADS):
        return recorded_mv.astype(np.float32)
    signal_mv = np.empty((len(LEADS), values.shape[1]), dtype=np.float32)
    signal_mv[: len(LIMB_LEADS)] = derive_limb_leads(recorded_mv[0], recorded_mv[1])
    signal_mv[recorded] = recorded_mv
    return signal_mv


def _each_lead_normalised(values: np.ndarray, recorded_mv: np.ndarray) -> bool:
    """Whether the header's gains stretch every lead to a span of 1 and break laws that the digital values obey."""
    spans_mv = np.nanmax(recorded_mv, axis=1) - np.nanmin(recorded_mv, axis=1)
    if np.abs(spans_mv - 1.0).max() > 0.01:
        return False
    digital = np.where(np.isnan(recorded_mv), np.nan, values.astype(np.float64))
    return _law_violation(digital) < min(0.05, 0.2 * _law_violation(recorded_mv))


def _law_violation(signal: np.ndarray) -> float:
    """Root mean square residual of the limb-lead laws over that of the limb leads, each lead's mean removed."""
    limb = signal[: len(LIMB_LEADS)] - np.nanmean(signal[: len(LIMB_LEADS)], axis=1, keepdims=True)
    residuals = np.stack(list(limb_law_residuals(limb, LIMB_LEADS).values()))
    scale = np.sqrt(np.nanmean(limb**2))
    return float(np.sqrt(np.nanmean(residuals**2)) / scale) if scale > 0 else math.inf
