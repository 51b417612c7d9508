"""What every figure shares: palette, text sizes, alt text, and how it reaches a notebook."""

from __future__ import annotations

import base64
import io
from contextlib import AbstractContextManager
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.legibility import figure_findings

# Okabe and Ito's colours, told apart with any common colour vision. Two of them are too light for lines on white and
# serve for areas only; brown and azure take their places. The order puts the strongest contrasts first.
BLUE, GREEN, VERMILLION, PURPLE, BLACK = "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#000000"
ORANGE, SKY = "#E69F00", "#56B4E9"
BROWN, AZURE = "#814B2B", "#2D87FF"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, BROWN, AZURE, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

INK, MUTED, FAINT = "#222222", "#666666", "#DDDDDD"
ALT_LENGTH = 30

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "text.color": INK,
    "figure.facecolor": "white",
}


def style() -> AbstractContextManager[None]:
    """The look of every figure, as a context that leaves matplotlib's global settings as they were."""
    return matplotlib.rc_context(_STYLE)


def describe(figure: Figure, alt: str) -> Figure:
    """Attach alt text to a figure, for readers who do not see it, and return the figure.

    Args:
        figure: the figure.
        alt: what it shows and what there is to see, at least 30 characters, other than its title.

    Returns:
        The same figure; `alt_text(figure)` gives the text back.

    Raises:
        ArgumentError: the text is too short to describe anything, or merely repeats a title.

    >>> alt_text(describe(Figure(), "An empty figure, drawn to show how alt text is attached."))
    'An empty figure, drawn to show how alt text is attached.'
    """
    text = " ".join(alt.split())
    titles = {figure.get_suptitle(), *(axes.get_title(loc) for axes in figure.axes for loc in ("left", "center"))}
    if len(text) < ALT_LENGTH or text in titles:
        raise ArgumentError(
            f"alt text {text!r} does not describe the figure",
            field="alt",
            expected=f"at least {ALT_LENGTH} characters, other than the title",
            fix="say what is drawn, over which axes, and what stands out",
        )
    figure.alt_text = text  # type: ignore[attr-defined]
    return figure


def plain_markers(legend: Legend) -> None:
    """Make the markers of a scatter's legend large and opaque: on a map they are small and pale."""
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set(alpha=1.0, sizes=[45.0])


def alt_text(figure: Figure) -> str:
    """The alt text that `describe` attached, empty when there is none."""
    return str(getattr(figure, "alt_text", ""))


def to_png(figure: Figure, dpi: float = 110) -> bytes:
    """Draw a figure as PNG bytes, with its alt text as the file's description.

    >>> to_png(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    described = {"Description": alt_text(figure)} if alt_text(figure) else {}
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None, **described})
    return buffer.getvalue()


def picture_html(figure: Figure, dpi: int = 110) -> str:
    """A figure as an `<img>` with its alt text, in natural size where there is room.

    Raises:
        ArgumentError: the figure has no alt text.
    """
    return _img(to_png(figure, dpi), _described(figure))


def show(figure: Figure, dpi: int = 110) -> None:
    """Display a figure in a notebook, with its alt text where every reader's software looks for it.

    Front ends show the first form that they know: an `<img>` with alt text, since JupyterLab gives none to a bare PNG;
    the PNG, for paper and galleries, with the alt text in its metadata; and the alt text itself, in a terminal. Under
    `findings`, the metadata lists what `plots.legibility` holds against the figure.

    Args:
        figure: a figure that has been through `describe`, as those of `plot_*` have.
        dpi: dots an inch.

    Raises:
        ArgumentError: the figure has no alt text.
    """
    from IPython.display import display

    alt = _described(figure)
    png = to_png(figure, dpi)
    forms = {"text/html": _img(png, alt), "image/png": base64.b64encode(png).decode("ascii"), "text/plain": alt}
    findings = figure_findings(figure, png, dpi)
    display(forms, raw=True, metadata={"image/png": {"alt": alt, "findings": findings}})


def _described(figure: Figure) -> str:
    """The alt text of a figure that must have one."""
    alt = alt_text(figure)
    if not alt:
        raise ArgumentError(
            "the figure has no alt text",
            field="figure",
            expected="a described figure",
            fix="call describe(figure, alt)",
        )
    return alt


def _img(png: bytes, alt: str) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return f'<img src="{source}" alt="{escape(alt)}" style="max-width:100%">'
