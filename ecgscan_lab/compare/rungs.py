"""Rungs of a ladder: how much of the real thing a comparison trains, from points on a sphere to the full recipe."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.train.recipes import PROFILES, Recipe, recipe_for

RUNGS = ("toy", "heads", "quick", "full")


@dataclass(frozen=True)
class Rung:
    """What a comparison trains, on how much, for how long; the same for every loss in it.

    Attributes:
        name: "toy", "heads", "quick" or "full".
        n_records: records to load, None for as many as the source has (2,000 synthetic ones).
        steps, batch_size, lr: of the training that differs between losses.
        d_shared: size of the shared space.
        weight_decay, warmup_share, clip_norm: of the same training.
        tower_steps: steps of the image tower that "heads" freezes.
        recipe: sizes of the towers, and the teacher's training.
        n_bootstrap: resamples of the test patients.
    """

    name: str
    n_records: int | None = None
    steps: int = 300
    batch_size: int = 128
    lr: float = 2e-3
    d_shared: int = 128
    weight_decay: float = 0.05
    warmup_share: float = 0.1
    clip_norm: float = 1.0
    tower_steps: int = 140
    recipe: Recipe = field(default_factory=lambda: Recipe("compare"))
    n_bootstrap: int = 200

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def rung_for(name: str, profile: str = "quick") -> Rung:
    """The rung of that name, in the size of a profile.

    `toy` trains projections to three dimensions, for in two any three vectors have no volume: a second for five losses.
    `heads` trains the projections on frozen features: seconds a loss once the features are cached. `quick` trains a
    small image tower end to end: minutes a loss. `full` is the full recipe, for a GPU.

    Args:
        name: one of `RUNGS`.
        profile: "smoke" runs every line and learns little; "quick"; "full" is longer, with more records.

    Raises:
        ArgumentError: unknown rung or profile.

    Example:
        >>> rung_for("heads").steps > rung_for("heads", "smoke").steps
        True
    """
    if name not in RUNGS:
        raise ArgumentError(f"no rung {name!r}", field="rung", expected=f"one of {', '.join(RUNGS)}")
    if profile not in PROFILES:
        raise ArgumentError(f"unknown profile {profile!r}", field="profile", expected=f"one of {', '.join(PROFILES)}")
    if name == "toy":
        return Rung("toy", n_records=400, steps=400 if profile == "full" else 40, batch_size=32, lr=5e-2, d_shared=3)
    small = Recipe("compare", size=(128, 304), tower_width=16, d_shared=128, teacher_steps=70, teacher_batch=64)
    if profile == "smoke":
        tiny = dataclasses.replace(
            small, text_tower="hashed", size=(96, 224), tower_width=8, d_shared=32, teacher_steps=6, teacher_batch=32,
            steps=6, batch_size=16, validations=2, decoder_layers=1,
        )  # fmt: skip
        return Rung(
            name, n_records=160, steps=20, batch_size=32, d_shared=32, tower_steps=6, recipe=tiny, n_bootstrap=50
        )
    if name == "heads":
        if profile == "full":
            return Rung("heads", n_records=None, tower_steps=600, recipe=small)
        return Rung("heads", n_records=2000, recipe=small)
    if name == "quick":
        recipe = dataclasses.replace(small, steps=300, batch_size=64, validations=4)
        return Rung("quick", n_records=2000 if profile == "quick" else None, recipe=recipe)
    return Rung("full", recipe=recipe_for("full", 20_000))
