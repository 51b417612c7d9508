"""Figures of the lead laws: what is drawn agrees with the algebra, and each is described."""

from __future__ import annotations

import numpy as np
import pytest

from ecgscan_lab.data.synthetic import synthetic_records
from ecgscan_lab.errors import ArgumentError, LeadError
from ecgscan_lab.leads import LIMB_LEADS, derive_limb_leads, project_limb_leads
from ecgscan_lab.plots.figure import ALT_LENGTH, alt_text, to_png
from ecgscan_lab.plots.leads import (
    AXIS_DEG,
    plot_derived_leads,
    plot_dragged_lead,
    plot_lead_plane,
    plot_stories,
    plot_violation_curves,
)


@pytest.fixture(scope="module")
def record():
    return synthetic_records(1, seed=3, fs_hz=100.0)[0]


def test_derived_leads_lie_on_what_i_and_ii_give(record):
    figure = plot_derived_leads(record, duration_s=2.0)
    assert len(figure.axes) == 6
    assert [len(axes.lines) for axes in figure.axes] == [1, 1, 2, 2, 2, 2]
    expected = derive_limb_leads(*record.signal_mv[:2, :200].astype(float))
    for axes, row in zip(figure.axes[2:], expected[2:], strict=True):
        np.testing.assert_allclose(axes.lines[1].get_ydata(), row)


@pytest.mark.parametrize("lead", ["I", "II", "III"])
def test_eq_6_returns_the_dragged_point_to_the_plane_at_a_right_angle(record, lead):
    space = plot_lead_plane(record, lead, drag_mv=0.7).axes[0]
    marks = {line.get_label(): np.array(line.get_data_3d())[:, 0] for line in space.lines if len(line.get_xdata()) == 1}
    recorded, dragged, returned = (marks[name] for name in ("recorded", "dragged", "returned by Eq. 6"))
    normal = np.array([1.0, -1.0, 1.0])
    np.testing.assert_allclose(dragged - recorded, 0.7 * (np.array(LIMB_LEADS[:3]) == lead))
    assert abs(normal @ returned) < 1e-9
    np.testing.assert_allclose(np.cross(dragged - returned, normal), 0, atol=1e-9)


def test_axes_of_the_leads_agree_with_the_algebra():
    """A dipole along a lead's axis is largest in that lead: length 1 for I, II, III, sqrt(3)/2 for the others."""
    for name, angle in AXIS_DEG.items():
        towards = np.deg2rad(angle)
        i, avf = np.cos(towards), np.sin(towards) * np.sqrt(3) / 2
        leads = derive_limb_leads(np.array([i]), np.array([avf + i / 2]))[:, 0]
        length = 1.0 if not name.startswith("a") else np.sqrt(3) / 2
        assert leads[LIMB_LEADS.index(name)] == pytest.approx(length)


@pytest.mark.parametrize("method", ["paper", "paper_raw", "zero_sum", "orthogonal"])
def test_the_returned_leads_are_the_librarys_projection(record, method):
    figure = plot_dragged_lead(record, "aVF", drag_mv=0.5, method=method)
    shown = {axes.get_ylabel()[:-5]: [line.get_ydata() for line in axes.lines] for axes in figure.axes}
    dragged = np.stack([shown[lead][1] for lead in LIMB_LEADS])
    returned = np.stack([shown[lead][2] for lead in LIMB_LEADS])
    np.testing.assert_allclose(returned, project_limb_leads(dragged, LIMB_LEADS, method=method), atol=1e-12)
    moved = np.abs(dragged - np.stack([shown[lead][0] for lead in LIMB_LEADS])).max(axis=1)
    np.testing.assert_allclose(moved, np.where(np.array(LIMB_LEADS) == "aVF", 0.5, 0.0), atol=0.01)


def test_stories_are_ranked_and_the_right_one_comes_first(record):
    swapped = record.signal_mv[[0, 1, 2, 3, 5, 4, *range(6, 12)]]
    figure = plot_stories(swapped)
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names[0] == "aVL and aVF exchanged"
    assert len(names) == len(set(names)) == 22
    assert "as it is" in names


def test_curves_keep_their_values_and_order():
    figure = plot_violation_curves({"rule": [1.0, 1.0, 1.0], "violation": [1.0, 0.1, 0.0]})
    rule, violation = figure.axes[0].lines
    np.testing.assert_allclose(rule.get_ydata(), 1.0)
    assert violation.get_ydata()[1] == pytest.approx(0.1)
    assert 0 < violation.get_ydata()[2] <= 1e-5, "zero has a place on a logarithmic axis"
    assert "rule 1 to 1" in alt_text(figure)


def test_every_figure_is_described_and_drawn(record):
    figures = [
        plot_derived_leads(record),
        plot_lead_plane(record),
        plot_dragged_lead(record),
        plot_stories(record.signal_mv),
        plot_violation_curves({"mse": [0.2, 0.1]}),
    ]
    for figure in figures:
        assert len(alt_text(figure)) > ALT_LENGTH
        assert to_png(figure, dpi=40)[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("draw", "error", "field"),
    [
        (lambda r: plot_lead_plane(r, "aVR"), LeadError, "lead"),
        (lambda r: plot_dragged_lead(r, "V1"), LeadError, "lead"),
        (lambda r: plot_dragged_lead(r, method="nearest"), ArgumentError, "method"),
        (lambda r: plot_violation_curves({}), ArgumentError, "curves"),
        (lambda r: plot_violation_curves({"mse": [0.1, float("nan")]}), ArgumentError, "curves"),
        (lambda r: plot_violation_curves({"mse": [0.1, -1.0]}), ArgumentError, "curves"),
    ],
)
def test_what_cannot_be_drawn_is_refused_by_name(record, draw, error, field):
    with pytest.raises(error) as refused:
        draw(record)
    assert refused.value.field == field
