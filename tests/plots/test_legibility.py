from __future__ import annotations

import pytest
from matplotlib.figure import Figure

from ecgscan_lab.plots.colour import closest_pair, contrast_ratio, lab_distance
from ecgscan_lab.plots.figure import PALETTE, describe, show, to_png
from ecgscan_lab.plots.legibility import BACKDROP, DISTANCE, LINE_CONTRAST, figure_findings


def findings(draw) -> str:
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.set(xlabel="Time (s)", ylabel="Voltage (mV)")
    draw(axes)
    return "; ".join(figure_findings(figure, to_png(figure, 80), 80))


@pytest.mark.parametrize(
    ("bad", "good", "says"),
    [
        (lambda a: a.set_xlabel(""), lambda a: a.set(xlabel="", xticks=[]), "no title"),
        (lambda a: a.set_ylabel("voltage"), lambda a: a.set_ylabel("training step"), "no unit"),
        (lambda a: a.set_xlabel(""), lambda a: a.set(xlabel="") and a.set_xticks([0, 1], ["MI", "NORM"]), "no title"),
        (
            lambda a: a.text(0.5, 0.5, "x", color="#999999"),
            lambda a: a.text(0.5, 0.5, "x", color="#666666"),
            "the text",
        ),
        (lambda a: a.plot([0, 1], color="#DDDDDD"), lambda a: a.plot([0, 1], color="#DDDDDD", gid=BACKDROP), "a line"),
        (lambda a: a.plot([0, 1], "k", alpha=0.3), lambda a: a.plot([0, 1], "k", alpha=0.8), "a line"),
        (lambda a: a.scatter([0], [1], c="#F0E442"), lambda a: a.scatter([0], [1], c=PALETTE[0]), "scattered"),
        (
            lambda a: [a.plot([0, 1], color=c, label=c) for c in ("#B05A00", "#6C6C00")],
            lambda a: [a.plot([0, 1], s, color=c, label=c) for c, s in (("#B05A00", "-"), ("#6C6C00", "--"))],
            "look alike",
        ),
    ],
)
def test_each_rule_speaks_up_and_falls_silent(bad, good, says):
    assert says in findings(bad)
    assert findings(good) == ""


def test_text_is_judged_by_what_lies_beneath_it():
    def label(axes, ground):
        axes.axvspan(0, 1, color=ground)
        axes.text(0.5, 0.5, "white", color="white", ha="center")

    assert "'white' has contrast" in findings(lambda axes: label(axes, "#DDDDDD"))
    assert findings(lambda axes: label(axes, "black")) == ""


def test_colours_of_the_palette_show_on_white_and_are_told_apart_by_all():
    assert min(map(contrast_ratio, PALETTE)) >= LINE_CONTRAST
    assert closest_pair(PALETTE)[0] >= DISTANCE


def test_distances_are_those_published_with_the_formula():
    published = [
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ]
    for first, second, distance in published:
        assert lab_distance(first, second) == pytest.approx(distance, abs=1e-4)


def test_a_shown_figure_reaches_screen_readers_paper_and_terminals(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **more: sent.append((data, more["metadata"])))
    alt = 'A line & its "mirror", drawn to be read aloud.'
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0, 1])
    show(describe(figure, alt))
    [(data, metadata)] = sent
    assert 'alt="A line &amp; its &quot;mirror&quot;, drawn to be read aloud."' in data["text/html"]
    assert data["image/png"] in data["text/html"]
    assert data["text/plain"] == metadata["image/png"]["alt"] == alt
    assert any("no title" in finding for finding in metadata["image/png"]["findings"])
