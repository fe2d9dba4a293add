"""Some of the frames of a source: those that a trained model reads of each shot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from avs.core.frames import FrameSource, ShotFrames
from avs.core.shots import Shot
from avs.train.frame_choice import FrameChoice

KEY = (0, 0, 0)  # the same for every shot: no choice of a test draws, and "shuffled" is one order for all


@dataclass(frozen=True, slots=True)
class ChosenFrames:
    """A FrameSource that gives the frames that a choice takes of another's, in the order of the choice.

    Args:
        source: gives the frames of a grid.
        choice: takes some of them.
    """

    source: FrameSource
    choice: FrameChoice

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[ShotFrames]:
        for frames in self.source.read(video, shots):
            places = self.choice.places(len(frames.data), KEY)
            yield replace(frames, data=frames.data[places], pts_s=frames.pts_s[places])
