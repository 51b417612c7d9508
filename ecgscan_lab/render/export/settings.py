"""What every page of a rendered data set has in common, as one frozen record that goes to JSON."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.export.truth import FORMATS
from ecgscan_lab.render.framing import page_size_px
from ecgscan_lab.render.machines import MACHINES
from ecgscan_lab.render.page import PAPERS_MM, PageSpec
from ecgscan_lab.render.renderer import degradation_for
from ecgscan_lab.render.variation import sample_layout, sample_page

VECTOR_FORMATS = {"svg": ".svg", "pdf": ".pdf"}
TRUTHS = ("json", "coco", "both", "none")
VARIATIONS = ("none", "looks", "layout")


@dataclass(frozen=True)
class RenderSettings:
    """How `render_dataset` draws and stores pages.

    Attributes:
        page: the page.
        vary: "none" draws `page` as it is, "looks" varies its colours, pen and margins (`sample_page`), "layout" draws
            a page of any kind instead (`sample_layout`).
        degrade: preset of `degrade.PRESETS`; "clean" is the page as printed.
        size: (height, width) in pixels, or None for `dpi`.
        dpi: pixels an inch; 200 when `size` is None too.
        format: "png", "jpeg", "webp", or "svg" and "pdf" for print (clean pages, without ground truth).
        quality: of JPEG and WebP.
        truth: "json" (one file a page), "coco" (one `coco.json`), "both" or "none"; None is "json", or "none" for
            print.
        masks: write `<number>.mask.png` too: 0 paper, 1 to 12 the lead that inks the pixel.
        seed: seed of everything; a page's own is drawn from it, the record's name and the copy's number.
        copies: pages a recording.
        fs_hz: rate that recordings are brought to; None keeps their own.
        shard_size: pages a folder `shard-00000`; None puts all in one.

    Raises:
        ArgumentError, PageError: a value is out of range, or two do not go together.
    """

    page: PageSpec = field(default_factory=PageSpec)
    vary: str = "none"
    degrade: str = "clean"
    size: tuple[int, int] | None = None
    dpi: float | None = None
    format: str = "png"
    quality: int = 90
    truth: str | None = None
    masks: bool = False
    seed: int = 0
    copies: int = 1
    fs_hz: float | None = None
    shard_size: int | None = None

    def __post_init__(self) -> None:
        vector = self.format in VECTOR_FORMATS
        if self.truth is None:
            object.__setattr__(self, "truth", "none" if vector else "json")
        words = {"vary": VARIATIONS, "format": (*FORMATS, *VECTOR_FORMATS), "truth": TRUTHS}
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise ArgumentError(
                    f"no {name} {getattr(self, name)!r}", field=name, expected=f"one of {', '.join(known)}"
                )
        limits = {"quality": (1, 100), "seed": (0, 2**63 - 1), "copies": (1, 1000), "shard_size": (1, 10**6)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if name == "shard_size" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ArgumentError(f"{name} is {value!r}", field=name, expected=f"a whole number from {low} to {high}")
        page_size_px(self.page, self.size, self.dpi)
        degradation_for(self.degrade, 0)
        if vector and (self.degrade != "clean" or self.truth != "none" or self.masks or self.size or self.dpi):
            raise ArgumentError(
                f"{self.format} holds strokes in millimetres, not pixels",
                field="format",
                expected="degrade='clean', truth='none', and neither masks, size nor dpi",
                fix="choose png, jpeg or webp for pictures",
            )

    @property
    def suffix(self) -> str:
        """Ending of the pages' files."""
        return (FORMATS | VECTOR_FORMATS)[self.format]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        names = [name for name in self.__dataclass_fields__ if name not in ("page", "size")]
        size = None if self.size is None else list(self.size)
        return {"page": self.page.as_dict(), "size": size, **{name: getattr(self, name) for name in names}}

    def stem(self, number: int) -> str:
        """Page number -> its path below the output folder, without an ending: nothing of the record is in it."""
        shard = "" if self.shard_size is None else f"shard-{number // self.shard_size:05d}/"
        return f"{shard}{number:06d}"

    def page_for(self, seed: int) -> PageSpec:
        """The page that the page seed draws."""
        if self.vary == "none":
            return self.page
        rng = np.random.default_rng([seed, 1])
        return sample_page(rng, self.page) if self.vary == "looks" else sample_layout(rng)


def page_named(name: str, **changes: Any) -> PageSpec:
    """A page by one word, as the command line takes it, with some fields changed.

    Args:
        name: "standard", "compact", a sheet of `PAPERS_MM`, a family of `MACHINES`, or a JSON file of fields.
        changes: fields of `PageSpec`. Where they change which rows there are, rows are spread evenly again.

    Returns:
        The page.

    Raises:
        ArgumentError: no such page or file.
        PageError: the page could not be drawn.

    Example:
        >>> page_named("cardiofax", rhythm=("II",)).layout, page_named("compact", grid="blue").grid
        ('6x2', 'blue')
    """
    if {"layout", "rhythm"} & set(changes):
        changes = {"first_baseline_mm": None, "row_pitch_mm": None, "strip_shift_mm": 0.0} | changes
    if name == "standard":
        return PageSpec(**changes)
    if name == "compact":
        return PageSpec.compact(**changes)
    if name in PAPERS_MM:
        return PageSpec.on(name, **changes)
    if name in MACHINES:
        return PageSpec.machine(name, **changes)
    if not name.endswith(".json"):
        known = ("standard", "compact", *PAPERS_MM, *MACHINES)
        raise ArgumentError(f"no page {name!r}", field="page", expected=f"one of {', '.join(known)}, or a JSON file")
    try:
        values = json.loads(Path(name).read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise TypeError("no JSON object")
    except (OSError, ValueError, TypeError) as error:
        raise ArgumentError(f"cannot read the page ({type(error).__name__})", file=name, field="page") from error
    return PageSpec.from_dict(values | changes)


def page_seed(seed: int, name: str, copy: int = 0) -> int:
    """Seed of one page: of the run's seed, the record's name and the copy's number, and of nothing else.

    Returns:
        0 to 2^48 - 1, which any JSON reader keeps exactly.

    Example:
        >>> page_seed(0, "a") == page_seed(0, "a"), page_seed(0, "a") == page_seed(0, "b")
        (True, False)
    """
    return int.from_bytes(hashlib.sha256(f"{seed}\n{copy}\n{name}".encode()).digest()[:6], "big")
