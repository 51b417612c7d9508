r"""Equations as inline SVG: no script, no font file, no request, and the colour of the text around them."""

from __future__ import annotations

import re
from html import escape

import numpy as np

_ALIGNED = re.compile(r"\\begin\{(aligned|align\*?|gathered|gather\*?|split)\}(.*)\\end\{\1\}", re.DOTALL)
# Spelled differently, or not known, in matplotlib's subset of TeX.
_SPELLINGS = {
    r"\tfrac": r"\frac",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\Vert": r"\|",
    r"\lVert": r"\|",
    r"\rVert": r"\|",
    "&": " ",
}


def equation_html(tex: str, *, block: bool = False) -> str:
    r"""An equation as HTML: SVG outlines with the TeX as their label, or the TeX as code where it cannot be drawn.

    Args:
        tex: TeX without its dollar signs; one `aligned` environment around it is taken line by line.
        block: centre it on lines of its own.

    >>> 'aria-label="x^2"' in equation_html("x^2")
    True
    >>> equation_html(r"\nosuch{<b>}")
    '<code>\\nosuch{&lt;b&gt;}</code>'
    """
    aligned = _ALIGNED.fullmatch(tex.strip())
    lines = [line.strip() for line in aligned.group(2).split(r"\\")] if aligned else [" ".join(tex.split())]
    try:
        drawn = "".join(_svg(line, block) for line in lines if line)
    except (ValueError, RuntimeError):  # what matplotlib's parser raises on TeX outside its subset
        drawn = f"<code>{escape(tex.strip())}</code>"
    return f'<div class="math-block">{drawn}</div>' if block else drawn


def _svg(tex: str, block: bool) -> str:
    import matplotlib as mpl
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    spelled = re.sub(r"\\[A-Za-z]+|&", lambda macro: _SPELLINGS.get(macro[0], macro[0]), tex)
    if block:
        spelled = spelled.replace(r"\frac", r"\dfrac")
    with mpl.rc_context({"mathtext.fontset": "stix", "text.usetex": False}):
        font = FontProperties(size=text_to_path.FONT_SCALE)  # the size whose outlines are not scaled
        width, height, descent = text_to_path.get_text_width_height_descent(f"${spelled}$", font, ismath=True)
        points, codes = text_to_path.get_text_path(font, f"${spelled}$", ismath=True)
    outline = _outline(np.asarray(points, dtype=float), list(codes), height - descent)
    em_width, em_height, em_descent = (length / text_to_path.FONT_SCALE for length in (width, height, descent))
    style = f"width:{em_width:.3f}em;height:{em_height:.3f}em;vertical-align:{-em_descent:.3f}em"
    return (
        f'<svg class="math" role="img" aria-label="{escape(tex)}" style="{style}" '
        f'viewBox="0 0 {width:.1f} {height:.1f}"><path d="{outline}"/></svg>'
    )


def _outline(points: np.ndarray, codes: list[int], baseline: float) -> str:
    """SVG path data of a matplotlib path, y downwards from the top of the box."""
    letters = {1: "M", 2: "L", 3: "Q", 4: "C"}
    steps = {1: 1, 2: 1, 3: 2, 4: 3}
    parts: list[str] = []
    i = 0
    while i < len(codes):
        if codes[i] == 79:
            parts.append("Z")
            i += 1
            continue
        n = steps[codes[i]]
        coordinates = " ".join(f"{x:.1f} {baseline - y:.1f}" for x, y in points[i : i + n])
        parts.append(letters[codes[i]] + coordinates)
        i += n
    return "".join(parts)
