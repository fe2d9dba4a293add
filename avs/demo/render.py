"""Scenes become frames, and frames become H.264 files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image

from avs.core.artifacts import atomic_write
from avs.demo.backdrop import draw_backdrop
from avs.demo.scenes import Placement, Scene, Thing, member_offsets, place
from avs.demo.sprites import sprite

WIDTH, HEIGHT = 192, 144
FPS = Fraction(25, 2)
_SHAKE_PX = 2
_NOISE_SIDE = 224


class ShotRenderer:
    """Draws the frames of one scene; the backdrop and the grain are drawn once."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        rng = np.random.default_rng(scene.look)
        self._backdrop = draw_backdrop(scene.background, WIDTH + 2 * _SHAKE_PX, HEIGHT + 2 * _SHAKE_PX, rng)
        self._gain = rng.uniform(0.85, 1.12)
        grain = rng.standard_normal((_NOISE_SIDE, _NOISE_SIDE, 1), dtype=np.float32)
        self._noise = grain * np.float32(rng.uniform(1.0, 6.0))
        self._shake = rng.uniform(0, _SHAKE_PX) * np.sin(
            rng.uniform(0, 6.28, 2) + np.arange(64)[:, None] * rng.uniform(0.1, 0.5)
        )

    def frame(self, time_s: float) -> np.ndarray:
        """(HEIGHT, WIDTH, 3) uint8 RGB, at `time_s` seconds after the start of the shot."""
        tick = round(time_s * float(FPS))
        dx, dy = (round(float(v)) for v in self._shake[tick % len(self._shake)])
        x, y = _SHAKE_PX + dx, _SHAKE_PX + dy
        image = self._backdrop.crop((x, y, x + WIDTH, y + HEIGHT))
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


def frames_of(scene: Scene) -> Iterator[np.ndarray]:
    """Every frame of a shot, FPS per second, each (HEIGHT, WIDTH, 3) uint8 RGB."""
    renderer = ShotRenderer(scene)
    for index in range(frame_count(scene)):
        yield renderer.frame(index / float(FPS))


def frame_count(scene: Scene) -> int:
    """The number of frames of the shot that shows `scene`."""
    return int(scene.duration_s * FPS)


def write_video(path: Path, scenes: Sequence[Scene]) -> int:
    """Write the scenes one after the other, with hard cuts, as one H.264 mp4; the bytes are the same every time.

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
        # threads would make the bytes depend on timing, and macroblock trees on uninitialised memory
        stream.options = {"preset": "veryfast", "crf": "24", "x264-params": "threads=1:mbtree=0"}
        for scene in scenes:
            for pixels in frames_of(scene):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                count += 1
        container.mux(stream.encode())
    return count
