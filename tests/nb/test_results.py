from __future__ import annotations

import json

import numpy as np
import pytest

from ecgscan_lab.errors import NotebookError
from ecgscan_lab.nb.results import read_results, write_results


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
