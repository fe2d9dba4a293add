"""Several views of the shots of video files, in one pass over each file: the ViewSource that extraction reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avs.core.frames import ShotFrames
from avs.core.shots import Shot
from avs.video.folder import VideoFolder
from avs.video.sampling import Times


@dataclass(frozen=True, slots=True)
class View:
    """What an encoder sees of shots.

    Attributes:
        times: of the frames that are read.
        then: makes of these what is encoded; None: they are encoded as they are. Picklable.
    """

    times: Times
    then: Callable[[ShotFrames], ShotFrames] | None = None


@dataclass(frozen=True, slots=True)
class VideoViews:
    """Views of the shots of video files. A ViewSource.

    Args:
        paths: video id -> file.
        views: one or more.
    """

    paths: Mapping[str, Path]
    views: Sequence[View]

    def read(self, video: str, shots: Sequence[Shot]) -> Iterator[tuple[ShotFrames, ...]]:
        for each in VideoFolder(self.paths).read_each(video, shots, [view.times for view in self.views]):
            yield tuple(
                view.then(frames) if view.then else frames for view, frames in zip(self.views, each, strict=True)
            )

    def begins_anywhere(self, video: str) -> bool:
        return VideoFolder(self.paths).begins_anywhere(video)
