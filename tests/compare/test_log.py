"""The log of comparisons: whole lines, whatever happened before, from several threads at once."""

from __future__ import annotations

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecgscan_lab.compare import compare_losses, read_comparisons, rung_for
from ecgscan_lab.compare.log import append_line
from ecgscan_lab.errors import ArgumentError

SHORT = dataclasses.replace(rung_for("toy"), steps=3, n_records=60)


def test_runs_are_logged_as_they_end_and_comparisons_come_back(tmp_path):
    log = tmp_path / "deep" / "log.jsonl"
    lines_at_run: list[int] = []
    found = [
        compare_losses(
            ["contrastive", other],
            SHORT,
            log=log,
            on_run=lambda run: lines_at_run.append(len(log.read_text().splitlines())),
        )
        for other in ("gram", "pairwise")
    ]
    assert lines_at_run == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13]
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    assert [entry["kind"] for entry in entries] == [*["run"] * 6, "comparison"] * 2
    assert len({entry["comparison_id"] for entry in entries}) == 2
    back = read_comparisons(log)
    assert [comparison.to_json() for comparison in back] == [comparison.to_json() for comparison in found]


def test_a_line_cut_short_spoils_no_other(tmp_path):
    log = tmp_path / "log.jsonl"
    compare_losses(["contrastive", "gram"], SHORT, log=log)
    log.write_bytes(log.read_bytes() + b'{"kind": "comparison", "comp')
    compare_losses(["contrastive", "pairwise"], SHORT, log=log)
    assert [comparison.losses[1] for comparison in read_comparisons(log)] == ["gram", "pairwise"]


def test_lines_of_many_writers_do_not_mix(tmp_path):
    log = tmp_path / "log.jsonl"
    entries = [{"kind": "run", "filler": "x" * 5000, "n": n} for n in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda entry: append_line(log, entry), entries))
    read = [json.loads(line) for line in log.read_text().splitlines() if line]
    assert sorted(entry["n"] for entry in read) == list(range(60))


def test_no_log_is_kept_when_none_is_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compare_losses(["contrastive", "gram"], SHORT, log=None)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_log_is_named(tmp_path):
    with pytest.raises(ArgumentError) as refused:
        read_comparisons(tmp_path / "none.jsonl")
    assert refused.value.field == "path"
