"""Symile: three modalities scored by one multilinear product instead of by pairs."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ecgscan_lab.losses.contrastive import check_features, check_label_smoothing, check_logit_scale, unit_rows


def symile_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    signal: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    label_smoothing: float = 0.1,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Make the multilinear product of a matched triple larger than those of triples put together at random.

    **Equation**, for unit rows, with each modality in turn as x and the other two as y and z:

        s_ii = τ Σ_d x_id y_id z_id,     s_ij = τ Σ_d x_id y_π(j)d z_ρ(j)d   (j ≠ i)
        L = ⅓ Σ over x of CE(s)          with the cross-entropy against the diagonal

    where π and ρ shuffle the batch independently: a mismatched candidate joins y and z of different members, so that
    the loss bounds what the three tell of each other together, beyond what any two do.

    **Source**: Symile (Saporta et al., NeurIPS 2024, arXiv 2411.01053), the variant with B − 1 negatives.
    *Differences*: without a generator ρ is a step to the next member and π leaves the order, so that the loss is a
    function of its arguments; label smoothing, which makes it comparable with the other losses here.

    *Scale*: products of three unit vectors in d dimensions are small, at most 1 and about 1/√d when aligned at random,
    so τ must grow far beyond what suits cosines; start it at 100 or more, or learn it.

    Args:
        image: image features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        text: text features `[batch, dim]`.
        signal: signal features `[batch, dim]`.
        logit_scale: scalar > 0.
        label_smoothing: ε in [0, 1); the source has none.
        generator: draws π and ρ (on the CPU); None takes the fixed ones.

    Returns:
        Scalar, float32 (float64 for float64 features).

    Raises:
        ArgumentError: shapes, dtypes or ranges are off, or features on the CPU are not finite.

    **Properties**: equals a naive loop; invariant under the length of every row, but not under rotation, since
    coordinates are multiplied one by one; turning one modality round turns every product round, turning two leaves
    them.

    Example:
        >>> rows = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0)).abs()
        >>> bool(symile_loss(rows[0], rows[0], rows[0], 100.0) < symile_loss(*rows, 100.0))
        True
    """
    check_features(image=image, text=text, signal=signal)
    check_logit_scale(logit_scale)
    check_label_smoothing(label_smoothing)
    batch = len(image)
    if generator is None:
        partners = (torch.arange(batch), torch.arange(batch).roll(1))
    else:
        partners = (torch.randperm(batch, generator=generator), torch.randperm(batch, generator=generator))
    first, second = (indices.to(image.device) for indices in partners)
    matched = torch.eye(batch, dtype=torch.bool, device=image.device)
    targets = torch.arange(batch, device=image.device)
    with torch.autocast(device_type=image.device.type, enabled=False):
        rows = [unit_rows(image), unit_rows(text), unit_rows(signal)]
        product = (rows[0] * rows[1] * rows[2]).sum(dim=1)
        losses = []
        for k in range(3):
            x, y, z = rows[k], rows[(k + 1) % 3], rows[(k + 2) % 3]
            score = torch.where(matched, product[:, None], x @ (y[first] * z[second]).T)
            losses.append(F.cross_entropy(logit_scale * score, targets, label_smoothing=label_smoothing))
        return torch.stack(losses).mean()
