"""The page model laid over a photograph or a scan."""

from ecgscan_lab.render.photograph.fit import PageFit, fit_page, ink_distance_mm, page_over_picture
from ecgscan_lab.render.photograph.grid import Grid, find_grid

__all__ = [
    "Grid",
    "PageFit",
    "find_grid",
    "fit_page",
    "ink_distance_mm",
    "page_over_picture",
]
