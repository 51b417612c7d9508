"""Draw the contact sheets of docs/: page kinds, effects and presets, of synthetic recordings only.

    python benchmarks/contact_sheets.py [FOLDER]        # default: docs

Prints the name and size of each picture. The same version draws the same pictures.
"""

# ruff: noqa: T201
from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from ecgscan_lab import synthetic_records
from ecgscan_lab.plots.figure import alt_text, to_png
from ecgscan_lab.plots.rendering import plot_effects, plot_page_kinds, plot_presets
from ecgscan_lab.render import MACHINES, PageSpec, sample_layout
from ecgscan_lab.render.degrade import EFFECTS


def write_jpeg(figure: Figure, path: Path, quality: int = 82) -> None:
    """Write a figure as a JPEG that a README can carry."""
    picture = Image.open(io.BytesIO(to_png(figure, dpi=90))).convert("RGB")
    picture.save(path, quality=quality, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB. {alt_text(figure)}")


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    folder.mkdir(parents=True, exist_ok=True)
    record = synthetic_records(3, seed=4)[2]
    pages = {name: PageSpec.machine(name) for name in MACHINES}
    pages |= {f"drawn at random, {seed}": sample_layout(np.random.default_rng(seed)) for seed in range(6)}
    write_jpeg(plot_page_kinds(record, pages), folder / "layouts.jpg")
    write_jpeg(plot_effects(record, tuple(EFFECTS)), folder / "effects.jpg", quality=75)
    write_jpeg(plot_presets(record), folder / "presets.jpg")


if __name__ == "__main__":
    main()
