"""How a page becomes a tower's input: fitted without ever cropping, then shifted and scaled."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ecgscan_lab.errors import ArgumentError

FITS = ("letterbox", "squash")


def check_fit(fit: str) -> str:
    """`fit` itself, or an ArgumentError that lists the ways there are."""
    if fit not in FITS:
        raise ArgumentError(
            f"no way to fit pages is called {fit!r}",
            field="fit",
            expected=" or ".join(FITS),
            fix="a page is never cropped: its edges hold the first and last seconds",
        )
    return fit


def fit_page(images: torch.Tensor, size: tuple[int, int], fit: str = "letterbox") -> torch.Tensor:
    """Fit pages to a tower's input size without cropping: letterbox keeps the aspect, squash fills the size.

    A centre crop, CLIP's default, cuts the first and last seconds off a page that is wider than high.

    Args:
        images: uint8 `[batch, 3, height, width]`, in any memory format.
        size: (height, width) in pixels that the tower expects.
        fit: "letterbox" keeps the aspect and fills with white; "squash" scales each axis by itself, which spends every
            pixel on the page but changes mm/mV against mm/s.

    Returns:
        uint8 `[batch, 3, *size]`; the very same tensor when it fits already.

    Raises:
        ArgumentError: `images` is not a batch of uint8 RGB pages, or `fit` is unknown.
    """
    fitted = fit_to_size(images, size, fit)
    return fitted if fitted is images else fitted.round_().clamp_(0, 255).to(torch.uint8)


def fit_to_size(images: torch.Tensor, size: tuple[int, int], fit: str = "letterbox") -> torch.Tensor:
    """As `fit_page`, but the values stay float32 in [0, 255] where pages were resized."""
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
        raise ArgumentError(
            f"got images of shape {tuple(images.shape)} and type {images.dtype}",
            field="images",
            expected="uint8 [batch, 3, height, width]",
            fix="draw pages with ecgscan_lab.draw_page and move the colour axis in front",
        )
    check_fit(fit)
    height, width = images.shape[-2:]
    if (height, width) == size:
        return images
    scale = min(size[0] / height, size[1] / width)
    inner = size if fit == "squash" else (max(1, round(height * scale)), max(1, round(width * scale)))
    resized = F.interpolate(images.float(), inner, mode="bilinear", align_corners=False, antialias=True)
    if inner == size:
        return resized
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    padding = (left, size[1] - inner[1] - left, top, size[0] - inner[0] - top)
    return F.pad(resized, padding, value=255.0)
