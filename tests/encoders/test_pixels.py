"""Pages fitted to a size: letterboxed or squashed, never cropped."""

from __future__ import annotations

import pytest
import torch

from ecgscan_lab.encoders.pixels import fit_page, fit_to_size
from ecgscan_lab.errors import ArgumentError


def page(height: int = 60, width: int = 90) -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
@pytest.mark.parametrize("size", [(56, 56), (28, 112), (112, 28), (200, 300)])
@pytest.mark.parametrize("edge", ["left", "right", "top", "bottom"])
def test_ink_at_every_edge_arrives(fit, size, edge):
    blank = torch.full((1, 3, 170, 220), 255, dtype=torch.uint8)
    marked = blank.clone()
    {"left": marked[..., :2], "right": marked[..., -2:], "top": marked[..., :2, :], "bottom": marked[..., -2:, :]}[
        edge
    ].zero_()
    seen = fit_page(blank, size, fit).int() - fit_page(marked, size, fit).int()
    assert seen.amax() > 40
    dark = seen[0, 0].amax(0 if edge in ("left", "right") else 1).nonzero()
    half = size[1] / 2 if edge in ("left", "right") else size[0] / 2
    assert (dark < half).all() if edge in ("left", "top") else (dark >= half - 1).all()


def test_squash_fills_the_size_and_letterbox_keeps_the_aspect():
    black = torch.zeros(1, 3, 60, 90, dtype=torch.uint8)
    assert fit_page(black, (64, 64), "squash").max() == 0
    boxed = fit_page(black, (64, 64), "letterbox")
    rows = (boxed[0, 0] < 128).any(1).sum().item()
    assert rows == pytest.approx(64 * 60 / 90, abs=1)
    assert boxed[0, 0, 0].min() == 255


@pytest.mark.parametrize("fit", ["letterbox", "squash"])
def test_a_page_that_fits_is_passed_on_in_any_memory_order(fit):
    own = page().contiguous(memory_format=torch.channels_last)
    assert fit_page(own, (60, 90), fit) is own
    assert fit_to_size(own, (60, 90), fit) is own
    assert torch.equal(fit_page(own, (32, 32), fit), fit_page(page(), (32, 32), fit))


def test_rounding_is_all_that_separates_the_two():
    exact = fit_to_size(page(), (40, 40))
    assert exact.dtype == torch.float32
    assert (exact - fit_page(page(), (40, 40)).float()).abs().max() <= 0.5


def test_an_unknown_fit_is_refused():
    with pytest.raises(ArgumentError, match="'crop'") as caught:
        fit_page(page(), (32, 32), "crop")
    assert "never cropped" in (caught.value.fix or "")
