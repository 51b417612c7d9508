"""Figures of notebook 02: body, surface, hubs, rounding, curves; nothing clipped or covered."""

from __future__ import annotations

import itertools

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.losses.gram import gram_volume
from ecgscan_lab.plots.figure import alt_text, to_png
from ecgscan_lab.plots.geometry import (
    plot_curves,
    plot_hubs,
    plot_parallelepiped,
    plot_rounding,
    plot_turned_triple,
    plot_volume_surface,
    unit_triple,
)


def _tables(n=12):
    rng = np.random.default_rng(0)
    tables = {"V": rng.uniform(0.2, 0.8, (n, n)), "d": rng.uniform(0.3, 1.0, (n, n)) * (1 - np.eye(n))}
    return np.linspace(-0.2, 0.9, n), tables


GAP = np.logspace(-6, -1, 5)
FIGURES = {
    "body": lambda: plot_turned_triple(70, 50, 20, title="Three vectors"),
    "flat body": lambda: plot_turned_triple(0, 0),
    "surface": lambda: plot_volume_surface(0.5),
    "surface of opposites": lambda: plot_volume_surface(-0.95),
    "hubs": lambda: plot_hubs(*_tables(), names={"V": "volume V", "d": "plane distance d"}),
    "rounding": lambda: plot_rounding(
        GAP, 3 * GAP**2, {"float32": (3 * GAP**2)[:, None] * [1.0, 1.1], "bfloat16": np.full((5, 3), -1e-3)}, "Rounding"
    ),
    "curves": lambda: plot_curves(
        np.arange(5.0),
        {"volume": np.ones(5), "distance": np.arange(5.0)},
        xlabel="angle (degrees)",
        ylabel="loss (nats)",
        levels={"ln B": 3.0},
        title="A loss",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_clipped_and_none_covers_another(name, monkeypatch):
    figure = FIGURES[name]()
    texts, draw = [], Text.draw
    monkeypatch.setattr(Text, "draw", lambda self, renderer: (texts.append(self), draw(self, renderer)))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    boxes = {}
    for text in texts:
        if text.get_text().strip() and text.get_visible():
            box = text.get_window_extent(canvas.get_renderer())
            assert min(box.x0, box.y0) >= -1, text
            assert box.x1 <= width + 1, text
            assert box.y1 <= height + 1, text
            boxes[text] = box
    assert boxes
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) <= 1.5, (one, other)


@pytest.mark.parametrize("name", FIGURES)
def test_drawing_twice_gives_the_same_bytes_and_alt_text(name):
    one, other = FIGURES[name](), FIGURES[name]()
    assert alt_text(one) == alt_text(other)
    assert to_png(one, dpi=50) == to_png(other, dpi=50)


@pytest.mark.parametrize("angles", [(90, 90, 0), (60, 35, 10), (150, 20, -70), (0, 45, 0), (180, 90, 30)])
def test_a_triple_spans_base_times_height_as_the_loss_computes_it(angles):
    vectors = unit_triple(*angles)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0)
    pair, tilt = np.deg2rad(angles[:2])
    volume = float(gram_volume(*torch.as_tensor(vectors).split(1)))
    assert volume == pytest.approx(np.sin(pair) * np.sin(tilt), abs=2e-4)
    assert vectors[1] @ vectors[2] == pytest.approx(np.cos(pair))
    assert f"volume {volume:.2f}" in alt_text(plot_parallelepiped(vectors))


def test_the_bars_show_base_height_and_volume():
    bars = plot_turned_triple(30, 90).axes[1]
    assert [round(bar.get_width(), 3) for bar in bars.patches] == [0.5, 1.0, 0.5]
    flat = plot_turned_triple(0, 60).axes[1]  # the base has no plane: the height is measured from its line
    assert [round(bar.get_width(), 3) for bar in flat.patches] == [0.0, 0.866, 0.0]


def test_a_session_that_lays_out_every_figure_gets_no_warning():
    with matplotlib.rc_context({"figure.constrained_layout.use": True}):  # as notebooks do; warnings are errors here
        assert to_png(plot_turned_triple(90, 90), dpi=40)


def test_bodies_are_drawn_to_one_scale_and_turn_with_the_azimuth():
    one, other = plot_turned_triple(90, 90).axes[0], plot_turned_triple(10, 10, azimuth_deg=45).axes[0]
    assert np.ptp(one.get_xlim()) == pytest.approx(np.ptp(other.get_xlim()))
    assert (one.azim, other.azim) == (-60, 45)


@pytest.mark.parametrize("cosine", [-0.9, 0.0, 0.5, 0.99])
def test_the_marks_of_the_surface_lie_where_the_volume_says(cosine):
    figure = plot_volume_surface(cosine)
    marks = [line.get_xydata()[0] for line in figure.axes[0].lines]
    volumes = [np.sqrt(max(1 + 2 * a * b * cosine - a**2 - b**2 - cosine**2, 0)) for a, b in marks]
    np.testing.assert_allclose(volumes, [0, 0, np.sqrt(1 - cosine**2)], atol=1e-7)
    assert marks[0][0] > 0 > marks[1][0]


def test_hubs_leave_the_right_image_out_of_the_mean_and_count_every_image_once():
    table = np.array([[0.0, 0.4, 0.8], [0.9, 0.1, 0.2], [0.5, 0.3, 0.6]])
    figure = plot_hubs([0.9, 0.1, 0.4], {"V": table})
    above, below = figure.axes
    np.testing.assert_allclose(above.lines[0].get_ydata(), [0.7, 0.35, 0.5])
    np.testing.assert_allclose(below.lines[0].get_ydata(), [1, 2, 0])
    assert "67 % find their pair, the busiest pair attracts 2" in alt_text(figure)


def test_determinants_below_zero_are_hollow():
    figure = plot_rounding([0.1, 0.01], [0.03, 3e-4], {"bfloat16": [[0.02, -0.01], [0.0, -0.002]]})
    _, above, below, zero = figure.axes[0].lines
    np.testing.assert_allclose(above.get_xydata(), [[0.1, 0.02]])
    np.testing.assert_allclose(below.get_xydata(), [[0.1, 0.01], [0.01, 0.002]])
    assert below.get_fillstyle() == "none"
    assert (zero.get_xdata().tolist(), zero.get_label()) == ([0.01], "bfloat16, exactly 0")
    assert "50 % below zero, 25 % exactly zero" in alt_text(figure)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_parallelepiped(np.ones((3, 3))),
        lambda: plot_parallelepiped(np.eye(2)),
        lambda: plot_parallelepiped(np.full((3, 3), np.nan)),
        lambda: plot_volume_surface(1.0),
        lambda: plot_volume_surface(float("nan")),
        lambda: plot_hubs([0.1, 0.2], {"V": np.ones((2, 3))}),
        lambda: plot_hubs([0.1, 0.2], {}),
        lambda: plot_hubs([0.1, np.nan], {"V": np.ones((2, 2))}),
        lambda: plot_rounding([0.0, 0.1], [0.1, 0.2], {"a": np.ones((2, 1))}),
        lambda: plot_rounding([0.1], [0.1], {"a": np.ones(1)}),
        lambda: plot_curves([0, 1], {}, xlabel="x", ylabel="y"),
        lambda: plot_curves([0, 1], {"a": [0.0]}, xlabel="x", ylabel="y"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw):
    with pytest.raises(ArgumentError):
        draw()
