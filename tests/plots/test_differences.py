"""Figures of comparisons: a dot for every difference, hollow where nothing is clear, and a sphere of points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ecgscan_lab.compare import Comparison, Run
from ecgscan_lab.compare.result import paired_differences
from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots.differences import plot_comparison, plot_sphere
from ecgscan_lab.plots.figure import BLUE, MUTED, VERMILLION, alt_text, to_png


def compared(**figures):
    """Loss -> figures over three seeds, of the probe and of uniformity."""
    runs = [
        Run(loss, seed, "ok", {"probe_auroc": probe, "uniformity": -probe})
        for loss, probes in figures.items()
        for seed, probe in enumerate(probes)
    ]
    losses = tuple(figures)
    return Comparison("heads", "synthetic", "", losses, (0, 1, 2), tuple(runs), paired_differences(runs, losses))


FOUR = compared(base=(80, 80, 80), up=(82, 82.1, 82), down=(78, 78.1, 78), same=(79, 81, 80.5))


def dots(axes):
    return [line for line in axes.lines if line.get_marker() == "o"]


def test_dots_sit_at_differences_and_say_what_is_clear():
    axes = plot_comparison(FOUR, ["probe_auroc", "uniformity"]).axes
    probe, uniformity = axes[0], axes[1]
    assert [float(dot.get_xdata()[0]) for dot in dots(probe)] == pytest.approx([6.1 / 3, -5.9 / 3, 0.5 / 3])
    assert [dot.get_color() for dot in dots(probe)] == [BLUE, VERMILLION, MUTED]
    assert [dot.get_markerfacecolor() == "white" for dot in dots(probe)] == [False, False, True]
    assert {dot.get_color() for dot in dots(uniformity)} == {MUTED}, "neither better nor worse"
    assert [tick.get_text() for tick in probe.get_yticklabels()] == ["up", "down", "same"]
    assert "AUROC (%)" in probe.get_title("left")


def test_alt_text_reads_panel_by_panel_and_gives_units_numbers_and_verdicts():
    figure = plot_comparison(FOUR)
    probe, uniformity = alt_text(figure).split(". ")[1:]
    assert probe.startswith("linear probe, AUROC (%): up +2 (1.9 to 2.2), better; down -2 ")
    assert probe.count("no clear difference") == 1
    assert uniformity.startswith("uniformity of pages: up -2 (-2.2 to -1.9), lower; down +2 ")
    assert to_png(figure)[1:4] == b"PNG"


def test_a_loss_without_runs_is_said_to_be_unknown():
    runs = [run for run in FOUR.runs if run.loss != "up"] + [Run("up", s, "it raised ValueError: no") for s in range(3)]
    comparison = Comparison(
        "heads", "synthetic", "", FOUR.losses, (0, 1, 2), tuple(runs), paired_differences(runs, FOUR.losses)
    )
    figure = plot_comparison(comparison, ["probe_auroc"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["not known"]
    assert "up not known" in alt_text(figure)


def test_bad_figures_are_named():
    nothing = compared(base=(math.nan,) * 3, new=(1, 2, 3))
    for call, field in (
        (lambda: plot_comparison(FOUR, ["beauty"]), "metrics"),
        (lambda: plot_comparison(FOUR, []), "metrics"),
        (lambda: plot_comparison(FOUR, ["probe_auroc", "modality_gap"]), "metrics"),
        (lambda: plot_comparison(nothing), "comparison"),
        (lambda: plot_sphere({}, [0]), "panels"),
        (lambda: plot_sphere({"a": (np.ones((2, 2)), np.ones((2, 2)))}, [0, 1]), "panels"),
        (lambda: plot_sphere({"a": (np.zeros((2, 3)), np.ones((2, 3)))}, [0, 1]), "panels"),
        (lambda: plot_sphere({"a": (np.ones((2, 3)), np.ones((3, 3)))}, [0, 1]), "panels"),
    ):
        with pytest.raises(ArgumentError) as refused:
            call()
        assert refused.value.field == field


def test_the_sphere_shows_every_point_and_joins_partners():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 3))
    figure = plot_sphere({"near": (rows, 2 * rows), "far": (rows, -rows)}, rng.integers(4, size=30), n_pairs=10)
    near, far = figure.axes
    assert [len(points.get_offsets()) for points in near.collections] == [30, 30]
    shown = near.collections[1].get_offsets()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(np.sin(shown[:, 1]), unit[:, 2], atol=1e-9)
    assert "each of 4 groups" in alt_text(figure)
    assert "near 0 degrees" in alt_text(figure)
    assert "far 180 degrees" in alt_text(figure)
    assert len(far.lines) >= 10
    for line in far.lines:
        assert np.abs(np.diff(line.get_xdata())).max(initial=0) < np.pi, "no line crosses the whole map"
