from __future__ import annotations

import re

import nbformat
import nbformat.v4 as nbf
import pytest

from ecgscan_lab.errors import NotebookError
from ecgscan_lab.nb.report import write_report

RESULTS = {
    "data": "cohort:<b>mine</b>",
    "profile": "smoke",
    "records": {"train": 1200, "test": 34},
    "seconds": 95.2,
    "peak_memory_mb": 1536.0,
    "seed": 0,
    "data_sha256": "ab" * 32,
    "command": "ecgscan-lab tour --data 'cohort:<b>mine</b>'",
    "skipped_records": [{"record_id": "<script>alert(1)</script>", "error": "RecordError", "message": "no <lead> V2"}],
    "repairs": {"unit <uV> converted": 3},
    "linear_probe": {
        "super<b>class": {
            "macro_auroc": 91.3,
            "ci95": [88.0, 94.1],
            "n_defined": 4,
            "n_classes": 5,
            "per_class": {"MI": 93.0, "HYP": None},
            "random <img src=x>": {"macro_auroc": 74.9, "ci95": [69.0, 80.2], "per_class": {"MI": 70.0}},
        }
    },
    "retrieval": {"page to text": {"recall": {"1": 12.5, "5": 40.0}, "n": 64}},
    "history": [{"step": step, "total": 1 / step} for step in range(1, 40)],
}


@pytest.fixture
def notebook(tmp_path):
    cells = [
        nbf.new_markdown_cell("# The <i>tour</i>\n\nProse.\n\n## One"),
        nbf.new_code_cell("1 + 1", outputs=[nbf.new_output("stream", text="2")]),
        nbf.new_markdown_cell("## Two\n\n## Three"),
    ]
    path = tmp_path / "00_tour.ipynb"
    nbformat.write(nbf.new_notebook(cells=cells), path)
    return path


def test_the_page_holds_facts_tables_and_cells_in_order(notebook, tmp_path):
    html = write_report([notebook], RESULTS, tmp_path / "deep" / "report.html").read_text()
    expected = ["1,234<small>train 1,200, test 34", "1 min 35 s", "1.50 GiB", ">Contents<", "probe</h2>", "91.3 <span"]
    expected += [
        "reading</h2>",
        "left out</h2>",
        "step</h2>",
        "Prose.",
        "One</h2>",
        "Code, 1 line",
        "Two</h2>",
        "ab" * 32,
    ]
    places = [html.find(text) for text in expected]
    assert -1 not in places
    assert places == sorted(places)


def test_the_page_reaches_for_nothing_and_runs_nothing(notebook, tmp_path):
    html = write_report([notebook], RESULTS, tmp_path / "report.html").read_text()
    tags = set(re.findall(r"<([a-zA-Z0-9]+)", html))
    assert tags.isdisjoint(
        {"script", "link", "iframe", "object", "embed", "base", "form", "i", "b", "img", "lead", "uV"}
    )
    assert "url(" not in html
    assert "@import" not in html
    assert "http://" not in html
    assert "https://" not in html
    assert "default-src 'none'" in html


def test_judgements_show_intervals_and_fold_their_labels(notebook, tmp_path):
    html = write_report([notebook], RESULTS, tmp_path / "report.html").read_text()
    assert "4 of 5" in html
    assert html.count("<circle") == 2
    labels = html[html.index("Label by label") :]
    assert [re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td.*?</td>", labels)[:3]] == ["MI", "93.0", "70.0"]


def test_mappings_spread_into_columns_and_long_tables_are_folded(notebook, tmp_path):
    html = write_report([notebook], RESULTS, tmp_path / "report.html").read_text()
    assert ">recall 1<" in html
    assert "<summary>39 rows</summary>" in html


def test_names_and_values_have_a_line_each_whatever_lies_deeper(notebook, tmp_path):
    recipe = {"name": "quick", "steps": 200, "weights": {"alpha": 0.1, "gram_kind": "volume"}}
    html = write_report([notebook], {**RESULTS, "recipe": recipe}, tmp_path / "report.html").read_text()
    table = html[html.index(">Recipe</h2>") :]
    table = table[: table.index("</table>")]
    assert re.findall(r'<th scope="row">([^<]+)</th>', table) == ["name", "steps", "weights alpha", "weights gram_kind"]
    assert "–" not in table
    assert "—" not in table


def test_the_title_comes_from_the_notebook_and_stands_once(notebook, tmp_path):
    html = write_report([notebook], {}, tmp_path / "report.html").read_text()
    assert html.count("The &lt;i&gt;tour&lt;/i&gt;") == 2  # in the head and as the one first-rank heading
    assert html.count("<h1>") == 1


def test_an_unreadable_notebook_leaves_an_older_report_as_it_was(tmp_path):
    report = tmp_path / "report.html"
    report.write_text("older")
    (tmp_path / "broken.ipynb").write_text("{")
    with pytest.raises(NotebookError, match="not a readable notebook"):
        write_report([tmp_path / "broken.ipynb"], {}, report)
    assert report.read_text() == "older"


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_every_text_colour_is_readable_on_both_grounds(notebook, tmp_path, scheme):
    html = write_report([notebook], {}, tmp_path / "report.html").read_text()
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", re.findall(r":root \{(.*?)\}", html, re.DOTALL)[scheme]))
    for ground in ("ground", "sheet"):
        for text in ("ink", "soft", "accent", "link", "keyword", "string", "number", "comment", "name"):
            light, dark = sorted((_luminance(colours[ground]), _luminance(colours[text])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)
