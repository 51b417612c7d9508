"""Prepared stores: the same recordings back, the same bytes however they were built, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.reading import assemble_cohort, hash_records
from ecgscan_lab.data.store import build as building
from ecgscan_lab.data.store import build_store, find_source, open_store, verify_store
from ecgscan_lab.data.store.shards import NOT_RECORDED, map_shard, quantise, restore
from ecgscan_lab.data.synthetic import synthetic_cohort
from ecgscan_lab.errors import (
    ArgumentError,
    LabelError,
    RecordError,
    SplitError,
    StoreError,
    TooManyBadRecordsError,
)
from ecgscan_lab.types import Cohort, EcgRecord

N = 80


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """Synthetic recordings rounded to whole microvolts, as files of 1000 steps a millivolt are."""
    drawn = synthetic_cohort(N, seed=3)
    records = tuple(
        replace(record, signal_mv=(np.rint(record.signal_mv.astype(np.float64) * 1000) / 1000).astype(np.float32))
        for record in drawn.records
    )
    return replace(drawn, records=records, data_sha256=hash_records(records))


@pytest.fixture(scope="module")
def built(tmp_path_factory, cohort):
    return build_store("synthetic", tmp_path_factory.mktemp("built"), n_records=N, seed=3, shard_size=16)


def shards_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*")) if path.name != "plan.json"}


# --- one recording as whole numbers


@given(
    st.lists(st.integers(-32767, 32767), min_size=4, max_size=40),
    st.sampled_from([200.0, 1000.0]),
)
@settings(max_examples=50, deadline=None)
def test_whole_microvolts_come_back_bit_for_bit(counts, gain):
    signal_mv = np.tile((np.array(counts) / gain / (5 if gain == 200.0 else 1)).astype(np.float32), (12, 1))
    steps, steps_per_mv = quantise(signal_mv)
    back = restore(steps[None], steps_per_mv[None], np.array([False]))[0]
    assert (back == signal_mv).all()


def test_every_step_of_a_microvolt_is_exact():
    signal_mv = np.tile((np.arange(-32767, 32768) / 1000.0).astype(np.float32), (12, 1))
    steps, steps_per_mv = quantise(signal_mv)
    assert (restore(steps[None], steps_per_mv[None], np.array([True]))[0] == signal_mv).all()


@pytest.mark.parametrize("scale", [0.001, 1.0, 30.0, 1000.0])
def test_any_sample_is_within_half_a_step_and_gaps_stay(rng, scale):
    signal_mv = (scale * rng.standard_normal((12, 500))).astype(np.float32)
    signal_mv[3, 10:20] = np.nan
    signal_mv[5] = np.nan
    steps, steps_per_mv = quantise(signal_mv)
    back = restore(steps[None], steps_per_mv[None], np.array([True]))[0]
    assert (np.isnan(back) == np.isnan(signal_mv)).all()
    assert (steps_per_mv[np.nanmax(np.abs(signal_mv), axis=1, initial=0) <= 32.767] == 1000.0).all()
    bound_mv = 0.5 / steps_per_mv[:, None].astype(np.float64) + 1e-6 * np.abs(signal_mv)
    assert (np.abs(back - signal_mv) <= bound_mv)[~np.isnan(signal_mv)].all()
    assert (steps[~np.isnan(signal_mv)] != NOT_RECORDED).all()


def test_infinite_samples_are_refused():
    signal_mv = np.zeros((12, 10), dtype=np.float32)
    signal_mv[2, 3] = np.inf
    with pytest.raises(RecordError, match="infinite"):
        quantise(signal_mv)


# --- a store is the cohort it was built from


def test_the_store_holds_what_the_loader_reads(built, cohort):
    whole = built.to_cohort()
    assert len(built) == N
    assert built.fs_hz == 100.0
    assert built.n_samples == 1000
    assert (built.read_signals_mv(np.arange(N)) == cohort.signals_mv).all()
    assert whole.data_sha256 == cohort.data_sha256
    assert whole.tasks == cohort.tasks
    assert whole.descriptions == cohort.descriptions
    assert built.reports() == [record.report for record in cohort.records]
    assert (built.patients == cohort.patients).all()
    assert built.record_ids.tolist() == [record.record_id for record in cohort.records]
    for split in ("train", "val", "test"):
        assert (built.indices(split) == cohort.indices(split)).all()
    for task in cohort.tasks:
        assert (built.targets(task) == cohort.targets(task)).all()
    with pytest.raises(LabelError, match="no task"):
        built.targets("unknown")


def test_recordings_are_read_in_any_order_and_more_than_once(built, cohort, rng):
    indices = rng.integers(0, N, size=37)
    assert (built.read_signals_mv(indices) == cohort.signals_mv[indices]).all()
    assert built.read_signals_mv(np.array([], dtype=np.int64)).shape == (0, 12, 1000)
    part = built.to_cohort(indices[:5])
    assert [record.report for record in part.records] == [cohort.records[i].report for i in indices[:5]]
    assert [record.labels for record in part.records] == [cohort.records[i].labels for i in indices[:5]]
    with pytest.raises(IndexError):
        built.read_signals_mv(np.array([N]))


def test_folds_gaps_and_missing_patients_are_kept(tmp_path, cohort):
    records = [
        replace(r, patient_id=None if i % 3 else r.patient_id, fold=i % 4 or None) for i, r in enumerate(cohort.records)
    ]
    signal_mv = records[7].signal_mv.copy()
    signal_mv[:, 900:] = np.nan
    records[7] = replace(records[7], signal_mv=signal_mv)
    own = Cohort("mine", tuple(records), cohort.tasks, data_sha256="x")
    store = build_store(own, tmp_path / "s", shard_size=30)
    back = store.to_cohort()
    assert np.isnan(store.read_signals_mv([7])[0, :, 900:]).all()
    assert [r.fold for r in back.records] == [r.fold for r in records]
    assert [r.patient_id for r in back.records] == [r.patient_id for r in records]
    assert (store.patients == own.patients).all()


def test_a_store_is_a_source_like_any_other(built, cohort):
    assert load_cohort(f"store:{built.path}").data_sha256 == cohort.data_sha256
    part = load_cohort(f"store:{built.path}", n_records=40, fs_hz=50.0, duration_s=5.0)
    assert part.signals_mv.shape[1:] == (12, 250)
    assert 30 <= len(part) <= 40
    assert part.data_sha256 != cohort.data_sha256


def test_a_store_travels_to_a_worker_as_its_path(built, tmp_path):
    carried = pickle.dumps(built)
    assert len(carried) < 1000
    assert (pickle.loads(carried).read_signals_mv([5]) == built.read_signals_mv([5])).all()
    build_store("synthetic", tmp_path / "s", n_records=60)
    stale = pickle.dumps(open_store(tmp_path / "s"))
    fields = json.loads((tmp_path / "s" / "store.json").read_text())
    (tmp_path / "s" / "store.json").write_text(json.dumps({**fields, "data_sha256": "0" * 64}))
    with pytest.raises(StoreError, match="has changed"):
        pickle.loads(stale)


def test_its_words_show_no_patient_and_no_report(built):
    named = replace(built, name="<script>alert(1)</script>")
    assert repr(built) == "RecordStore('synthetic', 80 records, 1000 samples at 100 Hz)"
    assert not hasattr(named, "_repr_html_")
    assert built.reports()[0] not in repr(built)
    assert built.patients[0] not in repr(built)


# --- however it was built


def test_workers_and_interruptions_leave_the_same_bytes(built, tmp_path):
    build_store("synthetic", tmp_path, n_records=N, seed=3, shard_size=16, workers=2)
    assert shards_of(tmp_path) == shards_of(built.path)


def test_the_hash_does_not_depend_on_the_size_of_shards(built, tmp_path):
    other = build_store("synthetic", tmp_path, n_records=N, seed=3, shard_size=64)
    assert other.data_sha256 == built.data_sha256
    assert build_store("synthetic", tmp_path / "b", n_records=N, seed=4).data_sha256 != built.data_sha256


def test_a_build_goes_on_and_finished_shards_are_not_read_again(tmp_path, monkeypatch):
    source = find_source("synthetic", n_records=64)
    read: list[str] = []

    def stopping(item):
        read.append(item.record_id)
        if len(read) == 40:
            raise KeyboardInterrupt
        return source.read(item)

    monkeypatch.setattr(building, "find_source", lambda *_, **__: replace(source, read=stopping))
    with pytest.raises(KeyboardInterrupt):
        build_store("synthetic", tmp_path, n_records=64, shard_size=16)
    assert sorted(path.name for path in tmp_path.glob("*.arrow")) == ["shard-00000.arrow", "shard-00001.arrow"]
    with pytest.raises(StoreError, match="not finished"):
        open_store(tmp_path)
    store = build_store("synthetic", tmp_path, n_records=64, shard_size=16)
    assert len(read) == 40 + 32
    assert len(store) == 64
    build_store("synthetic", tmp_path, n_records=64, shard_size=16)
    assert len(read) == 40 + 32


KILLED = """
import sys
from ecgscan_lab.data.store import build_store
if __name__ == "__main__":
    build_store("synthetic", sys.argv[1], n_records=240, shard_size=8, workers=int(sys.argv[2]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_build_is_continued_to_the_same_bytes(tmp_path, workers):
    script = tmp_path / "prepare.py"
    script.write_text(KILLED)
    out = tmp_path / "killed"
    for shards in (2, 9):
        process = subprocess.Popen([sys.executable, str(script), str(out), str(workers)])
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.arrow"))) < shards and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not (out / "store.json").exists()
    kept = {path.name: path.stat().st_ino for path in out.glob("*.arrow") if path.with_suffix(".json").exists()}
    store = build_store("synthetic", out, n_records=240, shard_size=8)
    assert kept
    assert all((out / name).stat().st_ino == number for name, number in kept.items())
    whole = build_store("synthetic", tmp_path / "whole", n_records=240, shard_size=8)
    assert shards_of(out) == shards_of(whole.path)
    assert verify_store(out).sound
    assert len(store) == 240
    assert not list(out.glob(".*"))


# --- damage and refusals


def test_a_flipped_bit_is_found_and_mended(tmp_path):
    build_store("synthetic", tmp_path, n_records=60, shard_size=20)
    path = tmp_path / "shard-00001.arrow"
    before = path.read_bytes()
    damaged = bytearray(before)
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    check = verify_store(tmp_path)
    assert not check.sound
    assert check.damaged == (path.name,)
    assert check.checked == 3
    build_store("synthetic", tmp_path, n_records=60, shard_size=20)
    assert path.read_bytes() == before
    assert verify_store(tmp_path).sound


def test_missing_and_cut_shards_are_refused_on_opening(tmp_path):
    build_store("synthetic", tmp_path, n_records=60, shard_size=20)
    path = tmp_path / "shard-00002.arrow"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match="a shard has"):
        open_store(tmp_path)
    path.unlink()
    with pytest.raises(StoreError, match="a shard is missing"):
        open_store(tmp_path)
    with pytest.raises(StoreError, match="no store in the folder"):
        open_store(tmp_path / "elsewhere")


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', '{"version": 1}'])
def test_other_manifests_are_refused(tmp_path, text):
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(StoreError):
        open_store(tmp_path)


def test_other_versions_and_columns_of_a_shard_are_refused(tmp_path, built):
    path = built.path / "shard-00000.arrow"
    with pytest.raises(StoreError, match="other columns"):
        map_shard(path, 500)
    with pa.ipc.open_file(str(path)) as reader:
        batch = reader.get_batch(0)
    for metadata, match in (({b"ecgscan_lab.store": b"9"}, "version '9'"), (None, "version 'none'")):
        other = tmp_path / "other.arrow"
        with pa.ipc.new_file(str(other), batch.schema.with_metadata(metadata)) as writer:
            writer.write_batch(batch.replace_schema_metadata(metadata))
        with pytest.raises(StoreError, match=match):
            map_shard(other, 1000)
    (tmp_path / "text.arrow").write_text("no shard")
    with pytest.raises(StoreError, match="not a readable shard"):
        map_shard(tmp_path / "text.arrow", 1000)


def test_another_store_in_the_folder_is_not_overwritten(tmp_path):
    build_store("synthetic", tmp_path, n_records=60)
    for change in ({"n_records": 61}, {"seed": 1}, {"fs_hz": 50.0}, {"shard_size": 7}):
        with pytest.raises(StoreError, match="holds another store"):
            build_store("synthetic", tmp_path, **{"n_records": 60, **change})
    assert len(open_store(tmp_path)) == 60


def test_a_full_disk_leaves_no_half_shard(tmp_path, monkeypatch):
    class Full:
        def __init__(self, *_): ...
        def __enter__(self):
            return self

        def __exit__(self, *_): ...
        def write_batch(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pa.ipc, "new_file", Full)
        with pytest.raises(StoreError, match="make room on the disk"):
            build_store("synthetic", tmp_path, n_records=60)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert len(build_store("synthetic", tmp_path, n_records=60)) == 60


def test_a_folder_that_refuses_is_a_typed_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        build_store("synthetic", tmp_path / "file" / "store", n_records=60)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"shard_size": 0}, {"workers": True}, {"fs_hz": 3.0}])
def test_wrong_arguments_are_named(tmp_path, wrong):
    with pytest.raises(ArgumentError) as caught:
        build_store("synthetic", tmp_path, n_records=60, **wrong)
    assert caught.value.field == next(iter(wrong))
    with pytest.raises(ArgumentError, match="cannot list"):
        build_store("elsewhere:x", tmp_path)


