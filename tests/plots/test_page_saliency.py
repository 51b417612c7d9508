from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots.figure import alt_text, to_png
from ecgscan_lab.plots.legibility import figure_findings
from ecgscan_lab.plots.page_saliency import plot_page_saliency
from ecgscan_lab.plots.paper_reading import plot_law_check
from ecgscan_lab.types import EcgRecord

RECORD = EcgRecord("demo", np.zeros((12, 1000), np.float32), 100.0)
SPANS = [(0.0, 1.0), (1.0, 5.0), (5.0, 10.0)]


def patches(figure):
    return [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]


def test_ink_that_moved_nothing_has_no_colour_and_the_rest_lies_where_the_page_shows_it():
    drops = np.zeros((12, 3))
    drops[LEADS.index("aVR"), 1] = 0.2  # shown from 2.5 to 5 s, so that only this part of the span is on the page
    drops[LEADS.index("V6"), 2] = -0.1
    speaks, against = patches(plot_page_saliency(drops, RECORD, SPANS))
    px_per_s = 25.0 * 110 / 25.4
    assert speaks.get_width() == pytest.approx(2.5 * px_per_s)
    assert against.get_width() == pytest.approx(2.5 * px_per_s)
    assert speaks.get_x() < against.get_x()
    assert speaks.get_y() < against.get_y()
    assert speaks.get_alpha() == pytest.approx(2 * against.get_alpha())
    assert to_rgb(speaks.get_facecolor())[2] > to_rgb(speaks.get_facecolor())[0], "blue"
    assert to_rgb(against.get_facecolor())[0] > to_rgb(against.get_facecolor())[2], "red"


def test_a_rhythm_strip_has_the_colour_of_its_lead():
    drops = np.zeros((12, 1))
    drops[LEADS.index("II")] = 1.0
    figure = plot_page_saliency(drops, RECORD)
    assert len(patches(figure)) == 2
    assert "most at II from 0.0 to 10.0 s" in alt_text(figure)
    assert patches(plot_page_saliency(np.zeros((12, 1)), RECORD)) == []


def test_a_table_that_does_not_match_is_refused():
    with pytest.raises(ArgumentError) as caught:
        plot_page_saliency(np.zeros((12, 2)), RECORD, SPANS)
    assert caught.value.field == "drops"


def test_only_laws_that_could_be_tried_are_drawn_and_each_figure_can_be_read():
    leads = np.full((12, 1000), np.nan, np.float32)
    leads[:3, :250] = np.random.default_rng(0).normal(size=(3, 250))
    drawn, none = plot_law_check(leads, 100.0), plot_law_check(np.full((12, 1000), np.nan, np.float32), 100.0)
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["II - (I + III) = 0: broken"]
    assert "broken, residual" in alt_text(drawn)
    assert "none could be" in alt_text(none)
    for figure in (drawn, none):
        assert figure_findings(figure, to_png(figure), 110) == []
