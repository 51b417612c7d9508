from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.nb import widgets
from ecgscan_lab.nb.widgets import (
    FigurePanel,
    choice,
    figure_grid,
    interact_figure,
    live_front_end,
    slider,
    static_twin,
    switch,
    text_box,
)
from ecgscan_lab.plots.figure import alt_text, describe


def view(height=1.0, kind="line", grid=False):
    if height > 2.5:
        raise ArgumentError("too <high>", field="height")
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, height])
    return describe(figure, f"A {kind} that rises to {height} millivolts, grid & all: {grid}.")


CONTROLS = {
    "height": slider(0.0, 3.0, 1.0, 0.5, "height (mV)"),
    "kind": choice(["line", "step"], "line", "kind"),
    "grid": switch(False, "grid"),
}


@pytest.fixture
def sent(monkeypatch):
    """What would be displayed: alt texts of pictures, and other things as they are."""
    seen = []
    monkeypatch.setattr("ecgscan_lab.nb.widgets.show", lambda figure: seen.append(alt_text(figure)))
    monkeypatch.setattr("IPython.display.display", seen.append)
    return seen


def test_the_static_figure_comes_first_and_alone_without_a_front_end(sent, monkeypatch):
    monkeypatch.setattr(widgets, "live_front_end", lambda: False)
    assert interact_figure(view, **CONTROLS) is None
    assert sent == ["A line that rises to 1.0 millivolts, grid & all: False."]


def test_controls_follow_the_static_figure_in_a_live_front_end(sent, monkeypatch):
    monkeypatch.setattr(widgets, "live_front_end", lambda: True)
    interact_figure(view, **CONTROLS)
    assert sent[0].startswith("A line that rises to 1.0")
    [box] = sent[1:]
    named = [getattr(child, "children", (child,))[0] for child in box.children[:-1]]
    assert [widget.description for widget in named] == ["height (mV)", "kind", "grid"]


def test_moving_a_control_redraws_the_same_picture_by_the_same_view():
    panel = FigurePanel(view, CONTROLS)
    picture, before = panel.picture, panel.picture.value
    assert 'alt="A line that rises to 1.0 millivolts, grid &amp; all: False."' in before
    panel.widgets["height"].value = 2.0
    panel.widgets["kind"].value = "step"
    panel.widgets["grid"].value = True
    assert panel.values() == {"height": 2.0, "kind": "step", "grid": True}
    assert panel.picture is picture
    assert "A step that rises to 2.0 millivolts, grid &amp; all: True." in picture.value
    assert picture.value == widgets.picture_html(view(2.0, "step", True))
    assert picture.value != before


def test_words_are_edited_in_a_box_that_redraws_when_they_are_done():
    panel = FigurePanel(view, {"kind": text_box("line", "kind")})
    box = panel.widgets["kind"]
    assert (box.description, box.continuous_update) == ("kind", False)
    assert 'alt="A line that rises' in panel.picture.value
    box.value = "zig <zag>"
    assert 'alt="A zig &lt;zag&gt; that rises' in panel.picture.value
    with pytest.raises(ArgumentError, match="label"):
        text_box("line", " ")


def test_an_error_in_the_view_is_shown_in_place_of_the_picture_and_goes_when_it_is_mended():
    panel = FigurePanel(view, CONTROLS)
    panel.widgets["height"].value = 3.0
    assert 'role="alert"' in panel.picture.value
    assert "ArgumentError: too &lt;high&gt;<br>  field: height" in panel.picture.value
    assert "<img" not in panel.picture.value
    panel.widgets["height"].value = 2.0
    assert "alert" not in panel.picture.value
    assert "<img" in panel.picture.value


def test_an_interrupt_is_not_swallowed():
    def interrupted(height):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FigurePanel(interrupted, {"height": CONTROLS["height"]})


def test_controls_are_reached_with_the_keyboard_and_draw_on_release():
    panel = FigurePanel(view, CONTROLS)
    height = panel.widgets["height"]
    assert (height.min, height.max, height.step, height.continuous_update) == (0.0, 3.0, 0.5, False)
    assert all(widget.tabbable is not False and not widget.disabled for widget in panel.widgets.values())
    whole = FigurePanel(view, {"height": slider(0, 2, 1, 1, "height (mV)")}).widgets["height"]
    assert type(whole.value) is int


@pytest.mark.parametrize(("step", "typed"), [(0.5, 2.0), (1, 2)])
def test_a_slider_has_a_labelled_number_that_moves_it_and_follows_it(step, typed):
    panel = FigurePanel(view, {"height": slider(type(step)(0), type(step)(3), type(step)(1), step, "height (mV)")})
    number, height = panel.box.children[0].children
    assert height is panel.widgets["height"]
    assert (number.description, number.min, number.max, number.step) == ("height (mV)", 0, 3, step)
    number.value = typed
    assert height.value == typed
    assert f"rises to {typed} millivolts" in panel.picture.value
    height.value = type(step)(1)
    assert number.value == 1
    number.value = 99
    assert height.value == 3, "no further than the end"
    assert type(height.value) is type(step)


def test_a_list_has_a_slider_beside_it_since_jupyterlab_takes_its_arrow_keys():
    panel = FigurePanel(view, {"kind": choice(["line", "step", "curve"], "step", "kind")})
    named, steps = panel.box.children[0].children
    assert named is panel.widgets["kind"]
    assert (named.description, named.index, steps.index) == ("kind", 1, 1)
    steps.index = 2
    assert named.value == "curve"
    assert "A curve that rises" in panel.picture.value
    named.value = "line"
    assert steps.index == 0


