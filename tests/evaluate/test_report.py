from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from ecgscan_lab.data.manifest import paper_results
from ecgscan_lab.errors import ArgumentError, ExportError
from ecgscan_lab.evaluate.report import PAPER_SPLITS, Measured, measured_from, report

OURS = Measured(
    "linear_probe", "PTBXL-Super", "mine", 88.0, (86.0, 90.0), 100, protocol="paper",
    pretrained_on=("mimic-iv-ecg",), n_train=17_084, n_test=2_158,
)  # fmt: skip


def row_of(made, encoder):
    (row,) = [row for row in made.rows if row.encoder == encoder]
    return row


def test_the_papers_own_protocol_on_its_own_records_is_alike_and_each_difference_is_named():
    assert row_of(report([OURS]), "ECG-Scan").comparable == "alike"
    changes = {
        "n_test": (2_101, "not comparable", "2,101 test records"),
        "protocol": ("sound", "with reservations", "logistic regression"),
        "pretrained_on": (("ptb-xl",), "with reservations", "pretrained on MIMIC"),
        "n_train": (8_000, "with reservations", "8,000 labelled"),
        "labels": ("exact", "not comparable", "corrected"),
        "duration_s": (2.5, "not comparable", "2.5 s"),
    }
    for name, (value, verdict, sentence) in changes.items():
        row = row_of(report([replace(OURS, **{name: value})]), "ECG-Scan")
        assert row.comparable == verdict, name
        assert any(sentence in note for note in row.reservations), name
    merl = row_of(report([replace(OURS, protocol="merl")]), "ECG-Scan")
    assert merl.comparable == "not comparable"


def test_rows_that_merl_printed_are_never_comparable_and_signal_rows_say_so():
    made = report([OURS])
    assert row_of(made, "MERL").comparable == "not comparable"
    assert any("best test epoch" in note for note in row_of(made, "SimCLR").reservations)
    assert "reads the signal" in row_of(made, "D-BETA").reservations


def test_every_printed_figure_of_a_line_is_there_unchanged_and_the_run_comes_first():
    made = report([OURS])
    printed = {
        row["method"]: row["auc"]
        for row in paper_results()
        if row["table"] == 2 and row["dataset"] == "PTBXL-Super" and row["fraction"] == 100
    }
    assert {row.encoder: row.auroc for row in made.rows[1:]} == printed
    assert len(printed) == 24
    assert (made.rows[0].encoder, made.rows[0].source) == ("mine", "this run")
    aurocs = [row.auroc for row in made.rows[1:]]
    assert aurocs == sorted(aurocs, reverse=True)


def test_people_stand_beside_zero_shot_on_code_test_under_one_heading():
    made = report([Measured("zero_shot", "CODE-test", "mine", 90.0, n_test=827)])
    assert {row.encoder for row in made.rows if row.group == "human"} == {
        "cardiology residents", "emergency residents", "medical students"
    }  # fmt: skip
    assert made.markdown().count("## ") == 1


def test_a_data_set_that_the_paper_lacks_is_listed_alone():
    assert [row.encoder for row in report([replace(OURS, dataset="Georgia")]).rows] == ["mine"]


def test_all_four_files_are_written_and_say_the_same(tmp_path):
    made = report([OURS], out=tmp_path, methods=["ECG-Scan", "MERL"], title="A & B <run>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.csv", "report.md", "report.svg", "report.tex"]
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report.csv").read_text())))
    assert [float(row["auroc"]) for row in rows] == [row.auroc for row in made.rows]
    assert "88.00 [86.0, 90.0]" in (tmp_path / "report.md").read_text()
    assert r"88.00 [86.0, 90.0]" in (tmp_path / "report.tex").read_text()
    drawing = ET.fromstring((tmp_path / "report.svg").read_text())
    texts = {element.text for element in drawing.iter() if element.text}
    assert {"A & B <run>", "mine", "88.0", "90.9", "macro AUROC (%)"} <= texts


def test_names_are_escaped_in_every_format():
    made = report([replace(OURS, encoder="a|b_50%<script>")], methods=["ECG-Scan"])
    assert "a\\|b_50%&lt;script>" in made.markdown()
    assert r"a|b\_50\%<script>" in made.latex()
    assert "<script>" not in made.svg()


@pytest.mark.parametrize(
    ("measured", "methods", "field"),
    [([], None, "measured"), ([OURS, OURS], None, "measured"), ([OURS], ["Nobody"], "methods")],
)
def test_what_makes_no_report_is_refused(measured, methods, field):
    with pytest.raises(ArgumentError) as caught:
        report(measured, methods=methods)
    assert caught.value.field == field


def test_an_auroc_is_percent():
    with pytest.raises(ArgumentError, match="AUROC"):
        replace(OURS, auroc=101.0)


def test_a_folder_that_refuses_is_a_typed_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError):
        report([OURS], out=tmp_path / "file")


def test_results_by_task_become_measured_figures():
    results = {"superclass": {"mine": {"macro_auroc": 88.0, "ci95": [86.0, 90.0], "n_train": 5, "n_test": 7}}}
    (found,) = measured_from(results, task="linear_probe", cohort="ptbxl", fraction=100, protocol="sound")
    assert (found.dataset, found.auroc, found.ci95, found.n_test) == ("PTBXL-Super", 88.0, (86.0, 90.0), 7)
    assert set(PAPER_SPLITS) >= {found.dataset}
