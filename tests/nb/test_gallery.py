from __future__ import annotations

import base64
import re
from itertools import pairwise

import nbformat
import nbformat.v4 as nbf
import numpy as np
import pytest
from PIL import Image

from ecgscan_lab.nb.gallery import first_figure, write_gallery
from ecgscan_lab.nb.run_all import Outcome

ATTACK = "<script>alert(1)</script>"
ALT = 'A "grey" square, drawn <b>large</b> to be made small.'


def png(tmp_path, size=(900, 500)) -> str:
    path = tmp_path / "figure.png"
    Image.fromarray(np.full((size[1], size[0]), 120, np.uint8)).save(path)
    return base64.b64encode(path.read_bytes()).decode()


@pytest.fixture
def outcomes(tmp_path):
    """Three outcomes whose every text is hostile: passed with a figure, failed, not run."""
    output = nbf.new_output("display_data", data={"image/png": png(tmp_path)}, metadata={"image/png": {"alt": ALT}})
    html = nbf.new_output(
        "display_data", data={"text/html": f"<p onclick='x()'>hello{ATTACK}</p>", "text/plain": "hello"}
    )
    cells = [
        nbf.new_markdown_cell(f"# Title {ATTACK}\n\n**Is it {ATTACK} safe?**\n\n{ATTACK}"),
        nbf.new_code_cell("draw()", outputs=[html, output]),
    ]
    paths = []
    for name in ("02_a", "solutions/02_a"):
        path = tmp_path / "executed" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(nbf.new_notebook(cells=cells if name == "02_a" else cells[:1]), path)
        paths.append(path)
    return [
        Outcome("02_a", "passed", paths[0], 65.0, 30.0, 900.0, {"seed": 0}, {"loss": 0.25, "name": ATTACK}),
        Outcome("solutions/02_a", "failed", paths[1], 1.0, error=f"cell 3 failed: {ATTACK}", cell=f"x = '{ATTACK}'"),
        Outcome("03_<i>b</i>", "not run"),
    ]


@pytest.fixture
def pages(outcomes, tmp_path):
    """Path below the output folder -> the page."""
    out = tmp_path / "out"
    assert write_gallery(outcomes, out, {"seconds": 70.0, "command": ATTACK}) == out / "index.html"
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.html")}


def test_no_page_holds_a_script_or_reaches_for_anything(pages):
    for html in pages.values():
        assert "<script" not in html
        assert "onclick" not in html
        assert "default-src 'none'" in html
        assert re.findall(r'(?:src|href)="(?!data:image/|#|pages/|(?:\.\./)+index\.html)[^"]*"', html) == []
        assert "<i>" not in html


def test_every_notebook_has_a_card_and_every_executed_one_a_page(pages):
    index = pages["index.html"]
    assert sorted(pages) == ["index.html", "pages/02_a.html", "pages/solutions/02_a.html"]
    cards = re.findall(r"<li class=.*?</li>", index, re.DOTALL)
    assert [re.search(r'<li class="(\w+)"', card)[1] for card in cards] == ["passed", "failed", "unfinished"]
    assert [re.findall(r'href="([^"]+)"', card) for card in cards] == [
        ["pages/02_a.html"],
        ["pages/solutions/02_a.html"],
        [],
    ]
    assert "1 min 5 s" in cards[0]
    assert "900 MiB" in cards[0]
    assert "Is it &lt;script&gt;alert(1)&lt;/script&gt; safe?" in cards[0]
    assert "cell 3 failed: &lt;script&gt;" in cards[1]
    assert "03_&lt;i&gt;b&lt;/i&gt;" in cards[2]
    assert 'href="../../index.html"' in pages["pages/solutions/02_a.html"]
    assert "1 of 3 passed" in index


def test_the_page_of_a_notebook_says_what_it_recorded_and_what_failed(pages):
    assert re.search(r"loss</th><td[^>]*>0\.250", pages["pages/02_a.html"])
    assert "What failed" in pages["pages/solutions/02_a.html"]


def test_headings_descend_and_every_picture_is_described(pages):
    for html in pages.values():
        levels = [int(level) for level in re.findall(r"<h(\d)", html)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        for image in re.findall(r"<img [^>]*>", html):
            assert len(re.search(r'alt="([^"]*)"', image)[1]) > 20
    assert "A &quot;grey&quot; square, drawn &lt;b&gt;large&lt;/b&gt;" in pages["index.html"]


def test_a_thumbnail_is_small_and_one_that_cannot_be_read_is_left_out(tmp_path):
    def notebook(*contents):
        outputs = [nbf.new_output("display_data", data={"image/png": content}) for content in contents]
        return nbf.new_notebook(cells=[nbf.new_code_cell("x", outputs=outputs)])

    address, alt = first_figure(notebook("no base64!", base64.b64encode(b"no picture").decode(), png(tmp_path)))
    (tmp_path / "small.png").write_bytes(base64.b64decode(address.partition(",")[2]))
    with Image.open(tmp_path / "small.png") as small:
        assert small.size == (640, 356)
    assert alt == "Figure of cell 1"
    assert first_figure(notebook()) == ("", "")
