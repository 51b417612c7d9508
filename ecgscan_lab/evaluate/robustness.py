"""How much of an encoder's judgement is left on worse, other and smaller pages than those it was probed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from ecgscan_lab.batch import PagePlan, ahead
from ecgscan_lab.batch.plan import draw_plan
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.evaluate.intervals import bootstrap_ci, macro_auroc, paired_difference_ci
from ecgscan_lab.evaluate.judgement import labelled
from ecgscan_lab.evaluate.linear_probe import linear_probe
from ecgscan_lab.render.degrade import EFFECTS, sample_effect
from ecgscan_lab.render.export.settings import page_named
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_pages
from ecgscan_lab.train.precision import autocast, pick_device
from ecgscan_lab.types import TrainingData

Encode = Callable[[torch.Tensor], torch.Tensor]

PRESETS = ("paper", "scan", "photo", "fax")
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
RESOLUTIONS = (0.35, 0.5, 0.7, 1.0, 1.4)


def other_layouts() -> dict[str, PageSpec]:
    """Pages of other kinds than the compact one: letter paper in five layouts, and three families of printers."""
    standard: dict[str, PageSpec] = {
        f"standard {layout}": page_named("standard", layout=layout) for layout in ("3x4", "6x2", "12x1", "4x3")
    }
    standard["standard 3x4, Cabrera"] = page_named("standard", cabrera=True)
    return standard | {name: page_named(name) for name in ("mac", "pagewriter", "cardiofax") if _known(name)}


def _known(name: str) -> bool:
    from ecgscan_lab.render.machines import MACHINES

    return name in MACHINES


@dataclass(frozen=True)
class Condition:
    """One kind of test page.

    Attributes:
        family: "clean", "preset", "effect", "layout" or "resolution": one curve, or one group of dots.
        name: which preset, effect or layout.
        amount: strength of a degradation from 0 to 1, or the picture's share of the tower's own size; NaN for layouts.
        plan: how the pages are drawn.
        effect: a single effect befalls them instead of the plan's preset.
    """

    family: str
    name: str
    amount: float
    plan: PagePlan
    effect: str | None = None


@dataclass(frozen=True)
class RobustnessPoint:
    """What the probe is worth on one kind of page. AUROC is percent, `lost` in points.

    Attributes:
        family, name, amount: as in `Condition`.
        macro_auroc: of the probe that was fitted on clean pages.
        ci95: its patient-level interval.
        lost: clean minus this, on the same patients.
        lost_ci95: its paired interval.
    """

    family: str
    name: str
    amount: float
    macro_auroc: float
    ci95: tuple[float, float]
    lost: float
    lost_ci95: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain values; an amount that says nothing is None."""
        amount = None if np.isnan(self.amount) else self.amount
        return {**vars(self), "amount": amount, "ci95": list(self.ci95), "lost_ci95": list(self.lost_ci95)}


def conditions(
    plan: PagePlan,
    *,
    presets: Sequence[str] = PRESETS,
    effects: Sequence[str] = (),
    strengths: Sequence[float] = STRENGTHS,
    layouts: Mapping[str, PageSpec] | None = None,
    resolutions: Sequence[float] = RESOLUTIONS,
) -> list[Condition]:
    """The kinds of page to judge on: each degradation at each strength, other layouts, other resolutions.

    Args:
        plan: the clean pages that the probe is fitted on.
        presets: of `render.degrade.PRESETS`.
        effects: single effects, of `render.degrade.EFFECTS`.
        strengths: above 0, up to 1.
        layouts: pages by name; None takes `other_layouts`.
        resolutions: sizes of the picture as shares of the plan's; the tower enlarges or shrinks it to its own.

    Raises:
        ArgumentError: an effect or preset is unknown, or an amount out of range.

    Example:
        >>> found = conditions(PagePlan(), presets=["fax"], strengths=[0.5], layouts={}, resolutions=[2.0])
        >>> [(c.family, c.amount) for c in found]
        [('preset', 0.5), ('resolution', 2.0)]
    """
    plain = plan.plain()
    unknown = [name for name in effects if name not in EFFECTS]
    if unknown or not all(0.0 < s <= 1.0 for s in strengths):
        raise ArgumentError(
            f"no effect {unknown[0]!r}" if unknown else f"strengths are {tuple(strengths)}",
            field="effects" if unknown else "strengths",
            expected=f"some of {', '.join(EFFECTS)}" if unknown else "above 0, at most 1",
        )
    if not all(0.05 <= share <= 4.0 for share in resolutions):
        raise ArgumentError(f"resolutions are {tuple(resolutions)}", field="resolutions", expected="0.05 to 4")
    found = [
        Condition("preset", name, float(s), replace(plain, degrade=name, strength=float(s)))
        for name in presets
        for s in strengths
    ]
    found += [Condition("effect", name, float(s), plain, effect=name) for name in effects for s in strengths]
    pages = other_layouts() if layouts is None else layouts
    found += [Condition("layout", name, float("nan"), replace(plain, page=page)) for name, page in pages.items()]
    for share in resolutions:
        size = (max(8, round(plan.size[0] * share)), max(8, round(plan.size[1] * share)))
        found.append(Condition("resolution", "size of the picture", float(share), replace(plain, size=size)))
    return found


