from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.nb import map_panel
from ecgscan_lab.nb.map_panel import MapPanel, explore_map
from ecgscan_lab.plots.figure import describe
from ecgscan_lab.plots.live_maps import map_chart

POINTS = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 0.0], [3.0, 1.0]])
LABELS = ["MI", "NORM", "MI", "NORM"]


def page(record):
    if record == 3:
        raise ArgumentError("no page <3>", field="record")
    return np.full((20, 40, 3), 10 * record, np.uint8), f"record {record}, {LABELS[record]}"


def selection(records):
    if len(records) == 4:
        raise ArgumentError("too many", field="records")
    return describe(Figure(figsize=(2, 1)), f"What the lasso took are the records {records.tolist()}.")


def panel(take=selection):
    return MapPanel(map_chart(POINTS, LABELS, "Four pages"), page, take)


def front_end(chart, event, points):
    """What plotly does when a browser reports an event: `points` are (trace, point) pairs."""
    for k, trace in enumerate(chart.data):
        told = SimpleNamespace(point_inds=[point for of, point in points if of == k])
        {"hover": trace._dispatch_on_hover, "select": trace._dispatch_on_selection}[event](told, None)


def test_the_pointer_shows_the_page_and_rings_its_place():
    live = panel()
    assert 'alt="The page of: record 0, MI"' in live.card.value
    front_end(live.chart, "hover", [(1, 0)])
    assert 'alt="The page of: record 1, NORM"' in live.card.value
    assert list(live.chart.data[-1].x) == [1.0]
    assert live.number.value == 1


def test_the_number_does_what_the_pointer_does_for_a_keyboard():
    live = panel()
    live.number.value = 2
    assert "record 2, MI" in live.card.value
    assert list(live.chart.data[-1].x) == [2.0]
    assert live.number.description
    assert live.number.tabbable is not False


def test_a_lasso_over_two_classes_is_drawn_once_with_all_that_it_took():
    drawn = []
    live = panel(lambda records: drawn.append(records.tolist()) or selection(records))
    assert "lasso" in live.picture.value
    front_end(live.chart, "select", [(0, 1), (1, 0)])
    assert drawn == [[1, 2]]
    assert "the records [1, 2]." in live.picture.value
    front_end(live.chart, "select", [])
    assert drawn[1:] == [[]]


def test_errors_are_shown_where_their_answer_would_stand():
    live = panel()
    live.number.value = 3
    assert 'role="alert"' in live.card.value
    assert "no page &lt;3&gt;" in live.card.value
    front_end(live.chart, "select", [(0, 0), (0, 1), (1, 0), (1, 1)])
    assert "too many" in live.picture.value
    front_end(live.chart, "select", [(0, 0)])
    assert "the records [0]." in live.picture.value


def test_a_map_without_a_selection_ignores_the_lasso():
    live = panel(None)
    front_end(live.chart, "select", [(0, 0)])
    assert live.picture.value == ""


def test_where_nobody_is_there_or_anywidget_is_missing_words_take_its_place(monkeypatch):
    seen, said = [], []
    monkeypatch.setattr("IPython.display.display", seen.append)
    monkeypatch.setattr(map_panel, "say", said.append)
    chart = map_chart(POINTS, LABELS, "Four pages")
    explore_map(chart, page, selection)
    assert (said, seen) == ([map_panel.NOT_LIVE], [])
    monkeypatch.setattr(map_panel, "live_front_end", lambda: True)
    monkeypatch.setattr(map_panel, "find_spec", lambda name: None)
    explore_map(chart, page, selection)
    assert "pip install anywidget" in said[1]
    assert seen == [chart]


def test_with_anywidget_the_map_is_a_widget_that_hears_the_front_end(monkeypatch):
    pytest.importorskip("anywidget")
    seen = []
    monkeypatch.setattr("IPython.display.display", seen.append)
    monkeypatch.setattr(map_panel, "live_front_end", lambda: True)
    explore_map(map_chart(POINTS, LABELS, "Four pages"), page, selection)
    row, picture = seen[0].children
    chart, card = row.children[0].children[0], row.children[1].children[1]
    points = {"trace_indexes": [0, 1], "point_indexes": [1, 0], "xs": [2.0, 1.0], "ys": [0.0, 1.0]}
    chart._js2py_pointsCallback = {"event_type": "plotly_selected", "points": points}
    assert "the records [1, 2]." in picture.value
    one = {name: values[:1] for name, values in points.items()}
    chart._js2py_pointsCallback = {"event_type": "plotly_hover", "points": one}
    assert "record 2, MI" in card.value
    chart._js2py_pointsCallback = {"event_type": "plotly_deselect", "points": {name: [] for name in points}}
    assert "Draw a lasso" in picture.value
