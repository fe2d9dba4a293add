"""Frames and H.264 files of scenes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from avs.core.artifacts import atomic_write
from avs.demo.scenes import Placement, Scene, Thing, member_offsets, place
from avs.demo.sprites import sprite

WIDTH, HEIGHT = 192, 144
FPS = Fraction(25, 2)
_SHAKE_PX = 2
_NOISE_SIDE = 224

_Rgb = tuple[int, int, int]
# sky at the top, sky at the horizon, ground at the horizon, ground at the bottom, height of the horizon
_LANDSCAPES: dict[str, tuple[_Rgb, _Rgb, _Rgb, _Rgb, float]] = {
    "beach": ((110, 190, 240), (190, 230, 245), (235, 215, 160), (215, 190, 130), 0.52),
    "forest": ((60, 110, 70), (90, 140, 90), (60, 90, 45), (45, 70, 35), 0.70),
    "night": ((8, 8, 35), (25, 25, 70), (20, 20, 55), (10, 10, 30), 0.90),
    "snow": ((185, 200, 215), (215, 225, 235), (238, 242, 248), (222, 230, 240), 0.50),
    "street": ((150, 170, 190), (185, 190, 195), (105, 105, 110), (80, 80, 85), 0.66),
    "room": ((225, 205, 180), (215, 195, 165), (150, 100, 65), (130, 85, 55), 0.72),
    "desert": ((250, 205, 140), (250, 225, 170), (225, 165, 85), (200, 140, 70), 0.45),
    "sea": ((150, 205, 235), (190, 225, 240), (40, 120, 170), (15, 70, 125), 0.34),
}


class ShotRenderer:
    """Draws the frames of one scene; everything that stays is drawn once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        rng = np.random.default_rng(scene.look)
        self._background = _background(scene.background, rng)
        self._gain = rng.uniform(0.85, 1.12)
        grain = rng.standard_normal((_NOISE_SIDE, _NOISE_SIDE, 1), dtype=np.float32)
        self._noise = grain * np.float32(rng.uniform(1.0, 6.0))
        self._shake = rng.uniform(0, _SHAKE_PX) * np.sin(
            rng.uniform(0, 6.28, 2) + np.arange(64)[:, None] * rng.uniform(0.1, 0.5)
        )

    def frame(self, time_s: float) -> np.ndarray:
        """(HEIGHT, WIDTH, 3) uint8 RGB, `time_s` seconds after the shot's start."""
        tick = round(time_s * float(FPS))
        dx, dy = (round(float(v)) for v in self._shake[tick % len(self._shake)])
        image = self._background.crop((_SHAKE_PX + dx, _SHAKE_PX + dy, _SHAKE_PX + dx + WIDTH, _SHAKE_PX + dy + HEIGHT))
        for thing in self.scene.things:
            _paste(image, thing, place(thing, time_s, self.scene.duration_s))
        pixels = np.asarray(image, dtype=np.float32)
        top, left = (tick * 37) % (_NOISE_SIDE - HEIGHT), (tick * 53) % (_NOISE_SIDE - WIDTH)
        noise = self._noise[top : top + HEIGHT, left : left + WIDTH]  # (H, W, 1)
        return np.clip(pixels * self._gain + noise, 0, 255).astype(np.uint8)


def _paste(image: Image.Image, thing: Thing, placement: Placement) -> None:
    side_px = max(4, round(placement.side * HEIGHT))
    drawn = sprite(thing.kind, thing.colour, thing.flipped, side_px, round(placement.angle / 5) * 5 % 360)
    for across, down in member_offsets(thing.count):
        x = (placement.x + across * placement.side) * HEIGHT - side_px / 2
        y = (placement.y + down * placement.side) * HEIGHT - side_px / 2
        image.paste(drawn, (round(x), round(y)), drawn)


