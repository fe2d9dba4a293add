"""The shapes of the objects, each drawn with Pillow once and then cached."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import cos, pi, sin

from PIL import Image, ImageDraw

RGB = {
    "red": (214, 40, 40), "green": (46, 160, 67), "blue": (38, 92, 220), "yellow": (247, 214, 30),
    "purple": (140, 60, 180), "orange": (245, 130, 25), "white": (245, 245, 245), "black": (28, 28, 32),
}  # fmt: skip
MASTER_PX = 96
_SUPERSAMPLED = 4
_Point = tuple[float, float]


class _Pen:
    """Draws in coordinates from 0 to 1; each shape has an outline that contrasts with its colour."""

    def __init__(self, colour: str) -> None:
        self.px = MASTER_PX * _SUPERSAMPLED
        self.image = Image.new("RGBA", (self.px, self.px), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.image)
        self.colour = RGB[colour]
        self.edge = (225, 225, 225) if colour == "black" else (25, 25, 30)
        self.width = max(1, round(self.px * 0.025))

    def scaled(self, points: list[_Point]) -> list[_Point]:
        return [(x * self.px, y * self.px) for x, y in points]

    def polygon(self, points: list[_Point], fill: tuple[int, int, int] | None = None) -> None:
        points = self.scaled(points)
        self.draw.polygon(points, fill=fill or self.colour)
        self.draw.line([*points, points[0]], fill=self.edge, width=self.width, joint="curve")

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: tuple[int, int, int] | None = None) -> None:
        box = self.scaled([(x0, y0), (x1, y1)])
        self.draw.ellipse(box, fill=fill or self.colour, outline=self.edge, width=self.width)

    def box(self, x0: float, y0: float, x1: float, y1: float, fill: tuple[int, int, int] | None = None) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)


_DARK, _GLASS, _BROWN, _SKIN = (40, 40, 45), (190, 225, 240), (120, 78, 42), (236, 188, 150)


def _car(pen: _Pen) -> None:
    pen.polygon(
        [(0.02, 0.72), (0.02, 0.5), (0.2, 0.48), (0.32, 0.26), (0.68, 0.26), (0.82, 0.48), (0.98, 0.54), (0.98, 0.72)]
    )
    pen.polygon([(0.27, 0.47), (0.36, 0.32), (0.48, 0.32), (0.48, 0.47)], _GLASS)
    pen.polygon([(0.53, 0.47), (0.53, 0.32), (0.64, 0.32), (0.73, 0.47)], _GLASS)
    for x in (0.13, 0.63):
        pen.ellipse(x, 0.6, x + 0.24, 0.84, _DARK)


def _house(pen: _Pen) -> None:
    pen.box(0.14, 0.45, 0.86, 0.97)
    pen.polygon([(0.02, 0.47), (0.5, 0.04), (0.98, 0.47)])
    pen.box(0.42, 0.66, 0.6, 0.97, _BROWN)
    pen.box(0.22, 0.56, 0.36, 0.7, _GLASS)
    pen.box(0.66, 0.56, 0.8, 0.7, _GLASS)


def _tree(pen: _Pen) -> None:
    pen.box(0.42, 0.66, 0.58, 0.98, _BROWN)
    pen.polygon([(0.1, 0.74), (0.5, 0.3), (0.9, 0.74)])
    pen.polygon([(0.2, 0.46), (0.5, 0.02), (0.8, 0.46)])


def _boat(pen: _Pen) -> None:
    pen.polygon([(0.02, 0.68), (0.98, 0.68), (0.8, 0.94), (0.2, 0.94)])
    pen.box(0.46, 0.04, 0.51, 0.68, _BROWN)
    pen.polygon([(0.53, 0.06), (0.94, 0.6), (0.53, 0.6)])


def _ball(pen: _Pen) -> None:
    pen.ellipse(0.06, 0.06, 0.94, 0.94)
    for shift, start in ((-0.45, -62), (0.45, 118)):
        corners = pen.scaled([(0.06 + shift, 0.06), (0.94 + shift, 0.94)])
        pen.draw.arc([*corners[0], *corners[1]], start, start + 124, fill=pen.edge, width=2 * pen.width)


def _star(pen: _Pen) -> None:
    radii = (0.49, 0.2)
    pen.polygon([(0.5 + radii[i % 2] * sin(i * pi / 5), 0.52 - radii[i % 2] * cos(i * pi / 5)) for i in range(10)])


def _fish(pen: _Pen) -> None:
    pen.polygon([(0.66, 0.5), (0.98, 0.24), (0.98, 0.76)])
    pen.ellipse(0.02, 0.26, 0.76, 0.74)
    pen.ellipse(0.14, 0.4, 0.24, 0.5, (255, 255, 255))


def _bird(pen: _Pen) -> None:
    pen.polygon([(0.02, 0.3), (0.12, 0.22), (0.12, 0.36)], (240, 160, 30))
    pen.ellipse(0.28, 0.4, 0.82, 0.74)
    pen.ellipse(0.1, 0.16, 0.42, 0.5)
    pen.polygon([(0.74, 0.5), (0.99, 0.4), (0.94, 0.66)])
    pen.polygon([(0.42, 0.5), (0.74, 0.1), (0.72, 0.58)])
    pen.box(0.44, 0.74, 0.48, 0.95, _DARK)
    pen.box(0.6, 0.74, 0.64, 0.95, _DARK)


def _cat(pen: _Pen) -> None:
    pen.polygon([(0.14, 0.08), (0.4, 0.28), (0.14, 0.48)])
    pen.polygon([(0.86, 0.08), (0.6, 0.28), (0.86, 0.48)])
    pen.ellipse(0.1, 0.2, 0.9, 0.92)
    for x in (0.28, 0.58):
        pen.ellipse(x, 0.42, x + 0.14, 0.56, (250, 250, 170))
    pen.polygon([(0.44, 0.66), (0.56, 0.66), (0.5, 0.74)], (250, 150, 160))


def _person(pen: _Pen) -> None:
    pen.ellipse(0.37, 0.01, 0.63, 0.27, _SKIN)
    pen.polygon(
        [
            (0.34, 0.28),
            (0.66, 0.28),
            (0.86, 0.6),
            (0.76, 0.66),
            (0.64, 0.48),
            (0.64, 0.64),
            (0.36, 0.64),
            (0.36, 0.48),
            (0.24, 0.66),
            (0.14, 0.6),
        ]
    )
    pen.box(0.36, 0.64, 0.48, 0.98, _DARK)
    pen.box(0.52, 0.64, 0.64, 0.98, _DARK)


def _flower(pen: _Pen) -> None:
    pen.box(0.47, 0.5, 0.53, 0.98, (40, 130, 50))
    for i in range(6):
        x, y = 0.5 + 0.21 * cos(i * pi / 3), 0.35 + 0.21 * sin(i * pi / 3)
        pen.ellipse(x - 0.14, y - 0.14, x + 0.14, y + 0.14)
    pen.ellipse(0.38, 0.23, 0.62, 0.47, (250, 200, 60) if pen.colour != RGB["yellow"] else _BROWN)


def _cup(pen: _Pen) -> None:
    ring = pen.scaled([(0.6, 0.34), (0.96, 0.74)])
    pen.draw.ellipse(ring, outline=pen.edge, width=5 * pen.width)
    pen.draw.ellipse(ring, outline=pen.colour, width=4 * pen.width)
    pen.polygon([(0.08, 0.2), (0.76, 0.2), (0.66, 0.92), (0.18, 0.92)])
    pen.ellipse(0.08, 0.12, 0.76, 0.28, (110, 66, 40))


def _plane(pen: _Pen) -> None:
    pen.polygon([(0.4, 0.46), (0.62, 0.04), (0.72, 0.04), (0.64, 0.46)])
    pen.polygon([(0.82, 0.46), (0.92, 0.22), (0.99, 0.22), (0.97, 0.46)])
    pen.polygon([(0.01, 0.52), (0.12, 0.41), (0.98, 0.41), (0.98, 0.55), (0.12, 0.61)])
    pen.polygon([(0.4, 0.56), (0.64, 0.56), (0.72, 0.96), (0.62, 0.96)])


def _umbrella(pen: _Pen) -> None:
    pen.box(0.48, 0.4, 0.52, 0.92, _BROWN)
    pen.box(0.4, 0.9, 0.52, 0.95, _BROWN)
    dome = pen.scaled([(0.02, 0.06), (0.98, 1.0)])
    pen.draw.pieslice(dome, 180, 360, fill=pen.colour, outline=pen.edge, width=pen.width)
    for x in (0.02, 0.34, 0.66):
        arc = pen.scaled([(x, 0.46), (x + 0.32, 0.6)])
        pen.draw.ellipse(arc, fill=(0, 0, 0, 0))


_SHAPES: dict[str, Callable[[_Pen], None]] = {
    "car": _car, "house": _house, "tree": _tree, "boat": _boat, "ball": _ball, "star": _star, "fish": _fish,
    "bird": _bird, "cat": _cat, "person": _person, "flower": _flower, "cup": _cup, "plane": _plane,
    "umbrella": _umbrella,
}  # fmt: skip


@lru_cache(maxsize=256)
def master_sprite(kind: str, colour: str, flipped: bool) -> Image.Image:
    """The picture of an object, MASTER_PX x MASTER_PX pixels, RGBA."""
    pen = _Pen(colour)
    _SHAPES[kind](pen)
    sprite = pen.image.reduce(_SUPERSAMPLED)
    return sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else sprite


@lru_cache(maxsize=2048)
def sprite(kind: str, colour: str, flipped: bool, side_px: int, angle: int) -> Image.Image:
    """The object, `side_px` pixels wide and turned `angle` degrees anticlockwise; its corners may be cut off."""
    image = master_sprite(kind, colour, flipped)
    if angle:
        image = image.rotate(angle, resample=Image.Resampling.BILINEAR)
    return image.resize(
        (side_px, side_px), Image.Resampling.BOX if side_px < MASTER_PX // 2 else Image.Resampling.BILINEAR
    )
