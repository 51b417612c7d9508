"""Three-way alignment by pairs alone: the ablation that the Gram volume is measured against."""

from __future__ import annotations

import torch

from ecgscan_lab.losses.contrastive import contrastive_loss


def pairwise_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    signal: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    label_smoothing: float = 0.1,
    text_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pull image, report and signal together pair by pair.

    **Equation**, with L_ctr of `contrastive_loss`:

        L_pair = ⅓ [ L_ctr(img, txt) + L_ctr(img, sig) + L_ctr(txt, sig) ]

    **Source**: "contrastive learning across the three modalities" of ECG-Scan (2026), arXiv 2604.01526, section 6.3,
    which scores below the Gram loss there. *Differences*: the paper does not print it; the equal weights and the shared
    τ are our reading.

    Args:
        image: image features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        text: text features `[batch, dim]`.
        signal: signal features `[batch, dim]`.
        logit_scale: scalar > 0 that multiplies cosines.
        label_smoothing: ε in [0, 1).
        text_ids: integer `[batch]`, equal for equal reports, see `contrastive.report_targets`. It applies to the two
            pairs that hold the report; an image still belongs to one signal only.

    Returns:
        Scalar, float32 (float64 for float64 features).

    Raises:
        ArgumentError: as `contrastive_loss`.

    **Properties**: symmetric in all three modalities; tells a vector from its opposite; the other properties of
    `contrastive_loss`.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
        >>> bool(pairwise_loss(rows[0], rows[0], rows[0], 14.3) < pairwise_loss(rows[0], rows[0], -rows[0], 14.3))
        True
    """
    image_text = contrastive_loss(image, text, logit_scale, label_smoothing=label_smoothing, text_ids=text_ids)
    image_signal = contrastive_loss(image, signal, logit_scale, label_smoothing=label_smoothing)
    text_signal = contrastive_loss(text, signal, logit_scale, label_smoothing=label_smoothing, text_ids=text_ids)
    return (image_text + image_signal + text_signal) / 3