# --- bad records and copies


def files_cohort(folder, write_record, ecg, n=30):
    lines = ["record,patient_id,split,report,labels"]
    for k in range(n):
        split = ("train", "train", "val", "test")[k % 4]
        write_record(ecg(seed=k), name=f"r{k:02d}", folder=folder)
        lines.append(f"r{k:02d},p{k},{split},secret words {k},A")
    (folder / "cohort.csv").write_text("\n".join(lines))


def test_unreadable_records_are_listed_and_too_many_stop_the_build(tmp_path, write_record, ecg, capfd):
    folder = tmp_path / "records"
    files_cohort(folder, write_record, ecg)
    (folder / "r05.dat").write_bytes(b"short")
    out = tmp_path / "store"
    store = build_store(f"cohort:{folder}", out, shard_size=8, workers=2)
    assert [bad.record_id for bad in store.skipped] == ["r05"]
    assert len(store) == 29
    same = load_cohort(f"cohort:{folder}")
    assert store.to_cohort().data_sha256 == same.data_sha256
    for k in range(6, 9):
        (folder / f"r{k:02d}.dat").unlink()
    with pytest.raises(TooManyBadRecordsError):
        build_store(f"cohort:{folder}", tmp_path / "other", shard_size=8)
    assert not (tmp_path / "other" / "store.json").exists()
    heard = "".join(capfd.readouterr())
    assert "secret" not in heard


