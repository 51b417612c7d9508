"""The whole training objective (Eq. 8-9), every part of it by name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import check_label_smoothing, contrastive_loss, report_floor, smoothed_floor
from ecgscan_lab.losses.distillation import distillation_loss
from ecgscan_lab.losses.gather import gather_features, gather_rows
from ecgscan_lab.losses.gram import GramKind, gram_loss
from ecgscan_lab.losses.lead_consistency import Goldberger, rule_loss, violation_loss
from ecgscan_lab.losses.reconstruction import mse_loss, visibility_weights
from ecgscan_lab.losses.statements import statement_loss
from ecgscan_lab.losses.waveform import correlation_loss, spectral_loss
from ecgscan_lab.types import Features, LossOutput

GramAnchor = Literal["image", "text", "signal"]


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
        gram_kind: "volume" (the paper) or another kind of `gram.gram_volume`.
        goldberger: reading of the augmented leads in the rule loss: "equations", "equations_raw" or "zero_sum".
        w_correlation: weight of the correlation loss within the reconstruction loss; 0 in the paper, which has none.
        w_spectral: weight of the spectral loss within the reconstruction loss; 0 in the paper, which has none.
        hidden_weight: what a sample that the page does not show counts in L_mse and L_correlation; 1 in the paper.
        gram_label_smoothing: of the Gram loss alone; None takes `label_smoothing`. The paper leaves it open.
        gram_anchor: the modality that stays while the other two are exchanged: "image" (the order of the paper's
            arguments), "text" or "signal".
        w_statement: weight of the statement loss (`losses.statements`); 0 in the paper, which has none.
        w_distillation: weight of the distillation loss (`losses.distillation`); 0 in the paper, which has none.

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
    w_correlation: float = 0.0
    w_spectral: float = 0.0
    hidden_weight: float = 1.0
    gram_label_smoothing: float | None = None
    gram_anchor: GramAnchor = "image"
    w_statement: float = 0.0
    w_distillation: float = 0.0

    @classmethod
    def paper(cls) -> Weights:
        """The paper's weights by name: α 0.1, θ 0.05, β 1.0, w_rule 0.1, and nothing that it does not have."""
        return cls(alpha=0.1, theta=0.05, beta=1.0, w_rule=0.1)

    def __post_init__(self) -> None:
        amounts = (
            "alpha theta beta w_rule w_violation w_correlation w_spectral hidden_weight w_statement w_distillation"
        )
        for name in amounts.split():
            if not 0 <= getattr(self, name) < math.inf:
                raise ArgumentError(f"{name} is {getattr(self, name)}", field=name, expected="a finite number >= 0")
        check_label_smoothing(self.label_smoothing)
        if self.gram_label_smoothing is not None:
            check_label_smoothing(self.gram_label_smoothing)
        options = {"gram_kind": GramKind, "goldberger": Goldberger, "gram_anchor": GramAnchor}
        for name, known in ((name, get_args(words)) for name, words in options.items()):
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
    visible: torch.Tensor | None = None,
    told: torch.Tensor | None = None,
    gather: bool = False,
) -> LossOutput:
    """Add up alignment and reconstruction as the paper does.

    **Equation**:

        L = α L_ctr + θ L_gram + β L_recon                                    (Eq. 8)
        L_recon = L_mse + w_rule L_rule                                       (Eq. 9)
                  (+ w_violation L_violation + w_correlation L_correlation + w_spectral L_spectral)
        (+ w_statement L_statement + w_distillation L_distil)

    **Source**: ECG-Scan (2026), arXiv 2604.01526, Eq. 8-9. *Differences*: none with the default weights; the terms in
    brackets, `text_ids`, `sample_weights`, `visible` and the options of `Weights` are ours and off by default.

    Args:
        features: embeddings `[batch, dim]`, not normalised, and the two logit scales; with a decoder also the
            reconstruction and the recorded signal `[batch, 12, time]` in mV.
        weights: how much each part counts.
        text_ids: integer `[batch]`, equal for equal reports, see `contrastive.report_targets`.
        sample_weights: weights of the samples in L_mse, see `reconstruction.mse_loss`.
        visible: bool `[12, time]` or `[batch, 12, time]`, True where the page shows the sample. L_mse is then also
            reported for the two kinds of samples, and `Weights.hidden_weight` applies.
        told: 0 or 1 `[batch, statement]`, which statements are said of which record; wanted by `w_statement`.
        gather: take the negatives of the alignment losses from all processes, see `gather.gather_features`.

    Returns:
        `total`, and `parts`, unweighted scalars: "contrastive", "gram", the same minus their floor under the names
        "contrastive_above_floor" and "gram_above_floor" (zero is perfect, see `contrastive.smoothed_floor`), and with a
        decoder "mse", "rule", "violation" (in mV²) and "reconstruction" = L_recon. These parts are reported even with
        weight zero, but send no gradient then. "correlation" and "spectral" are there when they have a weight,
        "mse_visible" and "mse_hidden" when `visible` is given. "statement" and "distillation" are there when they
        have a weight.

    Raises:
        ArgumentError: a part refuses its input; the recorded signal, the statements or the summary that a part needs
            are missing; hidden samples have a weight of their own but `visible` is missing; or no part has a weight.

    **Properties**: the total is the weighted sum of the parts; a part of weight zero contributes no gradient.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
        >>> output = objective(Features(image=rows[0], text=rows[1], signal=rows[2]))
        >>> sorted(output.parts)
        ['contrastive', 'contrastive_above_floor', 'gram', 'gram_above_floor']
    """
    smoothing = weights.label_smoothing
    statement = _statement_part(features, weights, told)  # of this process alone: it has no negatives to gather
    if gather:
        features = gather_features(features)
        text_ids = None if text_ids is None else gather_rows(text_ids)
    contrastive = contrastive_loss(
        features.image, features.text, features.logit_scale, label_smoothing=smoothing, text_ids=text_ids
    )
    gram_smoothing = smoothing if weights.gram_label_smoothing is None else weights.gram_label_smoothing
    gram = gram_loss(
        *_anchor_first(features, weights.gram_anchor),
        features.gram_logit_scale,
        label_smoothing=gram_smoothing,
        kind=weights.gram_kind,
        text_ids=text_ids,
    )
    floor, gram_floor = (
        smoothed_floor(len(features.image), amount) if text_ids is None else report_floor(text_ids, amount)
        for amount in (smoothing, gram_smoothing)
    )
    parts = {
        "contrastive": contrastive,
        "contrastive_above_floor": contrastive - floor,
        "gram": gram,
        "gram_above_floor": gram - gram_floor,
    }
    terms = [(weights.alpha, contrastive), (weights.theta, gram)]
    if features.reconstruction_mv is not None:
        reconstruction = _reconstruction_parts(features, weights, sample_weights, visible)
        parts |= reconstruction
        terms.append((weights.beta, reconstruction["reconstruction"]))
    if statement is not None:
        parts["statement"] = statement
        terms.append((weights.w_statement, statement))
    if weights.w_distillation > 0:
        parts["distillation"] = _distillation_part(features)
        terms.append((weights.w_distillation, parts["distillation"]))
    return LossOutput(total=_weighted_sum(terms), parts=parts)


