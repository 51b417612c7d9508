"""The trainable half of ECG-Scan: image tower, projections, decoder and the two temperatures."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from ecgscan_lab.encoders.decoder import QueryDecoder
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.types import Features, TripleBatch


def projection(d_in: int, d_out: int) -> nn.Sequential:
    """Linear then tanh, the paper's projection into the shared space (Proj_ctr, Proj_rec, Proj_txt)."""
    return nn.Sequential(nn.Linear(d_in, d_out), nn.Tanh())


class EcgScanModel(nn.Module):
    """From a batch of triples to what the objective sees.

    z_img = tower(page);  image = Proj_ctr(z_img);  text = Proj_txt(z_txt);  signal = z_sig (frozen, as given);
    reconstruction = decoder(Proj_rec(z_img)).

    Source: ECG-Scan (2026), arXiv 2604.01526, sections 4.1-4.3 and appendix A.1. *Differences*: the two temperatures
    are separate and learned as exp(s), clamped to [1, 100], because cosines range over 2 and volumes over 1.

    Args:
        tower: image tower.
        d_text: size of the text features.
        d_shared: size of the shared space; must equal the signal teacher's.
        n_samples: samples a lead of the reconstruction.
        decoder_dim, decoder_layers, decoder_heads: size of the decoder.
        mask_share: share of decoder queries masked while training.
    """

    def __init__(
        self,
        tower: TinyImageTower,
        *,
        d_text: int,
        d_shared: int,
        n_samples: int,
        decoder_dim: int,
        decoder_layers: int,
        decoder_heads: int,
        mask_share: float = 0.25,
    ) -> None:
        super().__init__()
        self.tower = tower
        self.project_contrastive = projection(tower.embed_dim, d_shared)
        self.project_text = projection(d_text, d_shared)
        self.project_reconstruction = projection(tower.embed_dim, decoder_dim)
        self.decoder = QueryDecoder(n_samples, decoder_dim, decoder_layers, decoder_heads, mask_share)
        self.log_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.log_gram_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, batch: TripleBatch, generator: torch.Generator | None = None) -> Features:
        """Embed a batch; `generator` draws the decoder's query mask (training only)."""
        z_img = self.tower(batch.images)
        return Features(
            image=self.project_contrastive(z_img).float(),
            text=self.project_text(batch.text_features).float(),
            signal=batch.signal_features,
            reconstruction_mv=self.decoder(self.project_reconstruction(z_img), generator),
            signal_mv=batch.signals_mv,
            logit_scale=self.log_logit_scale.exp().clamp(1.0, 100.0),
            gram_logit_scale=self.log_gram_logit_scale.exp().clamp(1.0, 100.0),
        )

    def image_embeddings(self, images: torch.Tensor) -> torch.Tensor:
        """Pages -> `[batch, d_shared]` in the space shared with texts and signals, for zero-shot and retrieval."""
        return self.project_contrastive(self.tower(images)).float()

    def project_texts(self, text_features: np.ndarray) -> np.ndarray:
        """float32 `[text, d_text]` of the text tower -> `[text, d_shared]` in the shared space."""
        with torch.no_grad():
            features = torch.from_numpy(text_features).to(self.log_logit_scale.device)
            return self.project_text(features).float().cpu().numpy()

    def reconstruct(self, images: torch.Tensor) -> torch.Tensor:
        """Pages -> `[batch, 12, n_samples]` in mV, nothing masked."""
        return self.decoder(self.project_reconstruction(self.tower(images)))
