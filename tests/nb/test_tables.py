from __future__ import annotations

import re

import pytest

from ecgscan_lab.nb.tables import table_html


def cells(html: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][ >].*?</t[hd]>", html)]


@pytest.mark.parametrize(
    "row",
    [
        {"auroc": 91.0, "auroc_low": 88.0, "auroc_high": 94.0},
        {"auroc_low": 88.0, "auroc_high": 94.0, "auroc": 91.0},
        {"auroc": 91.0, "low": 88.0, "high": 94.0},
        {"auroc": {"value": 91.0, "low": 88.0, "high": 94.0}},
    ],
)
def test_a_number_and_its_interval_become_one_cell(row):
    assert cells(table_html([row])) == ["auroc", "91.0 [88.0, 94.0]"]


def test_no_number_is_lost_when_it_is_no_interval():
    html = table_html([{"low": 1, "other": 2.0, "x_high": 3.0, "high": 4}])
    assert cells(html) == ["low", "other", "x high", "high", "1", "2.000", "3.000", "4"]


def test_intervals_of_a_column_share_one_axis():
    rows = [{"a": 50.0, "low": 40.0, "high": 60.0}, {"a": 80.0, "low": 70.0, "high": 90.0}, {"a": None}]
    html = table_html(rows)
    assert html.count("<svg") == 2
    assert re.findall(r'<circle cx="([\d.]+)%"', html) == ["21.80", "78.20"]
    assert "<span>40.0</span><span>90.0</span>" in html


def test_missing_cells_and_markup_are_shown_safely():
    html = table_html([{"id": "<script>", "n": 1}, {"id": "b", "why": "<i>&"}], caption="<b>")
    assert "<script>" not in html
    assert "<i>" not in html
    assert cells(html)[-3:] == ["b", "–", "&lt;i&gt;&amp;"]
    assert "<caption>&lt;b&gt;</caption>" in html
