"""ST-MEM: a masked autoencoder's ViT-B over patches of single leads."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.encoders.teachers.architecture import Architecture, Sizes
from ecgscan_lab.encoders.teachers.preprocessing import Preprocessing


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.to_out = nn.Sequential(nn.Linear(dim, dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.to_qkv(x).chunk(3, dim=-1))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, dim: int, feedforward: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, feedforward), nn.GELU())
        self.net.add_module("3", nn.Linear(feedforward, dim))  # place 2 is a dropout in the published network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class _Residual(nn.Module):
    """x + fn(norm(x))."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(dim), fn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.fn(self.norm(x))


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.attn = _Residual(dim, _Attention(dim, heads))
        self.ff = _Residual(dim, _FeedForward(dim, feedforward))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.ff(self.attn(x))


class StMem(nn.Module):
    """12 leads x 2,250 samples -> 30 patches a lead between two separators -> 12 layers -> 768 values.

    Each patch of 75 samples (0.3 s) is one token with the embedding of its place and of its lead; the feature is the
    norm of the mean over all patches, separators left out. Three crops of a 10 s recording are averaged.

    **Source**: Na et al. (ICLR 2024), arXiv 2402.09450; layout as in their repository. *Differences*: recordings are
    resampled by a polyphase filter where they use the Fourier transform, and the features of the crops are averaged
    where they average what a classifier says. The repository grants no licence beyond its own terms; see the manifest.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        dim, self.patch = sizes["dim"], sizes["patch"]
        self.to_patch_embedding = nn.Sequential()
        for place, part in enumerate((nn.LayerNorm(self.patch), nn.Linear(self.patch, dim), nn.LayerNorm(dim)), 1):
            self.to_patch_embedding.add_module(str(place), part)  # place 0 cuts patches in the published network
        self.pos_embedding = nn.Parameter(torch.randn(1, 2250 // self.patch + 2, dim))
        self.sep_embedding = nn.Parameter(torch.randn(dim))
        self.lead_embeddings = nn.ParameterList(nn.Parameter(torch.randn(dim)) for _ in range(12))
        self.depth = sizes["layers"]
        for i in range(self.depth):
            self.add_module(f"block{i}", _Layer(dim, sizes["heads"], sizes["feedforward"]))
        self.norm = nn.LayerNorm(dim)

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, 2250]` -> `[batch, dim]`."""
        patches = self.to_patch_embedding(signals.unflatten(-1, (-1, self.patch)))
        separator = self.sep_embedding.expand(*patches.shape[:2], 1, -1)
        x = torch.cat([separator, patches, separator], dim=2) + self.pos_embedding.unsqueeze(1)
        x = (x + torch.stack(tuple(self.lead_embeddings)).unsqueeze(1)).flatten(1, 2)
        for i in range(self.depth):
            x = getattr(self, f"block{i}")(x)
        return self.norm(x.unflatten(1, (12, -1))[:, :, 1:-1].mean((1, 2)))


ARCHITECTURE = Architecture(
    name="st-mem",
    sizes={"layers": 12, "dim": 768, "heads": 12, "feedforward": 3072, "patch": 75},
    preprocessing=Preprocessing(
        fs_hz=250.0,
        n_samples=2500,
        normalisation="z-score record",
        filters=(("high-pass", 0.67, 5), ("low-pass", 40.0, 5)),
        crop_samples=2250,
        n_crops=3,
        crop_first=True,
    ),
    build=StMem,
    embed_dim=lambda sizes: sizes["dim"],
    container=("model",),
    wrapped=("encoder.", "pos_embedding"),  # so in the file of encoder and decoder
    drops=(
        r"head\.|outside\.(to_patch_embedding\.|to_decoder_embedding\.|mask_embedding$|decoder_pos_embed$|"
        r"decoder_blocks\.|decoder_norm\.|decoder_head\.)"
    ),
)
