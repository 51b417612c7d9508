"""Page geometry in millimetres: where each lead, name and calibration pulse lies, and how millimetres become pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from ecgscan_lab.errors import PageError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.render.paper import PALETTES, Rgb

MM_PER_INCH = 25.4
PULSE_MV, PULSE_S = 1.0, 0.2
MAX_PIXELS = 100_000_000
MIN_SIDE_PX = 16
MAX_HEADER = (4, 120)

ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
"""The clinical 3 x 4 arrangement; each column shows the next 2.5 s."""

RHYTHM = "II"
COLUMN_S, STRIP_S = 2.5, 10.0

PULSE_GAP_MM, PULSE_FOOT_MM = 3.0, 1.5
"""Paper between the falling edge of a pulse and the trace, and length of the pulse's feet."""

NAME_INDENT_MM, NAME_RISE_MM = 1.0, 6.5
"""A lead name begins this far right of its segment's start and this far above its baseline, if no trace is there."""


@dataclass(frozen=True)
class PageSpec:
    """A clinical 3 x 4 page with a lead II rhythm strip, described in millimetres.

    At `paper_speed_mm_per_s` v and `gain_mm_per_mv` g, a sample of u millivolts at time t of a segment that starts at
    t0 lies at x = x0 + v (t - t0), y = baseline - g u (y points down). The default is a letter-size landscape sheet;
    `PageSpec.compact()` is all ink and no margin, for image encoders.

    Attributes:
        paper_speed_mm_per_s: 25 is standard; 50 needs a page wider than 500 mm.
        gain_mm_per_mv: 10 is standard.
        width_mm, height_mm: the sheet.
        left_mm: where the traces (time zero) begin; a 5 mm grid line runs through it.
        first_baseline_mm: zero millivolt of the first row; a 5 mm grid line runs through it.
        row_pitch_mm: from one baseline to the next.
        trace_width_mm: diameter of the pen.
        ink: colour of traces, pulses and text, 8-bit RGB.
        grid: a name in `paper.PALETTES`; "none" is white paper.
        grid_strength: 0 (no lines) to 2; 1 is the palette as it is.
        text_mm: font size.
        show_lead_names, show_pulses: draw the lead names, the 1 mV x 0.2 s calibration pulses.
        show_scale: print speed and gain below the traces.
        header: up to 4 lines to print at the top after "SYNTHETIC PAGE", or None. Nothing of a record is ever printed.

    Raises:
        PageError: a measure is absurd, or the traces do not fit on the sheet; the field is named.

    Example:
        >>> PageSpec().width_mm, PageSpec.compact(grid="blue").grid
        (279.4, 'blue')
    """

    paper_speed_mm_per_s: float = 25.0
    gain_mm_per_mv: float = 10.0
    width_mm: float = 279.4
    height_mm: float = 215.9
    left_mm: float = 19.0
    first_baseline_mm: float = 46.0
    row_pitch_mm: float = 43.0
    trace_width_mm: float = 0.3
    ink: Rgb = (24, 24, 30)
    grid: str = "pink"
    grid_strength: float = 1.0
    text_mm: float = 4.2
    show_lead_names: bool = True
    show_pulses: bool = True
    show_scale: bool = True
    header: str | None = None

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
                raise PageError(
                    f"a page cannot have {name} = {value!r}", field=name, expected=f"a number from {low} to {high}"
                )
            object.__setattr__(self, name, float(value))
        self._check_looks()
        self._check_fit()

    def _check_looks(self) -> None:
        if not isinstance(self.grid, str) or self.grid not in PALETTES:
            raise PageError(f"no grid {self.grid!r}", field="grid", expected=f"one of {', '.join(PALETTES)}")
        rgb = isinstance(self.ink, tuple) and len(self.ink) == 3
        if not rgb or not all(isinstance(v, Integral) and 0 <= v <= 255 for v in self.ink):
            raise PageError(f"ink cannot be {self.ink!r}", field="ink", expected="a tuple of three integers, 0 to 255")
        if self.header is not None:
            lines = self.header.split("\n") if isinstance(self.header, str) else []
            if not 0 < len(lines) <= MAX_HEADER[0] or max(map(len, lines)) > MAX_HEADER[1]:
                raise PageError(
                    "the header cannot be printed",
                    field="header",
                    expected=f"None, or at most {MAX_HEADER[0]} lines of {MAX_HEADER[1]} letters",
                )

    def _check_fit(self) -> None:
        right_mm = self.left_mm + STRIP_S * self.paper_speed_mm_per_s
        if right_mm > self.width_mm:
            raise PageError(
                f"the traces end at {right_mm:g} mm, beyond the {self.width_mm:g} mm wide page",
                field="width_mm",
                expected=f"at least {right_mm:g} mm",
                fix="make the page wider, or slow the paper down",
            )
        if self.text_mm > min(self.width_mm, self.height_mm) / 8:
            raise PageError(
                f"letters of {self.text_mm:g} mm do not fit on the page", field="text_mm", fix="make it smaller"
            )
        last_mm = self.first_baseline_mm + len(ROWS) * self.row_pitch_mm
        if last_mm > self.height_mm:
            raise PageError(
                f"the last baseline lies at {last_mm:g} mm, below the {self.height_mm:g} mm high page",
                field="height_mm",
                expected=f"at least {last_mm:g} mm",
                fix="make the page higher, or bring the rows together with row_pitch_mm",
            )

    @classmethod
    def compact(cls, **changes: object) -> PageSpec:
        """The page cut to its ink, 273 x 117 mm: fills 448 x 192 pixels exactly. `changes` are fields of `PageSpec`."""
        measures: dict[str, object] = {
            "width_mm": 273.0,
            "height_mm": 117.0,
            "left_mm": 17.0,
            "first_baseline_mm": 18.0,
            "row_pitch_mm": 28.0,
            "trace_width_mm": 0.4,
            "text_mm": 5.5,
            "show_scale": False,
        }
        return cls(**(measures | changes))  # type: ignore[arg-type]


