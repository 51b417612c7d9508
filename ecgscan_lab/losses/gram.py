"""Gramian three-way alignment (Eq. 2-4): matched image, report and signal span a small volume."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import check_features, check_logit_scale, symmetric_cross_entropy, unit_rows

GramKind = Literal["volume", "volume_squared", "plane_distance"]

# Added under the square root, whose slope is infinite at zero. It bounds the slope by 5,000, biases volumes above 0.01
# by less than 1e-6, and is well below float32's rounding of a determinant near one (about 1e-7).
EPS = 1e-8


def gram_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    signal: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    label_smoothing: float = 0.1,
    kind: GramKind = "volume",
    text_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """Make the volume spanned by a matched (image, report, signal) smaller than that of mismatched triples.

    **Equation** (mean over the batch, over both directions):

        L_gram = ½ [ CE(−τ V) + CE(−τ Vᵀ) ],      V_ij = V(img_i, txt_j, sig_j) of `gram_volume`

    Row i of V asks which (report, signal) pair belongs to image i, column j which image belongs to pair j. The image is
    the *anchor*: report and signal always come as a pair and are never mismatched with each other.

    **Source**: ECG-Scan (2026), arXiv 2604.01526, Eq. 2-4, after GRAM (Cicchetti et al., 2025, arXiv 2412.11959).
    *Differences*: a closed form in float32 with the determinant clamped at zero, where the paper writes √|det G|:
    rounding makes determinants negative, and the modulus then turns their gradient round. The paper leaves open whether
    Eq. 4 smooths its labels and shares τ with Eq. 1; here ε = 0.1 and τ is an argument of its own.

    *Known weakness*: V does not change when a vector is replaced by its opposite; and it shrinks for all images at once
    when report and signal become parallel. `kind="plane_distance"` removes the second.

    Args:
        image: anchor features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        text: text features `[batch, dim]`.
        signal: signal features `[batch, dim]`.
        logit_scale: scalar > 0 that multiplies volumes. Volumes lie in [0, 1], cosines in [−1, 1], so it is not natural
            to share it with the contrastive loss.
        label_smoothing: ε in [0, 1).
        kind: what is compared, see `gram_volume`.
        text_ids: integer `[batch]`, equal for equal reports: pairs with equal reports then share the target
            (`contrastive.report_targets`), although their signals differ. None treats every triple as unique.

    Returns:
        Scalar, float32 (float64 for float64 features).

    Raises:
        ArgumentError: shapes, dtypes or ranges are off, `kind` is unknown, or features on the CPU are not finite.

    **Properties**: equals a naive loop over determinants; symmetric in text and signal; invariant under a common
    rotation, a common shuffle of the batch, the length and the sign of every row; its gradient reaches all three
    modalities; finite with finite gradients for zero rows, exact collapse and any scale.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
        >>> shared = rows[0] + 0.5 * rows[1:]
        >>> matched, mismatched = (gram_loss(image, *shared, 14.3) for image in (rows[0], rows[0].roll(1, 0)))
        >>> bool(matched < mismatched)
        True
    """
    check_features(image=image, text=text, signal=signal)
    check_logit_scale(logit_scale)
    volume = gram_volume(image, text, signal, kind=kind)
    with torch.autocast(device_type=image.device.type, enabled=False):
        return symmetric_cross_entropy(-logit_scale * volume, label_smoothing=label_smoothing, text_ids=text_ids)


def gram_volume(anchor: torch.Tensor, *others: torch.Tensor, kind: GramKind = "volume") -> torch.Tensor:
    """Measure, for every anchor i and every tuple j of the other modalities, how far they are from lining up.

    **Equation**, for unit vectors a_i (anchor) and o¹_j … oᵐ_j (others), G_ij their (m+1) × (m+1) matrix of dot
    products:

        kind="volume"           V_ij = √det G_ij               0 aligned … 1 mutually orthogonal
        kind="volume_squared"   V_ij² = det G_ij               no square root, so a tame gradient near collapse
        kind="plane_distance"   d_ij, distance of a_i from the subspace spanned by o¹_j … oᵐ_j

    It reduces, with x = a·o¹, y = a·o², z = o¹·o², to
        one other:    det G = 1 − x²
        two others:   det G = 1 + 2xyz − x² − y² − z² = (1 − z²) d²
    The last form shows what plane_distance is for: 1 − z² depends on the pair j alone and pulls all anchors towards
    pairs that are nearly parallel, whatever the anchor.

    **Source**: ECG-Scan (2026), arXiv 2604.01526, Eq. 2-3. *Differences*: closed forms from tables of dot products, so
    no `[batch, batch, 3, 3]` stack is built; max(det, 0) + 1e-8 under the root instead of |det|. plane_distance is
    ours; where the subspace itself collapses it becomes the distance from what is left of it.

    Args:
        anchor: features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off. TF32 matrix
            products (`torch.set_float32_matmul_precision("high")`) round cosines to 1e-3 and are best left off.
        others: one or more tensors `[batch, dim]`.
        kind: which of the three.

    Returns:
        `[batch, batch]`, in [0, 1] up to rounding, float32 (float64 for float64 features): rows are anchors, columns
        are tuples of the others, matched triples on the diagonal. Exact collapse gives 1e-4, the root of the guard.

    Raises:
        ArgumentError: no others are given, shapes or dtypes differ, `kind` is unknown, or values on the CPU are not
            finite.

    **Properties**: closed form for the textbook angles ((.5, .5, .5) gives .707); the order of the others does not
    matter; invariant under rotation, sign and length; the general path equals the closed forms; finite gradients at
    exact collapse.

    Example:
        >>> x = torch.tensor([[1.0, 0.0, 0.0]])
        >>> y, z = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 2.0]])
        >>> [round(float(gram_volume(*vectors)), 3) for vectors in ((x, y), (x, y, z), (x, y, x))]
        [0.707, 0.707, 0.0]
    """
    if kind not in get_args(GramKind):
        raise ArgumentError(f"unknown kind {kind!r}", field="kind", expected=f"one of {', '.join(get_args(GramKind))}")
    if not others:
        raise ArgumentError("only an anchor was given", field="others", expected="at least one other modality")
    check_features(anchor=anchor, **{f"others[{k}]": rows for k, rows in enumerate(others)})
    with torch.autocast(device_type=anchor.device.type, enabled=False):
        a, o = unit_rows(anchor), [unit_rows(rows) for rows in others]
        if kind == "plane_distance":
            squared = _gram_schmidt(a, o)[1]
        elif len(o) == 1:
            squared = 1 - (a @ o[0].T).square()
        elif len(o) == 2:
            x, y, z = a @ o[0].T, a @ o[1].T, (o[0] * o[1]).sum(dim=1)
            squared = 1 + 2 * x * y * z - x.square() - y.square() - z.square()
        else:
            base, distance = _gram_schmidt(a, o)
            squared = base * distance
        squared = squared.clamp_min(0)
        return squared if kind == "volume_squared" else (squared + EPS).sqrt()


def _gram_schmidt(anchor: torch.Tensor, others: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Split det G_ij into the squared volume of the others j `[batch]` and the squared distance of i from their span.

    Volume is base times height: orthogonalise the others of each tuple, multiply their squared heights, and subtract
    from the anchor's squared length what lies along each direction. It takes any number of modalities, and only
    `[batch, dim]` and `[batch, batch]` tensors.
    """
    base = torch.ones_like(others[0][:, 0])
    distance = torch.ones_like(anchor[:, :1])
    directions: list[torch.Tensor] = []
    for rows in others:
        for direction in directions:
            rows = rows - (rows * direction).sum(dim=1, keepdim=True) * direction
        height = rows.square().sum(dim=1, keepdim=True)
        # A modality that adds no direction of its own fades out instead of pointing along its rounding error.
        directions.append(rows * (height + EPS).rsqrt())
        base = base * height[:, 0]
        distance = distance - (anchor @ directions[-1].T).square()
    return base, distance
