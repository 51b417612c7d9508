"""CPSC2018, CSN, CODE, Georgia, LUDB and SPH: published layouts written small, and their label sets."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from scipy.io import savemat

from ecgscan_lab.data import FOLDER_KINDS, known_sources, load_cohort
from ecgscan_lab.data.code import CODE_CLASSES, code_reader_aurocs, load_code15, load_code_test, read_code_annotations
from ecgscan_lab.data.cpsc import CPSC_CLASSES, load_cpsc
from ecgscan_lab.data.csn import CSN_CLASSES, csn_acronyms, csn_labels, load_csn
from ecgscan_lab.data.snomed import challenge_labels, csn_statements, scored_classes, snomed_codes
from ecgscan_lab.data.sph import aha_statements, load_sph
from ecgscan_lab.errors import ArgumentError, SplitError, StoreError, TableError


def write_csv(path, columns, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(lines)


def by_id(cohort, task):
    return {record.record_id: record.labels[task] for record in cohort.records}


@pytest.fixture
def cpsc_folder(tmp_path, ecg):
    """Six MATLAB structs of 6 to 54 s in two folders, and REFERENCE.csv."""
    for k in range(6):
        folder = tmp_path / f"TrainingSet{k % 2 + 1}"
        folder.mkdir(exist_ok=True)
        data = ecg((3000, 27000, 5000, 7000, 3001, 4000)[k], fs_hz=500.0, seed=k)
        savemat(folder / f"A000{k + 1}.mat", {"ECG": {"sex": "Male", "age": 50 + k, "data": data}})
    lines = [["A0001", 1, "", ""], ["A0002", 2, 9, ""], ["A0003", 3, "", ""], ["A0004", 4, 5, 6], ["A0005", 7, "", ""]]
    columns = ["Recording", "First_label", "Second_label", "Third_label"]
    write_csv(tmp_path / "REFERENCE.csv", columns, [*lines, ["A0006", 8, "", ""]])
    return tmp_path


def write_merl(folder, corpus, columns, lines_of_split):
    for split, lines in lines_of_split.items():
        write_csv(folder / f"{corpus}_{split}.csv", columns, lines)


def write_icbeb(folder):
    columns = ["patient_id", "ecg_id", "filename", "validation", "age", "sex", "scp_codes", *CPSC_CLASSES]

    def line(name, *labels):
        return [1, 1, name, "False", 50, 0, "{}", *(int(label in labels) for label in CPSC_CLASSES)]

    lines = {
        "train": [line("A0001", "NORM"), line("A0002", "AFIB", "STE"), line("A0009", "PAC")],
        "val": [line("A0003", "1AVB")],
        "test": [line("A0004", "CLBBB", "CRBBB", "PAC")],
    }
    write_merl(folder, "icbeb", columns, lines)


def test_cpsc_as_first_published(cpsc_folder):
    cohort = load_cohort(f"cpsc2018:{cpsc_folder}")
    assert cohort.tasks == {"cpsc2018": CPSC_CLASSES}
    assert by_id(cohort, "cpsc2018")["A0004"] == ("CRBBB", "PAC", "CLBBB")
    assert cohort.targets("cpsc2018").sum(axis=0).tolist() == [1, 1, 1, 1, 1, 1, 1, 1, 1]
    assert {record.split for record in cohort.records} == {"train", "val", "test"}
    short = next(record for record in cohort.records if record.record_id == "A0001")
    assert np.isnan(short.signal_mv[:, 601:]).all()
    assert set(cohort.descriptions) == set(CPSC_CLASSES)


def test_cpsc_with_merl_splits_and_merl_signal(cpsc_folder):
    write_icbeb(cpsc_folder)
    cohort = load_cpsc(cpsc_folder, zero_after_s=5.0)
    assert [(record.record_id, record.split) for record in cohort.records] == [
        ("A0001", "train"),
        ("A0002", "train"),
        ("A0003", "val"),
        ("A0004", "test"),
    ]
    assert cohort.repairs["in the split files but not in the folder"] == 1
    assert cohort.repairs["left out: in no split file"] == 2
    assert not cohort.signals_mv[..., 500:].any()
    assert np.abs(cohort.signals_mv[..., :500]).max() > 0.3
    merl = load_cpsc(cpsc_folder, labels="merl")
    assert by_id(merl, "cpsc2018") == by_id(cohort, "cpsc2018")


def test_cpsc_tables_are_held_to_their_values(cpsc_folder):
    table = cpsc_folder / "REFERENCE.csv"
    whole = table.read_text(encoding="utf-8")
    for old, new in (("A0001,1", "A0001,10"), ("A0002,2", "A0001,2"), ("First_label", "Label")):
        table.write_text(whole.replace(old, new), encoding="utf-8")
        with pytest.raises(TableError):
            load_cpsc(cpsc_folder)
    table.unlink()
    with pytest.raises(TableError) as raised:
        load_cpsc(cpsc_folder)
    assert "merl" in raised.value.fix
    for keyword in ({"labels": "merl"}, {"merl_splits": cpsc_folder}):
        with pytest.raises(TableError):
            load_cpsc(cpsc_folder, **keyword)


@pytest.fixture
def csn_folder(tmp_path, write_record, ecg):
    codes = ["164889003,270492004", "233917008", "195042002", "426177001", "427084000", "426783006", "55827005", ""]
    for k, given in enumerate(codes):
        digital = np.rint(ecg(seed=k).T * 1000).astype("<i2")
        if k == 5:
            digital[:, 7] = 3  # the public set has records with exactly flat leads
        write_record(
            digital=digital,
            name=f"JS{k:05d}",
            folder=tmp_path / "WFDBRecords" / "01" / "010",
            comments=[f"#Dx: {given}"],
        )
    return tmp_path


def test_csn_exact_and_merl_labels(csn_folder):
    exact, merl = (load_csn(csn_folder, labels=mode) for mode in ("exact", "merl"))
    assert exact.tasks["csn"] == merl.tasks["csn"] == CSN_CLASSES
    assert by_id(exact, "csn")["JS00000"] == ("1AVB", "AFIB")
    assert set(by_id(merl, "csn")["JS00000"]) == {"AF", "AFIB", "AVB", "VB", "1AVB"}
    assert by_id(merl, "csn")["JS00001"] == ("VB", "AVB")
    assert by_id(exact, "csn")["JS00003"] == ()
    assert by_id(exact, "csn_all")["JS00003"] == by_id(merl, "csn_all")["JS00003"] == ("SB",)
    assert exact.repairs["left out: a code is not in the publisher's list"] == 2
    assert exact.repairs["flat leads kept"] == 1
    assert (merl.targets("csn") >= exact.targets("csn")).all()


def test_csn_with_merl_split_files(csn_folder):
    lines = {
        "train": [["/chapman/WFDBRecords/01/010/JS00000.mat", 12, "AFIB,1AVB"]],
        "val": [["/chapman/WFDBRecords/01/010/JS00001.mat", 12, "AVB"]],
        "test": [["/chapman/WFDBRecords/01/010/JS00002.mat", 12, "2AVB"], ["/chapman/x/JS99999.mat", 12, "SR"]],
    }
    write_merl(csn_folder / "splits", "chapman", ["ecg_path", "age", "diagnose"], lines)
    cohort = load_csn(csn_folder, merl_splits=csn_folder / "splits", labels="merl")
    assert {record.record_id: record.split for record in cohort.records} == {
        "JS00000": "train",
        "JS00001": "val",
        "JS00002": "test",
    }
    assert by_id(cohort, "csn")["JS00002"] == ("2AVB", "VB", "AVB")
    assert cohort.repairs["in the split files but not in the folder"] == 1
    lines["test"].append(lines["train"][0])
    write_merl(csn_folder / "splits", "chapman", ["ecg_path", "age", "diagnose"], lines)
    with pytest.raises(TableError, match="twice"):
        load_csn(csn_folder, merl_splits=csn_folder / "splits")


def test_one_recording_in_two_folders_is_refused(csn_folder):
    copy = csn_folder / "copy" / "JS00001.hea"
    copy.parent.mkdir()
    copy.write_bytes((csn_folder / "WFDBRecords" / "01" / "010" / "JS00001.hea").read_bytes())
    with pytest.raises(TableError, match="two folders"):
        load_csn(csn_folder)


def test_the_snomed_tables_are_whole():
    assert len(snomed_codes()) == 133
    assert len(scored_classes()) == 26
    assert challenge_labels(["713427006", "59118001", "99999999"])["scored"] == ("RBBB",)
    assert challenge_labels(["99999999"]) == {"scored": (), "all": ("99999999",)}
    acronyms = [acronym for acronym, _, _ in csn_statements()]
    assert len(set(acronyms)) == len(acronyms) == 63
    assert set(CSN_CLASSES) <= set(acronyms)
    assert csn_acronyms(["164909002", "698252002", "164865005"]) == "LBBB,IDC,MI"
    assert csn_acronyms([]) is None


@pytest.fixture
def code_folder(tmp_path, ecg):
    """CODE-test in small: four tracings, two of them of 7 s."""
    h5py = pytest.importorskip("h5py")
    stored = np.zeros((4, 4096, 12), np.float32)
    for k in range(4):
        n = 2800 if k % 2 else 4000
        start = (4096 - n) // 2
        stored[k, start : start + n] = 10 * ecg(n, fs_hz=400.0, seed=k).T
    folder = tmp_path / "data"
    flags = [[1, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0], [0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 0, 1]]
    write_csv(folder / "annotations" / "gold_standard.csv", CODE_CLASSES, flags)
    write_csv(folder / "annotations" / "dnn.csv", ["", *CODE_CLASSES], [[k, *line] for k, line in enumerate(flags)])
    with h5py.File(folder / "ecg_tracings.hdf5", "w") as file:
        file["tracings"] = stored
    return tmp_path


def test_code_test_is_a_test_set(code_folder):
    cohort = load_cohort(f"code_test:{code_folder}")
    assert [record.split for record in cohort.records] == ["test"] * 4
    assert by_id(cohort, "code")["code-test-001"] == ("RBBB", "SB")
    assert np.isnan(cohort.signals_mv[1][:, 701:]).all()
    assert 0.2 < np.nanmax(np.abs(cohort.signals_mv)) < 3.0
    larger = load_code_test(code_folder, unit_mv=0.5).signals_mv
    np.testing.assert_allclose(larger, 5 * cohort.signals_mv, atol=1e-5)


def test_code_test_shorter_than_its_annotations_stops(code_folder):
    h5py = pytest.importorskip("h5py")
    path = code_folder / "data" / "ecg_tracings.hdf5"
    with h5py.File(path, "r+") as file:
        stored = file["tracings"][:2]
        del file["tracings"]
        file["tracings"] = stored
    with pytest.raises(TableError, match="4 lines for 2 recordings"):
        load_code_test(code_folder)


def test_reader_areas_are_half_of_sensitivity_plus_specificity(tmp_path):
    gold = np.zeros((10, 6), int)
    gold[:4] = 1
    reader = gold.copy()
    reader[0] = 0  # sensitivity 3/4
    reader[4:6] = 1  # specificity 4/6
    write_csv(tmp_path / "annotations" / "gold_standard.csv", CODE_CLASSES, gold.tolist())
    write_csv(tmp_path / "annotations" / "medical_students.csv", CODE_CLASSES, reader.tolist())
    areas = code_reader_aurocs(tmp_path)
    assert list(areas) == ["medical_students"]
    assert areas["medical_students"]["macro"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    write_csv(tmp_path / "annotations" / "dnn.csv", CODE_CLASSES, reader[:9].tolist())
    with pytest.raises(TableError, match="9 lines"):
        read_code_annotations(tmp_path)
    write_csv(tmp_path / "annotations" / "dnn.csv", CODE_CLASSES, [["maybe"] * 6] * 10)
    with pytest.raises(TableError, match="maybe"):
        read_code_annotations(tmp_path)
    write_csv(tmp_path / "annotations" / "gold_standard.csv", CODE_CLASSES, [[0] * 6] * 10)
    (tmp_path / "annotations" / "dnn.csv").unlink()
    with pytest.raises(TableError, match="positive"):
        code_reader_aurocs(tmp_path)


def test_code15_joins_parts_and_exams_by_identifier(tmp_path, ecg):
    h5py = pytest.importorskip("h5py")
    lines = []
    for part in range(2):
        stored = np.zeros((4, 4096, 12), np.float32)
        ids = [100 * part + k + 1 for k in range(3)] + [0]  # each part ends with a row of zeros
        for k in range(3):
            stored[k, :4000] = 10 * ecg(4000, fs_hz=400.0, seed=ids[k]).T
            flags = ["True" if name == CODE_CLASSES[k] else "False" for name in CODE_CLASSES]
            lines.append([ids[k], 60, ids[k] % 100, *flags, f"exams_part{part}.hdf5"])
        with h5py.File(tmp_path / f"exams_part{part}.hdf5", "w") as file:
            file["tracings"] = stored
            file["exam_id"] = np.array(ids)
    columns = ["exam_id", "age", "patient_id", *CODE_CLASSES, "trace_file"]
    write_csv(tmp_path / "exams.csv", columns, [*lines[::-1], [777, 60, 7, *["False"] * 6, "exams_part9.hdf5"]])
    cohort = load_cohort(f"code15:{tmp_path}")
    assert len(cohort) == 6
    assert by_id(cohort, "code")["102"] == ("RBBB",)
    signal = next(record.signal_mv for record in cohort.records if record.record_id == "102")
    assert np.corrcoef(signal[1, :900], ecg(4000, fs_hz=400.0, seed=102)[1, ::4][:900])[0, 1] > 0.9
    assert all(len({r.split for r in cohort.records if r.patient_id == name}) == 1 for name in ("1", "2", "3"))
    assert cohort.repairs["listed in exams.csv but in none of the parts"] == 1
    write_csv(tmp_path / "exams.csv", columns, [lines[0], lines[0]])
    with pytest.raises(TableError, match="twice"):
        load_code15(tmp_path)


def test_georgia_reads_headers_that_wfdb_rejects(tmp_path, write_record, ecg):
    for k, codes in enumerate(["426783006", "445118002,426177001", "713427006", ""]):
        name = f"E0000{k}"
        write_record(
            ecg(5000, fs_hz=500.0, seed=k),
            name=name,
            fs=500,
            folder=tmp_path / "g1",
            record_line=f"{name}.mat 12 500 5000 05-May-2020 14:50:55" if k % 2 else None,
            comments=["#Age: 82", "#Sex: Female", f"#Dx: {codes}", "#Rx: Unknown"],
        )
    cohort = load_cohort(f"georgia:{tmp_path}")
    assert by_id(cohort, "scored") == {"E00000": ("NSR",), "E00001": ("LAnFB", "SB"), "E00002": ("RBBB",), "E00003": ()}
    assert cohort.repairs == {"the record line named a signal file instead of the record": 2}
    assert len(cohort.tasks["scored"]) == 26


def test_ludb_takes_diagnoses_from_comments_and_nothing_else(tmp_path, write_record, ecg):
    for k in range(3):
        digital = np.rint(ecg(5000, fs_hz=500.0, seed=k).T * 1000).astype("<i2")
        spans = digital.max(axis=0).astype(int) - digital.min(axis=0)
        lines = ["#<age>: 51", "#<sex>: F", "#<diagnoses>:", "#Rhythm: Sinus bradycardia.", "#Ischemia: septal. "]
        lines += ["#Electric axis of the heart: left axis deviation. ", "#Ischemia: apical. "]
        gains = [f"{span}(0)/mV" for span in spans]
        write_record(digital=digital, name=str(k + 1), fs=500, folder=tmp_path / "data", gains=gains, comments=lines)
    cohort = load_cohort(f"ludb:{tmp_path}")
    record = cohort.records[0]
    assert record.labels == {
        "rhythm": ("sinus bradycardia",),
        "axis": ("left axis deviation",),
        "findings": ("ischemia",),
    }
    assert record.report.startswith("Rhythm: sinus bradycardia. Ischemia: septal. Electric axis")
    assert "51" not in record.report
    assert sum("common gain" in sentence for sentence in cohort.repairs) == 1


def test_sph_statements_patients_and_words(tmp_path, ecg):
    h5py = pytest.importorskip("h5py")
    (tmp_path / "records").mkdir()
    for k in range(4):
        with h5py.File(tmp_path / "records" / f"A0000{k}.h5", "w") as file:
            file["ecg"] = ecg(5000 + 500 * k, fs_hz=500.0, seed=k).astype(np.float16)
    columns = ["ECG_ID", "AHA_Code", "Patient_ID", "Age", "Sex", "N", "Date"]
    codes = ["1", "22;23", "60+310;147", "60"]
    lines = [[f"A0000{k}", codes[k], f"S0000{min(k, 2)}", 55, "M", 5000, "2020-03-04"] for k in range(4)]
    write_csv(tmp_path / "metadata.csv", columns, lines)
    write_csv(tmp_path / "code.csv", ["Code", "Description", "Category"], [["60", "Premature complex", "J"]])
    cohort = load_cohort(f"sph:{tmp_path}")
    assert cohort.tasks == {"aha": ("1", "22", "23", "60", "147")}
    assert by_id(cohort, "aha")["A00002"] == ("60", "147")
    assert cohort.descriptions["60"] == "Premature complex"
    assert len({record.split for record in cohort.records if record.patient_id == "S00002"}) == 1
    write_csv(tmp_path / "metadata.csv", columns, [*lines[:3], ["../A1", "1", "S9", 55, "M", 5000, "2020-03-04"]])
    with pytest.raises(TableError) as raised:
        load_sph(tmp_path)
    assert raised.value.field == "ECG_ID"
    with pytest.raises(ValueError, match="no AHA code"):
        aha_statements("22;drop")


@pytest.mark.parametrize("kind", sorted(set(FOLDER_KINDS) - {"ptbxl", "cohort"}))
def test_an_empty_or_absent_folder_is_a_typed_error(tmp_path, kind):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises((TableError, SplitError, StoreError)):
            load_cohort(f"{kind}:{folder}")
    assert f"{kind}:FOLDER" in known_sources()


def test_unknown_keywords_and_choices_name_their_argument(cpsc_folder):
    for keyword in ({"gain": 3}, {"labels": "best"}, {"gaps": "guess"}, {"zero_after_s": -1.0}):
        with pytest.raises(ArgumentError) as raised:
            load_cpsc(cpsc_folder, **keyword)
        assert raised.value.field in keyword
    assert csn_labels("", "merl") == ()
