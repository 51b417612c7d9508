"""The network that D-BETA, ECG-FM and MELP share: strided convolutions, a convolution for positions, post-norm layers.

Source: wav2vec 2.0 (Baevski et al., 2020, arXiv 2006.11477), as fairseq-signals applies it to ECG (Oh et al., 2022).
*Differences*: written anew for inference alone, so without dropout, masks and quantiser; parameters keep the published
names.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.encoders.teachers.architecture import Sizes

N_CONVOLUTIONS = 4
SIZES = {
    "layers": 8,
    "dim": 768,
    "heads": 12,
    "feedforward": 3072,
    "conv_dim": 256,
    "pos_kernel": 128,
    "pos_groups": 16,
}

# PyTorch has had two spellings of weight normalisation; files of either kind are out there.
WEIGHT_NORM_NAMES = (
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
)


class _Convolutions(nn.Module):
    """Four convolutions, kernel 2 and stride 2, each with a GELU; the first is normalised channel by channel.

    No bias before that norm, so a gain on all leads and an offset on any lead vanish in it, up to its eps of 1e-5.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_layers = nn.ModuleList()
        for i in range(N_CONVOLUTIONS):
            block = nn.Sequential(nn.Conv1d(dim if i else 12, dim, 2, 2, bias=False))
            if i == 0:
                block.add_module("2", nn.GroupNorm(dim, dim))  # place 1 is a dropout in the published network
            self.conv_layers.append(block)

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        for block in self.conv_layers:
            signals = F.gelu(block(signals))
        return signals


class _WeightNormConvolution(nn.Module):
    """A grouped convolution whose kernel is g v / |v|, with the norm taken over all but the time axis of v."""

    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.kernel, self.groups = kernel, groups
        self.weight_v = nn.Parameter(torch.randn(dim, dim // groups, kernel) * (4 / (kernel * dim)) ** 0.5)
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight_g * self.weight_v / self.weight_v.norm(dim=(0, 1), keepdim=True)
        y = F.conv1d(x, weight, self.bias, padding=self.kernel // 2, groups=self.groups)
        return y[..., : x.shape[-1]]  # an even kernel gives one too many


class _Positions(nn.Module):
    def __init__(self, dim: int, kernel: int, groups: int) -> None:
        super().__init__()
        self.pos_conv = nn.Sequential(_WeightNormConvolution(dim, kernel, groups), nn.GELU())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.pos_conv(tokens.transpose(1, 2)).transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.q_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _Layer(nn.Module):
    """A Transformer layer with the norm after each residual sum."""

    def __init__(self, dim: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = _Attention(dim, heads)
        self.self_attn_layer_norm = nn.LayerNorm(dim)
        self.fc1, self.fc2 = nn.Linear(dim, feedforward), nn.Linear(feedforward, dim)
        self.final_layer_norm = nn.LayerNorm(dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.self_attn_layer_norm(x + self.self_attn(x))
        return self.final_layer_norm(x + self.fc2(F.gelu(self.fc1(x))))


class _Layers(nn.Module):
    """One norm, then the layers."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _Layer(sizes["dim"], sizes["heads"], sizes["feedforward"]) for _ in range(sizes["layers"])
        )
        self.layer_norm = nn.LayerNorm(sizes["dim"])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer_norm(x)
        for layer in self.layers:
            x = layer(x)
        return x


class WaveEncoder(nn.Module):
    """12 leads at 500 Hz -> one token for every 16 samples (32 ms).

    Args:
        sizes: as `SIZES`.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.feature_extractor = _Convolutions(sizes["conv_dim"])
        self.layer_norm = nn.LayerNorm(sizes["conv_dim"])
        self.post_extract_proj = nn.Linear(sizes["conv_dim"], sizes["dim"])
        self.conv_pos = _Positions(sizes["dim"], sizes["pos_kernel"], sizes["pos_groups"])
        self.encoder = _Layers(sizes)

    def embed(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, time]` -> tokens with their positions `[batch, time // 16, dim]`, before the layers."""
        tokens = self.post_extract_proj(self.layer_norm(self.feature_extractor(signals).transpose(1, 2)))
        return tokens + self.conv_pos(tokens)

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, time]` -> `[batch, time // 16, dim]`."""
        return self.encoder(self.embed(signals))
