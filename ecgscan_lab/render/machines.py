"""Pages in the manner of common printer families: layout, sheet, grid and lettering as `PageSpec` fields.

They imitate what such print-outs look like; they are not the makers' forms, and names say only what is imitated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MACHINES: Mapping[str, Mapping[str, Any]] = {
    # Letter sheet, pink grid, lead names above the traces, pulses at the left.
    "mac": {"separators": "tick", "show_scale": False, "footer": "25 mm/s   10 mm/mV   0.05-150 Hz   60 Hz"},
    # The same leads, three rhythm strips, the first pulse at the right edge.
    "eli": {
        "rhythm": ("V1", "II", "V5"),
        "left_mm": 8.0,
        "pulses": "right",
        "separators": "line",
        "grid": "red",
        "grid_strength": 0.7,
        "font": "bold",
        "text_mm": 3.4,
        "top_mm": 30.0,
        "bottom_mm": 12.0,
    },
    # Three leads a column on a brownish grid, names below, a serif typeface.
    "pagewriter": {
        "grid": "brown",
        "separators": "tick",
        "font": "serif",
        "name_rise_mm": 8.0,
        "left_mm": 22.0,
        "trace_width_mm": 0.25,
        "show_scale": False,
        "footer": "Speed 25 mm/s   Limb 10 mm/mV   Chest 10 mm/mV",
    },
    # A4, six rows of two columns that show the same five seconds, green grid.
    "cardiofax": {
        "layout": "6x2",
        "columns": "simultaneous",
        "rhythm": (),
        "width_mm": 297.0,
        "height_mm": 210.0,
        "left_mm": 20.0,
        "grid": "green",
        "font": "mono",
        "text_mm": 3.6,
        "top_mm": 26.0,
        "bottom_mm": 12.0,
    },
    # A4, six rows of two columns and a rhythm strip, orange grid.
    "cardiovit": {
        "layout": "6x2",
        "width_mm": 297.0,
        "height_mm": 210.0,
        "left_mm": 22.0,
        "grid": "orange",
        "separators": "line",
        "text_mm": 3.6,
        "top_mm": 24.0,
        "bottom_mm": 12.0,
    },
    # 50 mm/s in Cabrera's order, as in much of northern and central Europe.
    "megacart": {
        "layout": "6x2",
        "cabrera": True,
        "paper_speed_mm_per_s": 50.0,
        "strip_s": 5.0,
        "rhythm": (),
        "width_mm": 297.0,
        "height_mm": 210.0,
        "left_mm": 24.0,
        "grid": "red",
        "grid_strength": 0.8,
        "separators": "tick",
        "text_mm": 3.6,
        "top_mm": 24.0,
        "bottom_mm": 12.0,
    },
    # Twelve rows of ten seconds, a thin pen and a grey grid, as viewers print them.
    "viewer": {
        "layout": "12x1",
        "rhythm": (),
        "width_mm": 297.0,
        "height_mm": 210.0,
        "left_mm": 22.0,
        "grid": "grey",
        "trace_width_mm": 0.2,
        "text_mm": 3.2,
        "name_rise_mm": 2.5,
        "dodge": False,
        "top_mm": 18.0,
        "bottom_mm": 10.0,
    },
    # What ecg-image-kit draws, and the printed photographs of public sets show: names below, pulses touching the trace.
    "image_kit": {
        "left_mm": 15.0,
        "first_baseline_mm": 89.96,
        "row_pitch_mm": 35.983,
        "strip_shift_mm": -3.0,
        "grid": "graph",
        "grid_phase_mm": (0.0, 0.9),
        "frame": True,
        "trace_width_mm": 0.265,
        "ink": (20, 20, 20),
        "pulse_gap_mm": 0.0,
        "pulse_foot_mm": 0.0,
        "separators": "tick",
        "text_mm": 3.88,
        "name_rise_mm": -7.0,
        "name_indent_mm": 0.0,
        "dodge": False,
        "show_scale": False,
        "notes": (("25mm/s", 50.0, 208.0, 3.88, "sans"), ("10mm/mV", 100.0, 208.0, 3.88, "sans")),
    },
    # A thermal roll: three leads at a time, four columns, a narrow strip of paper.
    "roll": {
        "layout": "3x4",
        "rhythm": (),
        "width_mm": 290.0,
        "height_mm": 110.0,
        "grid": "orange",
        "grid_strength": 0.8,
        "separators": "tick",
        "text_mm": 3.4,
        "top_mm": 10.0,
        "bottom_mm": 8.0,
        "show_scale": False,
        "header_mm": 2.6,
    },
}
"""Family -> fields of `PageSpec`; `PageSpec.machine(name)` builds the page."""
