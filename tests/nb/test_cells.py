from __future__ import annotations

import base64

import nbformat.v4 as nbf
import pytest

from ecgscan_lab.nb.cells import cell_html, code_html, markdown_html, output_html, safe_html
from ecgscan_lab.nb.equations import equation_html

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    '<a href="java&#10;script:alert(1)">x</a>',
    '<svg onload="alert(1)"><circle/></svg>',
    '<iframe src="https://example.org"></iframe>',
    "![x](https://example.org/pixel.png)",
    '<p style="background:url(https://example.org/x.png)">x</p>',
    '<link rel="stylesheet" href="https://example.org/x.css">',
    "$</svg><script>alert(1)</script>$",
    '$x" onload="alert(1)$',
    "`<script>`",
    '<img src="data:image/svg+xml;base64,QQ==" onerror="alert(1)" alt="<script>">',
]


def active(html: str) -> list[str]:
    """What a browser would run or load in this HTML."""
    from html.parser import HTMLParser

    found = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag in {"script", "iframe", "link", "style", "object", "embed", "form", "base", "meta"}:
                found.append(tag)
            for name, value in attrs:
                remote = name == "src" and not (value or "").startswith("data:image/")
                scripted = name == "href" and (value or "").lower().lstrip().startswith(
                    ("javascript", "data", "vbscript")
                )
                if name.startswith("on") or remote or scripted or (name == "style" and "url(" in (value or "")):
                    found.append(f"{tag} {name}={value}")

    parser = Parser()
    parser.feed(html)
    parser.close()
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_in_a_notebook_can_run_or_load(attack):
    outputs = [
        nbf.new_output("display_data", data={"text/html": attack}),
        nbf.new_output("display_data", data={"text/markdown": attack}),
        nbf.new_output("display_data", data={"text/plain": attack}),
        nbf.new_output("display_data", data={"image/png": attack}, metadata={"image/png": {"alt": f'"><{attack}'}}),
        nbf.new_output("stream", text=attack),
        nbf.new_output("error", ename=attack, evalue=attack, traceback=[attack]),
    ]
    cells = [
        nbf.new_markdown_cell(attack),
        nbf.new_markdown_cell(f"# {attack}"),
        nbf.new_code_cell(attack, outputs=outputs),
    ]
    html = "".join(cell_html(cell, 1) for cell in cells)
    assert active(html) == []


def test_the_detector_sees_what_it_looks_for():
    assert active('<script></script><img src="https://example.org/a.png" onerror="x"><a href="javascript:x">') == [
        "script",
        "img src=https://example.org/a.png",
        "img onerror=x",
        "a href=javascript:x",
    ]


def test_markdown_keeps_structure_and_drops_remote_pictures():
    html = markdown_html(
        "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[![Colab](https://example.org/b.svg)](https://example.org)"
    )
    assert '<h2 id="title">Title</h2>' in html
    assert "<td>1</td>" in html
    assert '<a href="https://example.org">Colab</a>' in html


def test_folded_html_survives_sanitising():
    html = safe_html("<details><summary>Hint</summary>text</details><style>p {}</style>")
    assert html == "<details><summary>Hint</summary>text</details>"


def test_equations_become_labelled_outlines():
    html = markdown_html(r"So $\frac{a}{b}$ and" + "\n\n$$\nV = \\sqrt{\\det G}\n$$\n")
    assert html.count("<svg") == 2
    assert r'aria-label="\frac{a}{b}"' in html
    assert 'class="math-block"' in html


def test_aligned_equations_are_drawn_line_by_line():
    assert equation_html(r"\begin{aligned} a &= b \\ c &= d \end{aligned}", block=True).count("<svg") == 2


def test_unknown_tex_is_shown_as_it_is():
    assert (
        equation_html(r"\begin{cases} x & <b> \end{cases}")
        == r"<code>\begin{cases} x &amp; &lt;b&gt; \end{cases}</code>"
    )


def test_pictures_are_inside_the_page_with_their_description():
    png = base64.b64encode(b"not looked into").decode()
    described = nbf.new_output("display_data", data={"image/png": png}, metadata={"image/png": {"alt": 'a "page"'}})
    bare = nbf.new_output("display_data", data={"image/png": png, "text/html": "<b>no</b>"})
    assert output_html(described, "Figure") == (
        f'<figure><img src="data:image/png;base64,{png}" alt="a &quot;page&quot;"></figure>'
    )
    assert 'alt="Figure of cell 3"' in output_html(bare, "Figure of cell 3")


def test_scripted_output_falls_back_to_its_text():
    output = nbf.new_output("display_data", data={"text/html": "<SCRIPT>x</SCRIPT>", "text/plain": "Figure()"})
    assert output_html(output, "Figure") == '<pre class="">Figure()</pre>'


def test_progress_lines_show_their_last_state():
    output = nbf.new_output("stream", text="10 %\r100 %\n\x1b[31mdone\x1b[0m\n")
    assert output_html(output, "Figure") == '<pre class="">100 %\ndone</pre>'


def test_code_is_folded_and_escaped():
    html = code_html('x = "<b>"  # why\nif x:\n    pass')
    assert "<summary>Code, 3 lines</summary>" in html
    assert "&quot;&lt;b&gt;&quot;" in html
    assert '<span class="c"># why</span>' in html
