"""Alignment without negatives: VICReg and Barlow Twins, which keep features apart by their statistics."""

from __future__ import annotations

import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.contrastive import check_features

_PAIRS = ((0, 1), (0, 2), (1, 2))


def vicreg_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    signal: torch.Tensor,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> torch.Tensor:
    """Bring matched features together; keep every feature spread out, and no two features alike.

    **Equation**, for features z_id with covariance C over the batch (divisor B − 1):

        L = λ mean |z − z′|²  +  μ mean_d max(0, 1 − √(C_dd + 1e-4))  +  ν (1/D) Σ_{d≠e} C_de²

    the first term averaged over the three pairs of modalities, the others over the three modalities.

    **Source**: VICReg (Bardes et al., ICLR 2022, arXiv 2105.04906). *Differences*: three views that are modalities,
    where the source adds the terms of two; a frozen modality contributes values but no gradient.

    Args:
        image: image features `[batch, dim]`, as they are: *not* normalised, since their spread is what counts.
        text: text features `[batch, dim]`.
        signal: signal features `[batch, dim]`.
        invariance: λ ≥ 0.
        variance: μ ≥ 0.
        covariance: ν ≥ 0.

    Returns:
        Scalar ≥ 0, float32 (float64 for float64 features).

    Raises:
        ArgumentError: shapes, dtypes or weights are off, or features on the CPU are not finite.

    **Properties**: equals a naive loop; symmetric in the modalities; shuffling the batch changes nothing; at collapse
    only the variance term is left, and its value is known (μ · 0.99).

    Example:
        >>> rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        >>> bool(vicreg_loss(rows, rows, rows) < vicreg_loss(rows, rows, rows.roll(1, 0)))
        True
    """
    check_features(image=image, text=text, signal=signal)
    for name, weight in (("invariance", invariance), ("variance", variance), ("covariance", covariance)):
        _check_weight(name, weight)
    with torch.autocast(device_type=image.device.type, enabled=False):
        rows = [_at_least_float32(r) for r in (image, text, signal)]
        apart = torch.stack([(rows[i] - rows[j]).square().mean() for i, j in _PAIRS]).mean()
        tables = [_covariance(r) for r in rows]
        narrow = torch.stack([(1 - (c.diagonal() + 1e-4).sqrt()).clamp_min(0).mean() for c in tables]).mean()
        alike = torch.stack([_off_diagonal(c).square().sum() / len(c) for c in tables]).mean()
        return invariance * apart + variance * narrow + covariance * alike


def barlow_twins_loss(
    image: torch.Tensor, text: torch.Tensor, signal: torch.Tensor, *, redundancy: float = 0.0051
) -> torch.Tensor:
    """Make the cross-correlation of two modalities' features the identity, for each pair of modalities.

    **Equation**, with features standardised over the batch, ẑ = (z − mean) / √(var + 1e-5), and C = Ẑᵀ Ẑ′ / B:

        L = Σ_d (1 − C_dd)² + λ Σ_{d≠e} C_de²,      averaged over the three pairs

    **Source**: Barlow Twins (Zbontar et al., ICML 2021, arXiv 2103.03230). *Differences*: three views that are
    modalities.

    Args:
        image: image features `[batch, dim]`, standardised here over the batch, in float32, with autocast off.
        text: text features `[batch, dim]`.
        signal: signal features `[batch, dim]`.
        redundancy: λ ≥ 0.

    Returns:
        Scalar ≥ 0, float32 (float64 for float64 features). It is a sum over features, so it grows with `dim`: about
        `dim` for unrelated features.

    Raises:
        ArgumentError: shapes, dtypes or the weight are off, or features on the CPU are not finite.

    **Properties**: equals a naive loop; symmetric in the modalities; shuffling the batch changes nothing; collapse
    costs `dim`, no gradient is infinite there.

    Example:
        >>> rows = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))
        >>> bool(barlow_twins_loss(rows, rows, rows) < barlow_twins_loss(rows, rows, rows.roll(1, 0)))
        True
    """
    check_features(image=image, text=text, signal=signal)
    _check_weight("redundancy", redundancy)
    with torch.autocast(device_type=image.device.type, enabled=False):
        rows = [_standardised(_at_least_float32(r)) for r in (image, text, signal)]
        losses = []
        for i, j in _PAIRS:
            correlation = rows[i].T @ rows[j] / len(image)
            off = _off_diagonal(correlation).square().sum()
            losses.append((1 - correlation.diagonal()).square().sum() + redundancy * off)
        return torch.stack(losses).mean()


def _covariance(rows: torch.Tensor) -> torch.Tensor:
    """Covariance of the features `[dim, dim]`; zero for a batch of one."""
    centred = rows - rows.mean(dim=0)
    return centred.T @ centred / max(len(rows) - 1, 1)


def _standardised(rows: torch.Tensor) -> torch.Tensor:
    centred = rows - rows.mean(dim=0)
    return centred * (centred.square().mean(dim=0) + 1e-5).rsqrt()


def _off_diagonal(table: torch.Tensor) -> torch.Tensor:
    return table - torch.diag(table.diagonal())


def _at_least_float32(rows: torch.Tensor) -> torch.Tensor:
    return rows if rows.dtype == torch.float64 else rows.float()


def _check_weight(name: str, weight: float) -> None:
    if not 0 <= weight < float("inf"):
        raise ArgumentError(f"{name} is {weight}", field=name, expected="a finite number >= 0")
