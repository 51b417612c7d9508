"""Recipes by name: from a run of seconds on a laptop to the paper's, and the paper's with our cures."""

from __future__ import annotations

import json
from dataclasses import replace
from os import PathLike
from pathlib import Path

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.train.recipe import Recipe

__all__ = [
    "PROFILES",
    "Recipe",
    "lesson",
    "paper",
    "paper_plus",
    "ptbxl_laptop",
    "quick",
    "read_recipe",
    "recipe_for",
    "records_for",
    "tiny",
]

PROFILES = ("smoke", "quick", "full")
FEW = 2000
"""Training records up to which `quick` takes many small steps: see `recipe_for`."""


def tiny() -> Recipe:
    """Every line of code within a minute on one core: it shows that a run works, and learns next to nothing."""
    return replace(recipe_for("smoke", 0), name="tiny", steps=60, teacher_steps=30, validations=3)


def quick(n_train: int) -> Recipe:
    """A small model on two cores within minutes: 6,400 to 34,000 pages.

    Args:
        n_train: records to train on.
    """
    return recipe_for("quick", n_train)


def paper() -> Recipe:
    """The paper's run; what it leaves open is marked in the printed table and takes the defaults of `Recipe`.

    CLIP ViT-L/14 at 336 px with LoRA of rank 16, D-BETA as teacher, MedCPT for reports, a decoder of 12 layers and 768
    dimensions; 50,000 steps of 80 pages at 5e-4, cosine after 10 % warm-up. D-BETA's weights are gated: download them
    yourself and name the file, `replace(paper(), teacher_weights=...)`.

    **Source**: ECG-Scan (2026), arXiv 2604.01526, sections 4 and 5.2, appendix A.1.
    """
    return Recipe(
        "paper",
        size=(336, 336),
        page="standard",
        vary="looks",
        degrade="paper",
        image_tower="clip-vit-l-14-336",
        image_weights="hub",
        tower_trains="lora",
        lora_rank=16,
        lora_alpha=32,
        lora_targets="attention",
        text_tower="medcpt",
        text_weights="hub",
        signal_teacher="d-beta",
        d_shared=768,
        decoder_dim=768,
        decoder_layers=12,
        decoder_heads=12,
        weights=Weights.paper(),
        steps=50_000,
        batch_size=80,
        lr=5e-4,
        warmup_share=0.1,
        weight_decay=0.01,
        validations=50,
        validation_batches=32,
        save="trainable",
    )


def paper_plus() -> Recipe:
    """The paper's run with our cures for what its method leaves unsolved.

    | cure | for |
    |---|---|
    | signed distance to the plane in place of the volume | z and -z had the same volume, and text parallel to signal \
made every volume zero |
    | equal reports count as positives | repeated reports were each other's negatives |
    | 420 x 546 px, nothing cropped | at 336 px a QRS is 3 px wide |
    | the decoder reads patch tokens | one pooled vector had to carry twelve leads |
    | eight leads decoded, four derived | L_rule sends no gradient to violations of the lead laws |
    | hidden samples count a quarter | three quarters of most leads are not on the page |
    | average of the weights | the last steps' noise |

    Batch and steps are the paper's, so that one choice at a time can be taken back: `replace(paper_plus(), ...)`.
    """
    return replace(
        paper(),
        name="paper_plus",
        size=(420, 546),
        tower_size=(420, 546),
        weights=Weights(gram_kind="signed_plane_distance", hidden_weight=0.25),
        multi_positive=True,
        cross_attention=True,
        independent_leads=True,
        weight_average=0.9995,
        split_by="patient",
    )


