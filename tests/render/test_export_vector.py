"""Print-outs: true millimetres in SVG and PDF, and not one pixel."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PageSpec, draw_page
from ecgscan_lab.render.export.vector import page_svg, write_pdf, write_svg

NAMESPACE = "{http://www.w3.org/2000/svg}"
PAGES = {
    "plain": PageSpec(),
    "fast and flat": PageSpec(paper_speed_mm_per_s=50.0, strip_s=5.0, gain_mm_per_mv=5.0, grid="blue"),
    "cabrera": PageSpec.machine("megacart"),
    "gains apart": PageSpec(chest_gain_mm_per_mv=5.0, rhythm=("V2", "II")),
}


@pytest.fixture(scope="module")
def record():
    made = synthetic_records(1, seed=8, fs_hz=200.0)[0]
    signal_mv = made.signal_mv.copy()
    signal_mv[0, 100:120] = np.nan
    signal_mv[0, 130:139] = np.nan
    signal_mv[0, 140:150] = np.nan  # sample 139 stands alone
    return replace(made, signal_mv=signal_mv)


def svg_traces(svg: str) -> dict[str, list[np.ndarray]]:
    """Trace -> its strokes, each `[n, 2]` in millimetres."""
    root = ElementTree.fromstring(svg)
    traces = {}
    for path in root.iter(f"{NAMESPACE}path"):
        if path.get("id").startswith("trace "):
            runs = [run for run in path.get("d").split("M") if run]
            traces[path.get("id").removeprefix("trace ")] = [
                np.array([point.split() for point in run.split("L")], float) for run in runs
            ]
    return traces


@pytest.mark.parametrize("kind", PAGES)
def test_svg_is_true_to_scale(record, kind):
    page = PAGES[kind]
    svg = page_svg(record, page)
    root = ElementTree.fromstring(svg)
    assert (root.get("width"), root.get("height")) == (f"{page.width_mm:g}mm", f"{page.height_mm:g}mm")
    assert root.get("viewBox") == f"0 0 {page.width_mm:g} {page.height_mm:g}"
    image = draw_page(record, page, dpi=100)
    traces = svg_traces(svg)
    assert traces.keys() == image.polylines.keys()
    for name, runs in traces.items():
        lead = name.split()[0]
        first, stop = image.windows[name]
        mv = record.signal_mv[LEADS.index(lead), first:stop].astype(float)
        mv, seconds = mv[np.isfinite(mv)], np.arange(first, stop)[np.isfinite(mv)] / record.fs_hz
        points = np.concatenate([run if len(run) > 2 or (run[0] != run[-1]).any() else run[:1] for run in runs])
        gain = image.gains_mm_per_mv[name]
        np.testing.assert_allclose(np.diff(points[:, 1]), -gain * np.diff(mv), atol=2e-4)
        np.testing.assert_allclose(np.diff(points[:, 0]), page.paper_speed_mm_per_s * np.diff(seconds), atol=2e-4)


def test_gaps_are_gaps_and_a_lone_sample_is_a_dot(record):
    runs = svg_traces(page_svg(record))["I"]
    assert [len(run) for run in runs] == [100, 10, 2, 350]
    np.testing.assert_array_equal(runs[2][0], runs[2][1])


def test_grid_lines_are_a_millimetre_apart_and_pass_the_baseline(record):
    root = ElementTree.fromstring(page_svg(record))
    paths = {path.get("id"): path.get("d") for path in root.iter(f"{NAMESPACE}path")}
    upright = {k: [float(v) for v in re.findall(r"M(\S+) 0V", d)] for k, d in paths.items() if k.startswith("grid")}
    both = np.sort(np.concatenate(list(upright.values())))
    np.testing.assert_allclose(np.diff(both), 1.0, atol=1e-3)
    np.testing.assert_allclose(np.diff(upright["grid 5 mm"]), 5.0, atol=1e-3)
    level = [float(v) for v in re.findall(r"M0 (\S+)H", paths["grid 5 mm"])]
    assert min(abs(y - PageSpec().baselines_mm[0]) for y in level) < 1e-3
    assert "grid" not in page_svg(record, PageSpec(grid="none"))


def test_text_is_text_in_a_free_font_where_the_picture_has_it(record):
    page = PageSpec(header="A <b> & $c$", font="serif", notes=(("note", 100.0, 20.0),))
    root = ElementTree.fromstring(page_svg(record, page))
    texts = list(root.iter(f"{NAMESPACE}text"))
    words = [text.text for text in texts]
    assert {*LEADS, "SYNTHETIC PAGE   A <b> & $c$", "note"} <= set(words)
    assert all("DejaVu" in text.get("font-family") for text in texts)
    image = draw_page(record, page)
    text = texts[words.index("V3")]
    x0, y0, x1, y1 = image.boxes["text V3"]
    low, high = image.page_map.to_mm([(x0, y0), (x1, y1)])
    assert float(text.get("x")) == pytest.approx(low[0], abs=0.3)
    assert float(text.get("y")) == pytest.approx(high[1], abs=0.3)


def pdf_streams(content: bytes) -> list[str]:
    """Content streams, unpacked."""
    streams = []
    for part in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            streams.append(zlib.decompress(part).decode("latin-1"))
        except zlib.error:
            continue
    return streams


@pytest.mark.parametrize("kind", PAGES)
def test_pdf_is_true_to_scale_and_holds_no_picture(record, tmp_path, kind):
    page = PAGES[kind]
    content = write_pdf(record, tmp_path / "p.pdf", page).read_bytes()
    box = re.search(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", content)
    assert [float(v) / 72 * 25.4 for v in box.groups()] == pytest.approx([page.width_mm, page.height_mm], abs=1e-6)
    assert b"/Subtype /Image" not in content
    drawing = max(pdf_streams(content), key=lambda text: text.count(" l\n"))
    runs = []
    for path in re.split(r"\bm\n", drawing)[1:]:
        points = re.findall(r"^(\S+) (\S+) l$", path, re.MULTILINE)
        if len(points) > 200:
            runs.append(np.array(points, float) / 72 * 25.4)
    image = draw_page(record, page, dpi=100)
    whole = [name for name in image.polylines if not name.startswith("I") or name == "II"]
    whole = [name for name in whole if name != "I"]
    matched = 0
    for name in whole:
        first, stop = image.windows[name]
        mv = record.signal_mv[LEADS.index(name.split()[0]), first + 1 : stop].astype(float)
        steps = image.gains_mm_per_mv[name] * np.diff(mv)
        for run in runs:
            if len(run) == len(mv) and np.allclose(np.diff(run[:, 1]), steps, atol=1e-4):
                np.testing.assert_allclose(np.diff(run[:, 0]), page.paper_speed_mm_per_s / record.fs_hz, atol=1e-4)
                matched += 1
                break
    assert matched == len(whole)


def test_vector_files_are_the_same_each_time(record, tmp_path):
    for write, name in ((write_svg, "p.svg"), (write_pdf, "p.pdf")):
        first = write(record, tmp_path / name).read_bytes()
        assert write(record, tmp_path / f"again-{name}").read_bytes() == first
        assert b"Jane" not in first
