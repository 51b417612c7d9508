"""Figures: what is drawn, that nothing is clipped or covers another text, alt text, and no global state."""

from __future__ import annotations

import base64
import io
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots import (
    MARKERS,
    PALETTE,
    alt_text,
    describe,
    pca_2d,
    plot_auroc_bars,
    plot_embedding,
    plot_history,
    plot_page,
    plot_pages,
    plot_per_class,
    plot_reconstruction,
    plot_record,
    plot_step_times,
    show,
    to_png,
)
from ecgscan_lab.plots.ecg import _row_offsets, _runs
from ecgscan_lab.plots.training import _running_mean
from ecgscan_lab.types import EcgImage, EcgRecord, History, PageMap

ROWS = [
    {"label": "aligned", "group": "probe", "macro_auroc": 88.0, "ci95": (85.0, 90.0)},
    {"label": "aligned", "group": "zero-shot", "macro_auroc": 75.0, "ci95": (72.0, 78.0)},
    {"label": "random", "group": "probe", "macro_auroc": 61.0, "ci95": (57.0, 65.0)},
]


def _signal(seed=0):
    rng = np.random.default_rng(seed)
    beats = np.exp(-(((np.arange(500) % 80) - 40) ** 2) / 20.0)
    return (beats * rng.normal(size=(12, 1)) + 0.02 * rng.normal(size=(12, 500))).astype(np.float32)


def _record():
    return EcgRecord("r1", _signal(), 100.0)


def _page():
    x = np.linspace(20.0, 280.0, 100)
    polylines = {lead: np.stack([x, np.full(100, 30.0 + 15 * k) + np.sin(x)], axis=1) for k, lead in enumerate(LEADS)}
    places, gains = dict.fromkeys(LEADS, (0.0, 0.0, 0.0)), dict.fromkeys(LEADS, 10.0)
    pixels = np.full((220, 300, 3), 250, np.uint8)
    return EcgImage(pixels, PageMap(np.eye(3)), polylines, {}, {}, places, gains, 25.0, 100.0, 0)


def _history():
    rows = [
        {"step": k, "split": "train", "total": 2.0 / (k + 1), "gram": 1.0, "contrastive": 0.8 + 1 / (k + 1)}
        for k in range(40)
    ]
    return History((*rows, {"step": 20, "split": "val", "total": 0.3, "contrastive": 0.9}))


def _timed(wait_s=0.02, **more):
    return [
        {"step": k, "split": "train", "wait_s": wait_s, "forward_s": 0.03, "backward_s": 0.05, **more}
        for k in range(30)
    ]


FIGURES = {
    "step times": lambda: plot_step_times(_timed(), title="A run"),
    "starved step": lambda: plot_step_times(_timed(0.4, draw_s=0.5, optimizer_s=0.01, step_s=0.6)),
    "record": lambda: plot_record(_record()),
    "page": lambda: plot_page(_page(), highlight=["V1", "II"]),
    "pages": lambda: plot_pages([_page(), np.zeros((3, 40, 60), np.uint8)], ["clean", "dark"]),
    "reconstruction": lambda: plot_reconstruction(
        _signal(), 0.8 * _signal(), 100.0, np.arange(500) < np.full((12, 1), 125), title="One page"
    ),
    "history": lambda: plot_history(_history(), floors={"contrastive": 0.75}, title="A run"),
    "auroc": lambda: plot_auroc_bars(ROWS, "Superclass"),
    "auroc far from chance": lambda: plot_auroc_bars(ROWS[:2]),
    "per class": lambda: plot_per_class({"a": {"MI": 80.0, "HYP": None}, "b": {"MI": 55.0, "HYP": None}}, "Labels"),
    "embedding": lambda: plot_embedding(
        np.random.default_rng(0).normal(size=(60, 2)), ["MI", "NORM", "CD"] * 20, explained_percent=(40.0, 20.0)
    ),
}


@pytest.fixture(scope="module", params=list(FIGURES))
def drawn(request):
    """A figure, its PNG, and whether matplotlib's global settings changed while it was drawn."""
    before = dict(matplotlib.rcParams)
    figure = FIGURES[request.param]()
    png = to_png(figure)
    return figure, png, dict(matplotlib.rcParams) == before


def test_no_text_is_clipped_and_none_covers_another(drawn, monkeypatch):
    figure, _, _ = drawn
    texts, draw = [], Text.draw
    monkeypatch.setattr(Text, "draw", lambda self, renderer: (texts.append(self), draw(self, renderer)))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = []
    for text in texts:
        if text.get_text().strip() and text.get_visible():
            box = text.get_window_extent(canvas.get_renderer())
            assert box.x0 >= -1, text
            assert box.y0 >= -1, text
            assert box.x1 <= width + 1, text
            assert box.y1 <= height + 1, text
            boxes.append((text.get_text(), box))
    assert boxes
    for i, (name, box) in enumerate(boxes):
        for other_name, other in boxes[i + 1 :]:
            overlap_x = min(box.x1, other.x1) - max(box.x0, other.x0)
            overlap_y = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert not (overlap_x > 1.5 and overlap_y > 1.5), (name, other_name)


