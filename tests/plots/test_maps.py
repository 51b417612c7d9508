from __future__ import annotations

import sys

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError, MissingExtraError
from ecgscan_lab.plots.figure import alt_text
from ecgscan_lab.plots.maps import Places, map_2d, plot_linked, plot_maps, plot_occlusion, plot_selection, within
from ecgscan_lab.plots.page_saliency import plot_page_saliency
from ecgscan_lab.types import EcgRecord

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(30, 5))
LABELS = np.repeat(["MI", "NORM"], 15)


@pytest.mark.parametrize("method", ["PCA", "t-SNE"])
def test_a_map_does_not_depend_on_the_length_of_rows(method):
    assert np.allclose(map_2d(ROWS, method), map_2d(2.0 * ROWS, method))


def test_umap_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match="umap-learn"):
        map_2d(ROWS, "UMAP")
    with pytest.raises(ArgumentError, match="method"):
        map_2d(ROWS, "SOM")


def test_every_figure_says_what_it_shows():
    points = map_2d(ROWS)
    places = Places(points, points + 1, points - 1)
    page = np.full((20, 40, 3), 255, np.uint8)
    figures = [
        plot_maps({"PCA": points, "again": points}, LABELS),
        plot_linked(places, 3, page, "sinus rhythm"),
        plot_occlusion(RNG.normal(size=(12, 1))),
        plot_occlusion(RNG.normal(size=(12, 9))),
        plot_selection(RNG.normal(size=(30, 12, 200)), 100.0, [1, 2, 20], LABELS),
        plot_selection(RNG.normal(size=(30, 12, 200)), 100.0, [], LABELS),
    ]
    assert "MI 15, NORM 15" in alt_text(figures[0])
    assert [handle.get_sizes()[0] for handle in figures[0].legends[0].legend_handles] == [45.0, 45.0]
    assert "sinus rhythm" in alt_text(figures[1])
    assert "MI 2, NORM 1" in alt_text(figures[4])
    assert "nobody" in alt_text(figures[5])


def test_what_spoke_against_has_one_colour_in_all_figures_of_saliency():
    record = EcgRecord("zero", np.zeros((12, 1000), np.float32), 100.0)
    drops = np.where(np.arange(12) == 3, -1.0, 1.0)[:, None]
    bars = {bar.get_facecolor()[:3] for bar in plot_occlusion(drops).axes[0].patches}
    stretches = {patch.get_facecolor()[:3] for patch in plot_page_saliency(drops, record).axes[0].patches}
    assert len(bars) == 2
    assert bars == stretches


def test_a_circle_takes_what_lies_in_it():
    assert within([[0, 0], [1, 0], [0, 2]], 0, 0, 1).tolist() == [0, 1]


def test_bad_tables_are_refused():
    with pytest.raises(ArgumentError, match="drops"):
        plot_occlusion(np.zeros((3, 2)))
    with pytest.raises(ArgumentError, match="no record"):
        plot_linked(Places(ROWS[:, :2], ROWS[:, :2], ROWS[:, :2]), 30, np.zeros((2, 2, 3), np.uint8), "text")
