"""The PNG writer is lossless and what other readers expect."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.export.png import png_bytes


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 13, 3), (60, 41), (1, 5), (5, 1)])
@pytest.mark.parametrize("level", [1, 6])
def test_pixels_survive(rng, shape, level):
    pixels = rng.integers(0, 256, shape, np.uint8)
    with Image.open(io.BytesIO(png_bytes(pixels, 203.0, level))) as picture:
        picture.load()  # checks every checksum
        assert picture.mode == ("RGB" if len(shape) == 3 else "L")
        assert picture.info["dpi"] == pytest.approx((203.0, 203.0), abs=0.02)
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_a_view_is_encoded_as_it_looks(rng):
    pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
    assert png_bytes(pixels[::2, ::-1]) == png_bytes(pixels[::2, ::-1].copy())
    assert "dpi" not in Image.open(io.BytesIO(png_bytes(pixels))).info


@pytest.mark.parametrize("pixels", [np.zeros((3, 3, 4), np.uint8), np.zeros((3, 3)), np.zeros(3, np.uint8)])
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ArgumentError, match="pixels"):
        png_bytes(pixels)
