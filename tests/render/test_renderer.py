"""Whole pages: the scale of the paper, the ground truth against the ink, and the batch path against the single one."""

from dataclasses import replace

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError, PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PALETTES, PageSpec, draw_page, draw_pages, sample_page
from ecgscan_lab.render.segments import page_segments, shown_samples
from ecgscan_lab.render.variation import GRID_ODDS
from ecgscan_lab.types import EcgRecord, PageMap

BARE = PageSpec(
    grid="none",
    ink=(0, 0, 0),
    show_lead_names=False,
    pulses="none",
    show_scale=False,
    height_mm=300.0,
    row_pitch_mm=60.0,
)
"""Traces alone, rows far apart."""


def beats(fs_hz=500.0, seconds=10.0, height_mv=1.0, seed=0):
    """P, QRS and T as Gaussians at 72 bpm, another height in every lead `[12, time]`."""
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    phase = (t - 0.4) % (60 / 72)
    wave = sum(
        a * np.exp(-(((phase - m) / s) ** 2)) for a, m, s in [(0.12, 0.1, 0.02), (1, 0.26, 0.011), (0.3, 0.5, 0.05)]
    )
    heights = np.random.default_rng(seed).uniform(0.3, 1.2, (12, 1)) * np.where(np.arange(12) % 5 == 3, -1, 1)[:, None]
    return (height_mv * heights * wave).astype(np.float32)


def record_of(signal_mv, fs_hz=500.0, **fields):
    return EcgRecord(fields.pop("record_id", "r"), np.asarray(signal_mv, np.float32), fs_hz, **fields)


def ink_of(image):
    """Darkness relative to the paper, 0 to 1 `[height, width]`."""
    return 1 - image.pixels.astype(float).mean(axis=2) / image.pixels.max()


def read_back(image, name, half_height_mm=29.0):
    """One lead from its pixels: centre of the ink in every column, at the times of the shown samples, in mV.

    Where two leads meet, the columns within a pen's width hold ink of both: they are left out, and NaN.
    """
    x0_mm, y0_mm, t0_s = image.origins_mm[name]
    first, stop = image.windows[name]
    seconds = np.arange(first, stop) / image.fs_hz
    x_mm = x0_mm + image.paper_speed_mm_per_s * (seconds[[0, -1]] - t0_s) + np.array([0.4, -0.4])
    corners = np.array([[x_mm[0], y0_mm - half_height_mm, 1], [x_mm[1], y0_mm + half_height_mm, 1]]) @ image.mm_to_px.T
    (left, top), (right, bottom) = corners[:, :2].astype(int)
    ink = 1 - image.pixels[top:bottom, left : right + 1, 0] / 255.0
    inked = ink.sum(axis=0) > 0.2
    y = (ink * (np.arange(top, bottom) + 0.5)[:, None]).sum(axis=0)[inked] / ink.sum(axis=0)[inked]
    x = np.arange(left, right + 1)[inked] + 0.5
    points = image.to_mv(name, np.column_stack([x, y]))
    return np.interp(seconds, points[:, 0], points[:, 1], left=np.nan, right=np.nan)


def shown(record, image, name):
    return record.signal_mv[LEADS.index(name.split()[0]), slice(*image.windows[name])].astype(float)


def snr_db(reference, estimate):
    return 10 * np.log10(np.mean(reference**2) / np.nanmean((reference - estimate) ** 2))


SIZES = [{"dpi": 100}, {"dpi": 163}, {"dpi": 200}, {"dpi": 300}, {"size": (448, 448)}, {"size": (900, 3000)}]


@pytest.mark.parametrize("how", SIZES, ids=str)
def test_the_pulse_on_paper_is_10_mm_high_and_5_mm_wide(how):
    image = draw_page(record_of(np.full((12, 100), np.nan)), replace(BARE, pulses="left"), **how)
    px_per_mm = image.mm_to_px[0, 0]
    ink = ink_of(image)
    for k in range(1, 5):
        x0, y0, x1, y1 = image.boxes[f"pulse {k}"]
        crop = ink[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))]
        column, row = crop.sum(axis=0), crop.sum(axis=1)
        tall = np.flatnonzero(column > 0.5 * column.max())
        rise, fall = tall[tall < tall.mean()], tall[tall > tall.mean()]
        width_px = np.average(fall, weights=column[fall]) - np.average(rise, weights=column[rise])
        middle = len(row) // 2
        walls = row[middle]
        height_px = np.average(np.arange(len(row))[middle:], weights=np.maximum(row[middle:] - walls, 0)) - np.average(
            np.arange(middle), weights=np.maximum(row[:middle] - walls, 0)
        )
        assert width_px == pytest.approx(5 * px_per_mm, abs=1)
        assert height_px == pytest.approx(10 * px_per_mm, abs=1)