def ptbxl_laptop(profile: str = "full") -> Recipe:
    """PTB-XL on two CPU cores: what `ecgscan-lab replicate ptbxl` trains.

    The objective of `paper_plus` with statements as texts beside it. They have a temperature of their own and a small
    weight: at 1 in place of 0.02 they drown the contrast, and the tower learns its training records' labels by heart
    (`docs/lab-log.md`). The page also has to tell how the signal teacher's tokens are distributed. The decoder reads
    columns of the page in place of patch tokens, which hold no curve: it learns, and with it the first stage of the
    tower, which all else stands on. Features enter the shared space without a tanh. Pages are small and wide (45 px a
    second), each begun at a random moment and partly covered: without that the tower learns 9,745 pages by heart. The
    first steps read clean pages of 30 px a second, which cost half as much; later two of five are photographed: a tower
    that has not yet learned to read a clean page learns nothing from a bad one (`docs/lab-log.md`).

    Args:
        profile: "full" draws 17 pages each of 9,745 records, half of them small; "long" 39, a third of them small, and
            trains three teachers, each twice as long; "short" 3, all of them small, in steps of 32, a quarter of them
            photographed, barely in the first pass.

    Raises:
        ArgumentError: unknown profile.
    """
    if profile not in ("short", "full", "long"):
        raise ArgumentError(f"unknown profile {profile!r}", field="profile", expected="short, full or long")
    full = Recipe(
        "ptbxl_laptop",
        weights=Weights(gram_kind="signed_plane_distance", hidden_weight=0.25, w_statement=0.02, w_distillation=1.0),
        multi_positive=True,
        project="linear",
        signal_unit="record_sd",
        column_queries=True,
        align_columns=True,
        independent_leads=True,
        decoder_dim=80,
        decoder_heads=4,
        mask_share=0.0,
        samples_per_query=18,  # what a column of 8 px shows
        degrade="photo",
        degrade_share=0.4,
        layout_share=0.1,
        time_shift=True,
        cover=3,
        first_size=(128, 304),
        first_share=0.5,
        steps=2_600,
        teacher_steps=600,
        validations=8,
        supervised_steps=1,
    )
    if profile == "full":
        return full
    if profile == "long":
        return replace(full, first_share=1 / 3, steps=6_000, validations=15, teacher_steps=1_200, teachers=3)
    return replace(
        full,
        size=(128, 304),
        first_size=None,
        first_share=0.0,
        samples_per_query=25,
        degrade_share=0.25,
        degrade_first_strength=0.05,
        degrade_growing_epochs=1,
        steps=900,
        batch_size=32,
        teacher_steps=200,
        validations=5,
    )


def lesson(profile: str, n_train: int, *, gpu: bool = False) -> Recipe:
    """What the notebook on pretraining trains: the profile's recipe on a GPU, else a tiny one that falls in a minute.

    Args:
        profile: "smoke" shortens the tiny one.
        n_train: records to train on.
        gpu: whether there is one.

    Raises:
        ArgumentError: unknown profile.
    """
    _check(profile)
    if gpu:
        return recipe_for(profile, n_train)
    small = replace(tiny(), name="lesson", size=(96, 224), text_tower="hashed", d_shared=128, lr=4e-3, teacher_batch=16)
    small = replace(small, precision="fp32")  # at this size bfloat16 costs a CPU more in casts than it saves
    if profile == "smoke":
        return replace(small, steps=24, teacher_steps=12, validations=3)
    return replace(small, steps=300, batch_size=32, teacher_steps=60, validations=6)


def read_recipe(path: str | PathLike[str]) -> Recipe:
    """A recipe from a JSON file, as `Recipe.as_dict` gives it; fields that are left out take their defaults.

    Raises:
        ArgumentError: no such file, not JSON, or a field that no recipe has.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ArgumentError(
            f"cannot read the recipe: {error}", file=path, field="recipe", expected="a JSON file of a recipe"
        ) from error
    return Recipe.from_dict(values)


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

    `smoke` runs every line of code in seconds and learns next to nothing; `quick` learns within minutes on two cores:
    for up to `FEW` records 200 steps of 32 small pages, for more four pages a record, 34,000 at most, in steps of 64;
    `full` is ten passes of a wider tower over larger pages, for a GPU or a night. The objective has the paper's weights
    in all three. Few records need three of our cures and pages that begin at a random moment, or raw pixels are as
    good: on 2,000 synthetic ones, larger pages and 300 steps superclass AUROC is then 94.7, with a decoder that reads
    no columns 91 to 93, with none of it 88.5 after 500 steps; the smaller pages cost nothing, the fewer steps a point
    at most (`docs/lab-log.md`).

    Raises:
        ArgumentError: unknown profile.
    """
    _check(profile)
    if profile == "smoke":
        return Recipe(
            "smoke",
            size=(96, 224),
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
    if profile == "quick" and n_train <= FEW:
        return Recipe(
            "quick",
            project="linear",
            signal_unit="record_sd",
            time_shift=True,
            column_queries=True,
            align_columns=True,
            size=(128, 304),
            samples_per_query=25,  # what a column of 8 px shows
            mask_share=0.0,
            steps=200,
            batch_size=32,
            lr=3e-3,
            teacher_steps=60,
            teacher_batch=64,
            supervised_steps=180,
        )
    if profile == "quick":
        steps = min(max(4 * n_train, 16_000), 34_000) // 64
        return Recipe(
            "quick", steps=steps, teacher_steps=steps // 2, teacher_batch=64, supervised_steps=int(1.35 * steps)
        )
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
