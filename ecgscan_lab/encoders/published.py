"""One face for every published image tower: its own size, mean and deviation; pooled feature and patch tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import nn

from ecgscan_lab.encoders.pixels import check_fit, fit_to_size


class VisionNetwork(Protocol):
    """What an adapter of one library offers: pixels in, hidden states out, and two views of them."""

    embed_dim: int
    token_dim: int

    def states(self, pixels: torch.Tensor) -> torch.Tensor:
        """Normalised pixels `[batch, 3, height, width]` -> hidden states of the last layer."""

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """Hidden states -> `[batch, embed_dim]`, before any projection."""

    def patch_tokens(self, states: torch.Tensor) -> torch.Tensor:
        """Hidden states -> `[batch, token, token_dim]`, row by row, no class token."""

    def set_gradient_checkpointing(self, on: bool) -> None:
        """Recompute the layers during the backward pass instead of keeping them."""


class PublishedTower(nn.Module):
    """A published image tower that reads uint8 pages.

    Args:
        network: the adapter, a module that follows `VisionNetwork`.
        name: as given to `image_tower`.
        size: (height, width) in pixels that pages are fitted to.
        mean, std: of the colours, in [0, 1], as the tower was trained.
        fit: "letterbox" or "squash"; nothing is ever cropped.
        left_out: parts of the weights' file that the tower does not use (the text half, a projection).

    Attributes:
        name, size, fit, left_out: as given.
        embed_dim: size of the pooled feature.
        token_dim: size of a patch token.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        fit: str = "letterbox",
        left_out: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network = network
        self.name = name
        self.size = size
        self.fit = check_fit(fit)
        self.left_out = tuple(left_out)
        self.embed_dim: int = network.embed_dim  # type: ignore[assignment]
        self.token_dim: int = network.token_dim  # type: ignore[assignment]
        deviation = torch.tensor(std, dtype=torch.float64)
        scale, shift = 1 / (255 * deviation), -torch.tensor(mean, dtype=torch.float64) / deviation
        self.register_buffer("scale", scale.float().view(1, 3, 1, 1), persistent=False)
        self.register_buffer("shift", shift.float().view(1, 3, 1, 1), persistent=False)

    def pixels(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 pages -> normalised pixels `[batch, 3, *size]`: one multiply-add where they are, in their own order."""
        fitted = fit_to_size(images, self.size, self.fit)
        return torch.addcmul(self.shift, fitted, self.scale)  # type: ignore[arg-type]

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pooled feature and patch tokens of one pass."""
        states = self._states(images)
        return self._pool(states), self._patch_tokens(states)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[batch, 3, height, width]` -> float32 `[batch, embed_dim]`, not normalised, before any projection."""
        return self._pool(self._states(images))

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[batch, 3, height, width]` -> `[batch, token, token_dim]`: patches row by row, no class token."""
        return self._patch_tokens(self._states(images))

    def set_gradient_checkpointing(self, on: bool = True) -> None:
        """Recompute the layers in the backward pass: less memory, about a third more time.

        Raises:
            ArgumentError: the tower's library does not offer it.
        """
        self.network.set_gradient_checkpointing(on)  # type: ignore[operator]

    def _states(self, images: torch.Tensor) -> torch.Tensor:
        return self.network.states(self.pixels(images))  # type: ignore[operator]

    def _pool(self, states: torch.Tensor) -> torch.Tensor:
        return self.network.pool(states).float()  # type: ignore[operator]

    def _patch_tokens(self, states: torch.Tensor) -> torch.Tensor:
        return self.network.patch_tokens(states)  # type: ignore[operator]
