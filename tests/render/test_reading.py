"""Waveforms read back from clean pages: as exact as the ink allows, whatever crosses them, and nothing without ink."""

import numpy as np
import pytest

from ecgscan_lab.data.wfdb_records import read_record
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render import PageSpec, draw_page
from ecgscan_lab.render.reading import read_page, read_trace, read_traces
from ecgscan_lab.types import EcgRecord


def beats(fs_hz=250.0, height_mv=1.0):
    t = np.arange(int(10 * fs_hz)) / fs_hz
    phase = (t - 0.4) % 0.83
    wave = np.exp(-(((phase - 0.3) / 0.012) ** 2)) + 0.25 * np.exp(-(((phase - 0.55) / 0.05) ** 2))
    heights = np.random.default_rng(0).uniform(0.4, 1.2, (12, 1)) * np.where(np.arange(12) % 5 == 3, -1, 1)[:, None]
    return (height_mv * heights * wave).astype(np.float32)


def snr_db(reference, estimate):
    error = np.where(np.isnan(estimate), reference, estimate - reference)
    return 10 * np.log10(np.mean(reference**2) / np.mean(error**2))


def shown(record, image, name):
    return record.signal_mv[LEADS.index(name.split()[0]), slice(*image.windows[name])].astype(float)


@pytest.mark.parametrize("fs_hz", [100.0, 250.0, 500.0])
@pytest.mark.parametrize(
    "page", [PageSpec(), PageSpec(grid="none"), PageSpec.machine("cardiofax")], ids=["pink", "white", "6x2"]
)
def test_every_lead_is_read_back(fs_hz, page):
    record = EcgRecord("r", beats(fs_hz), fs_hz)
    image = draw_page(record, page, dpi=200)
    for name, read in read_traces(image).items():
        assert snr_db(shown(record, image, name), read) >= 25, name


def test_traces_that_reach_into_other_rows_are_told_apart():
    record = EcgRecord("r", beats(height_mv=3.5), 250.0)
    image = draw_page(record, dpi=200)
    for name, read in read_traces(image).items():
        assert snr_db(shown(record, image, name), read) >= 20, name


def test_crossing_traces_are_told_apart():
    """An R wave of 5 mV in III goes through the trace of II above it."""
    signal = beats(100.0)
    signal[2] *= 5.0 / signal[2][np.abs(signal[2]).argmax()]
    record = EcgRecord("r", signal, 100.0)
    image = draw_page(record)
    assert image.polylines["III"][:, 1].min() < image.polylines["II"][:, 1].max()
    for name, read in read_traces(image).items():
        assert snr_db(shown(record, image, name), read) >= 25, name


def test_a_trace_that_ends_steeply_beside_another_one_is_read_to_its_end():
    signal = beats(500.0)
    signal[0, 1180:1250] -= 12 * np.arange(70) / 500  # I falls by 1.7 mV where aVR begins
    read = read_traces(draw_page(EcgRecord("r", signal, 500.0)))["I"]
    assert np.abs(read[-8:] - signal[0, 1242:1250]).max() < 0.05


def test_the_ink_of_neighbours_is_not_taken_for_a_lead_that_was_not_recorded():
    signal = beats(100.0)
    signal[1] = np.nan
    signal[3, 250:330] = np.nan  # the start of aVR
    record = EcgRecord("r", signal, 100.0)
    image = draw_page(record)
    found = read_traces(image)
    assert np.isnan(found["II"]).all()
    assert np.isnan(found["II rhythm"]).all()
    assert np.isnan(found["aVR"][2:78]).all()
    assert snr_db(shown(record, image, "aVR")[82:], found["aVR"][82:]) >= 25
    for name in ("I", "III", "V1", "V5"):
        assert snr_db(shown(record, image, name), found[name]) >= 25, name


def test_gaps_stay_gaps():
    signal = beats()
    signal[:, 300:360] = np.nan
    read = read_traces(draw_page(EcgRecord("r", signal, 250.0), dpi=200))
    assert np.isnan(read["I"][303:357]).all()
    assert np.isfinite(read["I"][:295]).all()


def test_a_page_gives_a_signal_with_nan_where_nothing_is_shown():
    record = EcgRecord("r", beats(), 250.0)
    image = draw_page(record, dpi=200)
    signal_mv = read_page(image)
    assert signal_mv.shape == (12, 2500)
    assert np.isfinite(signal_mv[LEADS.index("II")]).all()
    assert np.isnan(signal_mv[LEADS.index("V1"), :1250]).all()
    np.testing.assert_allclose(signal_mv[LEADS.index("V1"), 1250:1875], read_trace(image, "V1"))


def test_the_polylines_are_not_looked_at():
    """Reading must work from the ink: with false polylines it gives the same."""
    from dataclasses import replace

    image = draw_page(EcgRecord("r", beats(), 250.0), dpi=150)
    blind = replace(image, polylines={name: line * 0 for name, line in image.polylines.items()})
    np.testing.assert_array_equal(read_traces(image)["V2"], read_traces(blind)["V2"])


def test_degraded_pages_and_unknown_leads_are_refused():
    record = EcgRecord("r", beats(), 250.0)
    with pytest.raises(ArgumentError):
        read_traces(draw_page(record, degrade="photo", size=(448, 448)))
    with pytest.raises(ArgumentError, match="V9"):
        read_trace(draw_page(record, dpi=100), "V9")


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("rate", [100, 500])
def test_real_recordings_are_read_back_at_200_dpi(ptbxl_dir, rate):
    """All 200 of them: benchmarks/readback.py."""
    paths = sorted((ptbxl_dir / f"records{rate}").glob("*/*.hea"))
    if not paths:
        pytest.skip(f"no records{rate}/ in {ptbxl_dir}")
    found = []
    for path in paths[:: max(1, len(paths) // 12)][:12]:
        record = read_record(path.with_suffix(""))
        image = draw_page(record, dpi=200)
        found += [snr_db(shown(record, image, name), read) for name, read in read_traces(image).items()]
    # At 500 Hz a pixel column spans 2.5 samples, and noise above 98 Hz is not on the paper.
    assert np.mean(np.array(found) >= 25) >= (1.0 if rate == 100 else 0.93)
    assert np.median(found) >= (60 if rate == 100 else 33)
