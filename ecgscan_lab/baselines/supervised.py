"""The same image tower trained with labels: how good the tower can get in the same time when it is told the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import nn

from ecgscan_lab.batch import ahead, draw_images, step_indices
from ecgscan_lab.encoders.image import TinyImageTower
from ecgscan_lab.errors import LabelError
from ecgscan_lab.train.precision import autocast, pick_device
from ecgscan_lab.train.recipes import Recipe
from ecgscan_lab.train.schedule import adamw, learning_rate, take_step
from ecgscan_lab.types import Cohort


def fit_supervised(
    cohort: Cohort,
    task: str,
    recipe: Recipe,
    *,
    seed: int = 0,
    on_step: Callable[[Mapping[str, float | int | str]], None] | None = None,
) -> TinyImageTower:
    """Train the recipe's image tower and a linear head by binary cross-entropy on one task's labels.

    First weights, pages and schedule are those of `train.loop.pretrain`. Only training records that carry a label of
    the task are used, as in the linear probe, and no checkpoint is chosen on another split.

    Args:
        cohort: the records.
        task: the task whose labels are learned.
        recipe: sizes and `supervised_steps`.
        seed: seed of weights, order and pages.
        on_step: called with one row a logged step.

    Returns:
        The tower in `eval` mode.

    Raises:
        LabelError: the cohort has no such task, or no training record carries a label of it.
    """
    device = pick_device()
    targets = torch.from_numpy(cohort.targets(task)).float()
    train = cohort.indices("train")
    train = train[targets[train].any(dim=1).numpy()]
    if len(train) == 0:
        raise LabelError(f"no training record has a label of {task!r}", field="task", expected="labelled records")
    with torch.random.fork_rng(devices=[]):  # the caller's generator stays where it was
        torch.default_generator.manual_seed(seed)
        tower = TinyImageTower(recipe.tower_width, recipe.size)
        network = nn.Sequential(tower, nn.Linear(tower.embed_dim, targets.shape[1]))
    network.to(device).train()
    optimizer = adamw(network, recipe.lr, recipe.weight_decay)
    plan = recipe.plan()

    def draw(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        indices, epoch = step_indices(train, recipe.batch_size, seed, step)
        return draw_images(cohort, indices, plan, seed=seed, epoch=epoch).to(device), targets[indices].to(device)

    for step, (images, wanted) in enumerate(ahead(draw, range(recipe.supervised_steps))):
        with autocast(device):
            logits = network(images).float()
        loss = F.binary_cross_entropy_with_logits(logits, wanted)
        lr = learning_rate(step, recipe.supervised_steps, recipe.lr, recipe.warmup_share)
        take_step(optimizer, loss, lr, recipe.clip_norm)
        if on_step is not None and (step % 10 == 0 or step == recipe.supervised_steps - 1):
            on_step({"step": step, "split": "train", "total": float(loss.detach())})
    return tower.cpu().eval()
