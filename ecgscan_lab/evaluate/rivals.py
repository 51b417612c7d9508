"""What an encoder must beat: its own tower with fresh weights, and the ink of the page, seen on the same pages."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ecgscan_lab.encoders.image import darkness, fit_page

PIXELS = "raw pixels"
_CELL = (8, 16)  # height and width in pixels of the cells of "raw pixels"


class SideBySide(nn.Module):
    """Several encoders and the raw pixels on the same pages, their features one after the other.

    Args:
        towers: name -> image tower; all see pages of the first one's size.

    Attributes:
        parts: name -> the columns of its features.
    """

    def __init__(self, towers: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers.values())
        first: Any = self.towers[0]
        self.size: tuple[int, int] = tuple(first.size)
        self.fit = getattr(first, "fit", "letterbox")
        widths = [int(tower.embed_dim) for tower in self.towers]  # type: ignore[arg-type]
        widths.append((self.size[0] // _CELL[0]) * (self.size[1] // _CELL[1]))
        ends = np.cumsum([0, *widths])
        names = [*towers, PIXELS]
        self.parts = {n: slice(int(a), int(b)) for n, a, b in zip(names, ends[:-1], ends[1:], strict=True)}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[batch, 3, height, width]` -> float32 `[batch, all features]`."""
        ink = darkness(fit_page(images, self.size, self.fit)).float() / 255.0
        cells = nn.functional.avg_pool2d(ink, _CELL).flatten(1)
        return torch.cat([*(tower(images).float() for tower in self.towers), cells], dim=1)


def fresh_weights(tower: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of a tower with every weight drawn anew, as its layers draw theirs; a free parameter from N(0, 0.02²).

    Args:
        tower: any module.
        seed: of the weights; the caller's generator stays where it was.

    Example:
        >>> from ecgscan_lab.encoders.image import TinyImageTower
        >>> tower = TinyImageTower(width=2, size=(48, 112))
        >>> torch.equal(fresh_weights(tower).stem[0].weight, tower.stem[0].weight)
        False
    """
    fresh = copy.deepcopy(tower)
    drawn: set[int] = set()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if callable(reset):
                reset()
                drawn |= {id(parameter) for parameter in module.parameters(recurse=False)}
        for parameter in fresh.parameters():
            if id(parameter) not in drawn:
                nn.init.normal_(parameter, std=0.02)
    return fresh.eval()
