"""Soft-lead consistency (Eq. 6-7): what the limb-lead laws ask of a reconstruction."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LIMB_LEADS, LimbProjection, project_limb_leads
from ecgscan_lab.losses.reconstruction import check_signals, masked_mean_square

Goldberger = Literal["equations", "equations_raw", "zero_sum"]

_PROJECTION: dict[Goldberger, LimbProjection] = {
    "equations": "paper",
    "equations_raw": "paper_raw",
    "zero_sum": "zero_sum",
}


def rule_loss(
    reconstruction_mv: torch.Tensor,
    signal_mv: torch.Tensor,
    *,
    w_einthoven: float = 0.5,
    w_goldberger: float = 0.5,
    goldberger: Goldberger = "equations",
) -> torch.Tensor:
    """Compare the recorded limb leads with the reconstruction after it was moved onto the limb-lead laws.

    **Equation** (ℓ is the mean square over batch, three leads and recorded samples):

        r = Î − IÎ + IIÎ,   I_ref = Î − r/3,   II_ref = IÎ + r/3,   III_ref = IIÎ − r/3                      (Eq. 6)
        L_rule = w_E ℓ((I, II, III)_ref, (I, II, III)) + w_G ℓ((aVR, aVL, aVF)_ref, (aVR, aVL, aVF))         (Eq. 7)

    with the augmented leads, by `goldberger`:
        "equations"       aVR_ref = −(I_ref + II_ref)/2,  aVL_ref = I_ref − II_ref/2,  aVF_ref = II_ref − I_ref/2
        "equations_raw"   the same from Î and IÎ themselves
        "zero_sum"        aVx_ref = aV̂x − (aV̂R + aV̂L + aV̂F)/3

    **Source**: ECG-Scan (2026), arXiv 2604.01526, Eq. 6-7. *Differences*: the paper names Goldberger's equations
    without printing (aVR, aVL, aVF)_ref, so it is an option; NaN samples are left out.

    *What it does not do*: the reference is a projection of the reconstruction, so what breaks a law is projected away
    before it is compared, and is not penalised. On lawful targets Einthoven's term is ‖P(x̂ − x)‖² ≤ ‖x̂ − x‖²: it
    gives the lawful part of the error more weight. With "equations" the reconstructed aVR, aVL, aVF do not even enter.
    To penalise a broken law add `violation_loss`.

    Args:
        reconstruction_mv: decoder output `[batch, 12, time]` in mV, rows in `LEADS` order.
        signal_mv: recorded signal `[batch, 12, time]` in mV; NaN marks samples that were not recorded. Min-max scaled
            or standardised signals do not obey the laws, so return to mV first.
        w_einthoven: w_E ≥ 0.
        w_goldberger: w_G ≥ 0.
        goldberger: which reading of (aVR, aVL, aVF)_ref.

    Returns:
        Scalar in mV², float32 (float64 for float64 input).

    Raises:
        ArgumentError: shapes or dtypes are off, a weight is negative, `goldberger` is unknown, or (on the CPU) the
            reconstruction holds NaN.

    **Properties**: zero when the reconstruction is a lawful signal itself; chest leads do not matter; with "equations"
    and "zero_sum" the gradient on I, II, III has no component along the violation (1, −1, 1), with "zero_sum" that on
    the augmented leads none along (1, 1, 1), with "equations" and "equations_raw" that on the augmented leads is zero.

    Example:
        >>> signal = torch.zeros(1, 12, 2)
        >>> broken = signal.clone()
        >>> broken[:, :3] = torch.tensor([1.0, -1.0, 1.0])[:, None]  # as far from I + III = II as it gets
        >>> float(rule_loss(broken, signal)), float(violation_loss(broken)) > 0
        (0.0, True)
    """
    check_signals(reconstruction_mv=reconstruction_mv, signal_mv=signal_mv)
    if goldberger not in _PROJECTION:
        raise ArgumentError(
            f"unknown reading {goldberger!r}", field="goldberger", expected=f"one of {', '.join(get_args(Goldberger))}"
        )
    for name, weight in (("w_einthoven", w_einthoven), ("w_goldberger", w_goldberger)):
        if not 0 <= weight < float("inf"):
            raise ArgumentError(f"{name} is {weight}", field=name, expected="a finite number >= 0")
    recorded = signal_mv[:, :6]
    refined = project_limb_leads(_limb_leads(reconstruction_mv), LIMB_LEADS, method=_PROJECTION[goldberger])
    einthoven = masked_mean_square(refined[:, :3], recorded[:, :3])
    augmented = masked_mean_square(refined[:, 3:], recorded[:, 3:])
    return w_einthoven * einthoven + w_goldberger * augmented


def violation_loss(reconstruction_mv: torch.Tensor) -> torch.Tensor:
    """Penalise what no electrode could have recorded: the part of the limb leads that breaks a limb-lead law.

    **Equation** (mean over batch, six limb leads, time):

        L_violation = mean ‖(1 − P) x̂‖²,      P = `leads.LIMB_PROJECTOR`, the orthogonal projection onto all four laws

    **Source**: ours; it supplies what `rule_loss` (ECG-Scan, arXiv 2604.01526, Eq. 7) leaves out. For a lawful target
    x, Pythagoras splits the error of the six limb leads: ‖x̂ − x‖² = ‖P x̂ − x‖² + ‖(1 − P) x̂‖².

    Args:
        reconstruction_mv: decoder output `[batch, 12, time]` in mV, rows in `LEADS` order. No recording is needed.

    Returns:
        Scalar in mV², float32 (float64 for float64 input).

    Raises:
        ArgumentError: shape or dtype is off, or (on the CPU) a value is not finite.

    **Properties**: zero exactly on lawful signals; chest leads do not matter; its gradient is orthogonal to all lawful
    signals; c times the signal gives c² times the loss.

    Example:
        >>> reconstruction = torch.zeros(1, 12, 1)
        >>> reconstruction[0, :3, 0] = torch.tensor([1.0, 1.0, 0.0])  # lawful by Einthoven, but aVR, aVL, aVF are flat
        >>> round(float(violation_loss(reconstruction)), 4)
        0.1429
    """
    check_signals(reconstruction_mv=reconstruction_mv)
    limb = _limb_leads(reconstruction_mv)
    return (limb - project_limb_leads(limb, LIMB_LEADS, method="orthogonal")).square().mean()


def _limb_leads(signal_mv: torch.Tensor) -> torch.Tensor:
    """The six limb leads in float32 at least: bfloat16's rounding alone would break the laws."""
    limb = signal_mv[:, :6]
    return limb if limb.dtype == torch.float64 else limb.float()
