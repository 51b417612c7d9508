"""Reconstruction figures against closed forms, and the limb laws on lawful, quantised and swapped leads."""

from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate import limb_law_snr, reconstruction_error
from ecgscan_lab.leads import LEADS, derive_limb_leads


def _signals(n=5, t=200, seed=0):
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(n, 12, t))
    signals[:, :6] = derive_limb_leads(signals[:, 0], signals[:, 1])
    return signals


def _row(table, lead, span="all"):
    rows = table[(table["lead"] == lead) & (table["span"] == span)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_perfect_reconstruction():
    x = _signals()
    table = reconstruction_error(x, x)
    assert list(table["lead"]) == [*LEADS, "all leads"]
    assert (table["rmse_mv"] == 0.0).all()
    assert np.isposinf(table["snr_db"]).all()
    np.testing.assert_allclose(table["pearson_r"], 1.0)


def test_flat_line_scores_0_db_and_has_no_correlation():
    x = _signals()
    table = reconstruction_error(x, np.zeros_like(x))
    np.testing.assert_allclose(table["snr_db"], 0.0, atol=1e-12)
    assert table["pearson_r"].isna().all()
    rms = np.sqrt((x**2).mean(axis=2))
    assert _row(table, "V3")["rmse_mv"] == pytest.approx(np.median(rms[:, LEADS.index("V3")]))


def test_closed_forms_of_gain_and_offset():
    x = _signals(n=1)
    scaled = _row(reconstruction_error(x, 0.9 * x), "V1")
    assert scaled["snr_db"] == pytest.approx(20.0)
    assert scaled["pearson_r"] == pytest.approx(1.0)
    shifted = _row(reconstruction_error(x, x + 0.25), "V1")
    assert shifted["rmse_mv"] == pytest.approx(0.25)
    assert shifted["pearson_r"] == pytest.approx(1.0)
    assert _row(reconstruction_error(x, -x), "V1")["pearson_r"] == pytest.approx(-1.0)


def test_each_figure_is_the_median_over_records():
    x = _signals(n=3)
    errors = np.array([0.1, 0.2, 5.0])
    table = reconstruction_error(x, x + errors[:, None, None])
    assert _row(table, "II")["rmse_mv"] == pytest.approx(0.2)
    assert _row(table, "all leads")["rmse_mv"] == pytest.approx(0.2)


def test_all_leads_together_equals_one_long_lead():
    x = _signals(n=1)
    y = x + np.random.default_rng(1).normal(size=x.shape) * 0.3
    together = _row(reconstruction_error(x, y), "all leads")
    assert together["rmse_mv"] == pytest.approx(np.sqrt(((y - x) ** 2).mean()))
    assert together["pearson_r"] == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1])
    assert together["n_samples"] == x.size


def test_common_gain_changes_neither_r_nor_snr():
    x = _signals()
    y = x + np.random.default_rng(1).normal(size=x.shape) * 0.3
    a, b = reconstruction_error(x, y), reconstruction_error(10.0 * x, 10.0 * y)
    np.testing.assert_allclose(a[["pearson_r", "snr_db"]], b[["pearson_r", "snr_db"]])
    np.testing.assert_allclose(10.0 * a["rmse_mv"], b["rmse_mv"])


@pytest.mark.parametrize("per_record", [False, True])
def test_visible_and_hidden_are_told_apart(per_record):
    x = _signals(n=4)
    visible = np.zeros(x.shape[1:], dtype=bool)
    visible[:, :50] = True
    visible[LEADS.index("II")] = True
    y = x + np.where(visible, 0.1, 0.7)
    table = reconstruction_error(x, y, np.broadcast_to(visible, x.shape) if per_record else visible)
    assert _row(table, "V2", "visible")["rmse_mv"] == pytest.approx(0.1)
    assert _row(table, "V2", "hidden")["rmse_mv"] == pytest.approx(0.7)
    assert 0.1 < _row(table, "V2", "all")["rmse_mv"] < 0.7
    hidden = _row(table, "II", "hidden")
    assert hidden["n_samples"] == 0
    assert np.isnan(hidden["rmse_mv"])
    counts = table.pivot(index="lead", columns="span", values="n_samples")
    np.testing.assert_array_equal(counts["visible"] + counts["hidden"], counts["all"])


