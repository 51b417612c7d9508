"""Recordings outside WFDB: MATLAB files and HDF5 files, held to the same checks.

These files carry no checksum and, but for one, no lead names. Their publishers' documents give the order, and the
limb-lead laws confirm it: documents of CODE disagree on whether aVL comes before aVF.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.data.amplitudes import check_amplitudes
from ecgscan_lab.data.matlab_files import read_matlab
from ecgscan_lab.data.paths import local_path, open_regular
from ecgscan_lab.data.resampling import standardize
from ecgscan_lab.data.wfdb_header import FS_RANGE_HZ, MAX_SAMPLES
from ecgscan_lab.errors import ArgumentError, LeadError, MissingExtraError, RecordError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.types import EcgRecord

HDF5_SUFFIXES = (".h5", ".hdf5")
MAX_MV = 1e6  # a kilovolt: no amplifier, but half-precision and single-precision files can say it
CODE_UNIT_MV = 0.1  # CODE's documents: "at the scale 1e-4 V"
CODE_FS_HZ = 400.0
CHINESE_FS_HZ = 500.0  # CPSC2018 and SPH

_SWAPPED = (0, 1, 2, 3, 5, 4, *range(6, 12))  # rows of a file that stores aVF before aVL
_AVL, _AVF = 4, 5


def read_other(
    path: str | Path,
    *,
    fs_hz: float | None = None,
    duration_s: float | None = None,
    allow_flat: bool = False,
    member: int | None = None,
    unit_mv: float | None = None,
) -> EcgRecord:
    """Read a MATLAB or HDF5 recording; `read_record` comes here for `.mat` without a header, `.h5` and `.hdf5`.

    Layouts that are known, by what the file holds:

    * MATLAB struct `ECG` with `data` `[12, time]`, mV at 500 Hz: CPSC2018 as first published.
    * MATLAB `feats` `[12, time]` with `curr_sample_rate`: recordings prepared for the fairseq-signals toolkit. The file
      does not name its unit, so `unit_mv` must.
    * HDF5 `tracings` `[record, time, 12]`, 400 Hz, 0.1 mV a unit, zeros at both ends: CODE-test and CODE-15%.
    * HDF5 `ecg` `[12, time]`, mV at 500 Hz: the Shandong SPH corpus.

    Leads are I, II, III, aVR, aVL, aVF, V1 to V6; aVL and aVF are exchanged where the limb-lead laws say so.

    Args:
        path: the file.
        fs_hz, duration_s, allow_flat: as for `read_record`.
        member: the row of a file that holds many recordings, from 0.
        unit_mv: millivolts a stored unit; None takes what the layout is documented to hold.

    Returns:
        The record, its zero padding cut off, NaN where the file has NaN.

    Raises:
        RecordError: the file is missing, damaged, of another layout, or without a unit.
        LeadError: a lead is empty or flat.
        ArgumentError: `member` or `unit_mv` makes no sense for this file.
        MissingExtraError: HDF5 needs h5py.

    Properties: never anything but an `EcgScanLabError`, whatever the bytes of a MATLAB file, and for HDF5 files as far
    as the HDF5 library bears with damage; a file that would unpack to too much is refused instead.
    """
    file = local_path(path)
    _check_arguments(member, unit_mv)
    repairs: list[str] = []
    documented_mv: float | None
    if file.suffix.lower() in HDF5_SUFFIXES:
        stored, native_fs_hz, documented_mv = _read_hdf5(file, member)
    else:
        if member is not None:
            raise ArgumentError("a MATLAB file holds one recording", field="member", expected="None")
        stored, native_fs_hz, documented_mv = _read_matlab(file)
    scale_mv = documented_mv if unit_mv is None else float(unit_mv)
    if scale_mv is None:
        raise RecordError(
            "the file does not say what its numbers mean",
            file=file,
            field="unit_mv",
            expected="millivolts a stored unit",
            fix="pass unit_mv: 1.0 for millivolts, 0.1 for CODE",
        )
    stored = _without_padding(file, stored, repairs)
    _check_leads(file, stored, MAX_MV / scale_mv, repairs)
    signal_mv = _in_order(stored * scale_mv, repairs)
    check_amplitudes(file, signal_mv, 0.0, allow_flat, repairs)
    record = EcgRecord(
        record_id=file.stem if member is None else f"{file.stem}-{member}",
        signal_mv=signal_mv.astype(np.float32),
        fs_hz=native_fs_hz,
        provenance={
            "source": file.name,
            "format": "hdf5" if file.suffix.lower() in HDF5_SUFFIXES else "matlab",
            "native_fs_hz": native_fs_hz,
            "native_n_samples": signal_mv.shape[1],
            "unit_mv": scale_mv,
            "repairs": repairs,
        },
    )
    if fs_hz is None and duration_s is None:
        return record
    return standardize(record, native_fs_hz if fs_hz is None else fs_hz, duration_s)


def _check_arguments(member: int | None, unit_mv: float | None) -> None:
    whole = isinstance(member, (int, np.integer)) and not isinstance(member, bool)
    if member is not None and not (whole and member >= 0):
        raise ArgumentError(f"member is {member!r}", field="member", expected="a row of the file, from 0")
    number = isinstance(unit_mv, (int, float, np.number)) and not isinstance(unit_mv, bool)
    if unit_mv is not None and not (number and 1e-7 <= float(unit_mv) <= 1e4):
        raise ArgumentError(f"unit_mv is {unit_mv!r}", field="unit_mv", expected="millivolts a unit, 1e-7 to 1e4")


def read_exam_ids(path: Path) -> np.ndarray:
    """The `exam_id` of each row of a part of CODE-15%, int64 `[row]`.

    Raises:
        RecordError: the file is damaged, or has no such column.
        MissingExtraError: HDF5 needs h5py.
    """
    with _open_hdf5(path) as file:
        ids = _dataset(path, file, "exam_id", 1, 10_000_000)
        if ids is None or ids.dtype.kind not in "iu":
            raise RecordError("no exam identifiers", file=path, field="exam_id", expected="a column of whole numbers")
        return np.asarray(ids[()], dtype=np.int64)


def count_tracings(path: Path) -> int:
    """How many recordings a file of CODE holds.

    Raises:
        RecordError: the file is damaged, or of another layout.
        MissingExtraError: HDF5 needs h5py.
    """
    with _open_hdf5(path) as file:
        tracings = _dataset(path, file, "tracings", 3, MAX_SAMPLES)
        if tracings is None:
            raise RecordError("no tracings", file=path, field="tracings", expected="[record, time, 12]")
        return int(tracings.shape[0])


def _read_hdf5(path: Path, member: int | None) -> tuple[np.ndarray, float, float]:
    """Stored numbers `[12, time]` in float64, hertz, documented millivolts a unit."""
    with _open_hdf5(path) as file:
        tracings = _dataset(path, file, "tracings", 3, MAX_SAMPLES)
        if tracings is not None:
            n_rows, _, n_leads = tracings.shape
            if n_leads != len(LEADS):
                raise _wrong_shape(path, "tracings", tracings.shape, "[record, time, 12]")
            if member is None and n_rows != 1:
                raise ArgumentError(
                    f"the file holds {n_rows} recordings",
                    file=path,
                    field="member",
                    expected=f"0 to {n_rows - 1}",
                    fix="read_record(path, member=0)",
                )
            row = member or 0
            if row >= n_rows:
                raise ArgumentError(f"no row {row}", file=path, field="member", expected=f"0 to {n_rows - 1}")
            return _double(tracings[row]).T, CODE_FS_HZ, CODE_UNIT_MV
        if member is not None:
            raise ArgumentError("the file holds one recording", file=path, field="member", expected="None")
        ecg = _dataset(path, file, "ecg", 2, MAX_SAMPLES)
        if ecg is None:
            raise RecordError(
                f"datasets {', '.join(map(str, file))[:120] or 'are absent'}",
                file=path,
                field="dataset",
                expected="'tracings' (CODE) or 'ecg' (SPH)",
                fix="write the recordings to WFDB files with wfdb's `wrsamp`",
            )
        if ecg.shape[0] != len(LEADS):
            raise _wrong_shape(path, "ecg", ecg.shape, "[12, time]")
        return _double(ecg[()]), CHINESE_FS_HZ, 1.0


@contextmanager
def _open_hdf5(path: Path) -> Iterator[Any]:
    """An HDF5 file open for reading; whatever h5py says against it becomes a `RecordError`."""
    try:
        h5py = importlib.import_module("h5py")
    except ImportError as error:
        raise MissingExtraError(
            "HDF5 files need h5py", file=path, fix="pip install 'ecgscan-lab[hdf5]', or pip install h5py"
        ) from error
    with open_regular(path):
        pass  # a file that is not there, or no file, gets its usual message
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        if isinstance(error, ArgumentError):
            raise
        raise RecordError(
            f"not a readable HDF5 file ({type(error).__name__})", file=path, fix="fetch the file again"
        ) from error


def _dataset(path: Path, file: Any, name: str, n_axes: int, max_length: int) -> Any:
    """A dataset of the file itself, of sane size, or None; links and storage outside the file are refused."""
    h5py = importlib.import_module("h5py")
    if file.get(name, getlink=True) is None:
        return None
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(file[name], h5py.Dataset):
        raise RecordError(f"{name!r} is no dataset of this file", file=path, field=name, expected="a dataset")
    found = file[name]
    if found.is_virtual or found.external:
        raise RecordError(f"{name!r} keeps its numbers in another file", file=path, field=name, expected="a dataset")
    if found.ndim != n_axes or min(found.shape) < 1 or max(found.shape) > max_length:
        raise _wrong_shape(path, name, found.shape, f"{n_axes} axes, each of 1 to {max_length}")
    one = found.shape[1:] if n_axes == 3 else found.shape  # what is read at once
    if math.prod(one) > MAX_SAMPLES * len(LEADS) or math.prod(found.chunks or (1,)) > 1 << 27:
        raise _wrong_shape(path, name, found.shape, "recordings of at most a day")
    if found.dtype.kind not in "fiu":
        raise RecordError(f"{name!r} holds {found.dtype}", file=path, field=name, expected="numbers")
    return found


def _wrong_shape(path: Path, name: str, shape: tuple[int, ...], expected: str) -> RecordError:
    return RecordError(f"{name!r} has the shape {list(shape)}", file=path, field=name, expected=expected)


def _read_matlab(path: Path) -> tuple[np.ndarray, float, float | None]:
    """Stored numbers `[12, time]` in float64, hertz, documented millivolts a unit or None."""
    variables = read_matlab(path)
    struct = variables.get("ECG")
    if isinstance(struct, dict) and "data" in struct:
        return _lead_rows(path, "ECG.data", struct["data"]), CHINESE_FS_HZ, 1.0
    if "feats" in variables and "curr_sample_rate" in variables:
        return _lead_rows(path, "feats", variables["feats"]), _rate(path, variables["curr_sample_rate"]), None
    if "val" in variables:
        raise RecordError(
            "a signal file without its header: rate, gains and leads are in the .hea file",
            file=path,
            field="header",
            expected=f"{path.stem}.hea beside it",
            fix="fetch the header too",
        )
    raise RecordError(
        f"numeric variables: {', '.join(variables)[:120] or 'none'}",
        file=path,
        field="variable",
        expected="a struct 'ECG' with 'data', or 'feats' with 'curr_sample_rate'",
        fix="write the recording to a WFDB file with wfdb's `wrsamp`",
    )


def _lead_rows(path: Path, name: str, values: Any) -> np.ndarray:
    """Numbers `[12, time]` in float64."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise RecordError(f"{name} holds no numbers", file=path, field=name, expected="numbers [12, time]")
    if values.ndim != 2 or values.shape[0] != len(LEADS) or not 1 <= values.shape[1] <= MAX_SAMPLES:
        raise _wrong_shape(path, name, values.shape, "[12, time]")
    return _double(values)


