"""D-BETA, the teacher of the ECG-Scan paper."""

from __future__ import annotations

import torch
from torch import nn

from ecgscan_lab.encoders.teachers.architecture import Architecture, Sizes
from ecgscan_lab.encoders.teachers.preprocessing import Preprocessing
from ecgscan_lab.encoders.teachers.wave import SIZES, WEIGHT_NORM_NAMES, WaveEncoder


class _Pooler(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dense = nn.Linear(dim, dim)

    def forward(self, first: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.dense(first))


class DBeta(nn.Module):
    """5,000 samples -> 312 tokens -> a class token before them -> 8 post-norm layers -> 768 values in (-1, 1).

    The feature is tanh(W1 (W2 c + b2) + b1) of the class token c, the published `unimodal_ecg_pooler`; 63.2 million
    parameters.

    **Source**: Pham, Saeed and Ma (ICML 2025), arXiv 2410.02131; layout as in their repository. *Differences*: the text
    side, the fusion layers and the heads are not built; dropout is gone, which their loader leaves on.

    Properties: a gain on all leads changes nothing, and neither does an offset on a lead, so that voltage criteria are
    weak in it. That holds in millivolts: in volts the signal is so small that the norm's eps of 1e-5 outweighs it.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.ecg_encoder = WaveEncoder(sizes)
        self.class_embedding = nn.Parameter(torch.rand(sizes["dim"]))
        self.multi_modal_ecg_proj = nn.Linear(sizes["dim"], sizes["dim"])
        self.unimodal_ecg_pooler = _Pooler(sizes["dim"])

    def tokens(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, 5000]` -> `[batch, 313, dim]`, the class token first."""
        tokens = self.ecg_encoder.embed(signals)
        first = self.class_embedding.expand(len(tokens), 1, -1)  # it has no position
        return self.ecg_encoder.encoder(torch.cat([first, tokens], dim=1))

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, 5000]` -> `[batch, dim]` in (-1, 1)."""
        return self.unimodal_ecg_pooler(self.multi_modal_ecg_proj(self.tokens(signals)[:, 0]))


# Its data set code lists the standard lead order, but the script that made its files keeps MIMIC-IV-ECG's, aVF before
# aVL: which one the weights have seen is open, so the order is an argument.
ARCHITECTURE = Architecture(
    name="d-beta",
    sizes=SIZES,
    preprocessing=Preprocessing(fs_hz=500.0, n_samples=5000),
    build=DBeta,
    embed_dim=lambda sizes: sizes["dim"],
    container=("model",),
    renames=WEIGHT_NORM_NAMES,
    drops=(
        r"ecg_encoder\.mask_emb$|language_encoder\.|modality_type_embeddings\.|(mlm|mim|itm)_head\.|"
        r"multi_modal_language_|multi_modal_ecg_(layers|pooler)\.|unimodal_language_pooler\."
    ),
)
