"""Static figures with alt text: records and tables in, `matplotlib.figure.Figure` out, and no global state touched."""

from __future__ import annotations

from ecgscan_lab.plots.comparison import plot_auroc_bars, plot_per_class
from ecgscan_lab.plots.ecg import plot_page, plot_pages, plot_reconstruction, plot_record
from ecgscan_lab.plots.embedding import Pca2d, pca_2d, plot_embedding
from ecgscan_lab.plots.figure import MARKERS, PALETTE, alt_text, describe, show, style, to_png
from ecgscan_lab.plots.probing import plot_coverage, plot_epoch_choice, plot_few_labels
from ecgscan_lab.plots.robustness import plot_robustness
from ecgscan_lab.plots.training import plot_history, plot_step_times

__all__ = [
    "MARKERS",
    "PALETTE",
    "Pca2d",
    "alt_text",
    "describe",
    "pca_2d",
    "plot_auroc_bars",
    "plot_coverage",
    "plot_embedding",
    "plot_epoch_choice",
    "plot_few_labels",
    "plot_history",
    "plot_page",
    "plot_pages",
    "plot_per_class",
    "plot_reconstruction",
    "plot_record",
    "plot_robustness",
    "plot_step_times",
    "show",
    "style",
    "to_png",
]
