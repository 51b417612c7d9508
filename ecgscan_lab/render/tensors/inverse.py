"""From a picture back to millivolts by gradient descent through the rasteriser: a line pulled onto the ink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.framing import page_frame
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.segments import visible_samples
from ecgscan_lab.render.tensors.pages import prepare_pages
from ecgscan_lab.render.tensors.raster import draw_batch

BLURS_MM = (4.0, 2.0, 1.0, 0.5, 0.25, 0.0, 0.0)
"""Spread of the vertical blur of each stage, from coarse to fine."""

STIFFNESS = 0.3
"""Weight of the mean squared second difference (mV^2) at the first stage; it shrinks with the blur."""

WIDE_PEN_PX = 1.5
"""Width of the pen, in pixels, while the pictures are blurred."""


@dataclass(frozen=True, eq=False)
class SignalFit:
    """What `fit_signal_to_page` found.

    Attributes:
        signal_mv: `[12, time]`, NaN where the page shows nothing.
        losses: mean squared difference of the blurred pictures at every step.
        stages: blur in millimetres at every step.
    """

    signal_mv: Tensor = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)
    stages: tuple[float, ...] = field(repr=False)


def fit_signal_to_page(
    picture: Tensor,
    fs_hz: float,
    n_samples: int,
    page: PageSpec,
    *,
    start_mv: Tensor | None = None,
    steps: int = 100,
    learning_rate_mv: float = 0.1,
    blurs_mm: Sequence[float] = BLURS_MM,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> SignalFit:
    """Pull a flat line onto the traces of a page by gradient descent.

    **Equation**: minimise || K * draw(u) - K * picture ||^2 over the samples u with Adam. Where the ink of both
    pictures does not overlap, the gradient of their difference is zero; so both are blurred along the voltage axis by
    a Gaussian K, which shrinks stage by stage to nothing. A stroke inside one pixel has no gradient either, so the
    pen is at least `WIDE_PEN_PX` wide until the last stage.

    Args:
        picture: `[3, height, width]`, 0 to 1, of a clean page.
        fs_hz: rate of the signal to find.
        n_samples: its length.
        page: the page.
        start_mv: `[12, time]` to start from, 0 mV when None.
        steps: steps of all stages together.
        learning_rate_mv: size of an Adam step at the start; it falls to a tenth.
        blurs_mm: spread of K at each stage.
        on_step: called with the step and the signal `[12, time]` before every step, to draw or to animate.

    Returns:
        The signal, and the losses on the way.

    Raises:
        ArgumentError: the picture is misshapen.

    Properties: gains at least 20 dB over the flat line on a drawn page.

    Example:
        >>> page = PageSpec.compact(show_lead_names=False)
        >>> target = draw_batch(torch.full((1, 12, 250), 0.2), 25.0, page, (96, 224))[0]
        >>> fit = fit_signal_to_page(target, 25.0, 250, page, steps=5)
        >>> fit.signal_mv.shape, len(fit.losses)
        (torch.Size([12, 250]), 5)
    """
    if picture.ndim != 3 or picture.shape[0] != 3 or not picture.is_floating_point():
        raise ArgumentError(
            f"cannot fit a picture {picture.dtype} {tuple(picture.shape)}",
            field="picture",
            expected="a floating tensor [3, height, width], 0 to 1",
        )
    size = (int(picture.shape[1]), int(picture.shape[2]))
    px_per_mm = page_frame(page, size)[0]
    wide = replace(page, trace_width_mm=max(page.trace_width_mm, WIDE_PEN_PX / px_per_mm))
    fine, coarse = (prepare_pages([p], size, float(fs_hz), n_samples, picture.device) for p in (page, wide))
    signal = (
        torch.zeros(1, len(LEADS), n_samples, device=picture.device) if start_mv is None else start_mv[None].clone()
    )
    signal = signal.detach().to(torch.float32).requires_grad_(True)
    stages = [blurs_mm[min(len(blurs_mm) * k // steps, len(blurs_mm) - 1)] for k in range(steps)]
    optimiser = torch.optim.Adam([signal], lr=learning_rate_mv)
    losses, blurred = [], {}
    for k, blur_mm in enumerate(stages):
        if on_step is not None:
            on_step(k, signal.detach()[0].clone())
        optimiser.param_groups[0]["lr"] = learning_rate_mv * 0.1 ** (k / steps)
        optimiser.zero_grad()
        if blur_mm not in blurred:
            blurred = {blur_mm: _blur(_grey(picture[None].to(torch.float32)), blur_mm * px_per_mm)}
        drawn = _blur(_grey(draw_batch(signal, fs_hz, coarse if blur_mm > 0 else fine)), blur_mm * px_per_mm)
        loss = (drawn - blurred[blur_mm]).square().mean()
        bend = torch.diff(signal, n=2).square().mean()
        (loss + STIFFNESS * blur_mm / max(*blurs_mm, 1e-9) * bend).backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    shown = torch.from_numpy(visible_samples(page, float(fs_hz), n_samples)).to(picture.device)
    return SignalFit(torch.where(shown, signal.detach()[0], float("nan")), tuple(losses), tuple(stages))


def _grey(pictures: Tensor) -> Tensor:
    return pictures.mean(dim=1, keepdim=True)


def _blur(pictures: Tensor, spread_px: float) -> Tensor:
    """Gaussian blur along the rows' axis, edges repeated."""
    if spread_px < 0.3:
        return pictures
    reach = min(int(3 * spread_px) + 1, pictures.shape[2] - 1)
    offset = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = torch.exp(-0.5 * (offset / spread_px) ** 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, -1, 1)
    batch, channels, height, width = pictures.shape
    padded = torch.nn.functional.pad(
        pictures.reshape(batch * channels, 1, height, width), (0, 0, reach, reach), "replicate"
    )
    return torch.nn.functional.conv2d(padded, kernel).reshape(pictures.shape)