def test_alt_text_describes_more_than_the_title(drawn):
    figure, png, _ = drawn
    alt = alt_text(figure)
    assert len(alt) >= 30
    assert alt not in {figure.get_suptitle(), *(axes.get_title("left") for axes in figure.axes)}
    assert alt.encode("latin-1") in png  # screen readers aside, the file says itself what it shows


def test_figures_leave_pyplot_and_global_settings_alone(drawn):
    assert drawn[2]
    if "matplotlib.pyplot" in sys.modules:
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []


def test_drawing_twice_gives_the_same_bytes():
    assert to_png(FIGURES["auroc"]()) == to_png(FIGURES["auroc"]())
    assert len(to_png(FIGURES["auroc"](), dpi=60)) < len(to_png(FIGURES["auroc"](), dpi=150))


def test_describe_refuses_a_title_as_description():
    figure = Figure()
    with pytest.raises(ArgumentError, match="does not describe"):
        describe(figure, "a plot")
    title = "Macro AUROC of five encoders on the test split"
    figure.add_subplot().set_title(title, loc="left")
    with pytest.raises(ArgumentError, match="does not describe"):
        describe(figure, title)


def test_show_sends_the_picture_with_its_alt_text(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: sent.append((data, options)))
    figure = FIGURES["per class"]()
    show(figure)
    [(data, options)] = sent
    assert base64.b64decode(data["image/png"])[:8] == b"\x89PNG\r\n\x1a\n"
    assert options == {"raw": True, "metadata": {"image/png": {"alt": alt_text(figure), "findings": []}}}
    assert data["text/plain"] == alt_text(figure)
    with pytest.raises(ArgumentError, match="no alt text"):
        show(Figure())


def test_palette_and_markers_pair_up():
    assert len(PALETTE) == len(MARKERS) == len(set(PALETTE)) == len(set(MARKERS))


def test_record_rows_never_cross_and_name_every_lead():
    signal = _signal().astype(float)
    signal[3] *= 8.0
    signal[7] = np.nan
    offsets, height = _row_offsets(signal)
    traces = np.where(np.isfinite(signal), signal, 0.0) + offsets[:, None]
    assert (traces[:-1].min(axis=1) > traces[1:].max(axis=1)).all()
    assert -height <= traces.min()
    axes = plot_record(EcgRecord("gaps", signal.astype(np.float32), 100.0)).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(LEADS)


def test_highlighted_polyline_lands_on_its_pixels():
    figure = plot_page(_page(), highlight="V1")
    [line] = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_xydata(), _page().polylines["V1"])
    assert figure.axes[0].images[0].get_extent() == [0, 300, 220, 0]
    assert "V1" in alt_text(figure)
    with pytest.raises(LeadError, match="not on the page"):
        plot_page(_page(), highlight="V9")


@pytest.mark.parametrize("pages", [[], [np.zeros((4, 5))], [np.zeros((4, 5, 2), np.uint8)]])
def test_pages_that_are_no_pictures_are_refused(pages):
    with pytest.raises(ArgumentError):
        plot_pages(pages)


def test_one_title_a_page():
    with pytest.raises(ArgumentError, match="titles"):
        plot_pages([np.zeros((4, 5), np.uint8)], ["a", "b"])


def test_reconstruction_shades_what_was_visible():
    visible = np.zeros((12, 500), dtype=bool)
    visible[0, 100:200] = visible[0, 300:350] = True
    assert _runs(visible[0]) == [(100, 200), (300, 350)]
    axes = plot_reconstruction(_signal(), _signal(), 100.0, visible, leads=("I", "V6")).axes
    assert [len(panel.patches) for panel in axes] == [2, 0]
    assert axes[-1].get_xlabel() == "Time (s)"
    with pytest.raises(LeadError):
        plot_reconstruction(_signal(), _signal(), 100.0, leads=("X",))
    with pytest.raises(ArgumentError, match="reconstruction_mv"):
        plot_reconstruction(_signal(), _signal()[:, :9], 100.0)


def test_history_draws_every_part_and_its_floor():
    figure = plot_history(_history(), floors={"contrastive": 0.75})
    assert [axes.get_title("left") for axes in figure.axes] == ["total", "gram", "contrastive"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 2, 4]
    with pytest.raises(ArgumentError, match="no logged values of clip"):
        plot_history(_history(), parts=["clip"])
    with pytest.raises(ArgumentError, match="history"):
        plot_history(History())
    with pytest.raises(ArgumentError, match="window"):
        plot_history(_history(), window=0)