@pytest.mark.parametrize("how", SIZES, ids=str)
def test_the_grid_repeats_every_5_mm(how):
    page = PageSpec(show_lead_names=False, pulses="none", show_scale=False)
    image = draw_page(record_of(np.full((12, 100), np.nan)), page, **how)
    px_per_mm = image.mm_to_px[0, 0]
    darkness = ink_of(image)
    _, left, top = px_per_mm, image.mm_to_px[0, 2], image.mm_to_px[1, 2]
    inside = darkness[
        int(top) + 2 : int(darkness.shape[0] - top) - 2, int(left) + 2 : int(darkness.shape[1] - left) - 2
    ]
    for axis in (0, 1):
        profile = inside.mean(axis=axis)
        profile = profile - profile.mean()
        lags = np.arange(int(147 * px_per_mm), int(153 * px_per_mm) + 1)  # thirty periods at once
        match = [np.dot(profile[:-lag], profile[lag:]) for lag in lags]
        assert lags[int(np.argmax(match))] == pytest.approx(150 * px_per_mm, abs=1)


@pytest.mark.parametrize("how", SIZES, ids=str)
@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 400.0, 500.0])
def test_one_millivolt_is_10_mm_and_one_second_25_mm(how, fs_hz):
    signal = np.zeros((12, int(10 * fs_hz)))
    at_s = 1.0 + 2.5 * np.arange(4)
    samples = np.rint(at_s * fs_hz).astype(int)
    signal[:, samples] = 1.0
    image = draw_page(record_of(signal, fs_hz), BARE, **how)
    ink, px_per_mm, pen = ink_of(image), image.mm_to_px[0, 0], BARE.trace_width_mm * image.mm_to_px[0, 0]
    for segment in page_segments(BARE)[:12]:
        x_mm = segment.x0_mm + 25 * 1.0
        x, y = (image.mm_to_px @ [x_mm, segment.baseline_mm, 1])[:2]
        near = ink[
            int(y - 15 * px_per_mm) : int(y - 3 * px_per_mm), int(x - 2 * px_per_mm) - 2 : int(x + 2 * px_per_mm) + 3
        ]
        top = int(y - 15 * px_per_mm) + np.flatnonzero(near.max(axis=1) > 0.02)[0]
        assert top == pytest.approx(y - 10 * px_per_mm - pen / 2, abs=1)
        peak_x = np.average(np.arange(near.shape[1]), weights=near[: int(9 * px_per_mm)].sum(axis=0))
        assert int(x - 2 * px_per_mm) - 2 + peak_x + 0.5 == pytest.approx(x, abs=1)


@pytest.mark.parametrize("how", SIZES, ids=str)
def test_polylines_run_inside_the_ink(how):
    record = record_of(beats())
    image = draw_page(record, BARE, **how)
    ink = ink_of(image) > 0.01
    near = np.zeros_like(ink)  # ink grown by one pixel
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            near |= np.roll(ink, (dy, dx), axis=(0, 1))
    drawn = np.zeros_like(ink)
    for line in image.polylines.values():
        columns, rows = np.floor(line).astype(int).T
        assert near[rows, columns].all()
        for shift in range(-2, 3):
            drawn[:, np.clip(columns + shift, 0, ink.shape[1] - 1)] = True
    assert not (ink & ~drawn).any()


@pytest.mark.parametrize("frequency_hz", [0.5, 1.0, 3.0, 7.0])
def test_sines_are_read_back_at_200_dpi(frequency_hz):
    t = np.arange(5000) / 500.0
    record = record_of(np.stack([0.8 * np.sin(2 * np.pi * frequency_hz * t + k) for k in range(12)]))
    image = draw_page(record, BARE, dpi=200)
    assert min(snr_db(shown(record, image, name), read_back(image, name)) for name in image.polylines) >= 25


@pytest.mark.real
def test_real_recordings_are_read_back_within_the_resolution_of_the_paper(ptbxl_dir):
    """A thin pen at 400 dpi carries what a 40 Hz recorder writes; at 200 dpi a column spans 5 ms and blurs QRS tips."""
    import wfdb
    from scipy.signal import butter, sosfiltfilt

    page = replace(BARE, trace_width_mm=0.1)
    low_pass = butter(4, 40, fs=500, output="sos")
    fine, coarse = [], []
    for path in sorted((ptbxl_dir / "records500").glob("*/*.hea"))[:60:20]:
        signal = sosfiltfilt(low_pass, wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T)
        record = record_of(np.ascontiguousarray(signal))
        for dpi, found in ((400, fine), (200, coarse)):
            image = draw_page(record, page, dpi=dpi)
            found += [snr_db(shown(record, image, name), read_back(image, name)) for name in image.polylines]
    assert min(fine) >= 25
    assert np.median(coarse) >= 22
    assert np.mean(fine) - np.mean(coarse) > 3  # the error is the column's width, not a misplaced page


