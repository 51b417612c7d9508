"""Gramian three-way alignment (Eq. 2-4): matched image, report and signal span a small volume."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import check_features, check_logit_scale, symmetric_cross_entropy, unit_rows
from ecgscan_lab.losses.determinant import (
    EPS,
    base_and_distance,
    squared_volume,
    volume_by_determinants,
    volume_of_three,
)

GramKind = Literal["volume", "volume_squared", "log_volume", "plane_distance", "signed_volume", "signed_plane_distance"]
GramReference = Literal["gram"]

# Added under the logarithm: it must hide float32's rounding of a determinant (about 1e-7), which a root forgives.
LOG_EPS = 1e-6


def gram_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    signal: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    label_smoothing: float = 0.1,
    kind: GramKind = "volume",
    reference: GramReference | None = None,
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

    *Known weakness*: V does not change when a vector is replaced by its opposite, and it shrinks for all images at once
    when report and signal become parallel: the loss then climbs to ln B. `kind="plane_distance"` removes the second,
    `kind="signed_plane_distance"` both.

    Args:
        image: anchor features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        text: text features `[batch, dim]`.
        signal: signal features `[batch, dim]`.
        logit_scale: scalar > 0 that multiplies volumes. Volumes lie in [0, 1], cosines in [−1, 1], so it is not natural
            to share it with the contrastive loss.
        label_smoothing: ε in [0, 1).
        kind: what is compared, see `gram_volume`.
        reference: "gram" computes the volume as GRAM was published, see `gram_volume`.
        text_ids: integer `[batch]`, equal for equal reports: pairs with equal reports then share the target
            (`contrastive.report_targets`), although their signals differ. None treats every triple as unique.

    Returns:
        Scalar, float32 (float64 for float64 features).

    Raises:
        ArgumentError: shapes, dtypes or ranges are off, `kind` is unknown, or features on the CPU are not finite.

    **Properties**: equals a naive loop over determinants; symmetric in text and signal; invariant under a common
    rotation, a common shuffle of the batch, the length and (but for the signed kinds) the sign of every row; its
    gradient reaches all three modalities; finite with finite gradients for zero rows, exact collapse and any scale.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
        >>> shared = rows[0] + 0.5 * rows[1:]
        >>> matched, mismatched = (gram_loss(image, *shared, 14.3) for image in (rows[0], rows[0].roll(1, 0)))
        >>> bool(matched < mismatched)
        True
    """
    check_features(image=image, text=text, signal=signal)
    check_logit_scale(logit_scale)
    volume = gram_volume(image, text, signal, kind=kind, reference=reference)
    with torch.autocast(device_type=image.device.type, enabled=False):
        return symmetric_cross_entropy(-logit_scale * volume, label_smoothing=label_smoothing, text_ids=text_ids)


