"""Image towers: ECG pages in, pooled features out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.encoders.pixels import check_fit, fit_page
from ecgscan_lab.errors import ArgumentError

__all__ = ["TinyImageTower", "darkness", "fit_page", "ink"]


def darkness(images: torch.Tensor) -> torch.Tensor:
    """255 - max(R, G, B): coloured grid lines all but vanish in it, dark ink stays, white paper is zero.

    Args:
        images: uint8 `[batch, 3, height, width]`.

    Returns:
        uint8 `[batch, 1, height, width]`.
    """
    red, green, blue = images.unbind(1)
    return (255 - torch.maximum(torch.maximum(red, green), blue)).unsqueeze(1)


_BLOCK = 8
_DARKEST_PAPER = 96.0


def ink(images: torch.Tensor) -> torch.Tensor:
    """`darkness` against the light of the paper nearby: what shadows, exposure and a dim room leave of it.

    The light is the brightest pixel of each 8 x 8 px block, smoothed over three blocks each way and interpolated. Paper
    darker than 96 counts as 96, lest the grain of a dark table be blown up to ink. Evenly white pages stay as they are.

    **Source**: flat-field correction, with the light estimated by a morphological closing. Not part of ECG-Scan.

    Args:
        images: uint8 `[batch, 3, height, width]`.

    Returns:
        float32 `[batch, 1, height, width]` from 0 to 255.

    Properties: equals `darkness` on white paper; another exposure changes nothing above 96.
    """
    height, width = images.shape[-2:]
    bright = images.amax(1, keepdim=True).float()
    blocks = F.max_pool2d(bright, _BLOCK, ceil_mode=True)
    smooth = F.avg_pool2d(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    light = F.interpolate(smooth, scale_factor=_BLOCK, mode="bilinear", align_corners=False)[..., :height, :width]
    return ((light - bright) * (255.0 / light.clamp(min=_DARKEST_PAPER))).clamp(0.0, 255.0)


def _keep_layout(x: torch.Tensor) -> torch.Tensor:
    """The map itself, whose gradient comes back as the map lies in memory.

    Of a map with channels last a view may send back a gradient with channels first; all that lies below would then
    compute on mixed layouts, several times as slowly.
    """
    if x.requires_grad and x.is_contiguous(memory_format=torch.channels_last):
        x = x.view_as(x)
        x.register_hook(lambda gradient: gradient.contiguous(memory_format=torch.channels_last))
    return x


def _places(x: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """A map interpolated to (rows, columns); the very same where it has them."""
    return x if x.shape[2:] == grid else F.interpolate(x, grid, mode="bilinear", align_corners=False)


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

    It looks at one channel, the `ink` of the page. The stem takes non-overlapping 4 x 4 px patches (about 90 ms by
    0.25 mV on the compact page), and three stages halve the map and widen it. The feature begins with a linear summary
    of three views of the last map: its mean (rhythm, axis), its maximum (the rare event, one ectopic beat), and a thin
    copy of the whole map, which knows where on the page, hence in which lead and when. Mean and maximum of the last two
    maps follow as they are. The objective reads the summary alone (`summary_dim`), which keeps what it asks for; the
    maps it does not read keep more of what a later probe may ask: form gained 2.2 and rhythm 2.0 points of AUROC by
    them, and lost it again when the objective read them, too (`docs/lab-log.md`). Within `reading_at` it reads pages of
    another size as they are.

    Args:
        width: channels after the stem; the stages have 2, 4 and 8 times as many.
        size: (height, width) in pixels that pages are fitted to.
        fit: "letterbox" or "squash".
    """

    name = "tiny"

    def __init__(self, width: int = 24, size: tuple[int, int] = (192, 448), fit: str = "letterbox") -> None:
        super().__init__()
        self.size = size
        self.fit = check_fit(fit)
        self.embed_dim = 40 * width
        self.summary_dim = 16 * width
        self.token_dim = 8 * width
        self._reads = size
        rows, columns = (-(-(side // 4) // 8) for side in size)  # whole patches, halved three times and rounded up
        self._grid = rows, columns
        self._fine_rows = -(-(size[0] // 4) // 2)
        self.column_dim = 2 * width * self._fine_rows
        self.stem = nn.Sequential(nn.Conv2d(1, width, 4, 4, bias=False), nn.BatchNorm2d(width), nn.GELU())
        stages: list[nn.Module] = []
        for i in range(3):
            stages += [_conv(width * 2**i, width * 2 ** (i + 1), stride=2), _Residual(width * 2 ** (i + 1))]
        self.stages = nn.Sequential(*stages)
        self.thin = nn.Conv2d(8 * width, width // 2, 1)
        self.summary = nn.Linear(16 * width + width // 2 * rows * columns, self.summary_dim)

    @contextmanager
    def reading_at(self, size: tuple[int, int]) -> Iterator[None]:
        """Fit pages to another size for a while: a cheaper one to begin training on.

        The weights are shared; the two maps of which every place has weights of its own are interpolated to the places
        that they have at `self.size`.

        Example:
            >>> tower = TinyImageTower(width=8, size=(96, 224))
            >>> with tower.reading_at((64, 160)):
            ...     tower(torch.full((2, 3, 64, 160), 255, dtype=torch.uint8)).shape
            torch.Size([2, 320])
        """
        self._reads = size
        try:
            yield
        finally:
            self._reads = self.size

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pooled feature and patch tokens of one pass."""
        _, finer, last = self._maps(images)
        return self._pool(finer, last), last.flatten(2).transpose(1, 2)

    def encode_columns(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Pooled feature, patch tokens, and the columns of the first stage's map, of one pass.

        A column is 8 px wide (0.18 s of a compact page) and holds every channel of every row:
        `[batch, column_dim, column]`. Where the ink stands in it is what the leads were at that moment.
        """
        first, finer, last = self._maps(images)
        fine = _places(first, (self._fine_rows, first.shape[3]))
        return self._pool(finer, last), last.flatten(2).transpose(1, 2), _keep_layout(fine).flatten(1, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[batch, 3, height, width]` -> float32 `[batch, embed_dim]`, not normalised."""
        return self._pool(*self._maps(images)[1:])

    def tokens(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 `[batch, 3, height, width]` -> `[batch, token, 8 * width]`: places of the last map, row by row."""
        return self._maps(images)[2].flatten(2).transpose(1, 2)

    def set_gradient_checkpointing(self, on: bool = True) -> None:
        """Refused: its norms would count each batch twice, and its maps are small.

        Raises:
            ArgumentError: asked to switch it on.
        """
        if on:
            raise ArgumentError(
                "the tiny tower does not recompute its layers",
                field="on",
                fix="leave gradient checkpointing off: its maps are small",
            )

    def _maps(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The maps of the three stages."""
        # The norm after the stem absorbs the scale of the pixels.
        first = self.stages[:2](self.stem(ink(fit_page(images, self._reads, self.fit))))
        finer = self.stages[2:4](first)
        return first, finer, self.stages[4:](finer)

    def _pool(self, finer: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        pooled = [last.mean((2, 3)), last.amax((2, 3))]
        thin = _places(F.gelu(self.thin(last)), self._grid)
        summary = self.summary(torch.cat([*pooled, thin.flatten(1)], dim=1))
        return torch.cat([summary, *pooled, finer.mean((2, 3)), finer.amax((2, 3))], dim=1).float()
