"""Reconstruction loss (Eq. 5) that leaves out samples which were never recorded."""

from __future__ import annotations

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS


def mse_loss(
    reconstruction_mv: torch.Tensor, signal_mv: torch.Tensor, *, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Average the squared error of the reconstructed leads over all recorded samples.

    **Equation**, with w = 0 where the signal is NaN (not recorded), else `weights` (1 by default):

        L_mse = Σ w (x̂ − x)² / Σ w        (sums over batch, lead, time; 0 when nothing was recorded)

    On a complete recording this is (1 / C·T) Σ (x̂ − x)², averaged over the batch.

    **Source**: ECG-Scan (2026), arXiv 2604.01526, Eq. 5. *Differences*: the mask, which Eq. 5 does without, and the
    weights. Of a 3 × 4 page with a rhythm strip, eleven leads show a quarter of their ten seconds; the rest can only be
    guessed from rhythm and mean beat. `weights=visibility_weights(visible)` makes such samples count less.

    Args:
        reconstruction_mv: decoder output `[batch, 12, time]` in mV, rows in `LEADS` order.
        signal_mv: recorded signal `[batch, 12, time]` in mV; NaN marks samples that were not recorded.
        weights: non-negative, broadcastable to `[batch, 12, time]`, or None for all one.

    Returns:
        Scalar in mV², float32 (float64 for float64 input).

    Raises:
        ArgumentError: shapes or dtypes are off, weights are negative, or the reconstruction holds NaN (values are
            looked at on the CPU only).

    **Properties**: equals a naive loop; samples not recorded change neither value nor gradient; gradients stay finite
    whatever is missing; multiplying all weights by a constant changes nothing; c times the signals give c² times the
    loss.

    Example:
        >>> signal = torch.full((1, 12, 4), 1.0)
        >>> signal[:, :, 3] = torch.nan
        >>> float(mse_loss(torch.zeros(1, 12, 4), signal))
        1.0
    """
    check_signals(reconstruction_mv=reconstruction_mv, signal_mv=signal_mv)
    return masked_mean_square(reconstruction_mv, signal_mv, weights)


def visibility_weights(visible: torch.Tensor, hidden_weight: float = 0.25) -> torch.Tensor:
    """Weights for `mse_loss` that count what the page shows fully, and what it hides less.

    Args:
        visible: bool `[12, time]` or `[batch, 12, time]`, True where the page shows the sample.
        hidden_weight: ≥ 0; 0 leaves hidden samples out, 1 is Eq. 5.

    Returns:
        float32 of the same shape.

    Raises:
        ArgumentError: `visible` is not such a mask, or `hidden_weight` is negative or not finite.

    **Properties**: the weighted error of a page that shows everything is Eq. 5.

    Example:
        >>> visibility_weights(torch.arange(4).expand(12, 4) < 1)[0]
        tensor([1.0000, 0.2500, 0.2500, 0.2500])
    """
    if visible.dtype != torch.bool or visible.ndim not in (2, 3) or visible.shape[-2] != len(LEADS):
        raise ArgumentError(
            f"visible is {visible.dtype} of shape {tuple(visible.shape)}",
            field="visible",
            expected="bool [12, time] or [batch, 12, time]",
        )
    if not 0 <= hidden_weight < float("inf"):
        raise ArgumentError(f"hidden_weight is {hidden_weight}", field="hidden_weight", expected="a finite number >= 0")
    return torch.where(visible, 1.0, hidden_weight)


def masked_mean_square(
    predicted_mv: torch.Tensor, signal_mv: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """The equation of `mse_loss` for any number of leads, without its checks of the signals.

    Args:
        predicted_mv: `[..., lead, time]` in mV.
        signal_mv: the same shape, in mV; NaN marks samples that were not recorded.
        weights: non-negative, broadcastable to that shape, or None for all one.

    Returns:
        Scalar in mV².

    Raises:
        ArgumentError: the weights do not broadcast or are negative.

    Example:
        >>> float(masked_mean_square(torch.tensor([[2.0, 5.0]]), torch.tensor([[0.0, torch.nan]])))
        4.0
    """
    predicted_mv, signal_mv = _at_least_float32(predicted_mv), _at_least_float32(signal_mv)
    recorded = ~torch.isnan(signal_mv)
    # Zeroing both sides before the subtraction, not the product after it, keeps NaN out of the gradient (0 x NaN =
    # NaN).
    error = torch.where(recorded, predicted_mv, 0) - torch.where(recorded, signal_mv, 0)
    weight = recorded.to(error.dtype)
    if weights is not None:
        weight = weight * spread_weights(weights, signal_mv).to(error.dtype)
    total = weight.sum()
    return (weight * error.square()).sum() / torch.where(total > 0, total, 1)


def check_signals(**signals_mv: torch.Tensor) -> None:
    """Refuse signals that are not `[batch, 12, time]` floats of one shape; on the CPU also non-finite reconstructions.

    NaN is welcome in `signal_mv`, where it marks samples that were not recorded, and nowhere else.

    Raises:
        ArgumentError: `field` names the argument.
    """
    first = next(iter(signals_mv.values()))
    for name, signal in signals_mv.items():
        if not isinstance(signal, torch.Tensor) or not signal.is_floating_point():
            kind = signal.dtype if isinstance(signal, torch.Tensor) else type(signal).__name__
            raise ArgumentError(f"{name} is {kind}", field=name, expected="a floating-point tensor [batch, 12, time]")
        if signal.ndim != 3 or signal.shape[1] != len(LEADS) or 0 in signal.shape or signal.shape != first.shape:
            raise ArgumentError(
                f"{name} has shape {tuple(signal.shape)}",
                field=name,
                expected="[batch, 12, time]" if signal is first else f"{tuple(first.shape)}, as the reconstruction",
                fix="bring the twelve leads into LEADS order and resample to the decoder's length",
            )
        if signal.device.type != "cpu":
            continue
        wrong = torch.isinf(signal) if name == "signal_mv" else ~torch.isfinite(signal)
        if bool(wrong.any()):
            allowed = "finite millivolts, or NaN where nothing was recorded" if name == "signal_mv" else "finite values"
            raise ArgumentError(f"{name} holds NaN or infinity", field=name, expected=allowed)


def spread_weights(weights: torch.Tensor, signal_mv: torch.Tensor) -> torch.Tensor:
    """Spread weights to the signal's shape, so that their sum counts every sample.

    Raises:
        ArgumentError: they do not broadcast, are negative, or (on the CPU) not finite.
    """
    try:
        spread = weights.expand(signal_mv.shape)
    except RuntimeError as problem:
        raise ArgumentError(
            f"weights of shape {tuple(weights.shape)}",
            field="weights",
            expected=f"broadcastable to {tuple(signal_mv.shape)}",
        ) from problem
    if weights.device.type == "cpu" and not bool(((weights >= 0) & torch.isfinite(weights)).all()):
        raise ArgumentError("weights are negative or not finite", field="weights", expected="finite numbers >= 0")
    return spread


def _at_least_float32(signal: torch.Tensor) -> torch.Tensor:
    return signal if signal.dtype == torch.float64 else signal.float()
