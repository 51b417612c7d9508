from __future__ import annotations

import nbformat
import nbformat.v4 as nbf
import pytest

from ecgscan_lab.cli import main
from ecgscan_lab.errors import NotebookError
from ecgscan_lab.nb.accessibility import check_folder, check_outputs, check_page

ALT = "Twelve leads on pink paper, three rows of four."
PLOTLY = "application/vnd.plotly.v1+json"
PAGE = (
    '<html lang="en"><head><title>Notebooks</title></head><body><h1>Notebooks</h1><h2><a href="a.html">one</a></h2>'
    '<img src="a.png" alt="Twelve leads on pink paper.">'
    '<a href="b.html"><img src="b.png" alt="Go to the next page"></a>'
    '<table><tr><th scope="col">name</th></tr><tr><td>one</td></tr></table><h3>more</h3><h2>two</h2></body></html>'
)


def executed(*outputs):
    return nbf.new_notebook(cells=[nbf.new_markdown_cell("# T"), nbf.new_code_cell("draw()", outputs=list(outputs))])


def drawn(alt=ALT, findings=(), **data):
    data = data or {"image/png": ""}
    return nbf.new_output("display_data", data=data, metadata={"image/png": {"alt": alt, "findings": list(findings)}})


def plotted(title=None):
    return nbf.new_output("display_data", data={PLOTLY: {"data": [], "layout": {"title": title} if title else {}}})


def test_a_described_figure_passes():
    html = {"text/html": f'<img src="data:," alt="{ALT}">', "image/png": ""}
    assert check_outputs(executed(drawn(), drawn(**html), nbf.new_output("stream", text="hello"))) == []


@pytest.mark.parametrize(
    ("output", "finding"),
    [
        (nbf.new_output("display_data", data={"image/png": ""}), "a picture without alt text"),
        (nbf.new_output("execute_result", data={"image/svg+xml": "<svg/>"}), "a picture without alt text"),
        (drawn(alt="  "), "a picture without alt text"),
        (drawn(alt="a figure"), "the alt text 'a figure' says too little"),
        (drawn(alt="figures_of_today_4.png"), "the alt text 'figures_of_today_4.png' is the name of a file"),
        (drawn(findings=["a line has contrast 2.0, below 3"]), "a line has contrast 2.0, below 3"),
        (nbf.new_output("display_data", data={"text/html": "<img src='x'>"}), "a picture without alt text"),
        (plotted(), "a plotly figure with neither a title nor a static twin"),
    ],
)
def test_what_a_reader_would_miss_is_named_with_its_cell(output, finding):
    assert check_outputs(executed(output)) == [f"cell 2: {finding}"]


def test_a_plotly_figure_has_a_title_or_a_static_twin():
    assert check_outputs(executed(plotted("Embeddings of pages"))) == []
    assert check_outputs(executed(plotted({"text": "Embeddings of pages"}))) == []
    assert check_outputs(executed(plotted(), drawn())) == []
    assert len(check_outputs(executed(plotted({"font": {}})))) == 1


def test_a_page_in_order_passes():
    assert check_page(PAGE) == []


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (' lang="en"', "", "no language"),
        ("<title>Notebooks</title>", "", "no title"),
        ("<h1>Notebooks</h1>", "", "the first heading is h2"),
        ("<h3>more</h3>", "<h4>more</h4>", "h4 follows h2"),
        (">one</a>", "> </a>", "a link that says nothing: a.html"),
        ('alt="Go to the next page"', 'alt=""', "a link that says nothing: b.html"),
        (' alt="Twelve leads on pink paper."', "", "a picture without alt text"),
        ('<th scope="col">name</th>', "<td>name</td>", "a table without header cells"),
    ],
)
def test_what_is_amiss_in_a_page_is_named(old, new, finding):
    assert old in PAGE
    assert check_page(PAGE.replace(old, new)) == [finding]


def test_the_command_lists_findings_by_file_and_fails(tmp_path, capsys):
    (tmp_path / "executed").mkdir()
    path = tmp_path / "executed" / "02_a.ipynb"
    nbformat.write(executed(drawn()), path)
    (tmp_path / "index.html").write_text(PAGE)
    assert main(["notebooks", "check", "--executed", str(tmp_path)]) == 0
    nbformat.write(executed(drawn(alt="")), path)
    (tmp_path / "index.html").write_text(PAGE.replace(' lang="en"', ""))
    capsys.readouterr()
    assert main(["notebooks", "check", "--executed", str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "executed/02_a.ipynb: cell 2: a picture without alt text",
        "index.html: no language",
    ]


def test_a_folder_without_notebooks_is_refused(tmp_path):
    with pytest.raises(NotebookError, match="no executed notebook"):
        check_folder(tmp_path)
