"""A table of features: one row a record or page, what it was computed with, and the file that keeps it.

A file holds identifiers, features and what made them, and no patient data of its own: identifiers are the record names
and file names that the caller gave, so whoever shares a table shares those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import ArgumentError, TableError
from ecgscan_lab.whole_files import unfinished_file

WHATS = ("tower", "shared")
"""The image tower's own features, for a probe; or their projection into the space shared with texts and signals."""

_KEY, _FORMAT = b"ecgscan_lab", 1
_ID, _FEATURES = "id", "features"
_FIX = "write it with ecgscan-lab embed, or evaluate.write_features"


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Features of records or pages, in order.

    Attributes:
        ids: one name a row, all different: the record's name, or the file's name with its folder and page.
        features: float32 `[row, dim]`, finite.
        provenance: what made them, as JSON: `weights_sha256`, `what` ("tower" or "shared"), `ecgscan_lab`
            (version), and what else the maker notes.
        info: column -> one value a row (text, whole number, number, or None), for instance kind, page and notes.

    Raises:
        ArgumentError: the parts do not fit together, an identifier occurs twice, or a feature is not finite.

    Example:
        >>> table = FeatureTable(("a", "b"), np.eye(2, dtype=np.float32))
        >>> len(table), table.positions(["b"]).tolist()
        (2, [1])
    """

    ids: tuple[str, ...] = field(repr=False)
    features: np.ndarray = field(repr=False)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Sequence[Any]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        features = self.features
        if features.ndim != 2 or features.dtype != np.float32 or 0 in features.shape:
            raise ArgumentError(
                f"features of shape {features.shape} and type {features.dtype}",
                field="features",
                expected="float32 [row, dim], at least one of each",
            )
        if len(self.ids) != len(features):
            raise ArgumentError(f"{len(self.ids)} ids for {len(features)} rows", field="ids", expected="one a row")
        twice = first_repeated(self.ids)
        if twice is not None:
            raise ArgumentError(f"{twice!r} occurs twice", field="ids", expected="names that are all different")
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise ArgumentError(
                f"features of {len(bad)} rows are not finite, the first of {self.ids[bad[0]]!r}",
                field="features",
                expected="finite features",
                fix="leave those records out, or look at the weights",
            )
        for name, values in self.info.items():
            if len(values) != len(features) or name in (_ID, _FEATURES):
                raise ArgumentError(
                    f"column {name!r} has {len(values)} values for {len(features)} rows",
                    field="info",
                    expected=f"one value a row, under a name that is neither {_ID!r} nor {_FEATURES!r}",
                )

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, ids: Sequence[str]) -> np.ndarray:
        """Row of each identifier `[n]`, in the order asked for.

        Raises:
            TableError: an identifier has no row.
        """
        place = {name: row for row, name in enumerate(self.ids)}
        missing = [name for name in ids if name not in place]
        if missing:
            raise TableError(
                f"{len(missing)} of {len(ids)} identifiers have no features, the first is {missing[0]!r}",
                field="ids",
                expected=f"identifiers of the table, such as {self.ids[0]!r}",
                fix="embed those records too, or name them as the feature table does",
            )
        return np.array([place[name] for name in ids], dtype=np.int64)


def first_repeated(names: Sequence[str]) -> str | None:
    """The first name that was there before, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def write_features(path: str | PathLike[str], table: FeatureTable) -> Path:
    """Write a feature table as one Parquet file, whole or not at all.

    The columns are `id`, `features` (a list of fixed length, float32) and those of `table.info`; the provenance is JSON
    in the file's metadata under `ecgscan_lab`. Any Parquet reader opens it.

    Args:
        path: the file; its folder is made when it is missing.
        table: the features.

    Returns:
        `path`.

    Raises:
        ExportError: the disk is full or the folder refuses; the file before it is untouched.
        ArgumentError: a column of `info` mixes types, or the provenance is not JSON.

    Properties: `read_features` gives back the same bits; the same table gives the same bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = pa.array(np.ascontiguousarray(table.features).ravel())
    columns: dict[str, Any] = {
        _ID: pa.array(table.ids, pa.string()),
        _FEATURES: pa.FixedSizeListArray.from_arrays(flat, table.features.shape[1]),
    }
    for name, values in table.info.items():
        try:
            columns[name] = pa.array(list(values))
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ArgumentError(
                f"column {name!r} cannot be written ({error})", field="info", expected="values of one type"
            ) from error
    try:
        facts = json.dumps({"format": _FORMAT, "provenance": dict(table.provenance)}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"not JSON ({error})", field="provenance", expected="plain values") from error
    written = pa.table(columns).replace_schema_metadata({_KEY: facts.encode()})
    path = Path(path)
    with unfinished_file(path) as unfinished:
        pq.write_table(written, unfinished, compression="zstd", use_dictionary=False, write_page_checksum=True)
    return path


def read_features(path: str | PathLike[str]) -> FeatureTable:
    """Read what `write_features` wrote.

    Args:
        path: the file.

    Returns:
        The table, its features as they were, bit for bit.

    Raises:
        TableError: the file is missing, damaged, of another program or a newer version, or its rows do not hold
            together.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder) / "features.parquet"
        ...     _ = write_features(path, FeatureTable(("a",), np.ones((1, 3), np.float32), {"what": "tower"}))
        ...     read_features(path).provenance
        {'what': 'tower'}
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise TableError("no such feature table", file=path, fix=_FIX)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            facts = (file.schema_arrow.metadata or {}).get(_KEY)
            kind = file.schema_arrow.field(_FEATURES).type if _FEATURES in file.schema_arrow.names else None
            if facts is None or kind is None or _ID not in file.schema_arrow.names:
                raise TableError("another program wrote this table", file=path, expected="a feature table", fix=_FIX)
            if not pa.types.is_fixed_size_list(kind) or not pa.types.is_float32(kind.value_type):
                raise TableError(
                    f"features are of type {kind}", file=path, field=_FEATURES, expected="lists of float32"
                )
            stored = json.loads(facts)
            if stored.get("format") != _FORMAT:
                raise TableError(
                    f"feature table of format {stored.get('format')!r}",
                    file=path,
                    expected=f"format {_FORMAT}",
                    fix="update ecgscan-lab",
                )
            table = file.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise TableError(
            f"cannot read the feature table ({error})", file=path, expected="a whole Parquet file", fix=_FIX
        ) from error
    column = table.column(_FEATURES).combine_chunks()
    if column.null_count or table.column(_ID).null_count:
        raise TableError("a row has no identifier or no features", file=path, expected="both in every row", fix=_FIX)
    features = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, kind.list_size)
    names = [name for name in table.column_names if name not in (_ID, _FEATURES)]
    try:
        return FeatureTable(
            tuple(table.column(_ID).to_pylist()),
            features,
            stored["provenance"],
            {name: tuple(table.column(name).to_pylist()) for name in names},
        )
    except (ArgumentError, KeyError) as error:
        what = error.what if isinstance(error, ArgumentError) else "no provenance"
        raise TableError(what, file=path, expected="rows that hold together", fix=_FIX) from error