@dataclass(frozen=True)
class Robustness:
    """All points of one encoder, the clean one first; `rows()` is the table."""

    encoder: str
    task: str
    points: tuple[RobustnessPoint, ...] = field(repr=False)

    def rows(self) -> list[dict[str, Any]]:
        """One mapping a point, for a table or a figure."""
        return [{"encoder": self.encoder, "task": self.task, **point.as_dict()} for point in self.points]


def robustness(
    encode: Encode,
    data: TrainingData,
    task: str,
    plan: PagePlan,
    wanted: Sequence[Condition] | None = None,
    *,
    encoder: str = "encoder",
    n_bootstrap: int = 1000,
    batch_size: int = 16,
    seed: int = 0,
    clean_features: np.ndarray | None = None,
) -> Robustness:
    """Fit a linear probe on clean pages once, then judge it on test pages of other kinds.

    Args:
        encode: uint8 pages `[batch, 3, height, width]` -> features `[batch, dim]`; a tower in `eval` mode letterboxes
            pages of any size to its own.
        data: records with the three splits.
        task: of `data.tasks`; records without a label of it are left out.
        plan: the clean pages.
        wanted: kinds of page; None takes `conditions(plan)`.
        encoder: its name in the table.
        n_bootstrap: patient resamples behind every interval.
        batch_size: pages at a time.
        seed: what befalls each page is a function of (seed, record), the same at every strength.
        clean_features: of the clean pages of all records `[record, dim]` where they are at hand; None draws and embeds.

    Returns:
        The clean figure and one point a condition, each with what it lost on the same patients.

    Raises:
        LabelError: the task cannot be judged.

    Properties: the probe, its scaling and its choice of C never see a degraded page.
    """
    wanted = conditions(plan) if wanted is None else list(wanted)
    rows = labelled(data, task)
    test = np.intersect1d(rows, data.indices("test"))
    truth, patients = data.targets(task), data.patients
    parts = [np.intersect1d(rows, data.indices(split)) for split in ("train", "val")]
    clean = Condition("clean", "clean", 0.0, plan.plain())

    def see(indices: np.ndarray, condition: Condition) -> np.ndarray:
        if condition is clean and clean_features is not None:
            return clean_features[indices]
        return embed_condition(encode, data, indices, condition, seed, batch_size)

    fitted = [see(part, clean) for part in parts]
    judged = [see(test, condition) for condition in (clean, *wanted)]
    # One probe scores the test records under every condition: they stand in its test split one set after the other.
    index = np.concatenate([*parts, *([test] * len(judged))])
    split = np.repeat(["train", "val", "test"], [len(parts[0]), len(parts[1]), len(test) * len(judged)])
    probe = linear_probe(np.concatenate([*fitted, *judged]), truth[index], split, patients[index], n_bootstrap=1)
    of_condition = np.split(probe.scores, len(judged))
    targets, groups = truth[test], patients[test]
    points = []
    for condition, scores in zip((clean, *wanted), of_condition, strict=True):
        lost = paired_difference_ci(targets, of_condition[0], scores, groups, n_bootstrap=n_bootstrap, seed=seed)
        points.append(
            RobustnessPoint(
                condition.family,
                condition.name,
                condition.amount,
                macro_auroc(targets, scores).macro,
                bootstrap_ci(targets, scores, groups, n_bootstrap=n_bootstrap, seed=seed),
                lost.difference,
                (lost.low, lost.high),
            )
        )
    return Robustness(encoder, task, tuple(points))


def embed_condition(
    encode: Encode, data: TrainingData, indices: np.ndarray, condition: Condition, seed: int, batch_size: int = 16
) -> np.ndarray:
    """Features of some records on one kind of page, float32 `[record, dim]`."""
    device = pick_device()
    if isinstance(encode, torch.nn.Module):
        encode = encode.to(device)
    starts = range(0, len(indices), batch_size)
    found = []
    for images in ahead(lambda s: _draw(data, indices[s : s + batch_size], condition, seed), starts):
        with torch.no_grad(), autocast(device):
            found.append(encode(torch.from_numpy(images).to(device)).float().cpu().numpy())
    return np.concatenate(found)


def _draw(data: TrainingData, indices: np.ndarray, condition: Condition, seed: int) -> np.ndarray:
    signals_mv = data.read_signals_mv(indices)
    if condition.effect is None:
        drawn_seed = None if condition.plan.degrade == "clean" else seed
        return draw_plan(condition.plan, signals_mv, data.fs_hz, indices, drawn_seed, 0)[0]
    # A stream a record, so that a stronger effect falls on the same place.
    params = [sample_effect(np.random.default_rng([seed, int(i)]), condition.effect, condition.amount) for i in indices]
    return draw_pages(
        signals_mv, data.fs_hz, condition.plan.spec, condition.plan.size, degrade=params, channels_first=True
    )
