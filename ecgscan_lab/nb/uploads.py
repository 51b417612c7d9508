"""A picture of the reader's own: chosen in a live notebook, decoded in memory, refused in words where it is none."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from ecgscan_lab.errors import EcgScanLabError
from ecgscan_lab.evaluate.picture_files import SUFFIXES, decode_picture
from ecgscan_lab.nb.widgets import alert_html, live_front_end, need_ipywidgets, say
from ecgscan_lab.plots.figure import picture_html

View = Callable[[np.ndarray], Figure]

YOURS = "your file"
"""What a chosen file is called: its name may hold a patient's."""

NOT_LIVE = "In a live notebook a button stands here that takes a file; elsewhere the parameter `picture` names one."
_ASKED = (
    "<p>A PNG, JPEG, TIFF or PDF of up to about 10 MB; a larger one by the parameter <code>picture</code>. It stays in "
    "this kernel's memory. Figures of it are kept when you save the notebook: clear them before you share it.</p>"
)


class Answer(NamedTuple):
    """What became of a file: its pixels, None where it was refused; that in words, and as a live notebook shows it."""

    pixels: np.ndarray | None
    words: str
    html: str


def answer_file(content: bytes, view: View | None = None, page: int = 1) -> Answer:
    """Decode a chosen file, draw it, and say in words what is wrong where that fails.

    Args:
        content: the file's bytes.
        view: pixels -> figure with alt text, for instance of the page found on it; a picture for which it raises a
            typed error is refused, too. None: nothing is drawn.
        page: of a TIFF or PDF file, from 1.

    Returns:
        An `Answer`. Errors of ours (`EcgScanLabError`) become its sentence; any other is a fault and is raised.

    Example:
        >>> answer_file(b"no picture").pixels is None
        True
    """
    try:
        pixels = decode_picture(content, YOURS, page)
        shown = "" if view is None else picture_html(view(pixels))
    except EcgScanLabError as error:
        words = in_sentences(error)
        return Answer(None, words, alert_html(f"{escape(words)} Choose another one."))
    height, width = pixels.shape[:2]
    words = f"{width} by {height} pixels. Now run the cells below: they read this picture."
    return Answer(pixels, words, f"<p>{words}</p>{shown}")


def in_sentences(error: EcgScanLabError) -> str:
    """A typed error without its name: what failed, what would have been taken, what helps.

    >>> in_sentences(EcgScanLabError("no grid", expected="an ECG page"))
    'No grid. Expected: an ECG page.'
    """
    said = [f"{error.what[:1].upper()}{error.what[1:]}."]
    said += [f"Expected: {error.expected}."] if error.expected else []
    said += [f"What helps: {error.fix}."] if error.fix else []
    return " ".join(said)


class Upload:
    """A button that takes one file, and what became of it.

    Args:
        view: as in `answer_file`.

    Attributes:
        pixels: the last picture that was taken, uint8 `[height, width, 3]`; None before, and after a refused file.
        button: the ipywidgets `FileUpload`, or None where nobody is there to press it.
        answer: HTML widget with what became of the file.
        box: both, to display.
    """

    def __init__(self, view: View | None = None, *, live: bool = True) -> None:
        self.pixels: np.ndarray | None = None
        self._view = view
        self.button: Any = None
        if not live:
            return
        ipywidgets = need_ipywidgets()
        self.button = ipywidgets.FileUpload(
            accept=",".join(SUFFIXES), multiple=False, description="Choose a picture", layout={"width": "16em"}
        )
        self.answer = ipywidgets.HTML(_ASKED)
        self.button.observe(self._chosen, names="value")
        self.box = ipywidgets.VBox([self.button, self.answer])

    def _chosen(self, change: dict[str, Any]) -> None:
        if not change["new"]:
            return
        content = bytes(change["new"][0]["content"])
        self.button.value = ()  # Jupyter may save what a widget holds, and this is somebody's recording
        self.pixels, _, self.answer.value = answer_file(content, self._view)


def ask_for_picture(view: View | None = None) -> Upload:
    """Show a button that takes a picture file, where somebody is there to press it; elsewhere one sentence.

    Args:
        view: as in `answer_file`.

    Returns:
        The `Upload`; its `pixels` are None until a file was taken. Under papermill they stay so.
    """
    live = live_front_end()
    upload = Upload(view, live=live)
    if live:
        from IPython.display import display

        display(upload.box)
    else:
        say(NOT_LIVE)
    return upload
