"""What the figures of a read page say."""

from __future__ import annotations

from matplotlib.text import Text

from ecgscan_lab.plots.figure import alt_text
from ecgscan_lab.plots.paper_reading import plot_findings

ROW = {
    "name": "myocardial infarction",
    "score": 0.2,
    "low": 0.1,
    "high": 0.3,
    "verdict": "cannot be told",
    "without": [0.0],
    "having": [0.4],
}


def test_findings_say_which_alpha_their_verdicts_were_held_to():
    figure = plot_findings([ROW], alpha=0.15)
    assert "alpha 0.15" in figure.axes[0].get_title("left")
    title = next(text for text in figure.axes[0].findobj(Text) if "alpha" in text.get_text())
    figure.draw_without_rendering()
    assert title.get_window_extent().x1 <= figure.bbox.x1
    assert "alpha 0.15: myocardial infarction 0.20 (0.10 to 0.30), cannot be told" in alt_text(figure)
    assert "alpha" not in plot_findings([ROW]).axes[0].get_title("left")
