"""Lens, sensor and file: blur, sharpening, tone and colour, noise, compression. uint8 in, uint8 out."""

from __future__ import annotations

import math

import cv2
import numpy as np

from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade import scanning
from ecgscan_lab.render.degrade.params import DegradeParams
from ecgscan_lab.render.degrade.textures import BANK_SIGMA, noise_bank, noise_window

LEVELS = np.linspace(0.0, 1.0, 256)


def blur(picture: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian blur of any width; less than a twentieth of a pixel changes nothing."""
    if sigma_px < 0.05:
        return picture
    reach = min(2 * max(1, math.ceil(2.6 * sigma_px)) + 1, 2 * (min(picture.shape[:2]) // 2) + 1)
    return cv2.GaussianBlur(picture, (reach, reach), sigma_px)


def motion_blur(picture: np.ndarray, effect: fx.MotionBlur) -> np.ndarray:
    """Average along a short straight line."""
    length = effect.length * max(picture.shape[:2]) / 1000.0
    side = 2 * math.ceil(length / 2) + 3
    kernel = np.zeros((side, side), np.float32)
    turn, n = math.radians(effect.angle_deg), 8 * side
    for t in np.linspace(-length / 2, length / 2, n):
        x, y = side // 2 + t * math.cos(turn), side // 2 + t * math.sin(turn)
        i, j = math.floor(y), math.floor(x)
        a, b = y - i, x - j
        kernel[i : i + 2, j : j + 2] += np.outer((1 - a, a), (1 - b, b)) / n
    return cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def sharpen(picture: np.ndarray, effect: fx.Sharpening) -> np.ndarray:
    """Unsharp masking over a thousandth and a half of the longer side."""
    soft = blur(picture, max(0.8, max(picture.shape[:2]) * 0.0015))
    return cv2.addWeighted(picture, 1.0 + effect.amount, soft, -effect.amount, 0.0)


def tone_table(params: DegradeParams) -> np.ndarray | None:
    """Gamma, colour cast, contrast and brightness as one look-up table, uint8 `[1, 256, 3]`; None without."""
    exposure, cast = params.exposure, params.colour_cast
    if exposure is None and cast is None:
        return None
    level = LEVELS if exposure is None else LEVELS**exposure.gamma
    table = level[:, None].repeat(3, axis=1)
    if cast is not None:
        red, green = 1.0 + 0.08 * cast.warmth + 0.04 * cast.tint, 1.0 - 0.08 * cast.tint
        gains = np.array([red, green, 1.0 - 0.20 * cast.warmth + 0.04 * cast.tint])
        table *= gains / max(1.0, gains.max())
    if exposure is not None:
        table = 0.5 + exposure.contrast * (table - 0.5) + exposure.brightness
    return np.clip(255.0 * table + 0.5, 0, 255).astype(np.uint8)[None]


def to_grey(picture: np.ndarray, amount: float = 1.0) -> np.ndarray:
    """Lose colour by `amount`."""
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return grey if amount >= 1.0 else cv2.addWeighted(grey, amount, picture, 1.0 - amount, 0.0)


def add_noise(picture: np.ndarray, effect: fx.Noise) -> np.ndarray:
    """Add a window of the noise bank, scaled to the asked standard deviation."""
    bank = noise_bank(effect.grain, round(100 * effect.colour / 20) * 20)
    window = noise_window(bank, picture.shape[:2], np.random.default_rng(effect.seed))
    scale = effect.sigma / BANK_SIGMA
    return cv2.addWeighted(picture, 1.0, window, scale, -128.0 * scale)


def jpeg(picture: np.ndarray, effect: fx.Jpeg) -> np.ndarray:
    """Compress and open again."""
    _, packed = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, effect.quality]
    )
    opened = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))
    return cv2.cvtColor(opened, cv2.COLOR_BGR2RGB)


def capture(picture: np.ndarray, params: DegradeParams, px_per_mm: float) -> np.ndarray:
    """Everything between the lens and the file, in that order."""
    if params.focus_blur is not None:
        picture = blur(picture, params.focus_blur.sigma * max(picture.shape[:2]) / 1000.0)
    if params.motion_blur is not None:
        picture = motion_blur(picture, params.motion_blur)
    table = tone_table(params)
    if table is not None:
        picture = cv2.LUT(picture, table)
    if params.streaks is not None:
        picture = scanning.add_streaks(picture, params.streaks)
    if params.grey is not None:
        picture = to_grey(picture, params.grey.amount)
    if params.noise is not None:
        picture = add_noise(picture, params.noise)
    if params.sharpening is not None:
        picture = sharpen(picture, params.sharpening)
    if params.binarised is not None:
        picture = scanning.binarise(picture, params.binarised)
    if params.fax is not None:
        picture = scanning.send_fax(picture, params.fax, px_per_mm)
    if params.jpeg is not None:
        picture = jpeg(picture, params.jpeg)
    return picture
