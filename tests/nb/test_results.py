from __future__ import annotations

import json

import nbformat.v4 as nbf
import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError, NotebookError
from ecgscan_lab.nb.results import RECORDED, read_results, record_result, recorded_results, write_results


@pytest.mark.parametrize("text", [None, "", "[1]", b"\xff"])
def test_results_that_are_missing_or_no_object_are_refused(tmp_path, text):
    path = tmp_path / "results.json"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(NotebookError) as caught:
        read_results(path)
    assert caught.value.file == str(path)


def test_results_survive_a_failed_write(tmp_path):
    path = tmp_path / "results.json"
    write_results(path, {"ok": 1})
    with pytest.raises(TypeError):
        write_results(path, {"ok": 2, "bad": object()})
    assert read_results(path) == {"ok": 1}


def test_results_are_strict_json(tmp_path):
    found = {"nan": float("nan"), "inf": np.float32(np.inf), "n": np.int64(3), "a": np.arange(2), 5: ("x", None)}
    text = write_results(tmp_path / "deep" / "results.json", found).read_text()

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    expected = {"nan": None, "inf": None, "n": 3, "a": [0, 1], "5": ["x", None]}
    assert json.loads(text, parse_constant=refuse) == expected


@pytest.mark.parametrize(
    ("value", "kept"), [(np.float32(0.5), 0.5), (np.array(3), 3), (float("nan"), None), ("x", "x")]
)
def test_a_recorded_scalar_is_plain(value, kept, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    record_result(loss=value)
    assert shown == [{RECORDED: {"loss": kept}, "text/plain": f"loss = {kept}"}]


def test_a_reader_sees_six_digits_and_a_collector_all(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    record_result(auroc=91.12345678901234, records=1234567, ok=True)
    (data,) = shown
    assert data[RECORDED]["auroc"] == 91.12345678901234
    assert data["text/plain"] == "auroc = 91.1235\nrecords = 1234567\nok = True"


@pytest.mark.parametrize("value", [[1], {"a": 1}, np.zeros(2), object()])
def test_only_scalars_are_recorded(value):
    with pytest.raises(ArgumentError) as caught:
        record_result(right=1, wrong=value)
    assert caught.value.field == "wrong"
    with pytest.raises(ArgumentError, match="nothing to record"):
        record_result()


def test_recorded_results_are_collected_in_order_and_only_scalars_believed():
    def output(recorded):
        return nbf.new_output("display_data", data={RECORDED: recorded, "text/plain": ""})

    outputs = [output({"a": 1, "b": 2}), nbf.new_output("stream", text="c"), output({"b": 3, "x": [1]}), output("d")]
    cells = [nbf.new_markdown_cell("a"), *(nbf.new_code_cell("", outputs=[one]) for one in outputs)]
    assert recorded_results(nbf.new_notebook(cells=cells)) == {"a": 1, "b": 3}
