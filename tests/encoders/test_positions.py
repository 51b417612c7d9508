"""Positions brought to another grid, and the sizes that a tower can read."""

from __future__ import annotations

import pytest
import torch

from ecgscan_lab.encoders.positions import check_size, resize_positions
from ecgscan_lab.errors import ArgumentError


def positions(side: int = 6, dim: int = 5, n_prefix: int = 1) -> torch.Tensor:
    return torch.randn(n_prefix + side * side, dim, generator=torch.Generator().manual_seed(3))


def test_the_same_grid_leaves_every_bit():
    own = positions()
    assert resize_positions(own, (6, 6)) is own


@pytest.mark.parametrize("grid", [(3, 3), (6, 12), (9, 5), (1, 40), (12, 12)])
def test_the_prefix_is_untouched_and_rows_count(grid):
    own = positions(n_prefix=2)
    new = resize_positions(own, grid, n_prefix=2)
    assert new.shape == (2 + grid[0] * grid[1], 5)
    assert torch.equal(new[:2], own[:2])
    assert resize_positions(own[2:], grid, n_prefix=0).equal(new[2:])


@pytest.mark.parametrize("grid", [(3, 3), (6, 12), (9, 5)])
def test_a_constant_stays_constant(grid):
    assert torch.allclose(resize_positions(torch.full((37, 2), 0.7), grid), torch.tensor(0.7), atol=1e-6)


@pytest.mark.parametrize("grid", [(3, 9), (12, 5)])
def test_transposing_both_grids_transposes_the_result(grid):
    own = positions()
    turned = torch.cat([own[:1], own[1:].view(6, 6, 5).transpose(0, 1).reshape(36, 5)])
    expected = resize_positions(own, grid)[1:].view(*grid, 5).transpose(0, 1).reshape(-1, 5)
    assert torch.allclose(resize_positions(turned, grid[::-1])[1:], expected, atol=1e-6)


def test_a_slope_along_the_columns_stays_a_slope():
    columns = torch.arange(8.0).repeat(8, 1).reshape(64, 1)
    row = resize_positions(columns, (8, 16), n_prefix=0).view(8, 16)
    assert torch.allclose(row, row[:1].expand(8, -1), atol=1e-5), "rows stay equal"
    steps = row[0, 4:12].diff()
    assert torch.allclose(steps, torch.tensor(0.5), atol=0.05), "half a step, away from the edges"


def test_a_smaller_grid_averages_instead_of_picking():
    stripes = torch.tensor([1.0, -1.0]).repeat(32).view(64, 1)  # alternating columns
    assert resize_positions(stripes, (4, 4), n_prefix=0).abs().max() < 0.3


def test_a_grid_that_is_not_square_is_refused():
    with pytest.raises(ArgumentError, match="no square grid"):
        resize_positions(torch.zeros(1 + 12, 3), (4, 4))


def test_sizes_are_multiples_of_the_patch():
    assert check_size(None, (336, 336), (14, 14)) == (336, 336)
    assert check_size((140, 434), (336, 336), (14, 14)) == (140, 434)
    for wrong in ((335, 336), (0, 14), (14,), (14, 14.5)):
        with pytest.raises(ArgumentError, match="does not split into patches") as caught:
            check_size(wrong, (336, 336), (14, 14))
        assert caught.value.field == "size"
