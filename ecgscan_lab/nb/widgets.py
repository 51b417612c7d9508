"""Figures that a reader can turn: a static picture first, and controls beneath it where a live front end listens."""

from __future__ import annotations

import importlib
import io
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.util import find_spec
from typing import Any

from matplotlib.figure import Figure

from ecgscan_lab.errors import ArgumentError, MissingExtraError
from ecgscan_lab.plots.figure import alt_text, describe, picture_html, show, style, to_png

View = Callable[..., Figure]

_UNITS = {"_deg": "°", "_mv": " mV", "_hz": " Hz", "_mm": " mm", "_ms": " ms", "_s": " s"}


@dataclass(frozen=True)
class Slider:
    """A number between two ends; `label` says what it is and in which unit."""

    low: float
    high: float
    start: float
    step: float
    label: str


@dataclass(frozen=True)
class Choice:
    """One of several values; each is shown as its text."""

    options: tuple[Any, ...]
    start: Any
    label: str


@dataclass(frozen=True)
class Switch:
    """On or off."""

    start: bool
    label: str


@dataclass(frozen=True)
class TextBox:
    """Words to be edited; the figure follows when the reader presses Enter or leaves the box."""

    start: str
    label: str


Control = Slider | Choice | Switch | TextBox


def slider(low: float, high: float, start: float, step: float, label: str) -> Slider:
    """Describe a slider.

    Args:
        low: left end.
        high: right end.
        start: where it stands at first.
        step: one press of an arrow key.
        label: what it sets, with its unit.

    Raises:
        ArgumentError: the ends are not in order, the start is outside them, or there is no step or label.

    >>> slider(-1, 1, 0.5, 0.05, "cosine (image, text)").start
    0.5
    """
    if not all(map(math.isfinite, (low, high, start, step))) or not low < high or not low <= start <= high:
        raise ArgumentError(f"slider from {low} to {high} at {start}", field="start", expected="low <= start <= high")
    if not 0 < step <= high - low:
        raise ArgumentError(f"a step of {step}", field="step", expected=f"above 0, at most {high - low}")
    return Slider(low, high, start, step, _checked_label(label))


def choice(options: Sequence[Any], start: Any, label: str) -> Choice:
    """Describe a choice among values.

    Raises:
        ArgumentError: fewer than two options, the start is none of them, or there is no label.

    >>> choice(["volume", "plane_distance"], "volume", "kind").options
    ('volume', 'plane_distance')
    """
    if len(options) < 2 or start not in list(options):
        raise ArgumentError(
            f"a choice among {len(options)} starting at {start!r}", field="start", expected="one of two or more options"
        )
    return Choice(tuple(options), start, _checked_label(label))


def switch(start: bool, label: str) -> Switch:
    """Describe a switch.

    Raises:
        ArgumentError: there is no label.

    >>> switch(False, "show the plane").start
    False
    """
    return Switch(bool(start), _checked_label(label))


def text_box(start: str, label: str) -> TextBox:
    """Describe a line of text.

    Raises:
        ArgumentError: there is no label.

    >>> text_box("atrial fibrillation", "prompt").start
    'atrial fibrillation'
    """
    return TextBox(str(start), _checked_label(label))


class FigurePanel:
    """The live half of `interact_figure`: one widget a control, and a picture that they redraw in place.

    Args:
        view: `view(**values) -> Figure`, pure, with alt text (`plots.figure.describe`).
        controls: parameter -> `slider`, `choice`, `switch` or `text_box`.

    Attributes:
        widgets: parameter -> its ipywidgets widget; setting `.value` redraws, which is how it is tested without a
            browser. A slider stands beside a box with the same number, which carries its label, a list beside a slider.
        picture: the HTML widget that holds the picture with its alt text, or the message of an error.
        box: all of it, to display.

    Raises:
        ArgumentError: a control is none of the four, or there is none.
        MissingExtraError: ipywidgets is not installed.
    """

    def __init__(self, view: View, controls: Mapping[str, Control]) -> None:
        self._view = view
        label_em = 2.0 + 0.5 * max(len(control.label) for control in checked_controls(controls).values())
        self.widgets = {name: _widget(control, label_em) for name, control in controls.items()}
        self.picture = need_ipywidgets().HTML()
        for widget in self.widgets.values():
            widget.observe(self._redraw, names="value")
        self._redraw()
        rows = [_row(widget) for widget in self.widgets.values()]
        self.box = need_ipywidgets().VBox([*rows, self.picture])

    def values(self) -> dict[str, Any]:
        """Where the controls stand."""
        return {name: widget.value for name, widget in self.widgets.items()}

    def _redraw(self, change: Any = None) -> None:
        """Draw with the values of now; an error replaces the picture, which would not belong to the controls."""
        try:
            self.picture.value = picture_html(self._view(**self.values()))
        except Exception as error:
            self.picture.value = error_html(error)


