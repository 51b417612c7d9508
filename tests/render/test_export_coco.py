"""COCO files: exact masks, boxes around them, ids that meet."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PageSpec, draw_page
from ecgscan_lab.render.export.coco import coco_page, mask_rle, rle_mask, write_coco


@given(st.integers(1, 9), st.integers(1, 9), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_run_lengths_are_inverted_exactly(height, width, random):
    mask = np.array([[random.random() < 0.5 for _ in range(width)] for _ in range(height)])
    rle = mask_rle(mask)
    np.testing.assert_array_equal(rle_mask(rle), mask)
    assert sum(rle["counts"][1::2]) == mask.sum()


def test_run_lengths_go_down_the_columns_and_start_with_zeros():
    assert mask_rle(np.array([[True, False], [True, True]])) == {"size": [2, 2], "counts": [0, 2, 1, 1]}
    assert mask_rle(np.zeros((3, 2), bool))["counts"] == [6]


def test_bad_runs_and_masks_are_refused():
    for counts in ([3], [5], [-1, 5]):
        with pytest.raises(ArgumentError, match="counts"):
            rle_mask({"size": [2, 2], "counts": counts})
    with pytest.raises(ArgumentError, match="mask"):
        mask_rle(np.zeros(4, bool))


@pytest.fixture(scope="module")
def pages():
    records = synthetic_records(2, seed=1, fs_hz=100.0)
    return [draw_page(records[0], size=(300, 400)), draw_page(records[1], PageSpec(rhythm=("V1",)), size=(250, 300))]


def test_each_trace_has_its_mask_and_the_box_around_it(pages):
    part = coco_page(pages[1], "000001.png", image_id=1)
    names = {category["id"]: category["name"] for category in part["categories"]}
    by_name = {item["name"]: item for item in part["annotations"]}
    assert set(by_name) == {*pages[1].polylines, *pages[1].boxes}
    for name in pages[1].polylines:
        item, mask = by_name[name], pages[1].mask(name)
        np.testing.assert_array_equal(rle_mask(item["segmentation"]), mask)
        assert names[item["category_id"]] == name.split()[0]
        x, y, width, height = (int(v) for v in item["bbox"])
        assert mask[y : y + height, x : x + width].sum() == mask.sum() == item["area"]
        edges = (mask[y], mask[y + height - 1], mask[:, x], mask[:, x + width - 1])
        assert all(edge.any() for edge in edges)
        low, high = np.array(pages[1].boxes[name]).reshape(2, 2)
        assert np.abs(np.array([x, y]) - low).max() < 2.0  # ends of a thin pen ink less than a quarter of a pixel
        assert (
            np.abs(np.array([x + width, y + height]) - high).max() < 2.0
        )  # ends of a thin pen ink less than a quarter of a pixel
    assert names[by_name["text V1"]["category_id"]] == "text"
    assert names[by_name["pulse 1"]["category_id"]] == "pulse"


def test_a_file_of_several_pages_joins_up(pages, tmp_path):
    path = write_coco(tmp_path / "coco.json", ((f"{i:06d}.png", page) for i, page in enumerate(pages)))
    content = json.loads(path.read_text())
    assert [image["file_name"] for image in content["images"]] == ["000000.png", "000001.png"]
    assert {c["name"] for c in content["categories"]} == {*LEADS, "text", "pulse"}
    ids = [item["id"] for item in content["annotations"]]
    assert len(set(ids)) == len(ids)
    assert {item["image_id"] for item in content["annotations"]} == {0, 1}
    for item in content["annotations"]:
        image = content["images"][item["image_id"]]
        x, y, width, height = item["bbox"]
        assert min(x, y) >= 0
        assert max(x + width - image["width"], y + height - image["height"]) <= 0.01
        assert item["category_id"] in {c["id"] for c in content["categories"]}


def test_no_pages_make_a_file_that_is_still_coco(tmp_path):
    content = json.loads(write_coco(tmp_path / "coco.json", []).read_text())
    assert content["images"] == content["annotations"] == []


def test_coco_tools_read_the_masks(pages, tmp_path):
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
    read = coco.COCO(str(write_coco(tmp_path / "coco.json", [("000000.png", pages[0])])))
    for item in read.loadAnns(read.getAnnIds()):
        if item["name"] in pages[0].polylines:
            np.testing.assert_array_equal(read.annToMask(item).astype(bool), pages[0].mask(item["name"]))
