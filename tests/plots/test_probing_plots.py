"""Figures of probes and of robustness say what they show, and mark what was chosen."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.plots import plot_coverage, plot_epoch_choice, plot_few_labels, plot_robustness
from ecgscan_lab.plots.figure import ALT_LENGTH, alt_text, to_png


def point(family, name, amount, auroc, encoder="tower"):
    return {
        "encoder": encoder, "family": family, "name": name, "amount": amount, "macro_auroc": auroc,
        "ci95": (auroc - 2.0, auroc + 2.0),
    }  # fmt: skip


ROWS = [
    point("clean", "clean", 0.0, 90.0),
    point("preset", "fax", 1.0, 61.0),
    point("preset", "fax", 0.5, 75.0),
    point("effect", "blur", 1.0, 80.0),
    point("resolution", "size", 0.5, 70.0),
    point("resolution", "size", 1.0, 90.0),
    point("layout", "6x2", None, 66.0),
]


def fraction(encoder, percent, auroc, draws=()):
    return SimpleNamespace(
        encoder=encoder, percent=percent, honest=auroc, ci95=(auroc - 3, auroc + 3), n_draws=max(1, len(draws)),
        draws=[SimpleNamespace(macro_auroc=value) for value in draws],
    )  # fmt: skip


def curves_of(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_robustness_has_a_panel_a_family_and_curves_start_at_the_clean_page():
    figure = plot_robustness(ROWS)
    titles = [axes.get_title(loc="left") for axes in figure.get_axes()]
    assert titles == ["Degraded pages", "One effect at a time", "Other sizes", "Layouts"]
    assert curves_of(figure.get_axes()[0], "fax").get_xydata().tolist() == [[0.0, 90.0], [0.5, 75.0], [1.0, 61.0]]
    sizes = [line for line in figure.get_axes()[2].lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"]
    assert sizes[0].get_xydata().tolist() == [[0.5, 70.0], [1.0, 90.0]]
    assert "6x2 66.0" in alt_text(figure)
    assert "fax" in alt_text(figure)
    assert to_png(figure)


def test_two_encoders_are_told_apart():
    rows = [*ROWS, *(dict(row, encoder="random", macro_auroc=row["macro_auroc"] - 9) for row in ROWS)]
    figure = plot_robustness(rows)
    labels = [text.get_text() for text in figure.get_axes()[0].get_legend().get_texts()]
    assert labels == ["tower: fax", "random: fax"]
    assert {line.get_color() for line in figure.get_axes()[-1].lines if line.get_marker() != "None"} == {
        "#0072B2", "#D55E00",
    }  # fmt: skip


@pytest.mark.parametrize("rows", [[], [ROWS[0]], [{"family": "preset"}]])
def test_robustness_without_anything_to_draw_is_refused(rows):
    with pytest.raises(ArgumentError):
        plot_robustness(rows)


def test_few_labels_draws_a_line_an_encoder_every_draw_and_references():
    rows = [fraction("a", 1.0, 60.0, (58.0, 62.0)), fraction("a", 100.0, 80.0), fraction("b", 1.0, 55.0, (54.0, 56.0))]
    figure = plot_few_labels(rows, {"zero-shot": 70.0})
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "100"]
    dots = [line for line in axes.lines if line.get_marker() == "." and len(line.get_ydata())]
    assert [list(line.get_ydata()) for line in dots] == [[58.0, 62.0], [54.0, 56.0]]
    assert "zero-shot 70.0" in alt_text(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "zero-shot 70.0"
    assert "a 60.0 at 1 %, 80.0 at 100 %" in alt_text(figure)
    with pytest.raises(ArgumentError):
        plot_few_labels([])


def test_the_dots_of_a_trained_layer_are_its_honest_figures():
    row = fraction("a", 1.0, 60.0, (70.0, 71.0))
    row.draws = [SimpleNamespace(macro_auroc=70.0, validation_selected=59.0)] * 2
    dots = [line for line in plot_few_labels([row]).axes[0].lines if line.get_marker() == "."]
    assert list(dots[0].get_ydata()) == [59.0, 59.0]


def test_epoch_choice_marks_the_honest_figure_and_the_flattering_one():
    figure = plot_epoch_choice({"noise": ([50.0, 60.0, 55.0], [70.0, 52.0, 48.0])})
    axes = figure.axes[0]
    assert curves_of(axes, "reported, honest").get_xydata().tolist() == [[2.0, 52.0]]
    assert curves_of(axes, "reported, test chose").get_xydata().tolist() == [[1.0, 70.0]]
    assert axes.get_title(loc="left") == "noise: 52.0 honest, 70.0 by test"
    assert "validation chooses epoch 2, where test is 52.0; test chooses epoch 1: 70.0" in alt_text(figure)
    for bad in ({}, {"a": ([1.0], [1.0, 2.0])}):
        with pytest.raises(ArgumentError):
            plot_epoch_choice(bad)


def test_coverage_counts_all_intervals_and_marks_those_that_miss():
    rows = np.array([[70.0, 90.0]] * 60 + [[85.0, 95.0]] * 20)
    figure = plot_coverage({"by patient": rows}, 80.0, shown=70)
    assert figure.axes[0].get_title(loc="left") == "by patient: 75 % hold the truth"
    squares = [line for line in figure.axes[0].lines if line.get_marker() == "s"]
    assert len(squares) == 10
    assert figure.axes[0].get_ylabel() == "70 of 80 studies, one interval each"
    assert len(alt_text(figure)) > ALT_LENGTH
    with pytest.raises(ArgumentError):
        plot_coverage({"flat": [1.0, 2.0]}, 80.0)
