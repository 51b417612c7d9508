"""ECGFounder: a convolutional network of bottlenecks with squeeze and excitation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.encoders.teachers.architecture import Architecture, Sizes
from ecgscan_lab.encoders.teachers.preprocessing import Preprocessing

_WIDTHS, _BLOCKS = (64, 160, 160, 400, 400, 1024, 1024), (2, 2, 2, 3, 3, 4, 4)


class _SameConvolution(nn.Module):
    """A convolution padded so that its output has ceil(length / stride) samples; the odd zero goes to the right."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv = nn.Conv1d(c_in, c_out, kernel, stride, groups=groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        length = x.shape[-1]
        padding = max(0, (-(-length // self.stride) - 1) * self.stride + self.kernel - length)
        return self.conv(F.pad(x, (padding // 2, padding - padding // 2)))


class _Block(nn.Module):
    """1 x 1, grouped, 1 x 1 convolution, each after a SiLU; excitation; a shortcut by pooling and zero channels."""

    def __init__(self, c_in: int, c_out: int, kernel: int, group_width: int, halves: bool, first: bool) -> None:
        super().__init__()
        self.halves, self.first = halves, first
        self.conv1 = _SameConvolution(c_in, c_out, 1)
        self.conv2 = _SameConvolution(c_out, c_out, kernel, 2 if halves else 1, c_out // group_width)
        self.conv3 = _SameConvolution(c_out, c_out, 1)
        self.se_fc1, self.se_fc2 = nn.Linear(c_out, c_out // 2), nn.Linear(c_out // 2, c_out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(x if self.first else F.silu(x))
        y = self.conv3(F.silu(self.conv2(F.silu(y))))
        y = y * torch.sigmoid(self.se_fc2(F.silu(self.se_fc1(y.mean(-1))))).unsqueeze(-1)
        if self.halves:
            x = F.max_pool1d(F.pad(x, (0, 1)), 2)
        more = y.shape[1] - x.shape[1]
        return y + F.pad(x, (0, 0, more // 2, more - more // 2))


class _Stage(nn.Module):
    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.block_list = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.block_list:
            x = block(x)
        return x


class EcgFounder(nn.Module):
    """5,000 samples -> seven stages that halve the length (20 columns at the end) -> their mean, 1,024 values.

    **Source**: Li et al. (NEJM AI 2025), arXiv 2410.04133; layout (Net1D) as in their repository. *Differences*: batch
    norm is in the published file but switched off in the published model, so it is left out, and the 150-class head
    with it. Their data set code filters as here, but their PTB-XL evaluation only normalises: which of the two the
    weights were trained with is open, and this follows the first, as their notice asks.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        share = sizes["width_share"]
        widths = [width // share for width in _WIDTHS]
        c_in = widths[0]
        self.first_conv = _SameConvolution(12, c_in, sizes["kernel"], 2)
        self.stage_list = nn.ModuleList()
        for stage, (width, n_blocks) in enumerate(zip(widths, _BLOCKS, strict=True)):
            blocks: list[nn.Module] = []
            for i in range(n_blocks):
                first = stage == 0 and i == 0
                blocks.append(_Block(c_in, width, sizes["kernel"], sizes["group_width"], i == 0, first))
                c_in = width
            self.stage_list.append(_Stage(blocks))

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, 5000]` -> `[batch, 1024]`."""
        x = F.silu(self.first_conv(signals))
        for stage in self.stage_list:
            x = stage(x)
        return x.mean(-1)


ARCHITECTURE = Architecture(
    name="ecgfounder",
    sizes={"width_share": 1, "kernel": 16, "group_width": 16},
    preprocessing=Preprocessing(
        fs_hz=500.0,
        n_samples=5000,
        normalisation="z-score record",
        eps=1e-8,
        filters=(("notch", 50.0, 30.0), ("band-pass", 0.67, 40.0, 4), ("minus-median", 0.4)),
    ),
    build=EcgFounder,
    embed_dim=lambda sizes: _WIDTHS[-1] // sizes["width_share"],
    container=("state_dict",),
    drops=r"dense\.|first_bn\.|stage_list\.\d+\.block_list\.\d+\.bn[123]\.",
)
