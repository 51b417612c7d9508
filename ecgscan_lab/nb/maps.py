"""What notebook 06 lays out, by profile: sizes that a small machine bears."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from ecgscan_lab.errors import ArgumentError


class MapSettings(NamedTuple):
    """Records to load, methods to compare, steps of the signal reader, and why a method is left out (else empty)."""

    n_records: int
    methods: tuple[str, ...]
    reader_steps: int
    left_out: str


def map_settings(profile: str) -> MapSettings:
    """The sizes of a profile; UMAP compiles itself for half a minute at first, so that "smoke" leaves it out.

    Raises:
        ArgumentError: unknown profile.

    Example:
        >>> map_settings("smoke").methods
        ('PCA', 't-SNE')
    """
    sizes = {"smoke": (150, 10), "quick": (500, 120), "full": (3000, 600)}
    if profile not in sizes:
        raise ArgumentError(f"unknown profile {profile!r}", field="profile", expected=", ".join(sizes))
    left_out = ""
    if profile == "smoke":
        left_out = "UMAP is left out: it compiles itself for half a minute, more than this profile may take."
    elif find_spec("umap") is None:
        left_out = "UMAP is left out: umap-learn is not installed (pip install umap-learn)."
    return MapSettings(
        sizes[profile][0], ("PCA", "t-SNE", *(() if left_out else ("UMAP",))), sizes[profile][1], left_out
    )
