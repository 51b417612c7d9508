"""Numbers out of MATLAB 5 files (`save -v6` and `-v7`), every length checked against the bytes that are there.

SciPy's reader ends the whole process on some damaged files; here damage is a `RecordError`. Only what recordings need
is read: real numeric matrices, and structs of one element with such fields. Everything else is passed over.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecgscan_lab.data.paths import read_bounded
from ecgscan_lab.errors import RecordError

MAX_MATLAB_BYTES = 256 * 1024 * 1024  # a day of twelve leads does not fit; no published recording comes near

Value = np.ndarray | dict[str, np.ndarray]

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_STRUCT, _NUMERIC_CLASSES = 2, range(6, 16)
_COMPLEX = 0x0800
_MAX_FIELDS, _MAX_AXES = 64, 8


def read_matlab(path: Path) -> dict[str, Value]:
    """Read the numeric variables of a MATLAB 5 file.

    Args:
        path: the file.

    Returns:
        Name -> numbers with MATLAB's axes, or for a struct of one element its numeric fields by name. Variables of
        other kinds (text, cells, complex and sparse numbers) are left out.

    Raises:
        RecordError: the file is missing, of another version, damaged, or unpacks to more than `MAX_MATLAB_BYTES`.

    Properties: agrees with `scipy.io.loadmat`; never anything but a `RecordError`, whatever the bytes; memory stays
    within a few times `MAX_MATLAB_BYTES`.

    Example:
        >>> import tempfile
        >>> from scipy.io import savemat
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     savemat(f"{folder}/r.mat", {"ECG": {"data": np.ones((12, 3)), "sex": "Male"}})
        ...     {name: field.shape for name, field in read_matlab(Path(folder, "r.mat"))["ECG"].items()}
        {'data': (12, 3)}
    """
    content = read_bounded(path, MAX_MATLAB_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or content.startswith(b"MATLAB 7.3"):
        hdf5 = content.startswith((b"MATLAB 7.3", b"\x89HDF"))
        raise RecordError(
            "a MATLAB 7.3 file" if hdf5 else "not a MATLAB 5 file",
            file=path,
            expected="a file of MATLAB 5 to 7.2",
            fix="save it with `save -v7`" if hdf5 else "fetch the file again",
        )
    variables: dict[str, Value] = {}
    try:
        for matrix in _matrices(memoryview(content)[128:], order, path):
            name, value = _read_matrix(matrix, order)
            if value is not None:
                variables[name] = value
    except (_DamagedError, zlib.error) as error:
        raise RecordError(f"a damaged MATLAB file ({error})", file=path, fix="fetch the file again") from error
    return variables


class _DamagedError(Exception):
    """A length or kind that the bytes do not bear out."""


def _matrices(content: memoryview, order: str, path: Path) -> Iterator[memoryview]:
    """The content of each top-level matrix, unpacked."""
    n_unpacked = 0
    while len(content) >= 8:
        kind, length = _tag(content, order)
        body = _take(content[8:], length)
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(body, MAX_MATLAB_BYTES - n_unpacked + 1)
            n_unpacked += len(unpacked)
            if n_unpacked > MAX_MATLAB_BYTES:
                raise RecordError(
                    "the file unpacks to too much", file=path, expected=f"at most {MAX_MATLAB_BYTES} bytes"
                )
            if not unpacker.eof:
                raise _DamagedError("packed data end early")
            whole = memoryview(unpacked)
            kind, inner = _tag(whole, order)
            body = _take(whole[8:], inner)
        if kind == _MATRIX:
            yield body
        content = content[8 + length :]
    if len(content):
        raise _DamagedError("bytes left over")


def _read_matrix(content: memoryview, order: str) -> tuple[str, Value | None]:
    """Name and value of one matrix; the value is None for kinds that are passed over."""
    flags, content = _numbers(content, order)
    shape, content = _numbers(content, order)
    name, content = _numbers(content, order)
    if len(flags) < 1 or not 2 <= len(shape) <= _MAX_AXES or (shape.astype(np.float64) < 0).any():
        raise _DamagedError("no shape")
    sizes = [int(size) for size in shape]
    kind = int(flags[0]) & 0xFF
    value: Value | None = None
    if kind == _STRUCT and math.prod(sizes) == 1:
        value = _read_fields(content, order)
    elif kind in _NUMERIC_CLASSES and not int(flags[0]) & _COMPLEX:
        values, _ = _numbers(content, order)
        if len(values) != math.prod(sizes):
            raise _DamagedError(f"{len(values)} numbers for the shape {sizes}")
        value = values.reshape(sizes, order="F")
    return _text(name), value


def _read_fields(content: memoryview, order: str) -> dict[str, np.ndarray]:
    """Numeric fields of a struct of one element."""
    width, content = _numbers(content, order)
    names, content = _numbers(content, order)
    if len(width) != 1 or not 0 < int(width[0]) <= 64 or len(names) % int(width[0]):
        raise _DamagedError("no field names")
    if len(names) // int(width[0]) > _MAX_FIELDS:
        raise _DamagedError("too many fields")
    fields: dict[str, np.ndarray] = {}
    for name in names.reshape(-1, int(width[0])):
        kind, length = _tag(content, order)
        body = _take(content[8:], length)
        # A struct within a struct is passed over, so that nothing recurses.
        if kind == _MATRIX and length and not _is_struct(body, order):
            value = _read_matrix(body, order)[1]
            if isinstance(value, np.ndarray):
                fields[_text(name)] = value
        content = content[8 + length :]
    return fields


def _is_struct(content: memoryview, order: str) -> bool:
    flags, _ = _numbers(content, order)
    return bool(len(flags)) and int(flags[0]) & 0xFF == _STRUCT


def _numbers(content: memoryview, order: str) -> tuple[np.ndarray, memoryview]:
    """The numbers of one element, and what follows it; an element of up to four bytes sits inside its tag."""
    kind, length = _tag(content, order)
    if kind >> 16:
        kind, length, body, step = kind & 0xFFFF, kind >> 16, content[4:8], 8
    else:
        body, step = content[8:], 8 + length + -length % 8
    if kind == 16:  # UTF-8, which only names use here
        kind = 2
    if kind not in _NUMBERS:
        raise _DamagedError(f"kind {kind} where numbers belong")
    dtype = np.dtype(order + _NUMBERS[kind])
    if length % dtype.itemsize:
        raise _DamagedError(f"{length} bytes of {dtype.itemsize}-byte numbers")
    return np.frombuffer(_take(body, length), dtype=dtype), content[step:]


def _tag(content: memoryview, order: str) -> tuple[int, int]:
    if len(content) < 8:
        raise _DamagedError("an element is missing")
    kind, length = np.frombuffer(content[:8], dtype=order + "u4").tolist()
    return kind, length


def _take(content: memoryview, length: int) -> memoryview:
    if len(content) < length:
        raise _DamagedError(f"{len(content)} bytes where {length} belong")
    return content[:length]


def _text(codes: np.ndarray) -> str:
    return codes.astype(np.uint8).tobytes().split(b"\0")[0].decode("latin-1")
