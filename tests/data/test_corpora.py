"""PTB-XL's official folder: labels, folds, absent files, and the release itself."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.corpora import load_ptbxl, read_ptbxl_tables
from ecgscan_lab.errors import ArgumentError, SplitError, TableError, TooManyBadRecordsError

CODES = [
    "{'NORM': 100.0, 'SR': 0.0}",
    "{'IMI': 0.0, 'NST_': 50.0, 'AFIB': 0.0}",
    "{'1AVB': 100.0, 'STD_': 0.0}",
    "{'LVH': 15.0, 'SR': 0.0}",
    "{}",
]


@pytest.fixture
def folder(tmp_path, write_record, ecg, ptbxl_statements):
    """Twenty records in folds 1 to 10, two a fold, with the publisher's tables."""
    root = tmp_path / "ptbxl"
    lines = []
    for k in range(20):
        n = k + 1
        low, high = f"records100/00000/{n:05d}_lr", f"records500/00000/{n:05d}_hr"
        write_record(ecg(seed=k), name=f"{n:05d}_lr", folder=root / "records100" / "00000")
        if n % 2:
            write_record(
                ecg(5000, fs_hz=500.0, seed=k), name=f"{n:05d}_hr", folder=root / "records500" / "00000", fs=500
            )
        fold = k % 10 + 1
        lines.append(f'{n},{100 + k}.0,56.0,1,Holz,bericht {n},"{CODES[k % 5]}",{fold},1984-11-09,{low},{high}')
    columns = "ecg_id,patient_id,age,sex,nurse,report,scp_codes,strat_fold,recording_date,filename_lr,filename_hr"
    (root / "ptbxl_database.csv").write_text("\n".join([columns, *lines]) + "\n", encoding="utf-8")
    (root / "scp_statements.csv").write_text(ptbxl_statements, encoding="utf-8")
    return root


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_labels_go_through_the_statement_catalogue(folder):
    cohort = load_ptbxl(folder)
    assert cohort.tasks == {
        "superclass": ("NORM", "MI", "STTC", "CD", "HYP"),
        "subclass": ("AVB", "IMI", "LVH", "NORM", "NST"),
        "form": ("NST", "STD"),
        "rhythm": ("AFIB", "SR"),
    }
    # A likelihood of 0 counts, underscores at the ends of codes go, a statement may serve two tasks.
    assert cohort.records[1].labels == {
        "superclass": ("MI", "STTC"),
        "subclass": ("IMI", "NST"),
        "form": ("NST",),
        "rhythm": ("AFIB",),
    }
    assert cohort.records[2].labels["subclass"] == ("AVB",)
    assert cohort.records[2].labels["form"] == ("STD",)
    assert not any(cohort.targets(task)[4].any() for task in cohort.tasks)
    assert all(cohort.descriptions[name] for names in cohort.tasks.values() for name in names)


def test_records_carry_reports_folds_and_nothing_about_the_person(folder):
    record = load_ptbxl(folder).records[0]
    assert (record.record_id, record.patient_id, record.fold, record.report) == ("00001_lr", "100", 1, "bericht 1")
    seen = f"{record!r}{record.provenance!r}{record.labels!r}"
    assert not any(secret in seen for secret in ("56", "Holz", "1984"))


def test_folds_become_splits(folder):
    def folds(cohort):
        return {s: sorted({cohort.records[i].fold for i in cohort.indices(s)}) for s in ("train", "val", "test")}

    assert folds(load_ptbxl(folder)) == {"train": [1, 2, 3, 4, 5, 6, 7, 8], "val": [9], "test": [10]}
    assert folds(load_ptbxl(folder, test_fold=3, val_fold=1))["train"] == [2, 4, 5, 6, 7, 8, 9, 10]
    assert folds(load_ptbxl(folder, test_fold=1))["val"] == [10]
    for options in ({"test_fold": 11}, {"val_fold": 0}, {"test_fold": "9"}, {"test_fold": 4, "val_fold": 4}):
        with pytest.raises(ArgumentError, match="fold"):
            load_ptbxl(folder, **options)
    lines = (folder / "ptbxl_database.csv").read_text().splitlines()
    (folder / "ptbxl_database.csv").write_text("\n".join(line for k, line in enumerate(lines) if k not in (10, 20)))
    without_ten = folds(load_ptbxl(folder))
    assert without_ten == {"train": [1, 2, 3, 4, 5, 6, 7], "val": [8], "test": [9]}
    with pytest.raises(SplitError, match="no record in split test"):
        load_ptbxl(folder, test_fold=10)


