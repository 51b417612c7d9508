"""What can befall a page, one small record an effect: plain numbers in units that do not depend on the picture's size.

Places on the sheet are shares of its width and height (0, 0 is its top left corner). Lengths on the sheet are shares of
its diagonal; lengths in the picture, such as blur, are thousandths of its longer side. So the same parameters look
alike at every resolution and on every paper. The neutral value of every number leaves the page as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from ecgscan_lab.render.degrade.ranges import Effect, number, seed, whole, word

# --- where the sheet lies in the picture -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Rotation(Effect):
    """The sheet is turned about the centre of the picture, clockwise."""

    degrees: float = number(-180.0, 180.0, 0.0)


@dataclass(frozen=True)
class Perspective(Effect):
    """The camera looks from the side: the sheet is tipped about a horizontal and a vertical line through its centre."""

    tilt_x_deg: float = number(-40.0, 40.0, 0.0)
    tilt_y_deg: float = number(-40.0, 40.0, 0.0)

    @property
    def neutral(self) -> bool:
        return self.tilt_x_deg == 0.0 and self.tilt_y_deg == 0.0


@dataclass(frozen=True)
class Crop(Effect):
    """A `share` of the picture's width and height is cut off, on the sides that (x, y) from -1 to 1 point away from."""

    share: float = number(0.0, 0.6, 0.0)
    x: float = number(-1.0, 1.0, 0.0)
    y: float = number(-1.0, 1.0, 0.0)


@dataclass(frozen=True)
class Framing(Effect):
    """The camera steps back: the sheet shrinks by `zoom` and lies at (x, y), from -1 to 1, of the free room."""

    zoom: float = number(0.2, 1.0, 1.0)
    x: float = number(-1.0, 1.0, 0.0)
    y: float = number(-1.0, 1.0, 0.0)


# --- a sheet that is not flat: heights are shares of the diagonal ----------------------------------------------------


@dataclass(frozen=True)
class Curl(Effect):
    """One side or corner rises: from `start` (share of the half diagonal from the centre) in direction `angle_deg`."""

    height: float = number(-0.15, 0.15, 0.0)
    angle_deg: float = number(-360.0, 360.0, 0.0)
    start: float = number(-0.5, 0.8, 0.0)


@dataclass(frozen=True)
class Folds(Effect):
    """The sheet was folded `across` times and `down` times to equal parts, and opened again."""

    across: int = whole(0, 3, 0)
    down: int = whole(0, 3, 0)
    height: float = number(0.0, 0.05, 0.0)
    seed: int = seed()

    @property
    def neutral(self) -> bool:
        return self.height == 0.0 or (self.across == 0 and self.down == 0)


@dataclass(frozen=True)
class Creases(Effect):
    """Long straight ridges and valleys at any angle."""

    count: int = whole(0, 12, 0)
    height: float = number(0.0, 0.03, 0.0)
    seed: int = seed()

    @property
    def neutral(self) -> bool:
        return self.count == 0 or self.height == 0.0


@dataclass(frozen=True)
class Wrinkles(Effect):
    """Many short ridges over slow waves, as on a sheet that was crumpled or kept in a pocket."""

    count: int = whole(0, 60, 0)
    height: float = number(0.0, 0.02, 0.0)
    seed: int = seed()

    @property
    def neutral(self) -> bool:
        return self.count == 0 or self.height == 0.0


