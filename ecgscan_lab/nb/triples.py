"""Toy triples (image, report, signal) with a known geometry, to see what a loss makes of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn.functional import normalize

from ecgscan_lab.errors import ArgumentError


class Triples(NamedTuple):
    """Matched unit rows `[batch, dim]`, float32."""

    image: torch.Tensor
    report: torch.Tensor
    signal: torch.Tensor


def toy_triples(pair_cosine: torch.Tensor, noise: float, *, dim: int = 64, seed: int = 0) -> Triples:
    """Draw triples whose report and signal lie at given angles, with the image midway between them, but for noise.

    **Equation**, with n an independent random direction for each row:

        signal = c · report + √(1 − c²) · n,      n at right angles to the report
        image  ∝ (report + signal) / ‖report + signal‖ + noise · n

    Args:
        pair_cosine: c, cosine between report and signal of each triple `[batch]`, above -1 and at most 1.
        noise: length of what is added to the image, whose length is 1 before: 1 turns it by 45 degrees.
        dim: dimensions of the space, at least 2.
        seed: seed of the directions; the same for all cosines, so that triples can be followed as they close.

    Returns:
        The triples.

    Raises:
        ArgumentError: cosines out of range, or negative noise, or fewer than two dimensions.

    >>> image, report, signal = toy_triples(torch.tensor([0.9, 0.1]), noise=0.5)
    >>> (report * signal).sum(1)
    tensor([0.9000, 0.1000])
    """
    if pair_cosine.ndim != 1 or not bool(((pair_cosine > -1) & (pair_cosine <= 1)).all()):
        raise ArgumentError("cosines out of range", field="pair_cosine", expected="[batch], above -1 and at most 1")
    if noise < 0 or dim < 2:
        raise ArgumentError(f"noise {noise} in {dim} dimensions", field="noise", expected=">= 0, in at least 2")
    generator = torch.Generator().manual_seed(seed)
    report, aside, off = (
        normalize(rows, dim=1) for rows in torch.randn(3, len(pair_cosine), dim, generator=generator).double()
    )
    aside = normalize(aside - (aside * report).sum(1, keepdim=True) * report, dim=1)
    c = pair_cosine.double()[:, None]
    signal = c * report + (1 - c**2).sqrt() * aside
    image = normalize(normalize(report + signal, dim=1) + noise * off, dim=1)
    return Triples(image.float(), report.float(), signal.float())
