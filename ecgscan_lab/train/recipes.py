"""Recipes: every choice of a run in one frozen, printable object that is saved with its checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.objective import Weights

PROFILES = ("smoke", "quick", "full")


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, for how long.

    Attributes:
        name: profile the recipe came from.
        size: (height, width) of the pages in pixels.
        text_tower: "auto", "minilm" or "hashed".
        d_shared: size of the shared space, and of the teacher's feature (paper: 768).
        tower_width: channels of the image tower's stem.
        decoder_dim, decoder_layers, decoder_heads: size of the decoder (paper: 768, 12, 12).
        mask_share: share of decoder queries masked while training (open in the paper).
        teacher_steps, teacher_batch, teacher_lr: the first stage, which trains the signal teacher.
        steps, batch_size, lr: the image stage (paper: 50,000 steps of 80 at 5e-4).
        warmup_share: share of the steps with rising learning rate (paper: 0.1).
        weight_decay, clip_norm: AdamW's decay and the largest gradient norm (open in the paper).
        validations: how often the validation loss is measured; the best one's weights are kept.
        supervised_steps: steps of the same tower trained with labels, about as long in time as the image stage.
        weights: weights of the objective.
        n_bootstrap: resamples behind every interval.
    """

    name: str
    size: tuple[int, int] = (192, 448)
    text_tower: str = "auto"
    d_shared: int = 256
    tower_width: int = 24
    decoder_dim: int = 64
    decoder_layers: int = 2
    decoder_heads: int = 2
    mask_share: float = 0.25
    teacher_steps: int = 200
    teacher_batch: int = 128
    teacher_lr: float = 2e-3
    steps: int = 600
    batch_size: int = 64
    lr: float = 2e-3
    warmup_share: float = 0.1
    weight_decay: float = 0.05
    clip_norm: float = 1.0
    validations: int = 8
    supervised_steps: int = 800
    weights: Weights = field(default_factory=Weights)
    n_bootstrap: int = 1000

    def as_dict(self) -> dict[str, object]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def records_for(profile: str, source: str) -> int | None:
    """How many records a profile reads from a source; None reads all.

    Raises:
        ArgumentError: unknown profile.
    """
    _check(profile)
    if source == "synthetic":
        return {"smoke": 240, "quick": 2000, "full": 20_000}[profile]
    return {"smoke": 400, "quick": None, "full": None}[profile]


def recipe_for(profile: str, n_train: int) -> Recipe:
    """The recipe of a profile for so many training records.

    `smoke` runs every line of code in seconds and learns next to nothing; `quick` draws 17,000 to 34,000 pages, four a
    record, within minutes on two cores; `full` is ten passes of a wider tower over larger pages, for a GPU or a night.

    Raises:
        ArgumentError: unknown profile.
    """
    _check(profile)
    if profile == "smoke":
        return Recipe(
            "smoke",
            batch_size=16,
            steps=12,
            teacher_steps=12,
            teacher_batch=32,
            supervised_steps=12,
            validations=2,
            tower_width=8,
            decoder_layers=1,
            n_bootstrap=200,
        )
    if profile == "quick":
        steps = min(max(4 * n_train, 17_000), 34_000) // 64
        return Recipe("quick", steps=steps, teacher_steps=steps // 3, supervised_steps=int(1.35 * steps))
    steps = max(10 * n_train, 60_000) // 80
    return Recipe(
        "full",
        size=(256, 608),
        tower_width=48,
        d_shared=512,
        decoder_dim=256,
        decoder_layers=4,
        decoder_heads=8,
        steps=steps,
        batch_size=80,
        lr=1e-3,
        teacher_steps=steps // 3,
        supervised_steps=int(1.35 * steps),
        validations=20,
    )


def _check(profile: str) -> None:
    if profile not in PROFILES:
        raise ArgumentError(f"unknown profile {profile!r}", field="profile", expected=f"one of {', '.join(PROFILES)}")