# --- print and sheet -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InkBleed(Effect):
    """Ink spreads into the paper by `spread` (millimetres) and frays along the fibres."""

    spread_mm: float = number(0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Fading(Effect):
    """All print loses `amount` of its strength, in `patches` (0 evenly, 1 unevenly)."""

    amount: float = number(0.0, 0.95, 0.0)
    patches: float = number(0.0, 1.0, 0.0)
    seed: int = seed()


@dataclass(frozen=True)
class DotMatrix(Effect):
    """The ink is made of dots of a needle printer, `pitch_mm` apart."""

    amount: float = number(0.0, 1.0, 0.0)
    pitch_mm: float = number(0.1, 1.0, 0.35)


@dataclass(frozen=True)
class Thermal(Effect):
    """Thermal print: grey-blue ink in fine rows, lines where an element of the head is dead, paper browned by heat."""

    amount: float = number(0.0, 1.0, 0.0)
    dead: int = whole(0, 20, 0)
    browning: float = number(0.0, 1.0, 0.0)
    seed: int = seed()


@dataclass(frozen=True)
class Photocopy(Effect):
    """A copy of a copy: grey, harder with every generation, specks of toner, a darker rim."""

    generations: int = whole(0, 6, 0)
    amount: float = number(0.0, 1.0, 1.0)
    seed: int = seed()

    @property
    def neutral(self) -> bool:
        return self.generations == 0 or self.amount == 0.0


@dataclass(frozen=True)
class Stains(Effect):
    """Rings of cups, drops and smears."""

    count: int = whole(0, 8, 0)
    darkness: float = number(0.0, 1.0, 0.0)
    seed: int = seed()

    @property
    def neutral(self) -> bool:
        return self.count == 0 or self.darkness == 0.0


@dataclass(frozen=True)
class Handwriting(Effect):
    """Invented remarks, ticks and circles in pen; never a name or a date."""

    count: int = whole(0, 8, 0)
    darkness: float = number(0.0, 1.0, 0.85)
    pen: str = word("blue", "black", "red", "pencil")
    seed: int = seed()

    @property
    def neutral(self) -> bool:
        return self.count == 0 or self.darkness == 0.0


@dataclass(frozen=True)
class Stamp(Effect):
    """A rubber stamp, unevenly inked."""

    darkness: float = number(0.0, 1.0, 0.0)
    x: float = number(0.0, 1.0, 0.8)
    y: float = number(0.0, 1.0, 0.12)
    angle_deg: float = number(-90.0, 90.0, 0.0)
    ink: str = word("violet", "red", "blue", "green")
    seed: int = seed()


@dataclass(frozen=True)
class Sticker(Effect):
    """A printed label glued on; `opacity` 0 is none."""

    opacity: float = number(0.0, 1.0, 0.0)
    x: float = number(0.0, 1.0, 0.85)
    y: float = number(0.0, 1.0, 0.1)
    angle_deg: float = number(-45.0, 45.0, 0.0)
    colour: str = word("white", "yellow", "green", "orange")
    seed: int = seed()


@dataclass(frozen=True)
class Barcode(Effect):
    """Bars that code nothing, printed on a white field."""

    darkness: float = number(0.0, 1.0, 0.0)
    x: float = number(0.0, 1.0, 0.85)
    y: float = number(0.0, 1.0, 0.06)
    seed: int = seed()


# --- around the sheet, and light -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Background(Effect):
    """What lies under the sheet. `opacity` 0 leaves plain paper around it."""

    opacity: float = number(0.0, 1.0, 0.0)
    kind: str = word("wood", "cloth", "desk", "dark", "lid")
    brightness: float = number(0.2, 1.5, 1.0)
    seed: int = seed()


@dataclass(frozen=True)
class EdgeShadow(Effect):
    """The shadow that the sheet throws on what lies under it."""

    darkness: float = number(0.0, 1.0, 0.0)
    width: float = number(0.0, 0.1, 0.015)


@dataclass(frozen=True)
class Shadow(Effect):
    """Shadows of a hand, a head or a phone, with soft borders."""

    darkness: float = number(0.0, 0.9, 0.0)
    softness: float = number(0.005, 0.5, 0.1)
    count: int = whole(1, 3, 1)
    seed: int = seed()


@dataclass(frozen=True)
class UnevenLight(Effect):
    """Light from one side (`slope`, from `angle_deg`) and dark corners (`vignette`)."""

    slope: float = number(0.0, 0.8, 0.0)
    angle_deg: float = number(-360.0, 360.0, 0.0)
    vignette: float = number(0.0, 0.8, 0.0)

    @property
    def neutral(self) -> bool:
        return self.slope == 0.0 and self.vignette == 0.0


@dataclass(frozen=True)
class Glare(Effect):
    """A lamp mirrored by the paper: print pales towards white around (x, y) of the picture."""

    amount: float = number(0.0, 1.0, 0.0)
    x: float = number(0.0, 1.0, 0.5)
    y: float = number(0.0, 1.0, 0.5)
    radius: float = number(0.02, 1.0, 0.2)
    stretch: float = number(0.2, 5.0, 1.0)


# --- camera, scanner, telephone line ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FocusBlur(Effect):
    """Out of focus: standard deviation in thousandths of the picture's longer side."""

    sigma: float = number(0.0, 10.0, 0.0)


@dataclass(frozen=True)
class MotionBlur(Effect):
    """The camera moved by `length` (thousandths of the longer side) in direction `angle_deg`."""

    length: float = number(0.0, 30.0, 0.0)
    angle_deg: float = number(-360.0, 360.0, 0.0)


@dataclass(frozen=True)
class Sharpening(Effect):
    """The camera's own sharpening, with its bright seams."""

    amount: float = number(0.0, 3.0, 0.0)


@dataclass(frozen=True)
class Moire(Effect):
    """Coloured bands of a photographed screen; `period` is a share of the picture's longer side."""

    amount: float = number(0.0, 1.0, 0.0)
    period: float = number(0.004, 0.5, 0.05)
    angle_deg: float = number(-360.0, 360.0, 20.0)
    seed: int = seed()


@dataclass(frozen=True)
class Streaks(Effect):
    """Lines along the travel of a scanner with dust on its glass."""

    count: int = whole(0, 20, 0)
    darkness: float = number(0.0, 1.0, 0.0)
    seed: int = seed()

    @property
    def neutral(self) -> bool:
        return self.count == 0 or self.darkness == 0.0


@dataclass(frozen=True)
class ColourCast(Effect):
    """White balance: `warmth` from blue (-1) to yellow (1), `tint` from green (-1) to magenta (1)."""

    warmth: float = number(-1.0, 1.0, 0.0)
    tint: float = number(-1.0, 1.0, 0.0)

    @property
    def neutral(self) -> bool:
        return self.warmth == 0.0 and self.tint == 0.0


@dataclass(frozen=True)
class Exposure(Effect):
    """`brightness` adds to the middle of the range, `contrast` stretches about it, `gamma` bends it."""

    brightness: float = number(-0.7, 0.7, 0.0)
    contrast: float = number(0.2, 3.0, 1.0)
    gamma: float = number(0.3, 3.0, 1.0)

    @property
    def neutral(self) -> bool:
        return (self.brightness, self.contrast, self.gamma) == (0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Grey(Effect):
    """Colour is lost."""

    amount: float = number(0.0, 1.0, 0.0)


@dataclass(frozen=True)
class Binarised(Effect):
    """Black and white: dark is what lies below `threshold` of the light around it. `amount` mixes it in."""

    amount: float = number(0.0, 1.0, 0.0)
    threshold: float = number(0.3, 0.98, 0.8)


@dataclass(frozen=True)
class Fax(Effect):
    """Sent by fax: coarse rows, black and white, rows lost and repeated by the line."""

    amount: float = number(0.0, 1.0, 0.0)
    lines_per_mm: float = number(2.0, 16.0, 7.7)
    threshold: float = number(0.3, 0.98, 0.75)
    faults: int = whole(0, 20, 0)
    seed: int = seed()


@dataclass(frozen=True)
class Noise(Effect):
    """Sensor noise: standard deviation in grey levels, share of it that is coloured, and how coarse its grain is."""

    sigma: float = number(0.0, 80.0, 0.0)
    colour: float = number(0.0, 1.0, 0.4)
    grain: str = word("fine", "coarse")
    seed: int = seed()


@dataclass(frozen=True)
class Jpeg(Effect):
    """Compressed and opened again; 100 leaves the picture as it is."""

    quality: int = whole(1, 100, 100)
