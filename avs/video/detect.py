"""Shots of videos that come without a master shot table: hard cuts, or one shot per file.

A cut is a frame that differs from the one before more than twice as much as any other frame near it differs from its
own: a flash, a shaking hand and repeated frames make several large differences in a row, a cut makes one. This is the
idea of PySceneDetect's AdaptiveDetector, which divides by the mean of the neighbours instead and so takes shaky film
with repeated frames for cuts. That package is not used because it brings OpenCV along, 150 MB whose wheels overwrite
each other when two variants of it are installed.

Only hard cuts are found: a dissolve, a fade, a slow wipe, and cuts nearer to each other than NEAR_S leave several
scenes in one shot.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from avs.video.decode import Frame, Video

THUMBNAIL = (36, 64)  # (H, W): noise and small motion average out, and the difference costs next to nothing
NEAR_S = 0.33  # the frames a cut is measured against: so near, and at least NEAR_FRAMES on either side
NEAR_FRAMES, MOST_FRAMES = 2, 20
RATIO = 2.0  # a cut's difference over the largest near it
LEAST_DIFFERENCE = 8.0  # of 255; below it there is no cut, however still the film is

Span = tuple[float, float]


def detect_shots(path: Path) -> list[Span]:
    """Shots `[start_s, end_s)` from one hard cut to the next, which together cover the video; at least one.

    Raises:
        VideoError: the file is no video, or not one frame can be decoded.
    """
    with Video(path) as video:
        differences = _Differences()
        times_s, values = [], []
        for frame in video.frames():
            times_s.append(frame.time_s)
            values.append(differences.next(frame))
        end_s = video.end_s if video.end_s is not None and np.isfinite(video.end_s) else video.duration_s()
    starts_s = [0.0, *_cuts(times_s, values)]
    return [(start_s, stop_s) for start_s, stop_s in zip(starts_s, [*starts_s[1:], end_s], strict=True)]


def whole_file(path: Path) -> list[Span]:
    """One shot, the whole video.

    Raises:
        VideoError: the file is no video, or not one frame can be decoded.
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
    """Places of the frames near frame i, without it and without frame 0, which has none before it."""
    for j in range(max(1, i - MOST_FRAMES), min(len(times_s), i + MOST_FRAMES + 1)):
        if j != i and (abs(j - i) <= NEAR_FRAMES or abs(times_s[j] - times_s[i]) <= NEAR_S):
            yield j


class _Differences:
    """How much each frame differs from the one before: mean over pixels and Y, U, V, of 255."""

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
