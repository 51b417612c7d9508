"""`ecgscan-lab data prepare` and `data leakage` from the command line."""

from __future__ import annotations

import json

from ecgscan_lab.cli import main


def test_prepare_says_what_it_made_and_goes_on(tmp_path, capsys):
    command = ["data", "prepare", "synthetic", str(tmp_path / "s"), "--limit", "60", "--fs", "50", "--shard-size", "20"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "60 records of synthetic in 3 shards" in said
    assert f"train on it as store:{tmp_path / 's'}" in said
    assert main(command) == 0
    assert capsys.readouterr().out == said
    assert main([*command, "--seed", "1"]) != 0


def test_leakage_says_what_leaks_and_writes_it_down(tmp_path, capsys):
    assert main(["data", "prepare", "synthetic", str(tmp_path / "s"), "--limit", "60", "--fs", "50"]) == 0
    source = f"store:{tmp_path / 's'}"
    assert main(["data", "leakage", source]) == 0
    assert "nothing is in two splits" in capsys.readouterr().out
    out = tmp_path / "found.json"
    assert main(["data", "leakage", source, source, "--held-out", "synthetic #2", "--json", str(out)]) == 1
    assert "LEAK: synthetic" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert len(found["pairs"]) == 60
    assert found["leave_out"]["synthetic #2"] == []
