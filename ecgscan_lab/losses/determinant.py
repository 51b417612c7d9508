"""Gram determinants of an anchor i and a tuple j of other modalities, from tables of dot products."""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

# Added under the square root, whose slope is infinite at zero. It bounds the slope by 5,000, biases volumes above 0.01
# by less than 1e-6, and is well below float32's rounding of a determinant near one (about 1e-7).
EPS = 1e-8


def squared_volume(anchor: torch.Tensor, others: list[torch.Tensor]) -> torch.Tensor:
    """The determinant of every Gram matrix, det G_ij, in closed form for up to three others.

    **Equation**, with a the cosines of anchor i to the others of tuple j, and O_j the Gram matrix of the others:

        det G_ij = det O_j − aᵀ adj(O_j) a

    One other:    1 − x²
    Two others:   1 − z² − x² − y² + 2xyz
    Three others: the same expression with the 3 × 3 adjugate; more take base times height by Gram-Schmidt.

    Args:
        anchor: unit rows `[batch, dim]`.
        others: one or more tensors of unit rows `[batch, dim]`.

    Returns:
        `[batch, batch]`, in [0, 1] but for rounding, which may push it below zero by about 1e-7 in float32.
    """
    if len(others) == 1:
        return 1 - (anchor @ others[0].T).square()
    if len(others) == 2:
        text, signal = others
        x, y, z = anchor @ text.T, anchor @ signal.T, (text * signal).sum(dim=1)
        return 1 + 2 * x * y * z - x.square() - y.square() - z.square()
    if len(others) == 3:
        return _squared_volume_of_four(anchor, *others)
    base, distance = base_and_distance(anchor, others)
    return base * distance


def _squared_volume_of_four(
    anchor: torch.Tensor, first: torch.Tensor, second: torch.Tensor, third: torch.Tensor
) -> torch.Tensor:
    """Evaluate det O − aᵀ adj(O) a for three others with mutual cosines p, q, r."""
    x, y, w = anchor @ first.T, anchor @ second.T, anchor @ third.T
    p, q, r = ((u * v).sum(dim=1) for u, v in ((first, second), (first, third), (second, third)))
    base = 1 + 2 * p * q * r - p.square() - q.square() - r.square()
    diagonal = (1 - r.square()) * x.square() + (1 - q.square()) * y.square() + (1 - p.square()) * w.square()
    mixed = (q * r - p) * x * y + (p * r - q) * x * w + (p * q - r) * y * w
    return base - diagonal - 2 * mixed


def base_and_distance(anchor: torch.Tensor, others: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
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


def volume_of_three(anchor: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """√(max(det G_ij, 0) + ε) for the paper's three modalities, with its derivative written out.

    Left to autograd, the closed form keeps a dozen `[batch, batch]` tables for the backward pass. This keeps three, and
    works in place.

    **Equation**, of unit rows: ∂V/∂x = (yz − x)/V, ∂V/∂y = (xz − y)/V, ∂V/∂z = (xy − z)/V, and 0 where the determinant
    was clamped; and through the normalisation u = r/‖r‖: ∂/∂r = (∂/∂u − u (u·∂/∂u)) / ‖r‖.

    Args:
        anchor, first, second: `[batch, dim]`, float32 or float64, any length of row.

    Returns:
        `[batch, batch]`. Differentiable once.
    """
    return _VolumeOfThree.apply(anchor, first, second)


class _VolumeOfThree(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *rows: torch.Tensor) -> torch.Tensor:
        (a, length_a), (t, length_t), (s, length_s) = (_unit_and_length(r) for r in rows)
        x, y, z = a @ t.T, a @ s.T, (t * s).sum(dim=1)
        # det G = (1 − z²)(1 − x²) − (y − xz)², built up in the table that becomes V.
        volume = torch.addcmul(y, x, z, value=-1).square_().neg_()
        volume.addcmul_(1 - z.square(), 1 - x.square())
        volume.clamp_min_(0).add_(EPS).sqrt_()
        ctx.save_for_backward(a, t, s, length_a, length_t, length_s, x, y, z, volume)
        return volume

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.autocast(device_type=grad.device.type, enabled=False):  # also where the caller's is on
            return _VolumeOfThree._gradients(ctx, grad)

    @staticmethod
    def _gradients(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        a, t, s, length_a, length_t, length_s, x, y, z, volume = ctx.saved_tensors
        clamped = torch.full((), EPS, dtype=volume.dtype, device=volume.device).sqrt_()
        slope = (grad / volume).masked_fill_(volume <= clamped, 0)
        table = x * slope
        grad_z = table.mul_(y).sum(dim=0).sub_(z * slope.sum(dim=0))[:, None]
        torch.mul(y, z, out=table).sub_(x).mul_(slope)  # ∂L/∂x
        grad_a, grad_t = table @ t, table.T @ a
        torch.mul(x, z, out=table).sub_(y).mul_(slope)  # ∂L/∂y
        grad_a.addmm_(table, s)
        grad_s = table.T @ a
        grad_t.addcmul_(grad_z, s)
        grad_s.addcmul_(grad_z, t)
        return (
            _through_normalisation(grad_a, a, length_a),
            _through_normalisation(grad_t, t, length_t),
            _through_normalisation(grad_s, s, length_s),
        )


def _unit_and_length(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`contrastive.unit_rows` and the lengths `[batch, 1]` that it divided by (1 for a row of zeros)."""
    largest = rows.abs().amax(dim=1, keepdim=True)
    largest.masked_fill_(largest == 0, 1)
    unit = rows / largest
    length = torch.linalg.vector_norm(unit, dim=1, keepdim=True).clamp_min_(1)
    unit.div_(length)
    return unit, length.mul_(largest)


def _through_normalisation(grad: torch.Tensor, unit: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """The gradient of the rows from that of the unit rows, in place."""
    along = (grad * unit).sum(dim=1, keepdim=True)
    return grad.addcmul_(unit, along, value=-1).div_(length)


def volume_by_determinants(anchor: torch.Tensor, others: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """√|det G_ij| as GRAM was published: a stack `[batch, batch, m + 1, m + 1]`, its determinants, no guard.

    Its gradient is NaN where a determinant is exactly zero, and points the wrong way where rounding made it negative.
    Dot products are taken in the ambient precision, so autocast rounds them before the determinant is taken in float32.
    """
    rows = [torch.nn.functional.normalize(r, dim=-1) for r in (anchor, *others)]
    batch = len(anchor)
    own = (rows[0] * rows[0]).sum(dim=1)[:, None].expand(batch, batch)
    cross = [rows[0] @ r.T for r in rows[1:]]
    table = [[own, *cross]]
    for k, r in enumerate(rows[1:]):
        inner = [(r * other).sum(dim=1)[None, :].expand(batch, batch) for other in rows[1:]]
        table.append([cross[k], *inner])
    gram = torch.stack([torch.stack(line, dim=-1) for line in table], dim=-2)
    return torch.linalg.det(gram.float()).abs().sqrt()
