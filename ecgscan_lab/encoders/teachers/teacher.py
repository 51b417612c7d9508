"""A signal teacher: a published network behind its own preprocessing, frozen."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ecgscan_lab.encoders.teachers.architecture import named_order
from ecgscan_lab.encoders.teachers.preprocessing import LEAD_ORDERS, Preprocessing


class SignalTeacher(nn.Module):
    """Signals in millivolts in, features out; always in `eval` mode, without gradients, in float32.

    Args:
        name: the teacher.
        network: takes `[batch, 12, time]` as `preprocessing` leaves it, gives `[batch, embed_dim]`.
        preprocessing: what happens to a recording first.
        embed_dim: size of the feature.
        trained: whether the weights are published ones, not random ones.
    """

    def __init__(
        self, name: str, network: nn.Module, preprocessing: Preprocessing, embed_dim: int, *, trained: bool
    ) -> None:
        super().__init__()
        self.name = name
        self.network = network
        self.preprocessing = preprocessing
        self.embed_dim = embed_dim
        self.trained = trained
        self.fs_hz = preprocessing.fs_hz
        self.n_samples = preprocessing.n_samples
        self.requires_grad_(False)
        self.eval()

    @property
    def lead_order(self) -> str:
        """Order in which the network reads the leads: "standard" (aVL before aVF) or "mimic" (aVF before aVL)."""
        return next(name for name, leads in LEAD_ORDERS.items() if leads == self.preprocessing.lead_order)

    def train(self, mode: bool = True) -> SignalTeacher:
        """A teacher stays in `eval` mode, whatever its owner does."""
        super().train(False)
        return self

    def forward(self, signals_mv: torch.Tensor) -> torch.Tensor:
        """`[batch, 12, n_samples]` in mV, canonical order, at `fs_hz` -> float32 `[batch, embed_dim]`, not normalised.

        Crops are averaged. Samples that are not finite count as not recorded (`Preprocessing.apply`).

        Raises:
            ArgumentError: another shape.
        """
        device_type = signals_mv.device.type
        with torch.no_grad(), torch.autocast(device_type, enabled=False):  # the instance norm needs its digits
            crops = self.preprocessing.apply(signals_mv)
            features = self.network(crops.flatten(0, 1))
        return features.unflatten(0, crops.shape[:2]).mean(1).float()


def reordered(teacher: SignalTeacher, lead_order: str) -> SignalTeacher:
    """The same teacher, with the same weights in the same memory, reading leads in another order.

    D-BETA's publication does not settle whether aVL or aVF comes first: try both on labelled validation records.

    Args:
        teacher: any teacher.
        lead_order: "standard" or "mimic".

    Raises:
        ArgumentError: another order.
    """
    preprocessing = replace(teacher.preprocessing, lead_order=named_order(lead_order))
    return SignalTeacher(teacher.name, teacher.network, preprocessing, teacher.embed_dim, trained=teacher.trained)
