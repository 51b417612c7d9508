"""MATLAB and HDF5 recordings: their layouts, their units, their padding, and whatever else a file may hold."""

from __future__ import annotations

import sys
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from ecgscan_lab import read_record
from ecgscan_lab.data.matlab_files import MAX_MATLAB_BYTES, read_matlab
from ecgscan_lab.data.other_formats import CODE_UNIT_MV
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, LeadError, MissingExtraError, RecordError
from ecgscan_lab.leads import LEADS


def save_struct(path, signal_mv):
    savemat(path, {"ECG": {"sex": "Male", "age": 52, "data": np.asarray(signal_mv)}})
    return path


def save_feats(path, signal, fs_hz=400):
    savemat(path, {"feats": np.asarray(signal, np.float32), "curr_sample_rate": fs_hz, "idx": 3})
    return path


def save_tracings(path, stored, **more):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file["tracings"] = np.asarray(stored, np.float32)
        for name, values in more.items():
            file[name] = values
    return path


def swapped(signal):
    return np.asarray(signal)[[0, 1, 2, 3, 5, 4, *range(6, 12)]]


def test_a_cpsc_struct_is_read_in_millivolts_at_its_full_length(tmp_path, ecg):
    signal_mv = ecg(7300, fs_hz=500.0)
    record = read_record(save_struct(tmp_path / "A0001.mat", signal_mv))
    assert (record.record_id, record.fs_hz, record.duration_s) == ("A0001", 500.0, 14.6)
    np.testing.assert_allclose(record.signal_mv, signal_mv, atol=1e-6)
    assert record.provenance["repairs"] == []
    assert not record.labels  # age and sex are not taken over
    assert read_record(tmp_path / "A0001.mat", fs_hz=100.0, duration_s=10.0).signal_mv.shape == (12, 1000)


def test_a_prepared_file_needs_a_unit(tmp_path, ecg):
    path = save_feats(tmp_path / "code_15_7.mat", 10 * ecg(2900, fs_hz=400.0))
    with pytest.raises(RecordError) as raised:
        read_record(path)
    assert raised.value.field == "unit_mv"
    record = read_record(path, unit_mv=CODE_UNIT_MV)
    assert record.fs_hz == 400.0
    np.testing.assert_allclose(record.signal_mv, ecg(2900, fs_hz=400.0), atol=1e-5)


def test_a_signal_file_without_its_header_is_refused_and_with_it_read(tmp_path, write_record, ecg):
    digital = np.rint(ecg(1000).T * 1000).astype("<i2")
    savemat(tmp_path / "JS00001.mat", {"val": digital.T}, format="4")
    with pytest.raises(RecordError, match="MATLAB 5"):
        read_record(tmp_path / "JS00001.mat")
    savemat(tmp_path / "JS00001.mat", {"val": digital.T})
    with pytest.raises(RecordError) as raised:
        read_record(tmp_path / "JS00001.mat")
    assert raised.value.field == "header"
    write_record(digital=digital, name="JS00001")
    assert read_record(tmp_path / "JS00001.mat").provenance["format"] == "wfdb"


def test_leads_follow_the_laws_where_documents_disagree(tmp_path, ecg):
    signal_mv = ecg(5000, fs_hz=500.0)
    offset_mv = signal_mv + np.linspace(-0.2, 0.2, 12)[:, None]  # an offset of a lead says nothing about its name
    for stored in (signal_mv, offset_mv):
        record = read_record(save_struct(tmp_path / "a.mat", swapped(stored)))
        np.testing.assert_allclose(record.signal_mv, stored, atol=1e-6)
        assert any("aVL and aVF" in sentence for sentence in record.provenance["repairs"])
        assert read_record(save_struct(tmp_path / "b.mat", stored)).provenance["repairs"] == []
    noise = np.random.default_rng(0).normal(size=(12, 5000))  # no laws hold: nothing to go by
    np.testing.assert_allclose(read_record(save_struct(tmp_path / "n.mat", noise)).signal_mv, noise, atol=1e-6)


def test_zeros_at_the_ends_are_cut_off_and_zeros_inside_stay(tmp_path, ecg):
    signal = ecg(2800, fs_hz=400.0)
    signal[:, 1000:1010] = 0.0
    padded = np.zeros((12, 4096))
    padded[:, 648:3448] = signal
    record = read_record(save_feats(tmp_path / "r.mat", padded), unit_mv=1.0)
    assert record.signal_mv.shape == (12, 2800)
    assert record.provenance["repairs"] == ["zeros at the ends cut off: 648 before, 648 after"]
    filled = read_record(tmp_path / "r.mat", unit_mv=1.0, fs_hz=100.0, duration_s=10.0).signal_mv
    assert np.isnan(filled[:, 701:]).all()
    assert np.isfinite(filled[:, :700]).all()


