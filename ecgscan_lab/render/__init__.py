"""Recordings in, ECG pages out: geometry in millimetres, an anti-aliased rasteriser, and exact ground truth."""

from ecgscan_lab.render.page import PageSpec, Segment, page_homography, page_segments
from ecgscan_lab.render.paper import PALETTES
from ecgscan_lab.render.renderer import draw_page, draw_pages, px_to_mv
from ecgscan_lab.render.variation import sample_page

__all__ = [
    "PALETTES",
    "PageSpec",
    "Segment",
    "draw_page",
    "draw_pages",
    "page_homography",
    "page_segments",
    "px_to_mv",
    "sample_page",
]
