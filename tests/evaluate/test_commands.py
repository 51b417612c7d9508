"""`probe` on the command line: what it says and writes is what the library finds."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from ecgscan_lab.errors import SplitError, TableError
from ecgscan_lab.evaluate.commands import add_probe_verb, run_probe
from ecgscan_lab.evaluate.feature_table import FeatureTable, read_features, write_features
from ecgscan_lab.evaluate.probe_table import probe_fractions

N = 300
SPLIT = np.array(["train"] * 180 + ["val"] * 60 + ["test"] * 60)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(N + 5, 8)).astype(np.float32)
    labels = (features[:N, :2] + rng.normal(size=(N, 2)) > 0.5).astype(int)
    ids = tuple(f"r{i}" for i in range(N + 5))
    write_features(tmp_path / "tower.parquet", FeatureTable(ids, features, {"what": "tower"}))
    order = rng.permutation(N)  # the files need not be in one order
    lines = [f"r{i},{SPLIT[i]},p{i // 2},{labels[i, 0]},{labels[i, 1]}" for i in order]
    (tmp_path / "labels.csv").write_text("record,split,patient_id,MI,HYP\n" + "\n".join(lines) + "\n")
    return tmp_path, features[order], labels[order], SPLIT[order], np.array([f"p{i // 2}" for i in order])


def _run(folder, *words):
    parser = argparse.ArgumentParser()
    said: list[str] = []
    common = argparse.ArgumentParser(add_help=False)
    add_probe_verb(parser.add_subparsers(), common, lambda args: run_probe(args, said.append))
    given = ["--features", str(folder / "tower.parquet"), "--labels", str(folder / "labels.csv")]
    args = parser.parse_args(["probe", *given, *words])
    return args.run(args), said


def test_says_and_writes_what_the_library_finds(files):
    folder, features, labels, split, patients = files
    out = folder / "made" / "probe.json"
    status, said = _run(folder, "--fractions", "10", "100", "--seeds", "2", "--bootstrap", "30", "--json", str(out))
    assert status == 0
    table = probe_fractions(
        {"tower": features}, labels, split, patients,
        fractions=(10, 100), seeds=2, n_bootstrap=30, class_names=("MI", "HYP"),
    )  # fmt: skip
    written = json.loads(out.read_text())
    assert written | table.as_dict() == written
    assert written["features"] == {"what": "tower"}
    assert (written["n_bootstrap"], written["grouped_by_patient"]) == (30, True)
    for line in table.lines():
        assert line in said
    assert said[0] == "300 records (180 train, 60 val, 60 test), 8 features, 2 classes"
    left_out = "5 records with features have no labels and are left out: r300, r301, r302, r303, r304"
    assert left_out in said


@pytest.mark.parametrize("protocol", ["paper", "merl"])
def test_trained_layers_by_name(files, protocol):
    _, said = _run(files[0], "--protocol", protocol, "--fractions", "100", "--seeds", "1", "--bootstrap", "20")
    assert any("has seen the test set" in line for line in said) == (protocol == "merl")


def test_says_when_patients_are_unknown(files):
    path = files[0] / "labels.csv"
    path.write_text(path.read_text().replace("patient_id", "X").replace(",p", ",0.0,p").replace("X", "X,patient_id"))
    lines = [",".join(part for k, part in enumerate(line.split(",")) if k not in (2, 3))
             for line in path.read_text().splitlines()]  # fmt: skip
    path.write_text("\n".join(lines) + "\n")
    _, said = _run(files[0], "--fractions", "100", "--bootstrap", "20", "--classes", "HYP")
    assert any("no column patient_id" in line for line in said)
    assert "1 classes" in said[0]


def test_labels_of_more_records_than_were_embedded_change_no_figure_and_are_counted(files):
    folder, *_ = files
    words = ("--fractions", "100", "--bootstrap", "20", "--json", str(folder / "probe.json"))
    _run(folder, *words)
    alone = json.loads((folder / "probe.json").read_text())
    path = folder / "labels.csv"
    head, *rows = path.read_text().splitlines()
    more = ["zy,train,pz,1,1", *rows[:100], "zz,test,pw,0,1", *rows[100:]]
    path.write_text("\n".join([head, *more]) + "\n")
    status, said = _run(folder, *words)
    assert status == 0
    assert said[0].startswith("300 records (180 train, 60 val, 60 test)")
    assert "2 of 302 labelled records have no features: zy, zz" in said
    whole = json.loads((folder / "probe.json").read_text())
    assert (alone["n_without_features"], whole["n_without_features"]) == (0, 2)
    assert whole["n_without_labels"] == alone["n_without_labels"] == 5
    assert whole | {"n_without_features": 0} == alone


def test_nothing_in_common_is_refused(files):
    path = files[0] / "labels.csv"
    path.write_text(path.read_text().replace("\nr", "\nrecords100/r"))
    with pytest.raises(TableError, match="none of 300 labelled records has features: records100/r") as caught:
        _run(files[0])
    assert "'r0'" in caught.value.expected


def test_a_split_of_which_nothing_was_embedded_is_refused(files):
    table = read_features(files[0] / "tower.parquet")
    write_features(files[0] / "tower.parquet", FeatureTable(table.ids[:240], table.features[:240]))
    with pytest.raises(SplitError, match="the test split has no records") as caught:
        _run(files[0])
    assert "features" in caught.value.fix


def test_unknown_protocols_are_refused(files, capsys):
    with pytest.raises(SystemExit):
        _run(files[0], "--protocol", "best")
    assert "sound" in capsys.readouterr().err
