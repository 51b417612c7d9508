"""What keeps a reader from reading a figure: axes without titles or units, faint text and lines, colours too alike."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.collections import Collection, PathCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from ecgscan_lab.plots.colour import VISIONS, colour_distance, contrast_ratio

TEXT_CONTRAST, LARGE_TEXT_CONTRAST, LINE_CONTRAST = 4.5, 3.0, 3.0
DISTANCE = 10.0
BACKDROP = "backdrop"
"""`gid` of lines that may be faint: they separate, or repeat what a stronger line says; nothing is read off them."""

UNITLESS = frozenset(
    "component components cosine count counts determinant epoch epochs images lead leads logit loss probability rank "
    "ranks record records sample samples seed share step steps studies".split()
)
"""Words of axis titles that count or compare: what they name has no unit."""

_BRACKETS = re.compile(r"\(.+\)|\[.+\]")
_LARGE_PT, _LARGE_BOLD_PT = 18.0, 14.0


def figure_findings(figure: Figure, png: bytes, dpi: float) -> list[str]:
    """Say what in a drawn figure is hard to read; an empty list when nothing is.

    - An axis with numbers has a title, its own or that of the panel at the edge of its row or column, with a unit in
      brackets or one of `UNITLESS`. An axis whose marks are words speaks for itself.
    - Text has a contrast of 4.5 (large text 3) with the commonest colour around it in the picture.
    - Lines and markers have a contrast of 3 with the ground of their panel, unless their `gid` is `BACKDROP`.
      Scattered points are judged by their opaque colour: translucent ones add up where it matters.
    - Labelled series of one panel look different to readers with and without red and green cones, or differ in
      marker, line style or hatch.

    Args:
        figure: the figure.
        png: its picture, as `plots.figure.to_png` draws it.
        dpi: dots an inch of the picture.

    Returns:
        One sentence for each finding, none twice.
    """
    found = [
        *(finding for axes in figure.axes for finding in _axes_findings(axes)),
        *_text_findings(figure, png, dpi),
    ]
    return list(dict.fromkeys(found))


def title_finding(title: str, which: str) -> str:
    """What is wrong with an axis title, empty when nothing is.

    >>> title_finding("Time (s)", "x"), title_finding("training step", "x"), title_finding("voltage", "y")
    ('', '', "the y axis title 'voltage' has no unit: put it in brackets, or count something in UNITLESS")
    """
    if not title.strip():
        return f"the {which} axis has numbers and no title"
    if _BRACKETS.search(title) or UNITLESS & set(re.findall(r"\w+", title.lower())):
        return ""
    return f"the {which} axis title {title!r} has no unit: put it in brackets, or count something in UNITLESS"


def _axes_findings(axes: Any) -> Iterator[str]:
    if not axes.get_visible():
        return
    where = next((f" in panel {title!r}" for title in map(axes.get_title, ("left", "center", "right")) if title), "")
    if axes.axison:
        for which in ("x", "y", "z") if hasattr(axes, "zaxis") else ("x", "y"):
            axis = getattr(axes, f"{which}axis")
            if axis.get_visible() and _has_numbers(axis):
                finding = title_finding(axis.get_label_text() or _shared_title(axes, which), which)
                yield from [finding + where] if finding else []
    ground = _over_white(axes.get_facecolor())
    for line in axes.lines:
        if line.get_visible() and line.get_gid() != BACKDROP and len(line.get_xdata(orig=True)):
            ratio = max((contrast_ratio(colour, ground) for colour in _line_colours(line)), default=21.0)
            if ratio < LINE_CONTRAST:
                yield f"a line has contrast {ratio:.1f}, below {LINE_CONTRAST:g}{where}"
    for points in axes.collections:
        if isinstance(points, PathCollection) and points.get_visible() and points.get_array() is None:
            ratio = min((contrast_ratio(colour[:3], ground) for colour in _point_colours(points)), default=21.0)
            if ratio < LINE_CONTRAST:
                yield f"scattered points have contrast {ratio:.1f}, below {LINE_CONTRAST:g}{where}"
    yield from (finding + where for finding in _series_findings(axes))


def _has_numbers(axis: Any) -> bool:
    """Whether marks of an axis are numbers, which mean nothing without a title."""
    texts = [label.get_text() for label in axis.get_ticklabels(which="both") if label.get_visible()]
    shown = [re.sub(r"\\[a-zA-Z]+", "", text) for text in texts if text.strip()]
    return any(re.search(r"\d", text) and not re.search(r"[^\W\d_]", text) for text in shown)


def _shared_title(axes: Any, which: str) -> str:
    """The title at the edge of a panel's row (y) or column (x), or that of the whole figure."""
    spec = axes.get_subplotspec()
    neighbours = []
    for other in axes.get_figure(root=True).axes:
        at = other.get_subplotspec()
        if spec is None or at is None or at.get_gridspec() is not spec.get_gridspec():
            continue
        if (at.colspan == spec.colspan) if which == "x" else (at.rowspan == spec.rowspan):
            neighbours.append(getattr(other, f"{which}axis").get_label_text() if which != "z" else "")
    whole = axes.get_figure(root=False)
    common = {"x": whole.get_supxlabel, "y": whole.get_supylabel}.get(which, str)()
    return next((title for title in neighbours if title), common)


