"""MELP: the same convolutions and layers, pooled by learned queries."""

from __future__ import annotations

import torch
from torch import nn

from ecgscan_lab.encoders.teachers.architecture import Architecture, Sizes
from ecgscan_lab.encoders.teachers.preprocessing import MIMIC_LEADS, Preprocessing
from ecgscan_lab.encoders.teachers.wave import SIZES, WEIGHT_NORM_NAMES, WaveEncoder


class _AttentionPooling(nn.Module):
    """Learned queries that attend to the tokens."""

    def __init__(self, dim: int, token_dim: int, heads: int, queries: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(queries, dim))
        self.attn = nn.MultiheadAttention(dim, heads, kdim=token_dim, vdim=token_dim, batch_first=True)
        self.ln_q, self.ln_k = nn.LayerNorm(dim), nn.LayerNorm(token_dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        tokens = self.ln_k(tokens)
        queries = self.ln_q(self.query).expand(len(tokens), -1, -1)
        return self.attn(queries, tokens, tokens, need_weights=False)[0]


class Melp(nn.Module):
    """5,000 samples -> 312 tokens -> 14 beat queries -> norm, projection, mean: 256 values, not normalised.

    The feature is the rhythm level, `proj_ecg_emb`, which the published zero-shot compares with reports.

    **Source**: Wang, Xu and Yu (ICML 2025); layout as in their repository and model card. *Differences*: the token
    level (`attn_pool_caption`) is not built; their linear probe leaves the projection out, this does not. Weights are
    published in bfloat16 and computed in float32. The published encoder has 14 beat queries and the reproduction 12:
    the number is read off the file.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        dim = sizes["embed_dim"]
        self.ecg_encoder = WaveEncoder(sizes)
        self.attn_pool_contrast = _AttentionPooling(dim, sizes["dim"], sizes["pool_heads"], sizes["beat_queries"])
        self.ln_contrast = nn.LayerNorm(dim)
        self.proj_contrast = nn.Parameter(torch.randn(dim, dim) * sizes["dim"] ** -0.5)

    def beats(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, 5000]` -> `[batch, beat_queries, embed_dim]`."""
        return self.ln_contrast(self.attn_pool_contrast(self.ecg_encoder(signals))) @ self.proj_contrast

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, 5000]` -> `[batch, embed_dim]`."""
        return self.beats(signals).mean(1)


ARCHITECTURE = Architecture(
    name="melp",
    sizes={**SIZES, "embed_dim": 256, "pool_heads": 8, "beat_queries": 14},
    preprocessing=Preprocessing(
        fs_hz=500.0, n_samples=5000, lead_order=MIMIC_LEADS, normalisation="min-max record", eps=1e-8
    ),
    build=Melp,
    embed_dim=lambda sizes: sizes["embed_dim"],
    container=("state_dict",),
    wrapped=("ecg_encoder.", "attn_pool_contrast.query"),
    renames=WEIGHT_NORM_NAMES,
    drops=(
        r"ecg_encoder\.(mask_emb$|quantizer\.|project_q\.|final_proj\.)|attn_pool_caption\.|ln_caption\.|"
        r"logit_scale$|bn\.|outside\.(lm_model|text_decoder|proj_t|sent_proj)\.|outside\.logit_scale$"
    ),
    as_found={"beat_queries": ("attn_pool_contrast.query", 0)},
)
