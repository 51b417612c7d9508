"""What the shipped manifests promise, and what a manifest of one's own must not do."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.data import manifest as module
from ecgscan_lab.data.json_schema import schema_violations
from ecgscan_lab.data.manifest import (
    load_manifest,
    manifest_folder,
    manifest_names,
    overlaps,
    paper_results,
    parse_manifest,
    safe_relative,
)
from ecgscan_lab.errors import ArgumentError, ManifestError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((manifest_folder() / "schema.json").read_text(encoding="utf-8"))
PTBXL = json.loads((manifest_folder() / "ptb-xl.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", manifest_names())
def test_every_manifest_follows_the_schema_and_carries_its_own_name(name):
    manifest = load_manifest(name)
    assert manifest.name == name
    jsonschema = pytest.importorskip("jsonschema", reason="comes with nbformat")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest.fields)


def test_the_corpora_of_the_paper_and_the_extras_are_here():
    wanted = "mimic-iv-ecg ptb-xl cpsc2018 csn code-test ludb georgia code-15".split()
    assert set(wanted) <= set(manifest_names("corpus"))
    assert {"ecg-scan", "d-beta", "clip-vit-large-patch14-336"} <= set(manifest_names("checkpoint"))


@pytest.mark.parametrize("name", manifest_names())
def test_a_missing_digest_is_explained_or_listed_by_the_publisher(name):
    manifest = load_manifest(name)
    for entry in [*manifest.fields["files"], *filter(None, [manifest.fields.get("archive")])]:
        has = entry["sha256"] is not None or entry["md5"] is not None
        assert has == ("digest_from" in entry), entry["path"]
        assert has or "note" in entry or manifest.checksums is not None, entry["path"]


@pytest.mark.parametrize("name", manifest_names())
def test_what_can_be_fetched_can_be_unpacked_and_verified(name):
    manifest = load_manifest(name)
    if manifest.access == "open":
        assert manifest.files or manifest.archive or manifest.record_sets
        assert manifest.fields["expected"]
    else:
        assert manifest.fields["access"]["steps"]
    for file in [*manifest.files, *filter(None, [manifest.archive])]:
        assert file.max_unpacked_bytes > 0 or not (file.unpack or file is manifest.archive)
    for chosen in manifest.record_sets.values():
        assert manifest.checksums is not None
        assert manifest.checksums.format == "sha256sums"
        wanted = [
            entry["count"]
            for entry in manifest.fields["expected"]
            if re.search(re.escape(chosen.match.split("/*")[0]), entry["glob"])
        ]
        assert chosen.count in wanted


def test_containment_is_told_from_both_sides_with_the_same_count():
    corpora = {name: load_manifest(name) for name in manifest_names("corpus")}
    for name, manifest in corpora.items():
        for mine, theirs in (("contains", "contained_in"), ("contained_in", "contains")):
            for entry in manifest.fields[mine]:
                if entry["name"] in corpora:
                    back = {other["name"]: other["records"] for other in corpora[entry["name"]].fields[theirs]}
                    assert back.get(name) == entry["records"], (name, entry["name"])


def test_version_traps_are_named():
    traps = " ".join(PTBXL["traps"])
    assert "21,837" in traps
    assert "21,799" in traps
    assert PTBXL["records"]["count"] == 21799
    assert load_manifest("mimic-iv-ecg").fields["records"]["leads"][4:6] == ["aVF", "aVL"]
    assert load_manifest("mimic-iv-ecg").fields["licence"]["share_alike"]


def test_overlaps_reach_through_collections_and_checkpoints():
    assert overlaps(["challenge-2021"], ["csn"]) == overlaps(["csn"], ["challenge-2021"])
    assert overlaps(["ecg-fm"], ["ptb-xl"]) == ["challenge-2021 holds 21,837 records of ptb-xl"]
    assert overlaps(["d-beta"], ["ptb-xl", "cpsc2018", "csn", "code-test"]) == []
    assert overlaps(["ptb-xl"], ["ptb-xl"]) == ["ptb-xl is on both sides"]
    with pytest.raises(ManifestError):
        overlaps(["ptb-xl"], ["nonsense"])


def test_the_paper_s_averages_recompute():
    rows = [row for row in paper_results() if row["table"] == 2]
    assert len(rows) == 504
    by_place = {(row["method"], row["dataset"], row["fraction"]): row["auc"] for row in rows}
    assert len(by_place) == 504
    for (method, dataset, fraction), auc in by_place.items():
        if dataset == "Average":
            parts = [value for (m, d, f), value in by_place.items() if (m, f) == (method, fraction) and d != "Average"]
            assert len(parts) == 6
            assert abs(sum(parts) / 6 - auc) < 0.0051 + 1e-9
    assert all(row["source"].startswith("arXiv 2604.01526") for row in paper_results())
    assert {row["method"] for row in rows if row["note"]} >= {"MERL", "SimCLR"}


@pytest.mark.parametrize("name", manifest_names("corpus"))
def test_croissant_names_every_file_and_only_published_digests(name):
    manifest = load_manifest(name)
    described = json.loads(json.dumps(manifest.croissant()))
    assert described["@type"] == "sc:Dataset"
    assert described["conformsTo"].startswith("http://mlcommons.org/croissant/")
    for field in ("name", "description", "license", "url", "citeAs", "version"):
        assert described[field]
    parts = {part["@id"]: part for part in described["distribution"]}
    assert len(parts) == len(described["distribution"])
    for file in [*manifest.files, *filter(None, [manifest.archive])]:
        assert parts[file.path]["contentUrl"] == file.url
        assert parts[file.path].get("sha256") == file.sha256
    for part in parts.values():
        assert part["@type"] in ("cr:FileObject", "cr:FileSet")
        assert part.get("containedIn", {"@id": next(iter(parts))})["@id"] in parts


def test_croissant_is_for_corpora():
    with pytest.raises(ArgumentError):
        load_manifest("d-beta").croissant()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"surprise": 1}, "surprise"),
        ({"licence": None}, "licence"),
        ({"schema_version": 2}, "schema_version"),
        ({"name": "../x"}, "name"),
        ({"files": [{**PTBXL["files"][0], "url": "http://example.org/x"}]}, "files[0].url"),
        ({"files": [{**PTBXL["files"][0], "sha256": "abc"}]}, "files[0].sha256"),
        ({"files": [{**PTBXL["files"][0], "path": "../x"}]}, "path"),
        ({"files": [{**PTBXL["files"][0], "path": "/etc/x"}]}, "path"),
        ({"expected": [{"glob": "../*", "count": 1}]}, "path"),
        ({"default_record_set": "nonsense"}, "default_record_set"),
        ({"archive": {**PTBXL["archive"], "path": "a/../../x.zip"}}, "path"),
    ],
)
def test_a_manifest_of_one_s_own_is_checked(tmp_path, change, field):
    path = tmp_path / "own.json"
    path.write_text(json.dumps({**PTBXL, **change}))
    with pytest.raises(ManifestError) as refused:
        load_manifest(path)
    assert refused.value.field == field
    path.write_text(json.dumps(PTBXL))
    assert load_manifest(path) == load_manifest("ptb-xl")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"[" * 100_000, b" " * 1_000_001])
def test_what_is_no_manifest_is_a_manifest_error(tmp_path, content):
    path = tmp_path / "own.json"
    path.write_bytes(content)
    with pytest.raises(ManifestError):
        load_manifest(path)
    with pytest.raises(ManifestError):
        load_manifest(tmp_path / "missing.json")


# JSON Schema takes 1.0 for an integer; here a whole number is written without a point.
fractions = st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not value.is_integer())
values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | fractions | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_validator_agrees_with_jsonschema_on_mutated_manifests(data):
    jsonschema = pytest.importorskip("jsonschema", reason="comes with nbformat")
    mutated = copy.deepcopy(PTBXL)
    place: object = mutated
    for _ in range(data.draw(st.integers(0, 3))):
        inside = list(place.values()) if isinstance(place, dict) else place if isinstance(place, list) else []
        deeper = [item for item in inside if isinstance(item, (dict, list)) and item]
        if not deeper:
            break
        place = data.draw(st.sampled_from(deeper))
    if isinstance(place, dict):
        key = data.draw(st.sampled_from(sorted(place)) | st.text(max_size=3))
        if data.draw(st.booleans()):
            place.pop(key, None)
        else:
            place[key] = data.draw(values)
    elif isinstance(place, list):
        place.append(data.draw(values))
    expected = jsonschema.Draft202012Validator(SCHEMA).is_valid(mutated)
    assert (not list(schema_violations(mutated, SCHEMA))) == expected
    if not expected:
        with pytest.raises(ManifestError):
            parse_manifest(mutated)


def test_true_is_not_one():
    assert list(schema_violations(True, {"enum": [1]})) != []
    assert list(schema_violations(1, {"enum": [1]})) == []
    assert list(schema_violations(True, {"type": "integer"})) != []


def test_a_schema_that_promises_an_unknown_check_is_refused():
    with pytest.raises(ValueError, match="uniqueItems"):
        list(schema_violations([], {"type": "array", "uniqueItems": True}))


@pytest.mark.parametrize(
    "path", ["", "/a", "../a", "a/../b", "a/./b", ".", "a\\b", "C:a", "https://x/a", "a\nb", "a\0b"]
)
def test_paths_outside_the_folder_are_refused(path):
    with pytest.raises(ManifestError):
        safe_relative(path)


def test_manifests_are_found_in_an_installed_package_first(tmp_path, monkeypatch):
    package = tmp_path / "site" / "ecgscan_lab"
    (package / "data").mkdir(parents=True)
    monkeypatch.setattr(module, "__file__", str(package / "data" / "manifest.py"))
    with pytest.raises(ManifestError):
        manifest_folder()
    (package / "_data_manifests").mkdir()
    (package / "_data_manifests" / "schema.json").write_text("{}")
    assert manifest_folder() == package / "_data_manifests"


def test_listing_loads_neither_torch_nor_a_socket():
    program = """
import sys
import ecgscan_lab.data.manifest as m
import ecgscan_lab.data.fetch, ecgscan_lab.data.verify
import socket
def refuse(*a, **k):
    raise SystemExit("a socket at import")
socket.socket.connect = socket.getaddrinfo = refuse
m.manifest_names("corpus")
sys.exit("torch is loaded" if "torch" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
