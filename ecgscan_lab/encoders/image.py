"""Image towers: ECG pages in, pooled features out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.errors import ArgumentError


def fit_page(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Letterbox pages to a tower's input size: keep the aspect, never crop, fill with white.

    A centre crop, CLIP's default, cuts the first and last seconds off a page that is wider than high.

    Args:
        images: uint8 `[batch, 3, height, width]`.
        size: (height, width) in pixels that the tower expects.

    Returns:
        uint8 `[batch, 3, *size]`; the very same tensor when it fits already.

    Raises:
        ArgumentError: `images` is not a batch of uint8 RGB pages.
    """
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
        raise ArgumentError(
            f"got images of shape {tuple(images.shape)} and type {images.dtype}",
            field="images",
            expected="uint8 [batch, 3, height, width]",
            fix="draw pages with ecgscan_lab.draw_page and move the colour axis in front",
        )
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    scale = min(size[0] / height, size[1] / width)
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    resized = F.interpolate(images.float(), inner, mode="bilinear", align_corners=False, antialias=True)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    padding = (left, size[1] - inner[1] - left, top, size[0] - inner[0] - top)
    return F.pad(resized, padding, value=255.0).round().clamp(0, 255).to(torch.uint8)


def darkness(images: torch.Tensor) -> torch.Tensor:
    """255 - max(R, G, B): coloured grid lines all but vanish in it, dark ink stays, white paper is zero.

    Args:
        images: uint8 `[batch, 3, height, width]`.

    Returns:
        uint8 `[batch, 1, height, width]`.
    """
    red, green, blue = images.unbind(1)
    return (255 - torch.maximum(torch.maximum(red, green), blue)).unsqueeze(1)


def _conv(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.GELU())


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _conv(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x + self.second(self.first(x)))


class TinyImageTower(nn.Module):
    """A residual CNN of about 1.6 million parameters that reads a page at 1.7 px/mm.

    It looks at one channel, the `darkness` of the page. The stem takes non-overlapping 4 x 4 px patches (about 90 ms by
    0.25 mV on the compact page), and three stages halve the map and widen it. The feature is a linear summary of three
    views of the last map: its mean (rhythm, axis), its maximum (the rare event, one ectopic beat), and a thin copy of
    the whole map, which knows where on the page, hence in which lead and when.

    Args:
        width: channels after the stem; the stages have 2, 4 and 8 times as many.
        size: (height, width) in pixels that pages are letterboxed to.
    """

    def __init__(self, width: int = 24, size: tuple[int, int] = (192, 448)) -> None:
        super().__init__()
        self.size = size
        self.embed_dim = 16 * width
        self.stem = nn.Sequential(nn.Conv2d(1, width, 4, 4, bias=False), nn.BatchNorm2d(width), nn.GELU())
        stages: list[nn.Module] = []
        for i in range(3):
            stages += [_conv(width * 2**i, width * 2 ** (i + 1), stride=2), _Residual(width * 2 ** (i + 1))]
        self.stages = nn.Sequential(*stages)
        self.thin = nn.Conv2d(8 * width, width // 2, 1)
        rows, columns = (-(-(side // 4) // 8) for side in size)  # whole patches, halved three times and rounded up
        self.summary = nn.Linear(16 * width + width // 2 * rows * columns, self.embed_dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[batch, 3, height, width]` -> float32 `[batch, embed_dim]`, not normalised."""
        # The norm after the stem absorbs the scale of the pixels.
        maps = self.stages(self.stem(darkness(fit_page(images, self.size)).float()))
        views = [maps.mean((2, 3)), maps.amax((2, 3)), F.gelu(self.thin(maps)).flatten(1)]
        return self.summary(torch.cat(views, dim=1)).float()
