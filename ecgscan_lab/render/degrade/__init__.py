"""Degradation: what befalls a page between the printer and the file, with the ground truth carried along."""

from ecgscan_lab.render.degrade.geometry import clean_size, sheet_map
from ecgscan_lab.render.degrade.params import EFFECTS, GEOMETRIC, DegradeParams
from ecgscan_lab.render.degrade.pipeline import apply_params
from ecgscan_lab.render.degrade.sampling import PRESETS, Preset, sample_effect, sample_params
from ecgscan_lab.render.degrade.warp import warp_coverage

__all__ = [
    "EFFECTS",
    "GEOMETRIC",
    "PRESETS",
    "DegradeParams",
    "Preset",
    "apply_params",
    "clean_size",
    "sample_effect",
    "sample_params",
    "sheet_map",
    "warp_coverage",
]
