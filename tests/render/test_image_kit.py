"""The adapter is held to a fake checkout with the kit's names and formats; the real kit is tried where one is."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.errors import ArgumentError, MissingExtraError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.image_kit.adapter import KitPage, draw_page_with_image_kit, image_kit_seconds
from ecgscan_lab.render.image_kit.process import KIT_VARIABLE, PYTHON_VARIABLE

FAKE_IMGAUG = """
import copy, random
from types import SimpleNamespace
def seed(value): random.seed(value + 1)
class Keypoint:
    def __init__(self, x, y): self.x, self.y = x, y
class KeypointsOnImage:
    def __init__(self, keypoints, shape): self.keypoints = keypoints
augmentables = SimpleNamespace(kps=SimpleNamespace(Keypoint=Keypoint, KeypointsOnImage=KeypointsOnImage))
"""
FAKE_AUGMENTERS = """
import numpy, random
from imgaug import Keypoint, KeypointsOnImage
class Sequential:
    def __init__(self, reach): self.shift = random.randint(1, reach)
    def to_deterministic(self): return self
    def augment_keypoints(self, pages):
        return [KeypointsOnImage([Keypoint(k.x + self.shift, k.y) for k in p.keypoints], None) for p in pages]
    def __call__(self, images): return [numpy.roll(image, self.shift, axis=1) for image in images]
"""
# The kit's page: rows from below, 8.5 in high, millivolts upwards; labels as (y, x) before padding.
FAKE_GENERATOR = """
import argparse, json, os, random
import numpy as np
from PIL import Image, ImageDraw
from imgaug import augmenters as iaa
from HandwrittenText.generate import get_handwritten
MODE = "sound"
ORDER = ["III", "aVF", "V3", "V6", "II", "aVL", "V2", "V5", "I", "aVR", "V1", "V4"]
COLUMN = {"aVR": 1, "aVL": 1, "aVF": 1, "V1": 2, "V2": 2, "V3": 2, "V4": 3, "V5": 3, "V6": 3}
def get_parser():
    p = argparse.ArgumentParser()
    for short, name in (("-i", "input_file"), ("-hea", "header_file"), ("-o", "output_directory")):
        p.add_argument(short, "--" + name, required=True)
    p.add_argument("-st", "--start_index", type=int, required=True)
    p.add_argument("-r", "--resolution", type=int, default=200)
    p.add_argument("--pad_inches", type=int, default=0)
    p.add_argument("--full_mode", default="II")
    p.add_argument("--store_config", type=int, default=0)
    for name in ("calibration_pulse", "random_bw", "random_grid_present"): p.add_argument("--" + name, type=float)
    p.add_argument("--standard_grid_color", type=int, default=5)
    for name in ("print_header", "random_grid_color", "lead_name_bbox", "wrinkles", "augment"):
        p.add_argument("--" + name, action="store_true")
    p.add_argument("--remove_lead_names", action="store_false")
    p.add_argument("-rot", type=int), p.add_argument("-noise", type=int), p.add_argument("-c", type=float)
    return p
def get_augment(out, output_directory, bbox, store_text_bounding_box, json_dict):
    assert not bbox and not store_text_bounding_box
    json_dict["leads"] = "spoilt, as the kit does"
    image = iaa.Sequential(40)(images=[np.array(Image.open(out))])[0]
    Image.fromarray(image).save(out)
