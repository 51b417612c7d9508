"""Every layout, machine family and option: what is shown where, and the ink where the geometry says."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from ecgscan_lab.errors import PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import LAYOUTS, MACHINES, PAPERS_MM, PageSpec, draw_page, page_segments, sample_layout
from ecgscan_lab.render.layouts import lead_rows
from ecgscan_lab.render.lettering import MARK, with_lettering
from ecgscan_lab.render.plan import page_prints
from ecgscan_lab.render.segments import pulse_boxes_mm, separator_lines_mm, visible_samples
from ecgscan_lab.types import EcgRecord

FS_HZ = 500.0
PAGES = {
    **{layout: PageSpec(layout=layout) for layout in LAYOUTS},
    **{f"{layout} cabrera": PageSpec(layout=layout, cabrera=True, rhythm=("V1", "II")) for layout in LAYOUTS},
    **{name: PageSpec.machine(name) for name in MACHINES},
    "simultaneous": PageSpec(columns="simultaneous", rhythm=()),
    "three strips": PageSpec(rhythm=("V1", "II", "V5"), pulses="right"),
    "50 mm/s": PageSpec(paper_speed_mm_per_s=50.0, strip_s=5.0, start_s=2.0),
    "gains apart": PageSpec(gain_mm_per_mv=20.0, chest_gain_mm_per_mv=5.0),
    "partial": PageSpec(partial=(("V1", 0.5, 2.0),), hidden=("V6",)),
    "a3": PageSpec.on("a3", layout="12x1", rhythm=()),
}
SIZES = [{"dpi": 75}, {"dpi": 150}, {"dpi": 200}, {"dpi": 254}, {"size": (500, 700)}]


def steps_record(fs_hz: float = FS_HZ, seconds: float = 10.0) -> EcgRecord:
    """Square waves of 1 s and 0.4 mV, another offset in every lead."""
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    wave = 0.2 * np.sign(np.sin(2 * np.pi * t + 0.1))
    return EcgRecord("r", (wave + np.linspace(-0.1, 0.1, 12)[:, None]).astype(np.float32), fs_hz)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("cabrera", [False, True])
def test_every_layout_holds_every_lead_once(layout, cabrera):
    rows = lead_rows(layout, cabrera)
    assert (len(rows), len(rows[0])) == LAYOUTS[layout]
    assert sorted(lead.lstrip("-") for row in rows for lead in row) == sorted(LEADS)
    down = [rows[r][c] for c in range(len(rows[0])) for r in range(len(rows))]
    assert down[:6] == (
        ["aVL", "I", "-aVR", "II", "aVF", "III"] if cabrera else ["I", "II", "III", "aVR", "aVL", "aVF"]
    )


@pytest.mark.parametrize("name", PAGES)
def test_segments_tile_the_page_and_the_recording(name):
    page = PAGES[name]
    segments = page_segments(page)
    columns = LAYOUTS[page.layout][1]
    for row in range(LAYOUTS[page.layout][0]):
        here = [s for s in segments if s.row == row]
        for a, b in pairwise(here):
            if page.columns == "sequential" and name != "partial":
                assert (a.t1_s, a.x0_mm + page.paper_speed_mm_per_s * (a.t1_s - a.t0_s)) == pytest.approx(
                    (b.t0_s, b.x0_mm)
                )
            if page.columns == "simultaneous":
                assert a.t0_s == b.t0_s
        assert all(s.t1_s - s.t0_s <= page.strip_s / columns + 1e-9 for s in here)
    strips = [s for s in segments if s.name.endswith("rhythm")]
    assert [s.lead for s in strips] == list(page.rhythm)
    assert all((s.t0_s, s.t1_s) == (page.start_s, page.start_s + page.strip_s) for s in strips)


@pytest.mark.parametrize("how", SIZES, ids=str)
@pytest.mark.parametrize("name", PAGES)
def test_ink_lies_where_the_ground_truth_says(name, how):
    """The mask of every trace, thickened by a pixel, holds its polyline, and the ink of its box reaches its edges."""
    image = draw_page(steps_record(), PAGES[name], **how)
    height, width = image.pixels.shape[:2]
    for trace, line in image.polylines.items():
        if not len(line):
            continue
        ink = np.argwhere(image.coverage(trace) > 25)[:, ::-1] + 0.5
        low, high = ink.min(axis=0), ink.max(axis=0)
        half = max(0.5, image.page.trace_width_mm * image.mm_to_px[0, 0] / 2)
        np.testing.assert_allclose(low, line.min(axis=0) - half + 0.5, atol=1.0)
        np.testing.assert_allclose(high, line.max(axis=0) + half - 0.5, atol=1.0)
        x0, y0, x1, y1 = image.boxes[trace]
        np.testing.assert_allclose((x0, y0), low - 0.5, atol=1.01)
        np.testing.assert_allclose((x1, y1), high + 0.5, atol=1.01)
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height


@pytest.mark.parametrize("name", PAGES)
def test_points_are_read_back_as_time_and_voltage(name):
    record, image = steps_record(), draw_page(steps_record(), PAGES[name], dpi=100)
    for trace, line in image.polylines.items():
        first, stop = image.windows[trace]
        expected = np.column_stack(
            [np.arange(first, stop) / FS_HZ, record.signal_mv[LEADS.index(trace.split()[0]), first:stop]]
        )
        np.testing.assert_allclose(image.to_mv(trace, line), expected, atol=1e-6)
        np.testing.assert_allclose(image.to_px(trace, expected), line, atol=1e-6)


def test_cabrera_turns_avr_upside_down():
    record = steps_record()
    plain, turned = draw_page(record, dpi=100), draw_page(record, PageSpec(cabrera=True), dpi=100)
    assert plain.gains_mm_per_mv["aVR"] == -turned.gains_mm_per_mv["aVR"] == 10.0
    up = [np.ptp(image.polylines["aVR"][:, 1]) for image in (plain, turned)]
    assert up[0] == pytest.approx(up[1], rel=0.05)
    texts = {line.name: line.text for line in page_prints(PageSpec(cabrera=True))}
    assert texts["text aVR"] == "-aVR"


def test_gains_apart_stretch_limb_and_chest_leads_apart():
    image = draw_page(steps_record(), PAGES["gains apart"], dpi=254)
    assert np.ptp(image.polylines["I"][:, 1]) == pytest.approx(0.4 * 20 * 10, abs=0.1)
    assert np.ptp(image.polylines["V1"][:, 1]) == pytest.approx(0.4 * 5 * 10, abs=0.1)
    boxes = pulse_boxes_mm(PAGES["gains apart"])
    assert [base - top for _, top, _, base in boxes] == pytest.approx([20, 20, 20, 20])
    right = replace(PAGES["gains apart"], pulses="right")
    assert [base - top for _, top, _, base in pulse_boxes_mm(right)] == pytest.approx([5, 5, 5, 20])


def test_pulses_stand_beside_the_traces():
    for side, page in (("left", PageSpec()), ("right", PageSpec(pulses="right"))):
        for rise, _, fall, _ in pulse_boxes_mm(page):
            assert fall - rise == pytest.approx(5.0)
            assert (page.left_mm - fall if side == "left" else rise - page.right_mm) == pytest.approx(3.0)


def test_hidden_and_partial_leads():
    page = PAGES["partial"]
    image = draw_page(steps_record(), page, dpi=100)
    assert "V6" not in image.polylines
    assert "text V6" not in image.boxes
    first, stop = image.windows["V1"]
    assert (first / FS_HZ, stop / FS_HZ) == (5.5, 7.0)
    shown = visible_samples(page, FS_HZ, 5000)
    assert shown[LEADS.index("V6")].sum() == 0
    assert shown[LEADS.index("V1")].sum() == 750


def test_separators_mark_the_boundaries():
    assert separator_lines_mm(PageSpec()) == []
    ticks = separator_lines_mm(PageSpec(separators="tick"))
    assert len(ticks) == 9
    assert {x for x, _, _ in ticks} == {19 + 62.5 * k for k in (1, 2, 3)}
    plain, marked = (draw_page(steps_record(), PageSpec(separators=s), dpi=100) for s in ("none", "tick"))
    changed = np.argwhere((plain.pixels != marked.pixels).any(axis=2))[:, 1] + 0.5
    centres = [marked.page_map.to_px([[x, 0.0]])[0, 0] for x in sorted({x for x, _, _ in ticks})]
    assert np.abs(changed[:, None] - np.array(centres)).min(axis=1).max() < 3


@pytest.mark.parametrize("paper", PAPERS_MM)
def test_sheets_have_their_size(paper):
    seconds = 10.0 if PAPERS_MM[paper][0] > 260 else 5.0
    page = PageSpec.on(paper, strip_s=seconds, rhythm=(), top_mm=5.0, bottom_mm=5.0)
    assert (page.width_mm, page.height_mm) == PAPERS_MM[paper]
    with pytest.raises(PageError, match="napkin"):
        PageSpec.on("napkin")


@pytest.mark.parametrize("name", PAGES)
def test_pages_survive_json(name):
    import json

    page = PAGES[name]
    assert PageSpec.from_dict(json.loads(json.dumps(page.as_dict()))) == page


def test_unknown_fields_and_machines_are_refused():
    with pytest.raises(PageError, match="colour"):
        PageSpec.from_dict({"colour": "pink"})
    with pytest.raises(PageError, match="abacus"):
        PageSpec.machine("abacus")


def test_print_is_marked_as_synthetic_and_comes_from_the_seed_alone():
    pages = [with_lettering(PageSpec(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert pages[0] == pages[1] != pages[2]
    blocks: dict[float, list[str]] = {}
    for note in pages[0].notes:
        blocks.setdefault(note.x_mm, []).append(note.text)
    assert len(blocks) == 3
    assert all(any(MARK.lower() in text.lower() for text in lines) for lines in blocks.values())
    assert all(note.y_mm + note.size_mm < PageSpec().baselines_mm[0] for note in pages[0].notes)


def test_sampled_layouts_differ_in_everything_and_fit():
    pages = [sample_layout(np.random.default_rng(seed)) for seed in range(300)]
    assert pages == [sample_layout(np.random.default_rng(seed)) for seed in range(300)]
    assert {page.layout for page in pages} == set(LAYOUTS)
    assert {len(page.rhythm) for page in pages} == {0, 1, 2, 3}
    for name in ("pulses", "separators", "columns", "font", "cabrera", "frame"):
        assert len({getattr(page, name) for page in pages}) > 1, name
    for page in pages[:40]:
        assert draw_page(steps_record(100.0), page, size=(300, 400)).pixels.shape == (300, 400, 3)
