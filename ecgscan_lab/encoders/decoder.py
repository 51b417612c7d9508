"""The query-token decoder: one pooled image feature in, a 12-lead signal out."""

from __future__ import annotations

import torch
from torch import nn

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import INDEPENDENT_LEADS, LEADS, derive_twelve_leads


class QueryDecoder(nn.Module):
    """Learnable queries, one per 8 samples, that read the page's latent and speak millivolts.

    Every query is the sum of itself, a learnable position and the latent; during training a random share is replaced by
    one learnable mask embedding; a Transformer encoder mixes them; a linear layer turns each into 12 leads x 8 samples.
    With `independent_leads` it speaks 8 leads only, and III, aVR, aVL and aVF are computed: no lead law can break.

    Source: ECG-Scan (2026), arXiv 2604.01526, appendix A.1 (625 queries for 5,000 samples, 768-d, 12 layers, 12 heads).
    *Differences*: sizes are arguments; the norm comes first, the feed-forward is 4 x wide with GELU and the mask share
    is 0.25, all of which the paper leaves open.

    Args:
        n_samples: samples a lead; rounded up to whole queries inside, cut to length on return.
        dim: size of the latent and of the queries.
        layers: Transformer layers.
        heads: attention heads.
        mask_share: share of queries masked while training.
        independent_leads: decode I, II and V1 to V6, and derive the other four (`leads.derive_twelve_leads`).
    """

    samples_per_query = 8

    def __init__(
        self,
        n_samples: int,
        dim: int,
        layers: int,
        heads: int,
        mask_share: float = 0.25,
        *,
        independent_leads: bool = False,
    ) -> None:
        super().__init__()
        if n_samples < 1 or dim % heads != 0:
            raise ArgumentError(
                f"cannot build a decoder of {n_samples} samples, {dim} dimensions and {heads} heads",
                field="n_samples" if n_samples < 1 else "heads",
                expected="at least one sample, and heads that divide dim",
            )
        self.n_samples = n_samples
        self.mask_share = mask_share
        self.independent_leads = independent_leads
        n_queries = -(-n_samples // self.samples_per_query)
        self.queries = nn.Parameter(torch.randn(n_queries, dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(n_queries, dim) * 0.02)
        self.mask = nn.Parameter(torch.zeros(dim))
        layer = nn.TransformerEncoderLayer(
            dim, heads, 4 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(dim), enable_nested_tensor=False)
        self.n_decoded = len(INDEPENDENT_LEADS if independent_leads else LEADS)
        self.head = nn.Linear(dim, self.n_decoded * self.samples_per_query)

    def forward(self, latent: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Latent `[batch, dim]` -> signal `[batch, 12, n_samples]` in mV.

        Args:
            latent: Proj_rec(z_img).
            generator: draws the masked queries (on the CPU); without one nothing is masked.
        """
        queries = self.queries + latent.unsqueeze(1)
        if generator is not None and self.mask_share > 0:
            masked = torch.rand(queries.shape[:2], generator=generator) < self.mask_share
            queries = torch.where(masked.to(queries.device).unsqueeze(-1), self.mask, queries)
        tokens = self.head(self.encoder(queries + self.positions)).float()
        batch, n_queries, _ = tokens.shape
        leads_first = tokens.view(batch, n_queries, self.n_decoded, self.samples_per_query).transpose(1, 2)
        decoded = leads_first.reshape(batch, self.n_decoded, -1)[..., : self.n_samples]
        return derive_twelve_leads(decoded) if self.independent_leads else decoded