def test_samples_that_were_not_recorded_are_left_out():
    x = _signals(n=2)
    y = x + 0.3
    gap = x.copy()
    gap[0, 3, :100] = np.nan
    y[0, 3, :100] = 1e6
    row = _row(reconstruction_error(gap, y), "aVR")
    assert row["rmse_mv"] == pytest.approx(0.3)
    assert row["n_samples"] == 300
    gap[:, 3] = np.nan
    assert np.isnan(_row(reconstruction_error(gap, y), "aVR")["snr_db"])


def test_one_record_without_a_batch_axis_and_float32_are_fine():
    x = _signals(n=1)[0].astype(np.float32)
    assert _row(reconstruction_error(x, x + np.float32(0.5)), "I")["rmse_mv"] == pytest.approx(0.5, rel=1e-5)


def test_reconstruction_error_refuses_what_does_not_fit():
    x = _signals()
    with pytest.raises(ArgumentError, match="reconstruction_mv"):
        reconstruction_error(x, x[:, :, :-1])
    with pytest.raises(ArgumentError, match="12"):
        reconstruction_error(x[:, :8], x[:, :8])
    with pytest.raises(ArgumentError, match="visible"):
        reconstruction_error(x, x, np.ones((12, 3), dtype=bool))
    with pytest.raises(ArgumentError, match="visible"):
        reconstruction_error(x, x, np.ones(x.shape[1:]))
    with pytest.raises(ArgumentError, match="not finite"):
        reconstruction_error(x, np.where(x > 0, np.nan, x))


def test_lawful_leads_are_exact():
    table = limb_law_snr(_signals())
    assert list(table.index) == ["III = II - I", "aVR = -(I + II)/2", "aVL = I - II/2", "aVF = II - I/2"]
    assert np.isposinf(table[["median_db", "q25_db", "q75_db"]]).all(axis=None)
    assert (table["n_exact"] == 5).all()
    assert table["mean_db"].isna().all()


def test_snr_of_known_noise_and_of_a_common_gain():
    x = _signals(n=50, t=2000)
    noise = np.random.default_rng(1).normal(size=x[:, 2].shape)
    x[:, 2] += noise * 0.01 * x[:, 2].std()  # 40 dB below the lead
    table = limb_law_snr(x)
    assert table.loc["III = II - I", "median_db"] == pytest.approx(40.0, abs=0.3)
    assert table.loc["III = II - I", "mean_db"] == pytest.approx(40.0, abs=0.3)
    assert table.loc["III = II - I", "n_exact"] == 0
    assert limb_law_snr(7.0 * x).loc["III = II - I", "median_db"] == pytest.approx(
        table.loc["III = II - I", "median_db"]
    )


def test_quartiles_survive_a_mix_of_exact_and_inexact_records():
    x = _signals(n=8)
    x[:3, 2] += 0.1
    row = limb_law_snr(x).loc["III = II - I"]
    assert (row["n_exact"], row["n_records"]) == (5, 8)
    assert np.isfinite(row["q25_db"])
    assert np.isposinf(row["q75_db"])
    assert not np.isnan(row["median_db"])


def test_swapped_avl_and_avf_show():
    x = _signals()
    order = np.arange(12)
    order[[4, 5]] = 5, 4
    table = limb_law_snr(x[:, order])
    assert (table.loc[["aVL = I - II/2", "aVF = II - I/2"], "median_db"] < 10.0).all()
    assert np.isposinf(table.loc["aVR = -(I + II)/2", "median_db"])


def test_gaps_and_silent_leads_are_not_counted():
    x = _signals()
    x[0, 2] = np.nan
    x[1, :6] = 0.0
    assert limb_law_snr(x).loc["III = II - I", "n_records"] == 3
    with pytest.raises(ArgumentError, match="signals_mv"):
        limb_law_snr(np.zeros((2, 11, 5)))
    silent = limb_law_snr(np.zeros((2, 12, 5)))
    assert silent["median_db"].isna().all()


def test_the_laws_of_many_records_do_not_depend_on_how_many_are_looked_at_at_a_time(monkeypatch):
    signals = np.random.default_rng(0).normal(size=(7, 12, 50))
    signals[2, 4, 10:20] = np.nan
    whole = limb_law_snr(signals)
    monkeypatch.setattr("ecgscan_lab.evaluate.reconstruction._CHUNK", 3)
    assert limb_law_snr(signals).equals(whole)
    assert whole["n_records"].tolist() == [7] * 4
