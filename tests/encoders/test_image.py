"""Letterboxing, and the tiny image tower."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ecgscan_lab.encoders.image import TinyImageTower, darkness, fit_page, ink
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_pages

SIZE = (64, 128)


@pytest.fixture(scope="module")
def tower() -> TinyImageTower:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return TinyImageTower(width=4, size=SIZE).eval()


def noise_pages(n: int, height: int = SIZE[0], width: int = SIZE[1], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8, generator=generator)


def darkness_seen(tower: TinyImageTower, images: torch.Tensor) -> torch.Tensor:
    """What reaches the stem, `[batch, 1, height, width]`."""
    seen = []
    hook = tower.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        tower(images)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("size", [(192, 448), (100, 100), (64, 300), (30, 40), (200, 60), (61, 199)])
def test_letterboxing_keeps_the_aspect_and_crops_nothing(size):
    height, width = 60, 200
    page = torch.full((1, 3, height, width), 255, dtype=torch.uint8)
    page[..., :8, :8] = page[..., :8, -8:] = page[..., -8:, :8] = page[..., -8:, -8:] = 0
    fitted = fit_page(page, size)[0, 0].numpy()
    assert fitted.shape == size
    rows, columns = np.nonzero(fitted < 200)
    scale = min(size[0] / height, size[1] / width)
    tall, wide = rows.max() + 1 - rows.min(), columns.max() + 1 - columns.min()
    assert abs(tall - scale * height) <= 2
    assert abs(wide - scale * width) <= 2
    top, left = rows.min(), columns.min()
    assert abs(top - (size[0] - tall) / 2) <= 1.5, "the page stands in the middle"
    assert abs(left - (size[1] - wide) / 2) <= 1.5
    for y in (top, rows.max()):
        for x in (left, columns.max()):
            assert fitted[y, x] < 200, "a mark in each corner"
    beside = np.ones(size, bool)
    beside[max(0, top - 2) : rows.max() + 3, max(0, left - 2) : columns.max() + 3] = False
    assert (fitted[beside] == 255).all()


def test_a_page_that_fits_is_left_alone():
    page = noise_pages(1)
    assert fit_page(page, SIZE) is page


@pytest.mark.parametrize(
    "images",
    [torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8)],
    ids=["no batch", "one colour", "floats"],
)
def test_what_is_no_batch_of_pages_is_refused(images, tower):
    for read in (lambda: fit_page(images, SIZE), lambda: tower(images)):
        with pytest.raises(ArgumentError) as caught:
            read()
        assert caught.value.field == "images"
        assert caught.value.expected == "uint8 [batch, 3, height, width]"


def test_one_finite_row_a_page_that_repeats(tower):
    pages = noise_pages(3)
    with torch.no_grad():
        features = tower(pages)
        assert features.shape == (3, tower.embed_dim)
        assert features.dtype == torch.float32
        assert torch.isfinite(features).all()
        assert torch.equal(features, tower(pages))
        assert torch.allclose(tower(pages[1:2]), features[1:2], atol=1e-5), "whatever stands beside it"


@pytest.mark.parametrize("size", [(192, 448), (33, 70), (47, 95), (32, 32), (256, 608)])
def test_any_tower_size_reads_pages_of_any_size(size):
    tower = TinyImageTower(width=2, size=size).eval()
    with torch.no_grad():
        assert tower(noise_pages(1, 40, 200)).shape == (1, tower.embed_dim)


def test_ink_is_seen_and_a_coloured_grid_hardly():
    tower = TinyImageTower(width=4).eval()
    flat = np.zeros((1, 12, 1000), np.float32)
    unrecorded = np.full((1, 12, 1000), np.nan, np.float32)

    def page(signal_mv: np.ndarray, grid: str) -> torch.Tensor:
        spec = PageSpec.compact(grid=grid, show_lead_names=False, pulses="none")
        return torch.from_numpy(draw_pages(signal_mv, 100.0, spec, tower.size, channels_first=True))

    white = darkness_seen(tower, page(unrecorded, "none"))
    assert white.shape == (1, 1, *tower.size)
    assert white.max() == 0
    ink = darkness_seen(tower, page(flat, "none"))
    assert ink.max() > 150
    for grid in ("pink", "brown", "blue"):
        lines = darkness_seen(tower, page(unrecorded, grid))
        assert lines.max() < 0.2 * ink.max(), grid
        # The plain grey of the same page, for comparison, shows the lines several times as strong.
        assert lines.mean() < 0.5 * (255 - page(unrecorded, grid).float().mean()), grid
    with torch.no_grad():
        assert not torch.allclose(tower(page(flat, "none")), tower(page(unrecorded, "none")), atol=1e-3)


def test_darkness_is_what_all_three_colours_lack(tower):
    page = torch.full((1, 3, *SIZE), 255, dtype=torch.uint8)
    page[0, :, 3, 5] = torch.tensor([10, 200, 30], dtype=torch.uint8)
    seen = darkness_seen(tower, page)
    assert seen[0, 0, 3, 5] == 55
    assert seen.sum() == 55


def test_gradient_reaches_every_weight():
    tower = TinyImageTower(width=4, size=SIZE)
    tower(noise_pages(4)).square().sum().backward()
    assert [name for name, p in tower.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_default_tower_is_small():
    with torch.device("meta"):
        tower: nn.Module = TinyImageTower()
    assert 1.0e6 < sum(p.numel() for p in tower.parameters()) < 2.0e6


def drawn_page() -> torch.Tensor:
    signal_mv = np.sin(np.linspace(0, 60, 12_000, dtype=np.float32)).reshape(1, 12, 1000)
    page = draw_pages(signal_mv, 100.0, [PageSpec()], (192, 448), channels_first=True)
    return torch.from_numpy(page)


def test_ink_is_darkness_on_white_paper():
    page = drawn_page()
    page = torch.where(page.amax(1, keepdim=True) > 200, 255, page)  # no paper colour, no light grid
    assert torch.allclose(ink(page), darkness(page).float(), atol=1e-3)


@pytest.mark.parametrize("light", [0.9, 0.6, 0.45])
def test_another_exposure_leaves_the_ink_as_it_was(light):
    page = drawn_page()
    dim = (page.float() * light).round().to(torch.uint8)
    assert (ink(dim) - ink(page)).abs().max() < 3.5, "rounding alone"
    assert (darkness(dim).float() - darkness(page)).abs().mean() > 20, "which darkness does not"


def test_a_shadow_across_the_page_is_nearly_gone():
    page = drawn_page()
    shade = torch.linspace(1.0, 0.5, page.shape[-1])
    shaded = (page.float() * shade).round().to(torch.uint8)
    assert (ink(shaded) - ink(page)).abs().mean() < 4
    assert (darkness(shaded).float() - darkness(page)).abs().mean() > 40


def test_ink_of_any_size_stays_within_its_range():
    for height, width in ((9, 31), (64, 128), (3, 3)):
        seen = ink(noise_pages(2, height, width))
        assert seen.shape == (2, 1, height, width)
        assert seen.min() >= 0
        assert seen.max() <= 255


@pytest.mark.parametrize("size", [(192, 448), (96, 224), (100, 150)])
def test_columns_are_those_of_the_page(size):
    tower = TinyImageTower(width=4, size=size).eval()
    page = torch.full((2, 3, *size), 255, dtype=torch.uint8)
    page[1, :, 40:50, : size[1] // 2] = 0
    with torch.no_grad():
        feature, tokens, columns = tower.encode_columns(page)
        for ours, theirs in zip((feature, tokens), tower.encode(page), strict=True):
            assert torch.equal(ours, theirs)
    assert columns.shape[:2] == (2, tower.column_dim)
    moved = (columns[1] - columns[0]).abs().amax(0)
    middle = columns.shape[2] // 2
    assert moved[: middle - 3].min() > 0
    assert not moved[middle + 4 :].any()


def test_pages_of_another_size_are_read_as_they_are():
    tower = TinyImageTower(width=4, size=(192, 448)).eval()
    small = torch.full((2, 3, 128, 304), 255, dtype=torch.uint8)
    small[1, :, 60:64, 100:140] = 0
    seen = []
    tower.stem.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[2:])))
    with torch.no_grad():
        enlarged = tower(small)
        with tower.reading_at((128, 304)):
            feature, tokens, columns = tower.encode_columns(small)
            assert torch.equal(feature, tower(small))
        again = tower(small)
    assert seen == [(48, 112), (32, 76), (32, 76), (48, 112)]
    assert torch.equal(again, enlarged)
    assert not torch.equal(feature, enlarged)
    assert feature.shape == (2, tower.embed_dim)
    assert tokens.shape == (2, 4 * 10, tower.token_dim)
    assert columns.shape == (2, tower.column_dim, 38)
    moved = (columns[1] - columns[0]).abs().amax(0)
    assert moved[13:17].min() > 0
    assert not moved[25:].any()


def test_reading_at_its_own_size_changes_no_bit_and_an_error_ends_it():
    tower, pages = TinyImageTower(width=4, size=SIZE).eval(), noise_pages(2)
    with torch.no_grad():
        plain = tower.encode_columns(pages)
        with tower.reading_at(SIZE):
            same = tower.encode_columns(pages)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(same, plain, strict=True))
        with pytest.raises(KeyError), tower.reading_at((64, 64)):
            raise KeyError
        assert torch.equal(tower(pages), plain[0])


def test_every_weight_learns_from_pages_of_another_size():
    tower = TinyImageTower(width=4, size=(192, 448))
    with tower.reading_at((128, 304)):
        feature, _, columns = tower.encode_columns(torch.randint(0, 256, (2, 3, 128, 304), dtype=torch.uint8))
    (feature.square().mean() + columns.square().mean()).backward()
    assert [name for name, p in tower.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_gradients_lie_in_memory_as_the_maps_do():
    # A gradient with channels first on a map with channels last costs a fifth of a training step, and no result shows.
    tower = TinyImageTower(width=4, size=SIZE).to(memory_format=torch.channels_last)
    mixed = []

    def compare(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        lies = output.stride()
        output.register_hook(lambda gradient: mixed.append(gradient.stride()) if gradient.stride() != lies else None)

    norms = [module for module in tower.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.register_forward_hook(compare)
    feature, _, columns = tower.encode_columns(noise_pages(2))
    (feature.square().mean() + columns.square().mean()).backward()
    assert len(norms) == 10
    assert mixed == []


def test_columns_pass_their_gradient_on():
    pages = noise_pages(2)
    found = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            tower = TinyImageTower(width=4, size=SIZE).to(memory_format=memory_format)
        tower.encode_columns(pages)[2].square().mean().backward()
        found.append(tower.stem[0].weight.grad)
    assert found[0].abs().max() > 0
    torch.testing.assert_close(found[0], found[1])