def test_running_mean_is_centred_and_passes_over_nan():
    np.testing.assert_allclose(_running_mean(np.arange(9.0), 5)[2:-2], np.arange(2.0, 7.0))
    np.testing.assert_allclose(_running_mean(np.arange(4.0), 1), np.arange(4.0))
    np.testing.assert_allclose(_running_mean(np.array([1.0, np.nan, 3.0]), 3), [1.0, 2.0, 3.0])
    assert np.isnan(_running_mean(np.array([np.nan]), 3)).all()


def test_auroc_rows_keep_their_order_and_groups():
    axes = plot_auroc_bars(ROWS).axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["aligned", "random"]
    low, high = axes.get_xlim()
    assert low < 50.0 < 90.0 < high  # near chance, so chance is drawn
    assert "aligned (zero-shot) 75.0" in alt_text(plot_auroc_bars(ROWS))
    assert plot_auroc_bars(ROWS[:1]).axes[0].get_xlim()[0] > 80.0
    pixels = np.asarray(Image.open(io.BytesIO(to_png(plot_auroc_bars(ROWS)))).convert("L"))
    inked = np.flatnonzero((pixels < 200).any(axis=0))
    assert 10 <= inked[0] <= inked[-1] < pixels.shape[1] - 10, "names and figures keep clear of the edges"


@pytest.mark.parametrize(
    "rows",
    [[], [{"label": "a"}], [{"label": "a", "macro_auroc": 870.0}], [ROWS[0] | {"ci95": (90.0, 80.0)}],
     [ROWS[0] | {"ci95": (80.0,)}], [{"label": "a", "macro_auroc": float("nan")}]],
)  # fmt: skip
def test_auroc_rows_that_are_no_percentages_are_refused(rows):
    with pytest.raises(ArgumentError):
        plot_auroc_bars(rows)


def test_per_class_sorts_by_the_first_model_and_marks_the_undefined():
    figure = plot_per_class({"a": {"MI": 60.0, "CD": 90.0, "HYP": None}, "b": {"MI": 99.0, "CD": None, "HYP": None}})
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["CD", "MI", "HYP (undefined)"]
    assert "b: best MI 99.0" in alt_text(figure)
    with pytest.raises(ArgumentError):
        plot_per_class({})


def test_pca_keeps_distances_of_a_plane_and_repeats_itself():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(50, 2)) * [3.0, 1.0]
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    projection = pca_2d(plane @ rotation)
    np.testing.assert_allclose(
        np.linalg.norm(projection.points[:, None] - projection.points, axis=2),
        np.linalg.norm(plane[:, None] - plane, axis=2),
        atol=1e-9,
    )
    assert sum(projection.explained_percent) == pytest.approx(100.0)
    np.testing.assert_array_equal(pca_2d(plane @ rotation).points, projection.points)


@pytest.mark.parametrize("features", [np.ones((5, 3)), np.ones((1, 3)), np.full((4, 3), np.nan), np.ones(5)])
def test_pca_refuses_what_has_no_map(features):
    with pytest.raises(ArgumentError, match="no map"):
        pca_2d(features)


def test_embedding_draws_each_class_with_its_own_colour_and_marker():
    points = np.random.default_rng(0).normal(size=(60, 2))
    figure = plot_embedding(points, ["MI", "NORM", "CD"] * 20, ["NORM", "MI", "CD"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["NORM (20)", "MI (20)", "CD (20)"]
    drawn = figure.axes[0].collections
    assert len({tuple(scatter.get_facecolor()[0][:3]) for scatter in drawn}) == 3
    assert len({scatter.get_paths()[0].vertices.tobytes() for scatter in drawn}) == 3
    with pytest.raises(ArgumentError, match="colours"):
        plot_embedding(np.zeros((9, 2)), [str(k) for k in range(9)])
    with pytest.raises(ArgumentError, match="points"):
        plot_embedding(points, ["MI"])


@pytest.mark.parametrize(("wait_s", "words"), [(0.001, "drawing keeps up"), (0.5, "the device is starved")])
def test_step_times_say_whether_drawing_keeps_up(wait_s, words):
    figure = plot_step_times(_timed(wait_s, draw_s=0.6, step_s=0.7))
    bar, course = figure.axes
    assert words in " ".join(course.get_title("left").split())
    assert words in alt_text(figure)
    widths = [patch.get_width() for patch in bar.patches]
    assert widths == pytest.approx([1000 * wait_s, 30, 50, 700 - 1000 * wait_s - 80])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "waiting for data",
        "forward",
        "backward",
        "other",
        "drawing a batch, meanwhile",
    ]


def test_one_timed_step_fills_its_place_in_the_course():
    course = plot_step_times(_timed()[7:8]).axes[1]
    areas = [area.get_paths()[0].get_extents() for area in course.collections]
    assert [(area.x0, area.x1) for area in areas] == [(6.5, 7.5)] * 3
    assert [area.height for area in areas] == pytest.approx([20, 30, 50])


def test_step_times_need_times_and_a_window():
    with pytest.raises(ArgumentError):
        plot_step_times(_history())
    with pytest.raises(ArgumentError):
        plot_step_times(_timed(), window=0)
