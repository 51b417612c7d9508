"""What the figures of a read page say."""

from __future__ import annotations

from ecgscan_lab.plots.figure import alt_text
from ecgscan_lab.plots.paper_reading import plot_findings

ROW = {
    "name": "MI",
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
    assert "alpha 0.15: MI 0.20 (0.10 to 0.30), cannot be told" in alt_text(figure)
    assert "alpha" not in plot_findings([ROW]).axes[0].get_title("left")