def _background(name: str, rng: np.random.Generator) -> Image.Image:
    """The backdrop, larger than the frame by the camera's shake on each side."""
    width, height = WIDTH + 2 * _SHAKE_PX, HEIGHT + 2 * _SHAKE_PX
    sky, haze, near, bottom, horizon = _LANDSCAPES[name]
    level = int((horizon + rng.uniform(-0.06, 0.06)) * height)
    rows = np.concatenate([np.linspace(sky, haze, level), np.linspace(near, bottom, height - level)])
    coarse = Image.fromarray(rng.integers(0, 255, (9, 12), dtype=np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    texture = (np.asarray(coarse, dtype=np.float32)[..., None] - 127) * rng.uniform(0.05, 0.14)
    image = Image.fromarray(np.clip(rows[:, None, :] + texture, 0, 255).astype(np.uint8))
    _furnish(ImageDraw.Draw(image), name, level, rng)
    return image.filter(ImageFilter.GaussianBlur(0.6))


def _furnish(draw: ImageDraw.ImageDraw, name: str, level: int, rng: np.random.Generator) -> None:
    """What makes a place recognisable, and a few specks anywhere."""
    width, height = draw.im.size
    spots = rng.uniform(0, 1, (40, 2))
    if name == "night":
        for u, v in spots:
            draw.point((u * width, v * level), fill=(230, 230, 200))
        draw.ellipse((width * 0.8, 8, width * 0.8 + 14, 22), fill=(235, 235, 210))
    elif name == "forest":
        for u, v in spots[:14]:
            draw.rectangle((u * width, 0, u * width + 3 + 4 * v, level + 8), fill=(62, 46, 30))
    elif name == "street":
        for i, (u, v) in enumerate(spots[:7]):
            left, top = i * width / 7, level * (0.2 + 0.6 * v)
            draw.rectangle((left, top, left + width / 8, level), fill=(int(95 + 60 * u),) * 3)
        for left in range(6, width, 36):
            draw.rectangle((left, (level + height) // 2, left + 18, (level + height) // 2 + 3), fill=(225, 225, 205))
    elif name == "sea" or name == "beach":
        for u, v in spots[: 40 if name == "sea" else 12]:
            y = level + v * (height - level) * (1.0 if name == "sea" else 0.25)
            draw.line((u * width, y, u * width + 10, y), fill=(215, 235, 240))
    elif name == "room":
        left = 12 + spots[0, 0] * (width - 70)
        draw.rectangle((left, 12, left + 38, 44), fill=(200, 225, 240), outline=(110, 75, 50), width=2)
        for y in range(level, height, 9):
            draw.line((0, y, width, y), fill=(115, 75, 48))
    elif name == "desert":
        for u, v in spots[:5]:
            draw.arc(
                (u * width - 40, level + 40 * v, u * width + 40, level + 40 * v + 30),
                190,
                350,
                fill=(190, 130, 65),
                width=2,
            )
    elif name == "snow":
        for u, v in spots:
            draw.ellipse((u * width, v * height, u * width + 2, v * height + 2), fill=(252, 252, 255))
    for u, v in spots[-3:]:
        shade = tuple(int(c) for c in rng.integers(60, 200, 3))
        draw.ellipse((u * width, v * height, u * width + 4, v * height + 4), fill=shade)


def frames_of(scene: Scene) -> Iterator[np.ndarray]:
    """Every frame of a shot, FPS a second, each (HEIGHT, WIDTH, 3) uint8 RGB."""
    renderer = ShotRenderer(scene)
    for index in range(frame_count(scene)):
        yield renderer.frame(index / float(FPS))


def frame_count(scene: Scene) -> int:
    """How many frames the shot of a scene lasts."""
    return int(scene.duration_s * FPS)


def write_video(path: Path, scenes: Sequence[Scene]) -> int:
    """Write the scenes one after the other, with hard cuts, as one H.264 mp4; the same bytes each time.

    Returns:
        The number of frames written.
    """
    import av

    count = 0
    with atomic_write(path, "wb") as file, av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 48
        # the same bytes each time: with threads they depend on timing, with macroblock trees on stale memory
        stream.options = {"preset": "veryfast", "crf": "24", "x264-params": "threads=1:mbtree=0"}
        for scene in scenes:
            for pixels in frames_of(scene):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                count += 1
        container.mux(stream.encode())
    return count