def test_to_mv_inverts_the_polylines_also_through_a_tilted_page():
    record = record_of(beats())
    image = draw_page(record, dpi=150)
    tilt = np.array([[0.9, 0.1, 20.0], [-0.05, 1.1, 5.0], [1e-4, 2e-4, 1.0]])
    tilted = replace(image, page_map=PageMap(tilt @ image.mm_to_px))
    for name, line in image.polylines.items():
        seconds = np.arange(*image.windows[name]) / record.fs_hz
        expected = np.column_stack([seconds, shown(record, image, name)])
        np.testing.assert_allclose(image.to_mv(name, line), expected, atol=1e-6)
        moved = np.column_stack([line, np.ones(len(line))]) @ tilt.T
        np.testing.assert_allclose(tilted.to_mv(name, moved[:, :2] / moved[:, 2:]), expected, atol=1e-6)
    with pytest.raises(ArgumentError, match="V9"):
        image.to_mv("V9", np.zeros((1, 2)))


def test_the_page_is_framed_by_plain_paper():
    record = record_of(beats())
    page = PageSpec(grid="blue")
    image = draw_page(record, page, size=(600, 500))
    left, top = (image.mm_to_px @ [0, 0, 1])[:2]
    assert left == 0
    assert top > 50
    paper = np.array(PALETTES["blue"].paper)
    assert (image.pixels[: int(top) - 1] == paper).all()
    assert (image.pixels[600 - int(top) + 1 :] == paper).all()
    assert (image.pixels[int(top) + 1 : 600 - int(top) - 1] != paper).any(axis=(1, 2)).all()
    wide = draw_page(record, page, size=(200, 900))
    side = int(wide.mm_to_px[0, 2])
    assert (wide.pixels[:, : side - 1] == paper).all()
    assert (wide.pixels[:, 900 - side + 1 :] == paper).all()


def test_missing_samples_leave_gaps_and_short_recordings_end():
    signal = beats(seconds=6.0)
    signal[:, 1500:2000] = np.nan  # 3 to 4 s
    image = draw_page(record_of(signal), BARE, dpi=100)
    ink = ink_of(image)
    scale = image.mm_to_px[0, 0]
    columns = np.arange(ink.shape[1]) + 0.5
    seconds = (columns / scale - BARE.left_mm) / 25
    empty = ((seconds > 3.03) & (seconds < 3.97)) | (seconds > 6.03)
    assert (ink[:, empty] == 0).all()
    assert ink[:, (seconds > 4.1) & (seconds < 5.9)].any(axis=0).all()
    assert np.isnan(image.polylines["aVR"][250:750, 1]).all()
    assert image.windows["V4"] == (3000, 3000)
    assert image.polylines["V4"].shape == (0, 2)
    assert "V4" not in image.boxes


def test_traces_beyond_the_sheet_are_cut_and_counted():
    page = PageSpec()
    image = draw_page(record_of(beats(height_mv=20.0)), page, size=(400, 400))
    top = int(image.mm_to_px[1, 2])
    assert (image.pixels[: top - 1] == PALETTES["pink"].paper).all()
    assert all(0 <= v <= 400 for box in image.boxes.values() for v in box)
    beyond = {name: int((line[:, 1] < image.mm_to_px[1, 2]).sum()) for name, line in image.polylines.items()}
    assert any(beyond.values())
    for name, count in beyond.items():
        assert image.clipped.get(name, 0) >= count
    assert draw_page(record_of(beats()), page, size=(400, 400)).clipped == {}


@pytest.mark.parametrize("degrade", [None, "photo", "fax"])
def test_infinite_samples_are_gaps(degrade):
    signal = beats(seconds=6.0)
    signal[:, 100:200] = np.inf
    signal[:, 300] = -np.inf
    image = draw_page(record_of(signal), BARE, degrade, size=(200, 260))
    assert np.isnan(image.polylines["I"][100:200, 1]).all()
    assert np.isfinite(image.polylines["I"][201:300]).all()
    assert np.isfinite(list(image.boxes["I"])).all()


