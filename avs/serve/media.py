"""Pictures of shots and files of videos, by ids of the collection alone: no name of a client becomes a path.

Pictures that are not in --keyframes are made from --videos when they are asked for, and kept in the cache.
"""

from __future__ import annotations

import hashlib
import io
import json
import mimetypes
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from avs.core.artifacts import atomic_write
from avs.core.errors import AvsError, VideoError
from avs.core.ids import parse_shot_id
from avs.core.journal import checked_line, checked_record
from avs.core.shots import Shot
from avs.serve.opened.shot_columns import ShotColumns
from avs.serve.refusal import Refusal

if TYPE_CHECKING:
    from PIL.Image import Image

    from avs.video.sampling import Sampling

WIDTHS, SPRITE_FRAMES, SPRITE_WIDTH, QUALITY = (160, 480), (8, 24), 160, 80
FRESH_LOCKS = 256
MEDIA_TYPES = {".mkv": "video/x-matroska", ".webm": "video/webm", ".mp4": "video/mp4", ".m4v": "video/mp4"}
CLOCKS = "clocks.txt"


@dataclass(frozen=True, slots=True)
class VideoClock:
    """What a file says of its time.

    Attributes:
        zero_s: the time that it gives its first frame, from which shots count.
        size, time_ns: of the file when it was looked at.
    """

    zero_s: float
    fps: float | None
    duration_s: float
    codec: str
    size: int
    time_ns: int


