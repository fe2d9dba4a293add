"""Grids of frames in time that are decoded from the videos each time they are read, where there is no frame cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avs.core.errors import VideoError
from avs.core.shots import ShotTable
from avs.video.folder import VideoFolder
from avs.video.frame_cache import CacheSettings
from avs.video.squares import square

NEXT_STEP = "take the caption out, or keep the frames in a cache (frames: {cache: FOLDER}), which leaves such shots out"


@dataclass(frozen=True, slots=True)
class _Chosen:
    """These times of a shot."""

    times_s: np.ndarray

    def times(self, start_s: float, end_s: float) -> np.ndarray:
        return self.times_s


class VideoGrids:
    """The grids of the shots whose videos are there, as avs.train.frame_column.FrameGrids. Threads may decode at once.

    The pictures are those of a frame cache before they become JPEGs.

    Args:
        table: of the shots.
        paths: video id -> file.
        settings: of the grid; the quality is not used.

    Attributes:
        ids: N shots.
        offsets: (N+1,) int64; the grid of shot i has offsets[i+1] - offsets[i] frames.
        missing: shots whose video has no file.
    """

    def __init__(self, table: ShotTable, paths: Mapping[str, Path], settings: CacheSettings) -> None:
        self.paths, self.settings = paths, settings
        self._shots = [shot for shot in table if shot.video in paths]
        self.ids = tuple(shot.id for shot in self._shots)
        self.offsets: np.ndarray = np.cumsum([0, *map(settings.count, self._shots)], dtype=np.int64)
        self.missing = tuple(shot.id for shot in table if shot.video not in paths)

    @property
    def size(self) -> int:
        """Height and width of the pictures, in pixels."""
        return self.settings.size

    def decode(self, position: int, frames: np.ndarray) -> np.ndarray:
        """(F, 3, S, S) uint8 RGB pictures of the `frames` of one shot, in the order asked for.

        Raises:
            VideoError: the video does not give all of them.
        """
        shot = self._shots[position]
        wanted, order = np.unique(frames, return_inverse=True)
        folder = VideoFolder({shot.video: self.paths[shot.video]}, _Chosen(self.settings.times(shot)[wanted]))
        (found,) = folder.read(shot.video, [shot])
        if len(found.data) != len(wanted):
            reason = found.reason or "several of these times are on one frame"
            raise VideoError(
                f"{shot.id} gives {len(found.data)} of {len(wanted)} frames",
                where=self.paths[shot.video],
                got=reason,
                next_step=NEXT_STEP,
            )
        squares = np.stack([square(picture, self.size) for picture in found.data])
        return squares[order].transpose(0, 3, 1, 2)
