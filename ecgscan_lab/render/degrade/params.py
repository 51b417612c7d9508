"""Everything that is random about a degraded page, as one frozen record that goes to JSON and back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.render.degrade import effects as fx
from ecgscan_lab.render.degrade.ranges import Effect


@dataclass(frozen=True)
class DegradeParams:
    """What befalls one page; a field that is None, or neutral, changes nothing, so `DegradeParams()` is the identity.

    The effects act in a fixed order, that of a page's life: print and marks on the sheet, the sheet's shape, where it
    lies, light, the lens, the sensor or the line, compression. Each field is a record of `degrade.effects`.

    Attributes:
        light_deg: direction from which the light comes that shades folds and wrinkles; 0 is right, 90 below.

    Raises:
        ArgumentError: a field holds something else than its effect, or a number outside its range.

    Properties: JSON round trip; neutral fields change no pixel.

    Example:
        >>> params = DegradeParams(rotation=fx.Rotation(3.0), jpeg=fx.Jpeg(60))
        >>> DegradeParams.from_dict(params.as_dict()) == params
        True
        >>> sorted(params.as_dict())
        ['jpeg', 'light_deg', 'rotation']
    """

    rotation: fx.Rotation | None = None
    perspective: fx.Perspective | None = None
    crop: fx.Crop | None = None
    framing: fx.Framing | None = None
    curl: fx.Curl | None = None
    folds: fx.Folds | None = None
    creases: fx.Creases | None = None
    wrinkles: fx.Wrinkles | None = None
    ink_bleed: fx.InkBleed | None = None
    fading: fx.Fading | None = None
    dot_matrix: fx.DotMatrix | None = None
    thermal: fx.Thermal | None = None
    photocopy: fx.Photocopy | None = None
    stains: fx.Stains | None = None
    handwriting: fx.Handwriting | None = None
    stamp: fx.Stamp | None = None
    sticker: fx.Sticker | None = None
    barcode: fx.Barcode | None = None
    background: fx.Background | None = None
    edge_shadow: fx.EdgeShadow | None = None
    shadow: fx.Shadow | None = None
    uneven_light: fx.UnevenLight | None = None
    glare: fx.Glare | None = None
    focus_blur: fx.FocusBlur | None = None
    motion_blur: fx.MotionBlur | None = None
    sharpening: fx.Sharpening | None = None
    moire: fx.Moire | None = None
    streaks: fx.Streaks | None = None
    colour_cast: fx.ColourCast | None = None
    exposure: fx.Exposure | None = None
    grey: fx.Grey | None = None
    binarised: fx.Binarised | None = None
    fax: fx.Fax | None = None
    noise: fx.Noise | None = None
    jpeg: fx.Jpeg | None = None
    light_deg: float = 225.0

    def __post_init__(self) -> None:
        for name, kind in EFFECTS.items():
            value = getattr(self, name)
            if value is None:
                continue
            if not isinstance(value, kind):
                raise ArgumentError(
                    f"{name} cannot be {value!r}", field=name, expected=f"None or effects.{kind.__name__}"
                )
            if value.neutral:
                object.__setattr__(self, name, None)
        light = self.light_deg
        if isinstance(light, bool) or not isinstance(light, Real) or not -360.0 <= float(light) <= 360.0:
            raise ArgumentError(f"light_deg cannot be {light!r}", field="light_deg", expected="from -360 to 360")
        object.__setattr__(self, "light_deg", float(light))

    @cached_property
    def active(self) -> tuple[str, ...]:
        """Names of the effects that change anything."""
        return tuple(name for name in EFFECTS if getattr(self, name) is not None)

    @property
    def moves(self) -> bool:
        """Whether any effect changes where things lie in the picture."""
        return any(getattr(self, name) is not None for name in GEOMETRIC)

    @property
    def bends(self) -> bool:
        """Whether the sheet is not flat."""
        return any(getattr(self, name) is not None for name in BENDING)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, words and dictionaries, without the effects that are off."""
        out: dict[str, Any] = {name: dataclasses.asdict(getattr(self, name)) for name in self.active}
        return out | {"light_deg": self.light_deg}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DegradeParams:
        """The inverse of `as_dict`."""
        if not isinstance(values, Mapping):
            raise ArgumentError(f"no parameters can be read from {values!r}", field="values", expected="a mapping")
        built: dict[str, Any] = {}
        for name, value in values.items():
            if name == "light_deg":
                built[name] = value
                continue
            if name not in EFFECTS:
                raise ArgumentError(f"no effect {name!r}", field="values", expected=f"some of {', '.join(EFFECTS)}")
            if not isinstance(value, Mapping):
                raise ArgumentError(f"{name} cannot be {value!r}", field=name, expected="a mapping of its numbers")
            unknown = set(value) - {spec.name for spec in dataclasses.fields(EFFECTS[name])}
            if unknown:
                raise ArgumentError(f"{name} has no {', '.join(sorted(unknown))}", field=name)
            built[name] = EFFECTS[name](**value)
        return cls(**built)


EFFECTS: dict[str, type[Effect]] = {
    "rotation": fx.Rotation,
    "perspective": fx.Perspective,
    "crop": fx.Crop,
    "framing": fx.Framing,
    "curl": fx.Curl,
    "folds": fx.Folds,
    "creases": fx.Creases,
    "wrinkles": fx.Wrinkles,
    "ink_bleed": fx.InkBleed,
    "fading": fx.Fading,
    "dot_matrix": fx.DotMatrix,
    "thermal": fx.Thermal,
    "photocopy": fx.Photocopy,
    "stains": fx.Stains,
    "handwriting": fx.Handwriting,
    "stamp": fx.Stamp,
    "sticker": fx.Sticker,
    "barcode": fx.Barcode,
    "background": fx.Background,
    "edge_shadow": fx.EdgeShadow,
    "shadow": fx.Shadow,
    "uneven_light": fx.UnevenLight,
    "glare": fx.Glare,
    "focus_blur": fx.FocusBlur,
    "motion_blur": fx.MotionBlur,
    "sharpening": fx.Sharpening,
    "moire": fx.Moire,
    "streaks": fx.Streaks,
    "colour_cast": fx.ColourCast,
    "exposure": fx.Exposure,
    "grey": fx.Grey,
    "binarised": fx.Binarised,
    "fax": fx.Fax,
    "noise": fx.Noise,
    "jpeg": fx.Jpeg,
}
"""Every effect by the name of its field, in the order of `DegradeParams`."""

BENDING = ("curl", "folds", "creases", "wrinkles")
GEOMETRIC = ("rotation", "perspective", "crop", "framing", *BENDING)
"""Effects that move the traces; all others change only colours."""
