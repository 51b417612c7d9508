"""Page geometry: what lies where, in millimetres and in pixels, and which pages are refused."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecgscan_lab.errors import PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.framing import page_frame, page_homography, page_size_px
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.segments import page_segments, pulse_boxes_mm, shown_samples


@pytest.mark.parametrize("page", [PageSpec(), PageSpec.compact(), PageSpec(paper_speed_mm_per_s=50, width_mm=530)])
def test_every_lead_is_shown_once_and_the_strip_covers_ten_seconds(page):
    *short, strip = page_segments(page)
    assert sorted(s.lead for s in short) == sorted(LEADS)
    assert all(s.t1_s - s.t0_s == 2.5 for s in short)
    assert (strip.name, strip.lead, strip.t0_s, strip.t1_s) == ("II rhythm", "II", 0.0, 10.0)
    for s in short:  # a moment of time has one place on the page, whatever the row
        assert s.x0_mm == pytest.approx(page.left_mm + s.t0_s * page.paper_speed_mm_per_s)
        assert s.baseline_mm == pytest.approx(page.baselines_mm[s.row])


@pytest.mark.parametrize("fs_hz", [100, 128.3, 250, 400, 500, 1000])
def test_windows_of_a_row_tile_the_recording(fs_hz):
    n = int(10 * fs_hz)
    windows = [shown_samples(s, fs_hz, n) for s in page_segments(PageSpec()) if s.row == 1]
    assert windows[0][0] == 0
    assert windows[-1][1] == n
    assert all(a[1] == b[0] for a, b in pairwise(windows))


def test_windows_end_with_the_recording():
    segments = page_segments(PageSpec())
    assert [shown_samples(s, 100.0, 300) for s in segments if s.row == 0] == [
        (0, 250),
        (250, 300),
        (300, 300),
        (300, 300),
    ]
    assert shown_samples(segments[-1], 100.0, 300) == (0, 300)
    assert shown_samples(segments[-1], 100.0, 5400) == (0, 1000)


def test_a_pulse_is_one_millivolt_high_and_a_fifth_of_a_second_wide():
    page = PageSpec(gain_mm_per_mv=20.0)
    boxes = pulse_boxes_mm(page)
    assert len(boxes) == 4
    for rise, top, fall, base in boxes:
        assert (fall - rise, base - top) == pytest.approx((5.0, 20.0))
        assert fall < page.left_mm
    assert pulse_boxes_mm(PageSpec(pulses="none")) == []


def test_compact_page_fills_the_encoder_input_exactly():
    assert page_frame(PageSpec.compact(), (192, 448)) == pytest.approx((192 / 117, 0.0, 0.0))


@given(
    height=st.integers(16, 3000),
    width=st.integers(16, 3000),
    height_mm=st.floats(180, 400),
    width_mm=st.floats(270, 900),
)
def test_letterbox_keeps_the_shape_and_centres_the_page(height, width, height_mm, width_mm):
    page = PageSpec(width_mm=width_mm, height_mm=height_mm)
    matrix = page_homography(page, (height, width))
    corners = np.array([[0, 0, 1], [width_mm, height_mm, 1]]) @ matrix.T
    assert matrix[0, 0] == matrix[1, 1]
    assert (corners >= -1e-6).all()
    assert corners[1, 0] <= width + 1e-6
    assert corners[1, 1] <= height + 1e-6
    assert corners[:, :2].mean(axis=0) == pytest.approx([width / 2, height / 2])
    assert min(abs(corners[1, 0] - corners[0, 0] - width), abs(corners[1, 1] - corners[0, 1] - height)) < 1e-6


@pytest.mark.parametrize(("dpi", "size"), [(200, (1700, 2200)), (100, (850, 1100)), (300, (2550, 3300))])
def test_dpi_sets_the_size(dpi, size):
    assert page_size_px(PageSpec(), dpi=dpi) == size


def test_pages_are_values():
    assert PageSpec(trace_width_mm=np.float32(0.5)) == PageSpec(trace_width_mm=0.5)
    assert len({PageSpec(), PageSpec(width_mm=279.4), PageSpec.compact()}) == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width_mm", float("nan")),
        ("width_mm", float("inf")),
        ("width_mm", 200.0),  # 250 mm of trace
        ("height_mm", 0.0),
        ("height_mm", 40.0),  # no room for four rows
        ("row_pitch_mm", 60.0),  # the strip would lie below the sheet
        ("height_mm", 1e9),
        ("left_mm", -1.0),
        ("left_mm", 60.0),
        ("row_pitch_mm", "40"),
        ("gain_mm_per_mv", 0),
        ("gain_mm_per_mv", -10),
        ("paper_speed_mm_per_s", None),
        ("paper_speed_mm_per_s", True),
        ("trace_width_mm", 0.0),
        ("trace_width_mm", 1e6),
        ("grid", "tartan"),
        ("grid", ["pink"]),
        ("grid_strength", -0.1),
        ("ink", (0, 0)),
        ("ink", (0, 0, 256)),
        ("ink", [0, 0, 0]),
        ("text_mm", 90.0),
        ("header", 7),
        ("header", "x" * 5000),
        ("header", "\n" * 9),
        ("footer", "\n" * 9),
        ("layout", "5x5"),
        ("columns", "diagonal"),
        ("pulses", True),
        ("separators", None),
        ("font", "comic"),
        ("rhythm", ("V9",)),
        ("rhythm", ("II", "II")),
        ("rhythm", ("I", "II", "III", "V1")),
        ("hidden", ("aVX",)),
        ("partial", (("V1", 2.0, 1.0),)),
        ("partial", (("V1",),)),
        ("strip_s", 0.0),
        ("strip_s", 20.0),  # 500 mm of trace
        ("start_s", -1.0),
        ("chest_gain_mm_per_mv", 0.0),
        ("pulses", "centre"),
        ("notes", (("text", 0.0, 0.0, 0.0),)),
        ("notes", (("text", 0.0, 0.0, 3.0, "comic"),)),
        ("grid_phase_mm", (0.0, float("nan"))),
    ],
)
def test_absurd_pages_are_refused_by_name(field, value):
    with pytest.raises(PageError) as caught:
        PageSpec(**{field: value})
    assert caught.value.field is not None
    assert caught.value.expected or caught.value.fix


@pytest.mark.parametrize(
    "how",
    [
        {"size": (20_000, 20_000)},
        {"size": (10**12, 10**12)},
        {"size": (15, 4000)},
        {"size": (-5, -5)},
        {"size": (192.0, 448.0)},
        {"size": (192,)},
        {"size": 448},
        {"size": (True, 448)},
        {"dpi": 0},
        {"dpi": 1e300},
        {"dpi": float("nan")},
        {"dpi": 5000},
        {"size": (192, 448), "dpi": 100},
    ],
)
def test_absurd_sizes_are_refused(how):
    with pytest.raises(PageError):
        page_size_px(PageSpec(), **how)