def test_a_signal_in_two_splits_is_left_out_of_the_lower_one(tmp_path, write_record, ecg):
    folder = tmp_path / "records"
    files_cohort(folder, write_record, ecg)
    for copy, split_first in (("r04", "r03"), ("r09", "r08")):  # train of test, and train of train
        for suffix in ("hea", "dat"):
            text = (folder / f"{split_first}.{suffix}").read_bytes()
            (folder / f"{copy}.{suffix}").write_bytes(text.replace(split_first.encode(), copy.encode()))
    store = build_store(f"cohort:{folder}", tmp_path / "store", shard_size=4)
    cohort = load_cohort(f"cohort:{folder}")
    assert store.repairs == cohort.repairs
    assert store.left_out == (4,)
    assert store.to_cohort().data_sha256 == cohort.data_sha256
    assert "r04" not in store.record_ids
    assert len(store.patients) == len(store) == len(cohort)


def test_a_store_without_a_split_is_refused(tmp_path, cohort):
    chosen = tuple(record for record in cohort.records if record.split != "val")
    own = Cohort("mine", chosen, cohort.tasks, data_sha256="x")
    source = replace(find_source(own), required_splits=("train", "val", "test"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "find_source", lambda *_, **__: source)
        with pytest.raises(SplitError, match="no record in split val"):
            build_store(own, tmp_path)
    assert not (tmp_path / "store.json").exists()


def test_a_copy_within_a_cohort_is_found_as_the_loader_finds_it(tmp_path, cohort):
    records = list(cohort.records)
    train, test = cohort.indices("train")[0], cohort.indices("test")[0]
    records[train] = replace(records[train], signal_mv=records[test].signal_mv)
    signals_mv = np.stack([record.signal_mv for record in records])
    parted = assemble_cohort("synthetic", list(records), signals_mv, cohort.tasks)
    store = build_store(Cohort("synthetic", tuple(records), cohort.tasks, data_sha256="x"), tmp_path)
    assert store.to_cohort().data_sha256 == parted.data_sha256


def test_memory_holds_one_shard_at_a_time(tmp_path, monkeypatch):
    source = find_source("synthetic", n_records=64)
    alive: list[int] = []

    class Counted(EcgRecord):
        living = 0

        def __init__(self, record):
            super().__init__(**{name: getattr(record, name) for name in record.__dataclass_fields__})
            Counted.living += self.signal_mv.size > 0
            alive.append(Counted.living)

        def __del__(self):
            Counted.living -= self.signal_mv.size > 0

    monkeypatch.setattr(
        building, "find_source", lambda *_, **__: replace(source, read=lambda item: Counted(source.read(item)))
    )
    monkeypatch.setattr(
        building,
        "replace",
        lambda record, **change: EcgRecord(
            **{**{name: getattr(record, name) for name in EcgRecord.__dataclass_fields__}, **change}
        ),
    )
    build_store("synthetic", tmp_path, n_records=64, shard_size=8)
    assert max(alive) <= 3


@pytest.mark.real
def test_ptbxl_comes_back_bit_for_bit(tmp_path, ptbxl_dir):
    source = f"ptbxl:{ptbxl_dir}"
    fs_hz = 100.0 if (Path(ptbxl_dir) / "records100").is_dir() else 500.0
    how = {"only_present": True, "n_records": 300, "fs_hz": fs_hz}
    store = build_store(source, tmp_path, shard_size=100, workers=2, **how)
    from ecgscan_lab.data.corpora import load_ptbxl

    cohort = load_ptbxl(ptbxl_dir, **how)
    assert store.to_cohort().data_sha256 == cohort.data_sha256
    assert store.repairs == cohort.repairs


def test_a_number_of_synthetic_records_names_the_same_store(tmp_path):
    named = build_store("synthetic:60", tmp_path / "a")
    asked = build_store("synthetic", tmp_path / "b", n_records=60)
    assert list(named.record_ids) == list(asked.record_ids)
    assert len(build_store("synthetic:60", tmp_path / "c", n_records=40)) == len(
        build_store("synthetic", tmp_path / "d", n_records=40)
    )