def _line_colours(line: Any) -> list[Any]:
    """Colours that a line is seen by: its own, or else the face or edge of its markers."""
    alpha = line.get_alpha()
    drawn = line.get_linestyle() not in ("None", "none", " ", "") and line.get_linewidth() > 0
    names = [line.get_color()] if drawn else [line.get_markerfacecolor(), line.get_markeredgecolor()]
    if not drawn and line.get_marker() in ("None", "none", " ", "", None):
        return []
    return [to_rgba(name, alpha) for name in names if not (isinstance(name, str) and name == "none")]


def _point_colours(points: PathCollection) -> list[Any]:
    """Colours that scattered points are seen by: their faces where they have one, their edges otherwise."""
    faces, edges = np.asarray(points.get_facecolor()), np.asarray(points.get_edgecolor())
    return [tuple(colour) for colour in np.unique(faces if len(faces) else edges, axis=0)]


def _series_findings(axes: Any) -> Iterator[str]:
    """Pairs of labelled series that look alike."""
    series = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    looks = [(label, look) for label, handle in series.items() if (look := _look(handle)) is not None]
    for k, (first, (kind, one)) in enumerate(looks):
        for second, (other_kind, other) in looks[k + 1 :]:
            if kind != other_kind:
                continue
            distance, vision = min((colour_distance(one, other, vision), vision) for vision in VISIONS)
            if distance < DISTANCE:
                yield (
                    f"{first!r} and {second!r} look alike (distance {distance:.0f} with {vision} vision): "
                    "give them other colours, or other markers, line styles or hatches"
                )


def _look(handle: Any) -> tuple[Any, Any] | None:
    """What tells a series apart besides colour, and its colour; None for what has no one colour."""
    if isinstance(handle, Line2D):
        faint = round(handle.get_alpha() or 1.0, 1)
        return ("line", handle.get_linestyle(), handle.get_marker(), handle.get_linewidth(), faint), handle.get_color()
    if isinstance(handle, PathCollection):
        shape: Any = handle.get_paths()[0].vertices if handle.get_paths() else np.zeros(0)
        colours = _point_colours(handle)
        filled = len(np.asarray(handle.get_facecolor())) > 0
        return (("points", np.round(shape, 3).tobytes(), filled), colours[0]) if len(colours) == 1 else None
    patch = handle[0] if isinstance(handle, tuple) and len(handle) else handle
    if isinstance(patch, Patch):
        return ("patch", patch.get_hatch(), patch.get_alpha()), patch.get_facecolor()
    if isinstance(patch, Collection) and len(np.asarray(patch.get_facecolor())):
        return ("patch", patch.get_hatch(), patch.get_alpha()), tuple(np.asarray(patch.get_facecolor())[0])
    return None


def _text_findings(figure: Any, png: bytes, dpi: float) -> Iterator[str]:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    scale = dpi / figure.dpi
    for text in _texts(figure):
        ground = _around(text, pixels, scale)
        if ground is None:
            continue
        ratio = contrast_ratio(to_rgba(text.get_color(), text.get_alpha()), ground)
        large = text.get_fontsize() >= (_LARGE_BOLD_PT if text.get_fontweight() in ("bold", 700) else _LARGE_PT)
        least = LARGE_TEXT_CONTRAST if large else TEXT_CONTRAST
        if ratio < least:
            yield f"the text {text.get_text()!r} has contrast {ratio:.1f}, below {least:g}"


def _texts(part: Any) -> Iterator[Any]:
    """Texts that are drawn: titles, legends, annotations, names and marks of axes."""
    candidates: list[Artist] = [*part.texts, *(text for legend in part.legends for text in _legend_texts(legend))]
    candidates += [label for label in (part._suptitle, part._supxlabel, part._supylabel) if label is not None]
    for axes in (axes for axes in part.axes if axes.get_visible()):
        legend = axes.get_legend()
        candidates += [*axes.texts, *(_legend_texts(legend) if legend is not None else ())]
        candidates += [axes.title, axes._left_title, axes._right_title]
        if axes.axison and not hasattr(axes, "zaxis"):  # marks in space know where they are only while being drawn
            for axis in (axes.xaxis, axes.yaxis):
                candidates += [axis.label, *axis.get_ticklabels(which="both")] if axis.get_visible() else []
    yield from (
        text for text in candidates if isinstance(text, Text) and text.get_visible() and text.get_text().strip()
    )
    for below in part.subfigs:
        yield from _texts(below)


def _legend_texts(legend: Any) -> list[Text]:
    return [*legend.get_texts(), legend.get_title()] if legend.get_visible() else []


def _around(text: Any, pixels: np.ndarray, scale: float) -> Any:
    """The commonest colour in the box of a text; None where the text lies outside the picture."""
    x0, y0, x1, y1 = (round(scale * float(edge)) for edge in text.get_window_extent().extents)
    height, width = pixels.shape[:2]
    box = pixels[max(0, height - y1) : max(0, height - y0), max(0, x0) : min(width, x1)].reshape(-1, 3)
    if not len(box):
        return None
    packed = box.astype(np.int64) @ np.array([65536, 256, 1])
    values, counts = np.unique(packed, return_counts=True)
    common = int(values[counts.argmax()])
    return tuple(channel / 255 for channel in (common >> 16, common >> 8 & 255, common & 255))


def _over_white(colour: Any) -> Any:
    *rgb, alpha = to_rgba(colour)
    return tuple(alpha * channel + 1 - alpha for channel in rgb)
