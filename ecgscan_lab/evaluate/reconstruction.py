"""How close reconstructed leads are to the recorded ones, and how well recordings obey the limb-lead laws."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.intervals import FloatArray
from ecgscan_lab.leads import LEADS, LIMB_LEADS, derive_limb_leads

SPANS = ("all", "visible", "hidden")
_CHUNK = 256  # records at a time, in float64: a cohort at once would take hundreds of megabytes


def reconstruction_error(
    signal_mv: ArrayLike, reconstruction_mv: ArrayLike, visible: ArrayLike | None = None
) -> pd.DataFrame:
    """Compare reconstructed leads with recorded ones, lead by lead; every figure is the median over records.

    **Equation.** For recorded x and reconstructed y over the samples of one lead of one record:
    `RMSE = sqrt(mean (y - x)^2)`, `r = corr(x, y)`, `SNR = 10 log10(sum x^2 / sum (y - x)^2)`.

    A 3 x 4 page shows 2.5 of 10 s in every lead but the rhythm strip, so three quarters of most leads were never on the
    image: `visible` splits the table into what could be read and what had to be guessed. A flat line at 0 mV scores
    0 dB; below that, drawing nothing would have been closer.

    Args:
        signal_mv: recorded signals in mV `[record, 12, time]` or `[12, time]`; NaN samples are left out.
        reconstruction_mv: reconstructed signals in mV, of the same shape.
        visible: bool, `[12, time]` or `[record, 12, time]`: which samples the page shows.

    Returns:
        One row a span ("all", and with `visible` also "visible" and "hidden") and lead, plus "all leads" (the same
        figures over the twelve leads of a record together): columns `span`, `lead`, `rmse_mv`, `pearson_r` (NaN where a
        lead is flat), `snr_db` (inf where exact), `n_samples` (compared, over all records).

    Raises:
        ArgumentError: shapes differ, or a reconstruction is not finite where the signal is.

    Properties: `y = x` gives RMSE 0, r 1 and SNR inf; `y = 0` gives SNR 0; a common gain leaves r and SNR alone.

    >>> x = np.ones((1, 12, 4)) * [0.0, 1.0, 0.0, -1.0]
    >>> table = reconstruction_error(x, 0.9 * x)
    >>> table.query("lead == 'II'")[["rmse_mv", "pearson_r", "snr_db"]].round(3).to_dict("records")
    [{'rmse_mv': 0.071, 'pearson_r': 1.0, 'snr_db': 20.0}]
    """
    x, y, shown = _checked(signal_mv, reconstruction_mv, visible)
    rows = []
    for span in SPANS if shown is not None else SPANS[:1]:
        # One lead at a time: thousands of records need not be copied to float64 at once.
        by_lead = [
            _sums(x[:, k], y[:, k], _mask(span, x[:, k], None if shown is None else shown[:, k]))
            for k in range(len(LEADS))
        ]
        for lead, sums in zip((*LEADS, "all leads"), (*by_lead, np.sum(by_lead, axis=0)), strict=True):
            rows.append((span, lead, *map(_median, _figures(sums)), int(sums[0].sum())))
    return pd.DataFrame(rows, columns=["span", "lead", "rmse_mv", "pearson_r", "snr_db", "n_samples"])


def limb_law_snr(signals_mv: ArrayLike) -> pd.DataFrame:
    """How well recordings obey the limb-lead laws: the SNR of III, aVR, aVL and aVF computed from leads I and II.

    **Equation.** `SNR = 10 log10(sum x^2 / sum (x' - x)^2)` with x a recorded limb lead and x' the same lead by
    III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2, over the samples recorded in both.

    **Source.** ECG-Scan (arXiv 2604.01526, Table 1), which prints the mean over records. *Differences*: a record that
    obeys a law exactly has infinite SNR and would make any mean infinite, so the median and the quartiles are given,
    the mean covers the inexact records only, and `n_exact` counts the others.

    Args:
        signals_mv: recorded signals in mV, canonical lead order, `[record, 12, time]` or `[12, time]`.

    Returns:
        One row a law: index `law`; columns `median_db`, `q25_db`, `q75_db`, `mean_db`, `n_records` (with a defined
        SNR), `n_exact`. Quartiles are values of actual records (the lower of two), since no number lies between
        40 dB and infinity.

    Raises:
        ArgumentError: the array is not `[record, 12, time]`.

    Properties: unchanged by a gain common to all leads; exact records score inf; swapping aVL and aVF shows.

    >>> limb_law_snr(np.zeros((1, 12, 3)) + [0.0, 1.0, 2.0])["median_db"].round(2).to_dict()
    {'III = II - I': 0.0, 'aVR = -(I + II)/2': -6.02, 'aVL = I - II/2': 6.02, 'aVF = II - I/2': 6.02}
    """
    x = _records(signals_mv, "signals_mv")
    starts = range(0, max(1, len(x)), _CHUNK)
    by_law = np.concatenate([_law_snrs(x[start : start + _CHUNK]) for start in starts], axis=1)
    laws = ("III = II - I", "aVR = -(I + II)/2", "aVL = I - II/2", "aVF = II - I/2")
    rows = []
    for law, snr in zip(laws, by_law, strict=True):
        snr = snr[~np.isnan(snr)]
        q25, median, q75 = np.quantile(snr, (0.25, 0.5, 0.75), method="lower") if len(snr) else (np.nan,) * 3
        inexact = snr[np.isfinite(snr)]
        mean = inexact.mean() if len(inexact) else np.nan
        rows.append((law, median, q25, q75, mean, len(snr), int(np.isinf(snr).sum())))
    columns = ["law", "median_db", "q25_db", "q75_db", "mean_db", "n_records", "n_exact"]
    return pd.DataFrame(rows, columns=columns).set_index("law")


def _law_snrs(x: FloatArray) -> FloatArray:
    """SNR of the four derived limb leads of each record `[4, record]`."""
    derived = derive_limb_leads(*x[:, :2].astype(np.float64).transpose(1, 0, 2))
    found = []
    for lead in LIMB_LEADS[2:]:
        k = LEADS.index(lead)
        y = derived[:, k]
        _, _, _, power, _, _, error = _sums(x[:, k], y, np.isfinite(x[:, k]) & np.isfinite(y))
        found.append(_snr_db(power, error))
    return np.stack(found)


def _mask(span: str, x: FloatArray, shown: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    recorded = np.isfinite(x)
    if span == "all" or shown is None:
        return recorded
    return recorded & (shown if span == "visible" else ~shown)


def _sums(x: FloatArray, y: FloatArray, mask: NDArray[np.bool_]) -> FloatArray:
    """Number, x, y, x^2, y^2, x y and (y - x)^2, each summed over the masked samples of a record: `[7, record]`.

    Sums add up over leads, so the figures of all leads together cost nothing more.
    """
    x, y = np.where(mask, x, 0.0).astype(np.float64), np.where(mask, y, 0.0).astype(np.float64)
    return np.stack([part.sum(axis=1, dtype=np.float64) for part in (mask, x, y, x * x, y * y, x * y, (y - x) ** 2)])


def _figures(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """RMSE, Pearson r and SNR of each record; NaN where undefined. All `[record]`."""
    n, x, y, xx, yy, xy, error = sums
    n = np.where(n > 0, n, np.nan)
    spread_x, spread_y = xx - x * x / n, yy - y * y / n
    flat = (spread_x <= 1e-10 * xx) | (spread_y <= 1e-10 * yy)  # no more than rounding noise: no correlation
    with np.errstate(invalid="ignore"):
        r = (xy - x * y / n) / np.where(flat, np.nan, np.sqrt(spread_x * spread_y))
    return np.sqrt(error / n), np.clip(r, -1.0, 1.0), _snr_db(xx, error)


def _snr_db(power: FloatArray, error: FloatArray) -> FloatArray:
    """Per record: inf where there is no error, NaN where there is no signal."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(power > 0, 10.0 * np.log10(power / error), np.nan)


