"""The whole training objective (Eq. 8-9), every part of it by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import check_label_smoothing, contrastive_loss, report_floor, smoothed_floor
from ecgscan_lab.losses.gram import GramKind, gram_loss
from ecgscan_lab.losses.lead_consistency import Goldberger, rule_loss, violation_loss
from ecgscan_lab.losses.reconstruction import mse_loss
from ecgscan_lab.types import Features, LossOutput


@dataclass(frozen=True)
class Weights:
    """How much each part counts; the defaults are the paper's (arXiv 2604.01526, section 5.2).

    Attributes:
        alpha: weight of the contrastive loss.
        theta: weight of the Gram loss.
        beta: weight of the reconstruction loss.
        w_rule: weight of the rule loss within the reconstruction loss.
        w_violation: weight of the violation loss within the reconstruction loss; 0 in the paper, which has none.
        label_smoothing: of the contrastive and the Gram loss (the paper states it for the former).
        gram_kind: "volume" (the paper), "volume_squared" or "plane_distance".
        goldberger: reading of the augmented leads in the rule loss: "equations", "equations_raw" or "zero_sum".

    Raises:
        ArgumentError: a weight is negative or not finite, or an option is unknown; `field` names it.
    """

    alpha: float = 0.1
    theta: float = 0.05
    beta: float = 1.0
    w_rule: float = 0.1
    w_violation: float = 0.0
    label_smoothing: float = 0.1
    gram_kind: GramKind = "volume"
    goldberger: Goldberger = "equations"

    def __post_init__(self) -> None:
        for name in ("alpha", "theta", "beta", "w_rule", "w_violation"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ArgumentError(f"{name} is {getattr(self, name)}", field=name, expected="a finite number >= 0")
        check_label_smoothing(self.label_smoothing)
        for name, known in (("gram_kind", get_args(GramKind)), ("goldberger", get_args(Goldberger))):
            if getattr(self, name) not in known:
                raise ArgumentError(
                    f"unknown {name} {getattr(self, name)!r}", field=name, expected=f"one of {', '.join(known)}"
                )


def objective(
    features: Features,
    weights: Weights = Weights(),
    *,
    text_ids: torch.Tensor | None = None,
    sample_weights: torch.Tensor | None = None,
) -> LossOutput:
    """Add up alignment and reconstruction as the paper does.

    **Equation**:

        L = α L_ctr + θ L_gram + β L_recon                                    (Eq. 8)
        L_recon = L_mse + w_rule L_rule (+ w_violation L_violation)           (Eq. 9)

    **Source**: ECG-Scan (2026), arXiv 2604.01526, Eq. 8-9. *Differences*: none with the default weights; L_violation,
    `text_ids`, `sample_weights` and the options of `Weights` are ours and off by default.

    Args:
        features: embeddings `[batch, dim]`, not normalised, and the two logit scales; with a decoder also the
            reconstruction and the recorded signal `[batch, 12, time]` in mV.
        weights: how much each part counts.
        text_ids: integer `[batch]`, equal for equal reports, see `contrastive.report_targets`.
        sample_weights: weights of the samples in L_mse, see `reconstruction.mse_loss`.

    Returns:
        `total`, and `parts`, unweighted scalars: "contrastive", "gram", the same minus their floor under the names
        "contrastive_above_floor" and "gram_above_floor" (zero is perfect, see `contrastive.smoothed_floor`), and with a
        decoder "mse", "rule", "violation" (in mV²) and "reconstruction" = L_recon. A part of weight zero is still
        reported, but sends no gradient.

    Raises:
        ArgumentError: a part refuses its input, the recorded signal is missing, or no part has a weight.

    **Properties**: the total is the weighted sum of the parts; a part of weight zero contributes no gradient.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
        >>> output = objective(Features(image=rows[0], text=rows[1], signal=rows[2]))
        >>> sorted(output.parts)
        ['contrastive', 'contrastive_above_floor', 'gram', 'gram_above_floor']
    """
    smoothing = weights.label_smoothing
    contrastive = contrastive_loss(
        features.image, features.text, features.logit_scale, label_smoothing=smoothing, text_ids=text_ids
    )
    gram = gram_loss(
        features.image,
        features.text,
        features.signal,
        features.gram_logit_scale,
        label_smoothing=smoothing,
        kind=weights.gram_kind,
        text_ids=text_ids,
    )
    floor = smoothed_floor(len(features.image), smoothing) if text_ids is None else report_floor(text_ids, smoothing)
    parts = {
        "contrastive": contrastive,
        "contrastive_above_floor": contrastive - floor,
        "gram": gram,
        "gram_above_floor": gram - floor,
    }
    terms = [(weights.alpha, contrastive), (weights.theta, gram)]
    if features.reconstruction_mv is not None:
        reconstruction = _reconstruction_parts(features.reconstruction_mv, features.signal_mv, weights, sample_weights)
        parts |= reconstruction
        terms.append((weights.beta, reconstruction["reconstruction"]))
    return LossOutput(total=_weighted_sum(terms), parts=parts)


def _reconstruction_parts(
    reconstruction_mv: torch.Tensor,
    signal_mv: torch.Tensor | None,
    weights: Weights,
    sample_weights: torch.Tensor | None,
) -> dict[str, torch.Tensor]:
    """Eq. 9 and its terms."""
    if signal_mv is None:
        raise ArgumentError(
            "a reconstruction has nothing to be compared with",
            field="signal_mv",
            expected="the recorded signal [batch, 12, time] in mV",
            fix="pass Features(..., signal_mv=batch.signals_mv), or leave out reconstruction_mv",
        )
    mse = mse_loss(reconstruction_mv, signal_mv, weights=sample_weights)
    rule = rule_loss(reconstruction_mv, signal_mv, goldberger=weights.goldberger)
    violation = violation_loss(reconstruction_mv)
    total = _weighted_sum([(1.0, mse), (weights.w_rule, rule), (weights.w_violation, violation)])
    return {"mse": mse, "rule": rule, "violation": violation, "reconstruction": total}


def _weighted_sum(terms: list[tuple[float, torch.Tensor]]) -> torch.Tensor:
    """Sum of weight times term over the terms that have a weight, so that the others cost no backward pass."""
    weighted = [weight * term for weight, term in terms if weight > 0]
    if not weighted:
        raise ArgumentError(
            "nothing to minimise: every part has weight zero",
            field="weights",
            expected="alpha, theta or (with a decoder) beta above zero",
        )
    return torch.stack(weighted).sum()
