"""A folder of one's own: the table, its faults, the reading loop, and what it counts."""

from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.cohort import load_folder
from ecgscan_lab.data.reading import RecordRow, choose_rows
from ecgscan_lab.errors import ArgumentError, LabelError, SplitError, TableError, TooManyBadRecordsError

SPLIT_OF = ["train", "train", "train", "train", "train", "train", "val", "val", "test", "test"]


@pytest.fixture
def folder(tmp_path, write_record, ecg):
    """Ten records of eight patients, with a table that the tests rewrite."""
    root = tmp_path / "clinic"
    for k in range(10):
        write_record(ecg(seed=k), name=f"r{k}", folder=root / "records")
    write_table(root, [row(k) for k in range(10)])
    return root


def row(k: int, **changed: str) -> dict[str, str]:
    patient = {1: "p0", 7: "p6"}.get(k, f"p{k}")
    labels = ";".join(["AF", "LBBB"][: k % 3])
    line = {
        "record": f"records/r{k}",
        "patient_id": patient,
        "split": SPLIT_OF[k],
        "report": f"text {k}",
        "labels": labels,
    }
    return line | changed


def write_table(root, rows, name="cohort.csv", delimiter=","):
    lines = [delimiter.join(rows[0]), *(delimiter.join(line.values()) for line in rows)]
    (root / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_folder_is_loaded_as_its_table_says(folder, ecg):
    cohort = load_folder(folder)
    assert (cohort.name, len(cohort), cohort.tasks) == ("clinic", 10, {"labels": ("AF", "LBBB")})
    assert [record.split for record in cohort.records] == SPLIT_OF
    first = cohort.records[1]
    assert (first.record_id, first.patient_id, first.report, first.labels) == (
        "records/r1",
        "p0",
        "text 1",
        {"labels": ("AF",)},
    )
    np.testing.assert_array_equal(cohort.targets("labels").sum(axis=0), [6, 3])
    np.testing.assert_allclose(cohort.signals_mv[4], ecg(seed=4), atol=0.001)
    assert (cohort.skipped, cohort.repairs) == ((), {})
    with pytest.raises(LabelError, match="superclass"):
        cohort.targets("superclass")


def test_signals_exist_once_in_memory(folder):
    cohort = load_folder(folder)
    assert cohort.signals_mv is cohort.signals_mv
    for k, record in enumerate(cohort.records):
        assert np.shares_memory(record.signal_mv, cohort.signals_mv[k])
        np.testing.assert_array_equal(record.signal_mv, cohort.signals_mv[k])


def test_the_hash_follows_signals_labels_reports_and_splits(folder, write_record, ecg):
    before = load_folder(folder).data_sha256
    assert load_folder(folder).data_sha256 == before
    seen = {before}
    for changed in ({"report": "other"}, {"labels": "AF;STEMI"}, {"patient_id": "p9"}, {"split": "val"}):
        write_table(folder, [row(0), row(1), row(2, **changed), *(row(k) for k in range(3, 10))])
        if changed.get("patient_id") == "p9":
            with pytest.raises(SplitError, match="patient p9"):
                load_folder(folder)
            continue
        seen.add(load_folder(folder).data_sha256)
    write_table(folder, [row(k) for k in range(10)])
    write_record(ecg(seed=77), name="r5", folder=folder / "records")
    seen.add(load_folder(folder).data_sha256)
    assert len(seen) == 5


def test_load_cohort_knows_its_sources(folder):
    assert load_cohort(f"cohort:{folder}").data_sha256 == load_folder(folder).data_sha256
    synthetic = load_cohort("synthetic", n_records=30, seed=3)
    assert (synthetic.name, len(synthetic)) == ("synthetic", 30)
    assert len(load_cohort("synthetic:30")) == len(load_cohort("synthetic:40", n_records=30)) == 30
    assert load_cohort("synthetic:30", seed=3).data_sha256 == synthetic.data_sha256
    for source in (
        "ptb-xl",
        "cohort:",
        "synthetic:x",
        "synthetic:",
        "synthetic:0",
        "synthetic:-3",
        "ftp://host",
        "",
        None,
    ):
        with pytest.raises(ArgumentError, match="unknown source"):
            load_cohort(source)


# --- the table


def test_several_tasks_have_columns_of_their_own(folder):
    renamed = [
        {("labels:rhythm" if key == "labels" else key): value for key, value in row(k).items()} for k in range(10)
    ]
    write_table(folder, [line | {"labels:form": "ST" if k % 2 else "", "site": "7"} for k, line in enumerate(renamed)])
    assert load_folder(folder).tasks == {"rhythm": ("AF", "LBBB"), "form": ("ST",)}
    assert load_folder(folder, label_columns=["site"]).tasks == {"site": ("7",)}
    assert load_folder(folder, label_columns={"ward": "site"}).tasks == {"ward": ("7",)}
    assert load_folder(folder, label_columns=[]).tasks == {}
    with pytest.raises(
        TableError, match=r"no column 'wing'; there are: record, patient_id, split, report(.|\n)*field: wing"
    ):
        load_folder(folder, label_columns=["wing"])


def test_other_delimiters_and_names(folder):
    (folder / "cohort.csv").unlink()
    write_table(folder, [row(k, labels="AF|ST") for k in range(10)], name="mine.csv", delimiter="\t")
    cohort = load_folder(folder, delimiter="\t", label_delimiter="|")
    assert cohort.tasks == {"labels": ("AF", "ST")}
    assert load_folder(folder, table="mine.csv", delimiter="\t", label_delimiter="|").data_sha256 == cohort.data_sha256
    write_table(folder, [row(0)], name="other.csv")
    with pytest.raises(TableError, match=r"2 CSV files and no cohort\.csv"):
        load_folder(folder)


def test_without_a_split_column_patients_are_drawn_by_the_seed(folder):
    write_table(folder, [{k: v for k, v in row(n).items() if k != "split"} for n in range(10)])
    splits = [[record.split for record in load_folder(folder, seed=seed).records] for seed in (0, 0, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert len({tuple(drawn) for drawn in splits}) > 1
    assert splits[0][0] == splits[0][1]  # both of patient p0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "0 bytes"),
        ("record,labels\n", "no rows"),
        ("path,labels\nrecords/r0,AF\n", "no column 'record'; there are: path, labels"),
        ("record\nrecords/r0\n", "no column 'labels'"),
        ("record,record,labels\na,b,c\n", "repeated"),
        ("record,labels\nrecords/r0,AF,extra\n", "row 2 has 3 values"),
        ("record,labels\nrecords/r0\n", "row 2 has 1 values"),
        ('record,labels\n"records/r0,AF\n', "not a readable CSV"),
        ("record,labels\nrecords/r0,AF\nrecords/r0.hea,AF\n", "records/r0 is listed twice"),
        ("record,labels\n,AF\n", "leads out of the folder"),
        ("record,labels\n../outside,AF\n", "leads out of the folder"),
        ("record,labels\n/etc/passwd,AF\n", "leads out of the folder"),
        ("record,labels\nhttps://host/r0,AF\n", "leads out of the folder"),
        ("record,labels\n..\\outside,AF\n", "leads out of the folder"),
    ],
)
def test_faulty_tables_are_named(folder, content, message):
    (folder / "cohort.csv").write_text(content)
    with pytest.raises(TableError, match=message) as caught:
        load_folder(folder)
    assert caught.value.file.endswith("cohort.csv")


def test_binary_and_missing_tables_are_typed_errors(folder, tmp_path):
    (folder / "cohort.csv").write_bytes(b"record,labels\n\xff\xfe\x00,AF\n")
    with pytest.raises(TableError, match="not a readable CSV"):
        load_folder(folder)
    (folder / "cohort.csv").unlink()
    with pytest.raises(TableError, match="0 CSV files"):
        load_folder(folder)
    with pytest.raises(TableError, match="no such file"):
        load_folder(folder, table="absent.csv")
    for path in (tmp_path / "nowhere", "https://host/data", "a\0b"):
        with pytest.raises(TableError, match="folder"):
            load_folder(path)


def test_unknown_and_empty_splits_and_shared_patients_are_named(folder):
    write_table(folder, [row(0, split="dev"), *(row(k) for k in range(1, 10))])
    with pytest.raises(SplitError, match="records/r0 is in split 'dev'"):
        load_folder(folder)
    write_table(folder, [row(k) for k in range(8)])
    with pytest.raises(SplitError, match="no record in split test"):
        load_folder(folder)
    write_table(folder, [row(0), row(1, split="test"), *(row(k) for k in range(2, 10))])
    with pytest.raises(
        SplitError, match=r"patient p0 is in train \(record records/r0\) and in test \(record records/r1\)"
    ):
        load_folder(folder)


# --- the reading loop


def test_bad_records_are_skipped_listed_and_counted_against_the_limit(folder):
    (folder / "records" / "r3.dat").write_bytes(b"short")
    (folder / "records" / "r4.hea").unlink()
    with pytest.raises(TooManyBadRecordsError, match=r"1 of the first 4 records(.|\n)*raise max_bad_share"):
        load_folder(folder)
    cohort = load_folder(folder, max_bad_share=0.2)
    assert [record.record_id[-2:] for record in cohort.records] == ["r0", "r1", "r2", "r5", "r6", "r7", "r8", "r9"]
    assert [(bad.record_id, bad.error) for bad in cohort.skipped] == [
        ("records/r3", "RecordError"),
        ("records/r4", "RecordError"),
    ]
    assert "truncated" in cohort.skipped[0].message
    assert "no such file" in cohort.skipped[1].message
    assert len(cohort.signals_mv) == 8
    assert cohort.records[3].report == "text 5"


def test_absent_files_count_as_bad_unless_only_present_is_asked_for(folder):
    for k in (2, 3):
        (folder / "records" / f"r{k}.hea").unlink()
    with pytest.raises(TooManyBadRecordsError, match="only_present=True"):
        load_folder(folder)
    cohort = load_folder(folder, only_present=True)
    assert (len(cohort), cohort.skipped) == (8, ())
    assert cohort.repairs == {"listed without files; left out by only_present": 2}


def test_a_link_out_of_the_folder_is_a_bad_record(folder, write_record, tmp_path):
    target = write_record(name="r2", folder=tmp_path / "elsewhere")
    for suffix in (".hea", ".dat"):
        (folder / "records" / f"r2{suffix}").unlink()
        (folder / "records" / f"r2{suffix}").symlink_to(target.with_suffix(suffix))
    assert "link out of its folder" in load_folder(folder, max_bad_share=0.1).skipped[0].message


def test_repairs_are_counted_by_sentence(folder, write_record, ecg):
    for k, flat in ((2, 6), (5, 9)):
        signal_mv = ecg(seed=k)
        signal_mv[flat] = 0.0
        write_record(signal_mv, name=f"r{k}", folder=folder / "records")
    write_record(ecg(700, seed=8), name="r8", folder=folder / "records")
    cohort = load_folder(folder, allow_flat=True)
    assert cohort.repairs == {
        "flat leads kept": 2,
        "shorter than 10 s; padded with gaps (NaN) on the right": 1,
    }
    assert np.isnan(cohort.records[8].signal_mv[:, 700:]).all()
    assert len(load_folder(folder, max_bad_share=0.2).skipped) == 2


def test_a_signal_in_two_splits_is_left_out_of_the_lower_one(folder, write_record, ecg):
    write_record(ecg(seed=8), name="r3", folder=folder / "records")  # train copy of a test record
    write_record(ecg(seed=4), name="r5", folder=folder / "records")  # copy within train
    cohort = load_folder(folder)
    assert [record.record_id[-2:] for record in cohort.records] == [
        "r0",
        "r1",
        "r2",
        "r4",
        "r5",
        "r6",
        "r7",
        "r8",
        "r9",
    ]
    assert cohort.repairs == {
        "left out: the same signal is in another split": 1,
        "the same signal as an earlier record of its split; kept": 1,
    }
    np.testing.assert_allclose(cohort.signals_mv[7], ecg(seed=8), atol=0.001)
    assert all(np.shares_memory(record.signal_mv, cohort.signals_mv) for record in cohort.records)


def test_records_are_brought_to_one_rate_and_length(folder, write_record, ecg):
    write_record(ecg(6000, fs_hz=500.0, seed=2), name="r2", folder=folder / "records", fs=500)
    cohort = load_folder(folder, fs_hz=250.0, duration_s=4.0)
    assert (cohort.signals_mv.shape, cohort.fs_hz) == ((10, 12, 1000), 250.0)


def test_arguments_are_checked_before_anything_is_read(folder):
    faults = ({"fs_hz": -1.0}, {"duration_s": 0.0}, {"max_bad_share": 2.0}, {"on_missing": "guess"}, {"n_records": 2})
    for fault in faults:
        with pytest.raises(ArgumentError, match=next(iter(fault))):
            load_folder(folder, **fault)


def test_a_progress_bar_changes_nothing(folder, capsys):
    assert load_folder(folder, progress=True).data_sha256 == load_folder(folder).data_sha256
    assert "10/10" in capsys.readouterr().err


# --- drawing a subset


def rows_of(sizes: dict[str, list[int]]) -> list[RecordRow]:
    rows = []
    for split, patients in sizes.items():
        for k, size in enumerate(patients):
            rows += [RecordRow(f"{split}{k}-{n}", None, split, f"{split}{k}") for n in range(size)]
    return rows


def test_a_subset_keeps_patients_whole_and_splits_in_proportion(rng):
    rows = rows_of({s: rng.integers(1, 5, n).tolist() for s, n in (("train", 300), ("val", 40), ("test", 90))})
    chosen = choose_rows(rows, 200, seed=5)
    assert chosen == choose_rows(rows, 200, seed=5)
    assert chosen != choose_rows(rows, 200, seed=6)
    assert len(chosen) == 200
    for patient in {row.patient for row in chosen}:
        assert [row for row in chosen if row.patient == patient] == [row for row in rows if row.patient == patient]
    for split in ("train", "val", "test"):
        share = sum(row.split == split for row in rows) / len(rows)
        assert abs(sum(row.split == split for row in chosen) - 200 * share) <= 1


def test_a_tiny_subset_holds_every_split():
    rows = rows_of({"train": [3] * 50, "val": [2], "test": [4, 4]})
    assert {row.split for row in choose_rows(rows, 3, seed=0)} == {"train", "val", "test"}
    assert choose_rows(rows, 10_000, seed=0) == rows
    for n_records in (2, 0, -1, 2.5, True):
        with pytest.raises(ArgumentError, match="n_records"):
            choose_rows(rows, n_records, seed=0)
