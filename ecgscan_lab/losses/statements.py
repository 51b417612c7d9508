"""Statements as texts: each is a yes-or-no question to the page."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import check_features, check_logit_scale, unit_rows


def statement_loss(
    image: torch.Tensor,
    statements: torch.Tensor,
    told: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    log_odds: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Ask of every page and every statement whether it is said of it.

    **Equation**, for unit rows, with m_is = 1 where statement s is said of record i and -1 otherwise:

        L = -(1/B) Σᵢ Σₛ w_s log σ( m_is (τ img_i·stm_s + b_s) )

    **Source**: the sigmoid loss of SigLIP (Zhai et al., ICCV 2023, arXiv 2303.15343). *Differences*: a report is taken
    apart into its statements, so that two records share what they have in common, and what is frequent is nobody's
    false negative; b_s is no learnt number but the log odds of the statement among the training records, so that a
    cosine of 0 says no more than how common it is. Not part of ECG-Scan: it needs statements, which PTB-XL has as SCP
    codes, and it is supervision by labels in the form of texts.

    Args:
        image: image features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        statements: projected texts `[statement, dim]`.
        told: 0 or 1, `[batch, statement]`.
        logit_scale: scalar > 0.
        log_odds: b, `[statement]`; None is 0.
        weight: w, `[statement]`; None is 1.

    Returns:
        Scalar >= 0, float32 (float64 for float64 features).

    Raises:
        ArgumentError: shapes, dtypes or ranges are off.

    **Properties**: equals a naive loop; no gain from another length of a row; with cosine 0 and b the log odds, the
    gradient of the mean prediction is zero.

    Example:
        >>> rows = torch.eye(3)
        >>> told = torch.eye(3)
        >>> bool(statement_loss(rows, rows, told, 9.0) < statement_loss(rows, rows, 1 - told, 9.0))
        True
    """
    check_features(image=image)
    check_features(statements=statements)
    check_logit_scale(logit_scale)
    expected = (len(image), len(statements))
    if tuple(told.shape) != expected or image.shape[1] != statements.shape[1]:
        raise ArgumentError(
            f"told is {tuple(told.shape)} for {expected[0]} pages and {expected[1]} statements",
            field="told",
            expected="[batch, statement], and features of one size",
        )
    with torch.autocast(device_type=image.device.type, enabled=False):
        logits = logit_scale * (unit_rows(image) @ unit_rows(statements).T)
        if log_odds is not None:
            logits = logits + log_odds.to(logits.dtype)
        wrong = F.binary_cross_entropy_with_logits(logits, told.to(logits.dtype), reduction="none")
        return (wrong if weight is None else wrong * weight.to(wrong.dtype)).sum() / len(image)