def _statement_part(features: Features, weights: Weights, told: torch.Tensor | None) -> torch.Tensor | None:
    if weights.w_statement == 0:
        return None
    if features.statements is None or told is None:
        raise ArgumentError(
            "the statement loss has a weight, but there are no statements",
            field="told",
            expected="Features(statements=...) and told [batch, statement]",
            fix="take the features of train.frozen_features.prepare_frozen, or w_statement=0",
        )
    return statement_loss(
        features.image,
        features.statements,
        told,
        features.logit_scale if features.statement_logit_scale is None else features.statement_logit_scale,
        log_odds=features.statement_log_odds,
        weight=features.statement_weight,
    )


def _distillation_part(features: Features) -> torch.Tensor:
    if features.predicted_summary is None or features.signal_summary is None:
        raise ArgumentError(
            "the distillation loss has a weight, but there is no summary of the signal",
            field="signal_summary",
            expected="Features(signal_summary=..., predicted_summary=...)",
            fix="take the features of train.frozen_features.prepare_frozen, or w_distillation=0",
        )
    return distillation_loss(features.predicted_summary, features.signal_summary)


def _anchor_first(features: Features, anchor: GramAnchor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Image, text and signal, the anchor in front."""
    image, text, signal = features.image, features.text, features.signal
    if anchor == "image":
        return image, text, signal
    return (text, image, signal) if anchor == "text" else (signal, image, text)


def _reconstruction_parts(
    features: Features, weights: Weights, sample_weights: torch.Tensor | None, visible: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """Eq. 9 and its terms."""
    predicted, recorded = features.reconstruction_mv, features.signal_mv
    if predicted is None or recorded is None:
        raise ArgumentError(
            "a reconstruction has nothing to be compared with",
            field="signal_mv",
            expected="the recorded signal [batch, 12, time] in mV",
            fix="pass Features(..., signal_mv=batch.signals_mv), or leave out reconstruction_mv",
        )
    parts: dict[str, torch.Tensor] = {}
    if visible is not None:
        shown = visibility_weights(visible, 0.0)
        with torch.no_grad():
            parts["mse_visible"] = mse_loss(predicted, recorded, weights=shown)
            parts["mse_hidden"] = mse_loss(predicted, recorded, weights=1 - shown)
        if weights.hidden_weight != 1:
            by_visibility = visibility_weights(visible, weights.hidden_weight)
            sample_weights = by_visibility if sample_weights is None else sample_weights * by_visibility
    elif weights.hidden_weight != 1:
        raise ArgumentError(
            f"hidden_weight is {weights.hidden_weight}, but what the page hides is not known",
            field="visible",
            expected="bool [12, time] or [batch, 12, time]",
        )
    parts["mse"] = mse_loss(predicted, recorded, weights=sample_weights)
    parts["rule"] = rule_loss(predicted, recorded, goldberger=weights.goldberger)
    parts["violation"] = violation_loss(predicted)
    terms = [(1.0, parts["mse"]), (weights.w_rule, parts["rule"]), (weights.w_violation, parts["violation"])]
    if weights.w_correlation > 0:
        parts["correlation"] = correlation_loss(predicted, recorded, weights=sample_weights)
        terms.append((weights.w_correlation, parts["correlation"]))
    if weights.w_spectral > 0:
        parts["spectral"] = spectral_loss(predicted, recorded)
        terms.append((weights.w_spectral, parts["spectral"]))
    return {**parts, "reconstruction": _weighted_sum(terms)}


def _weighted_sum(terms: list[tuple[float, torch.Tensor]]) -> torch.Tensor:
    """Sum of weight times term over the terms that have a weight, so that the others cost no backward pass."""
    weighted = [weight * term for weight, term in terms if weight > 0]
    if not weighted:
        raise ArgumentError(
            "nothing to minimise: every part has weight zero",
            field="weights",
            expected="alpha, theta, w_statement, w_distillation or (with a decoder) beta above zero",
        )
    return torch.stack(weighted).sum()
