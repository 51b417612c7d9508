"""Label sets against the published files: MERL's split files, real headers, and CODE-test's annotations."""

from __future__ import annotations

import csv
import shutil
from collections import Counter

import numpy as np
import pytest

from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.code import CODE_CLASSES, GOLD, code_reader_aurocs, load_code15, read_code_annotations
from ecgscan_lab.data.corpora import read_ptbxl_tables
from ecgscan_lab.data.cpsc import CPSC_CLASSES, cpsc_labels_of_codes, load_cpsc
from ecgscan_lab.data.csn import CSN_CLASSES, csn_acronyms, csn_labels, load_csn
from ecgscan_lab.data.published_splits import read_merl_splits
from ecgscan_lab.data.snomed import snomed_codes
from ecgscan_lab.data.wfdb_header import read_header

pytestmark = pytest.mark.real

PTBXL_FILES = {
    "superclass": "super_class/ptbxl_super_class",
    "subclass": "sub_class/ptbxl_sub_class",
    "form": "form/ptbxl_form",
    "rhythm": "rhythm/ptbxl_rhythm",
}
VAL_FOLD = 9
# MERL's files follow PTB-XL 1.0.3, the official rows here 1.0.1: 1.0.3 has 38 records fewer, these among them, ...
REMOVED = {137, 139, 140, 141, 142, 143, 145, 456, 458, 459, 461, 462}
RELABELLED = {3796}  # ... and of this one's three statements only the rhythm


