from __future__ import annotations

import csv

import numpy as np
import pytest

from ecgscan_lab.cli import main
from ecgscan_lab.data import load_cohort
from ecgscan_lab.data.label_tables import write_label_table
from ecgscan_lab.data.store import build_store
from ecgscan_lab.errors import LabelError


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_says_what_the_cohort_says(tmp_path):
    cohort = load_cohort("synthetic", n_records=60)
    path, n = write_label_table("synthetic:60", "superclass", tmp_path / "l.csv")
    rows = rows_of(path)
    carry_one = np.flatnonzero(cohort.targets("superclass").any(axis=1))
    assert n == len(rows) == len(carry_one) < 60
    assert [row["record"] for row in rows] == [cohort.records[i].record_id for i in carry_one]
    assert [row["split"] for row in rows] == [cohort.records[i].split for i in carry_one]
    flags = np.array([[int(row[name]) for name in cohort.tasks["superclass"]] for row in rows])
    assert np.array_equal(flags, cohort.targets("superclass")[carry_one])


def test_a_store_gives_the_table_of_its_source(tmp_path):
    build_store("synthetic", tmp_path / "store", n_records=60)
    of_store, _ = write_label_table(f"store:{tmp_path / 'store'}", "superclass", tmp_path / "a.csv")
    of_source, _ = write_label_table("synthetic:60", "superclass", tmp_path / "b.csv")
    assert of_store.read_text() == of_source.read_text()


def test_a_task_that_is_not_there_is_refused_and_nothing_written(tmp_path):
    with pytest.raises(LabelError, match="no task"):
        write_label_table("synthetic:40", "colour", tmp_path / "l.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.real
def test_ptbxl_lists_every_record_with_a_superclass(ptbxl_dir, tmp_path, capsys):
    assert main(["data", "labels", f"ptbxl:{ptbxl_dir}", str(tmp_path / "l.csv"), "--task", "superclass"]) == 0
    rows = rows_of(tmp_path / "l.csv")
    assert f"{len(rows):,} records" in capsys.readouterr().out
    assert set(rows[0]) == {"record", "split", "patient_id", "NORM", "MI", "STTC", "CD", "HYP"}