def gram_volume(
    anchor: torch.Tensor,
    *others: torch.Tensor,
    kind: GramKind = "volume",
    reference: GramReference | None = None,
) -> torch.Tensor:
    """Measure, for every anchor i and every tuple j of the other modalities, how far they are from lining up.

    **Equation**, for unit vectors a_i (anchor) and o¹_j … oᵐ_j (others), G_ij their (m+1) × (m+1) matrix of dot
    products:

        kind="volume"                  V_ij = √det G_ij           0 aligned … 1 mutually orthogonal
        kind="volume_squared"          V_ij²                      no square root, so a tame gradient near collapse
        kind="log_volume"              ½ log(V_ij² + 10⁻⁶)        −6.9 … 0; ratios of volumes count, not differences
        kind="plane_distance"          d_ij, distance of a_i from the subspace spanned by o¹_j … oᵐ_j
        kind="signed_volume"           √(V_ij² + n_ij)            0 aligned … √2 orthogonal … 2 opposite
        kind="signed_plane_distance"   √(d_ij² + n_ij)            the same

        n_ij = (1 − a_i·m_j)²,   m_j the mean of o¹_j … oᵐ_j scaled to unit length

    The determinant reduces, with x = a·o¹, y = a·o², z = o¹·o², to
        one other:    det G = 1 − x²
        two others:   det G = 1 + 2xyz − x² − y² − z² = (1 − z²) d²
    The last form shows what plane_distance is for: 1 − z² depends on the pair j alone and pulls all anchors towards
    pairs that are nearly parallel, whatever the anchor. The unsigned kinds take opposite
    vectors for aligned. The signed ones add, by Pythagoras, how far the anchor falls short of the others' mean
    direction. With one other that is the distance from tip to tip, |a − o|; near alignment it vanishes to fourth order,
    so that the anchor stays free within the subspace. Unlike the unsigned kinds they are not flat at a right angle.

    **Source**: ECG-Scan (2026), arXiv 2604.01526, Eq. 2-3. *Differences*: closed forms from tables of dot products, so
    no `[batch, batch, 3, 3]` stack is built; max(det, 0) + 1e-8 under the root instead of |det|; for two others the
    derivative is written out. All kinds but the first are ours; where the subspace itself collapses plane_distance
    becomes the distance from what is left of it.

    `reference="gram"` computes √|det G| as it was published instead (GRAM, Cicchetti et al., 2025, arXiv 2412.11959):
    a stack of matrices, float32 determinants of dot products in the ambient precision, and no guard. It is there to be
    compared with: its gradient is NaN at exact collapse and turns round where rounding makes a determinant negative.

    Args:
        anchor: features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off. TF32 matrix
            products (`torch.set_float32_matmul_precision("high")`) round cosines to 1e-3 and are best left off.
        others: one or more tensors `[batch, dim]`.
        kind: which of the six.
        reference: None, or "gram" together with `kind="volume"`.

    Returns:
        `[batch, batch]`, in the range above up to rounding, float32 (float64 for float64 features, but not from the
        reference): rows are anchors, columns are tuples of the others, matched triples on the diagonal. Exact collapse
        gives 1e-4, the root of the guard. With two others "volume" can be differentiated once, not twice.

    Raises:
        ArgumentError: no others are given, shapes or dtypes differ, `kind` or `reference` is unknown, or values on the
            CPU are not finite.

    **Properties**: closed form for the textbook angles ((.5, .5, .5) gives .707); the order of the others does not
    matter; invariant under rotation and length, and but for the signed kinds under sign; the general path equals the
    closed forms; finite gradients at exact collapse.

    Example:
        >>> x = torch.tensor([[1.0, 0.0, 0.0]])
        >>> y, z = torch.tensor([[1.0, 1.0, 0.0]]), torch.tensor([[0.0, 0.0, 2.0]])
        >>> [round(float(gram_volume(*vectors)), 3) for vectors in ((x, y), (x, y, z), (x, y, x))]
        [0.707, 0.707, 0.0]
    """
    _check_kind(kind, reference)
    if not others:
        raise ArgumentError("only an anchor was given", field="others", expected="at least one other modality")
    check_features(anchor=anchor, **{f"others[{k}]": rows for k, rows in enumerate(others)})
    if reference == "gram":
        return volume_by_determinants(anchor, others)
    with torch.autocast(device_type=anchor.device.type, enabled=False):
        if kind == "volume" and len(others) == 2:
            return volume_of_three(
                *(rows if rows.dtype == torch.float64 else rows.float() for rows in (anchor, *others))
            )
        a, o = unit_rows(anchor), [unit_rows(rows) for rows in others]
        squared = base_and_distance(a, o)[1] if kind.endswith("plane_distance") else squared_volume(a, o)
        squared = squared.clamp_min(0)
        if kind == "volume_squared":
            return squared
        if kind == "log_volume":
            return (squared + LOG_EPS).log() / 2
        if kind.startswith("signed"):
            mean = torch.stack(o).sum(dim=0)
            mean = mean * (mean.square().sum(dim=1, keepdim=True) + EPS).rsqrt()
            squared = squared + (1 - a @ mean.T).square()
        return (squared + EPS).sqrt()


def _check_kind(kind: str, reference: str | None) -> None:
    if kind not in get_args(GramKind):
        raise ArgumentError(f"unknown kind {kind!r}", field="kind", expected=f"one of {', '.join(get_args(GramKind))}")
    if reference is not None and reference not in get_args(GramReference):
        raise ArgumentError(f"unknown reference {reference!r}", field="reference", expected='None or "gram"')
    if reference is not None and kind != "volume":
        raise ArgumentError(
            f"the published volume knows no kind {kind!r}", field="reference", expected='kind="volume" with "gram"'
        )
