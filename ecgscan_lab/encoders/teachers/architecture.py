"""What one published teacher is: its sizes, its preprocessing, its network, and how its file spells the weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from ecgscan_lab.encoders.teachers.preprocessing import LEAD_ORDERS, Preprocessing
from ecgscan_lab.errors import ArgumentError, CheckpointError

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Architecture:
    """A published teacher.

    Attributes:
        name: the teacher, and its manifest.
        sizes: the published sizes; `build` takes them, and tests take smaller ones.
        preprocessing: what the network expects of a recording.
        build: sizes -> a network that takes `[batch, 12, time]` and gives `[batch, embed_dim]`.
        embed_dim: sizes -> size of the feature.
        container: keys to go down in the published file before the weights are reached.
        wrapped: (prefix, name): where a file holds that prefix and name, the network is inside a larger model; the
            prefix goes off, and the names of the larger model are read as `outside.NAME`.
        renames: (pattern, replacement) of published names, one after the other, where this network says otherwise.
        drops: pattern of published names (after renaming) that the feature does not need: heads, the text side, masks.
        drops_unless: size -> a further such pattern, for when that size is 0.
        as_found: sizes that the published files do not agree on, read off them: name -> (weight, axis).
    """

    name: str
    sizes: Sizes
    preprocessing: Preprocessing
    build: Callable[[Sizes], nn.Module]
    embed_dim: Callable[[Sizes], int]
    container: tuple[str, ...] = ()
    wrapped: tuple[str, str] | None = None
    renames: tuple[tuple[str, str], ...] = ()
    drops: str = "(?!)"
    drops_unless: Mapping[str, str] = field(default_factory=dict)
    as_found: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def ordered(self, lead_order: str | None) -> Preprocessing:
        """The preprocessing with another lead order: "standard", "mimic", or None for the teacher's own.

        Raises:
            ArgumentError: another name.
        """
        if lead_order is None:
            return self.preprocessing
        return replace(self.preprocessing, lead_order=named_order(lead_order))

    def sized(self, sizes: Sizes | None) -> dict[str, int]:
        """The published sizes, some of them replaced.

        Raises:
            ArgumentError: a size that this network does not have.
        """
        strange = sorted(set(sizes or ()) - set(self.sizes))
        if strange:
            raise ArgumentError(
                f"{self.name} has no size {strange[0]!r}", field="sizes", expected=", ".join(self.sizes)
            )
        return {**self.sizes, **(sizes or {})}

    def own_names(self, published: Mapping[str, Any], sizes: Sizes) -> tuple[dict[str, torch.Tensor], list[str]]:
        """Published weights under this network's names, and the published names that were left out.

        Raises:
            CheckpointError: two published names become one, or something kept is no tensor.
        """
        for key in self.container:
            inner = published.get(key)
            if isinstance(inner, Mapping):
                published = inner
        without = [pattern for size, pattern in self.drops_unless.items() if not sizes[size]]
        drops = "|".join([self.drops, *without])
        kept: dict[str, torch.Tensor] = {}
        dropped = []
        for given, value in published.items():
            name = self._unwrapped(str(given), published)
            for pattern, replacement in self.renames:
                name = re.sub(pattern, replacement, name)
            if re.match(drops, name):
                dropped.append(str(given))
            elif name in kept or not isinstance(value, torch.Tensor):
                raise CheckpointError(f"{given} is no weight of {self.name}, or stands twice", field=str(given))
            else:
                kept[name] = value
        return kept, dropped

    def _unwrapped(self, name: str, published: Mapping[str, Any]) -> str:
        if self.wrapped is None or "".join(self.wrapped) not in published:
            return name
        prefix = self.wrapped[0]
        return name[len(prefix) :] if name.startswith(prefix) else f"outside.{name}"


def named_order(lead_order: str) -> tuple[str, ...]:
    """Lead names of "standard" (aVL before aVF) or "mimic" (aVF before aVL).

    Raises:
        ArgumentError: another name.
    """
    if lead_order not in LEAD_ORDERS:
        raise ArgumentError(f"unknown lead order {lead_order!r}", field="lead_order", expected=", ".join(LEAD_ORDERS))
    return LEAD_ORDERS[lead_order]