def _median(values: FloatArray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all NaN: the median is NaN, which is the answer
        return float(np.nanmedian(values))


def _checked(
    signal_mv: ArrayLike, reconstruction_mv: ArrayLike, visible: ArrayLike | None
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_] | None]:
    x, y = _records(signal_mv, "signal_mv"), _records(reconstruction_mv, "reconstruction_mv")
    if x.shape != y.shape:
        raise ArgumentError(
            f"signal {x.shape} and reconstruction {y.shape}",
            field="reconstruction_mv",
            expected="one shape, [record, 12, time]",
            fix="resample both to one rate and crop to one length",
        )
    if (np.isfinite(x) & ~np.isfinite(y)).any():
        raise ArgumentError(
            "the reconstruction is not finite where the signal is",
            field="reconstruction_mv",
            expected="finite millivolts",
        )
    if visible is None:
        return x, y, None
    shown = np.asarray(visible)
    if shown.dtype != np.bool_ or shown.shape not in (x.shape, x.shape[1:]):
        raise ArgumentError(
            f"visible is {shown.dtype} of shape {shown.shape}",
            field="visible",
            expected=f"bool of shape {x.shape[1:]} or {x.shape}",
        )
    return x, y, np.broadcast_to(shown, x.shape)


def _records(signals_mv: ArrayLike, name: str) -> FloatArray:
    x = np.asarray(signals_mv)
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    x = x[None] if x.ndim == 2 else x
    if x.ndim != 3 or x.shape[1] != len(LEADS) or 0 in x.shape:
        raise ArgumentError(
            f"{name} of shape {x.shape}",
            field=name,
            expected="[record, 12, time] or [12, time], in mV and canonical lead order",
        )
    return x
