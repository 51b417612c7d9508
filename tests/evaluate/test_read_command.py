"""`ecgscan-lab read`: a photograph in, leads and findings out, through the command line."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from ecgscan_lab import LEADS, draw_page, synthetic_records
from ecgscan_lab.cli import main
from ecgscan_lab.errors import SplitError
from ecgscan_lab.evaluate import findings, picture_files, read_command


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    path = tmp_path_factory.mktemp("photographs") / "seen.png"
    record = synthetic_records(1, seed=3, fs_hz=100.0)[0]
    Image.fromarray(draw_page(record, dpi=150, degrade="photo", seed=0).pixels).save(path)
    return path, record


def test_a_photograph_and_a_blank_picture_are_told_and_written(photograph, tmp_path, capsys):
    path, record = photograph
    blank = tmp_path / "blank.png"
    Image.fromarray(np.full((400, 500, 3), 250, np.uint8)).save(blank)
    leads, out = tmp_path / "leads", tmp_path / "found.json"
    wanted = ["read", str(path), str(blank), "--records", "120", "--skip-bad"]
    assert main([*wanted, "--leads", str(leads), "--json", str(out)]) == 1
    said = capsys.readouterr().out
    assert "Not for clinical use" in said
    for told in ("lead doctor: ", "like the reference: p ", "score: ", "views: ", "p: ", "verdicts: p of 0.1 "):
        assert len(re.findall(f"^ *{told}", said, re.MULTILINE)) == 1, told
    assert "of 1, ink in " in said
    assert f"left out: {blank}" in said
    with (leads / "seen.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["time_s", *LEADS]
    assert float(rows[100]["time_s"]) == 1.0
    shown = [k for k, row in enumerate(rows) if row["II"]]
    read = np.array([float(rows[k]["II"]) for k in shown])
    assert np.corrcoef(read, record.signal_mv[LEADS.index("II"), shown])[0, 1] > 0.8
    assert any(row["V1"] == "" for row in rows)
    facts = json.loads(out.read_text())
    assert facts["left_out"] == 1
    assert facts["reference"] == "synthetic"
    (found,) = facts["pictures"]
    assert {f["name"] for f in found["findings"]} >= {"NORM", "MI"}
    assert all(0 < f["p_absent"] <= 1 for f in found["findings"])
    assert any("synthetic" in text for text in found["warnings"])


def test_a_blank_picture_alone_is_refused_with_its_name(tmp_path, capsys):
    blank = tmp_path / "blank.png"
    Image.fromarray(np.full((400, 500, 3), 250, np.uint8)).save(blank)
    assert main(["read", str(blank), "--records", "120"]) == 2
    assert str(blank) in capsys.readouterr().err


def test_nothing_read_needs_no_reference(tmp_path, monkeypatch):
    monkeypatch.setattr(read_command, "_reference", lambda args: pytest.fail("embedded"))
    Image.fromarray(np.full((400, 500, 3), 250, np.uint8)).save(tmp_path / "blank.png")
    out = tmp_path / "found.json"
    assert main(["read", str(tmp_path / "blank.png"), "--skip-bad", "--json", str(out)]) == 1
    facts = json.loads(out.read_text())
    assert (facts["pictures"], facts["left_out"], facts["reference"], facts["n_reference"]) == ([], 1, None, 0)


def test_two_pictures_of_one_name_are_refused_before_anything_is_read(tmp_path, capsys):
    assert main(["read", "a/x.png", "b/x.jpg", "--leads", str(tmp_path / "leads")]) == 2
    assert "would go into one file" in capsys.readouterr().err
    assert not (tmp_path / "leads").exists()


def test_a_file_that_is_no_picture_is_refused_before_the_reference_is_embedded(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(read_command, "_reference", lambda args: pytest.fail("embedded"))
    (tmp_path / "note.png").write_text("no picture")
    assert main(["read", str(tmp_path / "note.png")]) == 2
    assert "note.png" in capsys.readouterr().err


def test_a_picture_cut_short_is_refused_before_the_reference_is_embedded(photograph, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(read_command, "_reference", lambda args: pytest.fail("embedded"))
    (tmp_path / "cut.png").write_bytes(photograph[0].read_bytes()[:-5000])
    assert main(["read", str(tmp_path / "cut.png")]) == 2
    assert "cut.png" in capsys.readouterr().err


def test_a_picture_is_decoded_once(photograph, monkeypatch):
    decoded = []

    def counted(content, path, *more, **named):
        decoded.append(path)
        return decode(content, path, *more, **named)

    def none(args):
        raise SplitError("no reference")

    decode = picture_files.decode_picture
    monkeypatch.setattr(picture_files, "decode_picture", counted)
    monkeypatch.setattr(findings, "decode_picture", counted)
    monkeypatch.setattr(read_command, "_reference", none)
    assert main(["read", str(photograph[0])]) == 2
    assert decoded == [str(photograph[0])]


def test_a_reference_without_test_records_is_refused(photograph, tmp_path, capsys):
    folder = tmp_path / "cohort"
    folder.mkdir()
    assert main(["read", str(photograph[0]), "--reference", f"cohort:{folder}"]) == 2
    assert "cohort.csv" in capsys.readouterr().err
