"""Signal towers: 12-lead signals in millivolts in, pooled features out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.errors import ArgumentError


def _block(c_in: int, c_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm1d(c_out), nn.GELU()
    )


class _Residual(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv1d(channels, channels, 3, 1, dilation, dilation, bias=False), nn.BatchNorm1d(channels), nn.GELU()
        )
        self.second = nn.Sequential(nn.Conv1d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm1d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x + self.second(self.first(x)))


class TinySignalTower(nn.Module):
    """A dilated residual CNN over 12 leads at 100 Hz: the teacher of the tiny runs, frozen once it is trained.

    Eight samples (80 ms) become one token; `tokens` serves masked signal modelling, `pool` joins mean and maximum and
    ends in a tanh like the published teacher's pooler, and `forward` is one after the other. `summarise` tells more:
    how the tokens are distributed over the recording, which a student can be held to (`losses.distillation`).

    Args:
        embed_dim: size of the pooled feature; the shared space of the objective.
        width: channels of the residual stages.
        fs_hz: sampling rate that signals must have.
    """

    patch = 8

    def __init__(self, embed_dim: int = 256, width: int = 128, fs_hz: float = 100.0) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.width = width
        self.fs_hz = fs_hz
        self.stages = nn.Sequential(
            _block(12, width // 2, 9, stride=4),
            _block(width // 2, width, 5, stride=2),
            *(_Residual(width, dilation) for dilation in (1, 2, 4, 8)),
        )
        self.pooler = nn.Linear(2 * width, embed_dim)
        self.d_summary = embed_dim + 3 * width

    def tokens(self, signals_mv: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, time]` in mV -> `[batch, ceil(time / 8), width]`.

        Raises:
            ArgumentError: not a batch of 12-lead signals.
        """
        if signals_mv.ndim != 3 or signals_mv.shape[1] != 12:
            raise ArgumentError(
                f"got signals of shape {tuple(signals_mv.shape)}", field="signals_mv", expected="[batch, 12, time]"
            )
        # Samples that were not recorded are read as the baseline; 5 mV bounds what an artefact can do.
        return self.stages(torch.nan_to_num(signals_mv).clamp(-5.0, 5.0)).transpose(1, 2)

    def pool(self, tokens: torch.Tensor) -> torch.Tensor:
        """`[batch, token, width]` -> float32 `[batch, embed_dim]` in (-1, 1)."""
        return torch.tanh(self.pooler(torch.cat([tokens.mean(1), tokens.amax(1)], dim=1))).float()

    def summarise(self, signals_mv: torch.Tensor) -> torch.Tensor:
        """float32 `[batch, 12, time]` in mV -> float32 `[batch, d_summary]`.

        The pooled feature, then mean, maximum and standard deviation of every channel over the tokens.
        """
        tokens = self.tokens(signals_mv)
        moments = [tokens.mean(1), tokens.amax(1), tokens.std(1, correction=0)]
        return torch.cat([self.pool(tokens), *(moment.float() for moment in moments)], dim=1)

    def forward(self, signals_mv: torch.Tensor) -> torch.Tensor:
        """float32 `[batch, 12, time]` in mV at `fs_hz` -> float32 `[batch, embed_dim]` in (-1, 1)."""
        return self.pool(self.tokens(signals_mv))
