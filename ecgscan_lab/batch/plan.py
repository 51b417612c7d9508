"""How the pages of a run look: one frozen, printable choice that is saved with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade import PRESETS, DegradeParams, sample_params
from ecgscan_lab.render.export.settings import VARIATIONS, page_named
from ecgscan_lab.render.framing import page_size_px
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_pages
from ecgscan_lab.render.segments import visible_samples
from ecgscan_lab.render.variation import sample_layout, sample_page
from ecgscan_lab.types import TrainingData


@dataclass(frozen=True)
class PagePlan:
    """How training draws pages. What befalls a page is a function of (seed, epoch, record) and of nothing else.

    Attributes:
        size: (height, width) in pixels.
        page: "compact", "standard", a sheet such as "a4", a family of printers such as "mac", or a `PageSpec`.
        vary: "none" draws the page as it is, "looks" varies its colours, grid, pen and margins, "layout" draws a page
            of any kind instead.
        degrade: a preset of `degrade.PRESETS`: "clean", "scan", "photo", "fax", "paper" or "mixture".
        strength: scales every degradation; 1 is the preset as it is.
        first_strength: strength in the first epoch, from which it grows evenly; None starts with `strength`.
        growing_epochs: epochs until `strength` is reached. It grows by epoch, not by step, so that a page still
            depends on nothing else.
        degrade_share: share of the pages that are degraded; the others stay clean.
        layout_share: share of the pages that are drawn as a page of any kind, as `vary="layout"` draws all.
        time_shift: start each recording at a random moment, its end followed by its beginning, so that a lead shows
            another stretch of it every epoch.
        cover: how many rectangles, each of 2 to 12 % of the page, are painted over in white.

    Raises:
        ArgumentError: a value is unknown or out of range; `field` names it.
        PageError: the picture would be absurdly small or large.

    Properties: JSON round trip.

    Example:
        >>> PagePlan.paper()
        PagePlan(size=(336, 336), page='standard', vary='looks', degrade='paper', ...)
        >>> PagePlan.from_dict(PagePlan.paper().as_dict()) == PagePlan.paper()
        True
    """

    size: tuple[int, int] = (192, 448)
    page: str | PageSpec = "compact"
    vary: str = "looks"
    degrade: str = "clean"
    strength: float = 1.0
    first_strength: float | None = None
    growing_epochs: int = 0
    degrade_share: float = 1.0
    layout_share: float = 0.0
    time_shift: bool = False
    cover: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _size(self.size))
        for name, known in (("vary", VARIATIONS), ("degrade", tuple(PRESETS))):
            if getattr(self, name) not in known:
                raise ArgumentError(
                    f"no {name} {getattr(self, name)!r}", field=name, expected=f"one of {', '.join(known)}"
                )
        for name in ("strength", "first_strength", "degrade_share", "layout_share"):
            value = getattr(self, name)
            if name == "first_strength" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 <= float(value) <= 1.0:
                raise ArgumentError(f"{name} is {value!r}", field=name, expected="a number from 0 to 1")
        for name in ("growing_epochs", "cover"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
                raise ArgumentError(f"{name} is {value!r}", field=name, expected="an integer from 0")
        epochs = self.growing_epochs
        if (self.first_strength is None) != (epochs == 0):
            raise ArgumentError(
                "a strength that grows needs both where it starts and how long it grows",
                field="growing_epochs",
                expected="first_strength and growing_epochs together, or neither",
            )
        page_size_px(self.spec, self.size)

    @classmethod
    def paper(cls, size: tuple[int, int] = (336, 336)) -> PagePlan:
        """The paper's pages: 3 x 4 leads and a lead II strip on letter paper, other looks and its degradations each."""
        return cls(size=size, page="standard", vary="looks", degrade="paper")

    @property
    def spec(self) -> PageSpec:
        """The page before it is varied."""
        return self.page if isinstance(self.page, PageSpec) else _named(self.page)

    @property
    def one_layout(self) -> bool:
        """Whether all pages show the same samples."""
        return self.vary != "layout" and not self.layout_share

    def plain(self) -> PagePlan:
        """The same page, neither varied nor degraded: what validation sees."""
        return PagePlan(size=self.size, page=self.page, vary="none", degrade="clean")

    def strength_at(self, epoch: int) -> float:
        """Strength of degradation in an epoch, from 0.

        Example:
            >>> plan = PagePlan(degrade="photo", first_strength=0.2, growing_epochs=4)
            >>> [round(plan.strength_at(epoch), 2) for epoch in (0, 2, 4, 9)]
            [0.2, 0.6, 1.0, 1.0]
        """
        if self.first_strength is None or epoch >= self.growing_epochs:
            return float(self.strength)
        return float(self.first_strength + (self.strength - self.first_strength) * epoch / self.growing_epochs)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` makes the plan again."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        page = self.page.as_dict() if isinstance(self.page, PageSpec) else self.page
        return values | {"size": list(self.size), "page": page}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PagePlan:
        """The plan that `as_dict` described.

        Raises:
            ArgumentError: a field is unknown, or a value out of range.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ArgumentError(
                f"a page plan has no {', '.join(unknown)}", field=unknown[0], expected=f"{', '.join(known)}"
            )
        values = dict(values)
        if isinstance(values.get("page"), Mapping):
            values["page"] = PageSpec.from_dict(values["page"])
        return cls(**values)


def sample_pages(
    plan: PagePlan, indices: Sequence[int] | np.ndarray, seed: int | None, epoch: int = 0
) -> tuple[list[PageSpec], list[DegradeParams | None]]:
    """What the pages of some records look like, and what befalls them.

    Args:
        plan: the run's pages.
        indices: records `[batch]`.
        seed: of the run; None neither varies nor degrades.
        epoch: pass over the data.

    Returns:
        A page and a degradation a record; None is a clean page.

    Properties: a function of (seed, epoch, record) for each page.
    """
    base = plan.spec
    if seed is None:
        return [base] * len(indices), [None] * len(indices)
    pages: list[PageSpec] = []
    params: list[DegradeParams | None] = []
    strength = plan.strength_at(epoch)
    for i in indices:
        key = [seed, epoch, int(i)]
        vary = None if plan.vary == "none" and not plan.layout_share else np.random.default_rng(key)
        pages.append(base if vary is None else _varied(plan, base, vary))
        # A stream of its own, so that the same record looks the same with and without a degradation.
        befall = None if plan.degrade == "clean" else np.random.default_rng([*key, 1])
        if befall is not None and plan.degrade_share < 1 and befall.random() >= plan.degrade_share:
            befall = None
        params.append(None if befall is None else sample_params(befall, plan.degrade, strength))
    return pages, params


def read_signals(data: TrainingData, plan: PagePlan, indices: np.ndarray, seed: int | None, epoch: int) -> np.ndarray:
    """The signals that the pages of some records show, which are also what a decoder has to give back.

    Args:
        data: the records.
        plan, indices, seed, epoch: as in `sample_pages`.

    Returns:
        float32 `[batch, 12, time]` in mV.
    """
    return shift_signals(plan, data.read_signals_mv(indices), indices, seed, epoch)


def shift_signals(
    plan: PagePlan, signals_mv: np.ndarray, indices: Sequence[int] | np.ndarray, seed: int | None, epoch: int
) -> np.ndarray:
    """The signals that the pages show: as recorded, or with `plan.time_shift` each begun at a random moment.

    All leads of a record move together, so that the lead laws hold as before; the one seam is where the end of the
    recording meets its beginning.

    Args:
        plan, indices, seed, epoch: as in `sample_pages`; without a seed nothing moves.
        signals_mv: `[batch, 12, time]`.

    Returns:
        The same array, or a new one.
    """
    if seed is None or not plan.time_shift:
        return signals_mv
    n_samples = signals_mv.shape[-1]
    starts = [int(np.random.default_rng([seed, epoch, int(i), 2]).integers(n_samples)) for i in indices]
    return np.stack([np.roll(signal, -start, axis=-1) for signal, start in zip(signals_mv, starts, strict=True)])


def cover_pages(
    plan: PagePlan, pictures: Any, indices: Sequence[int] | np.ndarray, seed: int | None, epoch: int
) -> None:
    """Paint `plan.cover` white rectangles over each page, in place: what is hidden must be told from the rest.

    **Source**: random erasing (Zhong et al., 2020, arXiv 1708.04896). *Differences*: white in place of noise, as
    unprinted paper is.

    Args:
        plan, indices, seed, epoch: as in `sample_pages`; without a seed nothing is covered.
        pictures: uint8 `[batch, 3, height, width]`, an array or a tensor.
    """
    if seed is None or not plan.cover:
        return
    height, width = plan.size
    for picture, i in zip(pictures, indices, strict=True):
        rng = np.random.default_rng([seed, epoch, int(i), 3])
        for share, stretch, down, right in rng.random((plan.cover, 4)):
            area, aspect = (0.02 + 0.1 * share) * height * width, float(np.exp(2 * stretch - 1))
            rows, columns = min(height, int((area * aspect) ** 0.5)), min(width, int((area / aspect) ** 0.5))
            top, left = int(down * (height - rows + 1)), int(right * (width - columns + 1))
            picture[:, top : top + rows, left : left + columns] = 255


def _varied(plan: PagePlan, base: PageSpec, rng: np.random.Generator) -> PageSpec:
    if plan.vary == "layout" or (plan.layout_share and rng.random() < plan.layout_share):
        return sample_layout(rng)
    return sample_page(rng, base) if plan.vary == "looks" else base


def draw_plan(
    plan: PagePlan,
    signals_mv: np.ndarray,
    fs_hz: float,
    indices: np.ndarray,
    seed: int | None,
    epoch: int,
    *,
    out: np.ndarray | None = None,
    n_threads: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the pages of some records.

    Args:
        plan, indices, seed, epoch: as in `sample_pages`.
        signals_mv: their signals `[batch, 12, time]`.
        fs_hz: sampling rate in hertz.
        out: uint8 array to draw into.
        n_threads: threads; None takes as many as the process may use.

    Returns:
        uint8 `[batch, 3, height, width]`, and which samples each page shows, bool `[batch, 12, time]`.
    """
    pages, params = sample_pages(plan, indices, seed, epoch)
    pictures = draw_pages(
        signals_mv, fs_hz, pages, plan.size, degrade=params, out=out, n_threads=n_threads, channels_first=True
    )
    cover_pages(plan, pictures, indices, seed, epoch)
    return pictures, shown_by(plan, pages, fs_hz, signals_mv.shape[-1])


def shown_by(plan: PagePlan, pages: Sequence[PageSpec], fs_hz: float, n_samples: int) -> np.ndarray:
    """Which samples each page shows: bool `[page, 12, time]`; pages that differ in looks alone share one mask."""
    if not plan.one_layout:
        return np.stack([visible_samples(page, fs_hz, n_samples) for page in pages])
    one = visible_samples(plan.spec, fs_hz, n_samples)
    return np.broadcast_to(one, (len(pages), *one.shape))


def _size(size: Any) -> tuple[int, int]:
    pair = isinstance(size, (tuple, list)) and len(size) == 2
    if not pair or not all(isinstance(n, Integral) and not isinstance(n, bool) for n in size):
        raise ArgumentError(f"size is {size!r}", field="size", expected="(height, width) in pixels")
    return int(size[0]), int(size[1])


@lru_cache(maxsize=32)
def _named(name: str) -> PageSpec:
    if not isinstance(name, str) or name.endswith(".json"):
        raise ArgumentError(
            f"the page is {name!r}",
            field="page",
            expected="a name, or a PageSpec",
            fix='read the file first: page_named("my.json"); a plan must not depend on a file that may change',
        )
    return page_named(name)
