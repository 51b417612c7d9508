"""`probe` on the command line: what it says and writes is what the library finds."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from ecgscan_lab.errors import TableError
from ecgscan_lab.evaluate.commands import add_probe_verb, run_probe
from ecgscan_lab.evaluate.feature_table import FeatureTable, write_features
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
    assert any("5 records with features have no labels" in line for line in said)


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


def test_missing_records_are_listed(files):
    path = files[0] / "labels.csv"
    path.write_text(path.read_text() + "zz,test,pz,0,1\n")
    with pytest.raises(TableError, match="1 of 301 labelled records have no features: zz"):
        _run(files[0])


def test_unknown_protocols_are_refused(files, capsys):
    with pytest.raises(SystemExit):
        _run(files[0], "--protocol", "best")
    assert "sound" in capsys.readouterr().err
