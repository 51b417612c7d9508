"""A CSV of labels is read as it stands, in either form, and what does not fit is named."""

from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.errors import LabelError, TableError
from ecgscan_lab.evaluate.probe_labels import match_records, read_label_table

COLUMNS = "record,split,patient_id,MI,HYP\na,train,p,1,0\nb,val,q,0,1\nc,test,r,0.0,1.0\n"
LISTED = "record,split,patient_id,labels\na,train,p,MI\nb,val,q,HYP\nc,test,r, HYP ;\n"


def _read(tmp_path, text, classes=None):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_label_table(path, classes)


@pytest.mark.parametrize("text", [COLUMNS, LISTED])
def test_both_forms_say_the_same(tmp_path, text):
    table = _read(tmp_path, text, ["MI", "HYP"])
    assert (table.records, table.class_names) == (("a", "b", "c"), ("MI", "HYP"))
    assert table.split.tolist() == ["train", "val", "test"]
    assert (table.has_patients, table.patients.tolist()) == (True, ["p", "q", "r"])
    assert table.labels.tolist() == [[True, False], [False, True], [False, True]]


def test_classes_are_all_there_are_unless_named(tmp_path):
    assert _read(tmp_path, COLUMNS).class_names == ("MI", "HYP")  # in the order of the columns
    assert _read(tmp_path, LISTED).class_names == ("HYP", "MI")  # sorted
    only = _read(tmp_path, LISTED, ["HYP"])
    assert only.labels.tolist() == [[False], [True], [True]]
    extra = COLUMNS.replace("HYP\n", "HYP,age\n").replace("0\nb", "0,61\nb").replace("1\nc", "1,50\nc")
    extra = extra.replace("1.0\n", "1.0,40\n")
    assert _read(tmp_path, extra, ["MI"]).labels.tolist() == [[True], [False], [False]]
    with pytest.raises(TableError, match="61") as caught:
        _read(tmp_path, extra)
    assert caught.value.field == "age"


def test_without_patients_every_record_is_its_own(tmp_path):
    table = _read(tmp_path, "record,split,MI\na,train,1\nb,test,0\n")
    assert (table.has_patients, table.patients.tolist()) == (False, ["a", "b"])


@pytest.mark.parametrize(
    ("text", "error", "field"),
    [
        ("record,MI\na,1\n", TableError, "split"),
        ("split,MI\ntrain,1\n", TableError, "record"),
        (COLUMNS.replace("b,val", "a,val"), TableError, "record"),
        (COLUMNS.replace("b,val", ",val"), TableError, "record"),
        (COLUMNS.replace("b,val", "b,valid"), TableError, "split"),
        (COLUMNS.replace("b,val", "b,"), TableError, "split"),
        (COLUMNS.replace("val,q", "val,"), TableError, "patient_id"),
        (COLUMNS.replace("q,0,1", "q,0,2"), TableError, "HYP"),
        (COLUMNS.replace("q,0,1", "q,,1"), TableError, "MI"),
        (COLUMNS.replace("q,0,1", "q,nan,1"), TableError, "MI"),
        (LISTED.replace("labels\n", "labels,MI\n").replace("MI\nb", "MI,1\nb").replace("HYP\nc", "HYP,0\nc")
         .replace("HYP ;\n", "HYP,0\n"), TableError, "labels"),
        ("record,split\na,train\n", LabelError, "classes"),
        ("record,split,labels\na,train,\n", LabelError, "classes"),
        ("record,split,\na,train,1\n", LabelError, "classes"),
        ("record,split,MI\n", TableError, None),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(tmp_path, text, error, field):
    with pytest.raises(error) as caught:
        _read(tmp_path, text)
    assert caught.value.field == field
    assert caught.value.file.endswith("labels.csv")


@pytest.mark.parametrize("classes", [["CD"], [], ["MI", "MI"]])
def test_classes_that_are_not_there_are_named(tmp_path, classes):
    for text in (COLUMNS, LISTED):
        with pytest.raises(LabelError) as caught:
            _read(tmp_path, text, classes)
        assert caught.value.field == "classes"
        assert "HYP" in caught.value.expected


def test_records_of_both_are_found_by_name_in_the_order_of_the_labels():
    rows, kept = match_records(["a", "b", "c"], ["c", "x", "a", "y"])
    assert (rows.tolist(), kept.tolist()) == ([2, 0], [0, 2])
    with pytest.raises(TableError, match=r"none of 2 labelled records has features: x, y") as caught:
        match_records(["a", "b"], ["x", "y"])
    assert "'a'" in caught.value.expected
    with pytest.raises(TableError, match=r"r7, \.\.\."):
        match_records(["a"], [f"r{i}" for i in range(20)])


def test_some_rows_of_a_table_keep_what_belongs_together(tmp_path):
    some = _read(tmp_path, COLUMNS).at(np.array([2, 0]))
    assert (some.records, some.split.tolist(), some.patients.tolist()) == (("c", "a"), ["test", "train"], ["r", "p"])
    assert (some.labels.tolist(), some.class_names) == ([[False, True], [True, False]], ("MI", "HYP"))
