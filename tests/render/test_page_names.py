"""Pages are joined to labels: each file of a rendered folder bears the name of its recording."""

from __future__ import annotations

import json

import pytest

from ecgscan_lab.errors import ArgumentError, TableError
from ecgscan_lab.evaluate.inputs import Reading, list_inputs
from ecgscan_lab.render.export.dataset import render_dataset
from ecgscan_lab.render.export.page_names import page_names
from ecgscan_lab.render.export.settings import RenderSettings


@pytest.fixture
def pages(tmp_path):
    """Three recordings, two pages each, in shards, with masks beside them."""
    settings = RenderSettings(size=(120, 160), fs_hz=100.0, copies=2, shard_size=4, masks=True)
    return render_dataset("synthetic:3", tmp_path / "pages", settings).out


def _names(folder):
    return [item.name for item in list_inputs(folder, Reading())]


def _as_of(folder, kind, record):
    """Make the folder say that its first page shows this recording of such a source."""
    manifest = json.loads((folder / "render.json").read_text())
    manifest["source"]["kind"] = kind
    (folder / "render.json").write_text(json.dumps(manifest))
    index = folder / "index.csv"
    index.write_text(index.read_text().replace("synthetic-0-000000", record))


def test_pages_are_named_after_their_recordings_and_copies_are_numbered(pages):
    wanted = [f"synthetic-0-{i:06d}{copy}" for i in range(3) for copy in ("", "#2")]
    assert _names(pages) == wanted
    assert list(page_names(pages)) == [f"shard-{n // 4:05d}/{n:06d}.png" for n in range(6)]
    assert _names(f"pictures:{pages}") == wanted


@pytest.mark.parametrize(
    ("kind", "record", "name"),
    [
        ("ptbxl", "records100/00000/00001_lr", "00001_lr"),
        ("ptbxl", "records500/00000/00001_hr", "00001_lr"),
        ("cohort", "ward/a_hr", "ward/a_hr"),
        ("folder", "records500/00000/00001_hr", "records500/00000/00001_hr"),
    ],
)
def test_names_are_those_of_the_labels_of_the_source(pages, kind, record, name):
    _as_of(pages, kind, record)
    assert _names(pages)[:2] == [name, f"{name}#2"]


def test_other_folders_keep_the_names_of_their_files(pages):
    for manifest in ("[]", "{}", "no JSON", json.dumps({"format": "another", "source": {"kind": "ptbxl"}})):
        (pages / "render.json").write_text(manifest)
        assert page_names(pages) is None
    assert _names(pages)[0] == "shard-00000/000000"


def test_pages_that_the_index_does_not_list_are_refused(pages):
    (pages / "own.png").write_bytes((pages / "shard-00000" / "000000.png").read_bytes())
    with pytest.raises(TableError, match=r"own.png is not listed") as caught:
        _names(pages)
    assert "render" in caught.value.fix
    (pages / "own.png").unlink()
    (pages / "index.csv").write_text((pages / "index.csv").read_text().replace(",0,", ",first,"))
    with pytest.raises(TableError, match="copy 'first'"):
        _names(pages)
    (pages / "index.csv").unlink()
    with pytest.raises(TableError, match="which recordings"):
        _names(pages)


def test_a_page_is_asked_for_once(pages):
    with pytest.raises(ArgumentError, match="named 'synthetic-0-000000'"):
        list_inputs([pages, "synthetic:1"], Reading())
