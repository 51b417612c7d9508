"""Preprocessing as data, against NumPy and SciPy by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import signal

from ecgscan_lab.encoders.teachers import MIMIC_LEADS, TEACHERS, Preprocessing
from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import LEADS


@pytest.fixture
def signals_mv(rng) -> np.ndarray:
    return rng.normal(size=(2, 12, 5000)).cumsum(-1).astype(np.float32) * 0.05


def applied(preprocessing: Preprocessing, signals_mv: np.ndarray) -> np.ndarray:
    return preprocessing.apply(torch.from_numpy(signals_mv.astype(np.float32))).numpy()


@pytest.mark.parametrize("name", sorted(TEACHERS))
def test_json_gives_every_teachers_preprocessing_back(name):
    preprocessing = TEACHERS[name].preprocessing
    assert Preprocessing.from_dict(json.loads(json.dumps(preprocessing.as_dict()))) == preprocessing


def test_d_beta_reads_plain_millivolts(signals_mv):
    assert np.array_equal(applied(TEACHERS["d-beta"].preprocessing, signals_mv)[:, 0], signals_mv)


@pytest.mark.parametrize("name", ["melp", "merl"])
def test_melp_and_merl_scale_a_record_to_zero_and_one_and_swap_avl_and_avf(signals_mv, name):
    rows = [0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10, 11]
    low = signals_mv.min(axis=(1, 2), keepdims=True)
    expected = ((signals_mv - low) / (signals_mv.max(axis=(1, 2), keepdims=True) - low + 1e-8))[:, rows]
    assert np.allclose(applied(TEACHERS[name].preprocessing, signals_mv)[:, 0], expected, atol=1e-6)


def test_ecg_fm_standardises_leads_of_the_whole_recording_and_halves_it(signals_mv):
    signals_mv[1, 4] = 0.7
    mean, spread = signals_mv.mean(-1, keepdims=True), signals_mv.std(-1, keepdims=True)
    spread[1, 4] = np.inf
    expected = (signals_mv - mean) / spread
    got = applied(TEACHERS["ecg-fm"].preprocessing, signals_mv)
    assert got.shape == (2, 2, 12, 2500)
    assert np.allclose(got[:, 0], expected[..., :2500], atol=1e-4)
    assert np.allclose(got[:, 1], expected[..., 2500:], atol=1e-4)
    assert not got[1, :, 4].any(), "a constant lead is zero"


def test_ecgfounder_filters_lead_by_lead_then_standardises_the_record(signals_mv):
    expected = np.zeros(signals_mv.shape)
    for i, lead in np.ndindex(2, 12):
        x = signal.filtfilt(*signal.iirnotch(50, 30, 500), signals_mv[i, lead].astype(float))
        x = signal.filtfilt(*signal.butter(4, [0.67, 40], "bandpass", fs=500), x)
        expected[i, lead] = x - signal.medfilt(x, 201)
    expected = (expected - expected.mean((1, 2), keepdims=True)) / expected.std((1, 2), keepdims=True)
    assert np.allclose(applied(TEACHERS["ecgfounder"].preprocessing, signals_mv)[:, 0], expected, atol=1e-4)


def test_st_mem_filters_and_standardises_each_crop_by_itself(signals_mv):
    short = signals_mv[..., :2500]
    got = applied(TEACHERS["st-mem"].preprocessing, short)
    assert got.shape == (2, 3, 12, 2250)
    for k, start in enumerate((0, 125, 250)):
        crop = short[..., start : start + 2250].astype(float)
        for kind, cutoff in (("highpass", 0.67), ("lowpass", 40)):
            crop = signal.sosfiltfilt(signal.butter(5, cutoff, kind, fs=250, output="sos"), crop)
        crop = (crop - crop.mean((1, 2), keepdims=True)) / crop.std((1, 2), keepdims=True)
        assert np.allclose(got[:, k], crop, atol=1e-4)


def test_leads_are_put_in_order_by_name():
    signals_mv = np.arange(12, dtype=np.float32)[None, :, None] * np.ones((1, 1, 10), np.float32)
    order = tuple(reversed(LEADS))
    assert applied(Preprocessing(500.0, 10, lead_order=order), signals_mv)[0, 0, :, 0].tolist() == list(
        range(11, -1, -1)
    )
    swapped = applied(Preprocessing(500.0, 10, lead_order=MIMIC_LEADS), signals_mv)[0, 0, :, 0]
    assert [MIMIC_LEADS[k] for k in range(12)] == [LEADS[int(k)] for k in swapped]


def test_samples_that_were_not_recorded_are_bridged(signals_mv):
    gaps = signals_mv[:1, :, :50].copy()
    gaps[0, 0, 10:13] = np.nan
    gaps[0, 1, 40:] = np.inf
    gaps[0, 2] = np.nan
    got = applied(Preprocessing(500.0, 50), gaps)[0, 0]
    assert np.allclose(got[0, 9:14], np.linspace(gaps[0, 0, 9], gaps[0, 0, 13], 5), atol=1e-6)
    assert (got[1, 40:] == gaps[0, 1, 39]).all()
    assert not got[2].any()
    assert np.isnan(gaps[0, 0, 10]), "the caller's signals stay as they were"


@pytest.mark.parametrize("name", sorted(TEACHERS))
def test_a_flat_recording_stays_finite(name):
    preprocessing = TEACHERS[name].preprocessing
    for level in (0.0, 0.3):
        got = applied(preprocessing, np.full((1, 12, preprocessing.n_samples), level))
        assert np.isfinite(got).all()
        if preprocessing.normalisation != "none":
            assert np.abs(got).max() < 0.02, "but for the round-off of filters"


@pytest.mark.parametrize("shape", [(12, 5000), (1, 8, 5000), (1, 12, 4999)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ArgumentError, match=r"12, 5000\][\s\S]*encode_signals") as caught:
        TEACHERS["d-beta"].preprocessing.apply(torch.zeros(shape))
    assert caught.value.field == "signals_mv"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"normalisation": "minmax"}, "normalisation"),
        ({"filters": (("notch", 50.0),)}, "filters"),
        ({"filters": (("hum", 50.0),)}, "filters"),
        ({"crop_samples": 6000}, "crop_samples"),
        ({"n_crops": 0}, "crop_samples"),
    ],
)
def test_what_no_preprocessing_can_be_is_refused(changed, field):
    with pytest.raises(ArgumentError) as caught:
        Preprocessing(**{"fs_hz": 500.0, "n_samples": 5000, **changed})
    assert caught.value.field == field


def test_leads_that_do_not_exist_and_stored_fields_that_do_not_are_refused():
    with pytest.raises(LeadError):
        Preprocessing(500.0, 5000, lead_order=LEADS[:11])
    stored = TEACHERS["d-beta"].preprocessing.as_dict()
    with pytest.raises(ArgumentError, match="gain"):
        Preprocessing.from_dict({**stored, "gain": 2})
    del stored["eps"]
    with pytest.raises(ArgumentError, match="eps"):
        Preprocessing.from_dict(stored)
