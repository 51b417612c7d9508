from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ecgscan_lab.errors import PageError
from ecgscan_lab.nb import uploads
from ecgscan_lab.nb.uploads import Upload, answer_file, ask_for_picture
from ecgscan_lab.plots.figure import describe

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)


def png(pixels=PIXELS):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def view(pixels):
    if pixels.mean() > 200:
        raise PageError("no grid <here>", expected="an ECG page", fix="photograph the whole sheet")
    return describe(Figure(figsize=(2, 1)), f"A picture of {pixels.shape[1]} pixels in width, whatever it shows.")


def choose(upload, content, name="anna_smith.png"):
    """What a browser sends when a file was chosen."""
    file = {"name": name, "type": "image/png", "size": len(content), "content": memoryview(content)}
    upload.button.value = ({**file, "last_modified": datetime(2026, 1, 1, tzinfo=UTC)},)


def test_a_picture_is_taken_and_drawn_at_once():
    taken = answer_file(png(), view)
    assert np.array_equal(taken.pixels, PIXELS)
    assert "60 by 40 pixels" in taken.html
    assert 'alt="A picture of 60 pixels in width' in taken.html


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"Dear Sir", "Not a picture of a kind that is read here"),
        (b"", "Not a picture"),
        (png()[:-40], "file"),
        (png(np.zeros((4, 4, 3), np.uint8)), "4 x 4 pixels"),
        (png(np.full((40, 60, 3), 255, np.uint8)), "No grid &lt;here&gt;"),
    ],
)
def test_what_is_no_picture_or_no_page_is_refused_in_sentences(content, says):
    refused = answer_file(content, view)
    assert refused.pixels is None
    assert says in refused.html
    assert 'role="alert"' in refused.html
    assert "Expected: " in refused.html
    assert "Error" not in refused.html
    assert "\n" not in refused.words
    assert refused.words.endswith(".")


def test_a_fault_of_ours_is_not_put_on_the_file():
    def broken(pixels):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answer_file(png(), broken)


def test_a_chosen_file_leaves_neither_its_name_nor_its_bytes_in_the_widget():
    upload = Upload(view)
    assert upload.pixels is None
    choose(upload, png())
    assert np.array_equal(upload.pixels, PIXELS)
    assert upload.button.value == ()
    assert "anna" not in upload.answer.value
    choose(upload, b"Dear Sir")
    assert upload.pixels is None
    assert "anna" not in upload.answer.value
    assert upload.button.description
    assert ".pdf" in upload.button.accept


def test_the_button_comes_only_where_somebody_is_there_to_press_it(monkeypatch):
    seen, said = [], []
    monkeypatch.setattr(uploads, "say", said.append)
    monkeypatch.setattr("IPython.display.display", seen.append)
    still = ask_for_picture(view)
    assert (still.pixels, still.button, seen) == (None, None, [])
    assert said == [uploads.NOT_LIVE]
    monkeypatch.setattr(uploads, "live_front_end", lambda: True)
    box = ask_for_picture(view).box
    assert len(seen) == 1
    assert seen[0] is box
