"""Frames of a shot, and the protocol of what provides them: the interface between video and features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from avs.core.errors import DataError
from avs.core.shots import Shot
from avs.core.store import Status


@dataclass(frozen=True, slots=True, eq=False)
class ShotFrames:
    """The sampled frames of one shot, in time order.

    Attributes:
        shot: its id.
        data: (F, H, W, 3) uint8 RGB, upright.
        pts_s: (F,) float64 seconds from the video's first frame.
        status: "ok"; "partial" when some wanted frames could not be decoded; "failed" when none could (F = 0).
        reason: why frames are missing; empty when the status is "ok".
        tally: what else is counted of it, such as {"similar_frames": 3}; summed over the shots of a store.
        clips: (C, F) int positions in `data` of the frames of each clip, -1 for padding, which comes last; None: it is
            not cut into clips.

    Raises:
        DataError: arrays of the wrong shape or dtype, or a status that contradicts them.
    """

    shot: str
    data: np.ndarray
    pts_s: np.ndarray
    status: Status = "ok"
    reason: str = ""
    tally: Mapping[str, int] = field(default_factory=dict)
    clips: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.data.ndim != 4 or self.data.shape[3] != 3 or self.data.dtype != np.uint8:
            raise DataError(
                "frames must be (F, H, W, 3) uint8", where=self.shot, got=f"{self.data.shape} {self.data.dtype}"
            )
        if self.pts_s.shape != (len(self.data),):
            raise DataError(
                "frames and times differ in number", where=self.shot, got=(len(self.data), self.pts_s.shape)
            )
        if self.clips is not None and not _are_clips(self.clips, len(self.data)):
            raise DataError("clips must be (C, F) positions of frames", where=self.shot, got=self.clips.tolist())
        if (self.status == "failed") != (len(self.data) == 0) or (self.status == "ok") != (not self.reason):
            raise DataError("status does not fit", where=self.shot, got=(self.status, self.reason, len(self.data)))


def _are_clips(clips: np.ndarray, frames: int) -> bool:
    """Whether every clip has a frame, and then others or padding."""
    if clips.ndim != 2 or not clips.shape[1]:
        return False
    padding = clips < 0
    padding_last = not (padding[:, :-1] & ~padding[:, 1:]).any()
    return bool(((clips >= -1) & (clips < frames)).all() and not padding[:, 0].any() and padding_last)


class FrameSource(Protocol):
    """Anything that gives the frames of shots, video by video. It must be picklable: worker processes read from it."""

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[ShotFrames]:
        """The frames of `shots`, which are of one video, in their order; every shot is yielded, failed ones too."""
        ...


class ViewSource(Protocol):
    """Anything that gives several views of shots at once: frames that were chosen in different ways. Picklable."""

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[ShotFrames, ...]]:
        """As FrameSource.read; of every shot the frames of each view, in the order of the views."""
        ...

    def begins_anywhere(self, video: str) -> bool:
        """Whether reading can begin within a video without decoding all before it, so that its shots may be shared."""
        ...
