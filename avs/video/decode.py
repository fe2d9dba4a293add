"""Frames of a video file with the times at which they are on screen (PyAV, FFmpeg's libraries).

Times are seconds from the presentation of the video's first frame, whatever time the file gives that frame. A frame
is found by its time, not by its number: frame rates vary, and packets are not stored in display order.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path
from typing import SupportsBytes, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from avs.core.errors import VideoError
from avs.video.container import Timetable, key_frame_times, open_stream, packets, read_timetable, span_of_packets
from avs.video.sparing import CODECS, Sparing, SparingError

# Shot tables and WebM files round times to a millisecond, so each is off by up to half of one. No frame is so short.
TIME_TOLERANCE_S = 0.001
# Formats whose index has correct times. In others (AVI, transport streams) frames are read in sequence.
INDEXED_FORMATS = ("mov", "matroska")
WORTHWHILE_SKIP_S = 1.0  # length of video that a seek must skip: flushing the decoder costs time too
JUMP_S = 0.1  # back in time; FFmpeg's program takes less for disorder too
REORDER_S = 0.5  # between the decoding of a frame and its display; a seek may mean either time


@dataclass(frozen=True, eq=False)
class Frame:
    """A decoded frame, on screen during `[time_s, until_s)`.

    Attributes:
        time_s: when it appears on screen.
        until_s: when the next frame, or one that could not be decoded, replaces it.
        error_s: time of a decode error that no key frame has followed, so the picture may be damaged; None: it is
            intact.
        decoded: the decoded picture; None: it was spared.
        converter: makes RGB of it; making one costs more than using it, so the frames of a video share theirs.
    """

    time_s: float
    until_s: float
    error_s: float | None
    decoded: av.VideoFrame | None
    converter: VideoReformatter = field(default_factory=VideoReformatter)

    @property
    def raw(self) -> av.VideoFrame:
        """The decoded picture.

        Raises:
            SparingError: it was spared.
        """
        if self.decoded is None:
            raise SparingError
        return self.decoded

    def rgb(self, *, size: tuple[int, int] | None = None) -> np.ndarray:
        """(H, W, 3) uint8 RGB, turned and mirrored as the file's display matrix says; scaled to `size` (H, W) if given.

        Pixels that are not square stay as stored. Turns are by multiples of 90 degrees.
        """
        height, width = size or (self.raw.height, self.raw.width)
        swap_axes = _orientation(self.raw)[0]
        if size is not None and swap_axes:
            height, width = width, height
        return self._whole if (height, width) == (self.raw.height, self.raw.width) else self._scaled(height, width)

    @cached_property
    def _whole(self) -> np.ndarray:
        """In its own size; several may want it."""
        return self._scaled(self.raw.height, self.raw.width)

    def _scaled(self, height: int, width: int) -> np.ndarray:
        """The picture, upright, after its stored form was scaled to this size."""
        swap_axes, flip_x, flip_y = _orientation(self.raw)
        converted = self.converter.reformat(self.raw, format="rgb24", width=width, height=height, threads=1)
        picture = converted.to_ndarray()
        if swap_axes:
            picture = picture.transpose(1, 0, 2)
        return picture[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    raw: av.VideoFrame | None
    file_s: float
    error_file_s: float | None


def slack_s(start_s: float, end_s: float) -> float:
    """How far the time of a frame may be off the times of a shot that lasts from `start_s` to `end_s`."""
    return min(TIME_TOLERANCE_S, (end_s - start_s) / 4)


class Video:
    """An open video file, which is read once from beginning to end.

    Args:
        path: the file.
        threads: number of codec threads. Processes scale better: keep 1 and read several videos at once.
        keys_s: when the key frames are on screen, where that is known; otherwise the index says it nearly.

    Attributes:
        fps: average number of frames per second, as the file states; None when it does not.
        end_s: when the last frame leaves the screen; None before it has been read.

    Raises:
        VideoError: there is no such file, it is no video, no decoder reads it, or no frame can be decoded.
    """

    def __init__(self, path: Path, *, threads: int = 1, keys_s: Sequence[float] = ()) -> None:
        self.path, self.threads = Path(path), threads
        self._known_keys_s = keys_s
        self.end_s: float | None = None
        self._keys_s: list[float] | None = None
        self._sparing: Sparing | None = None
        self._errors: list[float] = []  # in the file's time; _lost are those not passed yet
        self._lost: list[float] = []
        self._converter = VideoReformatter()
        self._open()
        first = next(self._decoded, None)
        if first is None:
            codec = self._stream.codec_context.name
            self.close()
            raise VideoError("no frame can be decoded", where=path, got=f"{len(self._errors)} decode errors in {codec}")
        self._next: _Decoded | None = first
        self._zero_s = first.file_s

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and the decoder."""
        self._container.close()

    @property
    def zero_in_file_s(self) -> float:
        """The time that the file gives its first frame, from which all times count."""
        return self._zero_s

    @property
    def codec(self) -> str:
        """FFmpeg's name of how the video is coded, such as "h264"."""
        return self._stream.codec_context.name

    @property
    def errors_s(self) -> list[float]:
        """Times of the decode errors so far."""
        return [file_s - self._zero_s for file_s in self._errors]

    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last.

        As the file states, or else by its packets. If these last longer than the file states, or their times go back,
        the video is decoded to its end.

        Raises:
            VideoError: the file cannot be read again.
        """
        frame_s = float(1 / self.fps) if self.fps else TIME_TOLERANCE_S
        end_file_s, goes_back = span_of_packets(self.path, JUMP_S)
        counted_s = max(end_file_s - self._zero_s, frame_s)
        stated_s = 0.0 if self._announced_end is None else _seconds(self._announced_end, self._base) - self._zero_s
        if goes_back or 0 < stated_s < counted_s - frame_s:
            with Video(self.path, threads=self.threads) as again:
                for _ in again.frames():
                    pass
            if again.end_s is not None and math.isfinite(again.end_s):
                return again.end_s
        return stated_s if stated_s > 0 else counted_s

    def times_s(self) -> np.ndarray | None:
        """(N,) ascending times of all frames, by the packets; None if frames of this file cannot be spared."""
        context = self._stream.codec_context
        if self.threads != 1 or context.name not in CODECS or not context.has_b_frames:
            return None
        table = self._timetable()
        return None if table is None else table.pts * self._base.numerator / self._base.denominator - self._zero_s

    def frames(
        self, spans_s: Sequence[tuple[float, float]] = ((0.0, math.inf),), *, needed: np.ndarray | None = None
    ) -> Iterator[Frame]:
        """The frames on screen during `spans_s`, in order and once each, and others that were decoded for them.

        Reading continues where the last call stopped. Between spans it seeks when the file's index has a key frame
        that saves decoding; the frames are the same either way.

        Args:
            needed: (N,) bool, of the N frames of `times_s`. Of the others, those that no frame is coded against are not
                decoded; the frames that are, are the same. None: all are needed.

        Raises:
            SparingError: frames were spared, and the file is not in order. It must be read without sparing any.
        """
        if needed is not None:
            self._spare(needed)
        for start_s, end_s in _merged(spans_s):
            self._skip_towards(start_s)
            while self._next is not None and self._time_s() < end_s:
                current, self._next = self._next, next(self._decoded, None)
                yield self._frame(current)

    def _spare(self, needed: np.ndarray) -> None:
        """Decode the needed frames from here on, and the last one, whose end is the video's."""
        table = self._timetable()
        if table is None or self._errors:
            raise SparingError
        last = np.arange(len(needed)) == len(needed) - 1
        raw = None if self._next is None else self._next.raw
        self._sparing = Sparing(table.pts, needed | last, None if raw is None else raw.pts)

    def _time_s(self) -> float:
        """When the next frame appears on screen; infinity at the end."""
        return math.inf if self._next is None else self._next.file_s - self._zero_s

    def _frame(self, current: _Decoded) -> Frame:
        if self._next is not None:
            until = self._next.file_s
        else:
            if current.raw is None:
                raise SparingError  # the file ends before its packets said so
            until = current.file_s + self._duration_s(current.raw)
            self.end_s = until - self._zero_s
        self._lost = [file_s for file_s in self._lost if file_s > current.file_s]
        error_s = None if current.error_file_s is None else current.error_file_s - self._zero_s
        until_s = min([until, *self._lost]) - self._zero_s
        return Frame(current.file_s - self._zero_s, until_s, error_s, current.raw, self._converter)

    def _duration_s(self, raw: av.VideoFrame) -> float:
        if raw.duration:
            return _seconds(raw.duration, self._base)
        return float(1 / self.fps) if self.fps else math.inf  # a single picture stays on screen

    def _open(self) -> None:
        self._container, self._stream = open_stream(self.path)
        self._stream.codec_context.thread_count = self.threads
        self._base = cast(Fraction, self._stream.time_base)  # every video stream has one
        self.fps: Fraction | None = self._stream.average_rate or None
        start, duration = self._stream.start_time, self._stream.duration
        self._announced_end = None if start is None or not duration else start + duration
        self._errors.clear()
        self._lost.clear()
        self._start_decoding()

    def _start_decoding(self) -> None:
        self._clock = _Clock()
        self._unsound_since: float | None = None
        if self._sparing is not None:
            self._sparing.sought()
        self._decoded = self._decode()

    def _decode(self) -> Iterator[_Decoded]:
        """Frames in display order. Decoding continues after errors; frames the decoder calls corrupt count as lost."""
        for packet in packets(self._container, self._stream, on_error=lambda: self._fail(self._clock.last_s)):
            if self._sparing is not None:
                self._sparing.prepare(packet, self._stream.codec_context)
            try:
                raws = packet.decode()
            except av.FFmpegError:
                file_s = self._clock.last_s
                if packet.pts is not None:
                    file_s = _seconds(packet.pts, self._base) + self._clock.shift_s
                self._fail(file_s)
                continue
            for raw in raws:
                yield from self._spared_before(raw)
                file_s = self._clock.tick(raw, self._base, self._duration_s(raw))
                if raw.is_corrupt:
                    self._fail(file_s)
                    continue
                if raw.key_frame:
                    self._unsound_since = None
                yield _Decoded(raw, file_s, self._unsound_since)

    def _spared_before(self, raw: av.VideoFrame) -> Iterator[_Decoded]:
        """The frames that were spared before the one that has come."""
        if self._sparing is not None:
            for pts in self._sparing.spared_before(raw.pts):
                yield _Decoded(None, _seconds(pts, self._base), None)

    def _fail(self, file_s: float) -> None:
        if self._sparing is not None:
            raise SparingError
        self._unsound_since = file_s
        self._errors.append(file_s)
        self._lost.append(file_s)

    def _skip_towards(self, start_s: float) -> None:
        """Seek to the last key frame before `start_s`, when that saves decoding.

        After a jump back in time there is no seeking, since the clock no longer agrees with the index.
        """
        worthwhile_s = self._time_s() + WORTHWHILE_SKIP_S
        if start_s < worthwhile_s or self._clock.shift_s:
            return
        keys_s = self._key_frames_s()
        latest = [keys_s[: bisect_right(keys_s, start_s - early_s)][-1:] for early_s in (0.0, REORDER_S)]
        places_s = [key_s for one in latest for key_s in one if key_s >= worthwhile_s]
        if not places_s:
            return
        if not any(self._land_on(key_s) and self._time_s() <= start_s + TIME_TOLERANCE_S for key_s in places_s):
            if self._sparing is not None:
                raise SparingError
            self._keys_s = []  # the index is wrong: read from the start, in sequence
            self.close()
            self._open()
            self._next = next(self._decoded, None)

    def _land_on(self, key_s: float) -> bool:
        """Seek to the key frame and decode it; False when there is none."""
        try:
            self._container.seek(round((key_s + self._zero_s) / self._base), stream=self._stream)
        except av.FFmpegError:
            return False
        self._start_decoding()
        # Frames before the key frame in display order may lack the frames they were coded against.
        self._next = next((one for one in self._decoded if one.raw is not None and one.raw.key_frame), None)
        return self._next is not None

    def _key_frames_s(self) -> list[float]:
        """When the key frames of the index are on screen; empty when the format has no index with correct times.

        It is empty also when some packet's time goes back: behind a jump that was not decoded, the clock would not know
        of it. Looking at all packets costs a hundredth of decoding them.
        """
        if self._keys_s is None:
            self._keys_s = []
            if self._container.format.name.split(",")[0] in INDEXED_FORMATS:
                known = self._known_keys_s or [file_s - self._zero_s for file_s in self._keys_of_index()]
                self._keys_s = sorted(known)
        return self._keys_s

    def _keys_of_index(self) -> list[float]:
        table = self._timetable()
        if table is None:
            return []
        return [table.keys_s[key_s] for key_s in key_frame_times(self.path) if key_s in table.keys_s]

    def _timetable(self) -> Timetable | None:
        """What the packets say, if the format tells the times of each; looked up once for all jobs of a file."""
        if self._container.format.name.split(",")[0] not in INDEXED_FORMATS:
            return None
        status = self.path.stat()
        return _read_timetable(self.path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _read_timetable(path: Path, size: int, time_ns: int) -> Timetable | None:
    """The timetable of a file; one written anew is another."""
    return read_timetable(path)


class _Clock:
    """Frame times of files whose times are partly wrong, by FFmpeg's rules. They never run backwards.

    Of presentation and decoding times, those that went backwards less often are trusted: AVI files have only decoding
    times, and the presentation times that FFmpeg derives may not ascend. Where the trusted time jumps back, as where
    two recordings were joined, the clock goes on: the next frame follows the last one, and the time after it counts on
    from there.

    Attributes:
        last_s: the time of the last frame; 0 before the first.
        shift_s: what jumps back have added to the file's times.
    """

    def __init__(self) -> None:
        self.last_s = 0.0
        self.shift_s = 0.0
        self._began = False
        self._last: dict[str, float] = {"pts": -math.inf, "dts": -math.inf}
        self._faults = {"pts": 0, "dts": 0}

    def tick(self, raw: av.VideoFrame, base: Fraction, frame_s: float) -> float:
        """The time of the next frame in display order, in seconds: the file's, or what the clock makes of it."""
        began, self._began = self._began, True
        frame_s = frame_s if math.isfinite(frame_s) else TIME_TOLERANCE_S
        for kind, value in (("pts", raw.pts), ("dts", raw.dts)):
            if value is not None:
                self._faults[kind] += value <= self._last[kind]
                self._last[kind] = value
        trusted = raw.pts
        if raw.dts is not None and (raw.pts is None or self._faults["pts"] > self._faults["dts"]):
            trusted = raw.dts
        if trusted is None:
            self.last_s += frame_s
            return self.last_s
        file_s = _seconds(trusted, base) + self.shift_s
        if began and file_s < self.last_s - JUMP_S:
            self.shift_s += self.last_s + frame_s - file_s
            file_s = self.last_s + frame_s
        self.last_s = max(file_s, self.last_s) if began else file_s
        return self.last_s


def _seconds(units: int, base: Fraction) -> float:
    """`units * base` to the nearest float, several times faster than the product of a Fraction."""
    return units * base.numerator / base.denominator


def _orientation(raw: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether a player swaps the axes of the stored picture, and then flips x and y: one of eight orientations.

    The display matrix [[a, b], [c, d]] shows the stored pixel (x, y) at (a x + c y, b x + d y). A turn by another
    angle becomes the nearest of the eight.
    """
    side_data = cast("Mapping[str, SupportsBytes]", raw.side_data)  # PyAV's own type has motion vectors alone
    if "DISPLAYMATRIX" not in side_data:
        return False, False, False
    (a, b), (c, d) = np.frombuffer(bytes(side_data["DISPLAYMATRIX"]), dtype=np.int32).reshape(3, 3)[:2, :2].tolist()
    swap_axes = abs(a) + abs(d) < abs(b) + abs(c)
    across, down = (c, b) if swap_axes else (a, d)
    return swap_axes, across < 0, down < 0


def _merged(spans_s: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The spans in order; those that overlap or touch are merged."""
    merged: list[tuple[float, float]] = []
    for start_s, end_s in sorted(spans_s):
        if merged and start_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
        else:
            merged.append((start_s, end_s))
    return merged