class Media:
    """The pictures and videos of a collection.

    Args:
        videos: video id -> file.
        keyframes: folder as `avs demo` and `write_keyframe` fill it; None: there is none.
        cache: folder for what is made here of these shots and these files.
        at_once: pictures that are made at once; sprites: that are made or waited for, before more are refused.
    """

    def __init__(
        self,
        columns: ShotColumns,
        videos: Mapping[str, Path],
        keyframes: Path | None,
        cache: Path,
        *,
        at_once: int,
        sprites: int,
    ) -> None:
        self.columns, self.videos, self.keyframes, self.cache = columns, videos, keyframes, cache
        self._making = threading.BoundedSemaphore(at_once)
        self._sprites = threading.BoundedSemaphore(sprites)
        self._clocks: dict[str, VideoClock] = _read_clocks(cache / CLOCKS)
        self._locks: OrderedDict[str, threading.Lock] = OrderedDict()
        self._lock = threading.Lock()

    def keyframe(self, shot: str, width: int) -> bytes:
        """The picture of a shot as JPEG, its longer side at most `width` pixels.

        Raises:
            UnknownIdError: there is no such shot.
            Refusal: an unknown width; there is no picture, and no video to make it of; the picture is damaged.
            VideoError: the video gives no frame.
        """
        if width not in WIDTHS:
            raise Refusal(422, "no such width", got=width, wanted=", ".join(map(str, WIDTHS)))
        row = self.columns.row(shot)
        given = self._given(shot)
        if given is not None and width == WIDTHS[-1]:
            return given.read_bytes()
        if given is not None:
            file = f"{given.parent.name}/{given.name} of --keyframes"
            return self._kept(f"keyframes-{width}", shot, lambda: _reduced(given.read_bytes(), width, file))
        largest = self._kept(f"keyframes-{WIDTHS[-1]}", shot, lambda: self._from_video(row, WIDTHS[-1]))
        if width == WIDTHS[-1]:
            return largest
        return self._kept(f"keyframes-{width}", shot, lambda: _reduced(largest, width, f"the picture of {shot}"))

    def sprite(self, shot: str, frames: int) -> bytes:
        """Frames of a shot side by side as one JPEG, each SPRITE_WIDTH pixels wide, evenly spaced in time.

        Raises:
            UnknownIdError, VideoError: as keyframe.
            Refusal: an unknown number of frames; no videos; too many sprites at once.
        """
        if frames not in SPRITE_FRAMES:
            raise Refusal(422, "no such number of frames", got=frames, wanted=", ".join(map(str, SPRITE_FRAMES)))
        row = self.columns.row(shot)
        kept = self._cached(f"sprites-{frames}", shot)
        if kept is not None:
            return kept
        if not self._sprites.acquire(blocking=False):
            raise Refusal(429, "too many sprites at once", next_step="ask again when one has come")
        try:
            return self._kept(f"sprites-{frames}", shot, lambda: self._strip(row, frames))
        finally:
            self._sprites.release()

    def video_file(self, video: str) -> Path:
        """The file of a video of the collection.

        Raises:
            UnknownIdError: there is no such video.
            Refusal: no file has its id; it is outside the folder by now.
        """
        self.columns.rows_of(video)
        if video not in self.videos:
            raise Refusal(404, "there is no file of this video", got=video, next_step="give its folder: --videos")
        path = self.videos[video]
        if not path.is_file():
            raise Refusal(404, "the file of this video is gone", got=video)
        return path

    def media_type(self, video: str) -> str:
        """The media type of a video's file, by its name."""
        suffix = self.videos[video].suffix.lower()
        return MEDIA_TYPES.get(suffix) or mimetypes.guess_type(f"a{suffix}")[0] or "application/octet-stream"

    def known_zero_s(self, video: str) -> float | None:
        """The time that a file gives its first frame, if it was looked at before."""
        clock = self._clocks.get(video)
        return None if clock is None else clock.zero_s

    def clock(self, video: str) -> VideoClock:
        """What the file of a video says of its time. A file is looked at once.

        Raises:
            UnknownIdError, Refusal: as video_file.
            VideoError: it cannot be decoded.
        """
        path = self.video_file(video)
        status = path.stat()
        clock = self._clocks.get(video)
        if clock is None or (clock.size, clock.time_ns) != (status.st_size, status.st_mtime_ns):
            with self._making:
                clock = _look(path, status)
            self._clocks[video] = clock
        return clock

    def look_at_all(self, stopped: Callable[[], bool]) -> None:
        """Look at every file that was not looked at before, and keep what they say in the cache."""
        found = len(self._clocks)
        for video in self.videos:
            if stopped():
                return
            with suppress(AvsError, OSError):
                self.clock(video)
        if len(self._clocks) > found:
            clocks = json.dumps({video: asdict(clock) for video, clock in self._clocks.items()})
            with suppress(OSError), atomic_write(self.cache / CLOCKS, "wb") as file:
                file.write(checked_line(clocks.encode()))

    def etag(self, *words: object) -> str:
        """A tag of something that words decide."""
        return f'"{hashlib.sha256(repr(words).encode()).hexdigest()[:32]}"'

    def _given(self, shot: str) -> Path | None:
        """The picture of a shot in --keyframes; None if it is not there, or a link leads out of the folder."""
        from avs.video.keyframes import keyframe_path

        if self.keyframes is None:
            return None
        path = keyframe_path(self.keyframes, shot)
        if not path.is_file() or not path.resolve().is_relative_to(self.keyframes.resolve()):
            return None
        return path

    def _cached(self, kind: str, shot: str) -> bytes | None:
        """The picture in the cache, unless what it was made of is newer."""
        path = self._place(kind, shot)
        source = self._given(shot) or self.videos.get(parse_shot_id(shot).video)
        try:
            if source is not None and path.stat().st_mtime_ns < source.stat().st_mtime_ns:
                return None
            return path.read_bytes()
        except OSError:
            return None

    def _place(self, kind: str, shot: str) -> Path:
        from avs.video.keyframes import keyframe_path

        return keyframe_path(self.cache / kind, shot)

    def _kept(self, kind: str, shot: str, make: Callable[[], bytes]) -> bytes:
        """The picture in the cache, made if it is not there. Two who ask for it at once wait for one making."""
        kept = self._cached(kind, shot)
        if kept is not None:
            return kept
        with self._alone(f"{kind} {shot}"):
            kept = self._cached(kind, shot)
            if kept is not None:
                return kept
            with self._making:
                made = make()
            with suppress(OSError), atomic_write(self._place(kind, shot), "wb") as file:  # a full disk: made again
                file.write(made)
            return made

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """The only thread in here with this name."""
        with self._lock:
            lock = self._locks.setdefault(name, threading.Lock())
            self._locks.move_to_end(name)
            while len(self._locks) > FRESH_LOCKS:
                self._locks.popitem(last=False)
        with lock:
            yield

    def _shot(self, row: int) -> Shot:
        start_s, end_s = self.columns.times_s(row)
        if start_s is None or end_s is None:
            raise Refusal(404, "the times of the shot are not known", next_step="give the shot table: --shots")
        return Shot(self.columns.ids[row], self.columns.video_of(row), start_s, end_s)

    def _frames(self, row: int, sampling: Sampling) -> np.ndarray:
        """(F, H, W, 3) frames of a shot, F >= 1."""
        from avs.video.folder import VideoFolder

        shot = self._shot(row)
        path = self.video_file(shot.video)
        (found,) = VideoFolder({shot.video: path}, sampling).read(shot.video, [shot])
        if not len(found.data):
            raise VideoError("the video gives no frame of this shot", where=shot.id, got=found.reason)
        return found.data

    def _from_video(self, row: int, width: int) -> bytes:
        from PIL import Image

        from avs.video.sampling import Sampling

        frames = self._frames(row, Sampling("middle"))
        return _jpeg(Image.fromarray(frames[len(frames) // 2]), width)

    def _strip(self, row: int, count: int) -> bytes:
        """Frames side by side; where the shot has fewer, the last is repeated."""
        from PIL import Image

        from avs.video.sampling import Sampling

        frames = self._frames(row, Sampling("uniform", frames=count))
        height, width = frames.shape[1:3]
        size = (SPRITE_WIDTH, max(1, round(SPRITE_WIDTH * height / width)))
        strip = Image.new("RGB", (SPRITE_WIDTH * count, size[1]))
        for place in range(count):
            one = Image.fromarray(frames[min(place * len(frames) // count, len(frames) - 1)])
            strip.paste(one.resize(size), (SPRITE_WIDTH * place, 0))
        return _jpeg(strip, SPRITE_WIDTH * count)


def _look(path: Path, status: os.stat_result) -> VideoClock:
    from avs.video.decode import Video

    with Video(path) as video:
        fps = None if video.fps is None else float(video.fps)
        return VideoClock(
            video.zero_in_file_s, fps, video.duration_s(), video.codec, status.st_size, status.st_mtime_ns
        )  # fmt: skip


def media_cache(cache: Path, columns: ShotColumns, *folders: Path | None) -> Path:
    """The folder of pictures of these shots from these folders: another collection may have the same ids."""
    places = [str(folder.resolve()) for folder in folders if folder is not None]
    digest = hashlib.sha256(json.dumps([columns.fingerprint, *places]).encode())
    if columns.start_s is not None and columns.end_s is not None:
        digest.update(np.ascontiguousarray(columns.start_s).tobytes() + np.ascontiguousarray(columns.end_s).tobytes())
    return cache / f"media-{digest.hexdigest()[:24]}"


def _read_clocks(path: Path) -> dict[str, VideoClock]:
    try:
        clocks = checked_record(path.read_bytes().removesuffix(b"\n")) or b"{}"
        return {video: VideoClock(**clock) for video, clock in json.loads(clocks).items()}
    except (OSError, TypeError):  # there are none, or those of another avs
        return {}


def _reduced(picture: bytes, width: int, file: str) -> bytes:
    """A smaller picture.

    Raises:
        Refusal: it is damaged.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture)) as image:
            return _jpeg(image.convert("RGB"), width)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises at damage
        raise Refusal(
            404, "the picture cannot be read", where=file, got=f"{len(picture):,} bytes that are no whole picture",
            next_step="make the key frame again, or remove the file: then it is made from --videos",
        ) from error  # fmt: skip


def _jpeg(image: Image, longest: int) -> bytes:
    image.thumbnail((longest, longest))
    coded = io.BytesIO()
    image.save(coded, "jpeg", quality=QUALITY)
    return coded.getvalue()
