"""MERL: a one-dimensional ResNet18."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.encoders.teachers.architecture import Architecture, Sizes
from ecgscan_lab.encoders.teachers.preprocessing import MIMIC_LEADS, Preprocessing


class _Block(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm1d(c_out)
        self.conv2, self.bn2 = nn.Conv1d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm1d(c_out)
        same = stride == 1 and c_in == c_out
        self.shortcut = nn.Sequential(
            *([] if same else [nn.Conv1d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm1d(c_out)])
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.shortcut(x))


class _ResNet18(nn.Module):
    """12 leads -> a map of 8 x width channels, one column for every 16 samples."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv1d(12, width, 7, 2, 3, bias=False), nn.BatchNorm1d(width)
        for i in range(4):
            c_in, c_out = width * 2 ** max(i - 1, 0), width * 2**i
            stage = nn.Sequential(_Block(c_in, c_out, 2 if i else 1), _Block(c_out, c_out, 1))
            self.add_module(f"layer{i + 1}", stage)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(4):
            x = getattr(self, f"layer{i + 1}")(x)
        return x


class _AttentionPooling(nn.Module):
    """A class token that attends to itself and to every column; its position is added twice, as published."""

    def __init__(self, columns: int, dim: int, heads: int) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(torch.randn(1, columns + 1, dim) / dim)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.mhsa = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.c_proj = nn.Linear(dim, dim)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        first = (self.cls_token + self.positional_embedding[:, :1]).expand(len(maps), -1, -1)
        tokens = torch.cat([first, maps.transpose(1, 2)], dim=1) + self.positional_embedding
        return self.c_proj(self.mhsa(tokens[:, :1], tokens, tokens, need_weights=False)[0])[:, 0]


class Merl(nn.Module):
    """5,000 samples -> ResNet18 -> 313 columns -> their mean (512 values), or, `projected`, attention pooling (256).

    The mean is what the published linear probe reads; the projection is what its zero-shot compares with reports,
    before normalisation, and only the file named `_ckpt` holds it.

    **Source**: Liu et al. (ICML 2024), arXiv 2403.06659; layout as in their repository. *Differences*: their linear
    probe leaves batch norm in training mode, here it is frozen; the ViT-tiny encoder is not offered.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.ecg_encoder = _ResNet18(sizes["width"])
        self.projected = bool(sizes["projected"])
        if self.projected:
            self.downconv = nn.Conv1d(8 * sizes["width"], sizes["embed_dim"], 1)
            self.att_pool_head = _AttentionPooling(sizes["columns"], sizes["embed_dim"], sizes["pool_heads"])

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, 5000]` -> `[batch, 512]`, or `[batch, 256]` when projected."""
        maps = self.ecg_encoder(signals)
        return self.att_pool_head(self.downconv(maps)) if self.projected else maps.mean(-1)


_OTHER_PARTS = r"ecg_encoder\.linear\.|linear[12]\.|lm_model\.|proj_t\."

ARCHITECTURE = Architecture(
    name="merl",
    sizes={"width": 64, "projected": 0, "embed_dim": 256, "columns": 313, "pool_heads": 4},
    preprocessing=Preprocessing(
        fs_hz=500.0, n_samples=5000, lead_order=MIMIC_LEADS, normalisation="min-max record", eps=1e-8
    ),
    build=Merl,
    embed_dim=lambda sizes: sizes["embed_dim"] if sizes["projected"] else 8 * sizes["width"],
    renames=((r"^(?=(conv1|bn1|layer[1-4]|linear)\.)", "ecg_encoder."),),  # a file of the encoder alone
    drops=_OTHER_PARTS,
    drops_unless={"projected": r"downconv\.|att_pool_head\."},
)