def test_gaps_stay_gaps_and_impossible_samples_are_refused(tmp_path, ecg):
    signal = ecg(5000, fs_hz=500.0)
    signal[3, 10:20] = np.nan
    record = read_record(save_struct(tmp_path / "g.mat", signal))
    assert np.isnan(record.signal_mv).sum() == 10
    assert "samples that are not numbers stay gaps (NaN): 10" in record.provenance["repairs"]
    for change, error in (("inf", RecordError), ("empty", LeadError), ("zero", LeadError), ("flat", LeadError)):
        bad = ecg(5000, fs_hz=500.0)
        if change == "inf":
            bad[3, 7] = np.inf
        elif change == "empty":
            bad[4] = np.nan
        elif change == "flat":
            bad[8] = 0.25
        else:
            bad[:] = 0.0
        with pytest.raises(error):
            read_record(save_struct(tmp_path / f"{change}.mat", bad))
    assert read_record(tmp_path / "flat.mat", allow_flat=True).provenance["repairs"] == ["flat leads kept: V3"]


@pytest.mark.parametrize(
    "content",
    [
        {"ECG": {"data": np.ones((11, 100))}},
        {"ECG": {"data": np.ones((12, 10, 10))}},
        {"ECG": {"data": "text"}},
        {"ECG": {"signal": np.ones((12, 100))}},
        {"ECG": np.ones((12, 100))},
        {"feats": np.ones((12, 100)), "curr_sample_rate": 0},
        {"feats": np.ones((12, 100)), "curr_sample_rate": [400, 500]},
        {"feats": np.ones((12, 100)), "curr_sample_rate": np.nan},
        {"feats": np.ones((12, 100)) * 1j, "curr_sample_rate": 400},
        {"something": 1},
    ],
)
def test_another_layout_is_an_error_that_names_what_is_wrong(tmp_path, content):
    savemat(tmp_path / "x.mat", content)
    with pytest.raises(RecordError) as raised:
        read_record(tmp_path / "x.mat", unit_mv=1.0)
    assert raised.value.field
    assert raised.value.expected


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_files_agree_with_scipy(tmp_path, rng, compressed):
    written = {
        f"x{k}": (rng.normal(size=(3, k + 1)) * 100).astype(dtype)
        for k, dtype in enumerate("f8 f4 i1 u1 i2 u2 i4 u4 i8 u8".split())
    }
    written |= {"cube": rng.normal(size=(2, 3, 4)), "empty": np.zeros((0, 3)), "integers": np.arange(5.0)[None]}
    more = {"text": "words", "complex": np.ones((1, 2)) * 1j, "struct": {"a": np.ones((2, 2)), "b": {"c": 1.0}}}
    savemat(tmp_path / "x.mat", written | more, do_compression=compressed)
    read = read_matlab(tmp_path / "x.mat")
    assert set(read) == {*written, "struct"}
    for name, values in loadmat(tmp_path / "x.mat").items():
        if name in written:
            np.testing.assert_array_equal(read[name], values)
    assert list(read["struct"]) == ["a"]


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path):
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(2 * MAX_MATLAB_BYTES >> 20)) + packer.flush()
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    (tmp_path / "bomb.mat").write_bytes(head + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed)
    with pytest.raises(RecordError, match="unpacks to too much"):
        read_record(tmp_path / "bomb.mat")


@pytest.mark.parametrize("name", ["A0001.mat", "exams.hdf5"])
def test_damaged_files_raise_typed_errors_only(tmp_path, ecg, name):
    path = tmp_path / name
    if name.endswith("mat"):
        save_struct(path, ecg(200, fs_hz=500.0))
    else:
        save_tracings(path, ecg(200, fs_hz=400.0).T[None])
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    n_refused = 0
    for trial in range(150):
        damaged = bytearray(whole)
        if trial % 5 == 0:
            damaged = damaged[: rng.integers(len(whole))]
        elif trial % 2:  # the first kilobytes hold the structure
            damaged[rng.integers(min(2500, len(whole)))] ^= 1 << rng.integers(8)
        else:
            damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            record = read_record(path)
            assert record.signal_mv.shape[0] == 12
        except EcgScanLabError:
            n_refused += 1
    assert n_refused > 30


