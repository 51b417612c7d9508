"""WFDB records: right, repaired with a sentence, or refused with a typed error."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgscan_lab.data.wfdb_records import read_record, standardize
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, LeadError, RecordError
from ecgscan_lab.leads import INDEPENDENT_LEADS, LEADS, limb_law_residuals
from ecgscan_lab.types import EcgRecord


def repairs_of(record):
    return " | ".join(record.provenance["repairs"])


def digital_of(signal_mv, gain=1000):
    return np.rint(signal_mv.T * gain).astype("<i2")


# --- sound records


def test_a_sound_record_is_read_as_it_was_written(write_record, ecg):
    record = read_record(write_record())
    np.testing.assert_allclose(record.signal_mv, ecg(), atol=0.0005 + 1e-6)
    assert (record.record_id, record.fs_hz, record.duration_s, record.leads) == ("r", 100.0, 10.0, LEADS)
    assert record.signal_mv.dtype == np.float32
    assert record.provenance == {
        "source": "r.hea",
        "format": "wfdb",
        "native_fs_hz": 100.0,
        "native_n_samples": 1000,
        "repairs": [],
    }


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat", ".mat"])
def test_the_suffix_of_the_path_does_not_matter(write_record, suffix):
    path = write_record(name="rec.v1")
    assert read_record(f"{path.with_suffix('')}{suffix}").record_id == "rec.v1"


def test_leads_are_found_by_name_in_any_order_and_case(write_record, ecg):
    signal_mv = ecg()
    mimic = [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]  # aVF before aVL
    path = write_record(signal_mv[mimic], leads=[LEADS[k].upper() for k in mimic])
    np.testing.assert_allclose(read_record(path).signal_mv, signal_mv, atol=0.001)


@pytest.mark.parametrize(
    ("unit", "gain"),
    [("mV", 1000), ("MV", 1000), ("uV", 1), ("\u00b5V", 1), ("\u03bcV", 1), ("V", 1_000_000), ("millivolts", 1000)],
)
def test_units_are_understood_by_name(write_record, ecg, unit, gain):
    np.testing.assert_allclose(read_record(write_record(gains=f"{gain}(0)/{unit}")).signal_mv, ecg(), atol=0.001)


def test_a_baseline_and_an_adc_zero_shift_the_signal(write_record, ecg):
    digital = digital_of(ecg()) + np.int16(512)
    np.testing.assert_allclose(
        read_record(write_record(digital=digital, gains="1e3(512)/mV")).signal_mv, ecg(), atol=1e-3
    )
    path = write_record(digital=digital, gains="1000/mV")
    path.write_text(path.read_text().replace(" 16 0 ", " 16 512 "))
    np.testing.assert_allclose(read_record(path).signal_mv, ecg(), atol=1e-3)


def test_a_gain_without_unit_is_per_millivolt(write_record, ecg):
    np.testing.assert_allclose(read_record(write_record(gains="1000")).signal_mv, ecg(), atol=0.001)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_byte_order_marks_line_ends_and_latin_units_are_read(write_record, encoding):
    path = write_record(gains="1(0)/\u00b5V", comments=["# M\u00fcller"])
    path.write_bytes(path.read_text(encoding="utf-8").replace("\n", "\r\n").encode(encoding))
    assert read_record(path).signal_mv.shape == (12, 1000)


@pytest.mark.parametrize("fmt", ["80", "212", "310", "311", "16", "61", "160", "24", "32"])
@pytest.mark.parametrize("n_samples", [999, 1000])
def test_every_storage_format_agrees_with_wfdb(tmp_path, ecg, fmt, n_samples):
    gain = 50.0 if fmt == "80" else 200.0
    digital = np.rint(ecg(n_samples).T * gain).astype(np.int64)
    if fmt in ("310", "311", "61", "160"):
        digital = _write_uncommon(tmp_path, digital, fmt)
    else:
        options = {"fmt": [fmt] * 12, "adc_gain": [gain] * 12, "baseline": [0] * 12, "write_dir": str(tmp_path)}
        wfdb.wrsamp("r", 100, ["mV"] * 12, list(LEADS), d_signal=digital, **options)
    expected = wfdb.rdrecord(str(tmp_path / "r"), physical=True).p_signal.T
    np.testing.assert_allclose(read_record(tmp_path / "r").signal_mv, expected, atol=1e-6)


def _write_uncommon(folder: Path, digital: np.ndarray, fmt: str) -> np.ndarray:
    """Formats that wfdb reads but does not write: any bytes of the right length make a record."""
    rng = np.random.default_rng(7)
    if fmt in ("61", "160"):
        values = digital if fmt == "61" else digital + 32768
        data = values.astype(">i2" if fmt == "61" else "<u2").tobytes()
    else:
        data = rng.integers(0, 256, digital.size * 4 // 3 + 8, dtype=np.uint8).tobytes()
    lines = [f"r 12 100 {len(digital)}", *(f"r.dat {fmt} 200(0)/mV 16 0" for _ in LEADS)]
    Path(folder, "r.dat").write_bytes(data)
    Path(folder, "r.hea").write_text("\n".join(lines) + "\n")
    first = wfdb.rdrecord(str(folder / "r"), physical=False).d_signal
    lines[1:] = [
        f"r.dat {fmt} 200(0)/mV 16 0 {first[0, k]} {first[:, k].sum() % 65536} 0 {lead}" for k, lead in enumerate(LEADS)
    ]
    Path(folder, "r.hea").write_text("\n".join(lines) + "\n")
    return first


def test_leads_spread_over_two_files_come_together(write_record, tmp_path, ecg):
    path = write_record()
    digital = digital_of(ecg())
    lines = path.read_text().splitlines()
    lines[7:] = [line.replace("r.dat", "chest.dat") for line in lines[7:]]
    path.write_text("\n".join(lines))
    (tmp_path / "r.dat").write_bytes(digital[:, :6].tobytes())
    (tmp_path / "chest.dat").write_bytes(digital[:, 6:].tobytes())
    np.testing.assert_allclose(read_record(path).signal_mv, ecg(), atol=0.001)


# --- documented repairs


def test_cinc_headers_that_wfdb_rejects_are_read(write_record, tmp_path, ecg):
    path = write_record(
        name="E00015",
        fs=500,
        record_line="E00015.mat 12 500 1000 05-May-2020 14:50:55",
        data_name="E00015.mat",
        fmt="16+24",
        data=b"\0" * 24 + digital_of(ecg()).tobytes(),
        comments=["#Age: 82", "#Sex: Female", "#Dx: 445118002,426177001,<b>"],
    )
    with pytest.raises(ValueError, match="record line"):
        wfdb.rdheader(str(tmp_path / "E00015"))
    record = read_record(path)
    assert "named a signal file" in repairs_of(record)
    assert record.labels == {"snomed": ("445118002", "426177001")}


def test_patient_data_in_comments_does_not_reach_the_record(write_record):
    secrets = ["#Age: 82", "#Sex: Female", "# Name: Erika Mustermann", "#<age>: 17"]
    record = read_record(write_record(comments=secrets))
    text = f"{record!r}{record.provenance!r}{record.labels!r}{record.report!r}"
    assert not any(word in text for word in ("82", "Female", "Erika", "Mustermann", "17"))


def test_invalid_samples_become_gaps_and_are_counted(write_record, ecg):
    digital = digital_of(ecg())
    digital[100:110, 3] = -32768
    digital[5, 0] = -32768
    record = read_record(write_record(digital=digital))
    assert np.isnan(record.signal_mv).sum() == 11
    assert np.isnan(record.signal_mv[3, 100:110]).all()
    assert repairs_of(record) == "samples marked as not recorded became gaps (NaN): 11"


def test_extra_leads_are_dropped_and_noted(write_record, ecg):
    frank = np.vstack([ecg(), ecg(seed=5)[:3]])
    record = read_record(write_record(frank, leads=[*LEADS, "vx", "vy", "vz"]))
    assert record.signal_mv.shape == (12, 1000)
    assert repairs_of(record) == "extra leads dropped: vx, vy, vz"


def test_eight_leads_are_completed_on_request_only(write_record, ecg):
    signal_mv = ecg()
    rows = [LEADS.index(lead) for lead in INDEPENDENT_LEADS]
    path = write_record(signal_mv[rows], leads=INDEPENDENT_LEADS)
    with pytest.raises(LeadError, match=r'missing leads: III, aVR, aVL, aVF(.|\n)*on_missing="derive"'):
        read_record(path)
    record = read_record(path, on_missing="derive")
    np.testing.assert_allclose(record.signal_mv, signal_mv, atol=0.0015)
    assert max(np.abs(r).max() for r in limb_law_residuals(record.signal_mv).values()) < 1e-6
    assert "computed from I and II" in repairs_of(record)
    assert "III, aVR, aVL, aVF" in repairs_of(record)


def test_recorded_leads_are_kept_when_others_are_derived(write_record, ecg):
    signal_mv = ecg()
    signal_mv[3] *= 0.5  # an aVR that breaks the laws must come through as recorded
    rows = [k for k, lead in enumerate(LEADS) if lead != "III"]
    record = read_record(write_record(signal_mv[rows], leads=[LEADS[k] for k in rows]), on_missing="derive")
    np.testing.assert_allclose(record.signal_mv, signal_mv, atol=0.002)


def test_ludb_gains_that_normalise_each_lead_are_undone(write_record, ecg):
    signal_mv = ecg()
    spans = np.ptp(np.rint(signal_mv * 1000), axis=1).astype(int)
    record = read_record(write_record(signal_mv, gains=[f"{span}(3)/mV" for span in spans]))
    np.testing.assert_allclose(record.signal_mv, signal_mv, atol=0.001)
    assert "common gain" in repairs_of(record)


def test_gains_that_differ_for_a_good_reason_are_kept(write_record, ecg):
    digital = digital_of(ecg())
    digital[:, 6:] //= 2
    path = write_record(digital=digital, gains=["1000/mV"] * 6 + ["500/mV"] * 6)
    record = read_record(path)
    np.testing.assert_allclose(record.signal_mv, ecg(), atol=0.003)
    assert record.provenance["repairs"] == []


def test_bytes_after_the_signal_are_ignored_and_noted(write_record, ecg):
    record = read_record(write_record(data=digital_of(ecg()).tobytes() + b"tail"))
    assert "goes on beyond" in repairs_of(record)


# --- damaged and dishonest records


@pytest.mark.parametrize(("byte", "bit"), [(0, 0), (1, 7), (12_345, 3), (23_999, 6)])
def test_one_flipped_bit_is_an_error(write_record, ecg, byte, bit):
    data = bytearray(digital_of(ecg()).tobytes())
    data[byte] ^= 1 << bit
    path = write_record(data=bytes(data))
    assert wfdb.rdrecord(str(path.with_suffix(""))).sig_len == 1000  # wfdb reads it without a word
    with pytest.raises(RecordError, match=r"checksum|initial value"):
        read_record(path)


def test_two_errors_that_cancel_in_the_sum_show_in_the_initial_value(write_record, ecg):
    data = digital_of(ecg()).copy()
    data[0, 4] += 1
    data[1, 4] -= 1
    with pytest.raises(RecordError, match=r"'aVL'(.|\n)*initial value"):
        read_record(write_record(data=data.tobytes()))


@pytest.mark.parametrize("keep", [0, 1, 12_000, 23_999])
def test_a_truncated_signal_file_is_an_error(write_record, ecg, keep):
    with pytest.raises(RecordError, match="truncated"):
        read_record(write_record(data=digital_of(ecg()).tobytes()[:keep]))


def test_a_header_without_length_is_an_error(write_record):
    with pytest.raises(RecordError, match="record line"):
        read_record(write_record(record_line="r 12 100"))


@pytest.mark.parametrize(
    ("record_line", "field"),
    [
        ("r 12 100 10000000000000", "number of samples"),
        ("r 12 100 0", "number of samples"),
        ("r 12 100 -5", "number of samples"),
        ("r 12 100 86400001", "number of samples"),
        ("r 1000000 100 1000", "number of signals"),
        ("r 0 100 1000", "number of signals"),
        ("r 12 0 1000", "sampling rate"),
        ("r 12 -100 1000", "sampling rate"),
        ("r 12 nan 1000", "sampling rate"),
        ("r 12 1e999 1000", "sampling rate"),
        ("r 12 20 1000", "sampling rate"),
        ("r 11 100 1000", "number of signals"),
        ("r/3 12 100 1000", "multi-segment"),
        ("\u0661 \u0661\u0662 100 1000", "number of signals"),
    ],
)
def test_absurd_record_lines_are_refused_before_anything_is_allocated(write_record, record_line, field):
    started = time.perf_counter()
    with pytest.raises(RecordError, match=field):
        read_record(write_record(record_line=record_line))
    assert time.perf_counter() - started < 1.0


def test_a_long_length_is_held_against_the_file_before_memory_is_taken(write_record):
    with pytest.raises(RecordError, match="truncated"):
        read_record(write_record(record_line="r 12 1000 86400000"))


@pytest.mark.parametrize("n_fields", [1, 2, 3, 8])
def test_a_signal_line_without_checksum_or_name_is_an_error(write_record, n_fields):
    path = write_record()
    first, *lines = path.read_text().splitlines()
    path.write_text("\n".join([first, *(" ".join(line.split()[:n_fields]) for line in lines)]))
    with pytest.raises(RecordError, match="signal line"):
        read_record(path)


@pytest.mark.parametrize(
    ("gain", "message"),
    [
        ("0/mV", "gain"),
        ("-1000/mV", "gain"),
        ("1e-30/mV", "gain"),
        ("1e300/mV", "gain"),
        ("nan/mV", "gain"),
        ("inf/mV", "gain"),
        ("1000/NU", "unknown unit 'NU'"),
        ("1000/mmHg", "unknown unit"),
        ("1000(99999999999)/mV", "baseline"),
        ("1000(0/mV", "gain"),
    ],
)
def test_gains_and_units_without_meaning_are_refused(write_record, gain, message):
    with pytest.raises(RecordError, match=message):
        read_record(write_record(gains=[gain, *["1000/mV"] * 11]))


@pytest.mark.parametrize("fmt", ["16x2", "16:5", "8", "508", "77", "x", "16+99999999999"])
def test_formats_outside_the_list_skew_and_several_rates_are_refused(write_record, fmt):
    with pytest.raises(RecordError, match=r"format|multi-frequency"):
        read_record(write_record(fmt=fmt))


def test_one_file_in_two_formats_is_refused(write_record):
    path = write_record()
    path.write_text(path.read_text().replace("r.dat 16 ", "r.dat 212 ", 1))
    with pytest.raises(RecordError, match="several formats"):
        read_record(path)


@pytest.mark.parametrize(
    "data_name", ["../r.dat", "/etc/passwd", "a/../../r.dat", "..", "http://host/r.dat", "c:r.dat", "..\\r.dat"]
)
def test_a_signal_file_outside_the_folder_is_refused(write_record, data_name):
    path = write_record()
    path.write_text(path.read_text().replace("r.dat", data_name))
    with pytest.raises(RecordError, match="plain file name"):
        read_record(path)


def test_a_link_out_of_the_folder_is_refused_and_one_within_is_followed(write_record, tmp_path):
    path = write_record(folder=tmp_path / "a")
    inside = path.with_suffix(".dat").rename(path.parent / "elsewhere.dat")
    path.with_suffix(".dat").symlink_to(inside)
    assert read_record(path).signal_mv.shape == (12, 1000)
    outside = inside.rename(tmp_path / "outside.dat")
    path.with_suffix(".dat").unlink()
    path.with_suffix(".dat").symlink_to(outside)
    with pytest.raises(RecordError, match="link out of its folder"):
        read_record(path)


@pytest.mark.parametrize("path", ["https://host/r.hea", "r\0", "", "no/such/record", "x" * 5000])
def test_paths_that_lead_nowhere_are_typed_errors(path):
    with pytest.raises(RecordError):
        read_record(path)


def test_folders_pipes_and_oversized_headers_are_typed_errors(write_record, tmp_path):
    (tmp_path / "d.hea").mkdir()
    os.mkfifo(tmp_path / "p.hea")
    (tmp_path / "big.hea").write_bytes(b"#" * 300_000)
    (tmp_path / "empty.hea").write_bytes(b"")
    for name in ("d", "p", "big", "empty"):
        with pytest.raises(RecordError):
            read_record(tmp_path / name)
    path = write_record()
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(RecordError, match="NUL"):
        read_record(path)
    path.with_suffix(".dat").unlink()
    os.mkfifo(path.with_suffix(".dat"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RecordError, match="regular file"):
        read_record(path)


@pytest.mark.parametrize(
    ("leads", "message"),
    [
        (["I", "I", *LEADS[2:]], "duplicate leads: I"),
        (["-aVR", *LEADS[1:]], "unknown leads: -aVR"),
        ([*LEADS[:11], "resp"], "unknown leads: resp"),
        ([*LEADS[:11], "V\u2466"], "unknown leads"),
    ],
)
def test_duplicate_and_unknown_leads_are_named(write_record, leads, message):
    with pytest.raises(LeadError, match=message) as caught:
        read_record(write_record(leads=leads))
    assert caught.value.file.endswith("r.hea")


def test_a_missing_chest_lead_cannot_be_derived(write_record, ecg):
    path = write_record(ecg()[:11], leads=LEADS[:11])
    with pytest.raises(LeadError, match="missing leads: V6"):
        read_record(path, on_missing="derive")


def test_a_lead_without_any_sample_is_named(write_record, ecg):
    digital = digital_of(ecg())
    digital[:, 7] = -32768
    with pytest.raises(LeadError, match="V2: every sample"):
        read_record(write_record(digital=digital))


@pytest.mark.parametrize("step", [0, 1])
def test_a_flat_lead_is_refused_or_kept_on_request(write_record, ecg, step):
    digital = digital_of(ecg())
    digital[:, 9] = 17
    digital[::2, 9] += step
    path = write_record(digital=digital)
    with pytest.raises(LeadError, match="flat leads: V4"):
        read_record(path)
    assert repairs_of(read_record(path, allow_flat=True)) == "flat leads kept: V4"


def test_a_record_of_flat_leads_is_refused_in_any_case(write_record):
    with pytest.raises(LeadError, match="flat"):
        read_record(write_record(digital=np.full((1000, 12), 100, "<i2")), allow_flat=True)


def test_wrong_units_show_in_the_amplitude(write_record, ecg):
    with pytest.raises(RecordError, match=r"exceed 20 mV(.|\n)*units"):
        read_record(write_record(ecg(scale=20), gains="1(0)/mV"))  # microvolts labelled as millivolts
    with pytest.raises(RecordError, match=r"no lead moves(.|\n)*units"):
        read_record(write_record(ecg(), gains="1000(0)/uV"))  # millivolts labelled as microvolts


def test_one_loud_lead_is_kept_and_noted(write_record, ecg):
    signal_mv = ecg()
    signal_mv[8, 40] = 30.0
    assert repairs_of(read_record(write_record(signal_mv))) == "leads beyond 20 mV kept: V3"


def test_arguments_are_checked(write_record):
    path = write_record()
    with pytest.raises(ArgumentError, match="on_missing"):
        read_record(path, on_missing="guess")
    for options in ({"fs_hz": 0.0}, {"fs_hz": float("nan")}, {"duration_s": -1.0}, {"duration_s": "10"}):
        with pytest.raises(ArgumentError):
            read_record(path, **options)


# --- standardize


def record_of(signal_mv, fs_hz):
    return EcgRecord("r", np.asarray(signal_mv, dtype=np.float32), fs_hz)


def test_standardize_is_the_identity_on_a_standard_record(ecg):
    record = record_of(ecg(), 100.0)
    assert standardize(record, 100.0, 10.0) is record


@pytest.mark.parametrize(("from_hz", "to_hz"), [(500, 100), (100, 500), (360, 500), (1000, 128), (257.3, 250)])
def test_a_slow_sine_keeps_amplitude_and_phase_up_to_the_edges(from_hz, to_hz):
    times = np.arange(round(10 * from_hz)) / from_hz
    record = standardize(record_of(np.tile(np.sin(2 * np.pi * 5 * times + 0.4), (12, 1)), float(from_hz)), to_hz, 9.5)
    expected = np.sin(2 * np.pi * 5 * np.arange(record.signal_mv.shape[1]) / to_hz + 0.4)
    assert record.signal_mv.shape == (12, round(9.5 * to_hz))
    np.testing.assert_allclose(record.signal_mv[0, 20:], expected[20:], atol=0.01)
    np.testing.assert_allclose(record.signal_mv[0], expected, atol=0.05)


@pytest.mark.parametrize("duration_s", [1.0, 9.0, 10.0])
@pytest.mark.parametrize("to_hz", [100, 250, 500, 1000])
def test_constants_and_ramps_do_not_ring_at_the_edges(to_hz, duration_s):
    times = np.arange(3600) / 360.0
    signal_mv = np.vstack([np.full((6, 3600), 4.0), np.tile(3 * times - 8, (6, 1))])
    record = standardize(record_of(signal_mv, 360.0), to_hz, duration_s)
    out_times = np.arange(record.signal_mv.shape[1]) / to_hz
    np.testing.assert_allclose(record.signal_mv[0], 4.0, atol=1e-5)
    np.testing.assert_allclose(record.signal_mv[11], 3 * out_times - 8, atol=1e-4)


def test_a_frequency_above_the_new_nyquist_rate_is_removed():
    times = np.arange(5000) / 500.0
    record = standardize(record_of(np.tile(np.sin(2 * np.pi * 120 * times), (12, 1)), 500.0), 100.0, 10.0)
    assert np.abs(record.signal_mv[:, 50:-50]).max() < 0.02


@pytest.mark.parametrize("to_hz", [100.0, 500.0, 1000.0])
def test_a_gap_stays_a_gap_of_its_duration(ecg, to_hz):
    signal_mv = ecg(5000, fs_hz=500.0)
    signal_mv[4, 1000:2000] = np.nan
    record = standardize(record_of(signal_mv, 500.0), to_hz, 10.0)
    gap = np.isnan(record.signal_mv)
    assert gap.any(axis=1).tolist() == [lead == "aVL" for lead in LEADS]
    found = np.flatnonzero(gap[4]) / to_hz
    assert abs(found[0] - 2.0) <= 1 / min(to_hz, 500)
    assert abs(found[-1] - 4.0) <= 1 / min(to_hz, 500) + 1 / to_hz
    assert (np.diff(np.flatnonzero(gap[4])) == 1).all()


def test_a_short_record_is_padded_with_gaps_and_a_long_one_cropped(write_record, ecg):
    short = read_record(write_record(ecg(750), name="s"), fs_hz=100.0, duration_s=10.0)
    assert np.isnan(short.signal_mv[:, 750:]).all()
    assert not np.isnan(short.signal_mv[:, :750]).any()
    assert "padded with gaps" in repairs_of(short)
    long = read_record(write_record(ecg(5432), name="l"), fs_hz=100.0, duration_s=10.0)
    np.testing.assert_allclose(long.signal_mv, ecg(5432)[:, :1000], atol=0.001)
    assert long.provenance["native_n_samples"] == 5432
    assert long.signal_mv.flags.c_contiguous


def test_reading_with_a_rate_equals_standardising_what_was_read(write_record, ecg):
    path = write_record(ecg(6000, fs_hz=500.0), fs=500)
    read = read_record(path, fs_hz=100.0, duration_s=5.0).signal_mv
    np.testing.assert_allclose(read, standardize(read_record(path), 100.0, 5.0).signal_mv, atol=1e-6)


def test_a_crop_that_loses_a_lead_is_an_error(ecg):
    signal_mv = ecg()
    signal_mv[8, :900] = np.nan
    with pytest.raises(LeadError, match=r"V3 has no sample(.|\n)*duration_s"):
        standardize(record_of(signal_mv, 100.0), 100.0, 5.0)


def test_a_linear_phase_filter_keeps_the_limb_laws(ecg):
    record = standardize(record_of(ecg(5000, fs_hz=500.0), 500.0), 100.0, 10.0)
    assert max(np.abs(r).max() for r in limb_law_residuals(record.signal_mv).values()) < 1e-5


# --- the public recordings


@pytest.mark.real
def test_ptbxl_agrees_with_wfdb_sample_by_sample(ptbxl_dir):
    headers = sorted(ptbxl_dir.glob("records500/*/*.hea")) + sorted(ptbxl_dir.glob("records100/*/*.hea"))[:300]
    assert len(headers) >= 400
    for header in headers[::3]:
        expected = wfdb.rdrecord(str(header.with_suffix("")))
        record = read_record(header, allow_flat=True)
        np.testing.assert_allclose(record.signal_mv, expected.p_signal.T, atol=1e-6)
        assert record.provenance["repairs"] == []
        assert record.fs_hz == expected.fs


@pytest.mark.real
def test_every_cinc_2021_record_is_read_or_named_as_flat(real_data):
    headers = sorted((real_data / "other" / "cinc2021").glob("*/*.hea"))
    flat, repaired = [], []
    for header in headers:
        record = read_record(header, fs_hz=500.0, duration_s=10.0, allow_flat=True)
        if "flat leads" in repairs_of(record):
            flat.append(header.stem)
            with pytest.raises(LeadError, match="flat leads"):
                read_record(header)
        assert record.labels["snomed"]
        assert record.signal_mv.shape == (12, 5000)
        worst = max(np.sqrt(np.nanmean(r**2)) for r in limb_law_residuals(record.signal_mv).values())
        assert worst < 0.05, header.stem
        repaired += [header.stem] if "named a signal file" in repairs_of(record) else []
    assert len(headers) == 82
    assert flat == ["JS20004", "JS45542", "JS45551"]
    assert len(repaired) == 4


@pytest.mark.real
def test_ludb_records_come_out_in_millivolts(real_data):
    headers = sorted((real_data / "other" / "ludb" / "data").glob("*.hea"))
    assert len(headers) == 10
    for header in headers:
        record = read_record(header)
        assert "common gain" in repairs_of(record)
        residuals = limb_law_residuals(record.signal_mv - record.signal_mv.mean(axis=1, keepdims=True))
        assert max(np.sqrt((r**2).mean()) for r in residuals.values()) < 0.005
        assert 0.3 < np.ptp(record.signal_mv[1]) < 5.0


@pytest.mark.real
def test_signals_of_photographed_pages_hold_only_the_printed_windows(real_data):
    headers = sorted((real_data / "other" / "real_images").rglob("*.hea"))
    assert len(headers) == 21
    for header in headers:
        record = read_record(header, fs_hz=500.0, duration_s=10.0)
        recorded = ~np.isnan(record.signal_mv)
        assert recorded.any(axis=1).all()
        assert recorded.mean() < 0.5
        assert "not recorded" in repairs_of(record)


@pytest.mark.real
def test_reading_a_record_takes_milliseconds(ptbxl_dir):
    headers = sorted(ptbxl_dir.glob("records500/*/*.hea"))[:200]
    read_record(headers[0])
    started = time.process_time()
    for header in headers:
        read_record(header, allow_flat=True)
    assert (time.process_time() - started) / len(headers) < 0.008  # 0.7 ms where this was written


def test_every_error_is_of_the_family():
    assert issubclass(RecordError, EcgScanLabError)
    assert issubclass(LeadError, EcgScanLabError)
