"""Shots of videos that come without a master shot table: hard cuts, or one shot per file.

A frame begins a shot when its difference from the frame before is more than twice any other difference near it. A
flash, a shaking hand and repeated frames make several large differences in a row; a cut makes one. PySceneDetect's
AdaptiveDetector has the same idea, but divides by the mean of the neighbours, so it finds cuts in shaky film with
repeated frames. That package is not used because it needs OpenCV: 150 MB, and two variants of its wheels overwrite each
other.

Only hard cuts are found. Dissolves, fades, slow wipes, and cuts nearer to each other than NEAR_S leave several scenes
in one shot.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from avs.video.decode import Frame, Video

THUMBNAIL = (36, 64)  # (H, W): noise and small motion average out, and the difference is cheap to compute
NEAR_S = 0.33  # a cut is compared with the frames so near to it, and with at least NEAR_FRAMES on either side
NEAR_FRAMES, MOST_FRAMES = 2, 20
RATIO = 2.0  # of a cut's difference to the largest one near it
LEAST_DIFFERENCE = 8.0  # of 255; a smaller one is no cut, however still the film is

Span = tuple[float, float]


def detect_shots(path: Path) -> list[Span]:
    """Shots `[start_s, end_s)` from one hard cut to the next; they cover the video, and there is at least one.

    Raises:
        VideoError: the file is no video, or no frame can be decoded.
    """
    with Video(path) as video:
        differences = _Differences()
        times_s, values = [], []
        for frame in video.frames():
            times_s.append(frame.time_s)
            values.append(differences.next(frame))
        end_s = video.end_s if video.end_s is not None and np.isfinite(video.end_s) else video.duration_s()
    starts_s = sorted({0.0, *_cuts(times_s, values)})
    return [(start_s, stop_s) for start_s, stop_s in zip(starts_s, [*starts_s[1:], end_s], strict=True)]


def whole_file(path: Path) -> list[Span]:
    """One shot: the whole video, whose packets are read to see whether its header tells the truth.

    Raises:
        VideoError: the file is no video, or no frame can be decoded.
    """
    with Video(path) as video:
        return [(0.0, video.duration_s())]


def _cuts(times_s: list[float], values: list[float]) -> list[float]:
    """Times of the frames that begin a shot; `values[i]` is how much frame i differs from the one before."""
    return [
        time_s
        for i, (time_s, value) in enumerate(zip(times_s, values, strict=True))
        if value >= LEAST_DIFFERENCE and value > RATIO * max((values[j] for j in _near(times_s, i)), default=0.0)
    ]


def _near(times_s: list[float], i: int) -> Iterator[int]:
    """Numbers of the frames near frame i, without itself and without frame 0, which has no frame before it."""
    for j in range(max(1, i - MOST_FRAMES), min(len(times_s), i + MOST_FRAMES + 1)):
        if j != i and (abs(j - i) <= NEAR_FRAMES or abs(times_s[j] - times_s[i]) <= NEAR_S):
            yield j


class _Differences:
    """How much each frame differs from the one before: the mean over pixels and Y, U, V, of 255."""

    def __init__(self) -> None:
        self.reformatter = VideoReformatter()
        self.previous: np.ndarray | None = None

    def next(self, frame: Frame) -> float:
        height, width = THUMBNAIL
        small = self.reformatter.reformat(
            frame.raw, width=width, height=height, format="yuv444p", interpolation=Interpolation.AREA, threads=1
        )
        pixels = small.to_ndarray().astype(np.int16)
        previous, self.previous = self.previous, pixels
        return 0.0 if previous is None else float(np.abs(pixels - previous).mean())