def run_single_file(a):
    assert "#" not in open(a.header_file).read()
    lines = open(a.header_file).read().splitlines()
    fs, n = float(lines[0].split()[2]), int(lines[0].split()[3])
    gain = float(lines[1].split()[2].split("(")[0])
    digital = np.fromfile(a.input_file, "<i2").reshape(n, 12).T
    mv = dict(zip([line.split()[-1] for line in lines[1:13]], np.where(digital == -32768, np.nan, digital / gain)))
    if MODE == "silent": return 0
    if MODE == "fails": raise IndexError("list index out of range")
    if MODE == "hangs":
        import time; time.sleep(60)
    dpi = a.resolution
    tint = (250, random.randint(200, 250), np.random.randint(200, 250))
    page = Image.new("RGB", (int(11 * dpi), int(8.5 * dpi)), tint)
    pen, leads, s = ImageDraw.Draw(page), [], dpi / 25.4
    for i, name in enumerate([*ORDER, a.full_mode]):
        column, seconds = (COLUMN.get(name, 0), 2.5) if i < 12 else (0, 10)
        y0 = (1.5 + i // 4) * 215.9 / 6 if i < 12 else 215.9 / 12 + 3
        if MODE == "gain": y0 += mv[name][0]
        start = int(column * 2.5 * fs)
        part = mv[name][start : start + int(seconds * fs)]
        x = (15 + 62.5 * column + 25 * np.arange(len(part)) / fs) * s
        y = int(8.5 * dpi) - (y0 + 10 * part * (0.5 if MODE == "gain" else 1)) * s
        for k in range(len(x) - 1):
            if np.isfinite(y[k : k + 2]).all(): pen.line([*map(int, (x[k], y[k], x[k + 1], y[k + 1]))], (0, 0, 0))
        lead = {"start_sample": start, "end_sample": start + len(part)}
        if i < 12 or a.remove_lead_names: lead["lead_name"] = name
        if a.lead_name_bbox:
            top, left = int(y[0]) + 10, int(x[0])
            corners = [[top, left], [top, left + 20], [top + 9, left + 20], [top + 9, left]]
            lead["text_bounding_box"] = dict(enumerate(corners))
        lead["plotted_pixels"] = [[round(v, 2), round(u, 2)] for u, v in zip(x, y)]
        leads.append(lead)
    out = os.path.join(a.output_directory, "page-0.png")
    if a.pad_inches:
        wide = Image.new("RGB", (page.width + 2 * a.pad_inches * dpi, page.height + 2 * a.pad_inches * dpi), "white")
        wide.paste(page, (a.pad_inches * dpi,) * 2)
        page = wide
    page.save(out)
    labels = {"width": int(11 * dpi), "height": int(8.5 * dpi), "leads": leads}
    if a.augment:
        get_augment(out, output_directory=None, bbox=False, store_text_bounding_box=a.lead_name_bbox, json_dict=labels)
    if a.store_config: json.dump(labels, open(out.replace(".png", ".json"), "w"))
    return 1
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone with the kit's folders, in which `MODE` may be changed."""
    folder = tmp_path / "clone" / "codes" / "ecg-image-generator"
    (folder / "imgaug").mkdir(parents=True)
    (folder / "imgaug" / "__init__.py").write_text(FAKE_IMGAUG)
    (folder / "imgaug" / "augmenters.py").write_text(FAKE_AUGMENTERS)
    (folder / "gen_ecg_image_from_data.py").write_text(FAKE_GENERATOR)
    for name in ("extract_leads.py", "ecg_plot.py", "config.yaml"):
        (folder / name).touch()
    return tmp_path / "clone"


@pytest.fixture(scope="module")
def record():
    made = synthetic_records(1, seed=3, fs_hz=250.0)[0]
    signal_mv = made.signal_mv.copy()
    signal_mv[1, 100:140] = np.nan
    return replace(made, signal_mv=signal_mv, record_id="Jane Doe")


def set_mode(checkout: Path, mode: str) -> None:
    script = checkout / "codes" / "ecg-image-generator" / "gen_ecg_image_from_data.py"
    script.write_text(script.read_text().replace('MODE = "sound"', f'MODE = "{mode}"'))


def ink_distance_px(image, dark: int = 100) -> np.ndarray:
    """Distance from every labelled point inside the picture to the centre of the nearest dark pixel."""
    from scipy.spatial import cKDTree

    rows, columns = np.nonzero(image.pixels.max(axis=2) < dark)
    points = np.concatenate(list(image.polylines.values()))
    height, width = image.pixels.shape[:2]
    points = points[np.isfinite(points).all(axis=1)]
    points = points[((points > 1) & (points < (width - 1, height - 1))).all(axis=1)]
    return cKDTree(np.column_stack([columns, rows]) + 0.5).query(points)[0]


@pytest.mark.parametrize(
    ("page", "dpi"),
    [(KitPage(), 100), (KitPage(pad_inches=1, rhythm="V1"), 73), (KitPage(augment=True, pad_inches=1), 120)],
)
def test_labels_lie_on_the_ink_through_padding_and_augmentation(checkout, record, page, dpi):
    image = draw_page_with_image_kit(record, page, dpi=dpi, kit=checkout, python=sys.executable)
    assert list(image.polylines) == [*LEADS, f"{page.rhythm} rhythm"]
    assert ink_distance_px(image).max() < 0.75
    points = image.polylines["V2"][::50]
    back = image.to_mv("V2", points)
    np.testing.assert_allclose(back[:, 0], np.arange(1250, 1875, 50) / 250, atol=0.003)
    np.testing.assert_allclose(back[:, 1], record.signal_mv[LEADS.index("V2"), 1250:1875:50], atol=0.005)
    assert image.windows["V2"] == (1250, 1875)
    assert np.isnan(image.polylines["II"][110, 1])
    np.testing.assert_allclose(image.grid_spacing_px, dpi / 25.4)


def test_boxes_hold_traces_names_and_pulses(checkout, record):
    image = draw_page_with_image_kit(record, KitPage(augment=True), dpi=100, kit=checkout, python=sys.executable)
    names = list(image.polylines)
    assert set(image.boxes) == {*names, *(f"text {name}" for name in names), *(f"pulse {k}" for k in (1, 2, 3, 4))}
    for name in names:
        line = image.polylines[name]
        x0, y0, x1, y1 = image.boxes[name]
        low, high = np.nanmin(line, axis=0), np.nanmax(line, axis=0)
        assert ((low - (x0, y0) >= 0) & (low - (x0, y0) < 1) & ((x1, y1) - high >= 0)).all()
        assert image.boxes[f"text {name}"][0] - line[0, 0] == pytest.approx(0, abs=1)
    assert image.boxes["pulse 1"][1] < image.boxes["pulse 4"][1]
    assert (
        "pulse 1"
        not in draw_page_with_image_kit(
            record, KitPage(pulses=False, lead_names=False), dpi=50, kit=checkout, python=sys.executable
        ).boxes
    )


def test_one_seed_one_picture(checkout, record):
    drawn = [
        draw_page_with_image_kit(record, KitPage(augment=True), seed=seed, dpi=50, kit=checkout, python=sys.executable)
        for seed in (5, 5, 6)
    ]
    np.testing.assert_array_equal(drawn[0].pixels, drawn[1].pixels)
    assert not np.array_equal(drawn[0].pixels, drawn[2].pixels)


def test_seconds_are_measured_inside_the_process(checkout, record):
    seconds = image_kit_seconds([record] * 3, dpi=50, kit=checkout / "codes" / "ecg-image-generator")
    assert len(seconds) == 3
    assert all(0 < value < 10 for value in seconds)


def test_a_loud_recording_keeps_its_shape(checkout, record):
    loud = replace(record, signal_mv=record.signal_mv * 40)
    image = draw_page_with_image_kit(loud, dpi=50, kit=checkout, python=sys.executable)
    assert image.clipped["V2"] > 0


def test_a_missing_or_wrong_checkout_says_what_to_set(record, tmp_path, monkeypatch):
    monkeypatch.delenv(KIT_VARIABLE, raising=False)
    with pytest.raises(MissingExtraError, match="no checkout") as caught:
        draw_page_with_image_kit(record)
    assert KIT_VARIABLE in caught.value.fix
    monkeypatch.setenv(KIT_VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(MissingExtraError, match="no such folder"):
        draw_page_with_image_kit(record)
    monkeypatch.setenv(KIT_VARIABLE, str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"gen_ecg_image_from_data\.py"):
        draw_page_with_image_kit(record)


def test_an_interpreter_without_the_packages_is_named(checkout, record, tmp_path, monkeypatch):
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "no-python"))
    with pytest.raises(MissingExtraError, match="cannot start"):
        draw_page_with_image_kit(record, kit=checkout)
    (checkout / "codes" / "ecg-image-generator" / "imgaug" / "__init__.py").write_text("import no_such_package_xyz")
    with pytest.raises(MissingExtraError, match="no_such_package_xyz") as caught:
        draw_page_with_image_kit(record, kit=checkout, python=sys.executable)
    assert PYTHON_VARIABLE in caught.value.fix


