"""How strongly and how often each effect befalls a page: one sampler an effect, and presets made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.params import EFFECTS, DegradeParams
from ecgscan_lab.render.degrade.ranges import MAX_SEED, Effect

Rng = np.random.Generator


def _seed(rng: Rng) -> int:
    return int(rng.integers(MAX_SEED))


def _sign(rng: Rng) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _near(rng: Rng, low: float = 0.7) -> float:
    return float(rng.uniform(low, 1.0))


def _choice(rng: Rng, *words: str) -> str:
    return words[int(rng.integers(len(words)))]


def _turn(rng: Rng) -> float:
    return float(rng.uniform(-180.0, 180.0))


def _place(rng: Rng) -> dict[str, float]:
    return {"x": float(rng.uniform(-1.0, 1.0)), "y": float(rng.uniform(-1.0, 1.0))}


def _perspective(rng: Rng, s: float) -> fx.Perspective:
    turn = rng.uniform(0.0, 2 * math.pi)
    tilt = 22.0 * s * _near(rng)
    return fx.Perspective(tilt * math.cos(turn), tilt * math.sin(turn))


def _framing(rng: Rng, s: float) -> fx.Framing:
    return fx.Framing(1.0 - 0.35 * s * _near(rng), **_place(rng))


def _curl(rng: Rng, s: float) -> fx.Curl:
    return fx.Curl(0.09 * s * _near(rng), _turn(rng), float(rng.uniform(-0.2, 0.4)))


def _folds(rng: Rng, s: float) -> fx.Folds:
    across, down = ((1, 0), (0, 1), (1, 1), (2, 0), (3, 1), (1, 0))[int(rng.integers(6))]
    return fx.Folds(across, down, 0.03 * s * _near(rng), _seed(rng))


def _creases(rng: Rng, s: float) -> fx.Creases:
    return fx.Creases(int(rng.integers(2, 6)), 0.014 * s * _near(rng), _seed(rng))


def _wrinkles(rng: Rng, s: float) -> fx.Wrinkles:
    return fx.Wrinkles(int(rng.integers(16, 40)), 0.010 * s * _near(rng), _seed(rng))


def _thermal(rng: Rng, s: float) -> fx.Thermal:
    return fx.Thermal(s * _near(rng), round(s * rng.integers(0, 5)), s * float(rng.uniform(0.0, 0.8)), _seed(rng))


def _stains(rng: Rng, s: float) -> fx.Stains:
    return fx.Stains(int(rng.integers(1, 4)), s * _near(rng), _seed(rng))


def _handwriting(rng: Rng, s: float) -> fx.Handwriting:
    pen = _choice(rng, "blue", "blue", "black", "red", "pencil")
    return fx.Handwriting(max(1, round(s * rng.integers(2, 6))), 0.95 * s**0.3 * _near(rng, 0.85), pen, _seed(rng))


def _corner(rng: Rng) -> dict[str, float]:
    """Where stamps and labels go: the upper margin, seldom the lower one."""
    y = rng.uniform(0.05, 0.14) if rng.random() < 0.8 else rng.uniform(0.9, 0.95)
    return {"x": float(rng.uniform(0.15, 0.87)), "y": float(y)}


def _stamp(rng: Rng, s: float) -> fx.Stamp:
    ink = _choice(rng, "violet", "red", "blue", "green")
    return fx.Stamp(0.9 * s * _near(rng), **_corner(rng), angle_deg=float(rng.normal(0, 8)), ink=ink, seed=_seed(rng))


def _sticker(rng: Rng, s: float) -> fx.Sticker:
    colour = _choice(rng, "white", "white", "yellow", "green", "orange")
    turn = float(np.clip(rng.normal(0, 4), -40, 40))
    return fx.Sticker(s, **_corner(rng), angle_deg=turn, colour=colour, seed=_seed(rng))


def _background(rng: Rng, s: float) -> fx.Background:
    kind = _choice(rng, "wood", "wood", "desk", "cloth", "dark")
    return fx.Background(min(1.0, s), kind, float(rng.uniform(0.75, 1.15)), _seed(rng))


def _shadow(rng: Rng, s: float) -> fx.Shadow:
    softness = float(np.exp(rng.uniform(np.log(0.02), np.log(0.3))))
    return fx.Shadow(0.45 * s * _near(rng), softness, int(rng.integers(1, 3)), _seed(rng))


def _glare(rng: Rng, s: float) -> fx.Glare:
    x, y = rng.uniform(0.1, 0.9, 2)
    return fx.Glare(0.9 * s * _near(rng), float(x), float(y), float(rng.uniform(0.08, 0.3)), float(rng.uniform(0.5, 2)))


def _moire(rng: Rng, s: float) -> fx.Moire:
    return fx.Moire(s * _near(rng), float(np.exp(rng.uniform(np.log(0.01), np.log(0.06)))), _turn(rng), _seed(rng))


def _streaks(rng: Rng, s: float) -> fx.Streaks:
    return fx.Streaks(int(rng.integers(1, 6)), 0.7 * s * _near(rng), _seed(rng))


def _cast(rng: Rng, s: float) -> fx.ColourCast:
    return fx.ColourCast(s * _sign(rng) * _near(rng), 0.3 * s * float(rng.uniform(-1, 1)))


def _exposure(rng: Rng, s: float) -> fx.Exposure:
    brightness = 0.16 * s * _sign(rng) * _near(rng, 0.4)
    return fx.Exposure(brightness, 1.0 + 0.35 * s * float(rng.uniform(-1, 1)), math.exp(0.4 * s * rng.uniform(-1, 1)))


def _fax(rng: Rng, s: float) -> fx.Fax:
    lines = (3.85, 7.7, 7.7, 15.4)[int(rng.integers(4))]
    return fx.Fax(s, lines, float(rng.uniform(0.68, 0.85)), int(rng.integers(0, 5)), _seed(rng))


def _noise(rng: Rng, s: float) -> fx.Noise:
    grain = _choice(rng, "fine", "coarse")
    return fx.Noise(24.0 * s * _near(rng), float(rng.uniform(0.1, 0.6)), grain, _seed(rng))


SAMPLERS: dict[str, Callable[[Rng, float], Effect]] = {
    "rotation": lambda rng, s: fx.Rotation(15.0 * s * _sign(rng) * _near(rng)),
    "perspective": _perspective,
    "crop": lambda rng, s: fx.Crop(0.15 * s * _near(rng), **_place(rng)),
    "framing": _framing,
    "curl": _curl,
    "folds": _folds,
    "creases": _creases,
    "wrinkles": _wrinkles,
    "ink_bleed": lambda rng, s: fx.InkBleed(0.45 * s * _near(rng)),
    "fading": lambda rng, s: fx.Fading(0.8 * s * _near(rng), float(rng.uniform(0, 1)), _seed(rng)),
    "dot_matrix": lambda rng, s: fx.DotMatrix(s, float(rng.uniform(0.25, 0.5))),
    "thermal": _thermal,
    "photocopy": lambda rng, s: fx.Photocopy(math.ceil(4 * s * _near(rng)), min(1.0, 2 * s), _seed(rng)),
    "stains": _stains,
    "handwriting": _handwriting,
    "stamp": _stamp,
    "sticker": _sticker,
    "barcode": lambda rng, s: fx.Barcode(s, **_corner(rng), seed=_seed(rng)),
    "background": _background,
    "edge_shadow": lambda rng, s: fx.EdgeShadow(0.6 * s * _near(rng), float(rng.uniform(0.008, 0.025))),
    "shadow": _shadow,
    "uneven_light": lambda rng, s: fx.UnevenLight(0.45 * s * _near(rng), _turn(rng), 0.4 * s * float(rng.random())),
    "glare": _glare,
    "focus_blur": lambda rng, s: fx.FocusBlur(2.2 * s * _near(rng)),
    "motion_blur": lambda rng, s: fx.MotionBlur(9.0 * s * _near(rng), _turn(rng)),
    "sharpening": lambda rng, s: fx.Sharpening(1.2 * s * _near(rng)),
    "moire": _moire,
    "streaks": _streaks,
    "colour_cast": _cast,
    "exposure": _exposure,
    "grey": lambda rng, s: fx.Grey(s),
    "binarised": lambda rng, s: fx.Binarised(s, float(rng.uniform(0.65, 0.88))),
    "fax": _fax,
    "noise": _noise,
    "jpeg": lambda rng, s: fx.Jpeg(round(100 - 85 * s * _near(rng, 0.85))),
}
"""Effect -> a function of (generator, strength) that draws it; at strength 1 it is as strong as a bad page shows it."""


@dataclass(frozen=True)
class Preset:
    """A mix of effects.

    Attributes:
        about: one line.
        odds: effect -> (probability, lowest strength, highest strength).
        under: kinds of background to draw from; empty leaves them to the effect.
        of: other presets, one of which is drawn for each page; then `odds` is empty.
    """

    about: str
    odds: Mapping[str, tuple[float, float, float]]
    under: tuple[str, ...] = ()
    of: tuple[str, ...] = ()


PRESETS: dict[str, Preset] = {
    "clean": Preset("the page as drawn", {}),
    "scan": Preset(
        "an office scanner",
        {
            "rotation": (0.9, 0.01, 0.12),
            "crop": (0.2, 0.05, 0.25),
            "folds": (0.25, 0.02, 0.12),
            "ink_bleed": (0.3, 0.1, 0.5),
            "fading": (0.3, 0.1, 0.5),
            "dot_matrix": (0.06, 0.4, 1.0),
            "thermal": (0.12, 0.3, 0.9),
            "photocopy": (0.12, 0.2, 0.8),
            "stains": (0.06, 0.1, 0.5),
            "handwriting": (0.25, 0.3, 1.0),
            "stamp": (0.15, 0.4, 1.0),
            "sticker": (0.08, 1.0, 1.0),
            "barcode": (0.12, 0.8, 1.0),
            "background": (0.9, 1.0, 1.0),
            "uneven_light": (0.4, 0.02, 0.15),
            "focus_blur": (0.8, 0.05, 0.3),
            "streaks": (0.15, 0.2, 0.8),
            "colour_cast": (0.5, 0.05, 0.25),
            "exposure": (0.7, 0.1, 0.4),
            "grey": (0.25, 1.0, 1.0),
            "binarised": (0.06, 1.0, 1.0),
            "noise": (0.7, 0.05, 0.25),
            "jpeg": (0.8, 0.1, 0.6),
        },
        under=("lid",),
    ),
    "photo": Preset(
        "a phone photograph of a sheet on a table",
        {
            "rotation": (0.95, 0.05, 1.0),
            "perspective": (0.95, 0.1, 0.8),
            "framing": (0.85, 0.05, 0.9),
            "curl": (0.5, 0.1, 0.8),
            "folds": (0.5, 0.2, 0.9),
            "creases": (0.5, 0.2, 0.9),
            "wrinkles": (0.55, 0.2, 1.0),
            "ink_bleed": (0.2, 0.1, 0.4),
            "fading": (0.2, 0.1, 0.4),
            "stains": (0.08, 0.2, 0.7),
            "handwriting": (0.2, 0.3, 1.0),
            "stamp": (0.08, 0.4, 1.0),
            "sticker": (0.05, 1.0, 1.0),
            "barcode": (0.08, 0.8, 1.0),
            "background": (1.0, 1.0, 1.0),
            "edge_shadow": (1.0, 0.3, 1.0),
            "shadow": (0.5, 0.2, 1.0),
            "uneven_light": (0.9, 0.1, 0.7),
            "glare": (0.12, 0.1, 0.7),
            "focus_blur": (0.8, 0.05, 0.35),
            "motion_blur": (0.15, 0.05, 0.4),
            "moire": (0.03, 0.1, 0.5),
            "colour_cast": (0.8, 0.05, 0.6),
            "exposure": (0.9, 0.2, 0.8),
            "noise": (0.9, 0.03, 0.2),
            "sharpening": (0.6, 0.1, 0.6),
            "jpeg": (1.0, 0.1, 0.5),
        },
    ),
    "fax": Preset(
        "sent by fax, often after copying",
        {
            "rotation": (0.8, 0.01, 0.12),
            "crop": (0.2, 0.05, 0.25),
            "photocopy": (0.4, 0.2, 0.8),
            "handwriting": (0.25, 0.5, 1.0),
            "stamp": (0.15, 0.6, 1.0),
            "barcode": (0.1, 1.0, 1.0),
            "uneven_light": (0.5, 0.05, 0.3),
            "streaks": (0.35, 0.4, 1.0),
            "fax": (1.0, 1.0, 1.0),
            "jpeg": (0.3, 0.1, 0.4),
        },
    ),
    "paper": Preset(
        "the paper's list: geometry, noise and artefacts, colour and contrast (its grid styles belong to the page)",
        {
            "rotation": (0.5, 0.1, 0.8),
            "perspective": (0.4, 0.1, 0.7),
            "crop": (0.25, 0.1, 0.6),
            "creases": (0.15, 0.2, 0.9),
            "wrinkles": (0.1, 0.2, 0.8),
            "shadow": (0.2, 0.2, 0.9),
            "uneven_light": (0.3, 0.1, 0.8),
            "focus_blur": (0.4, 0.1, 0.5),
            "exposure": (0.5, 0.1, 0.9),
            "colour_cast": (0.4, 0.1, 0.8),
            "noise": (0.5, 0.1, 0.8),
            "jpeg": (0.5, 0.2, 0.8),
        },
    ),
    "mixture": Preset("one of the others, drawn for each page", {}, of=("clean", "scan", "photo", "fax", "paper")),
}
"""Named mixes of effects for `sample_params` and `draw_page(degrade=...)`."""


def _check_strength(strength: float) -> float:
    if isinstance(strength, bool) or not isinstance(strength, Real) or not 0.0 <= float(strength) <= 1.0:
        raise ArgumentError(f"strength cannot be {strength!r}", field="strength", expected="a number from 0 to 1")
    return float(strength)


SETTINGS = {"background": ("framing",), "edge_shadow": ("framing", "background")}
"""Other effects that one needs to be seen at all."""


def sample_effect(rng: Rng, name: str, strength: float = 1.0, *, in_setting: bool = False) -> DegradeParams:
    """Draw the parameters of one effect alone, for sliders and contact sheets.

    Args:
        rng: source of the choices; the same generator state gives the same choices at every strength.
        name: a key of `EFFECTS`.
        strength: 0 leaves the page as it is, 1 is a bad page.
        in_setting: add what the effect needs to be seen: a table its paper, a shadow its table.

    Returns:
        Parameters with that effect.

    Raises:
        ArgumentError: no such effect, or the strength lies outside 0 to 1.

    Example:
        >>> sample_effect(np.random.default_rng(0), "rotation", 0.0) == DegradeParams()
        True
    """
    if name not in EFFECTS:
        raise ArgumentError(f"no effect {name!r}", field="name", expected=f"one of {', '.join(EFFECTS)}")
    strength = _check_strength(strength)
    if strength == 0.0:
        return DegradeParams()
    drawn = {name: SAMPLERS[name](rng, strength)}
    for other in SETTINGS.get(name, ()) if in_setting else ():
        drawn[other] = SAMPLERS[other](rng, 0.8)
    return DegradeParams(**drawn)  # type: ignore[arg-type]


def sample_params(rng: Rng, preset: str = "paper", strength: float = 1.0) -> DegradeParams:
    """Draw what befalls one page.

    Args:
        rng: source of every choice.
        preset: a key of `PRESETS`.
        strength: scales every effect; 0 is the identity.

    Returns:
        The parameters, which hold every random number, so that applying them draws none.

    Raises:
        ArgumentError: no such preset, or the strength lies outside 0 to 1.

    Properties: same generator state, same parameters; strength 0 is the identity.

    Example:
        >>> a, b = (sample_params(np.random.default_rng(5), "photo") for _ in range(2))
        >>> a == b, sample_params(np.random.default_rng(5), "photo", 0.0).active
        (True, ())
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ArgumentError(f"cannot degrade by {preset!r}", field="preset", expected=f"one of {', '.join(PRESETS)}")
    strength = _check_strength(strength)
    chosen = PRESETS[preset]
    if chosen.of:
        chosen = PRESETS[chosen.of[int(rng.integers(len(chosen.of)))]]
    if strength == 0.0:
        return DegradeParams()
    drawn: dict[str, Effect | float] = {}
    for name, (probability, low, high) in chosen.odds.items():
        if rng.random() < probability:
            drawn[name] = SAMPLERS[name](rng, strength * float(rng.uniform(low, high)))
    table = drawn.get("background")
    if chosen.under and isinstance(table, fx.Background):
        drawn["background"] = replace(table, kind=_choice(rng, *chosen.under))
    if chosen.odds:
        drawn["light_deg"] = _turn(rng)
    return DegradeParams(**drawn)  # type: ignore[arg-type]
