"""Feature tables come back bit for bit, and nothing damaged or foreign passes as one."""

from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError, EcgScanLabError, ExportError, TableError
from ecgscan_lab.evaluate.feature_table import FeatureTable, read_features, write_features


def _table(n=7, d=5, seed=0):
    features = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    info = {"kind": ("page",) * n, "page": tuple(range(1, n + 1)), "note": (None, *("flat",) * (n - 1))}
    return FeatureTable(tuple(f"r{i}" for i in range(n)), features, {"what": "tower", "n": [1, None]}, info)


def test_a_table_comes_back_bit_for_bit(tmp_path):
    table = _table()
    table.features[0, 0] = np.float32(1e-42)  # a subnormal survives too
    read = read_features(write_features(tmp_path / "new folder" / "ä.parquet", table))
    assert read.ids == table.ids
    assert read.features.dtype == np.float32
    assert read.features.tobytes() == table.features.tobytes()
    assert read.provenance == table.provenance
    assert read.info == table.info


def test_the_same_table_gives_the_same_bytes_and_replaces_the_old_one(tmp_path):
    path = write_features(tmp_path / "f.parquet", _table())
    first = path.read_bytes()
    write_features(path, _table(seed=1))
    assert path.read_bytes() != first
    write_features(path, _table())
    assert path.read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["f.parquet"]


def test_any_parquet_reader_opens_it(tmp_path):
    import pandas as pd

    frame = pd.read_parquet(write_features(tmp_path / "f.parquet", _table()))
    assert list(frame.columns) == ["id", "features", "kind", "page", "note"]
    assert frame["features"][3].shape == (5,)


def test_positions_follow_the_order_asked_for():
    assert _table().positions(["r4", "r0", "r4"]).tolist() == [4, 0, 4]
    with pytest.raises(TableError, match="'zz'"):
        _table().positions(["r1", "zz"])


@pytest.mark.parametrize(
    ("ids", "features", "info", "field"),
    [
        (("a", "a"), np.ones((2, 2), np.float32), {}, "ids"),
        (("a",), np.ones((2, 2), np.float32), {}, "ids"),
        (("a",), np.ones((1, 2)), {}, "features"),
        (("a",), np.ones(2, np.float32), {}, "features"),
        ((), np.ones((0, 2), np.float32), {}, "features"),
        (("a",), np.full((1, 2), np.nan, np.float32), {}, "features"),
        (("a",), np.ones((1, 2), np.float32), {"kind": ("x", "y")}, "info"),
        (("a",), np.ones((1, 2), np.float32), {"id": ("x",)}, "info"),
    ],
)
def test_parts_that_do_not_fit_are_refused(ids, features, info, field):
    with pytest.raises(ArgumentError) as caught:
        FeatureTable(ids, features, {}, info)
    assert caught.value.field == field


def test_what_cannot_be_written_is_refused_and_the_old_file_stays(tmp_path):
    path = write_features(tmp_path / "f.parquet", _table())
    before = path.read_bytes()
    one = np.ones((2, 2), np.float32)
    with pytest.raises(ArgumentError, match="info"):
        write_features(path, FeatureTable(("a", "b"), one, {}, {"kind": ("x", 1)}))
    with pytest.raises(ArgumentError, match="provenance"):
        write_features(path, FeatureTable(("a", "b"), one, {"path": object()}))
    with pytest.raises(ExportError):
        write_features(path / "below" / "a file.parquet", _table())
    assert path.read_bytes() == before


def test_missing_foreign_and_damaged_files_are_typed_errors(tmp_path):
    import pandas as pd

    with pytest.raises(TableError, match="no such"):
        read_features(tmp_path / "none.parquet")
    pd.DataFrame({"id": ["a"], "features": [[1.0]]}).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(TableError, match="another program"):
        read_features(tmp_path / "foreign.parquet")
    (tmp_path / "text.parquet").write_text("id,features")
    with pytest.raises(TableError, match="cannot read"):
        read_features(tmp_path / "text.parquet")
    whole = write_features(tmp_path / "f.parquet", _table(n=200, d=16)).read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.parquet").write_bytes(whole[:cut])
        with pytest.raises(TableError):
            read_features(tmp_path / "cut.parquet")


def test_a_flipped_bit_never_changes_a_feature_silently(tmp_path):
    path = write_features(tmp_path / "f.parquet", _table(n=60, d=16))
    whole, table = path.read_bytes(), read_features(path)
    rng = np.random.default_rng(0)
    for place in rng.choice(len(whole), 120, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            read = read_features(path)
        except EcgScanLabError:
            continue
        assert read.features.tobytes() == table.features.tobytes()
