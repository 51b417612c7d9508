"""A page on disk: written whole, read back, and remade from its own JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.errors import ArgumentError, ExportError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PageSpec, draw_page, sample_layout
from ecgscan_lab.render.export.truth import (
    encode_picture,
    label_mask,
    page_truth,
    read_page_truth,
    remake,
    write_page,
)

PAGES = {
    "plain": (PageSpec(), None),
    "strips": (PageSpec(rhythm=("V1", "II"), header="A & B", layout="6x2", text_mm=3.5), None),
    "cabrera": (PageSpec.machine("megacart", notes=(("sinus?", 30.0, 12.0),)), None),
    "scanned": (PageSpec.compact(), "scan"),
    "photographed": (PageSpec(), "photo"),
}


@pytest.fixture(scope="module")
def record():
    made = synthetic_records(1, seed=4, fs_hz=100.0)[0]
    signal_mv = made.signal_mv.copy()
    signal_mv[1, 300:330] = np.nan
    return replace(made, signal_mv=signal_mv)


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_is_remade_pixel_for_pixel_from_its_json(record, tmp_path, kind):
    page, degrade = PAGES[kind]
    if degrade is not None:
        pytest.importorskip("ecgscan_lab.render.degrade")
    image = draw_page(record, page, degrade, size=(300, 400), seed=11)
    path = write_page(image, tmp_path, "000007")
    truth = read_page_truth(tmp_path / "000007.json")
    again = remake(truth, record)
    np.testing.assert_array_equal(again.pixels, image.pixels)
    with Image.open(path) as picture:
        np.testing.assert_array_equal(np.asarray(picture), image.pixels)
    assert truth.pixels_sha256 == hashlib.sha256(image.pixels.data).hexdigest()
    assert truth.page == page
    assert truth.degradation == image.degradation


@pytest.mark.parametrize("kind", PAGES)
def test_the_json_says_where_everything_is(record, tmp_path, kind):
    page, degrade = PAGES[kind]
    if degrade is not None:
        pytest.importorskip("ecgscan_lab.render.degrade")
    image = draw_page(record, page, degrade, size=(300, 400), seed=3)
    write_page(image, tmp_path, "p")
    truth = read_page_truth(tmp_path / "p.json")
    assert truth.polylines.keys() == image.polylines.keys()
    for name, line in image.polylines.items():
        np.testing.assert_allclose(truth.polylines[name], line, atol=0.0051, rtol=0)
    assert truth.boxes.keys() == image.boxes.keys()
    for name, box in image.boxes.items():
        np.testing.assert_allclose(truth.boxes[name], box, atol=0.0051)
    for name in ("windows", "origins_mm", "gains_mm_per_mv", "clipped", "fs_hz", "paper_speed_mm_per_s", "seed"):
        assert getattr(truth, name) == getattr(image, name)
    places = [[10.0, 20.0], [200.0, 90.0]]
    np.testing.assert_allclose(truth.page_map.to_px(places), image.page_map.to_px(places), atol=1e-6)
    assert truth.texts.keys() == {name for name in image.boxes if name.startswith("text ")}
    if page.show_lead_names and "text V1" in truth.texts:
        assert truth.texts["text V1"] == "V1"


def test_the_file_is_strict_json_that_other_programs_read(record, tmp_path):
    image = draw_page(record, size=(200, 260))
    write_page(image, tmp_path, "p")
    text = (tmp_path / "p.json").read_text()
    values = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    gap = values["traces"]["II rhythm"]["polyline"][310]
    assert gap[1] is None
    assert values["traces"]["aVL"]["window"] == [250, 500]
    np.testing.assert_allclose(values["homography"], image.mm_to_px)


def test_nothing_of_the_record_is_written(record, tmp_path):
    named = replace(record, record_id="Jane-Doe-1970", patient_id="P-4711", report="chest pain")
    path = write_page(draw_page(named, size=(200, 260)), tmp_path, "000000")
    for file in (path, path.with_suffix(".json")):
        content = file.read_bytes()
        assert not any(word in content for word in (b"Jane", b"4711", b"chest pain"))


def test_formats_and_their_resolution(record, tmp_path):
    image = draw_page(record, dpi=72)
    for name, suffix in (("png", ".png"), ("jpeg", ".jpg"), ("webp", ".webp")):
        path = write_page(image, tmp_path, "p", format=name, quality=95, truth=False)
        assert path.name == f"p{suffix}"
        with Image.open(path) as picture:
            assert picture.size == (792, 612)
            assert np.abs(np.asarray(picture.convert("RGB")).astype(int) - image.pixels).mean() < 4
            if name != "webp":
                assert picture.info["dpi"][0] == pytest.approx(72, abs=0.02)
    assert not (tmp_path / "p.json").exists()
    with pytest.raises(ArgumentError, match="format"):
        encode_picture(image.pixels, "tiff")
    for quality in (0, 101, 50.5, True):
        with pytest.raises(ArgumentError, match="quality"):
            encode_picture(image.pixels, "jpeg", quality)


@pytest.mark.parametrize("stem", ["", "a/b", "../x", ".hidden"])
def test_a_stem_is_a_plain_name(record, tmp_path, stem):
    with pytest.raises(ArgumentError, match="stem"):
        write_page(draw_page(record, size=(64, 64)), tmp_path, stem)


def test_the_label_mask_holds_each_leads_ink(record):
    image = draw_page(record, PageSpec(rhythm=("II",), gain_mm_per_mv=20.0), size=(400, 520))
    labels, inked = label_mask(image), np.zeros((400, 520), bool)
    for name in image.polylines:
        mask = image.mask(name)
        number = LEADS.index(name.split()[0]) + 1
        assert (labels[mask] == number).mean() > 0.9
        inked |= mask
    np.testing.assert_array_equal(labels > 0, inked)


def test_another_record_cannot_remake_the_page(record, tmp_path):
    write_page(draw_page(record, size=(200, 260)), tmp_path, "p")
    truth = read_page_truth(tmp_path / "p.json")
    other = synthetic_records(2, seed=5, fs_hz=100.0)[1]
    with pytest.raises(ExportError, match="elsewhere"):
        remake(truth, other)
    with pytest.raises(ExportError, match="500 Hz"):
        remake(truth, synthetic_records(1, seed=4, fs_hz=500.0)[0])
    with pytest.raises(ExportError, match="400 samples"):
        remake(truth, replace(record, signal_mv=record.signal_mv[:, :400]))


def test_a_page_that_was_not_drawn_here_has_no_truth(record):
    with pytest.raises(ArgumentError, match="remade"):
        page_truth(replace(draw_page(record, size=(64, 64)), page=None), "p.png")


def test_damaged_truth_is_a_typed_error(record, tmp_path):
    write_page(draw_page(record, size=(200, 260)), tmp_path, "p")
    path = tmp_path / "p.json"
    whole = path.read_text()
    values = json.loads(whole)
    damaged = [
        whole[: len(whole) // 2],
        "[]",
        "{}",
        whole.replace("page truth 1", "page truth 9"),
        json.dumps(values | {"page": {"width_mm": "wide"}}),
        json.dumps(values | {"traces": []}),
        json.dumps(values | {"degradation": 3}),
        json.dumps(values | {"homography": None, "height": "high"}),
        "[" * 100_000,
    ]
    for text in damaged:
        path.write_text(text)
        with pytest.raises(ExportError):
            read_page_truth(path)
    with pytest.raises(ExportError, match="FileNotFound"):
        read_page_truth(tmp_path / "absent.json")


@pytest.mark.parametrize("seed", range(6))
def test_any_layout_survives_the_round_trip(record, tmp_path, seed):
    image = draw_page(record, sample_layout(np.random.default_rng(seed)), size=(250, 330))
    write_page(image, tmp_path, "p")
    np.testing.assert_array_equal(remake(read_page_truth(tmp_path / "p.json"), record).pixels, image.pixels)
