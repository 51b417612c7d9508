"""What every figure shares: palette, text sizes, alt text, and how it reaches a notebook."""

from __future__ import annotations

import base64
import io
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from ecgscan_lab.errors import ArgumentError

# Okabe and Ito's eight colours, told apart with any common colour vision; the order puts the strongest contrasts first.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK = "#CC79A7", "#56B4E9", "#F0E442", "#000000"
PALETTE = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
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


def alt_text(figure: Figure) -> str:
    """The alt text that `describe` attached, empty when there is none."""
    return str(getattr(figure, "alt_text", ""))


def to_png(figure: Figure, dpi: int = 110) -> bytes:
    """Draw a figure as PNG bytes, with its alt text as the file's description.

    >>> to_png(Figure(figsize=(1, 1)))[1:4]
    b'PNG'
    """
    buffer = io.BytesIO()
    described = {"Description": alt_text(figure)} if alt_text(figure) else {}
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None, **described})
    return buffer.getvalue()


def show(figure: Figure, dpi: int = 110) -> None:
    """Display a figure in a notebook, with its alt text in the output's metadata.

    Args:
        figure: a figure that has been through `describe`, as those of `plot_*` have.
        dpi: dots an inch.

    Raises:
        ArgumentError: the figure has no alt text.
    """
    from IPython.display import display

    alt = alt_text(figure)
    if not alt:
        raise ArgumentError(
            "the figure has no alt text",
            field="figure",
            expected="a described figure",
            fix="call describe(figure, alt)",
        )
    encoded = base64.b64encode(to_png(figure, dpi)).decode("ascii")
    display({"image/png": encoded, "text/plain": alt}, raw=True, metadata={"image/png": {"alt": alt}})
