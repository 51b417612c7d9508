"""Recordings in, ECG pages out: geometry in millimetres, an anti-aliased rasteriser, and exact ground truth."""

from ecgscan_lab.render.framing import page_homography
from ecgscan_lab.render.layouts import LAYOUTS
from ecgscan_lab.render.machines import MACHINES
from ecgscan_lab.render.page import PAPERS_MM, Note, PageSpec
from ecgscan_lab.render.paper import FONTS, PALETTES
from ecgscan_lab.render.renderer import draw_page, draw_pages
from ecgscan_lab.render.segments import Segment, page_segments, visible_samples
from ecgscan_lab.render.variation import sample_layout, sample_page

__all__ = [
    "FONTS",
    "LAYOUTS",
    "MACHINES",
    "PALETTES",
    "PAPERS_MM",
    "Note",
    "PageSpec",
    "Segment",
    "draw_page",
    "draw_pages",
    "page_homography",
    "page_segments",
    "sample_layout",
    "sample_page",
    "visible_samples",
]
