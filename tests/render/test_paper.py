"""Paper colours and lettering."""

import numpy as np
import pytest

from ecgscan_lab.render.paper import PALETTES, text_mask


@pytest.mark.parametrize("name", [name for name in PALETTES if name != "none"])
def test_thick_lines_are_darker_than_thin_ones_and_those_than_paper(name):
    palette = PALETTES[name]
    assert sum(palette.paper) > sum(palette.minor) > sum(palette.major)
    assert min(palette.paper) > 240


def test_text_masks_are_trimmed_reused_and_read_only():
    mask = text_mask("aVR", 20.0)
    assert mask.dtype == np.uint8
    assert mask.max() > 200
    assert mask[0].any()
    assert mask[-1].any()
    assert mask[:, 0].any()
    assert mask[:, -1].any()
    assert text_mask("aVR", 20.1) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0] = 1


def test_text_grows_with_its_size():
    small, large = text_mask("V6", 10.0), text_mask("V6", 40.0)
    assert large.shape[0] / small.shape[0] == pytest.approx(4, rel=0.15)
    assert large.shape[1] > 3 * small.shape[1]


@pytest.mark.parametrize(("text", "height_px"), [("", 20.0), ("   ", 20.0), ("V1", 3.0)])
def test_blank_or_illegible_text_is_empty(text, height_px):
    assert text_mask(text, height_px).size == 0
