"""PMRL: align any number of modalities along their own principal direction, without an anchor."""

from __future__ import annotations

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import check_features, check_logit_scale, symmetric_cross_entropy, unit_rows
from ecgscan_lab.losses.determinant import EPS

# Eigenvalues closer than this count as this far apart in the derivative of the direction, which has no limit otherwise.
MIN_GAP = 1e-3


def pmrl_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    signal: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    spectrum_scale: float = 10.0,
    instance_weight: float = 1.0,
    label_smoothing: float = 0.1,
    text_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """Let one direction carry all modalities of a record, and keep the directions of different records apart.

    **Equation**, with σ₁ ≥ σ₂ ≥ σ₃ the singular values of the three unit rows of record i, and u_i the direction of σ₁:

        L_spectrum = −(1/B) Σᵢ log softmax(τ₁ σ_i)₁         all in one direction: σ = (√3, 0, 0)
        L_instance = CE(τ U Uᵀ)                               rows of U are the u_i; against the diagonal
        L = L_spectrum + w L_instance

    **Source**: PMRL (Liu et al., 2025, arXiv 2507.17343). *Differences*: singular values come from the 3 × 3 matrix of
    dot products, not from a decomposition of `[dim, 3]`; u points the way most modalities do, where the source leaves
    its sign to the decomposition; τ₁ = 10, w = 1 and label smoothing in L_instance are our choices; the source adds a
    matching loss.

    Args:
        image: image features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        text: text features `[batch, dim]`.
        signal: signal features `[batch, dim]`.
        logit_scale: τ > 0, multiplies the cosines between directions.
        spectrum_scale: τ₁ > 0, multiplies singular values.
        instance_weight: w ≥ 0.
        label_smoothing: ε in [0, 1) of L_instance.
        text_ids: integer `[batch]`, equal for equal reports, see `contrastive.report_targets`.

    Returns:
        Scalar, float32 (float64 for float64 features).

    Raises:
        ArgumentError: shapes, dtypes or ranges are off, or features on the CPU are not finite.

    **Properties**: symmetric in all three modalities; invariant under a common rotation and the length of every row;
    turning one modality round leaves L_spectrum as it is; finite with finite gradients where singular values coincide.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
        >>> bool(pmrl_loss(rows[0], rows[0], rows[0], 14.3) < pmrl_loss(*rows, 14.3))
        True
    """
    check_features(image=image, text=text, signal=signal)
    check_logit_scale(logit_scale)
    for name, value, least in (("spectrum_scale", spectrum_scale, 1e-9), ("instance_weight", instance_weight, 0.0)):
        if not least <= value < float("inf"):
            raise ArgumentError(f"{name} is {value}", field=name, expected=f"a finite number >= {least:g}")
    with torch.autocast(device_type=image.device.type, enabled=False):
        singular, direction = principal_direction(unit_rows(image), unit_rows(text), unit_rows(signal))
        spectrum = -(spectrum_scale * singular).log_softmax(dim=1)[:, 0].mean()
        logits = logit_scale * (direction @ direction.T)
        instance = symmetric_cross_entropy(logits, label_smoothing=label_smoothing, text_ids=text_ids)
        return spectrum + instance_weight * instance


def principal_direction(*modalities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Singular values of each record's stack of modalities, and the unit direction of the largest.

    Eigenvectors are found without gradient. First-order perturbation theory then gives the derivatives: with
    T = Wᵀ G W, the change of eigenvalue k is T_kk, and eigenvector 1 turns towards k by T_k1 / (λ₁ − λ_k). That is
    exact, and unlike the derivative of a library's decomposition finite where λ₂ = λ₃.

    Args:
        modalities: m tensors of unit rows `[batch, dim]`.

    Returns:
        `[batch, m]`, descending, and `[batch, dim]`, pointing the way most modalities do.
    """
    stack = torch.stack(modalities, dim=1)
    gram = stack @ stack.mT
    with torch.no_grad():
        vectors = torch.linalg.eigh(gram).eigenvectors.flip(-1)
        leaning = torch.where(vectors[:, :, :1].sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
        vectors = vectors * leaning.to(vectors.dtype)
    turned = vectors.mT @ gram @ vectors
    values = turned.diagonal(dim1=-2, dim2=-1)
    gaps = (values[:, :1] - values[:, 1:]).detach().clamp_min(MIN_GAP)
    leading = vectors[:, :, 0] + (vectors[:, :, 1:] @ (turned[:, 1:, :1] / gaps[:, :, None])).squeeze(-1)
    singular = (values.clamp_min(0) + EPS).sqrt()
    direction = (leading[:, None, :] @ stack).squeeze(1)
    return singular, direction / singular[:, :1]
