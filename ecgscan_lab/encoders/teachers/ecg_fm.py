"""ECG-FM: a wav2vec 2.0 over 5-second segments."""

from __future__ import annotations

import torch

from ecgscan_lab.encoders.teachers.architecture import Architecture
from ecgscan_lab.encoders.teachers.preprocessing import Preprocessing
from ecgscan_lab.encoders.teachers.wave import SIZES, WEIGHT_NORM_NAMES, WaveEncoder


class EcgFm(WaveEncoder):
    """2,500 samples -> 156 tokens -> 12 post-norm layers -> their mean, 768 values; two halves of 10 s are averaged.

    **Source**: McKeen et al. (2024), arXiv 2408.05178; the feature is what their notebook draws as embedding.
    *Differences*: signals come resampled by a polyphase filter where they interpolate linearly, and features of the two
    segments are averaged where they pool predictions. The file named finetuned was trained on labels; it and the
    pretrained one both load. Of the published 90.9 million parameters 90.4 are used: the quantiser and heads are not.
    """

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, 2500]` -> `[batch, dim]`."""
        return super().forward(signals).mean(1)


ARCHITECTURE = Architecture(
    name="ecg-fm",
    sizes={**SIZES, "layers": 12},
    preprocessing=Preprocessing(
        fs_hz=500.0, n_samples=5000, normalisation="z-score lead", crop_samples=2500, n_crops=2
    ),
    build=EcgFm,
    embed_dim=lambda sizes: sizes["dim"],
    container=("model",),
    wrapped=("encoder.", "feature_extractor.conv_layers.0.0.weight"),  # so in a finetuned file
    renames=WEIGHT_NORM_NAMES,
    drops=r"mask_emb$|quantizer\.|project_q\.|final_proj\.|outside\.proj\.",
)
