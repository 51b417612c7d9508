"""TRIANGLE: matched image, report and signal are the corners of a small triangle."""

from __future__ import annotations

import torch

from ecgscan_lab.losses.contrastive import check_features, check_logit_scale, symmetric_cross_entropy, unit_rows
from ecgscan_lab.losses.determinant import EPS


def triangle_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    signal: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    label_smoothing: float = 0.1,
    text_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """Make the triangle between the tips of a matched triple smaller than those of mismatched ones.

    **Equation**: L = ½ [ CE(−τ A) + CE(−τ Aᵀ) ],  A_ij = `triangle_area`(img_i, txt_j, sig_j)

    **Source**: TRIANGLE (Cicchetti et al., NeurIPS 2025). *Differences*: the image is the anchor; the area itself is
    compared, where the released code compares its square.

    *Known weakness*: as with the Gram volume, the area vanishes for every image when report and signal coincide.

    Args:
        image: anchor features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        text: text features `[batch, dim]`.
        signal: signal features `[batch, dim]`.
        logit_scale: scalar > 0 that multiplies areas, which range from 0 to 1.3.
        label_smoothing: ε in [0, 1).
        text_ids: integer `[batch]`, equal for equal reports, see `contrastive.report_targets`.

    Returns:
        Scalar, float32 (float64 for float64 features).

    Raises:
        ArgumentError: shapes, dtypes or ranges are off, or features on the CPU are not finite.

    **Properties**: symmetric in text and signal; tells a vector from its opposite; invariant under a common rotation, a
    common shuffle of the batch and the length of every row; finite with finite gradients at the edges.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
        >>> shared = rows[0] + 0.5 * rows[1:]
        >>> matched, mismatched = (triangle_loss(image, *shared, 14.3) for image in (rows[0], rows[0].roll(1, 0)))
        >>> bool(matched < mismatched)
        True
    """
    check_features(image=image, text=text, signal=signal)
    check_logit_scale(logit_scale)
    area = triangle_area(image, text, signal)
    with torch.autocast(device_type=image.device.type, enabled=False):
        return symmetric_cross_entropy(-logit_scale * area, label_smoothing=label_smoothing, text_ids=text_ids)


def triangle_area(anchor: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The area of the triangle with its corners at the tips of anchor i and of the pair j.

    **Equation**, for unit rows with u = a_i − f_j, w = a_i − s_j, all from the dot products x = a·f, y = a·s, z = f·s:

        A_ij = ½ √(|u|² |w|² − (u·w)²),   |u|² = 2 − 2x,   |w|² = 2 − 2y,   u·w = 1 − x − y + z

    **Source**: Lagrange's identity. *Differences*: max(·, 0) + 1e-8 under the root; no `[batch, batch, dim]` table of
    differences.

    Args:
        anchor: `[batch, dim]`, any length of row.
        first, second: `[batch, dim]`.

    Returns:
        `[batch, batch]`, 0 where two tips coincide … 3√3/4 = 1.299 for an equilateral triangle around the origin;
        float32 (float64 for float64 features).

    Raises:
        ArgumentError: shapes or dtypes are off, or features on the CPU are not finite.

    Example:
        >>> x, y, z = (row[None] for row in torch.eye(3))
        >>> round(float(triangle_area(x, y, z)), 4)  # √3/2
        0.866
    """
    check_features(anchor=anchor, first=first, second=second)
    with torch.autocast(device_type=anchor.device.type, enabled=False):
        a, f, s = unit_rows(anchor), unit_rows(first), unit_rows(second)
        x, y, z = a @ f.T, a @ s.T, (f * s).sum(dim=1)
        squared = 4 * (1 - x) * (1 - y) - (1 - x - y + z).square()
        return (squared.clamp_min(0) + EPS).sqrt() / 2