@pytest.mark.parametrize("height_mv", [300.0, 1e6, 1e30])
def test_amplitudes_that_cannot_be_millivolts_are_refused(height_mv):
    with pytest.raises(PageError, match="mV") as caught:
        draw_page(record_of(beats(height_mv=height_mv)))
    assert caught.value.fix
    with pytest.raises(PageError, match="mV"):
        draw_pages(beats(100.0, height_mv=height_mv)[None], 100.0, PageSpec(), (192, 448))


def test_boxes_hold_their_ink():
    image = draw_page(record_of(beats()), replace(BARE, show_lead_names=True, pulses="left"), dpi=150)
    ink = ink_of(image)
    assert len(image.boxes) == 13 + 13 + 4
    outside = ink.copy()
    for name, (x0, y0, x1, y1) in image.boxes.items():
        area = (slice(int(y0), int(np.ceil(y1)) + 1), slice(int(x0), int(np.ceil(x1)) + 1))
        assert ink[area].sum() > 1, name
        grown = (slice(int(y0) - 1, int(np.ceil(y1)) + 2), slice(int(x0) - 1, int(np.ceil(x1)) + 2))
        outside[grown] = 0
    assert outside.sum() == 0


@pytest.mark.parametrize("page", [PageSpec(), PageSpec.compact()])
@pytest.mark.parametrize("seed", range(4))
def test_lead_names_keep_clear_of_traces(page, seed):
    image = draw_page(record_of(beats(seed=seed, height_mv=1.5)), page, dpi=100)
    points = np.vstack(list(image.polylines.values()))
    for name, (x0, y0, x1, y1) in image.boxes.items():
        if name.startswith("text"):
            x, y = points.T
            assert not ((x > x0) & (x < x1) & (y > y0) & (y < y1)).any(), name


def test_nothing_of_the_record_but_its_signal_is_drawn():
    signal = beats()
    plain = draw_page(record_of(signal), dpi=80)
    named = draw_page(
        record_of(signal, record_id="Jane Doe", patient_id="4711", report="acute MI", labels={"superclass": ("MI",)}),
        dpi=80,
    )
    assert (plain.pixels == named.pixels).all()


def test_a_header_is_printed_and_marked():
    record = record_of(beats())
    page = PageSpec(header="Example hospital\n12-lead resting ECG")
    image, plain = draw_page(record, page, dpi=100), draw_page(record, dpi=100)
    changed = np.argwhere((image.pixels != plain.pixels).any(axis=2))
    boxes = [image.boxes["text header 1"], image.boxes["text header 2"]]
    assert changed[:, 0].min() >= boxes[0][1]
    assert changed[:, 0].max() < boxes[1][3]
    # "SYNTHETIC PAGE" stands before the text, so the first line is the longer one although its own text is shorter
    assert boxes[0][2] > boxes[1][2]


def test_speed_and_gain_stretch_the_traces():
    signal = np.zeros((12, 5000))
    signal[:, 1000:] = 1.0
    page = replace(BARE, paper_speed_mm_per_s=50, gain_mm_per_mv=5, width_mm=540)
    line = draw_page(record_of(signal), page, dpi=127).polylines["II rhythm"]  # 5 px/mm
    assert line[2000, 0] - line[1000, 0] == pytest.approx(2 * 50 * 5, abs=0.5)
    assert line[0, 1] - line[2000, 1] == pytest.approx(5 * 5, abs=0.05)


def test_pictures_hardly_depend_on_the_sampling_rate():
    def slow(fs_hz):
        t = np.arange(int(10 * fs_hz)) / fs_hz
        return record_of(np.tile(np.sin(2 * np.pi * 1.3 * t), (12, 1)), fs_hz)

    reference = ink_of(draw_page(slow(500.0), BARE, dpi=100))
    for fs_hz in (100.0, 250.0, 400.0):
        assert np.abs(ink_of(draw_page(slow(fs_hz), BARE, dpi=100)) - reference).sum() < 0.05 * reference.sum()


@pytest.mark.parametrize("channels_first", [False, True])
def test_batches_equal_single_pages_whatever_the_order_and_threads(channels_first, rng):
    signals = np.stack([beats(100.0, seed=k) for k in range(7)])
    signals[2, 4, 300:600] = np.nan
    pages = [sample_page(rng) for _ in range(6)] + [PageSpec(header="x", grid="green")]
    size = (200, 448)
    single = np.stack(
        [draw_page(record_of(s, 100.0), p, size=size).pixels for s, p in zip(signals, pages, strict=True)]
    )
    if channels_first:
        single = single.transpose(0, 3, 1, 2)
    for n_threads in (1, 2, 5, None):
        batch = draw_pages(signals, 100.0, pages, size, n_threads=n_threads, channels_first=channels_first)
        assert batch.flags.c_contiguous
        assert (batch == single).all()
    order = rng.permutation(7)
    out = np.full(single.shape, 7, np.uint8)
    shuffled = draw_pages(
        signals[order], 100.0, [pages[i] for i in order], size, out=out, channels_first=channels_first
    )
    assert shuffled is out
    assert (out == single[order]).all()