def interact_figure(view: View, **controls: Control) -> None:
    """Show a figure, and beneath it, where someone is there to use them, controls that redraw it.

    The static figure comes first and always: it is what papermill, a printed page and a screen reader get. Controls
    follow in a live notebook only, see `live_front_end`. They redraw on release, not on every pixel of the way, and can
    be reached and moved with the keyboard.

    Args:
        view: a pure plot function of the library, `view(**values) -> Figure` with alt text.
        **controls: one `slider`, `choice`, `switch` or `text_box` for each parameter of the view that a reader may set.

    Raises:
        ArgumentError: a control is none of the four, there is none, or the figure has no alt text.

    Errors of the view at the first values are raised; later ones are shown in place of the picture.
    """
    starts = {name: control.start for name, control in checked_controls(controls).items()}
    show(view(**starts))
    if live_front_end():
        from IPython.display import display

        display(FigurePanel(view, controls).box)


def static_twin(
    view: View, values: Sequence[Mapping[str, Any]], titles: Sequence[str] | None = None, *, columns: int = 2
) -> Figure:
    """Draw a view at several values, side by side: what the controls would show, for those who have none.

    Args:
        view: as in `interact_figure`.
        values: one mapping of parameters for each panel.
        titles: one a panel; None: its parameters.
        columns: panels in a row.

    Returns:
        One figure, with the alt texts of its panels as its own.

    Raises:
        ArgumentError: no values, or a panel without alt text.
    """
    named = [_named(chosen) for chosen in values] if titles is None else titles
    return figure_grid([view(**chosen) for chosen in values], named, columns=columns)


def figure_grid(figures: Sequence[Figure], titles: Sequence[str], *, columns: int = 2) -> Figure:
    """Put finished figures side by side.

    Args:
        figures: figures with alt text.
        titles: one a figure, drawn above it and read before its alt text.
        columns: figures in a row.

    Raises:
        ArgumentError: nothing to show, titles that do not match, or a figure without alt text.
    """
    if not figures or len(figures) != len(titles) or columns < 1:
        raise ArgumentError(
            f"{len(figures)} figures, {len(titles)} titles, {columns} columns",
            field="figures",
            expected="at least one figure, a title for each, at least one column",
        )
    if not all(map(alt_text, figures)):
        raise ArgumentError(
            "a figure has no alt text", field="figures", expected="figures that went through describe(figure, alt)"
        )
    from PIL import Image

    columns = min(columns, len(figures))
    rows = math.ceil(len(figures) / columns)
    width = 10.0 / columns if columns > 1 else 7.0
    # Twice as fine as a panel is shown; drawing finer, only to shrink it, took most of the time.
    dots = [min(150.0, 220.0 * width / figure.get_figwidth()) for figure in figures]
    pictures = [Image.open(io.BytesIO(to_png(figure, dpi=dpi))) for figure, dpi in zip(figures, dots, strict=True)]
    height = width * max(picture.height / picture.width for picture in pictures) + 0.3
    with style():
        grid = Figure(figsize=(width * columns, height * rows), layout="constrained")
        panels = grid.subplots(rows, columns, squeeze=False).ravel()
        for panel in panels:
            panel.set_axis_off()
        for panel, picture, title in zip(panels, pictures, titles, strict=False):
            panel.imshow(picture, interpolation="lanczos")
            panel.set_title(title, loc="center", fontsize=10)
    read = " ".join(f"{title}: {alt_text(figure)}" for title, figure in zip(titles, figures, strict=True))
    return describe(grid, f"{len(figures)} panels. {read}")


def live_front_end() -> bool:
    """Whether controls would reach somebody: a Jupyter kernel with ipywidgets, not papermill, CI or ECGSCAN_STATIC=1.

    `nb.setup.setup_notebook` and `nb.execute.run_notebook` set ECGSCAN_PROGRESS, which tells papermill from a browser.
    """
    if any(os.environ.get(name, "").lower() in {"1", "true"} for name in ("ECGSCAN_STATIC", "CI")):
        return False
    ipython = sys.modules.get("IPython")
    shell = type(ipython.get_ipython()).__name__ if ipython is not None else ""
    if "google.colab" not in sys.modules and shell != "ZMQInteractiveShell":
        return False
    return os.environ.get("ECGSCAN_PROGRESS") != "plain" and find_spec("ipywidgets") is not None