def test_rates_above_100_hz_read_the_500_hz_files(folder):
    with pytest.raises(TooManyBadRecordsError, match="only_present=True"):
        load_ptbxl(folder, fs_hz=500.0)
    with pytest.raises(SplitError, match="test"):
        load_ptbxl(folder, fs_hz=500.0, only_present=True)  # odd numbers only: fold 10 is not here
    cohort = load_ptbxl(folder, fs_hz=250.0, duration_s=8.0, only_present=True, test_fold=9, val_fold=7)
    assert cohort.signals_mv.shape == (10, 12, 2000)
    assert cohort.records[1].record_id == "00003_hr"
    assert cohort.repairs == {"listed without files; left out by only_present": 10}


def test_a_table_of_labels_adds_records_without_reports(folder, write_record, ecg):
    write_record(ecg(seed=50), name="00021_lr", folder=folder / "records100" / "00000")
    table = folder / "cohort.csv"
    table.write_text(
        "record,ecg_id,patient_id,strat_fold,superclass,subclass,form,rhythm\n"
        "records100/00000/00001_lr,1,100,1,HYP,,,\n"
        "records100/00000/00021_lr,21,500,5,MI;NORM,IMI,,SR\n"
    )
    cohort = load_ptbxl(folder)
    assert len(cohort) == 21
    assert cohort.records[0].labels["superclass"] == ("NORM",)  # the database's own row goes first
    added = cohort.records[20]
    assert (added.record_id, added.report, added.split) == ("00021_lr", "", "train")
    assert added.labels == {"superclass": ("NORM", "MI"), "subclass": ("IMI",), "form": (), "rhythm": ("SR",)}
    assert read_ptbxl_tables(folder, high_rate=True)[0][20].path == folder / "records500" / "00000" / "00021_hr"
    edit(table, "MI;NORM", "MI;NORN")
    with pytest.raises(TableError, match=r"00021_lr has the unknown label NORN(.|\n)*field: superclass"):
        load_ptbxl(folder)
    edit(table, "superclass", "super")
    with pytest.raises(TableError, match="no column 'superclass'"):
        load_ptbxl(folder)


def test_flat_leads_are_kept_as_in_the_benchmark_unless_refused(folder, write_record, ecg):
    signal_mv = ecg(seed=2)
    signal_mv[10] = 0.0
    write_record(signal_mv, name="00003_lr", folder=folder / "records100" / "00000")
    assert load_ptbxl(folder).repairs == {"flat leads kept": 1}
    assert [bad.record_id for bad in load_ptbxl(folder, allow_flat=False).skipped] == ["00003_lr"]


def test_a_damaged_record_is_skipped_and_listed(folder):
    (folder / "records100" / "00000" / "00007_lr.dat").write_bytes(b"")
    cohort = load_ptbxl(folder)
    assert [(bad.record_id, bad.error) for bad in cohort.skipped] == [("00007_lr", "RecordError")]
    with pytest.raises(TooManyBadRecordsError, match="1 of the first 7"):
        load_ptbxl(folder, max_bad_share=0.0)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("{'NORM': 100.0, 'SR': 0.0}", "__import__('os').getcwd()", "scp_codes"),
        ("{'NORM': 100.0, 'SR': 0.0}", "{'NORM': 100.0", "scp_codes"),
        ("{'NORM': 100.0, 'SR': 0.0}", "['NORM']", "scp_codes"),
        ("{'NORM': 100.0, 'SR': 0.0}", "{1: 2}", "scp_codes"),
        ("{'NORM': 100.0, 'SR': 0.0}", "(" * 3000, "scp_codes"),
        ("{'NORM': 100.0, 'SR': 0.0}", "'" + "a" * 5000, "scp_codes"),
        ("1,100.0", "one,100.0", "ecg_id"),
        ("1,100.0", "2,100.0", "ecg_id"),
        ("1,100.0", "1,nan", "patient_id"),
        ('",1,1984', '",11,1984', "strat_fold"),
        ('",1,1984', '",1.5,1984', "strat_fold"),
        ("records100/00000/00001_lr", "../../secret", "record"),
        (",filename_lr", ",file", "filename_lr"),
        (",report", ",text", "report"),
    ],
)
def test_faulty_values_in_the_database_are_named(folder, old, new, field):
    edit(folder / "ptbxl_database.csv", old, new)
    with pytest.raises(TableError) as caught:
        load_ptbxl(folder)
    assert field in (caught.value.field or "")
    assert caught.value.file.endswith("ptbxl_database.csv")


