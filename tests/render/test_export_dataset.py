"""Many pages: the same bytes whoever draws them and when, resumable, careful with what lies in the folder."""

from __future__ import annotations

import csv
import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import wfdb
from PIL import Image

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.data.wfdb_records import read_record
from ecgscan_lab.errors import ArgumentError, ExportError, PageError, TableError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PageSpec
from ecgscan_lab.render.export import dataset as export_dataset
from ecgscan_lab.render.export import progress as export_progress
from ecgscan_lab.render.export.dataset import render_dataset
from ecgscan_lab.render.export.settings import RenderSettings, page_named, page_seed
from ecgscan_lab.render.export.sources import find_records
from ecgscan_lab.render.export.truth import read_page_truth, remake

SMALL = {"size": (120, 160)}
NAMES = ("ward/Doe-Jane", "ward/Roe-Richard", "x1", "x2", "x3")


@pytest.fixture(scope="module")
def records_dir(tmp_path_factory):
    """Five recordings in two folders, named as hospitals name them."""
    folder = tmp_path_factory.mktemp("records")
    for name, record in zip(NAMES, synthetic_records(len(NAMES), seed=2, fs_hz=100.0), strict=True):
        place = folder / name
        place.parent.mkdir(exist_ok=True)
        digital = np.rint(record.signal_mv.T * 1000).astype(int)
        wfdb.wrsamp(
            place.name,
            fs=100,
            units=["mV"] * 12,
            sig_name=list(LEADS),
            d_signal=digital,
            fmt=["16"] * 12,
            adc_gain=[1000.0] * 12,
            baseline=[0] * 12,
            write_dir=str(place.parent),
        )
    return folder


@pytest.fixture
def damaged_dir(records_dir, tmp_path):
    """The same, but the second recording's signal file is cut short."""
    folder = shutil.copytree(records_dir, tmp_path / "damaged")
    signal = folder / f"{NAMES[1]}.dat"
    signal.write_bytes(signal.read_bytes()[:1000])
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_recording_becomes_a_numbered_page_with_its_truth(records_dir, tmp_path):
    done = render_dataset(records_dir, tmp_path / "out", RenderSettings(**SMALL, degrade="scan", seed=3))
    assert (done.pages, done.drawn, done.skipped) == (5, 5, ())
    index = rows_of(tmp_path / "out" / "index.csv")
    assert [row["record"] for row in index] == list(NAMES)
    for row in index:
        truth = read_page_truth((tmp_path / "out" / row["file"]).with_suffix(".json"))
        assert truth.seed == int(row["seed"]) == page_seed(3, row["record"])
        again = remake(truth, read_record(records_dir / row["record"], allow_flat=True))
        with Image.open(tmp_path / "out" / row["file"]) as picture:
            np.testing.assert_array_equal(np.asarray(picture), again.pixels)


def test_names_and_pages_say_nothing_of_patients(records_dir, tmp_path):
    render_dataset(records_dir, tmp_path / "out", RenderSettings(**SMALL, truth="both", masks=True))
    for name, content in contents(tmp_path / "out").items():
        assert "Doe" not in name
        assert name == "index.csv" or b"Doe" not in content


def test_a_page_does_not_depend_on_its_neighbours(records_dir, tmp_path):
    settings = RenderSettings(**SMALL, degrade="paper", vary="layout")
    render_dataset(records_dir, tmp_path / "all", settings)
    alone = tmp_path / "alone"
    alone.mkdir()
    for suffix in (".hea", ".dat"):
        shutil.copy(records_dir / f"x2{suffix}", alone)
    render_dataset(alone, tmp_path / "one", settings)
    assert (tmp_path / "one" / "000000.png").read_bytes() == (tmp_path / "all" / "000003.png").read_bytes()


def test_a_resumed_run_draws_what_is_missing_and_equals_a_whole_one(records_dir, tmp_path):
    settings = RenderSettings(**SMALL, degrade="paper", truth="both", shard_size=2)
    render_dataset(records_dir, tmp_path / "whole", settings)
    part = tmp_path / "part"
    assert render_dataset(records_dir, part, settings, limit=3).pages == 3
    (part / "shard-00000" / "000001.png").unlink()
    kept = (part / "shard-00000" / "000000.png").stat().st_mtime_ns
    done = render_dataset(records_dir, part, settings)
    assert (done.pages, done.drawn) == (5, 3)
    assert (part / "shard-00000" / "000000.png").stat().st_mtime_ns == kept
    assert contents(part) == contents(tmp_path / "whole")
    assert render_dataset(records_dir, part, settings).drawn == 0


@pytest.mark.slow
def test_two_workers_write_the_same_bytes_as_one(records_dir, tmp_path):
    settings = RenderSettings(**SMALL, degrade="paper", vary="looks", truth="both", masks=True, copies=4)
    for workers in (1, 2):
        done = render_dataset(records_dir, tmp_path / str(workers), settings, workers=workers)
        assert done.drawn == 20
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.slow
def test_workers_make_synthetic_pages_and_report_bad_recordings(damaged_dir, tmp_path):
    done = render_dataset("synthetic:3", tmp_path / "made", RenderSettings(**SMALL), workers=2)
    assert done.pages == 3
    done = render_dataset(damaged_dir, tmp_path / "damaged-pages", RenderSettings(**SMALL), workers=2)
    assert [bad.record_id for bad in done.skipped] == [NAMES[1]]


