"""A frame source without videos: every shot has frames of its own that its id alone decides."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from avs.core.errors import VideoError
from avs.core.frames import ShotFrames
from avs.core.shots import Shot, ShotTable


def table(shots_per_video: Mapping[str, int]) -> ShotTable:
    """A table of shots of 2 s."""
    ids = [f"shot{video}_{n}" for video, count in shots_per_video.items() for n in range(1, count + 1)]
    starts = [2.0 * int(shot.split("_")[1]) for shot in ids]
    return ShotTable(ids, starts, [start + 2 for start in starts])


@dataclass
class FakeFrames:
    """1 to 5 frames a shot; `failed` shots have none, `partial` ones a reason; reading `broken` raises;
    `uncut` videos are read from end to end. `tally` is that of every shot."""

    failed: set[str] = field(default_factory=set)
    partial: set[str] = field(default_factory=set)
    broken: str = ""
    uncut: set[str] = field(default_factory=set)
    tally: Mapping[str, int] = field(default_factory=dict)
    asked: list[tuple[str, list[str]]] = field(default_factory=list)

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[ShotFrames, ...]]:
        self.asked.append((video, [shot.id for shot in shots]))
        for shot in shots:
            if shot.id == self.broken:
                raise VideoError("the video broke", where=shot.id)
            yield (replace(self.frames(shot), tally=self.tally),)

    def begins_anywhere(self, video: str) -> bool:
        return video not in self.uncut

    def frames(self, shot: Shot) -> ShotFrames:
        generator = np.random.default_rng(list(shot.id.encode()))
        count = 0 if shot.id in self.failed else int(generator.integers(1, 6))
        data = generator.integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
        pts_s = shot.start_s + 0.25 * np.arange(count)
        if shot.id in self.failed:
            return ShotFrames(shot.id, data, pts_s, "failed", "cannot decode")
        if shot.id in self.partial:
            return ShotFrames(shot.id, data, pts_s, "partial", "1 of 2 frames")
        return ShotFrames(shot.id, data, pts_s)


@dataclass
class HeldFrames(FakeFrames):
    """Who reads a shot of `held` waits until this file is there, and writes its process number to one with ".pid"."""

    held: Mapping[str, Path] = field(default_factory=dict)

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[ShotFrames, ...]]:
        for views in super().read(video, shots):
            go = self.held.get(views[0].shot)
            if go is not None:
                go.with_suffix(".new").write_text(str(os.getpid()))
                os.replace(go.with_suffix(".new"), go.with_suffix(".pid"))
            while go is not None and not go.exists():
                time.sleep(0.01)
            yield views
