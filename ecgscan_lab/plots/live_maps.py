"""Maps whose points answer: what a plotly chart shows under the pointer and inside a lasso, as pure functions.

No function here needs a browser. `nb.map_panel` joins them to a live notebook; `plots.maps` draws their static twins.
"""

from __future__ import annotations

import base64
import io
import textwrap
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.errors import ArgumentError, MissingExtraError
from ecgscan_lab.plots.figure import BLACK, INK, PALETTE
from ecgscan_lab.plots.maps import Places

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x")
"""Markers in the order of `plots.figure.MARKERS`, by plotly's names."""

SHOWN = "shown beside the map"
"""Name of the trace that rings the record whose page is shown."""

WIDTH_PX = 600
"""Width of a chart. One that takes what room there is measures the room before a row of widgets was laid out."""

_NO_PLOTLY = "maps that answer need plotly"


def map_chart(
    points: ArrayLike,
    labels: Sequence[str] | NDArray[np.str_],
    title: str,
    *,
    records: Sequence[int] | NDArray[np.int64] | None = None,
    said: Sequence[str] | None = None,
) -> Any:
    """A map as a plotly figure: a colour and a marker a class, a name under the pointer, a lasso to take points.

    Args:
        points: `[point, 2]`.
        labels: class of each point, at most seven classes.
        title: of the chart; it says what the map shows.
        records: position of the record that a point belongs to; None: one point a record, in order. Several points of
            one record, its page and its report for instance, are linked by it.
        said: what the pointer shows of each record, besides its number and the point's class.

    Returns:
        `plotly.graph_objects.Figure`; the last trace, `SHOWN`, is empty until `mark_record` fills it.

    Raises:
        ArgumentError: tables do not match, more classes than colours, or no title.
        MissingExtraError: plotly is not installed.

    Example:
        >>> chart = map_chart([[0, 0], [1, 1], [2, 0]], ["MI", "NORM", "MI"], "Three pages")
        >>> [(trace.name, list(trace.customdata or ())) for trace in chart.data[:2]]
        [('MI (2)', [0, 2]), ('NORM (1)', [1])]
    """
    xy, of = np.asarray(points, dtype=np.float64), np.asarray(labels).astype(str)
    owners = np.arange(len(of)) if records is None else np.asarray(records, dtype=np.int64)
    names = list(dict.fromkeys(of.tolist())) if records is not None else sorted(set(of.tolist()))
    if not len(of) or xy.shape != (len(of), 2) or owners.shape != (len(of),):
        raise ArgumentError(
            f"points {xy.shape}, labels {of.shape}, records {owners.shape}",
            field="points",
            expected="[point, 2], and one label and one record a point",
        )
    if len(names) > len(PALETTE) or not title.strip():
        raise ArgumentError(
            f"{len(names)} classes, title {title!r}",
            field="labels",
            expected=f"1 to {len(PALETTE)} classes, and a title",
        )
    if said is not None and len(said) <= owners.max():
        raise ArgumentError(f"{len(said)} texts", field="said", expected="one a record")
    go = _plotly()
    chart = go.Figure()
    for k, name in enumerate(names):
        own = np.flatnonzero(of == name)
        words = [_under_pointer(int(owners[i]), name, said) for i in own]
        marker = {"color": PALETTE[k], "symbol": SYMBOLS[k], "size": 8, "opacity": 0.75}
        chart.add_scatter(
            x=xy[own, 0], y=xy[own, 1], mode="markers", name=f"{name} ({len(own)})", marker=marker,
            customdata=owners[own].tolist(), text=words, hovertemplate="%{text}<extra></extra>",
            unselected={"marker": {"opacity": 0.15}},
        )  # fmt: skip
    ring = {"color": "rgba(0,0,0,0)", "symbol": "circle", "size": 18, "line": {"color": BLACK, "width": 2}}
    chart.add_scatter(
        x=[], y=[], mode="lines+markers", name=SHOWN, marker=ring, line={"color": BLACK, "width": 1}, hoverinfo="skip",
        unselected={"marker": {"opacity": 1}},
    )  # fmt: skip
    bare = {"showticklabels": False, "zeroline": False, "showgrid": False, "showline": True, "linecolor": INK}
    chart.update_layout(
        title={"text": title, "font": {"size": 15}}, template="plotly_white", dragmode="lasso",
        width=WIDTH_PX, height=480,
        margin={"l": 40, "r": 10, "t": 45, "b": 40}, legend={"orientation": "h", "y": -0.12}, font={"color": INK},
        xaxis={**bare, "title": {"text": "map axis 1 (no unit)"}},
        yaxis={**bare, "title": {"text": "map axis 2 (no unit)"}},
    )  # fmt: skip
    return chart