def test_code_tracings_are_read_by_row(tmp_path, ecg):
    stored = np.zeros((3, 4096, 12), np.float32)
    for k in range(3):
        stored[k, 648:3448] = 10 * ecg(2800, fs_hz=400.0, seed=k).T
    path = save_tracings(tmp_path / "ecg_tracings.hdf5", stored)
    record = read_record(path, member=2)
    assert (record.record_id, record.fs_hz, record.signal_mv.shape) == ("ecg_tracings-2", 400.0, (12, 2800))
    np.testing.assert_allclose(record.signal_mv, ecg(2800, fs_hz=400.0, seed=2), atol=1e-5)
    np.testing.assert_allclose(read_record(path, member=2, unit_mv=0.2).signal_mv, 2 * record.signal_mv, atol=1e-5)
    for member in (None, 3, -1, True, 1.5):
        with pytest.raises(ArgumentError) as raised:
            read_record(path, member=member)
        assert raised.value.field == "member"


def test_an_sph_file_is_read_in_half_precision(tmp_path, ecg):
    h5py = pytest.importorskip("h5py")
    signal_mv = ecg(6000, fs_hz=500.0)
    with h5py.File(tmp_path / "A00001.h5", "w") as file:
        file.create_dataset("ecg", data=signal_mv.astype(np.float16), chunks=(3, 1500), compression="gzip")
    record = read_record(tmp_path / "A00001.h5")
    assert record.fs_hz == 500.0
    np.testing.assert_allclose(record.signal_mv, signal_mv, atol=2e-3)


def test_hdf5_never_reads_another_file(tmp_path, ecg):
    h5py = pytest.importorskip("h5py")
    save_tracings(tmp_path / "secret.hdf5", ecg(500, fs_hz=400.0).T[None])
    with h5py.File(tmp_path / "link.hdf5", "w") as file:
        file["tracings"] = h5py.ExternalLink("secret.hdf5", "tracings")
    with h5py.File(tmp_path / "virtual.hdf5", "w") as file:
        layout = h5py.VirtualLayout(shape=(1, 500, 12), dtype="f4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.hdf5"), "tracings", shape=(1, 500, 12))
        file.create_virtual_dataset("tracings", layout)
    with h5py.File(tmp_path / "outside.hdf5", "w") as file:
        file.create_dataset("tracings", (1, 500, 12), "f4", external=[(str(tmp_path / "raw.bin"), 0, 24000)])
    for name in ("link", "virtual", "outside"):
        with pytest.raises(RecordError) as raised:
            read_record(tmp_path / f"{name}.hdf5")
        assert raised.value.field == "tracings"


def test_absurd_hdf5_shapes_are_refused_without_memory(tmp_path):
    h5py = pytest.importorskip("h5py")
    for name, shape in (("tracings", (2, 1 << 40, 12)), ("tracings", (5, 4096, 8)), ("ecg", (12,)), ("other", (1,))):
        with h5py.File(tmp_path / "x.hdf5", "w") as file:
            file.create_dataset(name, shape, "f4", chunks=True)
        with pytest.raises(RecordError):
            read_record(tmp_path / "x.hdf5", member=0 if name == "tracings" else None)


def test_without_h5py_the_fix_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "r.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError) as raised:
        read_record(tmp_path / "r.h5")
    assert raised.value.fix.startswith("pip install 'ecgscan-lab[hdf5]'")


def test_arguments_of_other_formats_are_refused_for_wfdb(write_record):
    path = write_record()
    for keyword in ({"member": 0}, {"unit_mv": 1.0}):
        with pytest.raises(ArgumentError) as raised:
            read_record(path, **keyword)
        assert raised.value.field == next(iter(keyword))
    for unit_mv in (0.0, -1.0, np.nan, "mV", True):
        with pytest.raises(ArgumentError):
            read_record(path.with_suffix(".h5"), unit_mv=unit_mv)


@pytest.mark.real
def test_real_files_of_each_layout(real_data):
    other = real_data / "other"
    cpsc = [read_record(path) for path in sorted((other / "cpsc2018_original").glob("*.mat"))]
    assert [record.duration_s for record in cpsc] == [10.0, 19.0, 11.034, 13.556]
    code = [read_record(path, unit_mv=CODE_UNIT_MV) for path in sorted((other / "code15").glob("*.mat"))]
    assert sorted(record.signal_mv.shape[1] for record in code) == [2934] * 4 + [4096] * 2
    assert all(record.leads == LEADS and not record.provenance["repairs"] for record in [*cpsc, *code])


@pytest.mark.real
def test_real_sph_files(real_data):
    pytest.importorskip("h5py")
    records = [read_record(path) for path in sorted((real_data / "other" / "sph").glob("*.h5"))]
    assert [record.duration_s for record in records] == [13.0, 11.0, 13.0, 12.0]
    assert all(0.5 < np.abs(record.signal_mv).max() < 5 for record in records)
