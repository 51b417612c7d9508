"""MIMIC-IV-ECG in small: its two tables, its headers with aVF before aVL, and every reason to leave a record out."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.mimic import (
    REPORT_COLUMNS,
    join_reports,
    load_mimic,
    place_mimic,
    read_mimic_tables,
    split_by_record,
    survey_mimic,
)
from ecgscan_lab.data.reading import SHARED_PATIENTS, RecordRow
from ecgscan_lab.data.reports import clean_report, texts_of
from ecgscan_lab.data.store import build_store
from ecgscan_lab.errors import ArgumentError, EcgScanLabError, SplitError, TableError
from ecgscan_lab.leads import limb_law_residuals

STORED_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
STORED_ROWS = [0, 1, 2, 3, 5, 4, *range(6, 12)]
MEASURED = "bandwidth filtering rr_interval p_onset p_end qrs_onset qrs_end t_end p_axis qrs_axis t_axis".split()
LISTED = ["subject_id", "study_id", "file_name", "ecg_time", "path"]


def patient_of(k):
    return 10000032 + k // 3


def write_csv(path, columns, lines):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(lines)


@pytest.fixture
def folder(tmp_path, write_record, ecg):
    """30 records of ten patients; records 0 to 5 are each bad in another way."""
    listed, measured = [], []
    for k in range(30):
        study, subject = 40689238 + k, patient_of(k)
        relative = f"files/p{str(subject)[:4]}/p{subject}/s{study}/{study}"
        digital = np.rint(ecg(5000, fs_hz=500.0, seed=k)[STORED_ROWS].T * 200).astype("<i2")
        if k == 0:
            digital[100:200, 3] = -32768
        if k == 1:
            digital[:, 8] = 0
        where = (tmp_path / relative).parent
        path = write_record(
            digital=digital,
            name=str(study),
            fs=500,
            folder=where,
            leads=STORED_LEADS,
            gains="200.0(0)/mV",
            record_line=f"{study} 12 500 5000 08:44:00 23/07/2180",
        )
        if k == 2:
            path.with_suffix(".dat").write_bytes(path.with_suffix(".dat").read_bytes()[:-100])
        if k == 3:
            path.unlink()
        report = ["Sinus rhythm", "Possible LVH", "", "Abnormal ECG"] if k != 4 else []
        report = [*report, *[""] * (18 - len(report))]
        listed.append([subject, study, study, "2180-07-23 08:44:00", relative])
        if k != 5:
            row = [subject, study, 6848296, "2180-07-23 08:44:00", *report, "0.005-150 Hz", "60 Hz notch", 659]
            measured.append([*row, 40, 128, 170, 258, 29999, 81, 77, 32767])
    write_csv(tmp_path / "record_list.csv", LISTED, listed)
    columns = ["subject_id", "study_id", "cart_id", "ecg_time", *REPORT_COLUMNS, *MEASURED]
    write_csv(tmp_path / "machine_measurements.csv", columns, measured)
    return tmp_path


def test_every_drop_is_counted_by_its_reason(folder):
    survey = survey_mimic(folder)
    assert survey.n_listed == 30
    assert survey.drops == {
        "left out: no line in machine_measurements.csv": 1,
        "left out: all eighteen report columns are empty": 1,
        "left out: samples were not recorded (NaN)": 1,
        "left out: a lead is flat": 1,
        "left out: a file is damaged": 1,
        "left out: the header is not in the folder": 1,
    }
    assert len(survey.kept) + sum(survey.drops.values()) == survey.n_listed
    assert (
        survey_mimic(folder, gaps="keep", allow_flat=True)
        .drops.keys()
        .isdisjoint({"left out: samples were not recorded (NaN)", "left out: a lead is flat"})
    )
    assert survey_mimic(folder, min_words=7).drops["left out: the report has too few words"] == 28
    cohort = load_mimic(folder, only=survey.kept)
    assert {record.record_id for record in cohort.records} == set(survey.kept)
    assert not cohort.skipped
    assert cohort.repairs["left out: not among the wanted studies"] == 4


def test_leads_are_found_by_name(folder, ecg):
    cohort = load_mimic(folder, max_bad_share=0.2, fs_hz=500.0)
    record = next(record for record in cohort.records if record.record_id == "40689248")
    np.testing.assert_allclose(record.signal_mv, ecg(5000, fs_hz=500.0, seed=10), atol=0.003)
    residuals = limb_law_residuals(record.signal_mv)
    assert max(float(np.abs(value).max()) for value in residuals.values()) < 0.02
    assert len(cohort.skipped) == 4
    assert {skip.record_id for skip in cohort.skipped} == {str(40689238 + k) for k in range(4)}


def test_patients_stay_together_unless_the_papers_split_is_asked_for(folder):
    grouped = load_cohort(f"mimic:{folder}", max_bad_share=0.2)
    places = {(record.patient_id, record.split) for record in grouped.records}
    assert len(places) == len({patient for patient, _ in places})
    assert {split for _, split in places} == {"train", "val"}
    assert SHARED_PATIENTS not in grouped.repairs
    by_record = load_mimic(folder, split="records", max_bad_share=0.2)
    assert by_record.repairs[SHARED_PATIENTS] >= 1
    assert by_record.tasks == {}
    with pytest.raises(ArgumentError):
        load_mimic(folder, split="random")


def test_the_papers_sizes_come_out_of_its_number_of_records():
    names = split_by_record(789_511, seed=0)
    assert ((names == "train").sum(), (names == "val").sum()) == (710_560, 78_951)
    assert (names == split_by_record(789_511, seed=0)).all()
    assert (names != split_by_record(789_511, seed=1)).any()


def test_grouped_sizes_follow_the_shares():
    patients = np.random.default_rng(0).geometric(0.25, 2000)
    rows = [RecordRow(f"{k}-{i}", None, "", patient_id=str(k)) for k, n in enumerate(patients) for i in range(n)]
    placed = place_mimic(rows, "patients", 1)
    n_train = sum(row.split == "train" for row in placed)
    assert abs(n_train - 0.9 * len(rows)) <= max(patients)
    assert place_mimic(rows, "patients", 1) == placed != place_mimic(rows, "patients", 2)


def test_reports_are_joined_and_cleaned(folder):
    rows, _ = read_mimic_tables(folder)
    assert {row.report for row in rows} == {"sinus rhythm. possible lvh. abnormal ecg."}
    assert join_reports(["", "nan", " "]) == ""
    text = join_reports(["*** Sinus rhythm ***", "Inferior infarct - age undetermined.", "--- Abnormal EKG = "])
    assert text == "sinus rhythm. inferior infarct - age undetermined. abnormal ecg."
    assert clean_report(text) == text
    cohort = load_mimic(folder, max_bad_share=0.2)
    assert set(texts_of(cohort)) == {"sinus rhythm. possible lvh. abnormal ecg."}


def test_gaps_are_skipped_kept_or_filled(folder):
    study = "40689238"
    kept, filled = (
        next(
            record
            for record in load_mimic(folder, gaps=gaps, max_bad_share=0.2, fs_hz=500.0).records
            if record.record_id == study
        )
        for gaps in ("keep", "fill")
    )
    assert np.isnan(kept.signal_mv).sum() == 100
    assert np.isfinite(filled.signal_mv).all()
    gap = np.isnan(kept.signal_mv)
    np.testing.assert_array_equal(filled.signal_mv[~gap], kept.signal_mv[~gap])
    low, high = sorted((float(kept.signal_mv[3, 99]), float(kept.signal_mv[3, 200])))
    assert low <= filled.signal_mv[3, 100:200].min() <= filled.signal_mv[3, 100:200].max() <= high


def test_a_subset_keeps_whole_patients(folder):
    cohort = load_mimic(folder, n_records=12, max_bad_share=0.5, seed=3)
    assert 6 <= len(cohort) + len(cohort.skipped) <= 14
    listed = {row.record_id: row.patient for row in read_mimic_tables(folder)[0]}
    read = {record.record_id for record in cohort.records} | {skip.record_id for skip in cohort.skipped}
    patients = {listed[study] for study in read}
    assert read == {study for study, patient in listed.items() if patient in patients}
    assert {record.split for record in cohort.records} == {"train", "val"}


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        ("record_list.csv", "path", "place"),
        ("record_list.csv", ",40689239,", ",40689240,"),
        ("record_list.csv", "files/p1000", "../p1000"),
        ("record_list.csv", "10000032,40689238", "10000032,x"),
        ("machine_measurements.csv", "report_17", "report"),
        ("machine_measurements.csv", ",40689239,", ",40689240,"),
        ("machine_measurements.csv", ",32767", ""),
        ("machine_measurements.csv", "Sinus rhythm", 'Sinus"rhythm"\x00'),
    ],
)
def test_bad_tables_raise_typed_errors(folder, table, old, new):
    path = folder / table
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        rows, _ = read_mimic_tables(folder)
    except TableError:
        return
    assert new == 'Sinus"rhythm"\x00'  # a stray quotation mark or NUL inside a cell does no harm
    assert len(rows) == 28


def test_damaged_tables_raise_typed_errors_only(folder):
    rng = np.random.default_rng(0)
    for table in ("record_list.csv", "machine_measurements.csv"):
        path = folder / table
        whole = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(whole)
            damaged[rng.integers(len(whole))] = rng.integers(256)
            path.write_bytes(bytes(damaged[: rng.integers(len(whole))] if rng.random() < 0.2 else damaged))
            try:
                read_mimic_tables(folder)
            except EcgScanLabError:
                continue
        path.write_bytes(whole)


def test_arguments_are_checked(folder):
    for keyword in ({"min_words": 0}, {"gaps": "drop"}, {"bogus": 1}):
        with pytest.raises(ArgumentError) as raised:
            load_mimic(folder, **keyword)
        assert raised.value.field in keyword
    with pytest.raises(SplitError):
        load_mimic(folder, only=["40689250"])


@pytest.mark.parametrize("how", [{}, {"split": "records"}, {"n_records": 12, "seed": 3}])
def test_a_store_of_it_holds_what_the_loader_reads(folder, tmp_path, how):
    how = {"max_bad_share": 0.5, **how}
    store = build_store(f"mimic:{folder}", tmp_path / "store", shard_size=8, **how)
    cohort = load_mimic(folder, **how)
    assert store.record_ids.tolist() == [record.record_id for record in cohort.records]
    assert store.reports() == [record.report for record in cohort.records]
    assert store.splits.tolist() == [record.split for record in cohort.records]
    assert store.repairs == cohort.repairs
    assert [bad.record_id for bad in store.skipped] == [bad.record_id for bad in cohort.skipped]
    assert np.abs(store.read_signals_mv(np.arange(len(store))) - cohort.signals_mv).max() <= 0.0005 + 1e-6
