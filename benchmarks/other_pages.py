"""An encoder that knows one kind of page, shown others: as they are, and read and drawn again as its own.

    python benchmarks/other_pages.py FOLDER --records 40                    # a 3 x 4 sheet, and photographed
    python benchmarks/other_pages.py FOLDER --kit KIT --kit-python PYTHON   # of ecg-image-kit, plain and augmented

Records of fold 9, evenly spaced, read by the weights that come with the package: zero-shot AUROC of the superclasses
with a patient-level 95 % interval, and how near (cosine, median) a page comes to the encoder's own page of its record.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from ecgscan_lab.data.prompts import builtin_prompts
from ecgscan_lab.encoders.text import text_tower
from ecgscan_lab.evaluate.embedding import embed_images
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.evaluate.prompt_judgement import judge_prompts
from ecgscan_lab.render.image_kit import KitPage, draw_page_with_image_kit
from ecgscan_lab.render.page import PageSpec
from ecgscan_lab.render.renderer import draw_page
from ecgscan_lab.replicate.ptbxl import load_split
from ecgscan_lab.train.loop import load_model
from ecgscan_lab.train.shipped import shipped_checkpoint
from ecgscan_lab.types import Cohort

SHEET_PX = (1000, 1290)
AUGMENTED = {"augment": True, "rotate_deg": 5, "noise": 20, "crop": 0.02}
Draw = Callable[[int], np.ndarray]


def kinds(cohort: Cohort, chosen: argparse.Namespace) -> Iterator[tuple[str, Draw]]:
    """Name of a kind of page, and record -> RGB picture."""

    def sheet(i: int, degrade: str) -> np.ndarray:
        return draw_page(cohort.records[i], PageSpec(), size=SHEET_PX, degrade=degrade, seed=i).pixels

    def of_kit(i: int, page: KitPage) -> np.ndarray:
        record = cohort.records[i]
        drawn = draw_page_with_image_kit(record, page, seed=i, dpi=100, kit=chosen.kit, python=chosen.kit_python)
        return drawn.pixels

    if chosen.kit:
        yield "ecg-image-kit", partial(of_kit, page=KitPage())
        yield "ecg-image-kit, augmented", partial(of_kit, page=KitPage(**AUGMENTED))
    else:
        yield "sheet", partial(sheet, degrade="clean")
        yield "photographed sheet", partial(sheet, degrade="photo")


def nearness(found: np.ndarray, own: np.ndarray) -> float:
    """Median cosine of rows that belong together."""
    return float(np.median((found * own).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(own, axis=1)))


def main() -> None:
    """Draw, embed, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="PTB-XL as published")
    parser.add_argument("--records", type=int, default=40)
    parser.add_argument("--kit", help="checkout of ecg-image-kit")
    parser.add_argument("--kit-python", help="interpreter that has what it needs")
    chosen = parser.parse_args()
    cohort = load_split(chosen.folder, 9)[0]
    targets = cohort.targets("superclass")
    test = np.array([i for i in cohort.indices("test") if targets[i].any()])
    test = test[np.unique(np.linspace(0, len(test) - 1, chosen.records).round().astype(int))]
    model, _ = load_model(shipped_checkpoint())
    prompts, tower = builtin_prompts("superclass", cohort.tasks["superclass"]), text_tower("auto")
    size: tuple[int, int] = model.tower.size  # type: ignore[assignment]
    own = embed_pages(model.image_embeddings, cohort, size, indices=test)

    def judged(features: np.ndarray) -> str:
        found = judge_prompts(features, model, tower, prompts, targets[test], cohort.patients[test], n_bootstrap=1000)
        return f"{found.macro_auroc:.1f} [{found.ci95[0]:.1f}, {found.ci95[1]:.1f}]"

    sys.stdout.write(f"data {cohort.data_sha256[:12]}, {len(test)} records\nits own page: {judged(own)}\n")
    for name, draw in kinds(cohort, chosen):
        pictures = {str(i): draw(int(i)) for i in test}
        for how in ("none", "redraw"):
            started = time.perf_counter()
            table = embed_images(pictures, model, what="shared", rectify=how, record_page="compact", workers=1)
            each = (time.perf_counter() - started) / len(pictures)
            refused = sum(note is not None for note in table.info["note"])
            said = f"cosine {nearness(table.features, own):.2f}, {refused} left as they were, {each:.1f} s a page"
            sys.stdout.write(f"{name}, {how}: {judged(table.features)}, {said}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