def test_bad_recordings_are_listed_and_leave_their_number_free(damaged_dir, tmp_path):
    out = tmp_path / "out"
    done = render_dataset(damaged_dir, out, RenderSettings(**SMALL))
    assert (done.pages, len(done.skipped)) == (4, 1)
    (row,) = rows_of(out / "skipped.csv")
    assert row["record"] == NAMES[1]
    assert row["error"] == "RecordError"
    assert "truncated" in row["message"]
    assert [row["number"] for row in rows_of(out / "index.csv")] == ["0", "2", "3", "4"]
    assert not (out / "000001.png").exists()
    shutil.copy(damaged_dir / "x1.dat", damaged_dir / f"{NAMES[1]}.dat")
    header = (damaged_dir / "x1.hea").read_text()
    (damaged_dir / f"{NAMES[1]}.hea").write_text(header.replace("x1", "Roe-Richard"))
    assert render_dataset(damaged_dir, out, RenderSettings(**SMALL)).skipped == ()
    assert (out / "000001.png").exists()
    assert not (out / "skipped.csv").exists()


def test_other_settings_are_refused_by_name_until_asked_to_overwrite(records_dir, tmp_path):
    out = tmp_path / "out"
    render_dataset(records_dir, out, RenderSettings(**SMALL, format="jpeg", shard_size=2, masks=True))
    (out / "notes.txt").write_text("mine")
    other = RenderSettings(**SMALL, page=PageSpec(gain_mm_per_mv=5.0))
    with pytest.raises(ArgumentError, match=r"different: format, masks, shard_size, page\.gain_mm_per_mv"):
        render_dataset(records_dir, out, other)
    with pytest.raises(ArgumentError, match="different: source"):
        render_dataset("synthetic:2", out, RenderSettings(**SMALL, format="jpeg", shard_size=2, masks=True))
    render_dataset(records_dir, out, other, overwrite=True)
    names = {f"00000{i}.{ending}" for i in range(5) for ending in ("png", "json")}
    assert set(contents(out)) == names | {"index.csv", "render.json", "notes.txt"}


def test_a_folder_of_other_things_is_left_alone(records_dir, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "000000.png").write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(ArgumentError, match="other files"):
            render_dataset(records_dir, tmp_path / "photos", RenderSettings(**SMALL), overwrite=overwrite)
    assert contents(tmp_path / "photos") == {"000000.png": b"mine"}
    (tmp_path / "photos" / "render.json").write_text("{}")
    with pytest.raises(ExportError, match="not written by a run"):
        render_dataset(records_dir, tmp_path / "photos", RenderSettings(**SMALL))
    with pytest.raises(ArgumentError, match="other files"):
        render_dataset(records_dir, tmp_path / "photos" / "000000.png", RenderSettings(**SMALL))


def test_pictures_are_the_same_with_and_without_their_truth(records_dir, tmp_path):
    for degrade in ("clean", "photo"):
        for truth in ("json", "none"):
            render_dataset(
                records_dir, tmp_path / degrade / truth, RenderSettings(**SMALL, truth=truth, degrade=degrade)
            )
        for i in range(5):
            one, other = (tmp_path / degrade / truth / f"00000{i}.png" for truth in ("json", "none"))
            assert one.read_bytes() == other.read_bytes()
        assert not list((tmp_path / degrade / "none").glob("0*.json"))


def test_coco_joins_all_pages_with_paths_from_the_folder(records_dir, tmp_path):
    settings = RenderSettings(**SMALL, truth="coco", shard_size=3, copies=2)
    render_dataset(records_dir, tmp_path / "out", settings)
    content = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert [image["id"] for image in content["images"]] == list(range(10))
    for image in content["images"]:
        with Image.open(tmp_path / "out" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
    ids = [item["id"] for item in content["annotations"]]
    assert len(ids) == len(set(ids)) > 100
    part = json.loads((tmp_path / "out" / "shard-00001" / "000004.coco.json").read_text())
    assert part["images"][0]["file_name"] == "000004.png"


def test_masks_lie_beside_the_pictures(records_dir, tmp_path):
    render_dataset(records_dir, tmp_path / "out", RenderSettings(size=(300, 400), masks=True, truth="none"), limit=1)
    with Image.open(tmp_path / "out" / "000000.mask.png") as mask:
        assert mask.size == (400, 300)
        assert set(np.unique(np.asarray(mask)).tolist()) == set(range(13))


def test_print_formats(records_dir, tmp_path):
    for name, start in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        render_dataset(records_dir, tmp_path / name, RenderSettings(format=name), limit=2)
        assert (tmp_path / name / f"000001.{name}").read_bytes().startswith(start)


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(records_dir, tmp_path, monkeypatch):
    real, written = export_dataset.write_page, []

    def write_two(image, folder, stem, **options):
        if len(written) == 2:
            raise ExportError("cannot write the file (No space left on device)", field="out") from OSError(
                errno.ENOSPC, "No space left on device"
            )
        written.append(stem)
        return real(image, folder, stem, **options)

    monkeypatch.setattr(export_dataset, "write_page", write_two)
    with pytest.raises(ExportError, match="No space left"):
        render_dataset(records_dir, tmp_path / "out", RenderSettings(**SMALL))
    assert len(rows_of(tmp_path / "out" / "index.csv")) == 2
    monkeypatch.undo()
    assert render_dataset(records_dir, tmp_path / "out", RenderSettings(**SMALL)).drawn == 3


def test_an_interrupt_keeps_what_is_finished(records_dir, tmp_path, monkeypatch):
    real, calls = export_dataset.draw_page, []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **options)

    monkeypatch.setattr(export_dataset, "draw_page", interrupted)
    with pytest.raises(KeyboardInterrupt):
        render_dataset(records_dir, tmp_path / "out", RenderSettings(**SMALL))
    assert [row["number"] for row in rows_of(tmp_path / "out" / "index.csv")] == ["0", "1"]