def _double(values: Any) -> np.ndarray:
    """Numbers as float64; a signalling NaN is a NaN, not a warning."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(values).astype(np.float64)


def _rate(path: Path, value: Any) -> float:
    """A sampling rate written as a 1 x 1 matrix."""
    low, high = FS_RANGE_HZ
    number = value.reshape(-1) if isinstance(value, np.ndarray) else np.empty(0)
    if number.size != 1 or not low <= float(number[0]) <= high:
        raise RecordError(
            f"the rate is {str(value)[:40]}", file=path, field="curr_sample_rate", expected=f"{low:g} to {high:g} Hz"
        )
    return float(number[0])


def _without_padding(path: Path, stored: np.ndarray, repairs: list[str]) -> np.ndarray:
    """Cut off the zeros that fill a short recording at both ends, in all leads at once."""
    recorded = np.flatnonzero((stored != 0).any(axis=0))
    if not len(recorded):
        raise LeadError("every sample of every lead is zero", file=path, expected="a signal", fix="leave it out")
    first, last = int(recorded[0]), int(recorded[-1]) + 1
    if last - first < stored.shape[1]:
        repairs.append(f"zeros at the ends cut off: {first} before, {stored.shape[1] - last} after")
    return stored[:, first:last]


def _check_leads(path: Path, stored: np.ndarray, limit: float, repairs: list[str]) -> None:
    """Refuse infinities, what no amplifier puts out, and leads without a sample; count gaps."""
    if (np.abs(stored) > limit).any():
        raise RecordError(
            f"samples beyond {MAX_MV:g} mV",
            file=path,
            field="samples",
            expected="voltages, or NaN for gaps",
            fix="the file is damaged or its unit is another; fetch it again or pass unit_mv",
        )
    gaps = np.isnan(stored)
    if gaps.all(axis=1).any():
        empty = ", ".join(lead for lead, gap in zip(LEADS, gaps.all(axis=1), strict=True) if gap)
        raise LeadError(f"{empty}: no sample was recorded", file=path, field=empty, expected="a sample in every lead")
    if gaps.any():
        repairs.append(f"samples that are not numbers stay gaps (NaN): {int(gaps.sum())}")


def _in_order(signal: np.ndarray, repairs: list[str]) -> np.ndarray:
    """Exchange aVL and aVF where the two laws hold far better for the exchanged leads."""
    i, ii = signal[0], signal[1]
    laws = (i - ii / 2, ii - i / 2)
    as_stored, exchanged = (
        sum(float(np.nanmean(_level(signal[row] - law) ** 2)) for row, law in zip(rows, laws, strict=True))
        if np.isfinite(signal[[0, 1, *rows]]).all(axis=0).any()
        else math.inf
        for rows in ((_AVL, _AVF), (_AVF, _AVL))
    )
    if exchanged < 0.1 * as_stored:
        repairs.append("aVL and aVF were stored the other way round, as Goldberger's laws show; exchanged")
        return signal[list(_SWAPPED)]
    return signal


def _level(values: np.ndarray) -> np.ndarray:
    """Values without their mean: an offset says nothing about the order of leads."""
    finite = values[np.isfinite(values)]
    return finite - finite.mean() if finite.size else values
