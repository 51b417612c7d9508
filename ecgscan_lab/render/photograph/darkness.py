"""A picture of a page against its own paper: how light the paper is everywhere, and how much darker its lines are."""

from __future__ import annotations

import cv2
import numpy as np


def shrink(pixels: np.ndarray, scale: float) -> tuple[np.ndarray, float]:
    """Average a uint8 picture down: (float32 picture, the scale it really has)."""
    if scale >= 0.999:
        return pixels.astype(np.float32), 1.0
    small = cv2.resize(pixels, (0, 0), fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return small.astype(np.float32), small.shape[1] / pixels.shape[1]


def paper_light(picture: np.ndarray, reach_px: float) -> np.ndarray:
    """The paper's own colour at each pixel: a closing over lines, strokes and letters, then smoothed."""
    height, width = picture.shape[:2]
    step = max(1, int(reach_px / 8))
    calm = cv2.blur(picture, (3, 3))  # single noisy pixels do not count
    bright = cv2.dilate(calm, np.ones((step, step), np.uint8))[step // 2 :: step, step // 2 :: step]
    size = max(3, round(reach_px / step) | 1)
    closed = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    smooth = cv2.GaussianBlur(closed, (0, 0), size / 2)
    return np.maximum(_stretch(smooth, (height, width), step), 1.0)


def line_darkness(picture: np.ndarray, reach_px: float, soften_px: float = 0.0) -> np.ndarray:
    """How much darker than its paper each pixel is in its darkest channel; ink counts little more than a line does."""
    darkness = 1.0 - (picture / paper_light(picture, reach_px)).min(axis=-1)
    darkness = np.clip(darkness, 0.0, 1.0, out=darkness)
    if soften_px > 0:  # thin lines melt into the floor, which is taken off
        darkness = cv2.GaussianBlur(darkness, (0, 0), soften_px)
    step = 16
    height, width = darkness.shape
    padded = np.pad(darkness, ((0, -height % step), (0, -width % step)), mode="reflect")
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step).swapaxes(1, 2)
    floor, strong = np.percentile(blocks.reshape(*blocks.shape[:2], -1), (45, 95), axis=-1).astype(np.float32)
    darkness -= _stretch(cv2.GaussianBlur(floor, (0, 0), 1.0), darkness.shape, step)
    strong = (strong - floor)[strong - floor > 0.03]
    most = 1.5 * float(np.percentile(strong, 35)) if strong.size else 1.0
    darkness = np.clip(darkness, 0.0, most)
    return cv2.GaussianBlur(np.minimum(darkness, 6.0 * cv2.blur(darkness, (65, 65)) + 0.01), (0, 0), 0.8)


def _stretch(small: np.ndarray, shape: tuple[int, ...], step: int) -> np.ndarray:
    """Enlarge values of blocks of `step` pixels to pixels, linearly."""
    if step == 1:
        return small
    large = cv2.resize(small, (small.shape[1] * step, small.shape[0] * step), interpolation=cv2.INTER_LINEAR)
    missing = (max(0, shape[0] - large.shape[0]), max(0, shape[1] - large.shape[1]))
    large = cv2.copyMakeBorder(large, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    return large[: shape[0], : shape[1]]