def test_missing_tables_and_foreign_catalogues_are_named(folder):
    edit(folder / "scp_statements.csv", "MI,IMI", "HEART,IMI")
    with pytest.raises(TableError, match=r"HEART(.|\n)*diagnostic_class"):
        load_ptbxl(folder)
    edit(folder / "scp_statements.csv", "diagnostic_class", "class")
    with pytest.raises(TableError, match="no column 'diagnostic_class'"):
        load_ptbxl(folder)
    (folder / "scp_statements.csv").unlink()
    with pytest.raises(TableError, match=r"no such file(.|\n)*scp_statements\.csv"):
        load_ptbxl(folder)
    with pytest.raises(TableError, match="no such folder"):
        load_cohort(f"ptbxl:{folder}/elsewhere")


def test_a_patient_in_two_folds_is_refused(folder):
    edit(folder / "ptbxl_database.csv", "20,119.0", "20,100.0")
    with pytest.raises(
        SplitError, match=r"patient 100 is in train \(record 00001_lr\) and in test \(record 00020_lr\)"
    ):
        load_ptbxl(folder)


def test_a_subset_is_drawn_by_the_seed(folder):
    first = load_cohort(f"ptbxl:{folder}", n_records=10, seed=4)
    assert first.data_sha256 == load_ptbxl(folder, n_records=10, seed=4).data_sha256
    assert first.data_sha256 != load_ptbxl(folder, n_records=10, seed=5).data_sha256
    assert [len(first.indices(split)) for split in ("train", "val", "test")] == [8, 1, 1]


# --- the release itself


@pytest.mark.real
def test_labels_agree_with_merls_split_files(real_data):
    rows, tasks, words = read_ptbxl_tables(real_data / "tables")
    assert {task: len(classes) for task, classes in tasks.items()} == {
        "superclass": 5,
        "subclass": 23,
        "form": 19,
        "rhythm": 12,
    }
    assert set(words) == {name for names in tasks.values() for name in names}
    with (real_data / "tables" / "cohort.csv").open(encoding="utf-8") as file:
        merl = {f"{int(line['ecg_id']):05d}_lr": line for line in csv.DictReader(file)}
    both = [(row, merl[row.record_id]) for row in rows if row.report and row.record_id in merl]
    assert len(both) > 3000
    for task in tasks:
        equal = [set(row.labels[task]) == {name for name in line[task].split(";") if name} for row, line in both]
        assert np.mean(equal) > 0.999, task
    assert all((row.patient_id, str(row.fold)) == (line["patient_id"], line["strat_fold"]) for row, line in both)


@pytest.mark.real
def test_the_500_hz_records_load_with_patient_disjoint_splits(ptbxl_dir):
    cohort = load_ptbxl(ptbxl_dir, fs_hz=500.0, only_present=True)
    assert len(cohort) + len(cohort.skipped) >= 430
    assert cohort.signals_mv.shape[1:] == (12, 5000)
    assert not np.isnan(cohort.signals_mv).any()
    by_split = [set(cohort.patients[cohort.indices(split)]) for split in ("train", "val", "test")]
    assert all(by_split)
    assert sum(map(len, by_split)) == len(set.union(*by_split))
    copies = cohort.repairs["the same signal as an earlier record of its split; kept"]
    assert copies + cohort.repairs.get("left out: the same signal is in another split", 0) == 5
    reports = [record.report for record in cohort.records]
    assert sum("sinus" in report.lower() for report in reports) > 50
