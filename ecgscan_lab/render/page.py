"""Page geometry in millimetres: what is printed where, which ink, masks, boxes and exports all read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, NamedTuple

from ecgscan_lab.errors import LeadError, PageError
from ecgscan_lab.leads import CHEST_LEADS, canonical_lead
from ecgscan_lab.render.layouts import LAYOUTS
from ecgscan_lab.render.paper import FONTS, PALETTES, Rgb

PULSE_MV, PULSE_S = 1.0, 0.2
MAX_LINES = (6, 120)
MAX_RHYTHM = 3
MAX_NOTES = 64

PAPERS_MM: dict[str, tuple[float, float]] = {
    "letter": (279.4, 215.9),
    "legal": (355.6, 215.9),
    "a3": (420.0, 297.0),
    "a4": (297.0, 210.0),
    "a5": (210.0, 148.0),
    "roll": (560.0, 110.0),
}
"""Sheets by name, (width, height) lying on their long side."""

CHOICES: dict[str, tuple[str, ...]] = {
    "layout": tuple(LAYOUTS),
    "columns": ("sequential", "simultaneous"),
    "pulses": ("left", "right", "none"),
    "separators": ("none", "tick", "line"),
    "grid": tuple(PALETTES),
    "font": tuple(FONTS),
}


class Note(NamedTuple):
    """A line of print: its text, its top left corner and height of letters in millimetres, and its font."""

    text: str
    x_mm: float
    y_mm: float
    size_mm: float = 3.2
    font: str = "sans"


@dataclass(frozen=True)
class PageSpec:
    """One ECG page, described in millimetres; the default is a letter-size 3 x 4 page with a lead II rhythm strip.

    At `paper_speed_mm_per_s` v and gain g, a sample of u millivolts at time t of a segment that starts at t0 lies at
    x = x0 + v (t - t0), y = baseline - g u (y points down). `PageSpec.compact()` is all ink and no margin, for image
    encoders; `PageSpec.machine(name)` imitates a family of printers; `PageSpec.on(paper)` takes another sheet.

    Attributes:
        paper_speed_mm_per_s: 25 is standard; at 50 show fewer seconds (`strip_s=5`) or take a wider sheet.
        gain_mm_per_mv: 10 is standard, 5 and 20 are usual.
        chest_gain_mm_per_mv: gain of V1 to V6 where it differs, else None.
        layout: rows x columns, "3x4", "6x2", "12x1" or "4x3".
        cabrera: limb leads in the order aVL, I, -aVR, II, aVF, III; aVR upside down.
        rhythm: up to three leads shown in full below the others; one may be given by its name alone.
        columns: "sequential" (each column goes on where the last one ended) or "simultaneous" (all start together).
        strip_s: seconds across the page; each of n columns shows a share 1/n of it, a rhythm strip all of it.
        start_s: where in the recording the page starts.
        hidden: leads that are left out, their place staying empty.
        partial: (lead, from, to) in seconds of its column: only that part of the lead is printed.
        width_mm, height_mm: the sheet.
        left_mm: where the traces begin.
        top_mm, bottom_mm: paper kept free above the first and below the last row when rows are spread evenly.
        first_baseline_mm, row_pitch_mm: zero millivolt of the first row and the distance between rows; None spreads the
            rows evenly.
        strip_shift_mm: how much lower (negative: higher) rhythm strips lie than a row of that number would.
        trace_width_mm: diameter of the pen.
        ink: colour of traces, pulses and text, 8-bit RGB.
        grid: a name in `paper.PALETTES`; "none" is white paper.
        grid_strength: 0 (no lines) to 2; 1 is the palette as it is.
        grid_phase_mm: (x, y) of a crossing of 5 mm lines; None puts one where the first trace begins.
        frame: a thin line around the sheet's edge.
        font: a name in `paper.FONTS`; they are free fonts.
        text_mm: size of lead names and of the scale.
        name_rise_mm: from a baseline up to the foot of the lead name; negative puts names below the traces.
        name_indent_mm: from the start of a trace to its name.
        dodge: move a lead name a little where it would cover a trace.
        show_lead_names: print the lead names.
        pulses: 1 mV x 0.2 s calibration pulses at the "left" or "right" of every row, or "none".
        pulse_gap_mm, pulse_foot_mm: paper between pulse and trace, and length of the pulse's feet.
        separators: a "tick" or a "line" between neighbouring leads of a row, or "none".
        show_scale: print speed and gain below the traces.
        header, footer: lines to print at the top (after "SYNTHETIC PAGE") and at the bottom, or None. Nothing of a
            record is ever printed.
        header_mm: size of header and footer.
        notes: further print, anywhere on the sheet.

    Raises:
        PageError: a measure is absurd, an option unknown, or the traces do not fit on the sheet; the field is named.

    Example:
        >>> PageSpec().width_mm, PageSpec.compact(grid="blue").grid
        (279.4, 'blue')
        >>> len(PageSpec(layout="12x1", rhythm=()).baselines_mm)
        12
    """

    paper_speed_mm_per_s: float = 25.0
    gain_mm_per_mv: float = 10.0
    chest_gain_mm_per_mv: float | None = None
    layout: str = "3x4"
    cabrera: bool = False
    rhythm: tuple[str, ...] = ("II",)
    columns: str = "sequential"
    strip_s: float = 10.0
    start_s: float = 0.0
    hidden: tuple[str, ...] = ()
    partial: tuple[tuple[str, float, float], ...] = ()
    width_mm: float = 279.4
    height_mm: float = 215.9
    left_mm: float = 19.0
    top_mm: float = 24.5
    bottom_mm: float = 19.4
    first_baseline_mm: float | None = None
    row_pitch_mm: float | None = None
    strip_shift_mm: float = 0.0
    trace_width_mm: float = 0.3
    ink: Rgb = (24, 24, 30)
    grid: str = "pink"
    grid_strength: float = 1.0
    grid_phase_mm: tuple[float, float] | None = None
    frame: bool = False
    font: str = "sans"
    text_mm: float = 4.2
    name_rise_mm: float = 6.5
    name_indent_mm: float = 1.0
    dodge: bool = True
    show_lead_names: bool = True
    pulses: str = "left"
    pulse_gap_mm: float = 3.0
    pulse_foot_mm: float = 1.5
    separators: str = "none"
    show_scale: bool = True
    header: str | None = None
    footer: str | None = None
    header_mm: float = 3.2
    notes: tuple[Note, ...] = ()

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            _check_number(name, value, low, high)
            object.__setattr__(self, name, float(value))
        for name, known in CHOICES.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in known:
                raise PageError(f"no {name} {getattr(self, name)!r}", field=name, expected=f"one of {', '.join(known)}")
        self._settle_leads()
        self._check_looks()
        self._check_fit()

    def _settle_leads(self) -> None:
        """Spell lead names as `LEADS` does, and refuse unknown ones."""
        given = [getattr(self, name) for name in ("rhythm", "hidden")]
        try:
            rhythm, hidden = ((*map(canonical_lead, (v,) if isinstance(v, str) else v),) for v in given)
            partial = tuple((canonical_lead(lead), float(low), float(high)) for lead, low, high in self.partial)
        except (LeadError, TypeError, ValueError) as error:
            raise PageError(
                f"rhythm, hidden or partial does not name leads: {str(error).partition(chr(10))[0]}",
                field="rhythm, hidden, partial",
                expected='rhythm=("II", "V1"), hidden=("V4",), partial=(("V1", 0.5, 2.0),)',
            ) from error
        if len(rhythm) > MAX_RHYTHM or len(set(rhythm)) < len(rhythm):
            raise PageError(f"cannot print rhythm strips {rhythm}", field="rhythm", expected="up to 3 different leads")
        for lead, low, high in partial:
            if not 0.0 <= low < high <= self.strip_s:
                raise PageError(
                    f"cannot print {lead} from {low} to {high} s",
                    field="partial",
                    expected="0 <= from < to, in s",
                )
        for name, value in (("rhythm", rhythm), ("hidden", hidden), ("partial", partial)):
            object.__setattr__(self, name, value)

    def _check_looks(self) -> None:
        rgb = isinstance(self.ink, tuple) and len(self.ink) == 3
        if not rgb or not all(isinstance(v, Integral) and 0 <= v <= 255 for v in self.ink):
            raise PageError(f"ink cannot be {self.ink!r}", field="ink", expected="a tuple of three integers, 0 to 255")
        if self.grid_phase_mm is not None:
            x_mm, y_mm = self.grid_phase_mm
            _check_number("grid_phase_mm", x_mm, -5000.0, 5000.0)
            _check_number("grid_phase_mm", y_mm, -5000.0, 5000.0)
        for name in ("header", "footer"):
            text = getattr(self, name)
            lines = text.split("\n") if isinstance(text, str) else []
            if text is not None and (not 0 < len(lines) <= MAX_LINES[0] or max(map(len, lines)) > MAX_LINES[1]):
                raise PageError(
                    f"the {name} cannot be printed",
                    field=name,
                    expected=f"None, or at most {MAX_LINES[0]} lines of {MAX_LINES[1]} letters",
                )
        if len(self.notes) > MAX_NOTES:
            raise PageError(f"{len(self.notes)} notes", field="notes", expected=f"at most {MAX_NOTES}")
        notes = tuple(Note(*note) for note in self.notes)
        for note in notes:
            if not isinstance(note.text, str) or len(note.text) > MAX_LINES[1] or note.font not in FONTS:
                raise PageError(
                    f"cannot print the note {note!r}",
                    field="notes",
                    expected=f"one line of at most {MAX_LINES[1]} letters in one of {', '.join(FONTS)}",
                )
            _check_number("notes", note.size_mm, *_RANGES["text_mm"])
            _check_number("notes", note.x_mm, -5000.0, 5000.0)
            _check_number("notes", note.y_mm, -5000.0, 5000.0)
        object.__setattr__(self, "notes", notes)

    def _check_fit(self) -> None:
        right_mm = self.right_mm
        if self.pulses == "right":
            right_mm += self.pulse_gap_mm + PULSE_S * self.paper_speed_mm_per_s + self.pulse_foot_mm
        if right_mm > self.width_mm:
            raise PageError(
                f"the traces end at {right_mm:g} mm, beyond the {self.width_mm:g} mm wide page",
                field="width_mm",
                expected=f"at least {right_mm:g} mm",
                fix="make the page wider, show fewer seconds (strip_s), or slow the paper down",
            )
        if self.text_mm > min(self.width_mm, self.height_mm) / 8:
            raise PageError(
                f"letters of {self.text_mm:g} mm do not fit on the page", field="text_mm", fix="make it smaller"
            )
        baselines_mm = self.baselines_mm
        if not baselines_mm:
            raise PageError("the page has no rows", field="layout")
        if self.pitch_mm < 1.0 or baselines_mm[-1] > self.height_mm:
            raise PageError(
                f"the last baseline lies at {baselines_mm[-1]:g} mm, on a page {self.height_mm:g} mm high",
                field="height_mm",
                expected="every row on the sheet, at least 1 mm apart",
                fix="make the page higher, or leave first_baseline_mm and row_pitch_mm to None",
            )

    @property
    def right_mm(self) -> float:
        """Where the traces end."""
        return self.left_mm + self.strip_s * self.paper_speed_mm_per_s

    @property
    def pitch_mm(self) -> float:
        """Distance between neighbouring baselines: `row_pitch_mm`, or what spreads the rows evenly."""
        if self.row_pitch_mm is not None:
            return self.row_pitch_mm
        rows = LAYOUTS[self.layout][0] + len(self.rhythm)
        return (self.height_mm - self.top_mm - self.bottom_mm) / rows

    @property
    def baselines_mm(self) -> tuple[float, ...]:
        """Zero millivolt of every row from the top, rhythm strips last."""
        pitch_mm = self.pitch_mm
        first_mm = self.top_mm + pitch_mm / 2 if self.first_baseline_mm is None else self.first_baseline_mm
        rows = LAYOUTS[self.layout][0]
        return (
            *(first_mm + row * pitch_mm for row in range(rows)),
            *(first_mm + (rows + k) * pitch_mm + self.strip_shift_mm for k in range(len(self.rhythm))),
        )

    def gain_of(self, lead: str) -> float:
        """Millimetres a millivolt for one lead."""
        chest = self.chest_gain_mm_per_mv
        return chest if chest is not None and lead in CHEST_LEADS else self.gain_mm_per_mv

    @classmethod
    def compact(cls, **changes: Any) -> PageSpec:
        """The page cut to its ink, 273 x 117 mm: fills 448 x 192 pixels exactly. `changes` are fields of `PageSpec`."""
        measures: dict[str, Any] = {
            "width_mm": 273.0,
            "height_mm": 117.0,
            "left_mm": 17.0,
            "top_mm": 4.0,
            "bottom_mm": 1.0,
            "trace_width_mm": 0.4,
            "text_mm": 5.5,
            "show_scale": False,
        }
        return cls(**(measures | changes))

    @classmethod
    def on(cls, paper: str, **changes: Any) -> PageSpec:
        """A page on another sheet, a name in `PAPERS_MM`; traces in the middle. `changes` are fields of `PageSpec`.

        Raises:
            PageError: unknown sheet, or the traces do not fit on it.

        Example:
            >>> PageSpec.on("a4").height_mm
            210.0
        """
        if paper not in PAPERS_MM:
            raise PageError(f"no paper {paper!r}", field="paper", expected=f"one of {', '.join(PAPERS_MM)}")
        width_mm, height_mm = PAPERS_MM[paper]
        seconds, speed = changes.get("strip_s", cls.strip_s), changes.get("paper_speed_mm_per_s", 25.0)
        left_mm = max(0.0, 5.0 + (width_mm - seconds * speed) / 2)
        return cls(**({"width_mm": width_mm, "height_mm": height_mm, "left_mm": min(19.0, left_mm)} | changes))

    @classmethod
    def machine(cls, name: str, **changes: Any) -> PageSpec:
        """A page in the manner of a family of printers: see `machines.MACHINES`. `changes` are fields of `PageSpec`.

        Raises:
            PageError: unknown family.

        Example:
            >>> PageSpec.machine("cardiofax").layout
            '6x2'
        """
        from ecgscan_lab.render.machines import MACHINES

        if name not in MACHINES:
            raise PageError(f"no machine {name!r}", field="machine", expected=f"one of {', '.join(MACHINES)}")
        return cls(**(dict(MACHINES[name]) | changes))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON; `from_dict` makes the page again."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: [list(item) if isinstance(item, tuple) else item for item in value]
                if isinstance(value, tuple) else value for name, value in values.items()}  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PageSpec:
        """The page that `as_dict` described.

        Raises:
            PageError: a field is unknown, or the page could not be drawn.

        Example:
            >>> PageSpec.from_dict(PageSpec(rhythm=("V1",)).as_dict()) == PageSpec(rhythm=("V1",))
            True
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise PageError(f"a page has no {', '.join(unknown)}", field=unknown[0], expected="fields of PageSpec")
        given: dict[str, Any] = {
            name: tuple(tuple(item) if isinstance(item, list) else item for item in value)
            if isinstance(value, list)
            else value
            for name, value in values.items()
        }
        return cls(**given)