def read_lines(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def merl(real_data):
    return real_data / "other" / "metadata" / "merl" / "data_split"


@pytest.fixture(scope="module")
def tables_folder(request, tmp_path_factory):
    """The official rows alone: no second table fills in labels."""
    tables = request.getfixturevalue("real_data") / "tables"
    folder = tmp_path_factory.mktemp("tables")
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        shutil.copy(tables / name, folder / name)
    return folder


@pytest.mark.parametrize(
    ("task", "n_train", "n_val"),
    [("superclass", 2658, 349), ("subclass", 2658, 349), ("form", 1399, 176), ("rhythm", 2666, 351)],
)
def test_ptbxl_label_matrices_equal_merls(merl, tables_folder, task, n_train, n_val):
    rows, tasks, _ = read_ptbxl_tables(tables_folder)
    official = {int(row.record_id[:5]): row for row in rows}
    assert len(official) == 3113
    compared = {}
    for split in ("train", "val"):
        lines = {int(line["ecg_id"]): line for line in read_lines(merl / "ptbxl" / f"{PTBXL_FILES[task]}_{split}.csv")}
        columns = list(next(iter(lines.values())))[6:]
        assert sorted(columns) == sorted(tasks[task])
        present = sorted(lines.keys() & official.keys())
        ours = np.array([[name in official[i].labels[task] for name in columns] for i in present])
        theirs = np.array([[lines[i][name] == "1" for name in columns] for i in present])
        np.testing.assert_array_equal(ours, theirs)
        assert all((official[i].fold == VAL_FOLD) == (split == "val") for i in present)
        # A record is in MERL's file of a task exactly where it has a label of that task, later versions aside.
        labelled = {i for i, row in official.items() if row.labels[task] and (row.fold == VAL_FOLD) == (split == "val")}
        assert set(present) <= labelled
        assert labelled - set(present) <= REMOVED | (RELABELLED if task in ("superclass", "subclass") else set())
        compared[split] = len(present)
    assert (compared["train"], compared["val"]) == (n_train, n_val)


@pytest.mark.parametrize(
    ("task", "n_train", "n_val"),
    [("superclass", 9864, 2146), ("subclass", 9864, 2146), ("form", 4282, 901), ("rhythm", 9734, 2100)],
)
def test_the_table_of_labels_equals_merls_too(merl, real_data, task, n_train, n_val):
    lines = {int(line["ecg_id"]): line for line in read_lines(real_data / "tables" / "cohort.csv")}
    compared = []
    for split in ("train", "val"):
        theirs = {int(line["ecg_id"]): line for line in read_lines(merl / "ptbxl" / f"{PTBXL_FILES[task]}_{split}.csv")}
        columns = list(next(iter(theirs.values())))[6:]
        present = lines.keys() & theirs.keys()
        for i in present:
            assert set(lines[i][task].split(";")) == {name for name in columns if theirs[i][name] == "1"}
        compared.append(len(present))
    assert compared == [n_train, n_val]


def test_csn_substring_match_reproduces_every_published_column(merl):
    positives = {split: {"exact": Counter(), "merl": Counter()} for split in ("train", "val", "test")}
    n_lines = 0
    for split in ("train", "val", "test"):
        for line in read_lines(merl / "chapman" / f"chapman_{split}.csv"):
            assert tuple(list(line)[3:]) == CSN_CLASSES
            published = tuple(name for name in CSN_CLASSES if line[name] == "1")
            assert csn_labels(line["diagnose"], "merl") == published
            n_lines += 1
            for mode, counts in positives[split].items():
                counts.update(csn_labels(line["diagnose"], mode))
    assert n_lines == 23_026
    differing = {
        split: {
            name: (counts["exact"][name], counts["merl"][name])
            for name in CSN_CLASSES
            if counts["exact"][name] != counts["merl"][name]
        }
        for split, counts in positives.items()
    }
    assert differing["train"] == {
        "2AVB": (18, 31),
        "VB": (3, 665),
        "SA": (1549, 2075),
        "CR": (54, 141),
        "AF": (2391, 3383),
        "AVB": (123, 662),
        "ST": (3720, 4553),
    }
    assert differing["test"] == {
        "2AVB": (3, 4),
        "VB": (0, 169),
        "SA": (395, 536),
        "CR": (12, 50),
        "AF": (690, 987),
        "AVB": (39, 169),
        "ST": (1030, 1281),
    }
    assert differing["val"].keys() == differing["train"].keys()


def test_csn_headers_agree_with_merls_text(merl, real_data):
    splits = read_merl_splits(merl / "chapman", "chapman", ["ecg_path", "diagnose"])
    assert Counter(split for split, _ in splits.values()) == {"train": 16_546, "val": 1_860, "test": 4_620}
    agreed = []
    for path in sorted((real_data / "other" / "cinc2021" / "csn").glob("*.hea")):
        text = csn_acronyms(read_header(path).snomed)
        if path.stem in splits and text == splits[path.stem][1]["diagnose"]:
            agreed.append(path.stem)
        elif path.stem in splits:
            assert path.stem == "JS00005"  # the re-issue adds a code to this header
    assert len(agreed) == 20


def test_csn_records_load_with_both_label_sets(real_data):
    folder = real_data / "other" / "cinc2021" / "csn"
    exact, merl_mode = (load_csn(folder, labels=mode) for mode in ("exact", "merl"))
    assert len(exact) == len(merl_mode) == 28
    assert exact.repairs["left out: a code is not in the publisher's list"] == 16
    assert (exact.targets("csn").sum(), merl_mode.targets("csn").sum()) == (32, 37)


def test_cpsc_counts_equal_the_reissue_and_headers_equal_merl(merl, real_data):
    splits = read_merl_splits(merl / "icbeb", "icbeb", ["filename", *CPSC_CLASSES])
    assert Counter(split for split, _ in splits.values()) == {"train": 4_950, "val": 551, "test": 1_376}
    counts = Counter(name for _, line in splits.values() for name in CPSC_CLASSES if line[name] == "1")
    reissue = Counter()
    for name in ("scored", "unscored"):
        for line in read_lines(real_data / "other" / "metadata" / "cinc2021" / f"dx_mapping_{name}.csv"):
            for label in cpsc_labels_of_codes([line["SNOMEDCTCode"]]):
                reissue[label] += int(line["CPSC"])
    assert counts == reissue
    for path in (real_data / "other" / "cinc2021" / "cpsc2018").glob("*.hea"):
        line = splits[path.stem][1]
        assert cpsc_labels_of_codes(read_header(path).snomed) == tuple(n for n in CPSC_CLASSES if line[n] == "1")


def test_cpsc_in_both_issues(merl, real_data):
    reissued = load_cpsc(real_data / "other" / "cinc2021" / "cpsc2018")
    assert reissued.targets("cpsc2018").sum(axis=0).tolist() == [1, 1, 0, 0, 3, 0, 1, 0, 0]
    splits = read_merl_splits(merl / "icbeb", "icbeb", ["filename"])
    assert {name: splits[name][0] for name in ("A1980", "A1984", "A1985", "A1987")} == {
        "A1980": "train",
        "A1984": "test",
        "A1985": "train",
        "A1987": "train",
    }


def test_the_snomed_table_equals_the_challenges(real_data):
    folder = real_data / "other" / "metadata" / "cinc2021"
    published = {
        line["SNOMEDCTCode"]: (line["Abbreviation"], name == "scored")
        for name in ("scored", "unscored")
        for line in read_lines(folder / f"dx_mapping_{name}.csv")
    }
    assert {code: (known.abbreviation, bool(known.scored_as)) for code, known in snomed_codes().items()} == published
    merged = {"|".join(sorted(line[""].split("|"))) for line in read_lines(folder / "weights.csv")}
    groups = {}
    for code, known in snomed_codes().items():
        groups.setdefault(known.scored_as, []).append(code)
    assert {"|".join(sorted(codes)) for name, codes in groups.items() if name} == merged


def test_human_readers_of_code_test(real_data):
    sklearn = pytest.importorskip("sklearn.metrics")
    folder = real_data / "other" / "metadata" / "code_test"
    areas = code_reader_aurocs(folder)
    assert {reader: round(100 * area["macro"], 2) for reader, area in areas.items()} == {
        "cardiologist1": 92.86,
        "cardiologist2": 95.71,
        "cardiology_residents": 92.08,
        "emergency_residents": 90.51,
        "medical_students": 93.61,
        "dnn": 96.6,
    }
    given = read_code_annotations(folder)
    assert given[GOLD].sum(axis=0).tolist() == [28, 34, 30, 16, 13, 37]
    for reader, area in areas.items():
        for j, name in enumerate(CODE_CLASSES):
            assert area[name] == pytest.approx(sklearn.roc_auc_score(given[GOLD][:, j], given[reader][:, j]))


def test_extras_end_in_cohorts(real_data):
    other = real_data / "other"
    georgia = load_cohort(f"georgia:{other / 'cinc2021' / 'georgia'}")
    assert (len(georgia), len(georgia.skipped)) == (23, 0)
    assert georgia.repairs["the record line named a signal file instead of the record"] == 4
    ludb = load_cohort(f"ludb:{other / 'ludb'}")
    assert (len(ludb), len(ludb.skipped)) == (10, 0)
    assert sum(n for sentence, n in ludb.repairs.items() if "common gain" in sentence) == 10
    assert set(ludb.tasks["rhythm"]) == {"atrial fibrillation", "sinus bradycardia", "sinus rhythm"}
    code15 = load_code15(other / "code15")
    assert (len(code15), code15.tasks) == (6, {})
    assert np.nanmax(np.abs(code15.signals_mv)) < 2.0


def test_real_sph_records_end_in_a_cohort(real_data):
    pytest.importorskip("h5py")
    cohort = load_cohort(f"sph:{real_data / 'other' / 'sph'}")
    assert (len(cohort), cohort.signals_mv.shape) == (4, (4, 12, 1000))