_RANGES: dict[str, tuple[float, float]] = {
    "paper_speed_mm_per_s": (1.0, 400.0),
    "gain_mm_per_mv": (0.1, 400.0),
    "width_mm": (10.0, 5000.0),
    "height_mm": (10.0, 5000.0),
    "left_mm": (0.0, 5000.0),
    "first_baseline_mm": (0.0, 5000.0),
    "row_pitch_mm": (1.0, 1000.0),
    "trace_width_mm": (0.01, 10.0),
    "grid_strength": (0.0, 2.0),
    "text_mm": (0.5, 100.0),
}


class Segment(NamedTuple):
    """One stretch of one lead on the page: `name` ("II rhythm" for the strip) shows `lead` from t0_s to t1_s."""

    name: str
    lead: str
    row: int
    x0_mm: float
    baseline_mm: float
    t0_s: float
    t1_s: float


def page_segments(page: PageSpec) -> tuple[Segment, ...]:
    """Lay out the 12 leads and the rhythm strip.

    Args:
        page: the page.

    Returns:
        13 segments, row by row from the top, the rhythm strip last.

    Example:
        >>> page_segments(PageSpec())[1]
        Segment(name='aVR', lead='aVR', row=0, x0_mm=81.5, baseline_mm=46.0, t0_s=2.5, t1_s=5.0)
    """
    segments = []
    for row, leads in enumerate(ROWS):
        baseline_mm = page.first_baseline_mm + row * page.row_pitch_mm
        for column, lead in enumerate(leads):
            t0_s = column * COLUMN_S
            x0_mm = page.left_mm + t0_s * page.paper_speed_mm_per_s
            segments.append(Segment(lead, lead, row, x0_mm, baseline_mm, t0_s, t0_s + COLUMN_S))
    baseline_mm = page.first_baseline_mm + len(ROWS) * page.row_pitch_mm
    strip = Segment(f"{RHYTHM} rhythm", RHYTHM, len(ROWS), page.left_mm, baseline_mm, 0.0, STRIP_S)
    return (*segments, strip)


def pulse_boxes_mm(page: PageSpec) -> list[tuple[float, float, float, float]]:
    """Calibration pulses, one a row: (rising edge, top, falling edge, baseline) in millimetres, centres of the stroke.

    Empty when the page shows none. The pulse keeps its 0.2 s and 1 mV at any speed and gain.
    """
    if not page.show_pulses:
        return []
    fall_mm = page.left_mm - PULSE_GAP_MM
    rise_mm = fall_mm - PULSE_S * page.paper_speed_mm_per_s
    baselines_mm = (page.first_baseline_mm + row * page.row_pitch_mm for row in range(len(ROWS) + 1))
    return [(rise_mm, y - PULSE_MV * page.gain_mm_per_mv, fall_mm, y) for y in baselines_mm]


