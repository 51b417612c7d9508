"""Readers of CODE-test, with and without a model beside them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ecgscan_lab.data.code import CODE_CLASSES, READERS, code_reader_aurocs
from ecgscan_lab.errors import ArgumentError, TableError
from ecgscan_lab.evaluate.readers import reader_table


def _write(folder, **tables):
    (folder / "annotations").mkdir()
    for name, table in tables.items():
        lines = [",".join(CODE_CLASSES), *(",".join(map(str, line)) for line in table.tolist())]
        (folder / "annotations" / f"{name}.csv").write_text("\n".join(lines))


@pytest.fixture
def folder(tmp_path):
    truth = (np.random.default_rng(0).random((60, 6)) < 0.3).astype(int)
    wrong = np.where(np.arange(60)[:, None] % 4 == 0, 1 - truth, truth)
    _write(tmp_path, gold_standard=truth, cardiology_residents=truth, medical_students=wrong)
    return tmp_path


def test_a_reader_has_the_area_of_one_point(folder):
    rows = {row.name: row for row in reader_table(folder, n_bootstrap=100)}
    assert rows["cardiology_residents"].macro_auroc == 100.0
    areas = code_reader_aurocs(folder)["medical_students"]
    assert rows["medical_students"].macro_auroc == pytest.approx(100.0 * areas["macro"])
    for name in CODE_CLASSES:
        assert rows["medical_students"].per_class[name] == pytest.approx(100.0 * areas[name])
        low, high = rows["medical_students"].per_class_ci95[name]
        assert low < rows["medical_students"].per_class[name] < high


def test_a_model_stands_first_and_is_judged_by_its_scores(folder):
    truth = np.loadtxt(folder / "annotations" / "gold_standard.csv", delimiter=",", skiprows=1)
    rows = reader_table(folder, {"ours": truth + 0.1, "reversed": -truth}, n_bootstrap=50)
    assert [row.name for row in rows] == ["ours", "reversed", "cardiology_residents", "medical_students"]
    assert [row.macro_auroc for row in rows[:2]] == [100.0, 0.0]
    assert [row.answers for row in rows] == ["scores"] * 2 + ["yes or no"] * 2
    assert json.loads(json.dumps(rows[0].as_dict(), allow_nan=False))["per_class"]["AF"] == 100.0


def test_what_does_not_fit_is_refused(folder, tmp_path):
    for scores in ({"x": np.ones((60, 5))}, {"x": np.full((60, 6), np.nan)}, {"dnn": np.ones((60, 6))}):
        with pytest.raises(ArgumentError, match="scores"):
            reader_table(folder, scores)
    (folder / "annotations" / "gold_standard.csv").unlink()
    with pytest.raises(TableError):
        reader_table(folder)


@pytest.mark.real
def test_the_published_readers(real_data):
    rows = {row.name: row for row in reader_table(real_data / "other" / "metadata" / "code_test", n_bootstrap=200)}
    assert list(rows) == list(READERS)
    assert round(rows["cardiology_residents"].macro_auroc, 2) == 92.08
    assert round(rows["emergency_residents"].macro_auroc, 2) == 90.51
    assert round(rows["medical_students"].macro_auroc, 2) == 93.61
    assert round(rows["dnn"].macro_auroc, 2) == 96.60
    assert rows["medical_students"].ci95[0] < 93.61 < rows["medical_students"].ci95[1]
