"""The frame cache: JPEG squares of a grid in time of every shot, from which a training reads frames at random.

shards/000000.jpegs   JPEGs one after another, of some consecutive videos
bytes.npy             (M+1,) int64, where each JPEG begins, counted through all shards in the order of their names
offsets.npy           (N+1,) int64, the frames of each shot
pts_s.npy             (M,) float64, seconds of each frame from the start of its video
ids.txt               the N shots that have frames, a line each
problems.tsv          shot, status (partial, failed), reason
manifest.json         what made it, and the hash of every file; written last

A shot without a frame is not in it: problems.tsv says why. `avs.video.frame_cache_writer` writes caches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from avs.core.artifacts import read_manifest, require_path
from avs.core.contents import require_unchanged
from avs.core.errors import ConfigError, Problems, StoreError, UnknownIdError
from avs.core.ids import some
from avs.core.shots import Shot
from avs.core.text_files import read_text
from avs.video.sampling import Sampling
from avs.video.squares import from_jpeg

CACHE_TYPE = "frame-cache"
AGAIN = "make the cache again with force"
OPEN_SHARDS = 200  # a process may have some 1,000 files open
PIECE_FRAMES = 32  # of a long shot that are in memory at once, in the size of the video


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """What decides the pictures of a cache.

    Args:
        fps: frames a second.
        size: height and width of the squares, in pixels.
        quality: of the JPEGs, by Pillow's scale.

    Raises:
        ConfigError: values out of range; names all of them at once.
    """

    fps: float = 1.0
    size: int = 224
    quality: int = 90

    def __post_init__(self) -> None:
        problems = Problems("frame cache")
        if not (math.isfinite(self.fps) and 0.001 <= self.fps <= 1000):
            problems.add("fps", f"must be 0.001 to 1000 frames a second, got {self.fps}")
        if not 8 <= self.size <= 4096:
            problems.add("size", f"must be 8 to 4096 pixels, got {self.size}")
        if not 1 <= self.quality <= 95:
            problems.add("quality", f"must be 1 to 95, got {self.quality}")
        problems.raise_if_any(ConfigError)

    @property
    def config(self) -> dict[str, Any]:
        """What a manifest says of them."""
        rules = {"sampling": "interval", "geometry": "shortest-edge-crop, bicubic", "decoder": "PyAV"}
        return {**asdict(self), **rules}

    @property
    def sampling(self) -> Sampling:
        """The grid: a frame every 1 / fps seconds, centred in the shot; the middle of a shorter shot."""
        return Sampling("interval", 1 / self.fps, PIECE_FRAMES + 1)  # no piece has more

    def count(self, shot: Shot) -> int:
        """Number of times in the grid of a shot."""
        return max(1, int((shot.end_s - shot.start_s) * self.fps + 1e-6))

    def times(self, shot: Shot) -> np.ndarray:
        """(count(shot),) float64 seconds of the grid of a shot."""
        return np.concatenate([self.sampling.times(piece.start_s, piece.end_s) for piece in self.pieces(shot)])

    def pieces(self, shot: Shot) -> list[Shot]:
        """The shot, or the parts of a long one, whose grids together are that of the shot."""
        count = self.count(shot)
        if count <= PIECE_FRAMES:
            return [shot]
        first_s = (shot.start_s + shot.end_s - count / self.fps) / 2
        cuts = [*range(0, count, PIECE_FRAMES), count]
        edges_s = [first_s + cut / self.fps for cut in cuts]
        return [Shot(shot.id, shot.video, a, b) for a, b in zip(edges_s, edges_s[1:], strict=False)]


class FrameCache:
    """A finished cache, opened by mmap. Several threads may decode from it at once.

    Attributes:
        ids: N shots that have frames.
        offsets: (N+1,) int64; the frames of shot i are offsets[i]:offsets[i+1].
        pts_s: (M,) float64 seconds of the frames from the start of their video.
        size: height and width of the pictures.
        manifest: as written.

    Raises:
        StoreError: the folder is no frame cache, or its files are not as they were written or do not fit together.
        FormatError: its making was interrupted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = require_path(Path(folder), what="frame cache")
        self.manifest = read_manifest(self.folder)
        if self.manifest["type"] != CACHE_TYPE:
            raise StoreError("not a frame cache", where=self.folder, got=self.manifest["type"], wanted=CACHE_TYPE)
        require_unchanged(self.folder, self.manifest, next_step=AGAIN, cls=StoreError)
        config = self.manifest["config"]
        self.settings = CacheSettings(config["fps"], config["size"], config["quality"])
        self.ids: tuple[str, ...] = tuple(read_text(self.folder / "ids.txt").splitlines())
        self.offsets: np.ndarray = np.load(self.folder / "offsets.npy")
        self.pts_s: np.ndarray = np.load(self.folder / "pts_s.npy", mmap_mode="r")
        self._bytes: np.ndarray = np.load(self.folder / "bytes.npy", mmap_mode="r")
        self._shards = sorted((self.folder / "shards").glob("*.jpegs"))
        self._starts = np.cumsum([0, *(path.stat().st_size for path in self._shards)])  # of the shards
        self._row = {shot: row for row, shot in enumerate(self.ids)}
        self._shard = lru_cache(OPEN_SHARDS)(self._open)
        self._check()

    def _check(self) -> None:
        shots, frames = len(self.offsets) - 1, int(self.offsets[-1])
        if (shots, frames, frames) != (len(self.ids), len(self.pts_s), len(self._bytes) - 1) or (
            int(self._bytes[-1]) != int(self._starts[-1])
        ):
            raise StoreError(
                "the files of the frame cache do not fit together",
                where=self.folder,
                got=f"{len(self.ids)} ids, {len(self.pts_s)} times, {int(self._starts[-1])} bytes",
                wanted=f"{shots} ids, {frames} times, {int(self._bytes[-1])} bytes",
                next_step=AGAIN,
            )

    def _open(self, shard: int) -> np.ndarray:
        return np.memmap(self._shards[shard], np.uint8, "r")

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple[object, ...]:  # another process maps the files itself
        return FrameCache, (self.folder,)

    @property
    def size(self) -> int:
        """Height and width of the pictures, in pixels."""
        return self.settings.size

    @property
    def problems(self) -> list[tuple[str, str, str]]:
        """Shot, "partial" or "failed", and the reason, of those that lack frames."""
        lines = read_text(self.folder / "problems.tsv").splitlines()
        return [(shot, status, reason) for shot, status, reason in (line.split("\t", 2) for line in lines)]

    def index(self, ids: Sequence[str]) -> np.ndarray:
        """(len(ids),) int64 positions of `ids`, in their order.

        Raises:
            UnknownIdError: a shot has no frames here; says which, and why one of them failed.
        """
        missing = [shot for shot in ids if shot not in self._row]
        if missing:
            reasons = {shot: f" ({reason})" for shot, status, reason in self.problems if status == "failed"}
            raise UnknownIdError(
                f"{len(missing)} of {len(ids)} shots have no frames in the cache",
                where=self.folder,
                got=some(missing) + reasons.get(missing[0], ""),
                next_step="leave them out, or make a cache of their videos",
            )
        return np.fromiter((self._row[shot] for shot in ids), np.int64, len(ids))

    def jpeg(self, position: int, frame: int) -> bytes:
        """The JPEG of frame number `frame` of the shot at `position`.

        Raises:
            IndexError: there is no such frame.
        """
        first, end = int(self.offsets[position]), int(self.offsets[position + 1])
        if not 0 <= frame < end - first:
            raise IndexError(f"frame {frame} of {end - first} of shot {self.ids[position]}")
        start, stop = (int(self._bytes[first + frame + n]) for n in (0, 1))
        shard = int(np.searchsorted(self._starts, start, side="right")) - 1
        origin = int(self._starts[shard])
        return self._shard(shard)[start - origin : stop - origin].tobytes()

    def decode(self, position: int, frames: np.ndarray | Sequence[int]) -> np.ndarray:
        """(F, 3, S, S) uint8 RGB pictures of the `frames` of one shot, in the order asked for.

        Args:
            position: of the shot, 0 to N - 1.
            frames: (F,) numbers of frames, each from 0 on within the shot.
        """
        pictures = np.empty((len(frames), 3, self.size, self.size), dtype=np.uint8)
        for place, frame in enumerate(frames):
            pictures[place] = from_jpeg(self.jpeg(position, int(frame)))
        return pictures
