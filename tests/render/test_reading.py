"""Waveforms read back from clean pages: what a page shows is what was drawn, lead by lead."""

from dataclasses import replace

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PageSpec, draw_page, visible_samples
from ecgscan_lab.render.reading import read_page, read_trace, read_traces
from ecgscan_lab.types import EcgRecord

GOOD_DB = 25.0


def beats(fs_hz, seconds=10.0, seed=0, noise_mv=0.005):
    """Beats of one rate, another height in every lead, with a little noise `[12, time]`."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * fs_hz)) / fs_hz
    phase = (t - 0.37) % (60 / 73)
    waves = ((0.12, 0.1, 0.02), (1.0, 0.26, 0.011), (-0.25, 0.29, 0.012), (0.3, 0.5, 0.05))
    beat = sum(a * np.exp(-(((phase - m) / s) ** 2)) for a, m, s in waves)
    heights = rng.uniform(0.4, 1.3, (12, 1)) * np.where(np.arange(12) % 5 == 3, -1, 1)[:, None]
    return (heights * beat + rng.normal(0, noise_mv, (12, len(t)))).astype(np.float32)


def record_of(signal_mv, fs_hz):
    return EcgRecord("r", np.asarray(signal_mv, np.float32), fs_hz)


def snr_db(reference, estimate):
    """Signal to noise over the recorded samples; none of them may be missing."""
    recorded = np.isfinite(reference)
    error = reference[recorded].astype(float) - estimate[recorded]
    return 10 * np.log10(np.mean(reference[recorded].astype(float) ** 2) / np.mean(error**2))


def snrs_db(record, image):
    found = read_traces(image)
    assert list(found) == list(image.windows)
    return {
        name: snr_db(record.signal_mv[LEADS.index(name.removesuffix(" rhythm")), slice(*image.windows[name])], mv)
        for name, mv in found.items()
    }


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 500.0])
def test_every_lead_is_read_back_at_200_dpi(fs_hz):
    record = record_of(beats(fs_hz, noise_mv=0.001), fs_hz)
    assert min(snrs_db(record, draw_page(record)).values()) >= GOOD_DB


@pytest.mark.parametrize(
    "page",
    [
        PageSpec(layout="6x2", cabrera=True, rhythm=("V1",), gain_mm_per_mv=5.0, chest_gain_mm_per_mv=2.5),
        PageSpec(layout="12x1", rhythm=(), gain_mm_per_mv=5.0),
        PageSpec(layout="4x3", grid="none", trace_width_mm=0.15, ink=(120, 20, 20), pulses="right", left_mm=8.0),
        PageSpec.machine("megacart"),
        PageSpec.machine("eli", hidden=("V3",)),
    ],
    ids=lambda page: page.layout,
)
def test_every_layout_is_read_back(page):
    record = record_of(beats(100.0, noise_mv=0.002), 100.0)
    image = draw_page(record, page)
    found = read_traces(image)
    for name, mv in found.items():
        window = slice(*image.windows[name])
        reference = record.signal_mv[LEADS.index(name.removesuffix(" rhythm")), window]
        hidden = np.isnan(mv)  # behind the mark between two leads
        assert hidden.sum() <= 5
        assert snr_db(np.where(hidden, np.nan, reference), mv) >= GOOD_DB, name


@pytest.mark.parametrize("dpi", [120, 300])
def test_other_resolutions_are_read_back(dpi):
    record = record_of(beats(100.0), 100.0)
    assert min(snrs_db(record, draw_page(record, dpi=dpi)).values()) >= GOOD_DB


def test_gaps_stay_gaps():
    signal = beats(250.0)
    signal[3, 750:850] = np.nan  # aVR
    signal[:, 1500:1560] = np.nan
    signal[1, :250] = np.nan  # the start of II and of its strip
    signal[10] = np.nan  # V5 was not recorded
    record = record_of(signal, 250.0)
    image = draw_page(record)
    for name, mv in read_traces(image).items():
        recorded = np.isfinite(signal[LEADS.index(name.removesuffix(" rhythm")), slice(*image.windows[name])])
        edges = np.flatnonzero(np.diff(recorded)) + 1
        far = np.ones(len(recorded), bool)
        for edge in edges:
            far[max(0, edge - 2) : edge + 2] = False
        assert np.array_equal(np.isfinite(mv)[far], recorded[far]), name
    read = read_page(image)
    assert np.isnan(read[10]).all()


def test_neighbours_do_not_take_the_ink_of_a_missing_lead():
    signal = beats(100.0)
    signal[1] = np.nan
    record = record_of(signal, 100.0)
    image = draw_page(record)
    found = read_traces(image)
    assert np.isnan(found["II"]).all()
    assert np.isnan(found["II rhythm"]).all()
    assert snr_db(signal[0, :250], found["I"]) >= GOOD_DB


def test_crossing_traces_are_told_apart():
    """An R wave of 5 mV in III reaches through the trace of II above it."""
    signal = beats(100.0, noise_mv=0.0)
    signal[2] *= 5.0 / np.abs(signal[2]).max() * np.sign(signal[2][np.abs(signal[2]).argmax()])
    record = record_of(signal, 100.0)
    image = draw_page(record)
    line = image.polylines["III"][:, 1]
    assert line.min() < image.polylines["II"][:, 1].max()
    found = snrs_db(record, image)
    assert min(found["II"], found["III"]) >= GOOD_DB


def test_a_trace_that_starts_high_beside_one_that_ends_low_is_read_to_its_end():
    signal = beats(500.0, noise_mv=0.0)
    t = np.arange(5000) / 500
    signal[0, 1180:1250] -= 12 * (t[1180:1250] - t[1180])  # I ends in a steep fall, where aVR begins
    record = record_of(signal, 500.0)
    image = draw_page(record)
    found = read_traces(image)["I"]
    assert np.abs(found[-8:] - signal[0, 1242:1250]).max() < 0.05


def test_a_page_becomes_a_recording_again():
    signal = beats(100.0, seconds=12.0)
    record = record_of(signal, 100.0)
    image = draw_page(record)
    read = read_page(image)
    assert read.shape == (12, 1000)
    assert np.array_equal(np.isfinite(read), visible_samples(PageSpec(), 100.0, 1000))
    shown = np.isfinite(read)
    assert snr_db(signal[:, :1000][shown], read[shown]) >= GOOD_DB


def test_only_pixels_and_geometry_are_used():
    record = record_of(beats(100.0), 100.0)
    image = draw_page(record)
    blind = replace(image, polylines={}, painter=None)
    np.testing.assert_array_equal(read_trace(image, "V2"), read_trace(blind, "V2"))
    other = draw_page(record_of(beats(100.0, seed=9), 100.0))
    swapped = replace(image, pixels=other.pixels, boxes=other.boxes)
    assert snr_db(beats(100.0, seed=9)[0, :250], read_trace(swapped, "I")) >= GOOD_DB


def test_what_cannot_be_read_is_refused():
    record = record_of(beats(100.0), 100.0)
    with pytest.raises(ArgumentError, match="V9"):
        read_trace(draw_page(record, dpi=60), "V9")
    with pytest.raises(ArgumentError, match="clean"):
        read_page(draw_page(record, degrade="scan", dpi=60))


@pytest.mark.real
@pytest.mark.parametrize(("folder", "fs_hz"), [("records100", 100.0), ("records500", 500.0)])
def test_real_recordings_are_read_back(ptbxl_dir, folder, fs_hz):
    """At 100 Hz every lead; at 500 Hz the pen hides part of the noise between two samples of the strongest muscle."""
    import wfdb

    paths = sorted((ptbxl_dir / folder).glob("*/*.hea"))
    if not paths:
        pytest.skip(f"PTB-XL was unpacked without {folder}")
    found = []
    for path in [paths[i] for i in np.linspace(0, len(paths) - 1, 10).astype(int)]:
        read = wfdb.rdrecord(str(path.with_suffix("")))
        order = [[name.upper() for name in read.sig_name].index(lead.upper()) for lead in LEADS]
        record = record_of(read.p_signal.T[order], fs_hz)
        image = draw_page(record)
        found += [value for value in snrs_db(record, image).values() if np.isfinite(value)]
    assert np.median(found) >= (60 if fs_hz == 100 else 33)
    assert np.mean(np.array(found) >= GOOD_DB) >= (1.0 if fs_hz == 100 else 0.95)
