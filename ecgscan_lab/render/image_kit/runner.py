"""Runs inside a checkout of ecg-image-kit, in a process of its own: pages in, times and geometry out.

`image_kit.py` hands this file's text to the interpreter that has the kit's packages (`python -c`), with the kit's
folder as the current one and the job as JSON on stdin. It imports nothing of ecgscan_lab, and only the standard library
before the job is known.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import types
from importlib import import_module
from pathlib import Path
from typing import Any


def stub_handwriting() -> None:
    """The kit imports its handwriting, hence TensorFlow and spaCy, even where none is asked for."""
    package, module = types.ModuleType("HandwrittenText"), types.ModuleType("HandwrittenText.generate")
    package.__path__ = []
    module.get_handwritten = None  # type: ignore[attr-defined]
    sys.modules |= {"HandwrittenText": package, "HandwrittenText.generate": module}


def follow_corners(imgaug: Any, seen: list[Any]) -> None:
    """Have every imgaug pipeline note where it moves the four corners of a picture.

    The kit rotates and crops by amounts that it draws and does not store.
    """
    augmenters: Any = import_module("imgaug.augmenters")
    plain = augmenters.Sequential

    class Followed(plain):  # type: ignore[misc, valid-type]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            fixed = self.to_deterministic()
            height, width = kwargs["images"][0].shape[:2]
            corners = [(0, 0), (width, 0), (width, height), (0, height)]
            points = [imgaug.augmentables.kps.Keypoint(x=x, y=y) for x, y in corners]
            moved = fixed.augment_keypoints(
                [imgaug.augmentables.kps.KeypointsOnImage(points, shape=(height, width, 3))]
            )
            seen.append([corners, [[float(k.x), float(k.y)] for k in moved[0].keypoints]])
            return plain.__call__(fixed, *args, **kwargs)

    augmenters.Sequential = Followed


def keep_labels(kit: Any) -> None:
    """Have the kit's augmentation leave the labels where the page had them; it would turn some and drop the rest."""
    augment = kit.get_augment

    def augment_only(*args: Any, **kwargs: Any) -> Any:
        labels = kwargs["json_dict"]["leads"]
        out = augment(*args, **{**kwargs, "bbox": False, "store_text_bounding_box": False})
        kwargs["json_dict"]["leads"] = labels
        return out

    kit.get_augment = augment_only


def main() -> None:
    """Read the job, draw its pages, write `result` of the job."""
    job = json.load(sys.stdin)
    sys.path.insert(0, str(Path.cwd()))
    os.environ["MPLBACKEND"] = "agg"
    stub_handwriting()
    numpy, imgaug = import_module("numpy"), import_module("imgaug")
    moves: list[Any] = []
    follow_corners(imgaug, moves)
    kit = import_module("gen_ecg_image_from_data")
    keep_labels(kit)
    pages = []
    for page in job["pages"]:
        random.seed(page["seed"])
        numpy.random.seed(page["seed"])
        imgaug.seed(page["seed"])
        moves.clear()
        arguments = kit.get_parser().parse_args(page["arguments"])
        arguments.encoding = arguments.input_file
        start = time.perf_counter()
        drawn = kit.run_single_file(arguments)
        pages.append({"seconds": time.perf_counter() - start, "drawn": int(drawn), "moves": list(moves)})
    Path(job["result"]).write_text(json.dumps(pages), encoding="utf-8")


if __name__ == "__main__":
    main()
