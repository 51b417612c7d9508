"""SigLIP: every image-report pair is a yes-or-no question of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ecgscan_lab.losses.contrastive import check_features, check_logit_scale, report_targets, unit_rows


def siglip_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    logit_bias: torch.Tensor | float = -10.0,
    text_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """Judge each image-report pair alone as matched or not, without a softmax over the batch.

    **Equation**, for unit rows, with m_ij = 1 for a match and −1 otherwise:

        L = −(1/B) Σᵢⱼ log σ( m_ij (τ img_i·txt_j + b) )

    **Source**: SigLIP (Zhai et al., ICCV 2023, arXiv 2303.15343). *Differences*: none; with `text_ids` all pairs whose
    reports read the same count as matches, which costs this loss nothing, since it has no softmax.

    Args:
        image: image features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        text: text features `[batch, dim]`; row i belongs to image i.
        logit_scale: scalar > 0; the source starts at 10.
        logit_bias: b, a number or a learnable scalar. At −10 it offsets that nearly all pairs are mismatches.
        text_ids: integer `[batch]`, equal for equal reports; None treats every report as unique.

    Returns:
        Scalar ≥ 0, float32 (float64 for float64 features). It reaches zero only as τ grows.

    Raises:
        ArgumentError: shapes, dtypes or ranges are off, or features on the CPU are not finite.

    **Properties**: equals a naive loop; symmetric in image and text; invariant under a common rotation, a common
    shuffle of the batch and the length of every row; finite with finite gradients at the edges.

    Example:
        >>> rows = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
        >>> bool(siglip_loss(rows, rows, 14.3) < siglip_loss(rows, rows.roll(1, 0), 14.3))
        True
    """
    check_features(image=image, text=text)
    check_logit_scale(logit_scale)
    batch = len(image)
    with torch.autocast(device_type=image.device.type, enabled=False):
        logits = logit_scale * (unit_rows(image) @ unit_rows(text).T) + logit_bias
        if text_ids is None:
            matched = torch.eye(batch, dtype=torch.bool, device=image.device)
        else:
            matched = report_targets(text_ids, batch) > 0
        return -F.logsigmoid(torch.where(matched, logits, -logits)).sum() / batch
