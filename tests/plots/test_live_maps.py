from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError, MissingExtraError
from ecgscan_lab.plots.figure import alt_text
from ecgscan_lab.plots.live_maps import SHOWN, chosen_records, linked_chart, map_chart, mark_record, page_card
from ecgscan_lab.plots.maps import Places, plot_map_pages, plot_selection

POINTS = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [3.0, 1.0]])
LABELS = ["MI", "NORM", "MI", "NORM"]
PAGE = np.full((20, 40, 3), 255, np.uint8)


def test_a_chart_keeps_every_point_with_its_record_and_says_its_class_without_colour():
    chart = map_chart(POINTS, LABELS, "Four pages", said=["a", "b <i>", "c" * 100, ""])
    *classes, ring = chart.data
    assert [trace.name for trace in classes] == ["MI (2)", "NORM (2)"]
    assert [list(trace.customdata) for trace in classes] == [[0, 2], [1, 3]]
    assert [list(trace.x) for trace in classes] == [[0.0, 2.0], [1.0, 3.0]]
    assert classes[0].marker.symbol != classes[1].marker.symbol
    assert list(classes[1].text) == ["record 1: NORM<br>b &lt;i&gt;", "record 3: NORM"]
    assert (ring.name, len(ring.x)) == (SHOWN, 0)
    assert chart.layout.title.text == "Four pages"
    assert chart.layout.dragmode == "lasso"


def test_a_long_report_under_the_pointer_is_broken_into_a_few_short_lines():
    chart = map_chart(POINTS, LABELS, "Four pages", said=["many words " * 40] * 4)
    lines = chart.data[0].text[0].split("<br>")
    assert len(lines) == 4
    assert max(map(len, lines)) <= 42
    assert lines[-1].endswith("...")


def test_a_lasso_over_several_classes_takes_their_records_once_and_in_order():
    chart = map_chart(POINTS, LABELS, "Four pages")
    assert chosen_records(chart) is None
    chart.data[0].selectedpoints, chart.data[1].selectedpoints = (1,), (0, 1)
    assert chosen_records(chart).tolist() == [1, 2, 3]
    chart.data[0].selectedpoints, chart.data[1].selectedpoints = (), ()
    assert chosen_records(chart).tolist() == []


def test_the_ring_is_no_record_that_a_lasso_could_take():
    chart = map_chart(POINTS, LABELS, "Four pages")
    mark_record(chart, 3)
    assert (list(chart.data[-1].x), list(chart.data[-1].y)) == ([3.0], [1.0])
    chart.data[-1].selectedpoints = (0,)
    assert chosen_records(chart) is None


def test_modalities_of_a_record_are_linked():
    chart = linked_chart(Places(POINTS, POINTS + 10, POINTS - 10), "Places", said=["a", "b", "c", "d"])
    assert [trace.name for trace in chart.data[:-1]] == ["image (4)", "text (4)", "signal (4)"]
    mark_record(chart, 2)
    assert list(chart.data[-1].x) == [2.0, 12.0, -8.0, 2.0]
    chart.data[1].selectedpoints, chart.data[2].selectedpoints = (3,), (0, 3)
    assert chosen_records(chart).tolist() == [0, 3]


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: map_chart(POINTS, LABELS[:3], "t"), "points"),
        (lambda: map_chart(POINTS[:, :1], LABELS, "t"), "points"),
        (lambda: map_chart(POINTS, LABELS, " "), "labels"),
        (lambda: map_chart(np.zeros((8, 2)), list("abcdefgh"), "t"), "labels"),
        (lambda: map_chart(POINTS, LABELS, "t", said=["a"]), "said"),
        (lambda: mark_record(map_chart(POINTS, LABELS, "t"), 4), "record"),
        (lambda: page_card(PAGE.astype(float), "x"), "page"),
        (lambda: page_card(PAGE[..., 0], "x"), "page"),
        (lambda: plot_map_pages(POINTS, LABELS, {}, []), "shown"),
        (lambda: plot_map_pages(POINTS, LABELS, {"a": 4}, [PAGE]), "points"),
        (lambda: plot_selection(np.zeros((4, 12, 200)), 100.0, [4], LABELS), "chosen"),
        (lambda: plot_selection(np.zeros((4, 12, 200)), 100.0, [1], LABELS, POINTS[:3]), "points"),
    ],
)
def test_what_does_not_match_is_refused_by_name(make, field):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.field == field


def test_without_plotly_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingExtraError, match="plotly"):
        map_chart(POINTS, LABELS, "t")


def test_a_page_beside_the_map_is_described_and_escaped_either_way_round():
    card = page_card(PAGE, 'record 1, <b> & "so"')
    assert re.search(r'<img src="data:image/png;base64,[\w+/=]+" alt="The page of: record 1, &lt;b&gt; &amp; ', card)
    assert card == page_card(PAGE.transpose(2, 0, 1), 'record 1, <b> & "so"')


def test_still_twins_say_and_show_where_the_records_lie():
    taken = plot_selection(np.random.default_rng(0).normal(size=(4, 12, 200)), 100.0, [1, 2], LABELS, POINTS)
    assert "2 chosen records: MI 1, NORM 1" in alt_text(taken)
    assert [len(axes.collections) for axes in taken.axes[:1]] == [3], "the pale ones, and the chosen of each class"
    beside = plot_map_pages(POINTS, LABELS, {"a normal one": 3, "an infarct": 0}, [PAGE, PAGE])
    assert "a normal one at 3, 1; an infarct at 0, 0" in alt_text(beside)
    assert [axes.get_title(loc="left") for axes in beside.axes[1:]] == ["A: a normal one", "B: an infarct"]