def test_an_error_at_the_first_values_is_raised(sent):
    with pytest.raises(ArgumentError, match="too <high>"):
        interact_figure(view, height=slider(0.0, 3.0, 3.0, 0.5, "height (mV)"))


def test_a_view_without_alt_text_is_refused(sent, monkeypatch):
    monkeypatch.setattr(widgets, "show", lambda figure: None)
    assert "no alt text" in FigurePanel(lambda grid: Figure(), {"grid": switch(True, "grid")}).picture.value
    with pytest.raises(ArgumentError, match="no alt text"):
        static_twin(lambda grid: Figure(), [{"grid": True}])


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: slider(1.0, 0.0, 0.5, 0.1, "x"), "start"),
        (lambda: slider(0.0, 1.0, 2.0, 0.1, "x"), "start"),
        (lambda: slider(0.0, float("inf"), 0.0, 0.1, "x"), "start"),
        (lambda: slider(0.0, 1.0, 0.5, 0.0, "x"), "step"),
        (lambda: slider(0.0, 1.0, 0.5, 0.1, " "), "label"),
        (lambda: choice(["a"], "a", "x"), "start"),
        (lambda: choice(["a", "b"], "c", "x"), "start"),
        (lambda: switch(True, ""), "label"),
        (lambda: interact_figure(view), "controls"),
        (lambda: interact_figure(view, height=1.0), "height"),
        (lambda: figure_grid([], []), "figures"),
        (lambda: figure_grid([view()], ["a", "b"]), "figures"),
    ],
)
def test_bad_descriptions_name_the_argument(make, field):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.field == field


def test_the_static_twin_shows_each_value_with_its_own_alt_text():
    twin = static_twin(view, [{"height": 1.0}, {"height": 2.0}, {"height": 2.0, "kind": "step"}])
    assert [axes.get_title() for axes in twin.axes if axes.images] == [
        "height 1.0",
        "height 2.0",
        "height 2.0, kind step",
    ]
    assert len(twin.axes) == 4
    read = alt_text(twin)
    assert read.startswith("3 panels. height 1.0: A line that rises to 1.0")
    assert "height 2.0, kind step: A step that rises to 2.0" in read


def kernel(monkeypatch, name="ZMQInteractiveShell"):
    shell = type(name, (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    for variable in ("CI", "ECGSCAN_STATIC", "ECGSCAN_PROGRESS"):
        monkeypatch.delenv(variable, raising=False)


def test_a_live_front_end_is_a_kernel_without_papermill_ci_or_a_wish_for_stillness(monkeypatch):
    kernel(monkeypatch)
    assert live_front_end()
    for variable, value in (("CI", "true"), ("ECGSCAN_STATIC", "1"), ("ECGSCAN_PROGRESS", "plain")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            assert not live_front_end()
    monkeypatch.setattr(widgets, "find_spec", lambda name: None)
    assert not live_front_end()


def test_a_terminal_is_no_front_end(monkeypatch):
    kernel(monkeypatch, "TerminalInteractiveShell")
    assert not live_front_end()


def test_pictures_shrink_with_the_page():
    assert re.search(
        r'<img src="data:image/png;base64,[\w+/=]+" alt="[^"]+" style="max-width:100%">', widgets.picture_html(view())
    )


LIVE = """
from matplotlib.figure import Figure
from ecgscan_lab.nb.widgets import interact_figure, slider
from ecgscan_lab.plots.figure import describe

def view(height):
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, height])
    return describe(figure, f"A line that rises to {height} millivolts, no more.")

interact_figure(view, height=slider(0.0, 3.0, 1.0, 0.5, "height (mV)"))
"""


@pytest.mark.notebooks
@pytest.mark.slow
def test_a_front_end_that_moves_the_slider_gets_the_new_picture(monkeypatch):
    """A kernel as a browser meets it: the widget messages of the protocol, sent by hand."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import KernelManager

    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=50"]

    class OwnInterpreter(KernelManager):
        kernel_spec = KernelSpec(argv=command, display_name="this interpreter", language="python")

    for variable in ("CI", "ECGSCAN_STATIC", "ECGSCAN_PROGRESS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(widgets.__file__).parents[2]))
    manager = OwnInterpreter()
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        seen = []
        client.execute_interactive(LIVE, timeout=120, output_hook=seen.append)
        shown = [message["content"]["data"] for message in seen if message["msg_type"] == "display_data"]
        assert ["image/png" in shown[0], "application/vnd.jupyter.widget-view+json" in shown[1]] == [True, True]
        opened = [message["content"] for message in seen if message["msg_type"] == "comm_open"]
        comms = {item["data"]["state"]["_model_name"]: item["comm_id"] for item in opened}
        update = {"method": "update", "state": {"value": 2.5}, "buffer_paths": []}
        content = {"comm_id": comms["FloatSliderModel"], "data": update}
        client.shell_channel.send(client.session.msg("comm_msg", content))
        while True:
            answer = client.get_iopub_msg(timeout=60)["content"]
            if answer.get("comm_id") == comms["HTMLModel"]:
                break
        assert 'alt="A line that rises to 2.5 millivolts, no more."' in answer["data"]["state"]["value"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