def test_one_page_serves_a_whole_batch():
    signals = np.stack([beats(100.0, seed=k) for k in range(3)])
    one = draw_pages(signals, 100.0, PageSpec.compact(), (192, 448))
    each = draw_pages(signals, 100.0, [PageSpec.compact()] * 3, (192, 448))
    assert one.shape == (3, 192, 448, 3)
    assert (one == each).all()


@pytest.mark.parametrize("base", [PageSpec.compact(), PageSpec(), BARE])
def test_sampled_pages_vary_the_looks_and_keep_the_scale(base):
    pages = [sample_page(np.random.default_rng(seed), base) for seed in range(200)]
    assert pages == [sample_page(np.random.default_rng(seed), base) for seed in range(200)]
    assert len(set(pages)) == 200
    assert {page.grid for page in pages} == set(GRID_ODDS)
    assert {page.show_lead_names for page in pages} == {False, True}
    assert {page.pulses for page in pages} == {"none", base.pulses}
    for page in pages:
        assert (page.paper_speed_mm_per_s, page.gain_mm_per_mv) == (25, 10)
        assert (page.width_mm, page.height_mm) == (base.width_mm, base.height_mm)
        assert 0.25 <= page.trace_width_mm <= 0.5


@pytest.mark.parametrize("shape", [(12, 0), (11, 100), (100, 12), (12,), (1, 12, 100)])
def test_signals_that_cannot_be_drawn_are_refused(shape):
    with pytest.raises(PageError, match="signal"):
        draw_page(record_of(np.zeros(shape)))


@pytest.mark.parametrize("fs_hz", [0.0, -100.0, float("nan"), float("inf")])
def test_impossible_rates_are_refused(fs_hz):
    with pytest.raises(PageError, match="sampled"):
        draw_page(record_of(np.zeros((12, 100)), fs_hz))


def test_absurd_pictures_are_refused_before_memory_is_taken():
    with pytest.raises(PageError, match="size"):
        draw_page(record_of(np.zeros((12, 100))), size=(10**6, 10**6))
    with pytest.raises(PageError, match="size"):
        draw_pages(np.zeros((2, 12, 100)), 100.0, PageSpec(), (10**6, 10**6))


def test_batches_that_do_not_fit_are_refused():
    signals, page, size = np.zeros((2, 12, 100), np.float32), PageSpec.compact(), (192, 448)
    with pytest.raises(ArgumentError, match="pages"):
        draw_pages(signals, 100.0, [page], size)
    with pytest.raises(PageError, match="no recording"):
        draw_pages(signals[:0], 100.0, page, size)
    for out in (
        np.empty((2, 3, *size), np.uint8),
        np.empty((2, *size, 3), np.float32),
        np.empty((4, *size, 3), np.uint8)[::2],
    ):
        with pytest.raises(ArgumentError, match="draw into"):
            draw_pages(signals, 100.0, page, size, out=out)


def test_windows_agree_with_the_geometry():
    image = draw_page(record_of(beats(250.0), 250.0), dpi=60)
    for segment in page_segments(PageSpec()):
        assert image.windows[segment.name] == shown_samples(segment, 250.0, 2500)
        assert len(image.polylines[segment.name]) == np.diff(image.windows[segment.name])


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"page": "mac"}, "page"),
        ({"page": {"layout": "6x2"}}, "page"),
        ({"record": beats()}, "record"),
        ({"seed": -1}, "seed"),
        ({"seed": "x"}, "seed"),
    ],
)
def test_arguments_of_another_kind_are_refused_by_name(arguments, field):
    with pytest.raises(ArgumentError) as caught:
        draw_page(**({"record": record_of(beats()), "dpi": 50} | arguments))
    assert caught.value.field == field


def test_points_that_are_no_pairs_are_refused():
    with pytest.raises(ArgumentError, match="points"):
        draw_page(record_of(beats()), dpi=50).to_mv("V2", [1, 2, 3])


def test_one_rhythm_strip_may_be_given_by_its_name():
    assert PageSpec(rhythm="V1").rhythm == ("V1",)