_RANGES: dict[str, tuple[float, float]] = {
    "paper_speed_mm_per_s": (1.0, 400.0),
    "gain_mm_per_mv": (0.1, 400.0),
    "chest_gain_mm_per_mv": (0.1, 400.0),
    "strip_s": (0.1, 600.0),
    "start_s": (0.0, 1e6),
    "width_mm": (10.0, 5000.0),
    "height_mm": (10.0, 5000.0),
    "left_mm": (0.0, 5000.0),
    "top_mm": (-1000.0, 5000.0),
    "bottom_mm": (-1000.0, 5000.0),
    "first_baseline_mm": (0.0, 5000.0),
    "row_pitch_mm": (1.0, 1000.0),
    "strip_shift_mm": (-500.0, 500.0),
    "trace_width_mm": (0.01, 10.0),
    "grid_strength": (0.0, 2.0),
    "text_mm": (0.5, 100.0),
    "name_rise_mm": (-50.0, 50.0),
    "name_indent_mm": (-50.0, 50.0),
    "pulse_gap_mm": (0.0, 100.0),
    "pulse_foot_mm": (0.0, 20.0),
    "header_mm": (0.5, 100.0),
}
_OPTIONAL = ("chest_gain_mm_per_mv", "first_baseline_mm", "row_pitch_mm")


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
        raise PageError(f"a page cannot have {name} = {value!r}", field=name, expected=f"a number from {low} to {high}")
