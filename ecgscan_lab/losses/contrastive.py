"""Image-text contrastive loss (Eq. 1), and the smoothed cross-entropy that every in-batch loss shares."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ecgscan_lab.errors import ArgumentError


def contrastive_loss(
    image: torch.Tensor,
    text: torch.Tensor,
    logit_scale: torch.Tensor | float,
    *,
    label_smoothing: float = 0.1,
    text_ids: torch.Tensor | None = None,
) -> torch.Tensor:
    """Pull each image towards its own report and away from the other reports of the batch, and the other way round.

    **Equation** (mean over the batch, over both directions):

        L_ctr = ½ [ CE(τ Z_img Z_txtᵀ) + CE(τ Z_txt Z_imgᵀ) ],      Z = rows of unit length

    CE is the cross-entropy against the diagonal with label smoothing ε: the target of row i is 1 − ε + ε/B at i and ε/B
    elsewhere. The paper's τ *multiplies*; it is `logit_scale` here.

    **Source**: ECG-Scan (2026), arXiv 2604.01526, Eq. 1. *Differences*: none by default. With `text_ids` the target
    mass 1 − ε is shared by all pairs whose reports read the same, see `report_targets`.

    Args:
        image: image features `[batch, dim]`, any length of row; normalised here, in float32, with autocast off.
        text: text features `[batch, dim]`; row i belongs to image i.
        logit_scale: scalar > 0.
        label_smoothing: ε in [0, 1).
        text_ids: integer `[batch]`, equal for equal reports; None treats every report as unique.

    Returns:
        Scalar, float32 (float64 for float64 features), at least `smoothed_floor(batch, label_smoothing)` without
        `text_ids`.

    Raises:
        ArgumentError: shapes, dtypes or ranges are off, or features on the CPU are not finite; `field` names the
            argument.

    **Properties**: equals a naive loop; symmetric in image and text; invariant under a common rotation, a common
    shuffle of the batch and the length of every row; finite with finite gradients for zero rows, duplicates and any
    scale.

    Example:
        >>> rows = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
        >>> aligned, shuffled = contrastive_loss(rows, rows, 14.3), contrastive_loss(rows, rows.roll(1, 0), 14.3)
        >>> bool(aligned < shuffled)
        True
    """
    check_features(image=image, text=text)
    check_logit_scale(logit_scale)
    with torch.autocast(device_type=image.device.type, enabled=False):
        logits = logit_scale * (unit_rows(image) @ unit_rows(text).T)
        return symmetric_cross_entropy(logits, label_smoothing=label_smoothing, text_ids=text_ids)


def symmetric_cross_entropy(
    logits: torch.Tensor, *, label_smoothing: float = 0.1, text_ids: torch.Tensor | None = None
) -> torch.Tensor:
    """Average the smoothed cross-entropies of a square table of logits read by rows and by columns.

    **Equation**: ½ [ CE(S) + CE(Sᵀ) ], CE(S) = −(1/B) Σᵢ Σⱼ qᵢⱼ log softmax(Sᵢ)ⱼ, qᵢⱼ = (1 − ε) tᵢⱼ + ε/B, where t is
    the identity, or `report_targets(text_ids)`.

    **Source**: the two-sided CE of ECG-Scan, arXiv 2604.01526, Eq. 1 and Eq. 4. *Differences*: `text_ids`, as in
    `contrastive_loss`.

    Args:
        logits: `[batch, batch]`; entry (i, j) scores image i with report (and signal) j.
        label_smoothing: ε in [0, 1).
        text_ids: integer `[batch]`, equal for equal reports; None treats every report as unique.

    Returns:
        Scalar of the logits' dtype.

    Raises:
        ArgumentError: the table is not square, ε is outside [0, 1), or `text_ids` does not fit.

    **Properties**: the same for the transposed table; unchanged by a constant added to all logits.

    Example:
        >>> round(float(symmetric_cross_entropy(torch.zeros(4, 4))), 4)  # log 4
        1.3863
    """
    if logits.ndim != 2 or logits.shape[0] != logits.shape[1]:
        raise ArgumentError(f"logits of shape {tuple(logits.shape)}", field="logits", expected="[batch, batch]")
    check_label_smoothing(label_smoothing)
    if text_ids is None:
        target = torch.arange(len(logits), device=logits.device)
    else:
        target = report_targets(text_ids, len(logits)).to(logits.dtype)
    # Both kinds of target are symmetric in (i, j), so the columns are judged against the same one.
    by_row = F.cross_entropy(logits, target, label_smoothing=label_smoothing)
    by_column = F.cross_entropy(logits.T, target, label_smoothing=label_smoothing)
    return (by_row + by_column) / 2


def report_targets(text_ids: torch.Tensor, batch: int | None = None) -> torch.Tensor:
    """Spread each row's target evenly over all members of the batch that carry the same report.

    **Equation**: tᵢⱼ = 1[idᵢ = idⱼ] / nᵢ, nᵢ = number of rows with the report of i.

    **Source**: our cure for repeated reports. In large archives a few sentences ("sinus rhythm, normal ECG") make up
    much of all reports, so a batch holds the same report several times, and the diagonal target treats each repeat as a
    negative. *Differences*: the paper uses the diagonal.

    *Where it matters*: in the Gram loss, where equal reports come with different signals, and wherever equal ids come
    with different text features (reports that differ in wording only, or random text augmentation). In Eq. 1 with a
    deterministic text tower equal reports have equal logits, and then both targets give the same loss and gradient;
    only the floor differs, see `report_floor`.

    Args:
        text_ids: integer `[batch]`, equal for equal reports.
        batch: the expected length, checked when given.

    Returns:
        float32 `[batch, batch]`, symmetric, rows and columns sum to 1.

    Raises:
        ArgumentError: `text_ids` is not an integer vector of that length.

    **Properties**: the identity when all reports differ, so the loss is then Eq. 1 exactly; the same loss and gradient
    as Eq. 1 when equal ids have equal text features.

    Example:
        >>> report_targets(torch.tensor([7, 9, 7]))
        tensor([[0.5000, 0.0000, 0.5000],
                [0.0000, 1.0000, 0.0000],
                [0.5000, 0.0000, 0.5000]])
    """
    integer = not (text_ids.is_floating_point() or text_ids.is_complex() or text_ids.dtype == torch.bool)
    if text_ids.ndim != 1 or not integer or (batch is not None and len(text_ids) != batch):
        raise ArgumentError(
            f"text_ids of shape {tuple(text_ids.shape)} and dtype {text_ids.dtype}",
            field="text_ids",
            expected=f"integers [{'batch' if batch is None else batch}], equal for equal reports",
        )
    same = (text_ids[:, None] == text_ids[None, :]).float()
    return same / same.sum(dim=1, keepdim=True)


def smoothed_floor(batch: int, label_smoothing: float = 0.1) -> float:
    """The least value that a cross-entropy with label smoothing can take: a converged loss does not reach zero.

    **Equation**: the entropy of the smoothed target, −p ln p − (B − 1) q ln q, with p = 1 − ε + ε/B and q = ε/B,
    reached when the right logit exceeds all others by ln(p/q).

    **Source**: Gibbs' inequality. For ε = 0.1 the floor is 0.7538 at B = 80 (gap 6.58), 0.804 at 128, 0.876 at 256.

    Args:
        batch: B ≥ 1, the number of candidates in a row.
        label_smoothing: ε in [0, 1).

    Returns:
        The floor in nats. Log a loss minus its floor, or training that has converged looks like training that failed.

    Raises:
        ArgumentError: `batch` < 1 or ε outside [0, 1).

    **Properties**: zero without smoothing and for a batch of one; no logits do better.

    Example:
        >>> round(smoothed_floor(80, 0.1), 4)
        0.7538
    """
    if batch < 1:
        raise ArgumentError(f"batch of {batch}", field="batch", expected="at least 1")
    check_label_smoothing(label_smoothing)
    q = label_smoothing / batch
    p = 1 - label_smoothing + q
    return -p * math.log(p) - ((batch - 1) * q * math.log(q) if q > 0 else 0.0)


def report_floor(text_ids: torch.Tensor, label_smoothing: float = 0.1) -> torch.Tensor:
    """The least value of the cross-entropy when equal reports share the target: `smoothed_floor` is then out of reach.

    **Equation**: mean over rows of the entropy of (1 − ε) t + ε/B, t = `report_targets(text_ids)`.

    **Source**: Gibbs' inequality. Without smoothing, two equal reports among B raise the floor from 0 to (2/B) ln 2.

    Args:
        text_ids: integer `[batch]`, equal for equal reports.
        label_smoothing: ε in [0, 1).

    Returns:
        Scalar tensor, float32, in nats.

    Raises:
        ArgumentError: `text_ids` is not an integer vector, or ε is outside [0, 1).

    **Properties**: equals `smoothed_floor` when all reports differ; ln B when all are the same.

    Example:
        >>> round(float(report_floor(torch.arange(80))), 4)
        0.7538
    """
    check_label_smoothing(label_smoothing)
    target = (1 - label_smoothing) * report_targets(text_ids) + label_smoothing / max(len(text_ids), 1)
    return -torch.special.xlogy(target, target).sum(dim=1).mean()


def unit_rows(features: torch.Tensor) -> torch.Tensor:
    """Scale each row to length one, in float32 at least, without overflow, underflow or division by zero.

    **Equation**: z / ‖z‖.

    Args:
        features: `[batch, dim]`, floating point.

    Returns:
        `[batch, dim]`, rows of unit length, float32 (float64 stays); a row of zeros stays zero.

    **Properties**: does not depend on the rows' scale; gradients stay finite at a row of zeros.

    Example:
        >>> unit_rows(torch.tensor([[3e-30, 4e-30], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    rows = features if features.dtype == torch.float64 else features.float()
    # Dividing by the largest entry first keeps the squares in range. It needs no gradient, since the result does not
    # depend on it. Afterwards a row is at least one long, unless it is zero: then the clamp makes this the identity.
    largest = rows.detach().abs().amax(dim=-1, keepdim=True)
    rows = rows / torch.where(largest > 0, largest, torch.ones_like(largest))
    return rows / rows.square().sum(dim=-1, keepdim=True).clamp_min(1).sqrt()


def check_features(**features: torch.Tensor) -> None:
    """Refuse features that are not `[batch, dim]` floats of one shape; on the CPU also those that are not finite.

    On a GPU the values are not looked at, since that would wait for the device at every step.

    Raises:
        ArgumentError: `field` names the argument.
    """
    first = next(iter(features.values()))
    for name, rows in features.items():
        if not isinstance(rows, torch.Tensor) or not rows.is_floating_point():
            kind = rows.dtype if isinstance(rows, torch.Tensor) else type(rows).__name__
            raise ArgumentError(f"{name} is {kind}", field=name, expected="a floating-point tensor [batch, dim]")
        if rows.ndim != 2 or 0 in rows.shape or rows.shape != first.shape:
            expected = "[batch, dim], both at least 1" if rows is first else f"{tuple(first.shape)}, as the others"
            raise ArgumentError(
                f"{name} has shape {tuple(rows.shape)}",
                field=name,
                expected=expected,
                fix="project all modalities to one dimension and pass one row for each member of the batch",
            )
        if (rows.dtype == torch.float64) != (first.dtype == torch.float64):
            raise ArgumentError(f"{name} is {rows.dtype}", field=name, expected=f"{first.dtype}, as the others")
        # The extremes carry NaN and infinity, and are found several times faster than a table of yes and no.
        if rows.device.type == "cpu" and not all(math.isfinite(end) for end in torch.aminmax(rows.detach())):
            raise ArgumentError(
                f"{name} holds NaN or infinity",
                field=name,
                expected="finite features",
                fix="lower the learning rate, clip gradients, or look for NaN in the tower's input",
            )


def check_logit_scale(logit_scale: torch.Tensor | float) -> None:
    """Refuse a logit scale that is not one positive number; a tensor on a GPU is checked for its size only.

    Raises:
        ArgumentError: a learnable scale that crossed zero; learn its logarithm instead and clamp it at 100.
    """
    if isinstance(logit_scale, torch.Tensor):
        on_cpu = logit_scale.device.type == "cpu"
        right = logit_scale.numel() == 1 and (not on_cpu or 0 < logit_scale.detach().item() < math.inf)
        shown = f"a tensor of shape {tuple(logit_scale.shape)}" if logit_scale.numel() != 1 else f"{logit_scale}"
    else:
        right, shown = 0 < logit_scale < math.inf, f"{logit_scale}"
    if not right:
        raise ArgumentError(
            f"logit_scale is {shown}",
            field="logit_scale",
            expected="one number > 0",
            fix="learn log_scale and pass log_scale.exp().clamp(max=100)",
        )


def check_label_smoothing(label_smoothing: float) -> None:
    """Refuse a label smoothing outside [0, 1).

    Raises:
        ArgumentError: it is.
    """
    if not 0 <= label_smoothing < 1:
        raise ArgumentError(f"label smoothing of {label_smoothing}", field="label_smoothing", expected="0 <= x < 1")