def linked_chart(places: Places, title: str, *, said: Sequence[str] | None = None) -> Any:
    """Pages, reports and signals of the same records on one chart, linked: marking a record marks all of its places.

    Args:
        places: the common map.
        title: of the chart.
        said: as in `map_chart`, for instance the reports.

    Raises:
        ArgumentError, MissingExtraError: as `map_chart`.

    Example:
        >>> chart = linked_chart(Places(np.zeros((2, 2)), np.ones((2, 2)), np.full((2, 2), 2.0)), "Two records")
        >>> mark_record(chart, 1)
        >>> list(chart.data[-1].x)
        [0.0, 1.0, 2.0, 0.0]
    """
    n = len(places.image)
    modality = np.repeat(Places._fields, n)
    return map_chart(np.concatenate(places), modality, title, records=np.tile(np.arange(n), len(places)), said=said)


def chosen_records(chart: Any) -> NDArray[np.int64] | None:
    """The records whose points a lasso took, each once and in order; None where nothing was ever selected.

    Args:
        chart: of `map_chart`, after a front end or `trace.selectedpoints = ...` selected points in it.

    Example:
        >>> chart = map_chart([[0, 0], [1, 1], [2, 0]], ["MI", "NORM", "MI"], "Three pages")
        >>> chart.data[0].selectedpoints = (1,)
        >>> chosen_records(chart).tolist()
        [2]
    """
    taken: list[int] = []
    asked = False
    for trace in _classes(chart):
        if trace.selectedpoints is not None:
            asked = True
            taken += [int(trace.customdata[k]) for k in trace.selectedpoints]
    return np.unique(np.array(taken, dtype=np.int64)) if asked else None


def mark_record(chart: Any, record: int) -> None:
    """Ring all points of a record, and join them where there are several.

    Raises:
        ArgumentError: the chart has no point of it.
    """
    spots = [
        (float(trace.x[k]), float(trace.y[k]))
        for trace in _classes(chart)
        for k, owner in enumerate(trace.customdata)
        if int(owner) == record
    ]
    if not spots:
        raise ArgumentError(f"no point of record {record}", field="record", expected="a record of the map")
    closed = [*spots, spots[0]] if len(spots) > 2 else spots
    with chart.batch_update():
        chart.data[-1].x, chart.data[-1].y = [x for x, _ in closed], [y for _, y in closed]


def page_card(page: ArrayLike, said: str, width_px: int = 460) -> str:
    """A page as a small picture with alt text, and words beneath it: what a map shows beside the pointer.

    Args:
        page: uint8 `[height, width, 3]` or `[3, height, width]`.
        said: what it is; it is shown, and part of the alt text.
        width_px: at most this wide.

    Raises:
        ArgumentError: not such a picture.

    Example:
        >>> 'alt="The page of: record 3, NORM"' in page_card(np.full((3, 20, 40), 255, np.uint8), "record 3, NORM")
        True
    """
    from PIL import Image

    pixels = np.asarray(page)
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] != 3:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ArgumentError(f"a page of shape {pixels.shape}", field="page", expected="uint8 [height, width, 3]")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    source = base64.b64encode(buffer.getvalue()).decode("ascii")
    words = escape(said)
    return (
        f'<figure style="margin:0;max-width:{width_px}px"><img src="data:image/png;base64,{source}" '
        f'alt="The page of: {words}" style="width:100%;border:1px solid #666">'
        f'<figcaption style="line-height:1.4;white-space:normal">{words}</figcaption></figure>'
    )


def _classes(chart: Any) -> list[Any]:
    """Traces that hold points of records."""
    return [trace for trace in chart.data if trace.name != SHOWN]


def _under_pointer(record: int, name: str, said: Sequence[str] | None) -> str:
    """Words beside a point; plotly reads them as HTML."""
    words = "" if said is None else said[record]
    lines = textwrap.wrap(words, 42, max_lines=3, placeholder=" ...")
    return "<br>".join([f"record {record}: {escape(name)}", *map(escape, lines)])


def _plotly() -> Any:
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise MissingExtraError(_NO_PLOTLY, fix='pip install "ecgscan-lab[notebooks]"') from error
    return go