def page_size_px(page: PageSpec, size: Sequence[int] | None = None, dpi: float | None = None) -> tuple[int, int]:
    """Settle the size of the picture before any memory is taken.

    Args:
        page: the page.
        size: (height, width) in pixels, or None.
        dpi: pixels an inch, or None; without `size` and `dpi` it is 200.

    Returns:
        (height, width) in pixels.

    Raises:
        PageError: both were given, or the picture would be smaller than 16 pixels or larger than 100 megapixels.

    Example:
        >>> page_size_px(PageSpec()), page_size_px(PageSpec(), dpi=100)
        ((1700, 2200), (850, 1100))
    """
    if size is not None and dpi is not None:
        raise PageError("both size and dpi were given", field="size", expected="one of them")
    if size is None:
        dpi = 200.0 if dpi is None else dpi
        if isinstance(dpi, bool) or not isinstance(dpi, Real) or not 1.0 <= dpi <= 10_000.0:
            raise PageError(f"cannot draw at {dpi!r} dpi", field="dpi", expected="a number from 1 to 10000")
        size = (round(page.height_mm / MM_PER_INCH * dpi), round(page.width_mm / MM_PER_INCH * dpi))
    pair = isinstance(size, Sequence) and len(size) == 2
    whole = pair and all(isinstance(v, Integral) and not isinstance(v, bool) for v in size)
    if not whole or min(size) < MIN_SIDE_PX or int(size[0]) * int(size[1]) > MAX_PIXELS:
        raise PageError(
            f"cannot draw a picture of size {size!r}",
            field="size",
            expected=f"(height, width), each at least {MIN_SIDE_PX} pixels, at most {MAX_PIXELS // 10**6} megapixels",
        )
    return int(size[0]), int(size[1])


def page_frame(page: PageSpec, size: tuple[int, int]) -> tuple[float, float, float]:
    """Fit the page into `size` (height, width), keeping its shape: (px per mm, left, top) of the page in pixels."""
    px_per_mm = min(size[0] / page.height_mm, size[1] / page.width_mm)
    return px_per_mm, (size[1] - page.width_mm * px_per_mm) / 2, (size[0] - page.height_mm * px_per_mm) / 2


def page_homography(page: PageSpec, size: tuple[int, int]) -> np.ndarray:
    """The exact map from millimetres to pixels of a page centred in a picture, the rest of which is plain paper.

    Args:
        page: the page.
        size: (height, width) of the picture in pixels.

    Returns:
        float64 `[3, 3]`: (x_mm, y_mm, 1) -> (x_px, y_px, 1), where the centre of the top left pixel is (0.5, 0.5).

    Example:
        >>> page_homography(PageSpec(width_mm=300.0, height_mm=300.0), (600, 900)).tolist()
        [[2.0, 0.0, 150.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]]
    """
    px_per_mm, left, top = page_frame(page, size)
    return np.array([[px_per_mm, 0.0, left], [0.0, px_per_mm, top], [0.0, 0.0, 1.0]])


def shown_samples(segment: Segment, fs_hz: float, n_samples: int) -> tuple[int, int]:
    """(first, last + 1) sample of a recording that a segment shows; equal when the recording ends before it."""
    first = min(math.ceil(segment.t0_s * fs_hz - 1e-6), n_samples)
    return first, max(first, min(math.ceil(segment.t1_s * fs_hz - 1e-6), n_samples))


LEAD_ROW = {lead: i for i, lead in enumerate(LEADS)}
"""Row of each lead in a `[12, time]` signal."""


def visible_samples(page: PageSpec, fs_hz: float, n_samples: int) -> np.ndarray:
    """Which samples of a recording a page shows anywhere: bool `[12, n_samples]`, rows in the order of `LEADS`.

    Example:
        >>> visible_samples(PageSpec(), 100.0, 1000).sum(axis=1)[:3].tolist()
        [250, 1000, 250]
    """
    visible = np.zeros((len(LEADS), n_samples), dtype=bool)
    for segment in page_segments(page):
        first, stop = shown_samples(segment, fs_hz, n_samples)
        visible[LEAD_ROW[segment.lead], first:stop] = True
    return visible
