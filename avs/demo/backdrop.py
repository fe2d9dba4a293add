"""The backdrop of a shot: sky and ground in colours of the place, a random texture, and a few things that mark it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_Rgb = tuple[int, int, int]
_SPECKS = 3


@dataclass(frozen=True, slots=True)
class _Landscape:
    """Colours from top to bottom, and the height of the horizon as a share of the picture."""

    sky: _Rgb
    haze: _Rgb
    near: _Rgb
    bottom: _Rgb
    horizon: float


_LANDSCAPES = {
    "beach": _Landscape((110, 190, 240), (190, 230, 245), (235, 215, 160), (215, 190, 130), 0.52),
    "forest": _Landscape((60, 110, 70), (90, 140, 90), (60, 90, 45), (45, 70, 35), 0.70),
    "night": _Landscape((8, 8, 35), (25, 25, 70), (20, 20, 55), (10, 10, 30), 0.90),
    "snow": _Landscape((185, 200, 215), (215, 225, 235), (238, 242, 248), (222, 230, 240), 0.50),
    "street": _Landscape((150, 170, 190), (185, 190, 195), (105, 105, 110), (80, 80, 85), 0.66),
    "room": _Landscape((225, 205, 180), (215, 195, 165), (150, 100, 65), (130, 85, 55), 0.72),
    "desert": _Landscape((250, 205, 140), (250, 225, 170), (225, 165, 85), (200, 140, 70), 0.45),
    "sea": _Landscape((150, 205, 235), (190, 225, 240), (40, 120, 170), (15, 70, 125), 0.34),
}


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A picture to draw on.

    Attributes:
        horizon: its row.
        spots: (40, 2) random places, each coordinate in 0..1.
    """

    draw: ImageDraw.ImageDraw
    width: int
    height: int
    horizon: int
    spots: np.ndarray


def draw_backdrop(place: str, width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A picture of one of BACKGROUNDS, `width` x `height` pixels, RGB."""
    land = _LANDSCAPES[place]
    horizon = int((land.horizon + rng.uniform(-0.06, 0.06)) * height)
    sky, ground = np.linspace(land.sky, land.haze, horizon), np.linspace(land.near, land.bottom, height - horizon)
    rows = np.concatenate([sky, ground])  # (H, 3)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12), dtype=np.uint8))
    smooth = coarse.resize((width, height), Image.Resampling.BICUBIC)
    texture = (np.asarray(smooth, dtype=np.float32)[..., None] - 127) * rng.uniform(0.05, 0.14)  # (H, W, 1)
    image = Image.fromarray(np.clip(rows[:, None, :] + texture, 0, 255).astype(np.uint8))
    canvas = _Canvas(ImageDraw.Draw(image), width, height, horizon, rng.uniform(0, 1, (40, 2)))
    _FURNISHING[place](canvas)
    _draw_specks(canvas, rng)
    return image.filter(ImageFilter.GaussianBlur(0.6))


def _draw_specks(on: _Canvas, rng: np.random.Generator) -> None:
    """A few grey or coloured dots that mean nothing."""
    for u, v in on.spots[-_SPECKS:]:
        red, green, blue = (int(c) for c in rng.integers(60, 200, 3))
        x, y = u * on.width, v * on.height
        on.draw.ellipse((x, y, x + 4, y + 4), fill=(red, green, blue))


def _night(on: _Canvas) -> None:
    for u, v in on.spots:
        on.draw.point((u * on.width, v * on.horizon), fill=(230, 230, 200))
    on.draw.ellipse((on.width * 0.8, 8, on.width * 0.8 + 14, 22), fill=(235, 235, 210))


def _forest(on: _Canvas) -> None:
    for u, v in on.spots[:14]:
        on.draw.rectangle((u * on.width, 0, u * on.width + 3 + 4 * v, on.horizon + 8), fill=(62, 46, 30))


def _street(on: _Canvas) -> None:
    for i, (u, v) in enumerate(on.spots[:7]):
        left, top = i * on.width / 7, on.horizon * (0.2 + 0.6 * v)
        on.draw.rectangle((left, top, left + on.width / 8, on.horizon), fill=(int(95 + 60 * u),) * 3)
    middle = (on.horizon + on.height) // 2
    for left in range(6, on.width, 36):
        on.draw.rectangle((left, middle, left + 18, middle + 3), fill=(225, 225, 205))


def _sea(on: _Canvas) -> None:
    _draw_waves(on, number=40, share=1.0)


def _beach(on: _Canvas) -> None:
    _draw_waves(on, number=12, share=0.25)


def _draw_waves(on: _Canvas, *, number: int, share: float) -> None:
    """Waves on the upper `share` of the ground."""
    for u, v in on.spots[:number]:
        x, y = u * on.width, on.horizon + v * (on.height - on.horizon) * share
        on.draw.line((x, y, x + 10, y), fill=(215, 235, 240))


def _room(on: _Canvas) -> None:
    left = 12 + on.spots[0, 0] * (on.width - 70)
    on.draw.rectangle((left, 12, left + 38, 44), fill=(200, 225, 240), outline=(110, 75, 50), width=2)
    for y in range(on.horizon, on.height, 9):
        on.draw.line((0, y, on.width, y), fill=(115, 75, 48))


def _desert(on: _Canvas) -> None:
    for u, v in on.spots[:5]:
        x, y = u * on.width, on.horizon + 40 * v
        on.draw.arc((x - 40, y, x + 40, y + 30), 190, 350, fill=(190, 130, 65), width=2)


def _snow(on: _Canvas) -> None:
    for u, v in on.spots:
        x, y = u * on.width, v * on.height
        on.draw.ellipse((x, y, x + 2, y + 2), fill=(252, 252, 255))


_FURNISHING: dict[str, Callable[[_Canvas], None]] = {
    "beach": _beach, "forest": _forest, "night": _night, "snow": _snow,
    "street": _street, "room": _room, "desert": _desert, "sea": _sea,
}  # fmt: skip