def say(words: str) -> None:
    """Show a sentence, as Markdown where a front end reads it and as plain text anywhere else."""
    from IPython.display import display

    display({"text/markdown": words, "text/plain": words}, raw=True)


def error_html(error: Exception) -> str:
    """An error as a message that is seen, and read out: screen readers announce an alert at once."""
    lines = escape(f"{type(error).__name__}: {error}").replace("\n", "<br>")
    return alert_html(f"<b>No figure for these values.</b><br>{lines}")


def alert_html(inner: str) -> str:
    """A message, given as HTML, in the frame that an error has."""
    return (
        '<div role="alert" style="border-left:4px solid #D55E00;padding:.4em .8em;line-height:1.5;white-space:normal">'
        f"{inner}</div>"
    )


def checked_controls(controls: Mapping[str, Control]) -> Mapping[str, Control]:
    """The controls, if there are any and each is one.

    Raises:
        ArgumentError: otherwise.
    """
    if not controls:
        raise ArgumentError("no controls", field="controls", fix="show(view()) shows a figure without any")
    for name, control in controls.items():
        if not isinstance(control, (Slider, Choice, Switch, TextBox)):
            raise ArgumentError(
                f"control {name!r} is a {type(control).__name__}",
                field=name,
                expected="slider(...), choice(...), switch(...) or text_box(...)",
            )
    return controls


def need_ipywidgets() -> Any:
    """The ipywidgets module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module("ipywidgets")
    except ImportError as error:
        raise MissingExtraError("controls need ipywidgets", fix='pip install "ecgscan-lab[notebooks]"') from error


def _widget(control: Control, label_em: float) -> Any:
    """One control; labels of one panel are equally wide, and wide enough to be read whole."""
    ipywidgets = need_ipywidgets()
    wide = {
        "layout": {"width": f"min({label_em + 24:.0f}em, 100%)"},
        "style": {"description_width": f"{label_em:.1f}em"},
    }
    if isinstance(control, Switch):
        return ipywidgets.Checkbox(value=control.start, description=control.label, indent=False)
    if isinstance(control, TextBox):
        return ipywidgets.Text(value=control.start, description=control.label, continuous_update=False, **wide)
    if isinstance(control, Choice):
        named = [(str(option), option) for option in control.options]
        return ipywidgets.Dropdown(options=named, value=control.start, description=control.label, **wide)
    limits = {"min": control.low, "max": control.high, "step": control.step, "value": control.start}
    whole = all(float(number).is_integer() and isinstance(number, int) for number in limits.values())
    kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
    return kind(**limits, description=control.label, continuous_update=False, readout=False, **wide)


def _row(widget: Any) -> Any:
    """A control as it is laid out: a slider's handle has no name for screen readers, so a labelled number leads it.

    A list stands beside a slider over its options: JupyterLab takes the arrow keys of a list to move between cells.
    """
    ipywidgets = need_ipywidgets()
    if isinstance(widget, ipywidgets.Dropdown):
        steps = ipywidgets.SelectionSlider(
            options=widget.options, index=widget.index, readout=False, continuous_update=False, layout={"width": "12em"}
        )
        widget.layout.width = f"calc({widget.style.description_width} + 15em)"
        ipywidgets.link((widget, "index"), (steps, "index"))
        return ipywidgets.HBox([widget, steps], layout={"flex_flow": "row wrap"})
    if not isinstance(widget, (ipywidgets.IntSlider, ipywidgets.FloatSlider)):
        return widget
    kind = ipywidgets.BoundedIntText if isinstance(widget, ipywidgets.IntSlider) else ipywidgets.BoundedFloatText
    label_em = widget.style.description_width
    number = kind(
        value=widget.value,
        min=widget.min,
        max=widget.max,
        step=widget.step,
        description=widget.description,
        continuous_update=False,
        style={"description_width": label_em},
        layout={"width": f"calc({label_em} + 6em)"},
    )
    widget.description, widget.layout.width = "", "18em"
    ipywidgets.link((widget, "value"), (number, "value"))
    return ipywidgets.HBox([number, widget], layout={"flex_flow": "row wrap"})


def _checked_label(label: str) -> str:
    if not label.strip():
        raise ArgumentError("a control without a label", field="label", expected="what it sets, with its unit")
    return label.strip()


def _named(values: Mapping[str, Any]) -> str:
    """Parameters in words, the unit at the end of a name moved behind the value."""
    words = []
    for name, value in values.items():
        suffix = next((ending for ending in _UNITS if name.endswith(ending)), "")
        words.append(f"{name.removesuffix(suffix).replace('_', ' ')} {value}{_UNITS.get(suffix, '')}")
    return ", ".join(words)