def test_an_out_that_cannot_be_made_is_a_typed_error(records_dir, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ExportError, match="cannot write"):
        render_dataset(records_dir, tmp_path / "file" / "out", RenderSettings(**SMALL))


def test_progress_is_plain_lines_where_there_is_no_terminal(records_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export_progress, "LINE_EVERY_S", 0.0)
    render_dataset(records_dir, tmp_path / "out", RenderSettings(**SMALL), progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("5 of at most 5 pages")
    render_dataset(records_dir, tmp_path / "quiet", RenderSettings(**SMALL))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "change",
    [
        {"vary": "some"},
        {"format": "tiff"},
        {"truth": "yes"},
        {"quality": 0},
        {"seed": -1},
        {"copies": 0},
        {"shard_size": 0},
        {"copies": True},
        {"degrade": "mangled"},
        {"format": "pdf", "degrade": "scan"},
        {"format": "svg", "truth": "json"},
    ],
)
def test_bad_settings_are_refused(change):
    with pytest.raises(ArgumentError):
        RenderSettings(**change)


def test_bad_arguments_are_refused_before_anything_is_written(records_dir, tmp_path):
    for options in ({"workers": 0}, {"workers": 1.5}, {"limit": 0}):
        with pytest.raises(ArgumentError, match=next(iter(options))):
            render_dataset(records_dir, tmp_path / "out", **options)
    with pytest.raises(PageError):
        RenderSettings(size=(4, 4))
    assert not (tmp_path / "out").exists()


def test_sources_are_listed_in_a_fixed_order(records_dir, tmp_path):
    assert find_records(records_dir).names == NAMES
    assert len(find_records("synthetic")) == 24
    made = find_records("synthetic:2", seed=5, fs_hz=200.0).made()
    assert [record.record_id for record in made] == ["synthetic-5-000000", "synthetic-5-000001"]
    assert made[0].fs_hz == 200.0
    (records_dir / "cohort.csv").write_text("record,split\nx2,train\nward/Doe-Jane.hea,test\n")
    try:
        source = find_records(f"cohort:{records_dir}", fs_hz=250.0)
        assert source.names == ("x2", "ward/Doe-Jane")
        assert source.read(1).fs_hz == 250.0
        (records_dir / "cohort.csv").write_text("record\nx2\nx2\n")
        with pytest.raises(TableError, match="twice"):
            find_records(f"cohort:{records_dir}")
    finally:
        (records_dir / "cohort.csv").unlink()
    for source in ("synthetic:0", "synthetic:x", "synthetic:"):
        with pytest.raises(ArgumentError, match="source"):
            find_records(source)
    for source in (tmp_path, tmp_path / "absent", "ptbxl:nowhere"):
        with pytest.raises(TableError):
            find_records(source)


def test_pages_by_name(tmp_path):
    assert page_named("a4").width_mm == 297.0
    assert page_named("image_kit", rhythm=("V1", "II")).strip_shift_mm == 0.0
    (tmp_path / "page.json").write_text(json.dumps(PageSpec(layout="12x1", rhythm=()).as_dict()))
    assert page_named(str(tmp_path / "page.json"), grid="blue") == PageSpec(layout="12x1", rhythm=(), grid="blue")
    for name in ("unknown", str(tmp_path / "absent.json")):
        with pytest.raises(ArgumentError, match="page"):
            page_named(name)


@pytest.mark.real
def test_ptbxl_is_drawn_from_its_official_folder(ptbxl_dir, tmp_path):
    done = render_dataset(f"ptbxl:{ptbxl_dir}", tmp_path / "out", RenderSettings(**SMALL, fs_hz=500.0), limit=3)
    assert done.pages + len(done.skipped) == 3
    assert done.pages >= 1
    assert all(row["record"].startswith("records500/") for row in rows_of(tmp_path / "out" / "index.csv"))
