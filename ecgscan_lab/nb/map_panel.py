"""Maps that answer in a live notebook: the pointer shows a page, a lasso draws what it took, a number does without."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ecgscan_lab.nb.widgets import error_html, live_front_end, need_ipywidgets, say
from ecgscan_lab.plots.figure import picture_html
from ecgscan_lab.plots.live_maps import chosen_records, mark_record, page_card

Page = Callable[[int], tuple[ArrayLike, str]]
Selection = Callable[[NDArray[np.int64]], Figure]

NOT_LIVE = "In a live notebook a map stands here that answers to the pointer; the figure above is its still twin."
NO_ANYWIDGET = (
    "Point at the map to read what lies there. That the pointer shows pages and a lasso is answered needs anywidget "
    "(pip install anywidget, then restart Jupyter); until then the controls above do the same by numbers."
)


class MapPanel:
    """The live half of `explore_map`: a map, the page of the point under the pointer, and what a lasso took.

    Args:
        chart: of `plots.live_maps.map_chart` or `linked_chart`; it is changed in place by its own answers.
        page: record -> (its page, what to say of it), pure.
        selection: records -> figure of them, pure, with alt text; None: the lasso takes nothing.

    Attributes:
        chart: the map, a plotly `FigureWidget` where `explore_map` made it one.
        card: HTML widget with the page that is shown, or the message of an error.
        picture: HTML widget with the figure of the selection.
        number: box with the record's number: what the pointer does, by keyboard.
        box: all of it, to display.

    Raises:
        MissingExtraError: ipywidgets is not installed.
    """

    def __init__(self, chart: Any, page: Page, selection: Selection | None = None) -> None:
        ipywidgets = need_ipywidgets()
        self.chart, self._page, self._selection = chart, page, selection
        owners = [int(k) for trace in chart.data[:-1] for k in trace.customdata]
        self.card, self.picture = ipywidgets.HTML(), ipywidgets.HTML()
        self.number = ipywidgets.BoundedIntText(
            value=min(owners),
            min=min(owners),
            max=max(owners),
            description="record (its number)",
            continuous_update=False,
            style={"description_width": "10em"},
            layout={"width": "16em"},
        )
        self.number.observe(lambda change: self.look(change["new"]), names="value")
        for trace in chart.data[:-1]:
            trace.on_hover(self._hovered)
            trace.on_click(self._hovered)
        if selection is not None:  # plotly tells one trace after the other, and the last one when all know their part
            chart.data[-1].on_selection(lambda *told: self.take(chosen_records(self.chart)))
            chart.data[-1].on_deselect(lambda *told: self.take(None))
        self.look(self.number.value)
        self.take(None)

    @property
    def box(self) -> Any:
        """Map and page side by side where there is room, and beneath them what the lasso took."""
        ipywidgets = need_ipywidgets()
        beside = ipywidgets.VBox([self.number, self.card], layout={"flex": "1 1 20em", "min_width": "18em"})
        map_ = ipywidgets.Box([self.chart], layout={"flex": "0 0 auto", "max_width": "100%", "overflow": "auto"})
        row = ipywidgets.HBox([map_, beside], layout={"flex_flow": "row wrap"})
        return ipywidgets.VBox([row, self.picture])

    def look(self, record: int) -> None:
        """Show the page of a record and ring its places; an error is shown in place of the page."""
        try:
            page, said = self._page(record)
            self.card.value = page_card(page, said)
            mark_record(self.chart, record)
        except Exception as error:
            self.card.value = error_html(error)

    def take(self, records: NDArray[np.int64] | None) -> None:
        """Draw what a lasso took; None: nothing was asked. An error is shown in place of the figure."""
        if self._selection is None:
            return
        if records is None:
            self.picture.value = "<p>Draw a lasso around points of the map: what it takes is drawn here.</p>"
            return
        try:
            self.picture.value = picture_html(self._selection(records))
        except Exception as error:
            self.picture.value = error_html(error)

    def _hovered(self, trace: Any, points: Any, state: Any) -> None:
        if points.point_inds:
            self.number.value = int(trace.customdata[points.point_inds[0]])


def explore_map(chart: Any, page: Page, selection: Selection | None = None) -> None:
    """Show a map that answers, where somebody is there: the pointer shows pages, a lasso draws what it took.

    Show the static twin first (`plots.maps.plot_selection`, `plot_linked`). Under papermill one sentence stands here;
    without anywidget the map answers to the pointer in words only, and says so.

    Args:
        chart, page, selection: as in `MapPanel`.
    """
    if not live_front_end():
        say(NOT_LIVE)
        return
    from IPython.display import display

    if find_spec("anywidget") is None:
        say(NO_ANYWIDGET)
        display(chart)
        return
    widget = importlib.import_module("plotly.graph_objects").FigureWidget(chart)
    display(MapPanel(widget, page, selection).box)