@pytest.mark.parametrize(
    ("mode", "words"),
    [("silent", "drew no page"), ("fails", "list index out of range"), ("gain", "px from its signal")],
)
def test_failures_of_the_kit_become_page_errors(checkout, record, mode, words):
    set_mode(checkout, mode)
    with pytest.raises(PageError, match=words):
        draw_page_with_image_kit(record, dpi=50, kit=checkout, python=sys.executable)


def test_a_kit_that_hangs_is_given_up(checkout, record):
    set_mode(checkout, "hangs")
    with pytest.raises(PageError, match="did not end within 2 s"):
        draw_page_with_image_kit(record, dpi=50, kit=checkout, python=sys.executable, timeout_s=2.0)


def test_bad_arguments_are_refused_before_anything_runs(checkout, record):
    short = replace(record, signal_mv=record.signal_mv[:, :2000])
    with pytest.raises(PageError, match="windows of 10 s"):
        draw_page_with_image_kit(short, kit=checkout)
    for dpi in (0, 72.5, True, 10**6):
        with pytest.raises(PageError, match="dpi"):
            draw_page_with_image_kit(record, dpi=dpi, kit=checkout)
    with pytest.raises(ArgumentError, match="seed"):
        draw_page_with_image_kit(record, seed=-1, kit=checkout)
    for change in ({"rhythm": "X"}, {"grid": "puce"}, {"crop": 0.6}, {"noise": 0}, {"rotate_deg": 2.5}):
        with pytest.raises(ArgumentError, match=next(iter(change))):
            KitPage(**change)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("page", [KitPage(), KitPage(grid="blue", augment=True, rotate_deg=6, noise=2, pad_inches=1)])
def test_the_real_kit_draws_a_real_recording(ptbxl_dir, page):
    if not os.environ.get(KIT_VARIABLE):
        pytest.skip(f"set {KIT_VARIABLE} (and {PYTHON_VARIABLE}) to try a checkout of ecg-image-kit")
    from ecgscan_lab.data.wfdb_records import read_record

    record = read_record(ptbxl_dir / "records500" / "00000" / "00001_hr")
    image = draw_page_with_image_kit(record, page, seed=1)
    distance_px = ink_distance_px(image, dark=110)
    assert np.median(distance_px) < 0.5
    assert np.percentile(distance_px, 99) < 1.0
