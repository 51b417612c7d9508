"""Reconstruction judged by shape and by spectrum: what a mean square, dominated by tall QRS complexes, does not see."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.reconstruction import check_signals, spread_weights

# In mV²: a lead that moves less than a microvolt has no shape. Also keeps both derivatives finite at flat leads.
FLAT = 1e-6


def correlation_loss(
    reconstruction_mv: torch.Tensor, signal_mv: torch.Tensor, *, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Ask for the right shape of each lead, whatever its gain and offset.

    **Equation**, over the recorded samples of each lead of each record, weighted by w (1 by default):

        L_corr = mean (1 − r),     r = cov(x̂, x) / √((var x̂ + δ)(var x + δ)),     δ = 10⁻⁶ mV²

    **Source**: Pearson's r; ours as a loss beside Eq. 5 of ECG-Scan, arXiv 2604.01526, which has none.

    Args:
        reconstruction_mv: decoder output `[batch, 12, time]` in mV, rows in `LEADS` order.
        signal_mv: recorded signal `[batch, 12, time]` in mV; NaN marks samples that were not recorded.
        weights: non-negative, broadcastable to `[batch, 12, time]`, or None for all one.

    Returns:
        Scalar in [0, 2], float32 (float64 for float64 input): 0 for the right shape, 1 for an unrelated or flat one, 2
        for the opposite. Recorded leads that are flat or empty are left out; 0 when none is left.

    Raises:
        ArgumentError: as `mse_loss`.

    **Properties**: equals a naive loop; gain > 0 and offset of a reconstructed lead do not matter (as long as it moves
    by more than a few microvolts); samples not recorded change neither value nor gradient; finite at flat leads.

    Example:
        >>> signal = torch.randn(1, 12, 50, generator=torch.Generator().manual_seed(0))
        >>> [round(float(correlation_loss(gain * signal + 1, signal)), 3) for gain in (3, -1)]
        [0.0, 2.0]
    """
    check_signals(reconstruction_mv=reconstruction_mv, signal_mv=signal_mv)
    with torch.autocast(device_type=signal_mv.device.type, enabled=False):
        predicted, recorded, weight = _recorded(reconstruction_mv, signal_mv)
        if weights is not None:
            weight = weight * spread_weights(weights, signal_mv).to(weight.dtype)
        total = weight.sum(dim=-1, keepdim=True)
        weight = weight / torch.where(total > 0, total, 1)
        predicted = predicted - (weight * predicted).sum(dim=-1, keepdim=True)
        recorded = recorded - (weight * recorded).sum(dim=-1, keepdim=True)
        variance = (weight * recorded.square()).sum(dim=-1)
        covariance = (weight * predicted * recorded).sum(dim=-1)
        spread = ((weight * predicted.square()).sum(dim=-1) + FLAT) * (variance + FLAT)
        counted = (variance > FLAT).to(variance.dtype)
        return (counted * (1 - covariance * spread.rsqrt())).sum() / counted.sum().clamp_min(1)


def spectral_loss(
    reconstruction_mv: torch.Tensor, signal_mv: torch.Tensor, *, windows: Sequence[int] = (32, 128, 512)
) -> torch.Tensor:
    """Ask for the right power at each frequency and moment, at several resolutions; phase is left to the mean square.

    **Equation**, with M = √(|STFT|² + 10⁻⁶) of a Hann window of w samples that moves by w/4:

        L_spec = mean over w of  ‖M̂ − M‖ / ‖M‖  +  mean |log M̂ − log M|

    **Source**: multi-resolution STFT loss (Yamamoto et al., 2020, arXiv 1910.11480). *Differences*: windows suited to
    an ECG, 0.3 to 5 s at 100 Hz; a floor under the magnitudes; samples not recorded are zero on both sides.

    Args:
        reconstruction_mv: decoder output `[batch, 12, time]` in mV, rows in `LEADS` order.
        signal_mv: recorded signal `[batch, 12, time]` in mV; NaN marks samples that were not recorded.
        windows: window lengths in samples, each at least 4; those longer than the signal are cut to its length.

    Returns:
        Scalar ≥ 0, float32 (float64 for float64 input), without a unit.

    Raises:
        ArgumentError: as `mse_loss`; or a window is shorter than four samples, or there is none.

    **Properties**: zero for equal signals; the sign of a lead does not matter; samples not recorded change neither
    value nor gradient; a complex that comes a little late is better than none, while the mean square prefers none.

    Example:
        >>> signal = torch.randn(1, 12, 100, generator=torch.Generator().manual_seed(0))
        >>> float(spectral_loss(signal, signal)), bool(spectral_loss(0.1 * signal, signal) > 1)
        (0.0, True)
    """
    check_signals(reconstruction_mv=reconstruction_mv, signal_mv=signal_mv)
    if not windows or min(windows) < 4:
        raise ArgumentError(f"windows {tuple(windows)}", field="windows", expected="lengths of at least 4 samples")
    with torch.autocast(device_type=signal_mv.device.type, enabled=False):
        predicted, recorded, _ = _recorded(reconstruction_mv, signal_mv)
        terms = []
        for window in sorted({min(window, signal_mv.shape[-1]) for window in windows}):
            ours, theirs = _magnitudes(predicted, window), _magnitudes(recorded, window)
            apart = ((ours - theirs).square().sum() + 1e-12).sqrt() - 1e-6
            terms.append(apart / theirs.square().sum().sqrt() + (ours.log() - theirs.log()).abs().mean())
        return torch.stack(terms).mean()


def _recorded(
    reconstruction_mv: torch.Tensor, signal_mv: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Both signals with zero where nothing was recorded, and 1 where something was; in float32 at least."""
    predicted, signal = (s if s.dtype == torch.float64 else s.float() for s in (reconstruction_mv, signal_mv))
    recorded = ~torch.isnan(signal)
    return torch.where(recorded, predicted, 0), torch.where(recorded, signal, 0), recorded.to(predicted.dtype)


def _magnitudes(signal: torch.Tensor, window: int) -> torch.Tensor:
    hann = torch.hann_window(window, dtype=signal.dtype, device=signal.device)
    # Zero padding, since reflection needs more than half a window of signal.
    spectrum = torch.stft(
        signal.flatten(0, 1), window, max(window // 4, 1), window=hann, pad_mode="constant", return_complex=True
    )
    return (torch.view_as_real(spectrum).square().sum(dim=-1) + 1e-6).sqrt()
