"""Pages as files: pictures with JSON truth, COCO, vector pages for print, and whole data sets."""

from ecgscan_lab.render.export.coco import mask_rle, rle_mask, write_coco
from ecgscan_lab.render.export.dataset import RenderSummary, render_dataset
from ecgscan_lab.render.export.settings import RenderSettings, page_named, page_seed
from ecgscan_lab.render.export.truth import PageTruth, read_page_truth, remake, write_page
from ecgscan_lab.render.export.vector import page_svg, write_pdf, write_svg

__all__ = [
    "PageTruth",
    "RenderSettings",
    "RenderSummary",
    "mask_rle",
    "page_named",
    "page_seed",
    "page_svg",
    "read_page_truth",
    "remake",
    "render_dataset",
    "rle_mask",
    "write_coco",
    "write_page",
    "write_pdf",
    "write_svg",
]
