"""Pages for print, as SVG and PDF: strokes and letters at their true size, in millimetres, and no pixels."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from ecgscan_lab.render import paper
from ecgscan_lab.render.framing import MAX_PIXELS, MM_PER_INCH, page_size_px
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.plan import page_bars_mm, page_prints, plan_page
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.types import EcgRecord
from ecgscan_lab.whole_files import write_whole

SVG = "http://www.w3.org/2000/svg"
PT_PER_MM = 72.0 / MM_PER_INCH
PLACING_DPI = 200.0
FAMILIES = {
    "sans": "'DejaVu Sans', 'Liberation Sans', sans-serif",
    "mono": "'DejaVu Sans Mono', 'Liberation Mono', monospace",
    "serif": "'DejaVu Serif', 'Liberation Serif', serif",
    "bold": "'DejaVu Sans', 'Liberation Sans', sans-serif",
    "italic": "'DejaVu Serif', 'Liberation Serif', serif",
}
"""Free fonts by their name in `paper.FONTS`, the one that the pictures use first."""


@dataclass(frozen=True)
class _Line:
    """A line of print: the left end of its base line, its size, in millimetres."""

    name: str
    text: str
    x_mm: float
    y_mm: float
    size_mm: float
    font: str


@dataclass(frozen=True, eq=False)
class _Strokes:
    """A page as what a pen would do, in millimetres; colours are paper, thin line, thick line, ink."""

    page: PageSpec
    colours: tuple[str, str, str, str]
    thin: tuple[np.ndarray, np.ndarray]
    thick: tuple[np.ndarray, np.ndarray]
    traces: dict[str, list[np.ndarray]]
    bars: np.ndarray
    lines: tuple[_Line, ...]


def page_svg(record: EcgRecord, page: PageSpec | None = None) -> str:
    """A page as SVG whose unit is the millimetre: printed at 100 %, 1 s is as long as the paper speed says.

    Args:
        record: the recording, in millivolts. Nothing of its identity, labels or report is drawn.
        page: the page, `PageSpec()` when None.

    Returns:
        An SVG document. Each trace is one path `<path id="trace II rhythm">`, gaps are moves; text is text.

    Raises:
        PageError: as `draw_page`.

    Properties: 1 mV is the gain and 1 s the paper speed, to a micrometre; the same text for the same page.

    Example:
        >>> svg = page_svg(EcgRecord("flat", np.zeros((12, 1000), np.float32), fs_hz=100.0))
        >>> 'width="279.4mm"' in svg, "<image" in svg
        (True, False)
    """
    strokes = _strokes(record, PageSpec() if page is None else page)
    page, (sheet, thin, thick, ink) = strokes.page, strokes.colours
    width, height = _number(page.width_mm), _number(page.height_mm)
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="{SVG}" width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}">',
        f'<rect width="{width}" height="{height}" fill="{sheet}"/>',
    ]
    for name, colour, wide, (xs, ys) in (
        ("grid 1 mm", thin, paper.MINOR_LINE_MM, strokes.thin),
        ("grid 5 mm", thick, paper.MAJOR_LINE_MM, strokes.thick),
    ):
        path = "".join([*(f"M{_number(x)} 0V{height}" for x in xs), *(f"M0 {_number(y)}H{width}" for y in ys)])
        if path:
            out.append(f'<path id="{name}" fill="none" stroke="{colour}" stroke-width="{wide}" d="{path}"/>')
    out.append(f'<g id="strokes" fill="{ink}">')
    for x0, y0, x1, y1 in strokes.bars:
        box = f'x="{_number(x0)}" y="{_number(y0)}" width="{_number(x1 - x0)}" height="{_number(y1 - y0)}"'
        out.append(f"<rect {box}/>")
    out.append("</g>")
    pen = f'stroke="{ink}" stroke-width="{_number(page.trace_width_mm)}"'
    out.append(f'<g id="traces" fill="none" {pen} stroke-linecap="round" stroke-linejoin="round">')
    for name, runs in strokes.traces.items():
        path = "".join("M" + "L".join(f"{_number(x)} {_number(y)}" for x, y in run) for run in runs)
        out.append(f'<path id="trace {name}" d="{path}"/>')
    out.append("</g>")
    out.append(f'<g id="print" fill="{ink}">')
    for line in strokes.lines:
        style = {"bold": ' font-weight="bold"', "italic": ' font-style="italic"'}.get(line.font, "")
        place = f'x="{_number(line.x_mm)}" y="{_number(line.y_mm)}" font-size="{_number(line.size_mm)}"'
        family = quoteattr(FAMILIES[line.font])
        out.append(f'<text {place} font-family={family}{style} xml:space="preserve">{escape(line.text)}</text>')
    return "\n".join([*out, "</g>", "</svg>", ""])


def write_svg(record: EcgRecord, path: str | PathLike[str], page: PageSpec | None = None) -> Path:
    """Write `page_svg` to a file, whole or not at all.

    Raises:
        PageError: as `draw_page`.
        ExportError: the file cannot be written.
    """
    return write_whole(Path(path), page_svg(record, page).encode())


def write_pdf(record: EcgRecord, path: str | PathLike[str], page: PageSpec | None = None) -> Path:
    """Write a page as a PDF of the sheet's exact size, vectors and embedded letters only.

    Args:
        record: the recording, in millivolts. Nothing of its identity, labels or report is drawn.
        path: the file to write.
        page: the page, `PageSpec()` when None.

    Returns:
        `path`.

    Raises:
        PageError: as `draw_page`.
        ExportError: the file cannot be written.

    Properties: 1 mV is the gain and 1 s the paper speed on paper printed at 100 %; no date, so the same bytes for the
    same page.
    """
    import matplotlib
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.collections import LineCollection, PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.patches import PathPatch, Rectangle
    from matplotlib.path import Path as Outline

    strokes = _strokes(record, PageSpec() if page is None else page)
    page, (sheet, thin, thick, ink) = strokes.page, strokes.colours
    width, height = page.width_mm, page.height_mm
    figure = Figure(figsize=(width / MM_PER_INCH, height / MM_PER_INCH), facecolor=sheet)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0.0, width), ylim=(height, 0.0))
    axes.axis("off")
    grids = (thin, paper.MINOR_LINE_MM, strokes.thin), (thick, paper.MAJOR_LINE_MM, strokes.thick)
    for colour, wide, (xs, ys) in grids:
        rules = [[(x, 0.0), (x, height)] for x in xs] + [[(0.0, y), (width, y)] for y in ys]
        axes.add_collection(LineCollection(rules, colors=colour, linewidths=wide * PT_PER_MM, zorder=1.0))
    boxes = [Rectangle((x0, y0), x1 - x0, y1 - y0) for x0, y0, x1, y1 in strokes.bars]
    axes.add_collection(PatchCollection(boxes, facecolor=ink, linewidths=0.0, zorder=2.0))
    pen = page.trace_width_mm * PT_PER_MM
    for runs in strokes.traces.values():
        if runs:
            outline = Outline.make_compound_path(*(Outline(run) for run in runs))
            outline.should_simplify = False  # every sample is kept
            style = {"facecolor": "none", "edgecolor": ink, "capstyle": "round", "joinstyle": "round"}
            axes.add_patch(PathPatch(outline, linewidth=pen, zorder=3.0, **style))
    for line in strokes.lines:
        font = FontProperties(fname=str(paper.font_file(line.font)), size=line.size_mm * PT_PER_MM)
        text = line.text.replace("$", r"\$")
        axes.text(line.x_mm, line.y_mm, text, fontproperties=font, color=ink, ha="left", va="baseline")
    content = io.BytesIO()
    # Letters stay letters (TrueType) instead of becoming outlines.
    with matplotlib.rc_context({"pdf.fonttype": 42, "pdf.compression": 6}):
        FigureCanvasPdf(figure).print_pdf(content, metadata={"Creator": "ecgscan_lab", "CreationDate": None})
    return write_whole(Path(path), content.getvalue())


def _strokes(record: EcgRecord, page: PageSpec) -> _Strokes:
    """Settle a page in millimetres; lead names stand where the 200 dpi picture has them."""
    area = page.width_mm * page.height_mm / MM_PER_INCH**2
    image = draw_page(record, page, dpi=min(PLACING_DPI, 0.99 * math.sqrt(MAX_PIXELS / area)))
    plan = plan_page(page, page_size_px(page, image.pixels.shape[:2]), float(record.fs_hz), record.signal_mv.shape[1])
    traces = {}
    for name, line in image.polylines.items():
        points = image.page_map.to_mm(line)
        drawn = np.flatnonzero(np.isfinite(points).all(axis=1))
        runs = np.split(drawn, np.flatnonzero(np.diff(drawn) > 1) + 1) if drawn.size else []
        # A sample alone between gaps is a dot: a stroke of no length with round ends.
        traces[name] = [points[run if run.size > 1 else run.repeat(2)] for run in runs]
    lines = []
    for text in page_prints(page):
        if text.name in image.boxes:
            corner_mm = image.page_map.to_mm([image.boxes[text.name][:2]])[0]
            left, top = _ink_corner(text.text, text.font)
            x_mm, y_mm = corner_mm - np.array([left, top]) * text.size_mm
            lines.append(_Line(text.name, text.text, float(x_mm), float(y_mm), text.size_mm, text.font))
    sheet, thin_ink, thick_ink, ink = ("#" + "".join(f"{round(float(v)):02x}" for v in rgb) for rgb in plan.colours)
    crossing = page.grid_phase_mm or (page.left_mm, page.baselines_mm[0])
    plain = page.grid == "none" or page.grid_strength == 0.0
    thin, thick = (_rules(crossing, (page.width_mm, page.height_mm), plain, part) for part in ("thin", "thick"))
    colours = (sheet, thin_ink, thick_ink, ink)
    return _Strokes(page, colours, thin, thick, traces, page_bars_mm(page)[0], tuple(lines))


def _rules(
    crossing: tuple[float, float], sheet: tuple[float, float], plain: bool, part: str
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the upright and of the level lines of a grid, in millimetres."""
    rules = []
    for start, length in zip(crossing, sheet, strict=True):
        numbers = np.arange(math.ceil(-start / paper.MINOR_MM), math.floor((length - start) / paper.MINOR_MM) + 1)
        heavy = numbers % round(paper.MAJOR_MM / paper.MINOR_MM) == 0
        chosen = numbers[heavy if part == "thick" else ~heavy]
        rules.append(start + chosen[: 0 if plain else None] * paper.MINOR_MM)
    return rules[0], rules[1]


@lru_cache(maxsize=4096)
def _ink_corner(text: str, font: str) -> tuple[float, float]:
    """Top left corner of a text's ink relative to the start of its base line, in font sizes (y points down)."""
    from PIL import ImageFont

    size = 512
    face = ImageFont.truetype(str(paper.font_file(font)), size, layout_engine=ImageFont.Layout.BASIC)
    left, top, _, _ = face.getbbox(text, anchor="ls")
    return left / size, top / size


def _number(value: float) -> str:
    """Millimetres to a tenth of a micrometre, without trailing zeros."""
    return f"{value:.4f}".rstrip("0").rstrip(".")
