"""The rasteriser in torch: batched, on any device, differentiable from pixel to millivolt. Nothing else imports it."""

from ecgscan_lab.render.tensors.inverse import SignalFit, fit_signal_to_page
from ecgscan_lab.render.tensors.pages import TorchPages, prepare_pages
from ecgscan_lab.render.tensors.raster import TOLERANCE, draw_batch

__all__ = [
    "TOLERANCE",
    "SignalFit",
    "TorchPages",
    "draw_batch",
    "fit_signal_to_page",
    "prepare_pages",
]
