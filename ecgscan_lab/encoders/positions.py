"""Position embeddings of a square grid of patches, brought to any other grid."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ecgscan_lab.errors import ArgumentError


def check_size(size: tuple[int, int] | None, own: tuple[int, int], patch: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that a tower of these patches can read; its own size when none is asked for.

    Raises:
        ArgumentError: not two whole multiples of the patch.
    """
    if size is None:
        return own
    asked = tuple(size)
    whole = len(asked) == 2 and all(int(side) == side and side > 0 for side in asked)
    if not whole or any(side % step for side, step in zip(asked, patch, strict=True)):
        near = [max(1, round(side / step)) * step for side, step in zip((*asked, *own)[:2], patch, strict=True)]
        raise ArgumentError(
            f"size {asked} does not split into patches of {patch[0]} x {patch[1]} pixels",
            field="size",
            expected=f"(height, width), multiples of {patch[0]} and {patch[1]}; for instance {tuple(near)}",
        )
    return int(asked[0]), int(asked[1])


def resize_positions(positions: torch.Tensor, grid: tuple[int, int], n_prefix: int = 1) -> torch.Tensor:
    """Interpolate learnt positions from their square grid to `grid`, so that a tower reads other sizes and aspects.

    Source: Dosovitskiy et al. (2021), arXiv 2010.11929, section 3.2 (2D interpolation of position embeddings). Bicubic
    with antialiasing: between the learnt positions when the grid grows, an average over them when it shrinks.

    Args:
        positions: `[n_prefix + side * side, dim]`, row by row.
        grid: (rows, columns) of patches to be read.
        n_prefix: embeddings in front that belong to no patch (the class token's).

    Returns:
        `[n_prefix + rows * columns, dim]`; the very same tensor when the grid is the same.

    Raises:
        ArgumentError: the positions are not those of a square grid.

    Properties: the same grid leaves every bit; the prefix is untouched; a constant stays constant; transposing both
    grids transposes the result.

    Example:
        >>> resize_positions(torch.ones(1 + 4 * 4, 2), (3, 8)).shape
        torch.Size([25, 2])
    """
    side = math.isqrt(len(positions) - n_prefix)
    if side * side != len(positions) - n_prefix or side == 0:
        raise ArgumentError(
            f"{len(positions)} positions are no square grid behind {n_prefix} others",
            field="positions",
            expected="n_prefix + side * side rows",
        )
    if grid == (side, side):
        return positions
    prefix, patches = positions[:n_prefix], positions[n_prefix:]
    square = patches.float().view(1, side, side, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(square, grid, mode="bicubic", align_corners=False, antialias=True)
    flat = resized.permute(0, 2, 3, 1).flatten(0, 2).to(positions.dtype)
    return torch.cat([prefix, flat])
